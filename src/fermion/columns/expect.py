"""What must hold of a row: ranges, sets, patterns and relations, on whole columns and on one request alike."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.category import read_levels
from fermion.columns.column import Column, Values, is_missing
from fermion.columns.number import Number, read_numbers
from fermion.columns.repair import Repaired, inside, meant
from fermion.columns.time import Time
from fermion.core.declared import Expectation
from fermion.core.errors import SpecError, Told, ValueRejected, did_you_mean

LONGEST = 1_000  # characters of a text that a pattern is tried on; a longer one breaks it
Rows = NDArray[np.bool_]

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}
_REPEATS = re.compile(r"(?:[*+]|\{\d*,\})(\+?)")  # without an end; possessive with another +
_GROUP = re.compile(r"\((\?>)?[^()]*\)")


class Relation(NamedTuple):
    """Two columns and how they compare."""

    left: str
    sign: str
    right: str


class Rule(Struct, frozen=True, kw_only=True):
    """An expectation made ready: the columns that it reads, and whether values of one row break it. What is missing breaks nothing."""

    expectation: Expectation
    reads: tuple[str, ...]
    breaks: Callable[..., bool]
    breaking: Callable[..., Rows]  # the same on whole columns


def said(expectation: Expectation) -> str:
    """An expectation in one line.

    >>> said(Expectation(column="age", between=(0, None))), said(Expectation(relation="paid <= billed"))
    ('age from 0', 'paid <= billed')
    """
    name = expectation.column or ""
    if expectation.between is not None:
        low, high = expectation.between
        return name + (f" from {low:g}" if low is not None else "") + (f" to {high:g}" if high is not None else "")
    if expectation.among is not None:
        shown = ", ".join(str(value) for value in expectation.among[:8])
        return f"{name} among {shown}" + (", ..." if len(expectation.among) > 8 else "")
    if expectation.matches is not None:
        return f"{name} matches {expectation.matches}"
    return expectation.relation or f"{name} unique"


def about_rows(expectations: Iterable[Expectation], names: Iterable[str]) -> tuple[Expectation, ...]:
    """Those that a request can be checked for: about one row, and about inputs only.

    >>> age, key = Expectation(column="age", between=(0, 120)), Expectation(column="id", unique=True)
    >>> about_rows([age, key], ["age", "id"]) == (age,)
    True
    """
    known = tuple(names)
    return tuple(one for one in expectations if not one.unique and set(reads(one, known)) <= set(known))


def reads(expectation: Expectation, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The columns that an expectation is about.

    Raises:
        SpecError: it says nothing, or two things at once.
    """
    kinds = [kind for kind in ("between", "among", "matches", "relation") if getattr(expectation, kind) is not None]
    kinds += ["unique"] if expectation.unique else []
    if len(kinds) != 1 or (expectation.column is None) != (kinds == ["relation"]):
        given = Told(" and ".join(kinds) + (" without a column" if expectation.column is None else "") if kinds else "none of them")
        rule = "a column with one of between, among, matches and unique, or a relation alone"
        raise SpecError("an expectation", rule=rule, given=given, remedy="Write one entry for each thing that must hold.")
    if expectation.relation is None:
        return (expectation.column or "",)
    relation = parse(expectation.relation, names)
    return relation.left, relation.right


def parse(text: str, names: Sequence[str] = ()) -> Relation:
    """`a <= b` as two names and a sign. A name with signs in it stands in backquotes, or is one of `names`.

    >>> parse("paid <= `amount billed`"), parse("a-b>=c<d", ["a-b", "c<d"])
    (Relation(left='paid', sign='<=', right='amount billed'), Relation(left='a-b', sign='>=', right='c<d'))

    Raises:
        SpecError: it is no relation, or can be read in two ways.
    """
    found: list[Relation] = []
    for match in re.finditer(r"<=|>=|==|!=|<|>", text):
        left, right = text[: match.start()].strip(), text[match.end() :].strip()
        pair = [_name(side, names) for side in (left, right)]
        if pair[0] and pair[1]:
            found.append(Relation(pair[0], match[0], pair[1]))
    if len(found) != 1:
        remedy = "Put names with signs or spaces in backquotes: `paid so far` <= billed." if found or "`" not in text else ""
        raise SpecError("a relation", rule="two columns with one of <, <=, >, >=, == and != between them", given=text, remedy=remedy)
    return found[0]


def _name(side: str, names: Sequence[str]) -> str:
    quoted = re.fullmatch(r"`([^`]+)`", side)
    if quoted:
        return quoted[1]
    return side if side in names or re.fullmatch(r"[^\s<>=!`]+(?: [^\s<>=!`]+)*", side) else ""


def rules(expectations: Iterable[Expectation], columns: Mapping[str, Column]) -> tuple[Rule, ...]:
    """Expectations made ready for columns, by name.

    Raises:
        SpecError: a column is not there or not of the kind that is compared, or a pattern is none.
    """
    return tuple(_rule(one, columns) for one in expectations)


def broken(
    expectations: Iterable[Expectation], batch: Mapping[str, Values], columns: Mapping[str, Column] | None = None
) -> list[tuple[Expectation, Rows]]:
    """Which rows of whole columns break each expectation, read through the repair of the columns that are given.

    Those about the data as a whole (`unique`) are left out.

    >>> [rows.tolist() for _, rows in broken([Expectation(column="age", between=(0, 120))], {"age": [30.0, -1.0, None]})]
    [[False, True, False]]

    Raises:
        SpecError: a column is not there or of another kind. ValueRejected: a text that its column's repair cannot read.
    """
    known = {name: (columns or {}).get(name) or _guessed(values) for name, values in batch.items()}
    about = [one for one in expectations if not one.unique]
    values: dict[str, Values] = {}
    found: list[tuple[Expectation, Rows]] = []
    for rule in rules(about, known):
        for name in rule.reads:
            if name not in values:
                values[name] = _meant(name, known[name], batch[name])
        try:
            rows_N = rule.breaking(*(values[name] for name in rule.reads))
        except ValueRejected as bad:
            raise _named(bad, " or ".join(f"`{name}`" for name in rule.reads)) from None
        found.append((rule.expectation, rows_N))
    return found


def _meant(name: str, column: Column, values: Values) -> Values:
    try:
        return meant(column, values)
    except ValueRejected as bad:
        raise _named(bad, f"`{name}`") from None


def _named(bad: ValueRejected, subject: str) -> ValueRejected:
    return ValueRejected(subject, rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=bad.where)


def _guessed(values: Values) -> Column:
    """What columns that nobody declared compare as: numbers, moments, or themselves."""
    from fermion.columns.category import Category

    if isinstance(values, np.ndarray) and values.dtype.kind in "iufM":
        return Time() if values.dtype.kind == "M" else Number()
    first = next((value for value in values if not is_missing(value)), None)
    return Number() if isinstance(first, int | float | np.number) and not isinstance(first, bool) else Category()


def _rule(one: Expectation, columns: Mapping[str, Column]) -> Rule:
    names = reads(one, tuple(columns))
    for name in names:
        if name not in columns:
            rule = f"among {', '.join(list(columns)[:12])}"
            raise SpecError("a column of data.expect", rule=rule, given=name, remedy=did_you_mean(name, columns))
    subject = f"the expectation `{said(one)}`"
    if one.between is not None:
        return _range(one, names[0], columns[names[0]], subject)
    if one.relation is not None:
        return _compared(one, parse(one.relation, tuple(columns)), columns, subject)
    if one.among is not None:
        allowed = {_key(value) for value in one.among}
        return _by_value(one, names[0], columns[names[0]], lambda value: _key(value) not in allowed)
    matches = _pattern(one.matches or "", subject)
    return _by_value(one, names[0], columns[names[0]], lambda value: len(text := _text(value)) > LONGEST or not matches(text))


def _range(one: Expectation, name: str, column: Column, subject: str) -> Rule:
    low, high = one.between or (None, None)
    bottom, top = -np.inf if low is None else low, np.inf if high is None else high
    if not bottom <= top:
        raise SpecError(subject, rule="from a smaller to a larger value", given=Told(f"{low} and {high}"))
    if not isinstance(inside(column), Number):
        raise SpecError(subject, rule="about a number", given=Told(f"`{name}`, a {_kind(column)}"))
    mend = _mender(column)

    def breaks(value: Any) -> bool:
        x = mend(value)
        return x is not None and not bottom <= x <= top and x == x

    def breaking(values: Values) -> Rows:
        x_N = read_numbers(values)
        return (x_N < bottom) | (x_N > top)

    return Rule(expectation=one, reads=(name,), breaks=breaks, breaking=breaking)


def _compared(one: Expectation, relation: Relation, columns: Mapping[str, Column], subject: str) -> Rule:
    left, right = columns[relation.left], columns[relation.right]
    compare = _SIGNS[relation.sign]
    kinds = [_kind(column) for column in (left, right)]
    if kinds[0] != kinds[1] or (kinds[0] not in ("number", "time") and relation.sign not in ("==", "!=")):
        rule = "between two numbers or two times, or with == or != between columns of one kind"
        raise SpecError(subject, rule=rule, given=Told(f"a {kinds[0]} and a {kinds[1]}"))
    if kinds[0] in ("number", "time"):
        readers = [inside(left), inside(right)]

        def breaking(*both: Values) -> Rows:
            a_N, b_N = (_ordered(column, values) for column, values in zip(readers, both, strict=True))
            return ~compare(a_N, b_N) & ~np.isnan(a_N) & ~np.isnan(b_N)
    else:

        def breaking(*both: Values) -> Rows:
            pairs = zip(*(_listed(values) for values in both), strict=True)
            return np.array([not (is_missing(a) or is_missing(b) or compare(_key(a), _key(b))) for a, b in pairs], np.bool_)

    menders = [_mender(left), _mender(right)]

    def breaks(a: Any, b: Any) -> bool:
        a, b = menders[0](a), menders[1](b)
        if a is None or b is None:
            return False
        if type(a) is type(b) is float:
            return not compare(a, b) and a == a and b == b
        return bool(breaking([a], [b])[0])

    return Rule(expectation=one, reads=(relation.left, relation.right), breaks=breaks, breaking=breaking)


def _by_value(one: Expectation, name: str, column: Column, wrong: Callable[[Any], bool]) -> Rule:
    """A rule that looks at values one by one; on whole columns every distinct text is looked at once."""
    mend = _mender(column)

    def breaks(value: Any) -> bool:
        meaning = mend(value)
        return not is_missing(meaning) and wrong(meaning)

    def breaking(values: Values) -> Rows:
        judge = functools.cache(wrong)
        found = (judge(value) if type(value) is str else not is_missing(value) and wrong(value) for value in _listed(values))
        return np.fromiter(found, np.bool_, len(values))

    return Rule(expectation=one, reads=(name,), breaks=breaks, breaking=breaking)


def _pattern(text: str, subject: str) -> Callable[[str], Any]:
    if _nested(text):
        remedy = "Bound the inner repeat, {1,20}, or make it possessive, ++."
        raise SpecError(subject, rule="without a repeat of a repeat, which could take for ever", given=text, remedy=remedy)
    try:
        return re.compile(text).fullmatch
    except re.error as bad:
        raise SpecError(subject, rule="a regular expression", given=Told(f"{text!r}: {bad}")) from None


def _nested(text: str) -> bool:
    """Whether a repeat without an end stands in another, as in (a+)+: its search may take time that doubles with every character."""
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "c", re.sub(r"\\.", "e", text))
    while group := _GROUP.search(bare):
        repeats = group[1] is None and any(repeat[1] == "" for repeat in _REPEATS.finditer(group[0]))
        if repeats and (again := _REPEATS.match(bare, group.end())) and again[1] == "":
            return True
        bare = bare[: group.start()] + ("a*" if repeats else "a") + bare[group.end() :]
    return False


def _mender(column: Column) -> Callable[[Any], Any]:
    return column.value if isinstance(column, Repaired) else lambda value: value


def _ordered(column: Column, values: Values) -> NDArray[np.float64]:
    return column.seconds(values) if isinstance(column, Time) else read_numbers(values)


def _kind(column: Column) -> str:
    kind: Any = inside(column)
    return str(kind.__struct_config__.tag)


def _listed(values: Values) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _key(value: Any) -> object:
    """What makes two values the same: true is not 1, 3.0 is 3, and texts are texts."""
    if isinstance(value, bool | np.bool):
        return ("truth", bool(value))
    if is_missing(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _text(value: Any) -> str:
    """A value as a pattern reads it: 3.0 of a column of whole numbers with gaps is "3"."""
    if isinstance(value, str):
        return value
    try:
        return str(read_levels(np.array([value]))[0])
    except ValueRejected:
        return str(value)
