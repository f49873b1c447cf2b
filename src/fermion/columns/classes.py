"""Names of classes: how they are read, told apart and shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Values, rejected
from fermion.core.errors import DataError, Told

Label = str | int | bool
NUMBER: dict[str, Any] = {"type": ["number", "null"]}  # as JSON Schema; null is what was not finite
UNLABELLED = -1  # the code of a missing class; a missing value is NaN


def name_of(label: Label) -> str:
    """A class as a key in JSON: true, 3, no.

    >>> name_of(True), name_of(3), name_of("no")
    ('true', '3', 'no')
    """
    return str(label).lower() if isinstance(label, bool) else str(label)


def sorted_classes(labels: Iterable[Label], target: str) -> tuple[Label, ...]:
    """The distinct classes in order.

    >>> sorted_classes(["b", "a", "b"], "y")
    ('a', 'b')

    Raises:
        DataError: two classes that JSON cannot tell apart, such as 1 and "1".
    """
    by_kind: dict[str, set[Label]] = {}  # apart by kind, because True and 1 are equal
    for label in labels:
        by_kind.setdefault(type(label).__name__, set()).add(label)
    classes = tuple(label for kind in sorted(by_kind) for label in sorted(by_kind[kind]))
    if len({name_of(label) for label in classes}) < len(classes):
        rule = "told apart by their names, which are the keys of `probabilities`"
        remedy = "Make them all text or all numbers."
        raise DataError(f"the classes of `{target}`", rule=rule, given=Told(some(classes)), remedy=remedy)
    return classes


def codes_by_label(classes: Sequence[Label]) -> dict[tuple[type, Label], int]:
    """Each class's position; with its kind, because True and 1 are equal."""
    return {(type(label), label): code for code, label in enumerate(classes)}


def listed(values: Values) -> Sequence[Any]:
    """The values as Python has them."""
    given: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    return [value.item() if isinstance(value, np.generic) else value for value in given]


def read_label(value: object, values: Values, row: int) -> Label:
    """One class; a number that is whole is one as an integer.

    Raises:
        ValueRejected: what names no class, with its row.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str | int | bool):
        return value
    raise rejected(values, row, "a class: text, a whole number or a truth value")


def some(labels: Sequence[Label]) -> str:
    """The first ten classes for a message."""
    shown = ", ".join(name_of(label) for label in labels[:10])
    return shown + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")


def unit_weights(w_N: NDArray[Any] | None, rows: int) -> NDArray[np.float64]:
    """(N,) weights, 1 each where there are none."""
    return np.ones(rows) if w_N is None else np.asarray(w_N, np.float64)


def listing(value: object, separator: str) -> list[Any] | None:
    """Several values of one row: a list as it is, text in JSON or between separators; None where it is neither.

    >>> listing("red; blue", ";"), listing('["red"]', ";"), listing((1, 2), ";"), listing("", ";"), listing(3, ";")
    (['red', 'blue'], ['red'], [1, 2], [], None)
    """
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [*value]
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.startswith("["):
        try:
            return msgspec.json.decode(text, type=list[Any])
        except msgspec.DecodeError:
            return None
    return [part for one in text.split(separator) if (part := one.strip())]
