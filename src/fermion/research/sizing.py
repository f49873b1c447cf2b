"""Finds the size of a batch: steps of 32, 64, 128, ... rows are timed until a row takes no less time in a larger batch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from msgspec import Struct, structs
from torch import Tensor, nn

from fermion.research.finder import unchanged
from fermion.research.model import Encoded
from fermion.research.precision import PROBED
from fermion.research.recipe import Recipe
from fermion.research.stepping import Stepper
from fermion.research.targets import least_batch

FEWEST = 32  # rows
MOST = 4096
PER_PASS = 16  # steps that a pass over the rows keeps
GAIN = 0.9  # of the time per row, which twice the rows have to bring
TIMED = 5  # steps of each size, after one that makes ready
LEAST = 300  # steps that a training keeps
SECONDS = 20.0


class Size(Struct, frozen=True, kw_only=True):
    """The size of a batch that was found, and the rows per second of each size that was tried."""

    batch: int
    speeds: dict[int, float]

    @property
    def told(self) -> str:
        """In words."""
        tried = ", ".join(f"{rows:,}: {speed:,.0f}" for rows, speed in self.speeds.items())
        return f"A batch of {self.batch:,} rows was measured to be best here{f' (rows per second by size: {tried})' if tried else ''}."

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with this batch; with `by_rows` it learns from as many rows, in 300 steps at least where it had so many."""
        steps = recipe.steps
        if recipe.by_rows:
            steps = max(min(steps, LEAST), round(steps * recipe.batch / self.batch))
        return structs.replace(recipe, batch=self.batch, steps=steps)


def largest(rows: int) -> int:
    """The largest batch that leaves 16 steps per pass: a power of two from 32 to 4,096.

    >>> largest(300), largest(10_000), largest(1_000_000)
    (32, 512, 4096)
    """
    return max(FEWEST, min(MOST, 2 ** ((rows // PER_PASS).bit_length() - 1) if rows >= PER_PASS else FEWEST))


def settled(
    recipe: Recipe,
    make: Callable[[Recipe], Stepper],
    optimizers: Sequence[torch.optim.Optimizer],
    rows: Encoded,
    remembered: Path | None,
) -> tuple[Recipe, str]:
    """The recipe with the size of batch that is measured, and a note that tells of it.

    Args:
        make: a stepper for a recipe.
        remembered: the file that keeps the size, so that a training that was killed goes on with the same one.
    """
    found = None
    with contextlib.suppress(OSError, ValueError):
        found = Size(batch=int(remembered.read_text()), speeds={}) if remembered is not None else None
    if found is None:
        least = max(FEWEST, 1 << (least_batch(rows.outputs) - 1).bit_length())  # a loss that compares rows needs so many
        most = max(least, largest(len(rows)))
        stepper = make(structs.replace(recipe, batch=most))
        found = find_batch(
            stepper.net, optimizers, lambda some: stepper.take(some, PROBED), lambda: stepper.at_once, rows=len(rows), sizes=(least, most)
        )
        if found is None:
            return recipe, f"Not even {least} rows fit into the memory at once: the batch was left at {recipe.batch:,}."
        if remembered is not None:
            with contextlib.suppress(OSError):
                remembered.parent.mkdir(parents=True, exist_ok=True)
                remembered.write_text(str(found.batch))
    return found.applied(recipe), found.told


def _best(speeds: dict[int, float]) -> int:
    """The smallest size that is about as fast as any."""
    return min(size for size, speed in speeds.items() if speed >= GAIN * max(speeds.values()))


def find_batch(
    net: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    step: Callable[[Tensor], Tensor],
    fits: Callable[[], int],
    *,
    rows: int,
    sizes: tuple[int, int],
    clock: Callable[[], float] = time.perf_counter,
) -> Size | None:
    """The size from which on a row takes no tenth less time in a batch of twice the rows; the net and its optimisers are as before.

    A small batch leaves the processor waiting for the next operation, a large one makes fewer steps of the same rows: the smallest
    that is about as fast per row learns most (McCandlish et al. 2018, "An empirical model of large-batch training"; Shallue et al. 2019).

    Args:
        step: one step of a training on these rows.
        fits: how many rows at once have fitted into the memory so far; a size beyond that is not taken.
        rows: that there are to learn from.
        sizes: the smallest and the largest that are tried; those beyond two that gained nothing are left out.
        clock: seconds.

    Returns:
        None where not even the smallest fits.
    """
    (size, most), began = sizes, clock()
    speeds: dict[int, float] = {}
    chance = torch.Generator().manual_seed(0)
    with unchanged(net, optimizers):
        while size <= most:
            if size > fits():
                break
            seconds: list[float] = []
            for _ in range(1 + TIMED):
                chosen = torch.randint(rows, (size,), generator=chance)
                started = clock()
                float(step(chosen))  # which waits for the device
                seconds.append(clock() - started)
            if size > fits():  # it had to be taken apart
                break
            speeds[size] = size / min(seconds[1:])
            if size >= 4 * _best(speeds) or clock() - began > SECONDS:
                break
            size *= 2
    if not speeds:
        return None
    return Size(batch=_best(speeds), speeds=speeds)
