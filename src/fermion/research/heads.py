"""What the last layer of a net computes for each kind of output: how many numbers, their loss, and the answer that they stand for."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct
from torch import Tensor
from torch.nn import functional as F

from fermion.columns.output import UNLABELLED, Output, Probability


class Head(Protocol):
    """One output's part of a net. Frozen; what it needs to know of the output are its fields.

    `shape` is that of one row of the raw numbers: (K,) logits, () a value. `tempered` says whether they are logits that a
    temperature may divide.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row of what the net computes."""
        ...

    @property
    def size(self) -> int:
        """How many numbers that are: the width of the last layer."""
        ...

    @property
    def tempered(self) -> bool:
        """Whether the raw numbers are logits whose temperature is set after training."""
        ...

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """(B, *shape) raw numbers and (B, ...) targets -> (each_B, known_B): the loss of each row, 0 where unlabelled, and which count."""
        ...

    def answer(self, raw: Tensor) -> Tensor:
        """(B, *shape) raw numbers -> (B, *tail) what the output's array holds."""
        ...


class Classes(Struct, frozen=True):
    """K logits; l = -sum_k q_k log softmax(z)_k, where q is the truth with a share `smoothing` spread over all (Szegedy et al. 2016)."""

    classes: int
    tempered: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.classes,)

    @property
    def size(self) -> int:
        return self.classes

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        each_B = F.cross_entropy(raw, truth, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="none")
        return each_B, truth != UNLABELLED

    def answer(self, raw: Tensor) -> Tensor:
        return raw.softmax(-1)


class Number(Struct, frozen=True):
    """One standardised value v; l = (y - v)²."""

    shape: tuple[int, ...] = ()
    size: int = 1
    tempered: bool = False

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        known_B = ~truth.isnan()
        return (raw - truth.nan_to_num()).square() * known_B, known_B

    def answer(self, raw: Tensor) -> Tensor:
        return raw


def head_of(output: Output) -> Head:
    """The head of an output.

    >>> head_of(Probability(target="y", classes=("a", "b", "c"))).size
    3
    """
    return Classes(len(output.classes)) if isinstance(output, Probability) else Number()


def rows_of(raw: Tensor, head: Head) -> Tensor:
    """(B, size) of a linear layer -> (B, *shape).

    >>> import torch
    >>> rows_of(torch.zeros(4, 1), Number()).shape
    torch.Size([4])
    """
    return raw.squeeze(1) if head.shape == () else raw if len(head.shape) == 1 else raw.reshape(-1, *head.shape)
