"""Personal data on their way into a model: hashed with a salt that is kept elsewhere, or with personal patterns cut out of the text."""

from __future__ import annotations

import datetime as dt
import functools
import hmac
import math
import os
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.audio import Audio
from fermion.columns.category import Category, read_levels
from fermion.columns.column import Coded, Column, Slot, Values, as_column, blank_rows, is_missing
from fermion.columns.flag import Flag
from fermion.columns.number import Number, read_numbers
from fermion.columns.patterns import redacted
from fermion.columns.repair import Repaired, asked, inside, meant
from fermion.columns.time import Time
from fermion.core.declared import part
from fermion.core.errors import DataError, SpecError, Told, UsageError, ValueRejected

DIGITS = 16  # hexadecimal: 64 bits
SHORTEST = 16  # characters of a salt; a shorter one could be found by trying all
INVENTED = ("it works well", "please call me back", "the order came late and one part was missing", "thank you", "is it open today?")
HIDDEN = Told("a private value")
_LABEL = b"fermion: which salt is it?"


class Hashed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="type", tag="hashed"):
    """A category over salted digests: equal values stay equal, and nobody reads them back.

    A value counts by its text, so 7 and "7" are one; its digest is the first 64 bits of HMAC-SHA256(salt, text). Of n distinct values
    two share a digest with a chance of about n^2 / 2^65: 3e-8 for a million. The salt is read from the environment once, when the
    encoder is made; the column keeps the variable's name and a digest that tells one salt from another, never the salt.

    Krawczyk, Bellare and Canetti, "HMAC: Keyed-Hashing for Message Authentication", RFC 2104, 1997.

    >>> os.environ["DOCS_SALT"] = "kept outside of the repository"
    >>> person = Hashed(salt="DOCS_SALT").fit(["Ada", "Bob", "Ada"])
    >>> person.encode(["Bob", "Eve", None])[0].tolist(), "Ada" in str(person)
    ([3, 1, 0], False)
    """

    salt: Annotated[str, Meta(min_length=1, description="The environment variable that holds the salt.")] = "FERMION_SALT"
    check: Annotated[str, Meta(description="A digest of the salt that training used.")] = ""
    column: Category = Category()

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self.column.slots

    @property
    def request(self) -> Any:
        return str | int

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Hashed:
        return Hashed(salt=self.salt, check=_digest(self.key, _LABEL), column=self.column.fit(self.digests(values)))

    def encode(self, values: Values) -> tuple[NDArray[Any], ...]:
        return self.column.encode(self.digests(values))

    def plain(self, value: object) -> object:
        alone = np.empty(1, dtype=object)  # an array, as the tables whose values these are: 3.0 beside nulls is 3
        alone[0] = value
        return _levels(alone)[0]

    def digests(self, values: Values) -> Values:
        """(N,) the digest of each value, None where it is missing; every distinct value is hashed once.

        Raises:
            ValueRejected: a value is neither text nor a whole number. UsageError: the salt is not there, or another one.
        """
        if isinstance(values, Coded):
            return Coded(values.mended(self.digests), values.codes)
        seen: dict[str | int | None, str | None] = {None: None}
        key = self.key
        for level in set(levels := _levels(values)):
            if level is not None:
                seen[level] = _digest(key, str(level).encode("utf-8", "surrogatepass"))
        return [seen[level] for level in levels]

    @functools.cached_property
    def key(self) -> bytes:
        """The salt, from the environment.

        Raises:
            UsageError: it is not there, too short, or not the one that training used.
        """
        subject, salt = f"the environment variable `{self.salt}`", os.environ.get(self.salt, "")
        if not salt:
            raise UsageError(
                subject,
                rule="set to the salt of private columns" + (", the one that training used" if self.check else ""),
                given=Told("nothing"),
                remedy=f"Keep it outside the repository and set it: export {self.salt}=..."
                + ("" if self.check else "; `openssl rand -hex 32` makes a new one."),
            )
        if len(salt) < SHORTEST:
            remedy = "`openssl rand -hex 32` makes one."
            raise UsageError(subject, rule=f"at least {SHORTEST} characters long", given=Told(f"{len(salt)} characters"), remedy=remedy)
        key = salt.encode("utf-8", "surrogateescape")
        if self.check and not hmac.compare_digest(self.check.encode(), _digest(key, _LABEL).encode()):
            remedy = "Set the salt of the training: with another one no value would be known."
            raise UsageError(subject, rule="the salt that training used", given=Told("another one"), remedy=remedy)
        return key


class Redacted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="redacted"):
    """A column of texts in which personal patterns become tags, in training and in serving alike: `mail <EMAIL> or call <PHONE>`.

    What the patterns are is told in `fermion.columns.patterns`; names and addresses have no pattern and stay. A whole number that is
    personal (a card, a phone) becomes its tag too.

    >>> note = Redacted(column=Category()).fit(["paid", "write to ada@example.org"])
    >>> note.column.levels
    ('paid', 'write to <EMAIL>')
    """

    column: Annotated[Any, part("columns", description="The column that reads the texts that remain.")] = Category()

    def __post_init__(self) -> None:
        if not isinstance(self.column, Struct):
            msgspec.structs.force_setattr(self, "column", as_column(self.column, "the column of redacted texts"))
        if str not in asked(self._inner) or len(asked(self._inner) - {str, int}) or isinstance(self.column, Hashed | Redacted):
            given = Told(self.column.__struct_config__.tag)
            raise SpecError("the column of redacted texts", rule="one that reads texts, such as category", given=given)

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._inner.slots

    @property
    def request(self) -> Any:
        return self._inner.request

    @property
    def needs(self) -> tuple[str, ...]:
        return self._inner.needs

    def fit(self, values: Values) -> Redacted:
        return Redacted(column=_hiding(self._inner.fit, self.redacted(values)))

    def encode(self, values: Values) -> tuple[NDArray[Any], ...]:
        return _hiding(self._inner.encode, self.redacted(values))

    def blank(self, values: Values) -> NDArray[np.bool_]:
        """(N,) whether a value holds nothing, as the inner column says; hiding a pattern empties no text."""
        return blank_rows(self._inner, values)

    def plain(self, value: object) -> object:
        return _hiding(self._inner.plain, self.redacted([value])[0])

    def redacted(self, values: Values) -> Values:
        """(N,) the values without personal patterns; every distinct text is searched once."""
        if isinstance(values, Coded):
            return Coded(values.mended(self.redacted), values.codes)
        listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
        seen: dict[str, str] = {}
        for text in {str(value) for value in listed if isinstance(value, str | int | np.integer) and not isinstance(value, bool)}:
            seen[text] = redacted(text)
        return [_without(value, seen) for value in listed]

    @property
    def _inner(self) -> Column:
        return self.column


def within(column: Column) -> Column:
    """The column behind repair and redaction, or the column itself: the one that makes the arrays of a text.

    >>> within(Redacted(column=Category()))
    Category(levels=(), most=10000)
    """
    inner: Any = inside(column)
    return inner.column if isinstance(inner, Redacted) else inner


def read(column: Column, values: Values) -> Values:
    """Raw values as the column `within` reads them: mended and redacted.

    >>> read(Redacted(), ["from ada@example.org"])
    ['from <EMAIL>']
    """
    mended, inner = meant(column, values), inside(column)
    return inner.redacted(mended) if isinstance(inner, Redacted) else mended


def coarse(column: Any, values: Values) -> Any:
    """A fitted column whose learned bounds are no value of the data: rounded down, to within the order of their spread.

    >>> coarse(Number().fit([1951.0, 2004.0]), [1951.0, 2004.0])
    Number(offset=1945.0)
    """
    if isinstance(column, Repaired):
        return Repaired(column=coarse(column.column, column.repaired(values)), repair=column.repair)
    if isinstance(column, Number) and column.offset:
        return Number(offset=rounded(*_bounds(read_numbers(values)))[0])
    if isinstance(column, Time):
        month = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=max(column.origin, -62e9))  # seconds of UTC
        start = month.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - dt.datetime(1970, 1, 1)
        return msgspec.structs.replace(column, origin=start.total_seconds() - 43_200)
    return column


def rounded(low: float, high: float) -> tuple[float, float]:
    """Bounds outside of both numbers, on the half steps of the power of ten below their spread.

    >>> rounded(18.0, 83.0)
    (5.0, 95.0)
    """
    step = 10.0 ** math.floor(math.log10((high - low) or abs(low) or 1.0))
    return (math.floor(low / step) - 0.5) * step, (math.ceil(high / step) + 0.5) * step


def invented(column: Column, values: Values, rng: np.random.Generator) -> list[object]:
    """As many values of this column as there are, none of which was copied: what golden rows show of personal data.

    Numbers and moments are drawn between bounds rounded outward, hashed values are tokens that nobody has, names are levels that the
    column holds anyway, pictures, sounds and series are noise. A missing value stays missing.

    >>> invented(Number(), [31.0, None], np.random.default_rng(0))
    [37.7, None]

    Raises:
        DataError: a kind of column for which no value can be made up.
    """
    raw = meant(column, values)
    read: Any = inside(column)
    present = [row for row in range(len(raw)) if not is_missing(raw[row])]
    made: list[object] = [None] * len(raw)
    taken = set[float]()
    if isinstance(read, Number) or (isinstance(read, Time) and present):
        x_N = read_numbers(raw) if isinstance(read, Number) else read.seconds(raw)
        low, high = rounded(*_bounds(x_N))
        taken = set(x_N.tolist())
    else:
        low = high = 0.0
    for row in present:
        if isinstance(read, Hashed):
            made[row] = f"{rng.integers(1 << 32):08x}"
        elif isinstance(read, Redacted | Category):
            names = read.column if isinstance(read, Redacted) else read
            levels = names.levels if isinstance(names, Category) else INVENTED
            made[row] = levels[rng.integers(len(levels))] if levels else "unknown"
        elif isinstance(read, Flag):
            made[row] = bool(rng.integers(2))
        elif isinstance(read, Number):
            made[row] = _drawn(low, high, taken, rng)
        elif isinstance(read, Time):
            seconds = _drawn(low, high, taken, rng)
            moment = np.datetime64(int(seconds), "s")
            made[row] = read.plain(moment) if read.unit else f"{moment}"
        elif column.slots[0].role == "image":
            made[row] = rng.integers(0, 256, column.encode([raw[row]])[0].shape[1:], dtype=np.uint8)
        elif isinstance(read, Audio):
            made[row] = rng.normal(0.0, 0.1, len(read.samples(raw[row], raw, row))).astype(np.float32)
        elif column.slots[0].role == "series":
            made[row] = _noise(column.plain(raw[row]), rng)
        else:
            rule, remedy = "one for which a value can be made up", "Hash it, redact it or drop it."
            raise DataError("a private column", rule=rule, given=Told(type(read).__name__), remedy=remedy)
    return made


def _noise(plain: Any, rng: np.random.Generator) -> Any:
    """A series of the same form whose numbers are drawn from a standard normal, one step after the other."""
    if isinstance(plain, dict):
        steps: list[Any] = plain["values"]  # pyright: ignore[reportUnknownVariableType]
        return {"times": [float(step - len(steps) + 1) for step in range(len(steps))], "values": _noise(steps, rng)}
    if isinstance(plain, list):
        return [_noise(step, rng) for step in plain]  # pyright: ignore[reportUnknownVariableType]
    return None if plain is None else float(f"{rng.normal():.3g}")


def _drawn(low: float, high: float, taken: set[float], rng: np.random.Generator) -> float:
    """A number with three digits of the spread that is not in the data."""
    step = 10.0 ** (math.floor(math.log10(high - low)) - 2)
    while (x := float(f"{round(rng.uniform(low, high) / step) * step:.12g}")) in taken:
        step /= 10
    return x


def _bounds(x_N: NDArray[np.float64]) -> tuple[float, float]:
    present = x_N[~np.isnan(x_N)]
    return (float(present.min()), float(present.max())) if present.size else (0.0, 0.0)


def hiding(bad: ValueRejected) -> ValueRejected:
    """The same rejection without the value."""
    return ValueRejected(bad.subject, rule=bad.rule, given=HIDDEN, remedy=bad.remedy, where=bad.where)


def _hiding(step: Any, values: Any) -> Any:
    try:
        return step(values)
    except ValueRejected as bad:
        raise hiding(bad) from None


def _levels(values: Values) -> list[str | int | None]:
    return _hiding(read_levels, values)


def _without(value: Any, seen: dict[str, str]) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
        return None if is_missing(value) else value
    text = str(value)
    return value if seen[text] == text else seen[text]


def _digest(key: bytes, message: bytes) -> str:
    return hmac.digest(key, message, "sha256").hex()[:DIGITS]
