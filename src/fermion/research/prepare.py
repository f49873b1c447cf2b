"""Imputation, indicators, scaling and target encoding as declared per column, in front of any model."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from fermion.bundle.steps import Onnx, Step
from fermion.columns.column import Arrays
from fermion.core import registry
from fermion.core.run import Run
from fermion.research.model import Encoded, Export, Fitted, Learned, Model
from fermion.research.preparation import Preparation, learn
from fermion.research.treatment import Treatment, check, plan_of

__all__ = ["Prepared", "Treatment", "plan_of"]


class Prepared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="prepared"):
    """Any model behind a graph that imputes, marks gaps, scales and encodes what the plan names. Images and other arrays go past it.

    Everything is learned on the training part. Statistics of numbers are those of all its rows; means of targets weigh the rows as
    the fit does.

    Args:
        model: the model that learns from the prepared arrays.
        plan: treatments by column name, as `plan_of` gives them.

    >>> from fermion.research.linear import Linear
    >>> Prepared(model=Linear(), plan={"age": Treatment(impute="median", scale="robust")}).model
    Linear(l2=1.0, steps=1000)
    """

    model: Any  # a Model; read by its `type` through the registry
    plan: dict[str, Treatment] = field(default_factory=dict[str, Treatment])

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "model", registry.read("models", self.model, where="model"))

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn the preparation, then fit the model on what it makes of both parts.

        Raises:
            SpecError: the plan names what the table does not have. What the model raises.
        """
        for name, treatment in self.plan.items():
            check(train.schema, name, treatment)
        preparation, coded_NK = learn(train, self.plan, run)
        arrays = preparation.run(train.arrays)
        if coded_NK.shape[1]:
            arrays["numbers"][:, preparation.scaled : preparation.scaled + coded_NK.shape[1]] = coded_NK
        model: Model = self.model
        fitted = model.fit(_with(train, preparation, arrays), _with(valid, preparation, preparation.run(valid.arrays)), run)
        return Fitted(
            schema=train.schema,
            outputs=fitted.outputs,
            learned=Chain(preparation=preparation, learned=fitted.learned),
            decisions=fitted.decisions,
            curves=fitted.curves,
            notes=(*preparation.notes, *fitted.notes),
            out_of_fold=fitted.out_of_fold,
        )


class Chain(Struct, frozen=True, kw_only=True):
    """A preparation and what was learned behind it."""

    preparation: Preparation
    learned: Learned

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays -> prepared ones -> one array per output."""
        return self.learned.run(self.preparation.run(arrays))

    def export(self) -> Export:
        """The graph of the preparation before those of the model, whose graphs read the prepared arrays under their old names."""
        export = self.learned.export()
        name = "prepare"
        while name in export.graphs:
            name += "-first"
        made = {array: f"{name}:{array}" for array in self.preparation.makes}
        if not made:
            return export
        first = Onnx(
            graph=name,
            inputs={array: array for array in self.preparation.reads},
            outputs={f"prepared_{array}": there for array, there in made.items()},
        )
        steps: list[Step] = [first]
        for step in export.steps:
            renames = isinstance(step, Onnx) and not made.keys().isdisjoint(step.reads)
            steps.append(
                Onnx(graph=step.graph, inputs={to: made.get(read, read) for to, read in step.inputs.items()}, outputs=step.outputs)
                if renames and isinstance(step, Onnx)
                else step
            )
        graphs = {name: self.preparation.graph, **export.graphs}
        return Export(graphs=graphs, steps=tuple(steps), tolerance=export.tolerance)


def _with(part: Encoded, preparation: Preparation, arrays: Arrays) -> Encoded:
    return msgspec.structs.replace(part, schema=preparation.prepared, arrays=arrays)
