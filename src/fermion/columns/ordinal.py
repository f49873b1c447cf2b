"""Classes with an order: low, middle, high."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from fermion.columns.classes import Label
from fermion.columns.output import Probability


class Ordinal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="ordinal"):
    """A target whose classes are ranks. Nets learn it by a cumulative link; every model with classes can.

    Args:
        order: all classes from the lowest to the highest.

    >>> Ordinal(order=("low", "high")).of("risk").classes
    ('low', 'high')
    """

    order: Annotated[tuple[Label, ...], Meta(min_length=2, description="All classes, from the lowest to the highest.")]

    def of(self, target: str) -> Probability:
        """The output for this column."""
        return Probability(target=target, classes=self.order, ordered=True)
