"""Some of a set of names: tags, ingredients, diagnoses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.category import FIRST, MISSING, UNSEEN, read_levels
from fermion.columns.column import Coded, Slot, Values, is_missing, rejected
from fermion.core.errors import ValueRejected

RULE = "a list of texts or whole numbers, or null"
Names = frozenset[str | int]


class Set(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="set"):
    """A list of names, in any order, as (N, 2 + levels) float32 with a 1 for each that is in it.

    Column 0 is 1 where the list is missing, column 1 where it has a name that training did not have or has rarely; then come the
    levels by frequency, then by name. A name that stands in a list twice counts once; an empty list is no missing one.

    With a `separator` a text is a list as well: `red|green`. Spaces around a name are not part of it then; an empty text is an empty
    list.

    >>> tags = Set().fit([["red", "round"], ["red"], []])
    >>> tags.levels, tags.encode([["round", "new"], None])[0].tolist()
    (('red', 'round'), [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    """

    levels: Annotated[tuple[str | int, ...], Meta(description="Learned: the names, by frequency, then by name.")] = ()
    most: Annotated[int, Meta(ge=1, le=65_536, description="Names that are kept; rarer ones count as unseen.")] = 1_000
    separator: Annotated[str, Meta(description="What stands between the names of a text; none where values are lists.")] = ""

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (Slot(name="levels", dtype="float32", shape=(len(self.levels) + FIRST,), role="vector"),)

    @property
    def request(self) -> Any:
        kinds = {type(level) for level in self.levels}
        listed = list[str] if kinds == {str} else list[int] if kinds == {int} else list[str | int]
        return listed | str if self.separator else listed

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Set:
        counts = Counter[str | int]()
        if isinstance(values, Coded):
            for names, times in zip(values.mended(self.names), values.counts.tolist(), strict=True):
                counts.update(dict.fromkeys(names or (), times))
        else:
            for names in self.names(values):
                counts.update(names or ())
        ranked = sorted(counts, key=lambda name: (-counts[name], str(name), type(name).__name__))
        return Set(levels=tuple(ranked[: self.most]), most=self.most, separator=self.separator)

    def encode(self, values: Values) -> tuple[NDArray[np.float32]]:
        if isinstance(values, Coded):
            return (values.each(lambda distinct: self.encode(distinct)[0]),)
        places: dict[str | int, int] = {level: place for place, level in enumerate(self.levels, FIRST)}
        x_NV = np.zeros((len(values), len(self.levels) + FIRST), dtype=np.float32)
        for row, names in enumerate(self.names(values)):
            if names is None:
                x_NV[row, MISSING] = 1.0
            for name in names or ():
                x_NV[row, places.get(name, UNSEEN)] = 1.0
        return (x_NV,)

    def plain(self, value: object) -> object:
        names = self.names([value])[0]
        return None if names is None else sorted(names, key=lambda name: (str(name), type(name).__name__))

    def names(self, values: Values) -> list[Names | None]:
        """(N,) the names of each value, None where it is missing.

        Raises:
            ValueRejected: a value is no list of texts or whole numbers.
        """
        found: list[Names | None] = []
        for row in range(len(values)):
            value: Any = values[row]
            if isinstance(value, str) and self.separator:
                found.append(frozenset(name for part in value.split(self.separator) if (name := part.strip())))
            elif isinstance(value, list | tuple | set | frozenset | np.ndarray):
                found.append(_read(value, values, row))  # pyright: ignore[reportUnknownArgumentType]
            elif is_missing(value):
                found.append(None)
            else:
                raise rejected(values, row, f"{RULE}, or names with `{self.separator}` between them" if self.separator else RULE)
        return found


def _read(value: Iterable[Any], values: Values, row: int) -> Names:
    try:
        names = read_levels(value if isinstance(value, np.ndarray) else list(value))  # an array's 3.0 is the level 3
    except ValueRejected:
        raise rejected(values, row, RULE) from None
    if any(name is None for name in names):
        raise rejected(values, row, "a list without nulls, or null")
    return frozenset(name for name in names if name is not None)
