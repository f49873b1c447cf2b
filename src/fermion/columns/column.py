"""The idea of a column: what a value means, and the arrays it becomes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self, final, overload

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core import registry
from fermion.core.errors import SpecError, ValueRejected

SOME = 4_096  # values that are made at a time
Values = Sequence[object] | NDArray[Any]  # from JSON, or whole columns; a `Coded` where a table has many equal texts
Arrays = dict[str, NDArray[Any]]  # names to arrays with one batch axis in common, the first
Batch = dict[str, Any]  # names to equally long lists or arrays of values


class Slot(Struct, frozen=True, kw_only=True):
    """One array that a column becomes: (N, *shape) of dtype.

    None in shape is a length that varies: each batch is as long as its longest row and filled with `padding` on the right.
    `role` says what the array is for a model, and so which arrays may be fused into one:

    - "number": (N,) float32, NaN where missing; fused into `numbers (N, F)`
    - "code": (N,) int64 below `size`, 0 missing, 1 unseen; fused into `codes (N, C)`
    - anything else ("image", ...) stays an array of its own, named `column.slot`
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] = ()
    padding: float | None = None
    role: str = "number"
    size: int = 0  # how many codes there are, for the role "code"


class Column(Protocol):
    """Frozen; its fields are its settings and what fitting learned. Contract: `fermion.testing.columns`.

    What is too big for a field (a tokenizer) is an asset: a file name and a digest here, the bytes beside the manifest.

    A column whose values can be there and yet hold nothing (a clip without a sample) also has `blank(values) -> (N,) bool`, true for
    those: they count as missing, so they are refused where training had no missing value. A value that `encode` refuses is not blank.
    """

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What `encode` returns, in order. Known once fitted."""
        ...

    @property
    def request(self) -> Any:
        """The type of one present value in JSON, for msgspec: float, str, bytes (base64) or a union of them."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The extras of the package that encoding a JSON value needs, e.g. ("media",)."""
        ...

    def fit(self, values: Values) -> Self:
        """A column like this one that has learned from `values`, the training part."""
        ...

    def encode(self, values: Values) -> tuple[NDArray[Any], ...]:
        """N values -> one array per slot, row by row: a value's code does not depend on its neighbours.

        Raises:
            ValueRejected: a value that this column cannot mean, with its row.
        """
        ...

    def plain(self, value: object) -> object:
        """A value of this column as JSON can carry it, None where it is missing: what golden rows and clients send."""
        ...


@final
class Coded(Sequence[object]):
    """Many values of which few are distinct: value n is `distinct[codes[n]]`. A sequence like any other, for who does not know it.

    >>> cities = Coded(["Bern", "Rome"], np.array([0, 1, 0]))
    >>> list(cities), cities[1], cities.counts.tolist(), cities.each(lambda names: np.array([len(str(name)) for name in names])).tolist()
    (['Bern', 'Rome', 'Bern'], 'Rome', [2, 1], [4, 4, 4])

    Args:
        distinct: (D,) the values, each of which occurs; None or NaN where missing. Two are equal where what mends texts made them so.
        codes: (N,) whole numbers from 0 to D - 1.
    """

    def __init__(self, distinct: Values, codes: NDArray[Any]) -> None:
        self.distinct, self.codes = distinct, codes

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> object: ...
    @overload
    def __getitem__(self, place: slice) -> Coded: ...
    def __getitem__(self, place: int | slice) -> object:
        return self.take(place) if isinstance(place, slice) else self.distinct[self.codes[place]]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.codes), SOME):
            yield from map(self.distinct.__getitem__, self.codes[start : start + SOME].tolist())

    @functools.cached_property
    def counts(self) -> NDArray[np.int64]:
        """(D,) how often each value occurs."""
        return np.bincount(self.codes, minlength=len(self.distinct))

    def take(self, rows: NDArray[Any] | slice) -> Coded:
        """The values of these rows, a mask or numbers, without those that do not occur in them."""
        if isinstance(rows, slice) and rows == slice(None):
            return self
        part = Coded(self.distinct, self.codes[rows])
        there_D = part.counts > 0
        if there_D.all():
            return part
        places_D = (np.cumsum(there_D) - 1).astype(self.codes.dtype)
        return Coded([self.distinct[place] for place in np.flatnonzero(there_D).tolist()], places_D[part.codes])

    def each(self, step: Callable[[Values], NDArray[Any]]) -> NDArray[Any]:
        """What `step` makes of all values, row by row, taken once for each distinct one.

        Raises:
            ValueRejected: what the step refuses, with the row in the whole.
        """
        return self.mended(step)[self.codes]

    def mended(self, step: Callable[[Values], Any]) -> Any:
        """(D,) what `step` makes of the distinct values.

        Raises:
            ValueRejected: what the step refuses, with the row in the whole.
        """
        try:
            return step(self.distinct)
        except ValueRejected:
            step(list(self))  # the same again, to name the row
            raise


def encode_once(column: Column, values: Values) -> tuple[NDArray[Any], ...]:
    """What a column makes of values, each distinct one encoded once where they are coded.

    Raises:
        ValueRejected: a value that the column cannot mean, with its row.
    """
    if not isinstance(values, Coded):
        return column.encode(values)
    return tuple(array[values.codes] for array in values.mended(column.encode))


def rejected(values: Values, row: int, rule: str) -> ValueRejected:
    """The one error that a column raises, with the row that caused it."""
    value: Any = values[row]
    return ValueRejected("value", rule=rule, given=value.item() if isinstance(value, np.generic) else value, where=f"row {row}")


def is_missing(value: object) -> bool:
    """None, NaN and NaT are one thing, whichever library made them.

    >>> is_missing(None), is_missing(float("nan")), is_missing(""), is_missing(0)
    (True, True, False, False)
    """
    return value is None or (isinstance(value, float | np.floating | np.datetime64) and bool(value != value))


def blank_rows(column: Column, values: Values) -> NDArray[np.bool_]:
    """(N,) whether each value is there and holds nothing, as a column with `blank` says; never for others."""
    blank: Callable[[Values], NDArray[np.bool_]] | None = getattr(column, "blank", None)
    if blank is None:
        return np.zeros(len(values), dtype=np.bool_)
    return values.each(blank) if isinstance(values, Coded) else blank(values)


def as_column(raw: object, where: str) -> Any:
    """A column, or what a manifest holds of one: read by its `type` through the registry.

    >>> as_column({"type": "number", "offset": 2.0}, "column `age`")
    Number(offset=2.0)

    Raises:
        SpecError: nobody here knows its type, or it is no column.
    """
    if isinstance(raw, dict):
        section: dict[str, Any] = {**raw}
        return msgspec.convert(section, registry.find("columns", str(section.get("type", "")), where=where))
    if not isinstance(raw, Struct):
        raise SpecError("a column", rule="an object with its `type`", given=raw, where=where)
    return raw
