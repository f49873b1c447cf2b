"""Numbers in a row of fixed length: an embedding, a spectrum, sensors of one machine."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.column import Slot, Values, is_missing, rejected
from fermion.core.errors import Told, ValueRejected

HUGE = float(np.finfo(np.float32).max)
_NUMBERS = (int, float, np.integer, np.floating, type(None))


class Vector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="vector"):
    """D numbers as (N, D) float32, NaN where one is missing; a missing vector is a row of NaN. Values are lists or arrays (D,).

    Scaling and imputation belong to the model, as those of numbers do. `size` is learned from the first vector; others must be as long.

    >>> look = Vector().fit([[1.0, 2.0, 3.0]])
    >>> look.size, look.encode([[1, None, 3], None])[0].tolist()
    (3, [[1.0, nan, 3.0], [nan, nan, nan]])
    """

    size: Annotated[int, Meta(ge=0, le=1_000_000, description="Numbers of a vector; 0 to learn it.")] = 0

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (Slot(name="values", dtype="float32", shape=(self.size,), role="vector"),)

    @property
    def request(self) -> Any:
        return Annotated[list[float | None], Meta(min_length=self.size, max_length=self.size)]

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Vector:
        block = _block(values)
        size = self.size or (block.shape[1] if block is not None else 0)
        for row in range(0 if block is not None else len(values)):
            if size:
                break
            if not is_missing(values[row]):
                size = len(_read(values[row], values, row))
        made = Vector(size=size or 1)
        made.encode(values)
        return made

    def encode(self, values: Values) -> tuple[NDArray[np.float32]]:
        block = _block(values)
        if block is None or block.shape[1] != self.size:
            block = np.full((len(values), self.size), np.nan)
            for row in range(len(values)):
                if not is_missing(values[row]):
                    x_D = _read(values[row], values, row)
                    if len(x_D) != self.size:
                        given = Told(f"{len(x_D)} numbers")
                        raise ValueRejected("value", rule=f"a list of {self.size} numbers, or null", given=given, where=f"row {row}")
                    block[row] = x_D
        if block.dtype.kind == "f":
            wrong_N = (np.abs(block) > HUGE).any(axis=1)
            if wrong_N.any():
                raise rejected(values, int(wrong_N.argmax()), "a list of finite numbers from -3.4e38 to 3.4e38, or null")
        return (block.astype(np.float32),)

    def plain(self, value: object) -> object:
        if is_missing(value):
            return None
        alone: list[object] = [value]
        exact: list[float] = self.encode(alone)[0][0].tolist()
        return [None if x != x else x for x in exact]


def _block(values: Values) -> NDArray[Any] | None:
    """Vectors in one array (N, D) as it is, else None."""
    whole = isinstance(values, np.ndarray) and values.ndim == 2 and values.dtype.kind in "iuf"
    return values if whole and isinstance(values, np.ndarray) else None


def _read(value: Any, values: Values, row: int) -> NDArray[np.float64]:
    """A list or array of numbers -> (D,) float64, D >= 1, NaN for None."""
    rule = "a list of numbers, or null"
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim == 1 and value.size:
        return value.astype(np.float64)
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):  # pyright: ignore[reportUnknownArgumentType]
        raise rejected(values, row, rule)
    listed: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
    if not all(issubclass(kind, _NUMBERS) and kind is not bool for kind in set(map(type, listed))):
        raise rejected(values, row, rule)
    try:
        return np.array(listed, dtype=np.float64)
    except OverflowError:  # an integer beyond 1.8e308
        raise rejected(values, row, rule) from None
