"""Tables that need not fit into memory: columns gathered one at a time, rows encoded block by block into mapped arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays, Values
from fermion.columns.schema import Schema
from fermion.core.errors import Told, ValueRejected

if TYPE_CHECKING:
    from fermion.data.table import Table

ROWS = 1 << 17  # of a block: bounds what encoding holds in memory


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


def encoded(table: Table, schema: Schema, folder: Path) -> Arrays:
    """What `schema.encode` makes of the table, in .npy files of `folder` that are mapped: pages of files, not memory of the process.

    Arrays whose rows vary in length are as wide as the longest row of the table, so such a schema is encoded twice.

    Raises:
        ValueRejected: a value does not fit its column, with its row in the table.
    """
    if not len(table):
        return schema.encode(table.batch(schema.names))  # nothing cannot be mapped
    folder.mkdir(parents=True, exist_ok=True)
    varying = {named.name: named.slot for named in schema.layout.arrays if None in named.slot.shape}
    widths: dict[str, tuple[int, ...]] = {}
    if varying:
        for _, block in _blocks(table, schema):
            for name in varying:
                widths[name] = tuple(max(pair) for pair in zip(widths.get(name, (0,) * block[name].ndim), block[name].shape, strict=True))
    arrays: Arrays = {}
    for start, block in _blocks(table, schema):
        for name, part in block.items():
            if name not in arrays:
                shape = (len(table), *(widths[name][1:] if name in varying else part.shape[1:]))
                arrays[name] = _created(folder / f"{len(arrays)}.npy", shape, part.dtype)
                padding = varying[name].padding if name in varying else None
                if padding:
                    arrays[name][:] = padding
            here = (slice(start, start + len(part)), *(slice(0, long) for long in part.shape[1:]))
            arrays[name][here] = part
    return arrays


def _blocks(table: Table, schema: Schema) -> Iterator[tuple[int, Arrays]]:
    start = 0
    for block in table.select(schema.names).blocks(ROWS):
        try:
            yield start, schema.encode(block.batch())
        except ValueRejected as bad:
            raise _moved(bad, start) from None
        start += len(block)


def _moved(bad: ValueRejected, start: int) -> ValueRejected:
    """The same rejection with the row of the table instead of that of the block."""
    word, _, row = bad.where.partition(" ")
    where = f"row {int(row) + start}" if word == "row" and row.isdigit() else bad.where
    return ValueRejected(bad.subject, rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=where)


def _created(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if 0 in shape:
        return np.zeros(shape, dtype=dtype)
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
