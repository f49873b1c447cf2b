"""What a head's numbers mean, and how they become an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Arrays, Batch, Values, is_missing, rejected
from fermion.columns.number import read_numbers
from fermion.core.errors import DataError, SpecError, Told, did_you_mean

Label = str | int | bool
UNLABELLED = -1  # the code of a missing class; a missing value is NaN


class Probability(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="probability"):
    """The graph's array `array` holds one probability per class, (N, K) float32, in the order of `classes` (sorted, frozen at fit).

    >>> spam = Probability(target="spam").fit([True, False, True])
    >>> spam.classes, spam.encode([True, None]).tolist()
    ((False, True), [1, -1])
    """

    target: str
    array: str = ""
    classes: tuple[Label, ...] = ()

    def fit(self, values: Values) -> Self:
        """The sorted classes of the training part. Numbers that are whole are classes as integers.

        Raises:
            ValueRejected: a value that names no class.
            DataError: two classes that JSON cannot tell apart, such as 1 and "1".
        """
        by_kind: dict[str, set[Label]] = {}  # apart by kind, because True and 1 are equal
        for row, value in enumerate(_listed(values)):
            if not is_missing(value):
                label = _label(value, values, row)
                by_kind.setdefault(type(label).__name__, set()).add(label)
        classes = tuple(label for kind in sorted(by_kind) for label in sorted(by_kind[kind]))
        if len({name_of(label) for label in classes}) < len(classes):
            rule = "told apart by their names, which are the keys of `probabilities`"
            remedy = "Make them all text or all numbers."
            raise DataError(f"the classes of `{self.target}`", rule=rule, given=Told(_some(classes)), remedy=remedy)
        return type(self)(target=self.target, array=self.array or f"probabilities:{self.target}", classes=classes)

    def encode(self, values: Values) -> NDArray[np.int64]:
        """Labels -> (N,) int64 positions in `classes`, -1 where missing.

        Raises:
            ValueRejected: a label that the training part did not have.
        """
        codes = {(type(label), label): code for code, label in enumerate(self.classes)}
        listed = _listed(values)
        codes_N = np.full(len(listed), UNLABELLED, dtype=np.int64)
        for row, value in enumerate(listed):
            if is_missing(value):
                continue
            label = _label(value, values, row)
            code = codes.get((type(label), label))
            if code is None:
                raise rejected(values, row, f"a class of `{self.target}` that the training part has: {_some(self.classes)}")
            codes_N[row] = code
        return codes_N

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: (K,)."""
        return (len(self.classes),)

    def known(self, y_N: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) which encoded targets are there."""
        return y_N != UNLABELLED

    def decode(self, arrays: Arrays, decision: Decision) -> Batch:
        """(N, K) probabilities -> `prediction`, as decided, and `probabilities`, one object per row."""
        p_NK = arrays[self.array]
        names = [name_of(label) for label in self.classes]
        return {
            "prediction": [self.classes[code] for code in decision.decide(p_NK).tolist()],
            "probabilities": [dict(zip(names, row, strict=True)) for row in p_NK.tolist()],
        }

    def index(self, label: str | None) -> int:
        """The position of a class by its name in the project file; the last one for None.

        Raises:
            SpecError: there is no such class.
        """
        if label is None:
            return len(self.classes) - 1
        names = [name_of(known) for known in self.classes]
        if label not in names:
            raise SpecError("the class", rule=f"one of {_some(names)}", given=label, remedy=did_you_mean(label, names))
        return names.index(label)


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="value"):
    """The graph's array `array` holds (N,) float32 `v`; the answer is `offset + scale * v` in float64.

    Models learn the standardised value, so that large targets lose nothing in float32.

    >>> Value(target="price").fit([10.0, 30.0]).encode([30.0]).tolist()
    [1.0]
    """

    target: str
    array: str = ""
    offset: float = 0.0
    scale: float = 1.0

    def fit(self, values: Values) -> Self:
        """The mean and the standard deviation of the training part."""
        y_N = read_numbers(values)
        y_N = y_N[~np.isnan(y_N)]
        spread = float(y_N.std()) if y_N.size else 1.0
        return type(self)(
            target=self.target,
            array=self.array or f"value:{self.target}",
            offset=float(y_N.mean()) if y_N.size else 0.0,
            scale=spread if spread > 0 else 1.0,
        )

    def encode(self, values: Values) -> NDArray[np.float64]:
        """Numbers -> (N,) float64 standardised, NaN where missing."""
        return (read_numbers(values) - self.offset) / self.scale

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: one number."""
        return ()

    def known(self, y_N: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) which encoded targets are there."""
        return ~np.isnan(y_N)

    def restore(self, v_N: NDArray[Any]) -> NDArray[np.float64]:
        """Standardised values -> values in the target's own unit."""
        return self.offset + self.scale * v_N.astype(np.float64)

    def decode(self, arrays: Arrays, decision: Decision) -> Batch:
        """(N,) standardised values -> `prediction`; there is nothing to decide."""
        return {"prediction": self.restore(arrays[self.array]).tolist()}


Output = Probability | Value


class Argmax(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="argmax"):
    """The most probable class; the first of equals."""

    def decide(self, p_NK: NDArray[Any]) -> NDArray[np.int64]:
        """(N, K) probabilities -> (N,) codes."""
        return p_NK.argmax(axis=1)


class Threshold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="threshold"):
    """Class `code` where its probability is at least `at`, else the most probable of the others.

    >>> Threshold(code=1, at=0.3).decide(np.array([[0.65, 0.35], [0.8, 0.2]])).tolist()
    [1, 0]
    """

    code: int
    at: float

    def decide(self, p_NK: NDArray[Any]) -> NDArray[np.int64]:
        """(N, K) probabilities -> (N,) codes."""
        if p_NK.shape[1] == 1:
            return np.zeros(len(p_NK), dtype=np.int64)
        others_NK = p_NK.copy()
        others_NK[:, self.code] = -1.0
        return np.where(p_NK[:, self.code] >= self.at, self.code, others_NK.argmax(axis=1))


Decision = Argmax | Threshold


def decode(outputs: Sequence[Output], arrays: Arrays, decisions: Mapping[str, Decision]) -> Batch:
    """Arrays of the model -> the answer: `prediction` and `probabilities`; objects by target where there are several."""
    answers: dict[str, Batch] = {}
    for output in outputs:
        answers[output.target] = output.decode(arrays, decisions.get(output.target, Argmax()))
    if len(outputs) == 1:
        return answers[outputs[0].target]
    together: Batch = {}
    for key in ("prediction", "probabilities"):
        having = {target: answer[key] for target, answer in answers.items() if key in answer}
        if having:
            together[key] = [dict(zip(having, row, strict=True)) for row in zip(*having.values(), strict=True)]
    return together


def infer_output(target: str, values: Values, *, classes_up_to: int = 20) -> Output:
    """What a target means: text, truth values and up to 20 distinct whole numbers are classes, other numbers a value.

    >>> infer_output("y", ["a", "b"]).target, type(infer_output("y", [0.5, 1.25])).__name__
    ('y', 'Value')

    Raises:
        DataError: the values are neither, or there is none.
    """
    listed = [value for value in _listed(values) if not is_missing(value)]
    if not listed:
        remedy = "Choose another column as data.target."
        raise DataError(f"the target `{target}`", rule="present in some rows", given=Told("no value"), remedy=remedy)
    if all(isinstance(value, bool | str) for value in listed):
        return Probability(target=target)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in listed):
        distinct = set(listed)
        whole = all(float(value).is_integer() for value in distinct)
        return Probability(target=target) if whole and len(distinct) <= classes_up_to else Value(target=target)
    if all(isinstance(value, bool | str | int) for value in listed):
        return Probability(target=target)
    kinds = sorted({type(value).__name__ for value in listed})
    raise DataError(
        f"the target `{target}`",
        rule="text, truth values or numbers",
        given=Told(f"values of type {', '.join(kinds)}"),
        remedy="Choose another column as data.target.",
    )


def name_of(label: Label) -> str:
    """A class as a key in JSON: true, 3, no.

    >>> name_of(True), name_of(3), name_of("no")
    ('true', '3', 'no')
    """
    return str(label).lower() if isinstance(label, bool) else str(label)


def _listed(values: Values) -> Sequence[Any]:
    listed: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    return [value.item() if isinstance(value, np.generic) else value for value in listed]


def _label(value: object, values: Values, row: int) -> Label:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str | int | bool):
        return value
    raise rejected(values, row, "a class: text, a whole number or a truth value")


def _some(labels: Sequence[Label]) -> str:
    shown = ", ".join(name_of(label) for label in labels[:10])
    return shown + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")
