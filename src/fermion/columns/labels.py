"""Several labels per row, or none: a target whose values are lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, structs
from numpy.typing import NDArray

from fermion.columns.classes import (
    Label,
    codes_by_label,
    listed,
    listing,
    read_label,
    some,
    sorted_classes,
    unit_weights,
)
from fermion.columns.column import Arrays, Batch, Values, is_missing, rejected
from fermion.columns.decision import Decision, Thresholds
from fermion.columns.target import Named

LIKELY = 0.5  # a label is answered from this probability on, where nothing else is decided


class Labels(Named, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="labels"):
    """Several labels per row, or none, each with a probability of its own: they need not add up to 1.

    The graph's array `array` holds these probabilities, (N, K) float32. A value is a list of names, JSON text of one, or text between
    separators. An empty list is a row without labels; a missing value is a row of which nothing is known.

    Args:
        separator: what stands between the names of a text.
        unseen: what happens to a label of a held-out row that the training part did not have: `refuse`, or `ignore` it.

    >>> topics = Labels(target="topics").fit([["news", "sport"], "news", None])
    >>> topics.classes, topics.encode(["sport;news", []]).tolist()
    (('news', 'sport'), [[1.0, 1.0], [0.0, 0.0]])
    """

    separator: Annotated[str, Meta(min_length=1, description="What stands between the labels of a text.")] = ";"
    unseen: Annotated[
        Literal["refuse", "ignore"], Meta(description="What happens to a label of a held-out row that the training part did not have.")
    ] = "refuse"
    target: str = ""

    def fit(self, values: Values) -> Labels:
        """The sorted labels of the training part.

        Raises:
            ValueRejected: a value that is no list of names.
            DataError: two labels that JSON cannot tell apart.
        """
        classes = sorted_classes([label for row in self.rows(values) for label in row or ()], self.target)
        return structs.replace(self, array=self.array or f"labels:{self.target}", classes=classes)

    def encode(self, values: Values) -> NDArray[np.float32]:
        """(N, K) float32, 1 where the row has the label; NaN where nothing is known.

        Raises:
            ValueRejected: a value that is no list of names, or has one that the training part did not have.
        """
        rows, codes = self.rows(values), codes_by_label(self.classes)
        hot_NK = np.zeros((len(rows), len(self.classes)), np.float32)
        for row, labels in enumerate(rows):
            if labels is None:
                hot_NK[row] = np.nan
                continue
            for label in labels:
                code = codes.get((type(label), label))
                if code is not None:
                    hot_NK[row, code] = 1.0
                elif self.unseen == "refuse":
                    raise rejected(values, row, f"made of labels of `{self.target}` that the training part has: {some(self.classes)}")
        return hot_NK

    @property
    def task(self) -> Literal["multilabel"]:
        """Which metrics it has."""
        return "multilabel"

    @property
    def answers(self) -> dict[str, Any]:
        """What an answer holds, as JSON Schemas by key."""
        return {"prediction": {"type": "array", "items": {"enum": list(self.classes)}}, "probabilities": self.shares}

    def known(self, y_NK: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) which encoded targets are there."""
        return np.isnan(y_NK).sum(axis=1) == 0

    def prior(self, y_NK: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """(K,) how often each label is there among labelled rows."""
        w_N = unit_weights(w_N, len(y_NK))
        return w_N @ y_NK.astype(np.float64) / max(float(w_N.sum()), 1e-12)

    def decided(self, p_NK: NDArray[Any], decision: Decision | None) -> NDArray[np.bool_]:
        """(N, K) which labels are answered: from their thresholds on, else from 1/2 on."""
        return decision.decide(p_NK) if isinstance(decision, Thresholds) else p_NK >= LIKELY

    def decode(self, arrays: Arrays, decision: Decision) -> Batch:
        """(N, K) probabilities -> `prediction`, a list of labels per row, and `probabilities`, one object per row."""
        p_NK = arrays[self.array]
        return {
            "prediction": [
                [label for label, there in zip(self.classes, row, strict=True) if there] for row in self.decided(p_NK, decision).tolist()
            ],
            "probabilities": self.by_name(p_NK),
        }

    def rows(self, values: Values) -> list[Sequence[Label] | None]:
        """The labels of each row, None where nothing is known.

        Raises:
            ValueRejected: a value that is no list of names.
        """
        rows: list[Sequence[Label] | None] = []
        for row, value in enumerate(listed(values)):
            given = None if is_missing(value) else listing(value, self.separator)
            if given is None and not is_missing(value):
                raise rejected(values, row, "a list of labels, or text with a separator between them")
            rows.append(None if given is None else [read_label(one, values, row) for one in given])
        return rows
