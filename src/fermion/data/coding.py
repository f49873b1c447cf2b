"""Columns of few distinct values as those values and a small code per row: equal texts are read, counted and encoded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Coded, Values

if TYPE_CHECKING:
    import polars as pl

MANY = 10_000  # rows, from which on a look at the first ones says whether coding pays
DISTINCT = 0.5  # above this share of distinct values it does not
BLOCK = 1 << 20  # rows whose hashes are held at a time
BITS = (12, 16, 20, 22)  # of a table of places
TRIES = 64
_ODD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio


def coded(series: pl.Series, values: Callable[[pl.Series], Values]) -> Coded | None:
    """The distinct values, in the order in which they come, and each row's place among them; None where too many are distinct.

    >>> import polars as pl
    >>> made = coded(pl.Series(["Bern", None, "Bern", "Bern"]), pl.Series.to_list)
    >>> made.distinct, made.codes.tolist()
    (['Bern', None], [0, 1, 0, 0])

    Args:
        series: texts, whole numbers, truth values or numbers.
        values: what columns read of a series.
    """
    if len(series) >= MANY and series.head(MANY).n_unique() > DISTINCT * MANY:
        return None
    distinct = series.unique(maintain_order=True)
    if len(distinct) > DISTINCT * len(series):
        return None
    kind = np.min_scalar_type(max(len(distinct) - 1, 0))
    codes_N = np.empty(len(series), dtype=kind)
    places = _places(distinct.hash().to_numpy(), kind)
    for start in range(0, len(series), BLOCK):
        block = series.slice(start, BLOCK)
        codes_N[start : start + BLOCK] = _joined(block, distinct) if places is None else places(block.hash().to_numpy())
    return Coded(values(distinct), codes_N)


def texts(series: pl.Series) -> list[str | None]:
    """Texts as a list. Of many rows with few distinct texts, equal ones are one object: a tenth of the memory."""
    series = plain(series)
    made = coded(series, listed) if len(series) >= MANY else None
    return series.to_list() if made is None else np.array(made.distinct, dtype=object)[made.codes].tolist()


def listed(series: pl.Series) -> list[Any]:
    """Values as Python has them."""
    return series.to_list()


def is_text(series: pl.Series) -> bool:
    """Whether the values are texts, whatever Polars keeps them as."""
    import polars as pl

    return isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum)


def is_flat(series: pl.Series) -> bool:
    """Whether the values are texts, numbers or truth values."""
    import polars as pl

    return is_text(series) or series.dtype.is_integer() or series.dtype.is_float() or series.dtype == pl.Boolean


def plain(series: pl.Series) -> pl.Series:
    """Texts as plain ones."""
    import polars as pl

    return series.cast(pl.String) if is_text(series) else series


def _places(hash_D: NDArray[np.uint64], kind: np.dtype[Any]) -> Callable[[NDArray[np.uint64]], NDArray[Any]] | None:
    """Hashes to places by one look into a small table, or None where none is found.

    A multiplier is looked for under which the leading bits of all D hashes differ. Every row's value is one of the D, so its place is
    exact: no two rows of different values can meet.

    Dietzfelbinger et al., "A reliable randomized algorithm for the closest-pair problem", Journal of Algorithms 25 (1997).
    """
    for bits in BITS:
        if len(hash_D) ** 2 > 6 << bits:  # too many would meet
            continue
        for number in range(TRIES):
            odd, shift = np.uint64(_ODD * (2 * number + 1) % (1 << 64)), np.uint64(64 - bits)
            slots_D = (hash_D * odd) >> shift
            if len(np.unique(slots_D)) == len(hash_D):
                places_S = np.zeros(1 << bits, dtype=kind)
                places_S[slots_D] = np.arange(len(hash_D))
                return lambda hash_N: places_S[((hash_N * odd) >> shift).view(np.int64)]
    return None


def _joined(series: pl.Series, distinct: pl.Series) -> NDArray[np.int64]:
    """(N,) the place of each value in `distinct`."""
    import polars as pl

    places = pl.DataFrame({"v": distinct, "place": np.arange(len(distinct))})
    return series.to_frame("v").join(places, on="v", how="left", nulls_equal=True, maintain_order="left")["place"].to_numpy()
