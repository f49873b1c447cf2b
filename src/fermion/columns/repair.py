"""Raw texts mended into the values that a column means: the same in training and in serving, because it is part of the column."""

from __future__ import annotations

import datetime as dt
import functools
import re
import unicodedata
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Coded, Column, Slot, Values, as_column, is_missing, rejected
from fermion.columns.flag import Flag
from fermion.columns.number import Number
from fermion.columns.time import Time
from fermion.core.declared import Repair, part
from fermion.core.errors import SpecError, Told, ValueRejected, did_you_mean

Reads = Literal["number", "truth", "moment", "text"]

_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-"})  # the minus sign and the dash that spreadsheets make of it
_GROUPS = {" ": "[ \u00a0\u202f\u2009]", "'": "['\u2019]"}  # what else stands between groups of digits
_SPACES = re.compile(r"\s+")


class Repaired(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="type", tag="repaired"):
    """A column behind a repair: texts become numbers, truth values, moments or well-written names, and the inner column reads those.

    Which rules count follows from the inner column: `decimal`, `thousands`, `strip` and `units` where it reads numbers, `truth` where
    it reads truth values, `dates` where it reads moments, `text` and `merge` elsewhere; `missing` everywhere. What is a number, a
    truth value or a moment already passes. What no rule can read is refused with its row; the column inside stays as strict as it is.

    >>> price = Repaired(column=Number(), repair=Repair(thousands=",", strip=("$",), missing=("n/a",)))
    >>> price.fit(["$1,234.50", 3, "n/a"]).encode(["$1,234.50", 3, "n/a"])[0].tolist()
    [1234.5, 3.0, nan]
    """

    column: Annotated[Any, part("columns", description="The column that reads the mended values.")]
    repair: Repair = Repair()

    def __post_init__(self) -> None:
        if not isinstance(self.column, Struct):
            msgspec.structs.force_setattr(self, "column", as_column(self.column, "the column behind a repair"))
        if bytes in asked(self._inner) or isinstance(self.column, Repaired):
            raise SpecError("the column behind a repair", rule="one of numbers, truth values, moments or names", given=_tag(self.column))
        if self.repair.thousands == self.repair.decimal:
            given = Told(f"`{self.repair.decimal}` for both")
            raise SpecError("repair.thousands", rule="another sign than repair.decimal", given=given)

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._inner.slots

    @property
    def request(self) -> Any:
        numbers = float if any(word.strip().isdigit() for word in self.repair.truth) and self._reads == "truth" else str
        return self._inner.request | str | numbers

    @property
    def needs(self) -> tuple[str, ...]:
        return self._inner.needs

    def fit(self, values: Values) -> Repaired:
        return Repaired(column=self._through(values, self._inner.fit), repair=self.repair)

    def encode(self, values: Values) -> tuple[NDArray[Any], ...]:
        return self._through(values, self._inner.encode)

    def plain(self, value: object) -> object:
        mended = self.value(value)
        plain = self._through([value], lambda one: self._inner.plain(one[0]))
        # A text stays as it came: a date that was written again in another form could be read as another date.
        return str(value) if isinstance(value, str) and not is_missing(mended) else plain

    def repaired(self, values: Values) -> Values:
        """What the inner column reads: None or NaN for missing, numbers, truth values, moments, or texts written alike.

        Args:
            values: (N,) raw texts and values. Every distinct text is mended once.

        >>> Repaired(column=Flag(), repair=Repair(truth={"yes": True, "no": False})).repaired(["Yes", None, False])
        [True, None, False]

        Raises:
            ValueRejected: a text that no rule can read, with its row.
        """
        if isinstance(values, Coded):
            mended = values.mended(self.repaired)
            return mended[values.codes] if isinstance(mended, np.ndarray) else Coded(mended, values.codes)
        if isinstance(values, np.ndarray) and values.dtype.kind in ("bM" if self._reads == "truth" else "iufbM"):
            return values
        listed: Any = values.tolist() if isinstance(values, np.ndarray) else values
        seen = _Seen(self._mend)
        try:
            made = [seen[value] if type(value) is str else self._other(value) for value in listed]
        except _Unread as bad:
            row = next(row for row, value in enumerate(listed) if _text_of(value) == bad.text)
            raise rejected(listed, row, bad.rule) from None
        if self._reads == "number" and set(map(type, made)) <= _NUMBERS:
            try:
                return np.array(made, dtype=np.float64)
            except OverflowError:  # the inner column says so, with the row
                return made
        if self._reads == "moment" and all(value is None or (type(value) is dt.datetime and value.tzinfo is None) for value in made):
            return np.array(made, dtype="datetime64[us]")
        return made

    def value(self, value: object) -> object:
        """One value as the inner column reads it, None where it is missing.

        Raises:
            ValueRejected: no rule can read it.
        """
        try:
            return self._mend(value) if type(value) is str else self._other(value)
        except _Unread as bad:
            raise rejected([value], 0, bad.rule) from None

    def _through(self, values: Values, step: Callable[[Any], Any]) -> Any:
        """A step of the inner column on mended values; what it refuses is told with the raw value."""
        mended = self.repaired(values)
        try:
            return step(mended)
        except ValueRejected as bad:
            row = re.fullmatch(r"row (\d+)", bad.where)
            raise (rejected(values, int(row[1]), bad.rule) if row else bad) from None

    @property
    def _inner(self) -> Column:
        return self.column

    @functools.cached_property
    def _reads(self) -> Reads:
        return reads(self.column)

    @functools.cached_property
    def _mend(self) -> Callable[[str], Any]:
        """A text as a value: made once, with everything that depends on the rules alone."""
        mend = {"number": _numbers, "truth": _truth, "moment": _moments, "text": _texts}[self._reads](self.repair)
        missing = frozenset(word.strip() for word in self.repair.missing)
        if not missing:
            return mend
        return lambda text: None if text.strip() in missing else mend(text)

    def _other(self, value: Any) -> Any:
        """What is no plain text: passes, but a number that a truth word names."""
        if type(value) is float or type(value) is int:
            if self._reads == "truth" and value == value:
                return self._mend(f"{value:g}")
            return value
        if isinstance(value, str):  # np.str_
            return self._mend(str(value))
        if type(value) is dt.date and self._reads == "moment":
            return dt.datetime(value.year, value.month, value.day)  # without a zone it is UTC
        return None if is_missing(value) else value


def reads(column: Column) -> Reads:
    """What a column reads once texts are mended.

    >>> reads(Number()), reads(Time()), reads(Flag())
    ('number', 'moment', 'truth')
    """
    if isinstance(column, Time):
        return "moment" if column.unit is None else "number"
    if isinstance(column, Number) or asked(column) == {float}:
        return "number"
    return "truth" if isinstance(column, Flag) or asked(column) == {bool} else "text"


def asked(column: Column) -> set[Any]:
    """The types that a column takes in JSON.

    >>> asked(Number())
    {<class 'float'>}
    """
    request = column.request
    return set(get_args(request)) if get_origin(request) in (Union, UnionType) else {request}


def meant(column: Column, values: Values) -> Values:
    """Raw values as they are meant: mended where the column repairs, themselves otherwise.

    Raises:
        ValueRejected: a text that no rule can read.
    """
    return column.repaired(values) if isinstance(column, Repaired) else values


def inside(column: Column) -> Column:
    """The column behind a repair, or the column itself.

    >>> inside(Repaired(column=Number()))
    Number(offset=0.0)
    """
    return column.column if isinstance(column, Repaired) else column


class _Unread(Exception):
    """A text that no rule can read."""

    def __init__(self, text: str, rule: str) -> None:
        super().__init__(text)
        self.text, self.rule = text, rule


class _Seen(dict[str, Any]):
    """Texts and what they mean, each mended when it is met for the first time."""

    def __init__(self, mend: Callable[[str], Any]) -> None:
        super().__init__()
        self._mend = mend

    def __missing__(self, text: str) -> Any:
        made = self[text] = self._mend(text)
        return made


_NUMBERS = {float, int, type(None)}


def _text_of(value: object) -> str | None:
    """What was mended for this value: a text, or the text of a number that a truth word may name."""
    return str(value) if isinstance(value, str) else f"{value:g}" if type(value) is float or type(value) is int else None


def _tag(column: Any) -> str:
    return str(column.__struct_config__.tag)


def _numbers(repair: Repair) -> Callable[[str], float]:
    """Texts as numbers: signs taken off, groups of three digits joined, a unit behind them counted."""
    decimal, group = re.escape(repair.decimal), ""
    if repair.thousands:
        between = _GROUPS.get(repair.thousands, re.escape(repair.thousands))
        group = rf"[0-9]{{1,3}}(?:{between}[0-9]{{3}})+(?![0-9])|"
    digits = rf"(?:{group}[0-9]+)(?:{decimal}[0-9]*)?|{decimal}[0-9]+"
    number = re.compile(rf"([+-]?)\s*({digits})((?:[eE][+-]?[0-9]+)?)\s*(.*)", re.DOTALL)
    strip = sorted((sign for sign in repair.strip if sign), key=len, reverse=True)
    units, folded = repair.units, {unit.casefold(): counts for unit, counts in repair.units.items()}
    rule = _number_rule(repair)

    def mend(text: str) -> float:
        bare = _off(text.translate(_MINUS).strip(), strip)
        sign = ""
        if strip and bare[:1] in ("-", "+"):  # the sign may stand before or after the currency
            sign, bare = bare[0], _off(bare[1:].lstrip(), strip)
        found = number.fullmatch(bare)
        if found is None or (sign and found[1]):
            raise _Unread(text, rule)
        counts = 1.0
        if unit := _off(found[4], strip):
            known = units.get(unit, folded.get(unit.casefold()))
            if known is None:
                raise _Unread(text, rule)
            counts = known
        kept = "".join(sign for sign in found[2] if sign.isdigit() or sign == repair.decimal)
        x = float((sign or found[1]) + kept.replace(repair.decimal, ".") + found[3])
        return x if counts == 1.0 else x * counts

    return mend


def _off(text: str, signs: list[str]) -> str:
    """A text without these signs at its ends."""
    again = bool(signs)
    while again:
        again = False
        for sign in signs:
            if text.startswith(sign):
                text, again = text[len(sign) :].lstrip(), True
            if text.endswith(sign) and text:
                text, again = text[: -len(sign)].rstrip(), True
    return text


def _number_rule(repair: Repair) -> str:
    signs = [f"`{repair.decimal}` before decimals"]
    signs += [f"`{repair.thousands}` between groups of three digits"] if repair.thousands else []
    signs += [f"{', '.join(repair.strip)} taken off"] if repair.strip else []
    signs += [f"{', '.join(repair.units)} as units"] if repair.units else []
    return f"a number with {', '.join(signs)}{_or_missing(repair)}"


def _truth(repair: Repair) -> Callable[[str], bool]:
    # What was mended is written as true and false, and reads back.
    words = {"true": True, "false": False} | {word.strip().casefold(): truth for word, truth in repair.truth.items()}
    rule = f"true or false as one of {', '.join(list(repair.truth)[:12])}{_or_missing(repair)}"

    def mend(text: str) -> bool:
        truth = words.get(text.strip().casefold())
        if truth is None:
            raise _Unread(text, rule)
        return truth

    return mend


def _moments(repair: Repair) -> Callable[[str], dt.datetime]:
    rule = f"a date or time as {', '.join((*repair.dates, 'ISO 8601'))}{_or_missing(repair)}"

    def mend(text: str) -> dt.datetime:
        bare = text.strip()
        for form in repair.dates:
            try:
                return _in_utc(dt.datetime.strptime(bare, form))  # without a zone it is UTC, as in the column `time`
            except ValueError:
                continue
        try:
            return _in_utc(dt.datetime.fromisoformat(bare))
        except ValueError:
            raise _Unread(text, rule) from None

    return mend


def _in_utc(moment: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:  # in the first or the last day of the calendar
        return moment


def _texts(repair: Repair) -> Callable[[str], str | None]:
    written = alike(repair)
    merge = {written(before): after for before, after in repair.merge.items()}
    # What was merged stays as it is when it is mended again, and a chain of merges ends where it leads.
    merge = {**{written(after): after for after in merge.values() if written(after) not in merge}, **merge}
    for before, after in merge.items():
        seen = {before}
        while (written(after) in merge) and written(after) not in seen:
            seen.add(written(after))
            after = merge[written(after)]
        merge[before] = after
    missing = {written(word) for word in repair.missing}

    def mend(text: str) -> str | None:
        made = written(text)
        return None if made in missing else merge.get(made, made)

    return mend


def alike(repair: Repair) -> Callable[[str], str]:
    """What makes texts alike by `repair.text`, in the order that it says.

    >>> alike(Repair(text=("spaces", "strip", "lower")))("  New   York ")
    'new york'
    """
    steps: dict[str, Callable[[str], str]] = {
        "unicode": functools.partial(unicodedata.normalize, "NFKC"),
        "spaces": functools.partial(_SPACES.sub, " "),
        "strip": str.strip,
        "lower": str.lower,
        "upper": str.upper,
    }
    chosen = [steps[name] for name in repair.text]

    def made(text: str) -> str:
        for step in chosen:
            text = step(text)
        return text

    return made


def _or_missing(repair: Repair) -> str:
    words = ", ".join(repr(word) for word in repair.missing[:12])
    return f", or missing as {words}" if words else " or null"


def check_repair(repair: Repair, column: Column) -> None:
    """Make sure that every rule of a repair is one that this column uses.

    Raises:
        SpecError: a rule that would never be read, such as `dates` of a number.
    """
    used = {"number": ("decimal", "thousands", "strip", "units"), "truth": ("truth",), "moment": ("dates",), "text": ("text", "merge")}
    mine = ("missing", *used[reads(column)])
    default = Repair()
    for field in msgspec.structs.fields(Repair):
        if field.name not in mine and getattr(repair, field.name) != getattr(default, field.name):
            raise SpecError(
                f"a rule for a {cast('Any', column).__struct_config__.tag}",
                rule=f"one of {', '.join(mine)}",
                given=Told(f"`{field.name}`"),
                remedy=did_you_mean(field.name, mine) or "Declare the column's type beside its repair.",
            )
