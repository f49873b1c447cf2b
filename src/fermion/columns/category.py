"""One of a set of names."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.column import Coded, Slot, Values, is_missing, rejected

MISSING, UNSEEN, FIRST = 0, 1, 2
RULE = "text, a whole number or null"


class Category(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="category"):
    """Text or whole numbers that name things. Code 0 is missing, 1 unseen, 2.. by frequency, then by name.

    A level that training did not see is coded 1 and counted by the service, never refused.

    >>> city = Category().fit(["Bern", "Rome", "Bern"])
    >>> city.levels, city.encode(["Rome", None, "Oslo"])[0].tolist()
    (('Bern', 'Rome'), [3, 0, 1])
    """

    levels: tuple[str | int, ...] = ()
    most: Annotated[int, Meta(ge=1, description="Levels that are kept; rarer ones are coded as unseen.")] = 10_000

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (Slot(name="code", dtype="int64", role="code", size=len(self.levels) + FIRST),)

    @property
    def request(self) -> Any:
        kinds = {type(level) for level in self.levels}
        return str if kinds == {str} else int if kinds == {int} else str | int

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Category:
        counts = Counter[str | int]()
        if isinstance(values, Coded):
            for level, count in zip(values.mended(read_levels), values.counts.tolist(), strict=True):
                if level is not None:
                    counts[level] += count
        else:
            counts.update(level for level in read_levels(values) if level is not None)
        ranked = sorted(counts, key=lambda level: (-counts[level], str(level), type(level).__name__))
        return Category(levels=tuple(ranked[: self.most]), most=self.most)

    def encode(self, values: Values) -> tuple[NDArray[np.int64]]:
        if isinstance(values, Coded):
            return (values.each(lambda distinct: self.encode(distinct)[0]),)
        codes: dict[str | int | None, int] = {level: code for code, level in enumerate(self.levels, FIRST)}
        codes[None] = MISSING
        return (np.fromiter((codes.get(level, UNSEEN) for level in read_levels(values)), np.int64, len(values)),)

    def plain(self, value: object) -> object:
        alone = np.empty(1, dtype=object)  # an array, as the tables whose values these are: 3.0 beside nulls is the level 3
        alone[0] = value
        return read_levels(alone)[0]


def read_levels(values: Values) -> list[str | int | None]:
    """Values as levels, None where missing; a float column that pandas or Polars made of integers with nulls is read back as integers.

    >>> read_levels(["Bern", None, 3])
    ['Bern', None, 3]

    Raises:
        ValueRejected: a value is neither text nor a whole number.
    """
    listed: Any = values.tolist() if isinstance(values, np.ndarray) else values
    levels: list[str | int | None] = []
    for row, value in enumerate(listed):
        if type(value) is str or value is None:
            levels.append(value)
        elif isinstance(value, bool | np.bool):
            raise rejected(values, row, RULE)
        elif isinstance(value, str):
            levels.append(str(value))
        elif isinstance(value, int | np.integer):
            levels.append(int(value))
        elif is_missing(value):
            levels.append(None)
        elif isinstance(value, float) and value.is_integer() and isinstance(values, np.ndarray):
            levels.append(int(value))
        else:
            raise rejected(values, row, RULE)
    return levels
