"""From the project file to the table that is split: read, joined, without what may not be read, labelled, with features in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from fermion.columns.features import check
from fermion.columns.infer import declare
from fermion.columns.repair import Repaired
from fermion.core.declared import Data, Join
from fermion.core.errors import DataError, SpecError, Told, ValueRejected
from fermion.core.spec import Spec, document
from fermion.data import features, joins, sources
from fermion.data.reading import Aside
from fermion.data.table import Table
from fermion.practice.preparation import labelled, private_of, targets_of, time_of

LOOKED = 5_000  # values that tell what a column is


def collect(
    spec: Spec,
    *,
    folder: Path,
    place: Callable[[str], str],
    aside: list[Aside] | None = None,
    scratch: Path | None = None,
    note: Callable[[str], None] | None = None,
    overlay: Callable[[Table], Table] = lambda table: table,
) -> Table:
    """The rows behind `data.source`, as far as a split.

    Args:
        folder: what relative paths are relative to.
        place: where `data.WORD` stands, for messages.
        aside: takes what could not be read, where `data.source.unreadable` is `aside`.
        scratch: the folder for rows that do not fit into memory.
        note: takes what is worth knowing of the source, such as the digest to pin.
        overlay: lays labels that were given by hand over the rows as they were read.

    Raises:
        SpecError, DataError: the source cannot be read, or does not have what the project file says.
    """
    table = overlay(as_it_is(spec, folder=folder, place=place, aside=aside, scratch=scratch, note=note))
    return shaped(table, spec, lambda source: sources.read(source, folder=folder, where=place("joins")), place("target"), aside)


def as_it_is(
    spec: Spec,
    *,
    folder: Path,
    place: Callable[[str], str],
    aside: list[Aside] | None = None,
    scratch: Path | None = None,
    note: Callable[[str], None] | None = None,
) -> Table:
    """The rows of `data.source` as they stand there. Whoever reads a project's source reads it here: what a repair will mend stays text, so
    that a row is the same row to a run, to the label room and to a cleaning plan, and private values are in no message.

    Args:
        folder, place, aside, scratch, note: as for `collect`.

    Raises:
        SpecError, DataError: the source cannot be read.
    """
    return sources.read(
        spec.data.origin,
        folder=folder,
        where=place("source"),
        aside=aside,
        scratch=scratch,
        note=note,
        raw=[name for name, said in spec.data.columns.items() if said.repair is not None],
        private=private_of(spec.data),
    )


def shaped(table: Table, spec: Spec, read: Callable[[str], Table], where: str = "", aside: list[Aside] | None = None) -> Table:
    """A table that was read, without columns that are private to the point of `drop`, mended, joined with others, without unlabelled
    rows where the project file says so, and with its features in time."""
    data = spec.data
    gone = [name for name, said in data.columns.items() if said.private == "drop" and name in table.names]
    table = mended(table.drop(gone) if gone else table, spec, aside)
    timed = [feature for feature in data.features if feature.take is not None]
    time = time_of(spec, table)
    if data.joins:
        table = joins.join(table, data.joins, time=time, read=read)
    table = labelled(table, data, where)
    if not timed:
        return table
    if time is None:
        remedy = "Name the column that says when a row happened: data.time."
        raise SpecError("data.features", rule="with a column of time", given=Told("none"), remedy=remedy, where="data.features")
    check(timed, known=table.names, targets=targets_of(data))
    return features.add(table, timed, time=time)


def mended(table: Table, spec: Spec, aside: list[Aside] | None = None) -> Table:
    """The table with what is declared as repaired mended, so that splits, features and checks read values instead of texts.

    The columns of the bundle mend the same way again, which changes nothing here and reads raw texts in serving. Where
    `data.source.unreadable` is `aside`, rows with a text that no rule can read are left out and listed.

    Raises:
        DataError: a text that no rule can read, with its row.
    """
    gone: dict[int, str] = {}
    keep = spec.data.origin.unreadable == "aside"
    for name, said in spec.data.columns.items():
        if said.repair is None or name not in table.names:
            continue
        values = table.values(name)
        column = declare(_some(values), structs.replace(said, private=None))
        if not isinstance(column, Repaired):
            raise SpecError(f"the column `{name}`", rule="one that can be repaired", given=Told(str(column)))
        try:
            table = table.with_column(name, column.repaired(values))
        except ValueRejected as bad:
            hidden = said.private is not None
            if not keep:
                raise _told(bad, name, hidden) from None
            values, unread = read_with(column, values)
            gone |= {row: f"`{name}`: {'a private value' if hidden else repr(values[row])} is not {bad.rule}" for row in unread}
            table = table.with_column(name, column.repaired([None if row in unread else value for row, value in enumerate(values)]))
        if table.series(name).dtype.is_float():  # missing is null in a table, so that files that are made of it have a gap there
            table = table.with_column(name, table.series(name).fill_nan(None))
    if not gone:
        return table
    if aside is not None:
        aside += [Aside(place=f"row {row}", reason=reason) for row, reason in sorted(gone.items())]
    kept = np.ones(len(table), dtype=np.bool_)
    kept[list(gone)] = False
    return table.take(kept)


def _some(values: Any) -> Any:
    """A part of the values, enough to tell what they are."""
    return values[:LOOKED]


def read_with(column: Repaired, values: Any) -> tuple[list[Any], set[int]]:
    """The values as a list, and the rows that cannot be read."""
    listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    bad: set[object] = set()
    for value in {value for value in listed if isinstance(value, str)}:
        try:
            column.value(value)
        except ValueRejected:
            bad.add(value)
    return listed, {row for row, value in enumerate(listed) if isinstance(value, str) and value in bad}


def _told(bad: ValueRejected, name: str, hidden: bool) -> DataError:
    given = "a private value" if hidden else bad.given
    remedy = "Widen the repair, or leave such rows out: `data: {source: {at: ..., unreadable: aside}}`."
    return DataError(f"the column `{name}`", rule=bad.rule, given=Told(given), remedy=remedy, where=bad.where)


def published(spec: Spec) -> Spec:
    """The same project without the passwords and tokens that an address may hold: what reports, bundles and run records show.

    >>> from fermion.core.spec import read
    >>> published(read({"name": "a", "data": {"source": "mysql://ann:s3cret@db/shop", "target": "y"}})).data.source
    'mysql://ann:***@db/shop'
    """
    data = spec.data
    at = sources.public(data.origin)
    source = at if isinstance(data.source, str) else structs.replace(data.source, at=at)
    others = tuple(structs.replace(one, source=sources.public(one.source)) for one in data.joins)
    return structs.replace(spec, data=structs.replace(data, source=source, joins=others))


def depends(spec: Spec, stamp: Callable[[str | Any], Any]) -> list[Any]:
    """Everything that `collect` depends on, as the cache can encode it."""
    data: Data = spec.data
    others: tuple[Join, ...] = data.joins
    return [
        document(data.source),
        stamp(data.origin),
        [stamp(join.source) for join in others],
        document(list(others)),
        document([feature for feature in data.features if feature.take is not None]),
        data.time,
        spec.split.column,
        *spec.split.groups,
        data.drop_unlabelled,
        data.target,
        sorted(name for name, said in data.columns.items() if said.private == "drop"),
        {name: document(said) for name, said in sorted(data.columns.items()) if said.repair is not None},
    ]
