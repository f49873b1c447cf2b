"""How often something happens: a target of whole numbers from 0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, structs
from numpy.typing import NDArray

from fermion.columns.classes import unit_weights
from fermion.columns.column import Arrays, Batch, Values, rejected
from fermion.columns.decision import Decision
from fermion.columns.number import read_numbers
from fermion.columns.target import Numeric


class Count(Numeric, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="count"):
    """How often something happens: whole numbers from 0, answered by the expected count, which a log link keeps above 0.

    The graph's array `array` holds (N,) float32, the expected count over `mean`.

    Args:
        family: `poisson`, whose variance is its mean m, or `negative_binomial`, whose variance is m + a m² with an a that is learned.

    >>> Count(target="claims").fit([0, 1, 5]).mean
    2.0

    Nelder and Wedderburn 1972, "Generalized linear models"; Lawless 1987, "Negative binomial and mixed Poisson regression".
    """

    family: Annotated[
        Literal["poisson", "negative_binomial"], Meta(description="`negative_binomial` where counts vary more than their mean says.")
    ] = "poisson"
    target: str = ""
    mean: float = 1.0

    def fit(self, values: Values) -> Count:
        """The mean of the training part.

        Raises:
            ValueRejected: a number below 0, or that is not whole.
        """
        y_N = self._read(values)
        y_N = y_N[~np.isnan(y_N)]
        mean = float(y_N.mean()) if y_N.size else 1.0
        return structs.replace(self, array=self.array or f"count:{self.target}", mean=mean if mean > 0 else 1.0)

    def encode(self, values: Values) -> NDArray[np.float64]:
        """Counts -> (N,) float64 over the mean, NaN where missing.

        Raises:
            ValueRejected: a number below 0, or that is not whole.
        """
        return self._read(values) / self.mean

    @property
    def task(self) -> Literal["count"]:
        """Which metrics it has."""
        return "count"

    def prior(self, y_N: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """() the weighted mean of labelled rows."""
        w_N = unit_weights(w_N, len(y_N))
        return np.asarray(np.average(y_N, weights=w_N) if w_N.sum() > 0 else 1.0)

    def restore(self, v_N: NDArray[Any]) -> NDArray[np.float64]:
        """Counts over the mean -> counts."""
        return self.mean * v_N.astype(np.float64)

    def decode(self, arrays: Arrays, decision: Decision) -> Batch:
        """(N,) expected counts over the mean -> `prediction`, the expected count."""
        return {"prediction": self.restore(arrays[self.array]).tolist()}

    def _read(self, values: Values) -> NDArray[np.float64]:
        y_N = read_numbers(values)
        wrong_N = (y_N < 0) | (~np.isnan(y_N) & (y_N != np.floor(y_N)))
        if wrong_N.any():
            raise rejected(values, int(wrong_N.argmax()), "a count: a whole number from 0")
        return y_N
