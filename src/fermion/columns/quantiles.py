"""A number as quantiles: how low, how likely and how high it may be."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from fermion.columns.classes import NUMBER, unit_weights
from fermion.columns.column import Arrays, Batch, Values
from fermion.columns.decision import Decision
from fermion.columns.number import read_numbers
from fermion.columns.target import Standardised
from fermion.core.errors import SpecError

Level = Annotated[float, Meta(gt=0.0, lt=1.0)]


def check_levels(levels: tuple[float, ...]) -> None:
    """Rising, at least one.

    Raises:
        SpecError: they are not.
    """
    if not levels or any(low >= high for low, high in itertools.pairwise(levels)):
        raise SpecError("the levels", rule="at least one, rising, between 0 and 1", given=list(levels), remedy="Write [0.1, 0.5, 0.9].")


def middle(levels: tuple[float, ...]) -> int:
    """The position of the level nearest to 1/2; the lower of equals.

    >>> middle((0.1, 0.5, 0.9)), middle((0.25, 0.75))
    (1, 0)
    """
    return min(range(len(levels)), key=lambda place: (abs(levels[place] - 0.5), place))


def quantiles_of(y_N: NDArray[Any], w_N: NDArray[Any], levels: tuple[float, ...]) -> NDArray[np.float64]:
    """(Q,) the weighted quantiles: the least value at or below which at least that share of the weight lies.

    >>> quantiles_of(np.array([3.0, 1.0, 2.0]), np.ones(3), (0.5, 0.9)).tolist()
    [2.0, 3.0]
    """
    order = np.argsort(y_N, kind="stable")
    share_N = np.cumsum(w_N[order]) / max(float(w_N.sum()), 1e-12)
    at_Q = np.minimum(np.searchsorted(share_N, np.asarray(levels) - 1e-12), len(y_N) - 1)
    return np.asarray(y_N, np.float64)[order][at_Q]


class Quantiles(Standardised, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="quantiles"):
    """A number, answered by how low, how likely and how high it may be: P(y <= q_k) = levels[k].

    The prediction is the quantile nearest to the median. The graph's array `array` holds (N, Q) float32 quantiles of the standardised
    value, rising with the level. Koenker and Bassett 1978, "Regression quantiles".

    Args:
        levels: rising, between 0 and 1.

    >>> delay = Quantiles(target="delay", levels=(0.5, 0.9)).fit([1.0, 2.0, 3.0])
    >>> delay.tail, delay.decode({delay.array: np.zeros((1, 2))}, None)["quantiles"]
    ((2,), [{'0.5': 2.0, '0.9': 2.0}])
    """

    levels: Annotated[tuple[Level, ...], Meta(description="The shares of rows that lie below each quantile, rising.")] = (0.1, 0.5, 0.9)
    target: str = ""

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def fit(self, values: Values) -> Quantiles:
        """The mean and the standard deviation of the training part."""
        return self.standardised(read_numbers(values), "quantiles")

    def encode(self, values: Values) -> NDArray[np.float64]:
        """Numbers -> (N,) float64 standardised, NaN where missing."""
        return (read_numbers(values) - self.offset) / self.scale

    @property
    def task(self) -> Literal["quantiles"]:
        """Which metrics it has."""
        return "quantiles"

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: (Q,)."""
        return (len(self.levels),)

    @property
    def names(self) -> list[str]:
        """The levels as keys of an answer."""
        return [f"{level:g}" for level in self.levels]

    @property
    def answers(self) -> dict[str, Any]:
        """What an answer holds, as JSON Schemas by key."""
        found = {"type": "object", "properties": dict.fromkeys(self.names, NUMBER), "required": self.names, "additionalProperties": False}
        return {"prediction": NUMBER, "quantiles": found}

    def prior(self, y_N: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """(Q,) the weighted quantiles of labelled rows."""
        return quantiles_of(y_N, unit_weights(w_N, len(y_N)), self.levels) if len(y_N) else np.zeros(len(self.levels))

    def decode(self, arrays: Arrays, decision: Decision | None) -> Batch:
        """(N, Q) standardised quantiles -> `prediction`, the one nearest to the median, and `quantiles`, one object per row."""
        q_NQ, names = self.restore(arrays[self.array]), self.names
        return {
            "prediction": q_NQ[:, middle(self.levels)].tolist(),
            "quantiles": [dict(zip(names, row, strict=True)) for row in q_NQ.tolist()],
        }
