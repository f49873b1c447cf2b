"""What is scored: the truth beside what a model said, as arrays."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class Scored(Struct, frozen=True, kw_only=True, eq=False):
    """N rows of truth beside what was said about them.

    Args:
        truth: (N,) class codes below `classes`, or values for a regression.
        decided: (N,) the codes or values that were answered.
        probabilities: (N, K), one row of class probabilities per row; None for a regression.
        weights: (N,) not negative, or None for 1 each. A row of weight 0 counts as not there.
        classes: K; 0 for a regression. With K = 2, code 1 is the positive class.

    Raises:
        DataError: lengths differ, a code is outside 0..K-1, a value is not finite, a weight is negative.

    >>> Scored(truth=[0, 1, 1], decided=[0, 1, 0], classes=2).truth
    array([0, 1, 1])
    """

    truth: NDArray[Any]
    decided: NDArray[Any]
    probabilities: NDArray[Any] | None = None
    weights: NDArray[Any] | None = None
    classes: int = 0

    def __post_init__(self) -> None:
        kind = np.int64 if self.classes else np.float64
        for name in ("truth", "decided"):
            force_setattr(self, name, _array(name, getattr(self, name), kind, ndim=1))
        _same_length("decided", self.decided, len(self.truth))
        for name, codes in (("truth", self.truth), ("decided", self.decided)) if self.classes else ():
            if len(codes) and (codes.min() < 0 or codes.max() >= self.classes):
                wrong = codes[(codes < 0) | (codes >= self.classes)][0]
                raise DataError(f"`{name}`", rule=f"class codes from 0 to {self.classes - 1}", given=int(wrong))
        if self.probabilities is not None:
            p_NK = _array("probabilities", self.probabilities, np.float64, ndim=2)
            _same_length("probabilities", p_NK, len(self.truth))
            if p_NK.shape[1] != self.classes:
                raise DataError("`probabilities`", rule=f"one column per class ({self.classes})", given=Told(f"shape {p_NK.shape}"))
            force_setattr(self, "probabilities", p_NK)
        if self.weights is not None:
            w_N = _array("weights", self.weights, np.float64, ndim=1)
            _same_length("weights", w_N, len(self.truth))
            if len(w_N) and w_N.min() < 0:
                raise DataError("`weights`", rule="not negative", given=float(w_N.min()))
            force_setattr(self, "weights", w_N)

    @property
    def kind(self) -> Literal["values", "probabilities", "decided"]:
        """What a metric can read of it."""
        return "values" if self.classes == 0 else "decided" if self.probabilities is None else "probabilities"

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[Any]) -> Scored:
        """Only these rows, by index or mask: a slice of the data, a part of the split."""
        return Scored(
            truth=self.truth[rows],
            decided=self.decided[rows],
            probabilities=None if self.probabilities is None else self.probabilities[rows],
            weights=None if self.weights is None else self.weights[rows],
            classes=self.classes,
        )


def _array(name: str, given: Any, kind: type[np.int64] | type[np.float64], *, ndim: int) -> NDArray[Any]:
    array = np.asarray(given)
    allowed = "biu" if kind is np.int64 else "biuf"
    if array.size == 0 and array.ndim == ndim:
        return array.astype(kind)
    if array.dtype.kind not in allowed or array.ndim != ndim:
        rule = f"an array of {'whole numbers' if kind is np.int64 else 'numbers'} with {ndim} {'axis' if ndim == 1 else 'axes'}"
        raise DataError(f"`{name}`", rule=rule, given=Told(f"{array.dtype} of shape {array.shape}"))
    array = array.astype(kind, copy=False)
    if kind is np.float64 and not np.isfinite(array).all():
        rows = np.argwhere(~np.isfinite(array))[0]
        raise DataError(f"`{name}`", rule="finite", given=float(array[tuple(rows)]), where=f"row {rows[0]}")
    return array


def _same_length(name: str, array: NDArray[Any], rows: int) -> None:
    if len(array) != rows:
        raise DataError(f"`{name}`", rule=f"as long as the truth ({rows} rows)", given=Told(f"{len(array)} rows"))
