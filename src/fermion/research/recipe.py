"""How long and with what a net is trained, and what there is to tell afterwards."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from fermion.research.model import Curve
from fermion.research.optim import Steps, chosen
from fermion.research.precision import Wanted
from fermion.research.training import Training


class Recipe(Struct, frozen=True, kw_only=True):
    """How long and with what a net is trained: what its model has chosen, and in `training` what the user asks for instead.

    `steps` are steps of the optimisers, not passes over the data: three passes over 1,000 rows teach nothing. A step follows
    `rows_per_step` rows. `patience` is how many evaluations may pass without a better validation loss (0: train to the end; a decaying
    schedule is at its best there). `find_lr` runs the range test first, as `training.find_lr` does; `find_batch` takes another batch
    than `batch`, one that is measured, and with `by_rows` as many steps as learn from as many rows. `weigh` says whether the net learns
    how much the loss of each of several outputs counts.
    """

    steps: int
    batch: int = 512
    optim: Steps = field(default_factory=Steps)
    smoothing: float = 0.0
    balance: bool = False
    weigh: Literal["equal", "learned"] = "equal"
    evaluations: int = 20
    patience: int = 0
    precision: Wanted = "auto"
    find_lr: bool = False
    find_batch: bool = False
    by_rows: bool = True
    training: Training = field(default_factory=Training)

    @property
    def way(self) -> Steps:
        """How the weights move, after what the user asks for."""
        return chosen(self.optim, self.training)

    @property
    def rows_per_step(self) -> int:
        """Rows whose gradients make one step: of `training.accumulate` batches."""
        return self.batch * self.training.accumulate


class Trained(Struct, frozen=True, kw_only=True):
    """What there is to tell about a training; the weights are in the net."""

    loss: float  # of the kept weights on the validation part
    steps: int
    best: int  # the step after which the kept weights were found
    seconds: float
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]
