"""One pass over all rows for what is exact, and one seeded sample for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.data import associations
from fermion.data.associations import Codes
from fermion.data.coding import is_text
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

SAMPLE = 50_000  # rows at most
CELLS = 5_000_000  # of the sample, where the table is wide
BINS = 20
CODES = 50  # most frequent values that associations tell apart
EXACT = 10_000  # distinct values that are counted one by one


class Exact(Struct, frozen=True, kw_only=True):
    """What one pass over all rows says of a column."""

    missing: int
    numeric: bool
    distinct: int | None = None
    counted: bool = True
    low: Any = None
    high: Any = None
    mean: float | None = None
    std: float | None = None
    zeros: int = 0
    negatives: int = 0


def sample_of(frame: pl.DataFrame, rng: np.random.Generator) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """Row numbers, ascending, and these rows of all columns but pictures and bytes."""
    import polars as pl

    n = min(frame.height, SAMPLE, max(10_000, CELLS // frame.width))
    flat = [name for name, kind in frame.schema.items() if not kind.is_nested() and not isinstance(kind, pl.Binary | pl.Object)]
    if n == frame.height:
        return np.arange(n), frame.select(flat)
    rows_S = np.sort(rng.choice(frame.height, n, replace=False, shuffle=False))
    there_N = np.zeros(frame.height, dtype=np.bool_)
    there_N[rows_S] = True
    return rows_S, frame.select(flat).filter(pl.Series(there_N))


def exact_of(table: Table) -> dict[str, Exact]:
    """What all rows say of each column, in a pass or two; of texts few of which are distinct it is counted from their codes."""
    import polars as pl

    frame = table.frame
    coded = {name: made for name in frame.columns if is_text(frame[name]) and (made := table.coded(name)) is not None}
    asked: dict[tuple[str, str], pl.Expr] = {}
    for name, kind in frame.schema.items():
        x, numeric = _number(name, kind), kind.is_numeric()
        asked[name, "nulls"] = pl.col(name).null_count()
        if numeric:
            asked |= {(name, "mean"): x.mean(), (name, "std"): x.std(), (name, "zeros"): (x == 0).sum(), (name, "negatives"): (x < 0).sum()}
        if numeric or isinstance(kind, pl.Date | pl.Datetime):
            asked |= {(name, "low"): x.min(), (name, "high"): x.max()}
        if not kind.is_nested() and not isinstance(kind, pl.Null | pl.Object) and name not in coded:
            asked[name, "distinct"] = pl.col(name).approx_n_unique()
    got = _select(frame, asked)
    again: dict[tuple[str, str], pl.Expr] = {}
    for name, kind in frame.schema.items():
        mean = got.get((name, "mean"))
        if kind.is_float() and mean is not None and mean != mean:  # NaN is missing: counted, and moments without it
            x = pl.col(name).fill_nan(None)
            again |= {(name, "nans"): pl.col(name).is_nan().sum(), (name, "mean"): x.mean(), (name, "std"): x.std()}
        about = got.get((name, "distinct"))
        if about is not None and (about <= EXACT or frame.height <= SAMPLE):
            again[name, "distinct"] = (pl.col(name).fill_nan(None) if kind.is_float() else pl.col(name)).n_unique()
    got |= _select(frame, again) | {(name, "distinct"): len(made.distinct) for name, made in coded.items()}
    found: dict[str, Exact] = {}
    for name, kind in frame.schema.items():
        missing = int(got[name, "nulls"]) + int(got.get((name, "nans")) or 0)
        distinct = got.get((name, "distinct"))
        if distinct is not None:
            distinct = 0 if missing == frame.height else min(int(distinct) - bool(missing), frame.height - missing)
        found[name] = Exact(
            missing=missing,
            numeric=kind.is_numeric(),
            distinct=distinct,
            counted=(name, "distinct") in again or name in coded,
            low=got.get((name, "low")) if missing < frame.height else None,
            high=got.get((name, "high")) if missing < frame.height else None,
            mean=got.get((name, "mean")),
            std=got.get((name, "std")),
            zeros=int(got.get((name, "zeros")) or 0),
            negatives=int(got.get((name, "negatives")) or 0),
        )
    return found


def _select(frame: pl.DataFrame, asked: Mapping[tuple[str, str], pl.Expr]) -> dict[tuple[str, str], Any]:
    """All expressions in one parallel pass."""
    if not asked:
        return {}
    row = frame.select(expression.alias(str(place)) for place, expression in enumerate(asked.values())).row(0)
    return dict(zip(asked, row, strict=True))


def _number(name: str, kind: Any) -> pl.Expr:
    import polars as pl

    return pl.col(name).cast(pl.Float64) if kind.is_decimal() or kind in (pl.Int128, pl.UInt128) else pl.col(name)


def floats(series: pl.Series) -> NDArray[np.float64]:
    """(N,) float64, NaN where missing."""
    import polars as pl

    if isinstance(series.dtype, pl.Date | pl.Datetime):
        series = series.to_physical()
    return series.cast(pl.Float64).to_numpy()


def codes_of(series: pl.Series, exact: Exact) -> Codes | None:
    """Few codes from 0 that associations and shifts are computed from; missing values have one of their own."""
    import polars as pl

    kind = series.dtype
    if exact.numeric or isinstance(kind, pl.Date | pl.Datetime):
        return associations.binned(floats(series), BINS)
    if kind == pl.Boolean:
        return series.cast(pl.Int64).fill_null(2).to_numpy()
    if not isinstance(kind, pl.String | pl.Categorical | pl.Enum):
        return None
    text = series.cast(pl.String)
    top = text.value_counts(sort=True)[series.name].drop_nulls().head(CODES)
    codes_N = text.cast(pl.Enum(top), strict=False).to_physical().cast(pl.Int64).fill_null(len(top)).to_numpy()
    return np.where(series.is_null().to_numpy(), len(top) + 1, codes_N) if exact.missing else codes_N
