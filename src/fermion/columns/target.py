"""What kinds of targets share: which column they read, which array of the graph is theirs, and how numbers are standardised."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.columns.classes import NUMBER, Label, name_of


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column that is to be predicted, and the array of the graph that holds the answer."""

    target: str
    array: str = ""

    def of(self, target: str) -> Self:
        """The same for this column."""
        return structs.replace(self, target=target)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that hold the truth."""
        return (self.target,)


class Numeric(Target, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target of numbers, one in a row: NaN where it is missing."""

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: one number."""
        return ()

    @property
    def answers(self) -> dict[str, Any]:
        """What an answer holds, as JSON Schemas by key."""
        return {"prediction": NUMBER}

    def known(self, y_N: NDArray[Any], /) -> NDArray[np.bool_]:
        """(N,) which encoded targets are there."""
        return ~np.isnan(y_N)


class Standardised(Numeric, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers that models learn as (y - offset) / scale, so that large ones lose nothing in float32."""

    offset: float = 0.0
    scale: float = 1.0

    def standardised(self, y: NDArray[np.float64], prefix: str) -> Self:
        """The mean and the standard deviation of the known numbers, and the array's name where it has none."""
        y = y[~np.isnan(y)]
        spread = float(y.std()) if y.size else 1.0
        return structs.replace(
            self,
            array=self.array or f"{prefix}:{self.target}",
            offset=float(y.mean()) if y.size else 0.0,
            scale=spread if spread > 0 else 1.0,
        )

    def restore(self, v: NDArray[Any], /) -> NDArray[np.float64]:
        """Standardised values -> values in the target's own unit."""
        return self.offset + self.scale * v.astype(np.float64)


class Named(Target, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target whose values are names, sorted and frozen at fit."""

    classes: tuple[Label, ...] = ()

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: (K,)."""
        return (len(self.classes),)

    @property
    def shares(self) -> dict[str, Any]:
        """One number per class, as a JSON Schema."""
        names = [name_of(label) for label in self.classes]
        return {"type": "object", "properties": dict.fromkeys(names, NUMBER), "required": names, "additionalProperties": False}

    def by_name(self, p_NK: NDArray[Any]) -> list[dict[str, float]]:
        """(N, K) numbers -> one object per row."""
        names = [name_of(label) for label in self.classes]
        return [dict(zip(names, row, strict=True)) for row in p_NK.tolist()]
