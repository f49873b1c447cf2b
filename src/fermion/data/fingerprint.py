"""The digest of a table: the same names, types and values in the same order give the same digest, anywhere.

Polars' own `hash_rows` may change with its version and the bytes of an Arrow file depend on chunks, padding and what lies behind a
null. So the digest is a SHA-256 over a canonical form: per column its name, type, length and which rows are null, then the values,
little-endian, with zeros for nulls; text as lengths and UTF-8. Its speed is that of SHA-256 (about 1 GB/s on one core).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fermion.core.errors import DataError, Told

if TYPE_CHECKING:
    import polars as pl

    from fermion.data.table import Table

BLOCK = 1 << 18  # rows at a time: bounds the memory that the copies of text need


def fingerprint(table: Table) -> str:
    """The SHA-256 of a table, as 64 hexadecimal digits.

    >>> from fermion.data.table import Table
    >>> fingerprint(Table.of({"a": [1, 2]}))[:8]
    '3d6e4a1c'

    Raises:
        DataError: a column has a type without a canonical form (Python objects).
    """
    import polars as pl

    digest = hashlib.sha256(b"fermion-table/1")
    for name in table.names:
        series = table.series(name)
        if name in table.paths:
            series = pl.Series(name, table.contents(name), dtype=pl.String)
        _add(digest, series, name)
    return digest.hexdigest()


def digests_of_files(paths: Sequence[str | None], name: str = "image") -> list[str | None]:
    """The SHA-256 of each file, None for None.

    Raises:
        DataError: a file cannot be read; with its row.
    """
    digests: list[str | None] = []
    for row, path in enumerate(paths):
        try:
            digests.append(None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest())
        except OSError as failed:
            raise DataError(
                f"column `{name}`",
                rule="paths of files that can be read",
                given=path,
                remedy=f"The system says: {failed.strerror}.",
                where=f"row {row}",
            ) from None
    return digests


def _add(digest: Any, series: pl.Series, name: str) -> None:
    import polars as pl

    kind = series.dtype
    digest.update(msgspec.json.encode([name, str(kind), len(series)]) + b"\n")
    for start in range(0, len(series), BLOCK):
        block = series.slice(start, BLOCK)
        if block.null_count():
            digest.update(b"nulls" + np.packbits(block.is_null().to_numpy()).tobytes())
        if isinstance(kind, pl.Categorical | pl.Enum) or kind.is_decimal() or isinstance(kind, pl.Int128 | pl.UInt128):
            block = block.cast(pl.String)
        if isinstance(block.dtype, pl.String | pl.Binary):
            _add_bytes(digest, block)
        elif isinstance(kind, pl.Array):
            _add(digest, block.drop_nulls().explode() if len(block) else block, name)
        elif isinstance(kind, pl.List):
            _add(digest, block.list.len().fill_null(0), name)
            _add(digest, block.filter(block.list.len() > 0).explode(), name)
        elif isinstance(kind, pl.Struct):
            for field in kind.fields:
                _add(digest, block.struct.field(field.name), field.name)
        elif kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean:
            plain = block.to_physical()
            array = plain.fill_null(False if kind == pl.Boolean else 0).to_numpy()
            array = array if sys.byteorder == "little" else array.astype(array.dtype.newbyteorder("<"))
            digest.update(np.ascontiguousarray(array).data)
        elif kind != pl.Null:
            raise DataError(f"column `{name}`", rule="made of values with a digest", given=Told(f"values of type {kind}"))


def _add_bytes(digest: Any, block: pl.Series) -> None:
    import polars as pl

    text = block.dtype == pl.String
    filled = block.fill_null("" if text else b"")
    digest.update((filled.str.len_bytes() if text else filled.bin.size()).cast(pl.UInt64).to_numpy().astype("<u8").data)
    arrow: Any = filled.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    data = arrow.buffers()[2]
    if data is not None:
        offsets_N = np.frombuffer(arrow.buffers()[1], dtype=np.int64)[arrow.offset : arrow.offset + len(filled) + 1]
        digest.update(memoryview(data)[int(offsets_N[0]) : int(offsets_N[-1])])
