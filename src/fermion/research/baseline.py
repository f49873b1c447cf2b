"""The answer without looking: what every other model has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, Told
from fermion.core.run import Run
from fermion.research.model import Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.targets import EVERY, Target, learnable


class Baseline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="baseline"):
    """The weighted shares of the classes, p_k = sum_n w_n [y_n = k] / sum_n w_n, or the weighted mean of a value, for every row.

    Of other targets their own: how often each label is there, quantiles, the mean of a count, Kaplan and Meier's survival.

    >>> Baseline()
    Baseline()
    """

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Count.

        Raises:
            DataError: no labelled row, one class, or no input column.
        """
        answers = {output.array: _average(learnable(output, train, kinds=EVERY)) for output in train.outputs}
        learned = Constant(schema=train.schema, outputs=train.outputs, answers=answers)
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned)


class Constant(Struct, frozen=True, kw_only=True):
    """One answer per output, by its array: (K,) probabilities or () a value, float32."""

    schema: Schema
    outputs: tuple[Output, ...]
    answers: Arrays

    def run(self, arrays: Arrays) -> Arrays:
        """The answers, once per row."""
        rows = len(next(iter(arrays.values())))
        return {name: np.repeat(answer[None], rows, axis=0) for name, answer in self.answers.items()}

    def export(self) -> Export:
        """A graph that reads one input for its number of rows only."""
        nodes = Nodes("baseline")
        name = _count_rows_by(self.schema, nodes)
        rows = nodes.add("Shape", name, start=0, end=1)
        made: dict[str, str] = {}
        for output in self.outputs:
            answer = self.answers[output.array]
            shape = nodes.add("Concat", rows, nodes.constant(np.array(answer.shape, dtype=np.int64)), axis=0) if answer.ndim else rows
            made[output.array] = nodes.add("Expand", nodes.constant(answer[None]), shape)
        graph = nodes.finish(made, shapes={name: answer.shape for name, answer in self.answers.items()})
        step = Onnx(graph="baseline", inputs={name: name}, outputs={array: array for array in made})
        return Export(graphs={"baseline": graph}, steps=(step,), tolerance=1e-6)


def _average(target: Target) -> NDArray[Any]:
    return np.asarray(target.output.prior(target.y, target.w), np.float32)


def _count_rows_by(schema: Schema, nodes: Nodes) -> str:
    layout = schema.layout
    if layout.numbers:
        return nodes.input("numbers", "float32", len(layout.numbers))
    if layout.codes:
        return nodes.input("codes", "int64", len(layout.codes))
    for array in layout.arrays:
        return nodes.input(array.name, array.slot.dtype, *array.slot.shape)
    raise DataError("the table", rule="at least one input column", given=Told("the target alone"), remedy="Check data.columns.")
