"""Mean weights: often better than the last ones, and always smoother. The net trains on its own weights and is judged by the mean."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fermion.research.optimizers import ScheduleFree, lists
from fermion.research.training import Training

Tensors = dict[str, Tensor]


class Average(Protocol):
    """A mean of the weights of a net over its training. `live` are those tensors of the net that the mean replaces.

    `renews` says whether the statistics of normalisations over the batch have to be taken again: they belong to other weights.
    """

    live: list[Tensor]
    renews: bool

    @property
    def there(self) -> bool:
        """Whether there is a mean already."""
        ...

    def update(self, position: float) -> None:
        """After a step of the optimisers, at `position` in [0, 1] of the training."""
        ...

    def values(self) -> Sequence[Tensor]:
        """The mean, as long as `live`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was."""
        ...


class Ema:
    """m <- d m + (1 - d) w after each step, of the weights and of the statistics of normalisations.

    d is min(decay, (1 + t) / (10 + t)) after t steps, so that the first looks do not judge the weights that the net began with.
    Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; Morales-Brotons et al. 2024, "Exponential
    moving average of weights in deep learning".
    """

    renews = False

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.live = [w for w in (*net.parameters(), *net.buffers()) if w.is_floating_point()]
        self.means = [w.detach().clone() for w in self.live]

    @property
    def there(self) -> bool:
        return self.steps > 0

    @torch.no_grad()
    def update(self, position: float) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        lists._foreach_lerp_(self.means, [w.detach() for w in self.live], 1 - decay)

    def values(self) -> Sequence[Tensor]:
        return self.means

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "means": self.means}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        lists._foreach_copy_(self.means, state["means"])


class Swa:
    """The plain mean of the weights after each step of the last share of the training: m <- m + (w - m) / n.

    The learning rate stays where it is at the beginning of that share, so that the weights wander around a wide minimum whose middle
    is the mean. Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization".
    """

    renews = True

    def __init__(self, net: nn.Module, share: float) -> None:
        self.begins, self.count = 1 - share, 0
        self.live: list[Tensor] = [w for w in net.parameters() if w.is_floating_point()]
        self.means = [w.detach().clone() for w in self.live]

    @property
    def there(self) -> bool:
        return self.count > 0

    @torch.no_grad()
    def update(self, position: float) -> None:
        if position > self.begins:
            self.count += 1
            lists._foreach_lerp_(self.means, [w.detach() for w in self.live], 1 / self.count)

    def values(self) -> Sequence[Tensor]:
        return self.means

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "means": self.means}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        lists._foreach_copy_(self.means, state["means"])


class OfOptimizer:
    """The mean that `ScheduleFree` takes itself; all its state is the optimiser's."""

    renews, there = True, True

    def __init__(self, optimizer: ScheduleFree) -> None:
        self.optimizer = optimizer
        self.live: list[Tensor] = [w for group in optimizer.param_groups for w in group["params"]]

    def update(self, position: float) -> None:
        """The optimiser's step has done it."""

    def values(self) -> Sequence[Tensor]:
        return [self.optimizer.mean(w) for w in self.live]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing beside the optimiser."""


def average_of(net: nn.Module, training: Training, optimizers: Sequence[torch.optim.Optimizer]) -> Average | None:
    """The mean that the settings ask for, None where the net's own weights are what is kept."""
    if training.ema:
        return Ema(net, training.ema)
    if training.swa:
        return Swa(net, training.swa)
    return next((OfOptimizer(one) for one in optimizers if isinstance(one, ScheduleFree)), None)


@contextmanager
def averaged(net: nn.Module, average: Average | None, batches: Callable[[], Iterable[Tensors]]) -> Generator[None]:
    """The net with the mean weights in it, and its own again afterwards.

    Args:
        batches: training rows in batches, for the statistics of normalisations over the batch.
    """
    if average is None or not average.there:
        yield
        return
    with torch.no_grad():
        buffers = [*net.buffers()]
        own = [w.detach().clone() for w in average.live]
        statistics = [buffer.clone() for buffer in buffers]
        lists._foreach_copy_([w.detach() for w in average.live], list(average.values()))
        if average.renews:
            _renew(net, batches)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(buffers, statistics, strict=True):
                buffer.copy_(before)
            lists._foreach_copy_([w.detach() for w in average.live], own)


def _renew(net: nn.Module, batches: Callable[[], Iterable[Tensors]]) -> None:
    """Statistics over the batch as plain means over the given batches; nothing else of the net behaves as in training."""
    norms = [
        part for part in net.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and part.track_running_stats
    ]
    if not norms:
        return
    momenta = [part.momentum for part in norms]
    net.eval()
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # a plain mean
        part.train()
    for arrays in batches():
        net(arrays)
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum
