"""Which values are missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Coded, Column, Values, blank_rows, is_missing
from fermion.columns.repair import inside, meant

_PRESENT = {int, str, bool, bytes}  # types without a missing value


def missing_rows(values: Values) -> NDArray[np.bool_]:
    """(N,) whether each value is None, NaN or NaT.

    >>> missing_rows([1.0, None, float("nan")]).tolist()
    [False, True, True]
    """
    if isinstance(values, Coded):
        return values.each(missing_rows)
    if isinstance(values, np.ndarray) and values.ndim > 1:  # a picture or a series is there, whatever is missing in it
        return np.zeros(len(values), dtype=np.bool_)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fM":
        return np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iubSU":
        return np.zeros(len(values), dtype=np.bool_)
    return np.fromiter((value is None or (type(value) not in _PRESENT and is_missing(value)) for value in values), np.bool_, len(values))


def gaps(column: Column, values: Values) -> NDArray[np.bool_]:
    """(N,) whether each value is missing as its column means it: mended, and also where it is there and holds nothing.

    >>> from fermion.columns.sequence import Sequence
    >>> gaps(Sequence(), [[1.0], [], None]).tolist()
    [False, True, True]

    Raises:
        ValueRejected: a text that no rule of its repair can read.
    """
    values, column = meant(column, values), inside(column)
    missing_N = missing_rows(values)
    return missing_N | blank_rows(column, values) if hasattr(column, "blank") else missing_N  # most columns cost nothing more
