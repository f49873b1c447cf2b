"""A truth value."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Coded, Slot, Values, is_missing, rejected

RULE = "true, false or null"


class Flag(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="flag"):
    """True is 1, false is 0, NaN where missing. The numbers 0 and 1 are numbers, not truth values.

    >>> Flag().encode([True, False, None])[0].tolist()
    [1.0, 0.0, nan]
    """

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (Slot(name="value", dtype="float32"),)

    @property
    def request(self) -> Any:
        return bool

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Flag:
        self.encode(values)
        return self

    def encode(self, values: Values) -> tuple[NDArray[np.float32]]:
        if isinstance(values, Coded):
            return (values.each(lambda distinct: self.encode(distinct)[0]),)
        if isinstance(values, np.ndarray) and values.dtype == np.bool_ and values.ndim == 1:
            return (values.astype(np.float32),)
        x_N = np.empty(len(values), dtype=np.float32)
        for row, value in enumerate(values):
            if isinstance(value, bool | np.bool):
                x_N[row] = value
            elif is_missing(value):
                x_N[row] = np.nan
            else:
                raise rejected(values, row, RULE)
        return (x_N,)

    def plain(self, value: object) -> object:
        x = float(self.encode([value])[0][0])
        return None if x != x else bool(x)
