"""The next numbers of a series: a target whose values are lists of as many numbers as are looked ahead."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, structs
from numpy.typing import NDArray

from fermion.columns.classes import NUMBER, listed, listing, unit_weights
from fermion.columns.column import Arrays, Batch, Values, is_missing, rejected
from fermion.columns.decision import Decision
from fermion.columns.quantiles import Level, check_levels, middle, quantiles_of
from fermion.columns.target import Standardised


class Horizon(Standardised, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="horizon"):
    """The next H numbers of a series, as quantiles of each.

    A value is a list of H numbers, null where one is not known. With `history`, the column that holds the numbers before them, answers are
    scored beside those of a seasonal naive forecast and of exponential smoothing, and by errors in units of the naive ones (MASE). That
    column stays an input. The graph's array `array` holds (N, H, Q) float32 quantiles of the standardised values, rising with the level.

    Args:
        levels: rising, between 0 and 1.
        history: the column with the numbers before, the latest last.
        season: after how many steps a season repeats; 1 for none.

    >>> sales = Horizon(target="next").fit([[1.0, 2.0], [3.0, 4.0]])
    >>> sales.tail, sales.decode({sales.array: np.zeros((1, 2, 3))}, None)["prediction"]
    ((2, 3), [[2.5, 2.5]])
    """

    levels: Annotated[tuple[Level, ...], Meta(description="The shares that lie below each quantile, rising.")] = (0.1, 0.5, 0.9)
    history: Annotated[str | None, Meta(description="The column with the numbers before, the latest last; it stays an input.")] = None
    season: Annotated[int, Meta(ge=1, description="After how many steps a season repeats; 1 for none.")] = 1
    target: str = ""
    steps: int = 0
    past: int = 0  # the longest history of the training part

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def fit(self, values: Values) -> Horizon:
        """How many steps there are, and the mean and the standard deviation of all numbers to come in the training part.

        Args:
            values: lists of numbers; pairs of them and of their histories where there is one.

        Raises:
            ValueRejected: a value that is no list of numbers, or of another length than the first.
        """
        future, past = self._read(values)
        steps = next((len(row) for row in future if row is not None), 0)
        for row, numbers in enumerate(future):
            if numbers is not None and len(numbers) != steps:
                raise rejected(values, row, f"a list of {steps} numbers, as in the rows before")
        known = np.array([x for numbers in future for x in numbers or () if not np.isnan(x)])
        past_steps = max((len(numbers) for numbers in past), default=0)
        return structs.replace(self.standardised(known, "horizon"), steps=steps, past=past_steps)

    def encode(self, values: Values) -> NDArray[np.float64]:
        """(N, H + P) float64: the standardised numbers to come, then those before, the latest last; NaN where one is not known.

        Raises:
            ValueRejected: a value that is no list of H numbers.
        """
        future, past = self._read(values)
        y_NT = np.full((len(future), self.steps + self.past), np.nan)
        for row, numbers in enumerate(future):
            if numbers is not None:
                if len(numbers) != self.steps:
                    raise rejected(values, row, f"a list of {self.steps} numbers, as in the training part")
                y_NT[row, : self.steps] = numbers
            before = past[row][-self.past :] if self.past else []
            if before:
                y_NT[row, -len(before) :] = before
        return (y_NT - self.offset) / self.scale

    @property
    def task(self) -> Literal["forecast"]:
        """Which metrics it has."""
        return "forecast"

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that hold the truth and what it is compared with."""
        return (self.target,) if self.history is None else (self.target, self.history)

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: (H, Q)."""
        return (self.steps, len(self.levels))

    @property
    def names(self) -> list[str]:
        """The levels as keys of an answer."""
        return [f"{level:g}" for level in self.levels]

    @property
    def answers(self) -> dict[str, Any]:
        """What an answer holds, as JSON Schemas by key."""
        steps = {"type": "array", "items": NUMBER}
        found = {"type": "object", "properties": dict.fromkeys(self.names, steps), "required": self.names, "additionalProperties": False}
        return {"prediction": steps, "quantiles": found}

    def known(self, y_NT: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) which rows have a number to come that is known."""
        return (~np.isnan(y_NT[:, : self.steps])).sum(axis=1) > 0

    def prior(self, y_NT: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """(H, Q) the weighted quantiles of each step."""
        w_N, made = unit_weights(w_N, len(y_NT)), np.zeros(self.tail)
        for step in range(self.steps):
            there_N = ~np.isnan(y_NT[:, step])
            if there_N.any():
                made[step] = quantiles_of(y_NT[there_N, step], w_N[there_N], self.levels)
        return made

    def decode(self, arrays: Arrays, decision: Decision | None) -> Batch:
        """(N, H, Q) standardised quantiles -> `prediction`, a list of the middle ones per row, and `quantiles`, a list per level."""
        q_NHQ = self.restore(arrays[self.array])
        return {
            "prediction": q_NHQ[:, :, middle(self.levels)].tolist(),
            "quantiles": [dict(zip(self.names, row_HQ.T.tolist(), strict=True)) for row_HQ in q_NHQ],
        }

    def _read(self, values: Values) -> tuple[list[list[float] | None], list[list[float]]]:
        future: list[list[float] | None] = []
        past: list[list[float]] = []
        for row, value in enumerate(listed(values)):
            ahead, before = (value, ()) if self.history is None else value
            future.append(None if ahead is None else _numbers(ahead, values, row))
            past.append([] if before is None else _numbers(before, values, row))
        return future, past


def _numbers(value: Any, values: Values, row: int) -> list[float]:
    given = listing(value, ";")
    if given is None or not all(is_missing(one) or (isinstance(one, int | float) and not isinstance(one, bool)) for one in given):
        raise rejected(values, row, "a list of numbers")
    return [float("nan") if one is None else float(one) for one in given]
