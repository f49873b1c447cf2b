"""A real number. The simplest column: read this one first."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Coded, Slot, Values, rejected

RULE = "a finite number or null"


class Number(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="number"):
    """A real number, NaN where missing. Scaling and imputation belong to the model that wants them.

    Models compute in float32, which tells 1,700,000,000 (a Unix time) from the next second only after the bulk is taken
    off: `offset` is subtracted in float64 first. It stays 0 where float32 is fine enough.

    >>> time = Number().fit([1.7e9, 1.7e9 + 1, None])
    >>> time.encode([1.7e9 + 1, None])[0].tolist()
    [1.0, nan]
    """

    offset: float = 0.0

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (Slot(name="value", dtype="float32"),)

    @property
    def request(self) -> Any:
        return float

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Number:
        """Choose the offset: the smallest value, where that at least quarters the largest magnitude."""
        x_N = read_numbers(values)
        if not x_N.size:
            return Number()
        low, high = float(np.fmin.reduce(x_N)), float(np.fmax.reduce(x_N))  # these pass over NaN
        if low != low:
            return Number()
        return Number(offset=low if high - low < max(abs(low), abs(high)) / 4 else 0.0)

    def encode(self, values: Values) -> tuple[NDArray[np.float32]]:
        x_N = read_numbers(values)
        if self.offset:
            x_N = x_N - self.offset
        with np.errstate(over="ignore"):
            single_N = x_N.astype(np.float32)
        if np.isinf(single_N).any():
            around = f" of {self.offset:g}" if self.offset else ""
            raise rejected(values, int(np.isinf(single_N).argmax()), f"between -3.4e38 and 3.4e38{around}")
        return (single_N,)

    def plain(self, value: object) -> object:
        self.encode([value])
        x = read_numbers([value])[0]
        return None if np.isnan(x) else value if isinstance(value, int) else float(x)


def read_numbers(values: Values) -> NDArray[np.float64]:
    """Numbers, None and NaN -> (N,) float64, NaN where missing. Text and truth values are not numbers: repairing types is cleaning."""
    if isinstance(values, Coded):
        return values.each(read_numbers)
    if not (isinstance(values, np.ndarray) and values.dtype.kind in "iuf"):
        for row, value in enumerate(values):
            if type(value) is float or value is None:
                continue
            if isinstance(value, bool | np.bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise rejected(values, _strange(values, row), RULE)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise rejected(values, 0, RULE)
    try:
        x_N = np.asarray(values, dtype=np.float64)
    except OverflowError:  # an integer beyond 1.8e308
        raise rejected(values, next(r for r, v in enumerate(values) if isinstance(v, int) and abs(v) > 1 << 1023), RULE) from None
    if np.isinf(x_N).any():
        raise rejected(values, int(np.isinf(x_N).argmax()), RULE)
    return x_N


def _strange(values: Values, first: int) -> int:
    """The row to blame: of texts, as a csv with a stray word has them, the first that is no written number."""
    for row, value in enumerate(values):
        if isinstance(value, str) and value.strip():
            try:
                float(value)
            except ValueError:
                return row
    return first
