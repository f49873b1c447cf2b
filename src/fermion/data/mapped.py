"""Tables that need not fit into memory: columns gathered one at a time, rows encoded block by block into mapped arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays, Values
from fermion.columns.schema import Schema
from fermion.core.errors import Told, ValueRejected

if TYPE_CHECKING:
    import polars as pl

    from fermion.data.table import Table

ROWS = 1 << 16  # of a block: bounds what encoding holds in memory
THREADS = 4  # at most


@final
class Columns(Mapping[str, Values]):
    """Names to values that are made when they are asked for and not kept: one column in memory at a time."""

    def __init__(self, names: tuple[str, ...], make: Callable[[str], Values]) -> None:
        self._names, self._make = names, make

    def __getitem__(self, name: str) -> Values:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def chooser(rows: NDArray[np.int64] | slice, length: int) -> Callable[[pl.Series], pl.Series]:
    """What takes these rows of a column of `length` rows: by a mask where they ascend, which is many times faster than by their numbers."""
    import polars as pl

    if isinstance(rows, slice):
        return lambda series: series[rows]
    if not rows.size or rows[0] < 0 or rows[-1] >= length or not (np.diff(rows) > 0).all():
        return lambda series: series.gather(rows)
    first, span = int(rows[0]), int(rows[-1] - rows[0]) + 1
    mask_S = np.zeros(span, dtype=np.bool_)
    mask_S[rows - first] = True
    mask = pl.Series(mask_S)
    return lambda series: series.slice(first, span).filter(mask)


def encoded(table: Table, schema: Schema, folder: Path | None, rows: NDArray[np.int64] | None = None) -> Arrays:
    """What `schema.encode` makes of the table, or of some of its rows, block by block on as many threads as Polars has.

    In .npy files of `folder` that are mapped, which are pages of files and not memory of the process; in memory without a folder.
    Arrays whose rows vary in length are as wide as the longest row of the table, so such a schema is encoded twice for files.

    Raises:
        ValueRejected: a value does not fit its column, with its row in the table.
    """
    import polars as pl

    total = len(table) if rows is None else len(rows)

    def block(start: int, stop: int) -> Arrays:
        some = slice(start, min(stop, total)) if rows is None else rows[start:stop]
        try:
            return schema.encode(dict(table.part(some, schema.names)))
        except ValueRejected as bad:
            raise moved(bad, some) from None

    varying = {named.name: named.slot for named in schema.layout.arrays if None in named.slot.shape}
    if not total or (folder is None and (varying or total <= ROWS)):
        return block(0, total)  # nothing cannot be mapped
    starts = range(0, total, ROWS)
    widths: dict[str, tuple[int, ...]] = {}
    for start in starts if varying else ():
        made = block(start, start + ROWS)
        for name in varying:
            widths[name] = tuple(max(pair) for pair in zip(widths.get(name, (0,) * made[name].ndim), made[name].shape, strict=True))
    arrays: Arrays = {}
    first = block(0, ROWS)  # what is made once, such as the codes of texts, is made before there are threads
    for number, (name, part) in enumerate(first.items()):
        shape = (total, *(widths[name][1:] if name in varying else part.shape[1:]))
        arrays[name] = _created(None if folder is None else folder / f"{number}.npy", shape, part.dtype)
        if name in varying and varying[name].padding:
            arrays[name][:] = varying[name].padding

    def write(start: int, made: Arrays) -> None:
        for name, part in made.items():
            arrays[name][start : start + len(part), *(slice(0, long) for long in part.shape[1:])] = part

    write(0, first)
    del first
    with ThreadPoolExecutor(min(THREADS, pl.thread_pool_size())) as pool:
        for _ in pool.map(lambda start: write(start, block(start, start + ROWS)), starts[1:]):
            continue
    return arrays


def moved(bad: ValueRejected, rows: NDArray[np.int64] | slice) -> ValueRejected:
    """The same rejection with the row of the table instead of that of the part with these rows."""
    word, _, row = bad.where.partition(" ")
    number = int(row) if word == "row" and row.isdigit() else None
    where = bad.where if number is None else f"row {number + rows.start if isinstance(rows, slice) else rows[number]}"
    return ValueRejected(bad.subject, rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=where)


def _created(path: Path | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if path is None or 0 in shape:
        return np.zeros(shape, dtype=dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
