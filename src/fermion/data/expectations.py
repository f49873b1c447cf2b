"""What the project file expects of the data, held against the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Column
from fermion.columns.expect import broken, reads, said
from fermion.core.declared import Expectation
from fermion.core.errors import SpecError, did_you_mean
from fermion.data.findings import EVIDENCE, Finding, Severity, View, finding
from fermion.data.table import Table

THEN: dict[str, Severity] = {"stop": "error", "warn": "warning", "aside": "info"}


def unmet(view: View, expectations: Sequence[Expectation], columns: Mapping[str, Column] | None = None) -> Iterator[Finding]:
    """A finding for each expectation that more rows break than it tolerates: an error, a warning or an info, as its `then` says.

    Args:
        columns: columns whose repair values are read through.

    Raises:
        SpecError: an expectation is about a column that is not there, or not of the kind that it compares.
    """
    for one in expectations:
        broken_N = breaking(view.table, one, columns)
        rows = np.flatnonzero(broken_N if view.used is None else broken_N[view.used])
        share = rows.size / max(1, len(view))
        if not rows.size or share <= one.tolerate:
            continue
        names = reads(one, view.names)
        first = ", ".join(f"`{name}` {view.shown(name, view.some(name, rows[:1])[0])}" for name in names)
        private = not view.private.isdisjoint(names)
        yield finding(
            "expectation",
            one.column or "",
            subject="every row" if one.column is None else f"column `{one.column}`",
            rule="as data.expect says" if private else f"such that {said(one)}",
            given=f"{rows.size:,} of {len(view):,} rows that are not, the first with {first}",
            score=share,
            rows=rows[:EVIDENCE],
            remedy="These rows are set aside: they are kept, and the fit does not see them."
            if one.then == "aside"
            else "Mend these rows, say `then: aside` to set them aside, or say by `tolerate` how many there may be.",
            severity=THEN[one.then],
        )


def aside(table: Table, expectations: Sequence[Expectation], columns: Mapping[str, Column] | None = None) -> dict[int, str]:
    """The rows that break an expectation with `then: aside`, beyond what it tolerates, with the reason: row to text.

    >>> aside(Table.of({"age": [30, -1]}), [Expectation(column="age", between=(0, None), then="aside")])
    {1: 'not age from 0'}

    Raises:
        SpecError: an expectation is about a column that is not there, or not of the kind that it compares.
    """
    reasons: dict[int, str] = {}
    for one in expectations:
        rows = np.flatnonzero(breaking(table, one, columns)) if one.then == "aside" else np.empty(0, dtype=np.int64)
        if rows.size > one.tolerate * len(table):
            reasons |= {int(row): f"not {said(one)}" for row in rows if int(row) not in reasons}
    return dict(sorted(reasons.items()))


def breaking(table: Table, expectation: Expectation, columns: Mapping[str, Column] | None = None) -> NDArray[np.bool_]:
    """(N,) which rows break an expectation; of values that must be unique, each but the first.

    Raises:
        SpecError: it is about a column that is not there, or not of the kind that it compares.
    """
    names = reads(expectation, table.names)
    for name in names:
        if name not in table.names:
            rule = f"about the columns {', '.join(table.names[:12])}"
            raise SpecError("data.expect", rule=rule, given=name, remedy=did_you_mean(name, table.names), where="data.expect")
    if expectation.unique:
        series = table.series(names[0])
        return (~series.is_first_distinct() & series.is_not_null()).to_numpy()
    known = {name: column for name, column in (columns or {}).items() if name in names}
    return broken((expectation,), table.batch(names), known)[0][1]
