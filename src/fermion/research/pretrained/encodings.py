"""Backbones that others trained as encodings of a column, learning along or frozen.

Legend of shapes: B rows, L steps, E features of a step, D features of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fermion.research.blocks.encoding import Encoding, Stepwise, Tensors
from fermion.research.pretrained.text import TextBackbone

SHARE = 0.1  # of the net's learning rate, for weights that know much already


class Frozen(Encoding):
    """(f(x) - mean) / std of a backbone f that does not learn: with the training part's mean and spread, finite whatever f says.

    Args:
        backbone: the arrays `reads`, in their order, -> (B, features).
        reads: the names of these arrays.
        digest: names backbone and settings by content.
    """

    mean: Tensor  # (D,)
    scale: Tensor

    def __init__(self, backbone: nn.Module, reads: Sequence[str], digest: str, features: int) -> None:
        super().__init__()
        self.backbone, self.reads, self.digest, self.features = backbone.requires_grad_(False).eval(), tuple(reads), digest, features
        self.key = f"{reads[0]}: features"
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def raw(self, arrays: Tensors) -> Tensor:
        """(B, features) from the column's own arrays."""
        return self.backbone(*(arrays[name] for name in self.reads))

    @property
    def alone(self) -> nn.Module:
        """The backbone as a module of the arrays `reads` in their order: what is exported by itself."""
        return _Positional(self.backbone).eval()

    def standardise(self, x_ND: NDArray[np.float32]) -> None:
        """Learn the mean and the spread that its vectors are freed from."""
        spread_D = x_ND.std(axis=0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(x_ND.mean(axis=0, dtype=np.float64)))
        self.scale.copy_(torch.from_numpy(1 / np.maximum(spread_D, 1e-3 * max(float(spread_D.max(initial=0)), 1e-6))))

    def forward(self, arrays: Tensors) -> Tensor:
        x_BD = arrays[self.key] if self.key in arrays else self.raw(arrays)
        return ((x_BD - self.mean) * self.scale).clamp(-20, 20)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone.eval()  # dropout and running statistics stay out of what does not learn
        return self


class Tuned(Encoding):
    """A backbone that learns along, at a tenth of the net's learning rate."""

    def __init__(self, backbone: nn.Module, reads: Sequence[str], features: int) -> None:
        super().__init__()
        self.backbone, self.reads, self.features = backbone, tuple(reads), features
        slowly(backbone)

    def forward(self, arrays: Tensors) -> Tensor:
        return self.backbone(*(arrays[name] for name in self.reads))


class TunedText(Stepwise):
    """A backbone for text that learns along; its steps are the tokens."""

    def __init__(self, backbone: TextBackbone, reads: Sequence[str]) -> None:
        super().__init__()
        self.backbone, self.reads = backbone, tuple(reads)
        self.features = self.width = backbone.features
        slowly(backbone)

    def steps(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        ids_BL, mask_BL = (arrays[name] for name in self.reads)
        return self.backbone.steps(ids_BL, mask_BL), mask_BL

    def pool(self, x_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        return self.backbone.pooled(x_BLE, mask_BL) * self.features**0.5  # entries of about 1, as the next layer expects


class _Positional(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, *arrays: Tensor) -> Tensor:
        return self.backbone(*arrays)


def slowly(backbone: nn.Module) -> None:
    """Mark the weights of a backbone, and those of all its parts, as learning at `SHARE` of the net's rate."""
    for part in backbone.modules():
        marked: Any = part
        marked.rate_share = SHARE
