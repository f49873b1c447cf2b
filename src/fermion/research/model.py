"""What a model is: hyperparameters that learn from encoded arrays and give something that predicts and can be exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from fermion.bundle.steps import Step
from fermion.columns.column import Arrays, Batch
from fermion.columns.output import Decision, Output, decode
from fermion.columns.schema import Schema
from fermion.core.run import Run


class Encoded(Struct, frozen=True, kw_only=True):
    """Rows as a model sees them. Contract: every array has N rows; columns never reach the net itself.

    `arrays`: `numbers` (N, F) float32 with NaN where missing, `codes` (N, C) int64 and one array for every other slot, as
    `schema.layout` says; an entry is absent where there is no such column.
    `targets`: by target name, (N,) int64 codes (-1 unlabelled) for a Probability, (N,) float64 standardised (NaN unlabelled) for a Value.
    `weights`: (N,) float64 for the fit, or None.
    `units`: (N,) int64, equal for rows that may not be torn apart, such as those of one patient; None where each row is one.
    """

    schema: Schema
    outputs: tuple[Output, ...]
    arrays: Arrays
    targets: Arrays
    weights: NDArray[Any] | None = None
    units: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    def take(self, rows: NDArray[Any]) -> Encoded:
        """The same table with these rows: positions or a mask."""
        return Encoded(
            schema=self.schema,
            outputs=self.outputs,
            arrays={name: array[rows] for name, array in self.arrays.items()},
            targets={name: array[rows] for name, array in self.targets.items()},
            weights=None if self.weights is None else self.weights[rows],
            units=None if self.units is None else self.units[rows],
        )


def answered_blind(said: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """The rows that all of these answers were given to blind, as `Fitted.out_of_fold` marks them: those without a NaN.

    >>> answered_blind([np.array([[0.4, 0.6], [np.nan, np.nan], [1.0, 0.0]]), np.array([np.nan, 2.0, 3.0])]).tolist()
    [2]
    """
    return np.flatnonzero(np.all([np.isfinite(one.reshape(len(one), -1)).all(axis=1) for one in said], axis=0))


class Export(Struct, frozen=True, kw_only=True):
    """A fitted model as data: ONNX graphs by name and the steps that join the encoder's arrays to the outputs' arrays.

    `tolerance` is the largest difference from the fitted model that the export may show.
    """

    graphs: dict[str, bytes]
    steps: tuple[Step, ...]
    tolerance: float = 1e-4


class Learned(Protocol):
    """What fitting found: the weights, in whatever form the library of the model keeps them."""

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays of N rows -> one array per output, by `output.array`: (N, K) float32 probabilities or (N,) float32 values."""
        ...

    def export(self) -> Export:
        """The same function as ONNX graphs and steps. Raises FermionError where it cannot be exported exactly."""
        ...


class Curve(Struct, frozen=True, kw_only=True):
    """One training curve for the report: `y` against steps, epochs or rounds `x`."""

    name: str
    x: list[float]
    y: list[float]
    unit: str = "steps"


class Fitted(Struct, frozen=True, kw_only=True):
    """A model that has learned, with everything that it needs to answer raw values."""

    schema: Schema
    outputs: tuple[Output, ...]
    learned: Learned
    decisions: dict[str, Decision] = field(default_factory=dict[str, Decision])
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()  # what the user should know: stopped early, bf16 chosen, ...
    out_of_fold: Arrays | None = None  # answers to the training rows, then the validation rows, by models that did not see them, or NaN

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays -> output arrays."""
        return self.learned.run(arrays)

    def predict(self, batch: Batch) -> Batch:
        """Raw values -> `prediction` and `probabilities`, equally long lists."""
        return decode(self.outputs, self.run(self.schema.encode(batch)), self.decisions)

    def export(self) -> Export:
        """Graphs and steps; `practice` joins them with the columns into a bundle."""
        return self.learned.export()


class Model(Protocol):
    """A frozen struct whose fields are the hyperparameters. Contract: `fermion.testing.models`.

    Registered under the entry point group `fermion.models`; the project file names it by `type` and sets its fields.
    """

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, choose by `valid`; nothing is mutated and all randomness comes from `run`.

        Stops in time for `run.left()` and on `run.stopped` with the best so far. Raises DataError where this kind of table cannot
        be learned from (no rows, no column that it reads, one class).
        """
        ...
