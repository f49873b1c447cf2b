"""One output's part of a net, and what most of them share: a linear last layer, and members whose answers are averaged."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from msgspec import Struct
from torch import Tensor, nn

NEAREST = 1e-4  # of two quantiles, or of two cut points: what is less has no logarithm in float32


class Head(Protocol):
    """One output's part of a net. Frozen; what it needs to know of the output are its fields."""

    @property
    def tempered(self) -> bool:
        """Whether the raw numbers are logits whose temperature is set after training."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row of what the net computes: (K,) logits, () a value."""
        ...

    @property
    def size(self) -> int:
        """How many numbers the last layer computes for a row, or for a step of one."""
        ...

    def layer(self, features: int) -> nn.Module:
        """The last layer: (B, D) -> (B, size)."""
        ...

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """(B, *shape) raw numbers and (B, ...) targets -> (each_B, known_B): the loss of each row, 0 where unlabelled, and which count."""
        ...

    def answer(self, raw: Tensor) -> Tensor:
        """(B, *shape) raw numbers -> (B, *tail) what the output's array holds."""
        ...

    def pooled(self, raw: Tensor) -> Tensor:
        """(B, M, *shape) raw numbers of M members -> (B, *shape) the raw numbers whose answer is the mean of the members' answers."""
        ...


class Plain(Struct, frozen=True):
    """What most heads are: a linear layer of as many numbers as there are in a row, which are the answer themselves."""

    @property
    def tempered(self) -> bool:
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def layer(self, features: int) -> nn.Module:
        return nn.Linear(features, self.size)

    def answer(self, raw: Tensor) -> Tensor:
        return raw

    def pooled(self, raw: Tensor) -> Tensor:
        return raw.mean(1)


def unsoftened(y: Tensor) -> Tensor:
    """The x whose softplus is y.

    >>> import torch
    >>> round(torch.nn.functional.softplus(unsoftened(torch.tensor(0.5))).item(), 6)
    0.5
    """
    y = y.clamp(min=NEAREST)
    return y + torch.log(1 - torch.exp(-y))
