"""What an encoder builds: a module that reads the arrays of one column and answers one vector per row, or one per step as well.

Legend of shapes: B rows, L steps (tokens, moments), D features of a row, E features of a step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

Tensors = dict[str, Tensor]


class Encoding(nn.Module, ABC):
    """Encoded arrays by name -> one vector per row, (B, `features`) float32, finite whatever is missing.

    It finds its arrays by their names, reads no other, and treats each row by itself: a row's vector depends neither on its neighbours nor
    on how far the batch is padded. It exports to ONNX with any number of rows and steps.
    """

    features: int

    @abstractmethod
    def forward(self, arrays: Tensors) -> Tensor:
        """(B, features)."""
        ...


class Stepwise(Encoding):
    """An encoding that knows its row step by step, for heads that answer per token and for combiners that attend to steps.

    `width` is E. `stride` is how many steps of the column one of its steps stands for: 1 where they are the column's own.
    """

    width: int
    stride: int = 1

    @abstractmethod
    def steps(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        """(B, L, E) and the mask (B, L) bool, True where a step is real; at least one is in each row."""
        ...

    @abstractmethod
    def pool(self, x_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        """The steps of a row as one vector: (B, L, E) -> (B, features)."""
        ...

    def forward(self, arrays: Tensors) -> Tensor:
        return self.pool(*self.steps(arrays))
