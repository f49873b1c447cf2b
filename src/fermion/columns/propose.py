"""Which repair a column of texts wants: proposed from its distinct texts, with counts and examples, for a person to judge."""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Literal

from msgspec import Struct, structs

from fermion.columns.category import Category
from fermion.columns.column import Column, Values, is_missing
from fermion.columns.flag import Flag
from fermion.columns.number import Number
from fermion.columns.repair import Repaired
from fermion.columns.time import Time
from fermion.columns.units import UNITS, USUAL, family_of
from fermion.core.declared import Repair
from fermion.core.errors import ValueRejected

MOST = 20_000  # distinct texts that are looked at
NEARLY_ALL = 0.95  # of the rows that a repair must be able to read
EXAMPLES = 6
SOME = 20  # rows with and without a unit, from which their medians tell something

# Words that of a category may be levels: no guarantor is not an unknown one, and that somebody did not say may tell something.
LEVELS = frozenset(
    {"none", "-", "missing", "unknown", "not available", "not known", "not stated", "unspecified", "unbekannt", "keine angabe", "inconnu",
     "desconocido", "sconosciuto"}
)  # fmt: skip
MISSING = LEVELS | {"", "na", "n/a", "n.a.", "#n/a", "nan", "null", "nil", "--", "?", "(null)", "<na>", "k.a."}
_TRUE = frozenset({"yes", "y", "true", "t", "on", "1", "ja", "oui", "si", "sí", "sim"})
_FALSE = frozenset({"no", "n", "false", "f", "off", "0", "nein", "non", "não"})
_MONEY = frozenset("$€£¥₹₽₩₺₫₪฿") | {"usd", "eur", "gbp", "chf", "jpy", "inr", "cny", "rmb", "aud", "cad", "sek", "nok", "dkk", "pln"}
_CODE = re.compile(r"([^\W\d_]{1,4})[-_ ]?\d{3,}[^\W_]*")
_PARTS = re.compile(
    r"\s*([^\d\s+.,'’_\u2212-]*)\s*([+\u2212-]?)\s*([^\d\s+.,'’_\u2212-]*)\s*([\d.,'’_ \u00a0\u202f]*\d[.,]?(?:[eE][+-]?\d+)?)\s*(\D*?)\s*"
)
_SEPARATORS: tuple[tuple[Literal[".", ","], Literal[",", ".", " ", "'", "_"] | None], ...] = (
    (".", None), (".", ","), (",", None), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"), (".", "_"),
)  # fmt: skip
_DAYS = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%Y%m%d")
_NAMED = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", ", %H:%M")
_SWAPPED = {"%d/%m": "%m/%d", "%m/%d": "%d/%m", "%d-%m": "%m-%d", "%m-%d": "%d-%m"}


class Proposal(Struct, frozen=True, kw_only=True):
    """A repair with what it would do. Rows are those of the texts that were looked at, all of them up to 20,000 distinct ones."""

    repair: Repair
    type: str  # of the column: number, flag, time or category
    repaired: int  # rows whose texts get a meaning, or are written alike
    unreadable: int  # rows that it could not read, and that would be refused
    examples: tuple[tuple[str, object], ...] = ()  # a text and what it would mean
    unread: tuple[str, ...] = ()  # texts that it could not read
    notes: tuple[str, ...] = ()  # what a person has to decide


def propose(values: Values) -> Proposal | None:
    """The repair that makes (nearly) all texts numbers, truth values, dates or names written alike; None where none is wanted.

    >>> found = propose(["1,234.50", "17.25", "n/a", "2,000.00"])
    >>> found.type, found.repair.thousands, found.repair.missing, found.examples[0]
    ('number', ',', ('n/a',), ('1,234.50', 1234.5))
    """
    listed: Iterable[Any] = values
    counts: Counter[str] = Counter(str(value) for value in listed if isinstance(value, str))
    others = any(not isinstance(value, str) and not is_missing(value) for value in values)
    if not counts:
        return None
    if len(counts) > MOST:  # evenly over the order in which they come
        counts = Counter(dict(islice(counts.items(), 0, None, -(-len(counts) // MOST))))
    gone = {text: times for text, times in counts.items() if text.strip().casefold() in MISSING}
    rest = {text: times for text, times in counts.items() if text not in gone}
    if rest:
        for attempt in (_truth, _number, _date):
            proposal = attempt(rest, gone)
            if proposal is not None:
                return proposal if proposal.repaired else None
    return None if others else _names(counts)


def _truth(rest: Mapping[str, int], gone: Mapping[str, int]) -> Proposal | None:
    words = {text.strip().casefold() for text in rest}
    known = {word: word in _TRUE for word in sorted(words) if word in _TRUE | _FALSE}
    if len(set(known.values())) < 2 or not words - {"0", "1"}:  # 0 and 1 are numbers
        return None
    return _tried(Flag(), Repair(missing=_missing(gone), truth=known), rest, gone)


def _number(rest: Mapping[str, int], gone: Mapping[str, int]) -> Proposal | None:
    parts = {text: found for text in rest if (found := _PARTS.fullmatch(text))}
    rows = sum(rest.values())
    if sum(rest[text] for text in parts) < NEARLY_ALL * rows:
        return None
    codes = sum(times for text, times in rest.items() if re.fullmatch(r"0\d+", text.strip()))
    if codes > 0.01 * rows:  # 00123 is a code, whose zeros say something
        return None
    if _codes(rest):
        return None
    strip, units, notes = _around(parts.values(), [rest[text] for text in parts])
    best: Proposal | None = None
    tied = False
    for decimal, thousands in _SEPARATORS:
        repair = Repair(missing=_missing(gone), decimal=decimal, thousands=thousands, strip=strip, units=units)
        found = _tried(Number(), repair, rest, gone, least=0.0)
        if found is None or (best is not None and found.unreadable > best.unreadable):
            continue
        if best is None or found.unreadable < best.unreadable:
            best, tied = found, False
        elif (
            best.repair.decimal != decimal
            and any(mark in text for text in parts for mark in ",")
            and thousands in (None, best.repair.decimal)
        ):
            tied = tied or _differ(best, found, rest)
    if best is None or best.unreadable > (1 - NEARLY_ALL) * rows:
        return None
    if units:
        chosen, note = _without_unit(best.repair, parts, rest)
        best = _tried(Number(), chosen, rest, gone, least=0.0) or best
        notes = (*notes, *note)
    if tied:
        notes = (*notes, "Whether the sign before three digits is for decimals or for thousands cannot be told from these texts.")
    return structs.replace(best, notes=notes)


def _differ(one: Proposal, other: Proposal, rest: Mapping[str, int]) -> bool:
    """Whether two repairs read some text as different numbers."""
    columns = [Repaired(column=Number(), repair=proposal.repair) for proposal in (one, other)]
    for text in islice(rest, 1000):
        try:
            if columns[0].value(text) != columns[1].value(text):
                return True
        except ValueRejected:
            continue
    return False


def _around(parts: Iterable[re.Match[str]], times: Iterable[int]) -> tuple[tuple[str, ...], dict[str, float], tuple[str, ...]]:
    """What stands before and behind numbers: signs to take off, units with what they count, and what to decide about them."""
    strip: Counter[str] = Counter()
    units: Counter[str] = Counter()
    bare = 0
    for found, count in zip(parts, times, strict=True):
        before, (behind, unit) = found[1] or found[3], _behind(found)
        for sign in (before, behind):
            if sign.casefold() in _MONEY or sign == "%":
                strip[sign] += count
        if unit:
            units[unit] += count
        elif not behind:
            bare += count
    notes: tuple[str, ...] = ()
    if strip["%"] and sum(strip.values()) + bare > strip["%"] and bare:
        notes = (f"{bare} rows have no %: make sure that they are not shares of 1.",)
    known = family_of(units)
    return tuple(sign for sign, _ in strip.most_common()), known, notes


def _codes(rest: Iterable[str]) -> bool:
    """Whether bare digits and some of them behind letters name things: C489434 among 489434, but not CHF 489434.

    >>> _codes(["489434", "C489435"]), _codes(["489434", "CHF489435"])
    (True, False)
    """
    lettered = False
    for text in rest:
        found = _CODE.fullmatch(text.strip())
        if found is None and not text.strip().isdigit():
            return False
        if found is not None and found[1].casefold() in _MONEY:
            return False
        lettered = lettered or found is not None
    return lettered


def _behind(found: re.Match[str]) -> tuple[str, str]:
    """The sign and the unit behind a number: `EUR` and `per month` of `1,200 EUR per month`."""
    text = found[5].strip()
    first = re.match(r"[^\W\d_]+|\S", text)
    if first and (first[0].casefold() in _MONEY or first[0] == "%"):
        return first[0], text[len(first[0]) :].strip()
    return "", text


def _without_unit(repair: Repair, parts: Mapping[str, re.Match[str]], rest: Mapping[str, int]) -> tuple[Repair, tuple[str, ...]]:
    """What numbers without a unit are: the most frequent unit, unless another brings their median much nearer to that of the rest."""
    column = Repaired(column=Number(), repair=repair)
    bare: list[float] = []
    known: list[float] = []
    rows = 0
    for text, found in parts.items():
        try:
            x = column.value(text)
        except ValueRejected:
            continue
        _, unit = _behind(found)
        rows += 0 if unit else rest[text]
        if isinstance(x, float) and x > 0:
            (known if unit else bare).extend([x] * rest[text])
    if not rows:
        return repair, ()
    first = next(iter(repair.units))
    family = next(names for names in UNITS.values() if all(unit.casefold() in names for unit in repair.units))
    most, why = first, ""
    if min(len(bare), len(known)) >= SOME:
        middle, other = statistics.median(bare), statistics.median(known)

        def apart(unit: str) -> float:  # in powers of e
            return abs(math.log(middle * family[unit.casefold()] / family[first.casefold()] / other))

        nearest = min((*repair.units, *(unit for unit in USUAL if unit in family)), key=apart)
        if apart(nearest) < math.log(1.5) < math.log(3) < apart(first):
            most, why = nearest, ", which brings them nearest to the others"
    counts = {unit: float(f"{family[unit.casefold()] / family[most.casefold()]:.15g}") for unit in repair.units}
    return structs.replace(repair, units=counts), (f"{rows} rows have no unit: they are taken for {most}{why}.",)


def _date(rest: Mapping[str, int], gone: Mapping[str, int]) -> Proposal | None:
    by_shape: dict[str, list[str]] = {}
    for text in rest:
        by_shape.setdefault(re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", lambda found: "9" * len(found[0]), text.strip())), []).append(text)
    if len(by_shape) > 200 or not all(any(sign.isdigit() for sign in text) and len(text) <= 40 for text in islice(rest, 100)):
        return None
    readable: Counter[str] = Counter()
    for texts in by_shape.values():
        for form in _forms(texts[0]):
            read = sum(rest[text] for text in texts if _read_as(text.strip(), form))
            if read:
                readable[form] += read
    rows = sum(rest.values())
    iso = sum(times for text, times in rest.items() if _iso(text))
    chosen, left, notes = list[str](), {text for text in rest if not _iso(text)}, list[str]()
    while left:
        news = {form: sum(rest[text] for text in left if _read_as(text.strip(), form)) for form in readable if form not in chosen}
        form = max(news, key=lambda one: (news[one], readable[one]), default="")
        if not form or not news[form]:
            break
        if (other := _swapped(form)) in readable and readable[other]:
            both = sum(times for text, times in rest.items() if _read_as(text.strip(), form) and _read_as(text.strip(), other))
            if news.get(other, 0) == news[form] and other not in chosen:
                notes.append(f"{form} and {other} read the same {both} rows: which of them it is cannot be told.")
            elif sum(rest[text] for text in left if _read_as(text.strip(), other) and not _read_as(text.strip(), form)):
                notes.append(f"Both {form} and {other} are used; {both} rows could be either, and are read as {form}.")
        chosen.append(form)
        left = {text for text in left if not _read_as(text.strip(), form)}
    if sum(rest[text] for text in left) > (1 - NEARLY_ALL) * rows or (not chosen and iso < rows):
        return None
    found = _tried(Time(), Repair(missing=_missing(gone), dates=tuple(chosen)), rest, gone)
    if found is None or (iso == rows and not gone):
        return None
    return structs.replace(found, notes=tuple(notes))


def _forms(text: str) -> list[str]:
    """The forms that read a text, or one that differs from it in its digits."""
    days = _NAMED if re.search(r"[^\W\d_]{3,}", text) else _DAYS
    digits = sum(sign.isdigit() for sign in text)
    return [day + clock for day in days for clock in _CLOCKS if (":" in text) == (":" in clock) and digits >= 3]


def _read_as(text: str, form: str) -> bool:
    try:
        moment = dt.datetime.strptime(text, form)
    except ValueError:
        return False
    return 1800 <= moment.year <= 2200


def _iso(text: str) -> bool:
    if not re.match(r"\s*\d{4}-", text):
        return False
    try:
        return bool(dt.datetime.fromisoformat(text.strip()))
    except ValueError:
        return False


def _swapped(form: str) -> str:
    """The same form with day and month changed over.

    >>> _swapped("%d/%m/%Y %H:%M")
    '%m/%d/%Y %H:%M'
    """
    for day, other in _SWAPPED.items():
        if form.startswith(day):
            return other + form[len(day) :]
    return ""


def _names(counts: Mapping[str, int]) -> Proposal | None:
    """Names written alike: spaces, and spellings that differ in case, spaces, dots and hyphens merged into the most frequent one."""
    rows = sum(counts.values())
    gone = {text: times for text, times in counts.items() if text.strip().casefold() in MISSING - LEVELS}
    rest = {text: times for text, times in counts.items() if text not in gone}
    if len(rest) > max(50.0, 0.5 * rows):
        return None  # free text, or what names rows
    written: Counter[str] = Counter()
    for text, times in rest.items():
        written[_written(text)] += times
    groups: dict[str, list[str]] = {}
    for text, _ in sorted(written.items(), key=lambda one: (-one[1], one[0])):
        groups.setdefault(_key(text), []).append(text)
    merge = {text: spellings[0] for spellings in groups.values() for text in spellings[1:]}
    if not merge and not gone and all(text == _written(text) for text in rest):
        return None
    repair = Repair(missing=_missing(gone), text=("unicode", "spaces", "strip"), merge=merge)
    kept = sorted(text for text in rest if text.strip().casefold() in LEVELS)
    found = _tried(Category(), repair, rest, gone)
    notes = (f"{', '.join(kept)}: taken for a name; list it under `missing` if it means nothing is known.",) if kept else ()
    return None if found is None else structs.replace(found, notes=notes)


def _written(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _key(text: str) -> str:
    """What spellings of one name have in common; signs beside digits are left, for 1.5 is not 15."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = re.sub(r"(?<!\d)[.'’](?!\d)", "", folded)
    return " ".join(re.sub(r"(?<=[^\W\d])[-_/ ]+(?=[^\W\d])", " ", folded).split())


def _missing(gone: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted({text.strip() for text in gone}))


def _tried(column: Column, repair: Repair, rest: Mapping[str, int], gone: Mapping[str, int], least: float = NEARLY_ALL) -> Proposal | None:
    """What a repair does to these texts, or None where it reads too few of them."""
    mend: Callable[[object], object] = Repaired(column=column, repair=repair).value
    repaired = unreadable = 0
    examples: dict[str, tuple[str, object]] = {}
    unread: list[str] = []
    for text, times in rest.items():
        try:
            meaning = mend(text)
        except ValueRejected:
            unreadable += times
            unread.append(text)
            continue
        if meaning != text:
            repaired += times
            # Examples that differ in how they look tell more than many that look the same.
            examples.setdefault(re.sub(r"\d+", "9", text) if not isinstance(meaning, str) else text, (text, meaning))
    if unreadable > (1 - least) * sum(rest.values()):
        return None
    return Proposal(
        repair=repair,
        type=str(column.__struct_config__.tag),  # type: ignore[attr-defined]
        repaired=repaired + sum(gone.values()),
        unreadable=unreadable,
        examples=(*list(examples.values())[:EXAMPLES], *((text, None) for text in list(gone)[:2])),
        unread=tuple(unread[:EXAMPLES]),
    )
