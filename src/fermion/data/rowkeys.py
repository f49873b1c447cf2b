"""A name for each row made of what it contains, so that what was said about it is found again after the source was read anew.

Like the fingerprint of a table it does not depend on Polars' own hashes: a SHA-256 over a canonical form of the row's values, by the
names of the columns, whatever their order. Rows that contain the same have the same name: they get the same label.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fermion.core.errors import DataError, Told
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

DIGITS = 20  # 80 bits: two of a hundred million different rows share a key with a probability below one in a hundred million
_EXACT = 1 << 53  # whole numbers up to here are the same as integers and as floats


def row_keys(table: Table, *, without: Iterable[str] = ()) -> list[str]:
    """The key of every row: 20 hexadecimal digits of a SHA-256 over its values.

    None and NaN are one thing; 1 and 1.0 are equal, so a column that a gap turned into floats changes no key; a path stands for the
    contents of its file.

    >>> table = Table.of({"a": [1, 2], "y": ["no", None]})
    >>> row_keys(table, without=["y"]) == row_keys(Table.of({"a": [1.0, 2.0]}))
    True

    Args:
        without: columns that do not count, such as the label itself.

    Raises:
        DataError: no column is left, or one has a type without a canonical form (Python objects).
    """
    names = sorted(set(table.names) - set(without))
    if not names:
        raise DataError("the rows to label", rule="made of at least one column besides the target", given=Told("none"))
    parts = [_canonical(table, name) for name in names]
    begin = hashlib.sha256(b"fermion-row/1" + b"".join(_sized(name.encode()) for name in names))
    keys: list[str] = []
    for row in range(len(table)):
        running = begin.copy()
        for part in parts:
            running.update(_present(part[row]))
        keys.append(running.hexdigest()[:DIGITS])
    return keys


def _sized(value: bytes) -> bytes:
    """Length first, so that no two different sequences of values are the same bytes."""
    return b"\1" + len(value).to_bytes(8, "little") + value


def _canonical(table: Table, name: str) -> Sequence[bytes | None]:
    import polars as pl

    if name in table.paths:
        return _bytes(pl.Series(name, table.contents(name), dtype=pl.String), name)
    return _bytes(table.series(name), name)


def _bytes(series: pl.Series, name: str) -> Sequence[bytes | None]:
    """The canonical form of each value, None where it is missing."""
    import polars as pl

    kind = series.dtype
    if kind.is_float() or kind.is_integer():
        return _numbers(series)
    if kind.is_decimal() or isinstance(kind, pl.Int128 | pl.UInt128 | pl.Categorical | pl.Enum):
        series = series.cast(pl.String)
    elif kind.is_temporal():
        if isinstance(kind, pl.Date | pl.Datetime):
            series = series.cast(pl.Datetime("us", kind.time_zone if isinstance(kind, pl.Datetime) else None))
        series = series.to_physical().cast(pl.String)
    elif kind == pl.Boolean or isinstance(kind, pl.Null):
        series = series.cast(pl.String)
    elif isinstance(kind, pl.Array) and not series.null_count():
        flat_NB = np.ascontiguousarray(series.to_numpy()).reshape(len(series), -1)
        head = str(kind).encode()
        return [head + row_B.tobytes() for row_B in flat_NB]
    elif isinstance(kind, pl.Array):
        return _bytes(series.cast(pl.List(kind.inner)), name)
    elif isinstance(kind, pl.List):
        inner = iter(_bytes(series.filter(series.list.len() > 0).explode(), name))
        return [None if size is None else b"".join(map(_present, itertools.islice(inner, size))) for size in series.list.len().to_list()]
    elif isinstance(kind, pl.Struct):
        fields = sorted(field.name for field in kind.fields)
        parts = [_bytes(series.struct.field(field), name) for field in fields]
        rows = zip(series.is_null().to_list(), *parts, strict=True)
        return [None if gone else b"".join(map(_present, values)) for gone, *values in rows]
    if isinstance(series.dtype, pl.String):
        return [None if value is None else value.encode() for value in series.to_list()]
    if isinstance(series.dtype, pl.Binary):
        return series.to_list()
    raise DataError(f"column `{name}`", rule="of a type that names rows", given=Told(str(kind)), remedy=f"data.ignore: [{name}]")


def _present(value: bytes | None) -> bytes:
    return b"\0" if value is None else _sized(value)


def _numbers(series: pl.Series) -> list[bytes | None]:
    """As float64, little-endian; whole numbers that float64 does not hold as their digits."""
    import polars as pl

    x_N = series.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0  # -0.0 becomes 0.0
    missing_N = np.isnan(x_N).tolist()
    raw = np.ascontiguousarray(x_N, dtype="<f8").tobytes()
    values: list[bytes | None] = [None if gone else raw[8 * row : 8 * row + 8] for row, gone in enumerate(missing_N)]
    if series.dtype.is_integer():
        for row in np.flatnonzero(np.abs(x_N) > _EXACT):
            values[row] = str(series[int(row)]).encode()
    return values
