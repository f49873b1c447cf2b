"""How a private column appears in a profile: as shapes and counts, never as values."""

from __future__ import annotations

import math

from msgspec import structs

from fermion.data.findings import Finding
from fermion.data.profile_values import Described

HIDDEN = "hidden: the column is private"


def masked(column: Described, mode: str) -> Described:
    """The column without any of its values: numbers to two digits, times to the year, no texts, no pictures."""
    numbers, time = column.numbers, column.time
    if numbers is not None:
        low, high, mean, std = (
            None if value is None else blurred(value) for value in (numbers.low, numbers.high, numbers.mean, numbers.std)
        )
        numbers = structs.replace(
            numbers,
            low=low,
            high=high,
            mean=mean,
            std=std,
            quantiles={q: blurred(value) for q, value in numbers.quantiles.items()},
            edges=tuple(blurred(edge) for edge in numbers.edges),
        )
    if time is not None:
        time = structs.replace(time, first=time.first[:4], last=time.last[:4], unit="year", starts=(), counts=(), gap=None, empty=0)
    texts = structs.replace(column.texts, examples=()) if column.texts is not None else None
    return structs.replace(column, private=mode, numbers=numbers, texts=texts, top=(), time=time, pictures=())


def masked_finding(finding: Finding, hide: bool) -> Finding:
    """The finding, without its words where they may quote a private value."""
    return structs.replace(finding, message=f"`{finding.kind}` ({HIDDEN}).", rows=()) if hide else finding


def blurred(value: float) -> float:
    """A number to two significant digits, or to one where it has no more than two: no value can be read off.

    >>> blurred(48213.0), blurred(-0.01372), blurred(42.0), blurred(0.0)
    (48000.0, -0.014, 40.0, 0.0)
    """
    if value == 0 or not math.isfinite(value):
        return value
    digits = -math.floor(math.log10(abs(value)))
    near = round(value, digits + 1)
    return near if near != value else round(value, digits)
