"""The learning rate over the length of a training, as a share of its peak."""

from __future__ import annotations

import math
from typing import Any

from fermion.research.training import Schedule


def share_of_peak(schedule: Schedule, position: float, *, warmup: float, floor: float) -> float:
    """The learning rate at `position` in [0, 1] of the training, as a share of the peak. With s from 0 to 1 while it falls:

    - linear: rises and falls in straight lines
    - one-cycle: rises and falls in half cosines (Smith and Topin 2019, "Super-convergence")
    - cosine: rises in a straight line, falls in a half cosine, (1 + cos(pi s)) / 2 (Loshchilov and Hutter 2017, "SGDR")
    - cosine-log: four waves, each twice as long as the one before, (1 - cos(2 pi log2(1 + 15 t))) / 2 over the whole training t
      (Holzmueller et al. 2024, "Better by default")
    - plateau, constant: rises in a straight line and stays; `Plateau` lowers the former

    >>> [round(share_of_peak("cosine", p, warmup=0.5, floor=0.0), 2) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    >>> [share_of_peak("constant", p, warmup=0.1, floor=0.0) for p in (0.05, 0.1, 1.0)]
    [0.5, 1.0, 1.0]
    """
    position = min(max(position, 0.0), 1.0)
    if schedule == "cosine-log":
        return floor + (1 - floor) * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * position))) / 2
    rising = position < warmup
    share = position / warmup if rising else (position - warmup) / max(1.0 - warmup, 1e-9)
    if schedule in ("plateau", "constant") and not rising:
        return 1.0
    if schedule == "one-cycle" or (schedule == "cosine" and not rising):
        share = (1 - math.cos(math.pi * share)) / 2
    return floor + (1 - floor) * (share if rising else 1 - share)


class Plateau:
    """Halves the learning rate each time that `patience` looks at the validation part in a row have found no lower loss."""

    def __init__(self, floor: float, patience: int = 2) -> None:
        self.floor, self.patience = floor, patience
        self.level, self.best, self.since = 1.0, math.inf, 0

    def saw(self, loss: float) -> None:
        """One more look.

        >>> plateau = Plateau(floor=0.01)
        >>> for loss in (1.0, 0.5, 0.6, 0.7):
        ...     plateau.saw(loss)
        >>> plateau.level
        0.5
        """
        self.since += 1
        if loss < self.best:
            self.best, self.since = loss, 0
        elif self.since >= self.patience:
            self.level, self.since = max(self.level / 2, self.floor), 0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"level": self.level, "best": self.best, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was."""
        self.level, self.best, self.since = state["level"], state["best"], state["since"]
