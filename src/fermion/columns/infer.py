"""Which column a list of values is, where the project file does not say."""

from __future__ import annotations

import datetime as dt
import importlib.util
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from fermion.columns.audio import SUFFIXES, Audio, is_sound
from fermion.columns.category import Category
from fermion.columns.column import Column, Values, is_missing
from fermion.columns.derive import derived_of
from fermion.columns.expect import about_rows, rules
from fermion.columns.flag import Flag
from fermion.columns.geo import Geo, Place
from fermion.columns.image import MAGIC, Image
from fermion.columns.number import Number
from fermion.columns.private import Hashed, Redacted
from fermion.columns.repair import Repaired, check_repair
from fermion.columns.schema import Field, Schema
from fermion.columns.sequence import Sequence, Steps, read_steps
from fermion.columns.set import Set
from fermion.columns.text import Text
from fermion.columns.time import Time
from fermion.columns.vector import Vector
from fermion.core.declared import Declared, Expectation, Feature, Repair
from fermion.core.errors import DataError, SpecError, Told, ValueRejected, did_you_mean

SAMPLE = 2_000  # values looked at
FEW = 50  # texts, below which a share of distinct ones says nothing
WORDS = 4  # of a sentence
UNREAD = "its texts are sentences, and reading them needs: pip install 'fermion[text]'"
_MARKS = ".,;:!?()[]\"'“”„«»…-–"
IDENTIFIER = 0.5  # a text column with a larger share of distinct values names rows, it does not describe them


class Inferred(Struct, frozen=True, kw_only=True):
    """A schema that is not fitted yet, with the columns that were left out and why."""

    schema: Schema
    skipped: dict[str, str]
    missing: dict[str, bool]  # what was declared about missing values


def infer(
    batch: Mapping[str, Values],
    declared: Mapping[str, Declared],
    *,
    without: tuple[str, ...] = (),
    features: Iterable[Feature] = (),
    expect: Iterable[Expectation] = (),
    salt: str = "FERMION_SALT",
) -> Inferred:
    """A column for every name in `batch` that is not in `without`, declared ones first in mind.

    What is declared about repair and privacy is wrapped around the column; of the features those about one row become derived
    numbers, and of the expectations those about one row and about inputs come along. `private: drop` is no
    input. `salt` is the environment variable of `private: hash`.

    >>> infer({"age": [20.5], "city": ["Bern"], "id": ["x1"]}, {}).schema.names
    ('age', 'city', 'id')

    Raises:
        SpecError: a declared column is not in the data, or a feature or expectation does not fit its columns.
        ValueRejected: a text that a declared repair cannot read.
        DataError: nothing is left to learn from.
    """
    for name, said in declared.items():
        if name not in batch and said.private != "drop":
            raise SpecError(
                f"the column `{name}` of data.columns", rule="in the data", given=Told(_names(batch)), remedy=did_you_mean(name, batch)
            )
    fields: list[Field] = []
    skipped: dict[str, str] = {}
    for name, values in batch.items():
        said = declared.get(name, Declared())
        if said.private == "drop" or (said.column is None and name in without):
            continue
        found = declare(values, said, salt=salt)
        if isinstance(found, str):
            skipped[name] = found
        else:
            fields.append(Field(name=name, column=found, private=said.private is not None))
    if not fields:
        raise DataError(
            "the table",
            rule="made of at least one column to learn from",
            given=Told("; ".join(f"{name}: {why}" for name, why in skipped.items()) or "no column beside the target"),
            remedy="Declare the columns to use under data.columns.",
        )
    missing = {name: said.missing == "accept" for name, said in declared.items() if said.missing != "learn"}
    schema = Schema(fields=tuple(fields), derived=derived_of(features), expect=about_rows(expect, [field.name for field in fields]))
    rules(schema.expect, schema.columns)
    return Inferred(schema=schema, skipped=skipped, missing=missing)


def declare(values: Values, said: Declared, *, salt: str = "FERMION_SALT") -> Column | str:
    """The column that is declared for these values, or that fits them once they are mended, behind its repair and its privacy.

    >>> declare(["1,234.50", "n/a"], Declared(repair=Repair(thousands=",", missing=("n/a",)))).column
    Number(offset=0.0)

    Raises:
        SpecError: a repair or a kind of privacy that this column has no use for. ValueRejected: a text that the repair cannot read.
    """
    column: Any = said.column
    if column is None and said.private == "hash":
        column = Category()
    if column is None:
        column = _mended(values, said.repair) if said.repair is not None else guess(values)
        if said.private == "redact" and isinstance(column, str):
            column = guess(Redacted().redacted(values))
        if isinstance(column, str):
            return column
    if said.private == "hash":
        if not isinstance(column, Category):
            given = Told(f"a {column.__struct_config__.tag}")
            raise SpecError("a column with `private: hash`", rule="a category", given=given, remedy="Numbers and dates cannot be hashed.")
        column = Hashed(salt=salt, column=column)
    elif said.private == "redact":
        column = Redacted(column=column)
    if said.repair is None:
        return column
    check_repair(said.repair, column)
    return Repaired(column=column, repair=said.repair)


def _mended(values: Values, repair: Repair) -> Column | str:
    """The column that the rules of a repair are about; where they do not say, the one that fits the mended values."""
    if repair.truth:
        return Flag()
    if repair.dates:
        return Time()
    if repair.thousands or repair.strip or repair.units or repair.decimal != ".":
        return Number()
    found = guess(Repaired(column=Category(), repair=repair).repaired(values))
    # What is left once the missing words are gone may be numbers in texts.
    return found if repair.text or repair.merge or not isinstance(found, Category | str) else _numbers_or(values, repair, found)


def _numbers_or(values: Values, repair: Repair, found: Column | str) -> Column | str:
    try:
        read = Repaired(column=Number(), repair=repair).repaired(values)
    except DataError:
        return found
    return Number() if any(not is_missing(value) for value in read) else found


def guess(values: Values) -> Column | str:
    """The column that fits these values, or why there is none.

    >>> type(guess([1.5, None])).__name__, type(guess(["2026-01-01"])).__name__, guess([None])
    ('Number', 'Time', 'every value is missing')
    """
    if isinstance(values, np.ndarray) and values.ndim > 1:
        if values.dtype == np.uint8 and values.ndim in (3, 4):
            return Image()
        if values.dtype.kind in "iuf" and values.ndim == 3:
            return Sequence()
        if values.dtype.kind in "iuf" and values.ndim == 2:
            return Vector()
        return f"an array of shape {values.shape[1:]} and type {values.dtype} is no picture (uint8, height x width x channels)"
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufbM":
        present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        if not present.size:
            return "every value is missing"
        return {"b": Flag(), "M": Time()}.get(values.dtype.kind, Number())
    sample: list[Any] = list(itertools.islice((value for value in values if not is_missing(value)), SAMPLE))
    if not sample:
        return "every value is missing"
    return _of_kind(sample)


def _of_kind(sample: list[Any]) -> Column | str:
    kinds = {type(value) for value in sample}
    if kinds <= {bool, np.bool}:
        return Flag()
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in sample):
        return Number()
    if kinds <= {dt.date, dt.datetime, np.datetime64}:
        return Time()
    if kinds == {bytes} and all(is_sound(value) for value in sample):
        return Audio()
    if kinds == {bytes}:
        return Image() if all(value.startswith(MAGIC) for value in sample) else "the bytes are no image or sound file"
    if all(isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3) for value in sample):
        return Image()
    if all(isinstance(value, str) for value in sample):
        return _of_text(sample)
    if (listed := _of_lists(sample)) is not None:
        return listed
    if all(isinstance(value, str | int) and not isinstance(value, bool) for value in sample):
        return Category()
    return f"values of type {', '.join(sorted(kind.__name__ for kind in kinds))} fit no column"


def _of_lists(sample: list[Any]) -> Column | None:
    """Series, vectors where lists of numbers are all of one length, sets of names, or places where latitude and longitude are told."""
    if (series := _of_series(sample)) is not None:
        return series
    if all(isinstance(value, Place) or (isinstance(value, dict) and value.keys() == {"lat", "lon"}) for value in sample):
        return Geo()
    for column in (Vector(), Set()):
        try:
            column.fit(sample)
        except ValueRejected:
            continue
        return column
    return None


def _of_series(sample: list[Any]) -> Column | None:
    """Lists of numbers of several lengths, lists of lists of numbers, or either with times."""
    if all(isinstance(value, Steps) or (isinstance(value, dict) and value.keys() == {"times", "values"}) for value in sample):
        return Sequence(times=True)
    if not all(isinstance(value, list | tuple | np.ndarray) for value in sample):
        return None
    try:
        shapes = {read_steps(value, sample, row).shape for row, value in enumerate(sample)}
    except ValueRejected:
        return None
    return Sequence() if len(shapes) > 1 or any(width > 1 for _, width in shapes) else None


def _of_text(sample: list[str]) -> Column | str:
    if all(text.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")) for text in sample):
        return Image()
    if all(text.lower().endswith(SUFFIXES) for text in sample):
        return Audio()
    if all(_is_time(text) for text in sample[:200]):
        return Time()
    distinct = len(set(sample)) / len(sample)
    if len(sample) >= FEW and distinct > IDENTIFIER and is_language(sample):
        return Text() if importlib.util.find_spec("tokenizers") else UNREAD
    if len(sample) >= FEW and distinct > IDENTIFIER:
        return f"{distinct:.0%} of its texts are distinct: they name rows instead of describing them"
    return Category()


def is_language(sample: list[str]) -> bool:
    """Whether most texts are sentences: four words or more of letters, most of which begin small, as names and titles do not.

    Of scripts without spaces or capitals, two letters count as a small word.

    >>> is_language(["the card was charged twice", "why is my card not working?"]), is_language(["Braund, Mr. Owen Harris"])
    (True, False)
    """
    return sum(map(_is_sentence, sample)) > len(sample) / 2


def _is_sentence(text: str) -> bool:
    words = [word for part in text[:1_000].split() if (word := part.strip(_MARKS)) and word.replace("'", "").replace("-", "").isalpha()]
    caseless = 0 if text.isascii() else sum(one.isalpha() and one.lower() == one.upper() for one in text[:1_000])
    cased = [word for word in words if word.lower() != word.upper()]
    count = len(cased) + caseless // 2
    return count >= WORDS and 2 * (sum(word[0].islower() for word in cased) + caseless // 2) >= count


def _is_time(text: str) -> bool:
    if len(text) < 10 or not text[:4].isdigit() or text[4] != "-":
        return False
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _names(batch: Mapping[str, Values]) -> str:
    return "columns " + ", ".join(list(batch)[:12])
