"""Columns of lists: how Polars' lists of numbers become the arrays that a series is read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.sequence import is_blank, read_steps
from fermion.core.errors import DataError, Told, ValueRejected
from fermion.core.lazy import load

if TYPE_CHECKING:
    import polars as pl

Listed = list[Any]


def series_of(name: str, listed: Listed) -> pl.Series | None:
    """Values as a column of series: lists or arrays of numbers of any length, (T,) or (T, C), or {"times": ..., "values": ...}.

    None where they are something else. Built from flat numbers and offsets: Polars itself would cut 3.5 to 3 after whole numbers.

    >>> series_of("x", [[1, 2], [3.5], None]).to_list(), series_of("x", [["a"]])
    ([[1.0, 2.0], [3.5], None], None)

    Raises:
        DataError: a row whose steps hold different numbers of values, or something that is no number.
    """
    import polars as pl

    present = [value for value in listed if value is not None]
    if present and all(isinstance(value, dict) and value.keys() == {"times", "values"} for value in present):
        sides = [series_of(side, [None if row is None else row[side] for row in listed]) for side in ("times", "values")]
        return None if any(side is None for side in sides) else pl.DataFrame(sides).to_struct(name)
    if not present or not all(isinstance(value, list | tuple | np.ndarray) for value in present) or not _of_numbers(present):
        return None
    try:
        rows = [None if value is None else read_steps(value, listed, row) for row, value in enumerate(listed)]
    except ValueRejected as bad:
        raise DataError(f"column `{name}`", rule=bad.rule, given=Told(bad.given), where=bad.where) from None
    return _flat(name, rows)


def _of_numbers(present: Listed) -> bool:
    """Whether the first thing inside that is there is a number; pictures of several sizes are no series."""
    if any(isinstance(value, np.ndarray) for value in present):
        return all(isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim in (1, 2) for value in present) and not all(
            value.dtype == np.uint8 and value.ndim == 2 for value in present
        )
    for value in present:
        for step in value:
            inner = step[0] if isinstance(step, list | tuple) and step else step
            if inner is not None:
                return isinstance(inner, int | float | np.number) and not isinstance(inner, bool)
    return True


def _flat(name: str, rows: list[NDArray[Any] | None]) -> pl.Series:
    width = {row.shape[1] for row in rows if row is not None and not is_blank(row)} or {1}
    if len(width) > 1:
        given = Told(f"steps of {' and '.join(map(str, sorted(width)))} numbers")
        raise DataError(f"column `{name}`", rule="series with equally many numbers per step", given=given)
    one = width.pop()
    rows = [np.full((len(row), one), np.nan) if row is not None and is_blank(row) else row for row in rows]
    filled = [row for row in rows if row is not None]
    steps_SC = np.concatenate(filled) if filled else np.empty((0, one))
    length_N = np.array([0 if row is None else len(row) for row in rows], dtype=np.int64)
    return _lists(steps_SC, length_N, np.array([row is None for row in rows], dtype=np.bool_)).alias(name)


def timed(times_S: NDArray[Any], steps_SC: NDArray[Any], length_N: NDArray[np.int64]) -> pl.Series:
    """A column of {"times": ..., "values": ...} from the steps of all rows, one after the other, and how many each row has.

    >>> timed(np.array([0.0, 1.0, 5.0]), np.array([[1.0], [2.0], [3.0]]), np.array([2, 0, 1])).to_list()[1:]
    [{'times': [], 'values': []}, {'times': [5.0], 'values': [3.0]}]
    """
    import polars as pl

    gap_N = np.zeros(len(length_N), dtype=np.bool_)
    sides = [_lists(times_S[:, None], length_N, gap_N).alias("times"), _lists(steps_SC, length_N, gap_N).alias("values")]
    return pl.DataFrame(sides).to_struct()


def _lists(steps_SC: NDArray[Any], length_N: NDArray[np.int64], gap_N: NDArray[np.bool_]) -> pl.Series:
    """Lists of numbers, or of lists of C of them, from flat numbers and lengths."""
    import polars as pl

    arrow: Any = load("pyarrow", extra="train")
    flat = arrow.array(np.ascontiguousarray(steps_SC).reshape(-1))
    if steps_SC.shape[1] > 1:
        flat = arrow.LargeListArray.from_arrays(np.arange(0, len(flat) + 1, steps_SC.shape[1]), flat)
    offsets = arrow.array(np.concatenate([[0], np.cumsum(length_N)]), mask=np.append(gap_N, False), type=arrow.int64())
    return pl.Series(arrow.LargeListArray.from_arrays(offsets, flat))


def is_series(kind: Any) -> bool:
    """Whether values are lists of numbers, or of lists of numbers, or such lists with times beside them.

    >>> import polars as pl
    >>> is_series(pl.List(pl.Float64)), is_series(pl.List(pl.List(pl.Int64))), is_series(pl.List(pl.String))
    (True, True, False)
    """
    import polars as pl

    if isinstance(kind, pl.Struct):
        inner = {field.name: field.dtype for field in kind.fields}
        return set(inner) == {"times", "values"} and all(is_series(one) for one in inner.values())
    if not isinstance(kind, pl.List):
        return False
    step = innermost(kind)
    return step.is_numeric() or step == pl.Null


def innermost(kind: Any) -> Any:
    """The type of what stands in lists of lists, or in arrays of arrays."""
    import polars as pl

    while isinstance(kind, pl.List | pl.Array):
        kind = kind.inner
    return kind


def places_of(name: str, listed: Listed) -> pl.Series | None:
    """Values as a column of places, {"lat": number, "lon": number}, whole numbers or not; None where they are something else.

    >>> places_of("x", [{"lat": 1, "lon": 2.5}, None]).to_list()
    [{'lat': 1.0, 'lon': 2.5}, None]
    """
    import polars as pl

    present = [value for value in listed if value is not None]
    if not all(isinstance(value, dict) and value.keys() == {"lat", "lon"} for value in present):
        return None
    if not all(
        side is None or (isinstance(side, int | float) and not isinstance(side, bool)) for place in present for side in place.values()
    ):
        return None
    return pl.Series(name, listed, dtype=pl.Struct({"lat": pl.Float64, "lon": pl.Float64}), strict=False)


def is_listed(kind: Any) -> bool:
    """Whether values are lists of texts, or places: {"lat": number, "lon": number}.

    >>> import polars as pl
    >>> is_listed(pl.List(pl.String)), is_listed(pl.Struct({"lat": pl.Float64, "lon": pl.Float64})), is_listed(pl.List(pl.Date))
    (True, True, False)
    """
    import polars as pl

    if isinstance(kind, pl.Struct):
        return {field.name for field in kind.fields} == {"lat", "lon"} and all(field.dtype.is_numeric() for field in kind.fields)
    return isinstance(kind, pl.List | pl.Array) and any(kind.inner == text for text in (pl.String, pl.Categorical, pl.Enum))


def series_values(series: pl.Series) -> Listed:
    """A column of series -> one array per row, (T,) or (T, C), NaN where a number is missing, None where the row is; no copy of numbers.

    A row of a struct is {"times": (T,), "values": ...}. Rows whose steps have different numbers of values stay lists, for the column
    to refuse with their row.

    >>> import polars as pl
    >>> [None if row is None else row.tolist() for row in series_values(pl.Series([[1.5, None], None, []]))]
    [[1.5, nan], None, []]
    """
    import polars as pl

    if isinstance(series.dtype, pl.Struct):
        times, values = (series_values(series.struct.field(name)) for name in ("times", "values"))
        gap_N = [t is None and v is None for t, v in zip(times, values, strict=True)]
        return [None if gap else {"times": t, "values": v} for gap, t, v in zip(gap_N, times, values, strict=True)]
    lengths_N = series.list.len().fill_null(0).to_numpy().astype(np.int64)
    steps = series.filter(series.list.len() > 0).explode(empty_as_null=False)  # the steps of all rows, one after the other
    flat = _numbers(steps)
    if flat is None:
        return series.to_list()
    ends_N = np.cumsum(lengths_N)
    absent_N = series.is_null().to_numpy()
    return [
        None if absent else flat[end - length : end]
        for absent, end, length in zip(absent_N.tolist(), ends_N.tolist(), lengths_N.tolist(), strict=True)
    ]


def _numbers(steps: pl.Series) -> NDArray[Any] | None:
    """(S,) numbers or (S, C) where steps are lists of one length; None where they are not. A step that is null is a row of NaN."""
    import polars as pl

    kind = steps.dtype
    if isinstance(kind, pl.Array):
        steps = steps.cast(pl.List(kind.inner))
    if not isinstance(steps.dtype, pl.List):
        return steps.cast(pl.Float64).to_numpy() if steps.null_count() or not kind.is_numeric() else steps.to_numpy()
    widths = steps.list.len().drop_nulls().unique()
    if len(widths) != 1 or steps.dtype.inner.is_nested():  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        return None
    width = int(widths[0])
    if steps.null_count():
        steps = steps.fill_null(pl.lit([None] * width, dtype=steps.dtype))
    inner = steps.explode(empty_as_null=False) if width else steps.list.explode()
    flat = _numbers(inner)
    return None if flat is None else flat.reshape(len(steps), width)
