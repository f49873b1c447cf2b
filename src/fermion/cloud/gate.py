"""Whether the rows of a request are as expected: looked at before they are queued, so that no neighbour hears of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fermion.cloud.counters import Counters
from fermion.columns.expect import Rule, rules, said
from fermion.columns.private import HIDDEN
from fermion.columns.schema import Schema
from fermion.core.errors import RequestRejected, Told, ValueRejected, shortened

Row = Sequence[Any]


class Gate:
    """Checks typed rows against the expectations of a schema.

    A row that breaks one is refused, or answered and counted where the expectation says `warn`, or tolerates a share of such rows:
    of one row nobody can say whether it belongs to that share.

    Args:
        schema: the inputs with what is expected of them.
        counters: where broken expectations are counted, by their text.

    Raises:
        SpecError: an expectation that does not fit its columns.
    """

    def __init__(self, schema: Schema, counters: Counters) -> None:
        self._names, self._private, self._counters = schema.names, schema.private, counters
        place = {name: position for position, name in enumerate(schema.names)}
        self._rules = [
            (rule, [place[name] for name in rule.reads], said(rule.expectation), _only_told(rule))
            for rule in rules(schema.expect, schema.columns)
        ]

    @classmethod
    def of(cls, schema: Schema, counters: Counters) -> Callable[[list[Row], bool], None] | None:
        """The check of one request's rows, or None where nothing is expected."""
        return cls(schema, counters).check if schema.expect else None

    def check(self, rows: list[Row], columnar: bool) -> None:
        """Look at all rows of one request; `columnar` says how it was written, and so how its places are told.

        Raises:
            RequestRejected: 422, at the first row that breaks an expectation.
        """
        for rule, places, text, told in self._rules:
            breaks, first = rule.breaks, places[0]
            second = places[1] if len(places) > 1 else None
            for at, row in enumerate(rows):
                try:
                    if not (breaks(row[first]) if second is None else breaks(row[first], row[second])):
                        continue
                except ValueRejected as bad:  # a text that no repair can read
                    raise self._refused(bad.rule, row, at, self._unread(rule, row, places), columnar, bad.remedy) from None
                self._counters.broken[text] += 1
                if not told:
                    raise self._refused(_rule(rule), row, at, places, columnar, "The model is not made for such rows.")

    def _unread(self, rule: Rule, row: Row, places: list[int]) -> list[int]:
        """Of two columns the one whose value cannot be read."""
        for place in places[:-1]:
            try:
                rule.breaks(*(row[place] if other == place else None for other in places))
            except ValueRejected:
                return [place]
        return places[-1:]

    def _refused(self, rule: str, row: Row, at: int, places: list[int], columnar: bool, remedy: str) -> RequestRejected:
        names = [self._names[place] for place in places]
        where = place_of(at, names[0], columnar)
        values = [str(HIDDEN) if name in self._private else shortened(row[place]) for name, place in zip(names, places, strict=True)]
        given = Told(values[0] if len(names) == 1 else ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=True)))
        subject = " and ".join(f"`{name}`" for name in names)
        return RequestRejected(subject, rule=rule, given=given, remedy=remedy, where=where, status=422)


def place_of(row: int, name: str, columnar: bool) -> str:
    """Where a value stands in a request, by the way that it was written.

    >>> place_of(3, "age", columnar=False), place_of(3, "age", columnar=True)
    ('$.rows[3].age', '$.columns.age[3]')
    """
    return f"$.columns.{name}[{row}]" if columnar else f"$.rows[{row}].{name}"


def placed(bad: ValueRejected, names: Sequence[str], columnar: bool) -> ValueRejected:
    """A rejection by a column, which counts rows, with the place in the request instead, as all other refusals have it."""
    row, name = re.fullmatch(r"row (\d+)", bad.where), bad.subject.strip("`")
    if row is None or name not in names:
        return bad
    where = place_of(int(row[1]), name, columnar)
    return ValueRejected(bad.subject, rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=where)


def _only_told(rule: Rule) -> bool:
    return rule.expectation.then == "warn" or rule.expectation.tolerate > 0


def _rule(rule: Rule) -> str:
    """What must hold, for a message that names the columns before it."""
    text, column = said(rule.expectation), rule.expectation.column
    if column is None:
        return f"such that {text}"
    return text.removeprefix(f"{column} ").replace("matches ", "a text that matches ", 1)
