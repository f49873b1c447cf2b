"""What changed between two versions of a table: columns, rows, and how distributions moved."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from fermion.data.table import Table
from fermion.measure.sketches import CategorySketch, NumberSketch, distance

if TYPE_CHECKING:
    import polars as pl

EXAMPLES = 5
MOVED = 0.1  # a distance from which a distribution is said to have moved: the usual reading of the stability index


class ColumnChange(Struct, frozen=True, kw_only=True):
    """How one column that is in both versions changed.

    `moved` is the distance of the distributions: the population stability index of numbers and times, total variation of categories;
    None where it has none. `rows` counts rows with another value, None where rows could not be matched.
    """

    name: str
    types: tuple[str, str]
    same: bool
    moved: float | None
    missing: tuple[int, int]
    rows: int | None = None
    examples: tuple[dict[str, Any], ...] = ()


class Changes(Struct, frozen=True, kw_only=True):
    """The difference of two tables, from `one` to `other`.

    Rows are matched by `key`, a column that tells every row apart in both; without one only equal rows are matched, so that a changed
    row counts as removed and added.
    """

    rows: tuple[int, int]
    key: str | None
    added_columns: tuple[str, ...]
    removed_columns: tuple[str, ...]
    columns: tuple[ColumnChange, ...]
    added: int
    removed: int
    changed: int | None
    added_rows: tuple[dict[str, Any], ...] = ()
    removed_rows: tuple[dict[str, Any], ...] = ()


def compare(one: Table, other: Table, *, key: str | None = None, private: Iterable[str] = ()) -> Changes:
    """Compare two versions of a table; values of private columns are never shown.

    >>> old, new = Table.of({"id": ["a", "b"], "x": [1, 2]}), Table.of({"id": ["a", "c"], "x": [5, 2]})
    >>> found = compare(old, new)
    >>> found.key, found.added, found.removed, found.changed
    ('id', 1, 1, 1)

    Raises:
        DataError: `key` is no column of both.
    """
    import polars as pl

    hidden = frozenset(private)
    shared = [name for name in one.names if name in other.names]
    key = key if key is not None else _key(one, other, shared)
    if key is not None:
        for table in (one, other):
            table.series(key)  # raises where it is not there
    alike = [name for name in shared if one.series(name).dtype == other.series(name).dtype]
    if key is not None:
        ours, theirs = one.series(key), other.series(key)
        kept_N, kept_M = ours.is_in(theirs.implode()).to_numpy(), theirs.is_in(ours.implode()).to_numpy()
        new = np.flatnonzero(~kept_M)
        gone = np.flatnonzero(~kept_N)
        place = pl.DataFrame({"key": ours, "one": np.arange(len(ours))}).join(
            pl.DataFrame({"key": theirs, "other": np.arange(len(theirs))}), on="key", how="inner", maintain_order="left"
        )
        pairs = (place["one"], place["other"])
        changed_N = np.zeros(place.height, dtype=np.bool_)
    else:
        gone, new = _unmatched(one, other, alike)
        pairs, changed_N = None, None
    columns: list[ColumnChange] = []
    for name in shared:
        change, differs_N = _column(
            one.series(name), other.series(name), pairs, hidden=name in hidden, key=one.series(key) if key else None
        )
        columns.append(change)
        if changed_N is not None and differs_N is not None:
            changed_N |= differs_N
    return Changes(
        rows=(len(one), len(other)),
        key=key,
        added_columns=tuple(name for name in other.names if name not in one.names),
        removed_columns=tuple(name for name in one.names if name not in other.names),
        columns=tuple(columns),
        added=len(new),
        removed=len(gone),
        changed=None if changed_N is None else int(changed_N.sum()),
        added_rows=_rows(other, new, hidden),
        removed_rows=_rows(one, gone, hidden),
    )


def lines(changes: Changes) -> list[str]:
    """The changes as text for a terminal."""
    n, m = changes.rows
    how = f"matched by `{changes.key}`" if changes.key else "no column tells every row apart: a changed row is one removed and one added"
    told = "" if changes.changed is None else f", {changes.changed:,} changed"
    out = [f"rows       {n:,} -> {m:,}: {changes.added:,} added, {changes.removed:,} removed{told} ({how})"]
    for word, names in (("added", changes.added_columns), ("removed", changes.removed_columns)):
        if names:
            out.append(f"columns    {word}: {', '.join(names)}")
    different = [one for one in changes.columns if not one.same]
    if different:
        out.append(f"\n{'column':<28} {'rows changed':>13} {'missing':>19} {'moved by':>9}")
    for one in sorted(different, key=lambda one: -(one.moved or 0)):
        rows = "-" if one.rows is None else f"{one.rows:,}"
        moved = "-" if one.moved is None else f"{one.moved:.3f}" + (" !" if one.moved >= MOVED else "")
        kind = "" if one.types[0] == one.types[1] else f"  {one.types[0]} -> {one.types[1]}"
        out.append(f"{one.name:<28} {rows:>13} {f'{one.missing[0]:,} -> {one.missing[1]:,}':>19} {moved:>9}{kind}")
        out += [f"{'':<30}{example['key']}: {example['one']} -> {example['other']}" for example in one.examples[:3]]
    out.append(f"\n{sum(one.same for one in changes.columns)} of {len(changes.columns)} shared columns are the same")
    return out


def _key(one: Table, other: Table, names: list[str]) -> str | None:
    """The first column of texts or whole numbers that is complete and tells every row apart in both."""
    import polars as pl

    for name in names:
        pair = (one.series(name), other.series(name))
        if pair[0].dtype != pair[1].dtype or not (pair[0].dtype.is_integer() or pair[0].dtype == pl.String):
            continue
        if all(len(series) and not series.null_count() and series.n_unique() == len(series) for series in pair):
            return name
    return None


def _unmatched(one: Table, other: Table, names: list[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows of each table that have no equal in the other, counting repeats."""
    import polars as pl

    if not names:
        return np.arange(len(one)), np.arange(len(other))
    frames = [
        pl.DataFrame({"hash": table.frame.select(names).hash_rows(seed=0), "row": np.arange(len(table))}).with_columns(
            nth=pl.int_range(pl.len()).over("hash")
        )
        for table in (one, other)
    ]
    gone = frames[0].join(frames[1], on=["hash", "nth"], how="anti", maintain_order="left")
    new = frames[1].join(frames[0], on=["hash", "nth"], how="anti", maintain_order="left")
    return gone["row"].to_numpy(), new["row"].to_numpy()


def _column(
    ours: pl.Series, theirs: pl.Series, pairs: tuple[pl.Series, pl.Series] | None, *, hidden: bool, key: pl.Series | None
) -> tuple[ColumnChange, np.ndarray[Any, Any] | None]:
    types = (str(ours.dtype), str(theirs.dtype))
    same = types[0] == types[1] and ours.equals(theirs, null_equal=True)
    differs_N, examples = None, ()
    if pairs is not None and types[0] == types[1]:
        differs_N = ~ours.gather(pairs[0]).eq_missing(theirs.gather(pairs[1])).to_numpy()
        if not hidden and key is not None and not ours.dtype.is_nested():
            rows = np.flatnonzero(differs_N)[:EXAMPLES]
            examples = tuple(
                {"key": key[int(pairs[0][int(row)])], "one": ours[int(pairs[0][int(row)])], "other": theirs[int(pairs[1][int(row)])]}
                for row in rows
            )
    change = ColumnChange(
        name=ours.name,
        types=types,
        same=same,
        moved=0.0 if same else _moved(ours, theirs),
        missing=(ours.null_count(), theirs.null_count()),
        rows=None if differs_N is None else int(differs_N.sum()),
        examples=examples,
    )
    return change, differs_N


def _moved(ours: pl.Series, theirs: pl.Series) -> float | None:
    import polars as pl

    if ours.dtype.is_temporal() and theirs.dtype.is_temporal():
        ours, theirs = (series.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64) for series in (ours, theirs))
    if ours.dtype.is_numeric() and theirs.dtype.is_numeric():
        reference: Any = NumberSketch.fit(_numbers(ours))
        live = reference.empty().add(_numbers(theirs))
    elif ours.dtype.is_nested() or theirs.dtype.is_nested() or ours.dtype == pl.Binary:
        return None
    else:
        reference = CategorySketch.fit(ours.cast(pl.String).to_list())
        live = reference.empty().add(theirs.cast(pl.String).to_list())
    found = distance(reference, live)
    return None if math.isnan(found) else round(found, 6)


def _numbers(series: pl.Series) -> np.ndarray[Any, Any]:
    import polars as pl

    return series.cast(pl.Float64).to_numpy()


def _rows(table: Table, rows: np.ndarray[Any, Any], hidden: frozenset[str]) -> tuple[dict[str, Any], ...]:
    names = [name for name in table.names if name not in hidden and not table.series(name).dtype.is_nested()]
    return tuple({"row": int(row), **table.select(names).row(int(row))} for row in rows[:EXAMPLES])
