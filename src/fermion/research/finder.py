"""Finds the learning rate: a short training whose rate rises from far too small to far too large."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from msgspec import Struct
from torch import Tensor, nn

from fermion.research.model import Curve

LOWEST, HIGHEST = 1e-3, 1e3  # of the learning rate that is looked around
MOST = 120  # steps
SMOOTH = 0.9
BLOWN = 3.0  # times the least loss: there is nothing to find beyond


class Range(Struct, frozen=True, kw_only=True):
    """What a range test found: `share` of the given learning rates is best, and the smoothed loss by that share."""

    share: float
    curve: Curve


def find_share(
    net: nn.Module, optimizers: Sequence[torch.optim.Optimizer], step: Callable[[], Tensor], *, steps: int = MOST
) -> Range | None:
    """The share of their peak at which the optimisers bring the loss down fastest; the net and they are as before afterwards.

    The rate rises from 1/1000 to 1000 times the peak by the same factor per step, until the smoothed loss is three times its least.
    The answer is where the loss falls steepest against the logarithm of the rate, but at most a third of where it is least: beyond
    that a training does not fall any more. Smith 2017, "Cyclical learning rates for training neural networks".

    Args:
        step: one step of a training, which gives its loss.

    Returns:
        None where the loss never falls: there is nothing to go by.
    """
    shares = [LOWEST * (HIGHEST / LOWEST) ** (at / (steps - 1)) for at in range(steps)]
    smoothed: list[float] = []
    running, least = 0.0, math.inf
    with unchanged(net, optimizers):
        for at, share in enumerate(shares):
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * share
            loss = float(step())
            if not math.isfinite(loss):
                break
            running = SMOOTH * running + (1 - SMOOTH) * loss
            smoothed.append(running / (1 - SMOOTH ** (at + 1)))
            least = min(least, smoothed[-1])
            if at > 10 and smoothed[-1] > BLOWN * least:
                break
    if len(smoothed) < 10:
        return None
    lowest = smoothed.index(min(smoothed))
    slopes = [later - earlier for earlier, later in zip(smoothed[5:lowest], smoothed[8 : lowest + 1], strict=False)]
    if not slopes or min(slopes) >= 0:
        return None
    steepest = slopes.index(min(slopes)) + 7  # the middle of the four
    share = min(shares[steepest], shares[lowest] / 3)
    return Range(share=share, curve=Curve(name="range test", x=shares[: len(smoothed)], y=smoothed, unit="learning rate / model.lr"))


@contextmanager
def unchanged(net: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Generator[None]:
    """What is tried within leaves the net and its optimisers as they were."""
    weights, states = copy.deepcopy(net.state_dict()), [copy.deepcopy(one.state_dict()) for one in optimizers]
    yield
    net.load_state_dict(weights)
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict(state)
