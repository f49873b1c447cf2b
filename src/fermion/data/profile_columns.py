"""One column of a profile: its kind, and what its values look like."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from fermion.columns.infer import guess
from fermion.core.errors import DataError
from fermion.data.pictures import is_sound_name
from fermion.data.profile_scan import Exact, floats
from fermion.data.profile_values import Bar, Coverage, Described, Numbers, Texts
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

TOP = 10  # values shown
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
PERIODS = 400  # of a time line at most


def described(table: Table, name: str, exact: Exact, sampled: pl.Series | None, whole: bool) -> Described:
    """One column as the profile tells it; `sampled` are its values in the sample, and `whole` says that the sample is all rows."""
    import polars as pl

    series = table.series(name)
    kind = _kind(table, name, sampled, exact)
    seen = Described(
        name=name,
        type=str(series.dtype),
        kind=kind,
        rows=len(series),
        missing=exact.missing,
        distinct=exact.distinct,
        counted=exact.counted,
        constant=exact.distinct == 1 and exact.missing == 0,
    )
    if sampled is None or kind in ("empty", "image", "audio", "sequence", "other"):
        return seen
    if exact.numeric:
        seen = structs.replace(seen, numbers=_numbers(floats(sampled), exact))
    if isinstance(series.dtype, pl.String) and kind in ("text", "identifier", "category"):
        seen = structs.replace(seen, texts=_texts(sampled, examples=kind == "text"))
    if kind in ("category", "flag") or (exact.numeric and (exact.distinct or TOP + 1) <= 2 * TOP):
        seen = structs.replace(seen, top=_top(sampled))
    if kind == "time":
        times = _times(series if isinstance(series.dtype, pl.Date | pl.Datetime) else sampled)
        seen = structs.replace(seen, time=_coverage(times, whole or times.len() == len(series)) if times is not None else None)
    return seen


def _kind(table: Table, name: str, sampled: pl.Series | None, exact: Exact) -> str:
    import polars as pl

    series = table.series(name)
    if exact.missing == len(series):
        return "empty"
    if exact.numeric:
        return "number"
    if name in table.paths:
        known = series.drop_nulls()
        return "audio" if len(known) and is_sound_name(known[0]) else "image"
    looked = series.head(100) if sampled is None else sampled.drop_nulls().head(1_000)
    try:
        found = guess(Table(looked.to_frame()).values(name))
    except DataError:
        return "other"
    if not isinstance(found, str):
        return type(found).__name__.lower()
    if not isinstance(series.dtype, pl.String):
        return "other"
    words = looked.str.split(" ").list.len().mean()
    return "text" if isinstance(words, float) and words >= 3 else "identifier"


def _numbers(x_N: NDArray[np.float64], exact: Exact) -> Numbers:
    x = np.sort(x_N[np.isfinite(x_N)])
    quantiles, edges, counts = {}, (), ()
    if x.size:
        quantiles = {str(q): float(x[min(len(x) - 1, int(q * len(x)))]) for q in QUANTILES}
        low, high = float(x[int(0.005 * len(x))]), float(x[min(len(x) - 1, int(0.995 * len(x)))])
        if low == high:
            low, high = float(x[0]), float(x[-1])
        bars, at = np.histogram(np.clip(x, low, high), bins=min(30, max(1, exact.distinct or 30)), range=(low, high))
        edges, counts = tuple(float(edge) for edge in at), tuple(int(count) for count in bars)
    return Numbers(
        low=_finite(exact.low),
        high=_finite(exact.high),
        mean=_finite(exact.mean),
        std=_finite(exact.std),
        zeros=exact.zeros,
        negatives=exact.negatives,
        quantiles=quantiles,
        edges=edges,
        counts=counts,
    )


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _texts(series: pl.Series, *, examples: bool) -> Texts:
    present = series.drop_nulls()
    letters = present.str.len_chars()
    words = present.head(10_000).str.split(" ").list.len()
    shown = (
        [text if len(text) <= 160 else f"{text[:159]}…" for text in present.unique(maintain_order=True).head(5).to_list()]
        if examples
        else []
    )
    middle = [round(float(value)) for value in (letters.median(), words.median()) if isinstance(value, float | int)]
    shortest, longest = letters.min(), letters.max()
    return Texts(
        shortest=shortest if isinstance(shortest, int) else 0,
        longest=longest if isinstance(longest, int) else 0,
        letters=middle[0] if middle else 0,
        words=middle[1] if len(middle) > 1 else 0,
        examples=tuple(shown),
    )


def _top(series: pl.Series) -> tuple[Bar, ...]:
    present = series.drop_nulls()
    counted = present.alias("value").value_counts(sort=True, name="count").head(TOP)
    return tuple(Bar(value=shown(value), count=int(count), share=int(count) / len(series)) for value, count in counted.iter_rows())


def shown(value: object) -> str:
    """A value as a short text.

    >>> shown(0.5), shown(True)
    ('0.5', 'yes')
    """
    text = f"{value:g}" if isinstance(value, float) else "yes" if value is True else "no" if value is False else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _times(series: pl.Series) -> pl.Series | None:
    import polars as pl

    if isinstance(series.dtype, pl.Date | pl.Datetime):
        return series
    try:
        return series.cast(pl.String).str.to_datetime(strict=False)
    except pl.exceptions.PolarsError:
        return None


def _coverage(series: pl.Series, whole: bool) -> Coverage | None:
    """Rows per day, month or year, and the longest run of periods without rows."""
    import polars as pl

    present = series.drop_nulls()
    if not len(present):
        return None
    days = present.cast(pl.Date).to_physical().to_numpy().astype("datetime64[D]")
    first, last = days.min(), days.max()
    spans = {"day": last - first, "month": last.astype("datetime64[M]") - first.astype("datetime64[M]")}
    unit = next((unit for unit, span in spans.items() if span.astype(int) < PERIODS), "year")
    places = days.astype(f"datetime64[{unit[0].upper()}]").astype(np.int64)
    counts = np.bincount(places - places.min())
    edges = np.flatnonzero(counts)
    gaps = np.diff(edges) - 1
    starts = (places.min() + np.arange(len(counts))).astype(f"datetime64[{unit[0].upper()}]").astype(str)
    longest = int(gaps.argmax()) if gaps.size and gaps.max() > 0 else None
    return Coverage(
        first=str(present.min()),
        last=str(present.max()),
        unit=unit,
        starts=tuple(str(start) for start in starts[:PERIODS]),
        counts=tuple(int(count) for count in counts[:PERIODS]),
        empty=int((counts == 0).sum()),
        gap=(str(starts[edges[longest] + 1]), str(starts[edges[longest + 1] - 1])) if longest is not None else None,
        whole=whole,
    )
