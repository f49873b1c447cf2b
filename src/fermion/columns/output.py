"""What a head's numbers mean, and how they become an answer.

Every kind of output is a frozen struct that knows its target, the array of the graph that holds its numbers, how one row of that array is
shaped (`tail`), how targets become what a model learns (`fit`, `encode`, `known`), what someone would say who has seen the training labels
alone (`prior`), and how numbers become an answer (`decode`, whose form `answers` describes). Here are classes and values; the other
kinds have files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fermion.columns.classes import (
    UNLABELLED,
    Label,
    codes_by_label,
    listed,
    name_of,
    read_label,
    some,
    sorted_classes,
    unit_weights,
)
from fermion.columns.column import Arrays, Batch, Values, is_missing, rejected
from fermion.columns.count import Count
from fermion.columns.decision import Argmax, Decision, Median, Threshold, Thresholds
from fermion.columns.horizon import Horizon
from fermion.columns.labels import Labels
from fermion.columns.number import read_numbers
from fermion.columns.quantiles import Quantiles
from fermion.columns.survival import Survival
from fermion.columns.tags import Tags
from fermion.columns.target import Named, Standardised
from fermion.core.errors import DataError, SpecError, Told, did_you_mean

__all__ = [
    "UNLABELLED",
    "Argmax",
    "Count",
    "Decision",
    "Horizon",
    "Kind",
    "Label",
    "Labels",
    "Median",
    "Output",
    "Probability",
    "Quantiles",
    "Survival",
    "Tags",
    "Threshold",
    "Thresholds",
    "Value",
    "decode",
    "infer_output",
    "keys_of",
    "name_of",
    "usual",
]

FARTHEST = 1e150  # of a number to predict; the squares of more are infinite


class Probability(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type", tag="probability"):
    """The graph's array `array` holds one probability per class, (N, K) float32, in the order of `classes` (sorted, frozen at fit).

    With `ordered` the classes are ranks in the order that was declared: a mistake by two is worse than one by one.

    >>> spam = Probability(target="spam").fit([True, False, True])
    >>> spam.classes, spam.encode([True, None]).tolist()
    ((False, True), [1, -1])
    """

    ordered: bool = False

    def fit(self, values: Values) -> Self:
        """The sorted classes of the training part, or the declared ones. Numbers that are whole are classes as integers.

        Raises:
            ValueRejected: a value that names no class, or none of the declared ones.
            DataError: two classes that JSON cannot tell apart, such as 1 and "1".
        """
        labels = [read_label(value, values, row) for row, value in enumerate(listed(values)) if not is_missing(value)]
        classes = sorted_classes(labels, self.target)
        if self.ordered:
            self.encode(values)
            classes = self.classes
        return type(self)(target=self.target, array=self.array or f"probabilities:{self.target}", classes=classes, ordered=self.ordered)

    def encode(self, values: Values) -> NDArray[np.int64]:
        """Labels -> (N,) int64 positions in `classes`, -1 where missing.

        Raises:
            ValueRejected: a label that the training part did not have.
        """
        codes = codes_by_label(self.classes)
        given = listed(values)
        codes_N = np.full(len(given), UNLABELLED, dtype=np.int64)
        for row, value in enumerate(given):
            if is_missing(value):
                continue
            label = read_label(value, values, row)
            code = codes.get((type(label), label))
            if code is None:
                known = "is declared" if self.ordered else "the training part has"
                raise rejected(values, row, f"a class of `{self.target}` that {known}: {some(self.classes)}")
            codes_N[row] = code
        return codes_N

    @property
    def task(self) -> Literal["binary", "multiclass", "ordinal"]:
        """Which metrics it has."""
        return "ordinal" if self.ordered else "binary" if len(self.classes) <= 2 else "multiclass"

    @property
    def answers(self) -> dict[str, Any]:
        """What an answer holds, as JSON Schemas by key."""
        return {"prediction": {"enum": list(self.classes)}, "probabilities": self.shares}

    def known(self, y_N: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) which encoded targets are there."""
        return y_N != UNLABELLED

    def prior(self, y_N: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """(K,) the weighted shares of the classes among labelled rows."""
        shares_K = np.bincount(y_N, weights=unit_weights(w_N, len(y_N)), minlength=len(self.classes))
        return shares_K / max(float(shares_K.sum()), 1e-12)

    def decode(self, arrays: Arrays, decision: Decision) -> Batch:
        """(N, K) probabilities -> `prediction`, as decided, and `probabilities`, one object per row."""
        p_NK = arrays[self.array]
        return {"prediction": [self.classes[code] for code in decision.decide(p_NK).tolist()], "probabilities": self.by_name(p_NK)}

    def index(self, label: str | None) -> int:
        """The position of a class by its name in the project file; the last one for None.

        Raises:
            SpecError: there is no such class.
        """
        if label is None:
            return len(self.classes) - 1
        names = [name_of(known) for known in self.classes]
        if label not in names:
            raise SpecError("the class", rule=f"one of {some(names)}", given=label, remedy=did_you_mean(label, names))
        return names.index(label)


class Value(Standardised, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="value"):
    """The graph's array `array` holds (N,) float32 `v`; the answer is `offset + scale * v` in float64.

    Models learn the standardised value, so that large targets lose nothing in float32.

    >>> Value(target="price").fit([10.0, 30.0]).encode([30.0]).tolist()
    [1.0]
    """

    def fit(self, values: Values) -> Self:
        """The mean and the standard deviation of the training part."""
        y_N = read_numbers(values)
        if (far_N := np.abs(np.nan_to_num(y_N)) > FARTHEST).any():
            raise rejected(values, int(far_N.argmax()), f"between -{FARTHEST:g} and {FARTHEST:g}")
        return self.standardised(y_N, "value")

    def encode(self, values: Values) -> NDArray[np.float64]:
        """Numbers -> (N,) float64 standardised, NaN where missing."""
        return (read_numbers(values) - self.offset) / self.scale

    @property
    def task(self) -> Literal["regression"]:
        """Which metrics it has."""
        return "regression"

    def prior(self, y_N: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """() the weighted mean of labelled rows."""
        w_N = unit_weights(w_N, len(y_N))
        return np.asarray(np.average(y_N, weights=w_N) if w_N.sum() > 0 else 0.0)

    def decode(self, arrays: Arrays, decision: Decision) -> Batch:
        """(N,) standardised values -> `prediction`; there is nothing to decide."""
        return {"prediction": self.restore(arrays[self.array]).tolist()}


Output = Probability | Value | Labels | Quantiles | Count | Survival | Horizon | Tags


class Kind(Protocol):
    """What a project file says about a target: a struct that is registered under the group `targets`."""

    def of(self, target: str) -> Output:
        """The output, not fitted yet, for this column."""
        ...


def decode(outputs: Sequence[Output], arrays: Arrays, decisions: Mapping[str, Decision]) -> Batch:
    """Arrays of the model -> the answer: `prediction` and what else there is to say; objects by target where there are several."""
    answers: dict[str, Batch] = {}
    for output in outputs:
        answers[output.target] = output.decode(arrays, decisions.get(output.target, usual(output)))
    if len(outputs) == 1:
        return answers[outputs[0].target]
    together: Batch = {}
    for key in keys_of(outputs):
        having = {target: answer[key] for target, answer in answers.items() if key in answer}
        together[key] = [dict(zip(having, row, strict=True)) for row in zip(*having.values(), strict=True)]
    return together


def usual(output: Output) -> Decision:
    """How an output's answer is decided where nothing else is said: the most probable class, or the middle one of ranks.

    >>> usual(Probability(target="y", ordered=True)), usual(Value(target="y"))
    (Median(), Argmax())
    """
    return Median() if isinstance(output, Probability) and output.ordered else Argmax()


def keys_of(outputs: Sequence[Output]) -> tuple[str, ...]:
    """The keys of an answer: `prediction` first, then what the outputs have to say besides.

    >>> keys_of([Value(target="price"), Probability(target="sold")])
    ('prediction', 'probabilities')
    """
    return tuple(dict.fromkeys(key for output in outputs for key in ("prediction", *output.answers)))


def infer_output(target: str, values: Values, *, classes_up_to: int = 20) -> Output:
    """What a target means: text, truth values and up to 20 distinct whole numbers are classes, other numbers a value, lists
    of texts several labels.

    >>> infer_output("y", ["a", "b"]).target, type(infer_output("y", [0.5, 1.25])).__name__
    ('y', 'Value')

    Raises:
        DataError: the values are neither, or there is none.
    """
    known = [value for value in listed(values) if not is_missing(value)]
    if not known:
        remedy = "Choose another column as data.target."
        raise DataError(f"the target `{target}`", rule="present in some rows", given=Told("no value"), remedy=remedy)
    if all(isinstance(value, bool | str) for value in known):
        return Probability(target=target)
    if all(isinstance(value, list | tuple) and all(isinstance(one, str) for one in value) for value in known):
        return Labels(target=target)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        distinct = set(known)
        whole = all(float(value).is_integer() for value in distinct)
        return Probability(target=target) if whole and len(distinct) <= classes_up_to else Value(target=target)
    if all(isinstance(value, bool | str | int) for value in known):
        return Probability(target=target)
    kinds = sorted({type(value).__name__ for value in known})
    raise DataError(
        f"the target `{target}`",
        rule="text, truth values or numbers",
        given=Told(f"values of type {', '.join(kinds)}"),
        remedy="Choose another column as data.target.",
    )
