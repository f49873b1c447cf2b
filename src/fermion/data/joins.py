"""Columns of other tables: joined by key, or as they were known at each row's time.

With a `time`, a row of the other table holds for its key from that moment on, until a newer row takes its place. A row at t gets the
newest row of its key with time u <= t, and with `within` w only if t - u <= w; never one from its future. A long table of measurements
becomes a series per row: `fermion.data.long`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fermion.columns.panes import micros
from fermion.core.declared import Join, Long
from fermion.core.errors import DataError, SpecError, Told
from fermion.data.features import times
from fermion.data.long import series_of_long
from fermion.data.table import Table, unknown_column
from fermion.data.windows import Ints

if TYPE_CHECKING:
    import polars as pl


def join(table: Table, joins: Sequence[Join], *, time: str | None, read: Callable[[str], Table]) -> Table:
    """The table with the columns of each other table, missing where nothing matches; rows stay where they are.

    `time` says when a row of the table happened; `read` gives the table behind a source. A row whose key is missing matches nothing.
    Rows of the other table that are equal in all that is taken count once; two that say different things of one key at one time are
    refused, for nothing would say which holds.

    >>> sold = Table.of({"at": [5, 20], "shop": ["a", "a"]})
    >>> prices = Table.of({"since": [0, 10, 30], "shop": ["a", "a", "a"], "price": [1.0, 2.0, 3.0]})
    >>> join(sold, [Join(source="prices", by="shop", time="since")], time="at", read=lambda _: prices).values("price").tolist()
    [1.0, 2.0]

    Raises:
        SpecError: a join by time without `time`, or `within` without the join's own `time`.
        DataError: no such column, a name that is there already, keys of different kinds, or a key that stands twice.
    """
    for number, one in enumerate(joins):
        at = f"data.joins[{number}]"
        if one.series is not None:
            table = _with_series(table, one, one.series, read(one.source), time, at)
            continue
        if one.name is not None:
            raise SpecError(f"{at}.name", rule="given together with `series`", given=one.name)
        if one.within is not None and one.time is None:
            raise SpecError(f"{at}.within", rule="given together with `time`", given=one.within)
        if one.time is not None and time is None:
            raise SpecError("data.time", rule="the column that says when a row happened, for a join by time", given=None)
        table = _joined(table, one, read(one.source), time, at)
    return table


def _joined(table: Table, one: Join, other: Table, time: str | None, at: str) -> Table:
    by = (one.by,) if isinstance(one.by, str) else one.by
    columns = _columns(table, one, other, by, at)
    keys = [_alike(table, other, name, f"key {place}", at) for place, name in enumerate(by)]
    names = [f"key {place}" for place in range(len(by))]
    wanted = _side([own for own, _ in keys], times(table, time) if one.time and time else None)
    known = _side([theirs for _, theirs in keys], times(other, one.time) if one.time else None)
    known = known.with_columns(other.series(column).alias(f"value {place}") for place, column in enumerate(columns))
    known = known.drop_nulls(names).unique(maintain_order=True)
    _refuse_ambiguous(known.select(*names, *(["time"] if one.time else [])), one, by)
    if one.time is None:
        found = wanted.join(known, on=names, how="left", maintain_order="left")
    else:
        ordered = wanted.with_row_index("row").sort("time", maintain_order=True)
        within = None if one.within is None else micros(one.within)
        found = ordered.join_asof(known.sort("time"), on="time", by=names, tolerance=within, check_sortedness=False).sort("row")
    taken = [found[f"value {place}"].alias(column) for place, column in enumerate(columns)]
    return Table(table.frame.with_columns(taken), paths=table.paths | (other.paths & frozenset(columns)))


def _with_series(table: Table, one: Join, long: Long, other: Table, time: str | None, at: str) -> Table:
    """The table with one column of series, made of a long table."""
    by = (one.by,) if isinstance(one.by, str) else one.by
    if one.name is None:
        raise SpecError(f"{at}.name", rule="the name of the new column, with `series`", given=None)
    if one.time is not None or one.columns:
        raise SpecError(at, rule="without `time` and `columns`, with `series`", given=one.time or one.columns)
    if one.within is not None and time is None:
        raise SpecError("data.time", rule="the column that says when a row happened, for a join by time", given=None)
    _refuse_unknown(table, other, by, (), one, at)
    if one.name in table.names:
        raise DataError(f"{at}.name", rule="none that the table has already", given=one.name)
    entity_N, entity_E = _codes([_alike(table, other, name, f"key {place}", at) for place, name in enumerate(by)])
    moment_N, within = None if time is None else times(table, time), None if one.within is None else micros(one.within)
    return table.with_column(one.name, series_of_long(long, other, entity_E, entity_N, moment_N, within, one.source))


def _codes(keys: list[tuple[pl.Series, pl.Series]]) -> tuple[Ints, Ints]:
    """A whole number for each key of both tables, -1 where it is missing or in the other table only."""
    import polars as pl

    own, theirs = (pl.DataFrame([pair[side] for pair in keys]) for side in range(2))
    known = theirs.drop_nulls().unique(maintain_order=True).with_row_index("code")
    found = [side.join(known, on=own.columns, how="left", maintain_order="left")["code"] for side in (own, theirs)]
    return tuple(codes.cast(pl.Int64).fill_null(-1).to_numpy() for codes in found)  # type: ignore[return-value]


def _refuse_unknown(table: Table, other: Table, by: tuple[str, ...], more: tuple[str, ...], one: Join, at: str) -> None:
    if not by:
        raise SpecError(f"{at}.by", rule="a column, or columns, that both tables share", given=Told("none"))
    for name in by:
        if name not in table.names:
            raise unknown_column(name, table.names, subject=f"{at}.by", where="the table")
    for name in (*by, *more):
        if name not in other.names:
            raise unknown_column(name, other.names, subject=at, where=one.source)


def _columns(table: Table, one: Join, other: Table, by: tuple[str, ...], at: str) -> tuple[str, ...]:
    """The columns that are taken of the other table; all that are named must be there, and new to this one."""
    _refuse_unknown(table, other, by, (*one.columns, *((one.time,) if one.time else ())), one, at)
    columns = one.columns or tuple(name for name in other.names if name not in (*by, one.time))
    for name in columns:
        if name in table.names:
            remedy = f"Say in {at}.columns which to take, or rename it where the data come from."
            raise DataError(f"the columns of {one.source}", rule="none that the table has already", given=name, remedy=remedy)
    return columns


def _alike(table: Table, other: Table, name: str, to: str, at: str) -> tuple[pl.Series, pl.Series]:
    """One key column of both tables in one type, null where missing."""
    import polars as pl

    sides = [side.series(name).alias(to) for side in (table, other)]
    kinds = [_kind(side) for side in sides]
    if kinds[0] != kinds[1]:
        told = Told(f"{kinds[0]} in the table and {kinds[1]} in the other")
        raise DataError(f"the column `{name}` of {at}", rule="of one kind in both tables", given=told)
    if kinds[0] == "text":
        return sides[0].cast(pl.String), sides[1].cast(pl.String)
    common = pl.concat([side.clear().to_frame() for side in sides], how="vertical_relaxed").schema[to]
    own, theirs = (side.cast(common) for side in sides)
    return (own.fill_nan(None), theirs.fill_nan(None)) if common.is_float() else (own, theirs)


def _kind(series: pl.Series) -> str:
    import polars as pl

    if isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    return "numbers" if series.dtype.is_numeric() else "times" if series.dtype.is_temporal() else str(series.dtype)


def _side(keys: list[pl.Series], moments: Ints | None) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(keys if moments is None else [*keys, pl.Series("time", moments)])


def _refuse_ambiguous(keys: pl.DataFrame, one: Join, by: tuple[str, ...]) -> None:
    twice = keys.filter(keys.is_duplicated())
    if twice.height:
        shown = ", ".join(f"{name} {value!r}" for name, value in zip(by, twice.row(0), strict=False))
        rule = "one row for each key" + (" and time" if one.time else "")
        remedy = "" if one.time else "Say with `time` since when a row holds, where it is a table that changes."
        raise DataError(one.source, rule=rule, given=Told(f"several for {shown}, and {twice.height:,} such rows in all"), remedy=remedy)
