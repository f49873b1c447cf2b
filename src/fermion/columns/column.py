"""The idea of a column: what a value means, and the arrays it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core import registry
from fermion.core.errors import SpecError, ValueRejected

Values = Sequence[object] | NDArray[Any]  # from JSON, or whole columns
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
