"""One label per step of a series or text, and the spans that labels beginning with B- and I- mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, structs
from numpy.typing import NDArray

from fermion.columns.classes import (
    UNLABELLED,
    Label,
    codes_by_label,
    listed,
    listing,
    name_of,
    read_label,
    some,
    sorted_classes,
    unit_weights,
)
from fermion.columns.column import Arrays, Batch, Values, is_missing, rejected
from fermion.columns.decision import Decision
from fermion.columns.target import Named


class Tags(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tags"):
    """One label per step of a column: of a series, or of a text whose tokens are what is labelled.

    A value is a list of labels, as long as the column has steps; null is a step of which nothing is known. Labels B-KIND and I-KIND mark
    spans: where one begins, and where it goes on.

    The graph's array `array` holds (N, L, K) float32 probabilities, 0 for steps behind a row's end.

    Args:
        steps: the column whose steps are labelled.
        separator: what stands between the labels of a text.
        spans: how labels mark spans: by B- and I- before a kind, or as runs of the same label other than O.

    >>> slots = Tags(target="slots", steps="words").fit([["O", "B-city"], ["O"]])
    >>> slots.classes, slots.encode([["B-city"], None]).tolist()
    (('B-city', 'O'), [[0], [-1]])
    """

    steps: Annotated[str, Meta(min_length=1, description="The column whose steps are labelled.")]
    separator: Annotated[str, Meta(min_length=1, description="What stands between the labels of a text.")] = " "
    spans: Annotated[
        Literal["marks", "runs"], Meta(description="How labels mark spans: by B- and I-, or as runs of one label other than O.")
    ] = "marks"
    target: str = ""

    def fit(self, values: Values) -> Tags:
        """The sorted labels of the training part.

        Raises:
            ValueRejected: a value that is no list of labels.
        """
        labels = [label for row in self._rows(values) for label in row if label is not None]
        return structs.replace(self, array=self.array or f"tags:{self.target}", classes=sorted_classes(labels, self.target))

    def encode(self, values: Values) -> NDArray[np.int64]:
        """(N, L) int64 positions in `classes`, -1 where a step is not labelled and behind the end of a row.

        Raises:
            ValueRejected: a value that is no list of labels, or has one that the training part did not have.
        """
        rows, codes = self._rows(values), codes_by_label(self.classes)
        codes_NL = np.full((len(rows), max([1, *map(len, rows)])), UNLABELLED, np.int64)
        for row, labels in enumerate(rows):
            for step, label in enumerate(labels):
                if label is None:
                    continue
                code = codes.get((type(label), label))
                if code is None:
                    raise rejected(values, row, f"made of labels of `{self.target}` that the training part has: {some(self.classes)}")
                codes_NL[row, step] = code
        return codes_NL

    @property
    def task(self) -> Literal["tagging"]:
        """Which metrics it has."""
        return "tagging"

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: (L, K), with -1 for the length, which varies."""
        return (-1, len(self.classes))

    @property
    def answers(self) -> dict[str, Any]:
        """What an answer holds, as JSON Schemas by key."""
        fields = {"type": {"type": "string"}, "start": {"type": "integer"}, "end": {"type": "integer"}}
        span = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
        return {
            "prediction": {"type": "array", "items": {"enum": list(self.classes)}},
            "spans": {"type": "array", "items": span},
        }

    def known(self, y_NL: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) which rows have a label."""
        return (y_NL != UNLABELLED).sum(axis=1) > 0

    def prior(self, y_NL: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """(K,) the weighted shares of the labels among labelled steps."""
        w_NL = np.broadcast_to(unit_weights(w_N, len(y_NL))[:, None], y_NL.shape)
        there = y_NL != UNLABELLED
        shares_K = np.bincount(y_NL[there], weights=w_NL[there], minlength=len(self.classes))
        return shares_K / max(float(shares_K.sum()), 1e-12)

    def labels(self, p_NLK: NDArray[Any]) -> list[list[Label]]:
        """(N, L, K) probabilities -> the most probable label of each step up to the row's end."""
        counts_N = (p_NLK.sum(axis=2) > 0.5).sum(axis=1).tolist()
        return [[self.classes[code] for code in row[:count]] for row, count in zip(p_NLK.argmax(axis=2).tolist(), counts_N, strict=True)]

    def decode(self, arrays: Arrays, decision: Decision | None) -> Batch:
        """(N, L, K) probabilities -> `prediction`, a list of labels per row, and `spans`, from `start` up to but not with `end`."""
        rows = self.labels(arrays[self.array])
        found = [[{"type": kind, "start": start, "end": end} for kind, start, end in self.found(row)] for row in rows]
        return {"prediction": rows, "spans": found}

    def found(self, labels: Sequence[Label]) -> list[tuple[str, int, int]]:
        """The spans that a row's labels mark, as (kind, first step, step after the last)."""
        return spans([label if name_of(label) == "O" else f"I-{name_of(label)}" for label in labels] if self.spans == "runs" else labels)

    def _rows(self, values: Values) -> list[list[Label | None]]:
        rows: list[list[Label | None]] = []
        for row, value in enumerate(listed(values)):
            given = [] if is_missing(value) else listing(value, self.separator)
            if given is None:
                raise rejected(values, row, "a list of labels, one per step")
            rows.append([None if is_missing(one) else read_label(one, values, row) for one in given])
        return rows


def spans(labels: Sequence[Label]) -> list[tuple[str, int, int]]:
    """The spans that labels mark, as (kind, first step, step after the last).

    One begins at B-KIND, and at I-KIND after anything that is not of the same kind; it ends before the next that does not go on with it.
    That is how the evaluation of CoNLL 2000 (Tjong Kim Sang and Buchholz) and seqeval count.

    >>> spans(["B-city", "I-city", "O", "I-day", "B-day"])
    [('city', 0, 2), ('day', 3, 4), ('day', 4, 5)]
    """
    found: list[tuple[str, int, int]] = []
    kind, start = "", 0
    for step, label in enumerate([*map(name_of, labels), "O"]):
        mark, _, name = label.partition("-")
        inside = mark in ("B", "I") and bool(name)
        if kind and not (inside and mark == "I" and name == kind):
            found.append((kind, start, step))
            kind = ""
        if inside and not kind:
            kind, start = name, step
    return found
