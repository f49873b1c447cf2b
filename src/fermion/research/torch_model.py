"""Any torch module as a model: trained by the package's loop, exported, compared, served without torch."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, field

from fermion.columns.column import Arrays
from fermion.core import imported, lazy
from fermion.core.errors import FermionError, SpecError, Told
from fermion.core.run import Run
from fermion.research.flat import Flat
from fermion.research.model import Encoded, Export, Fitted, Learned
from fermion.research.offered import inputs_of
from fermion.research.tabular import LONGEST, PASSES, SHORTEST, default_batch
from fermion.research.targets import learnable
from fermion.research.training import Learner, Rate, Rows, number


class Torch(Learner, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="torch"):
    """A net of the user's own, an `nn.Module`.

    Its constructor gets `settings`, and of these four what it has parameters for: `features` (D, the columns of the matrix), `size` (how
    many raw numbers it must answer for a row), `inputs` and `outputs` (`fermion.research.offered`: names, shapes,
    roles). Its `forward` gets, by the names of its parameters,

        forward(self, x)                  the whole row as (B, D): numbers standardised, one column per level, pixels / 255
        forward(self, numbers, codes)     these arrays
        forward(self, arrays)             all arrays in a dictionary

    and gives (B, size), or a dictionary by `output.array`: logits (B, K) for classes, (B,) for a value. Numbers come standardised and
    without gaps, pictures as (B, H, W, C) shares of 255. That it can be exported is made sure before it is trained.

    Args:
        module: `my_module:Net`, a class, a function that gives a module, or a module.
        settings: what the class or function is called with.
        steps: batches to train on; 0 chooses by the number of rows: 30 passes, at least 500 and at most 5,000 steps.
        batch: rows per step; 0 chooses by the number of rows, from 32 to 1,024; `auto` measures.
        lr: peak learning rate of AdamW, or `auto`: found by a range test.
        decay: its weight decay.

    >>> Torch(module="my_module:Net", settings={"width": 64}).lr
    0.001
    """

    module: Annotated[str, Meta(description="module:name of an nn.Module's class, of a function that gives one, or of a module.")]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    steps: Annotated[int, Meta(ge=0)] = 0
    batch: Rows = 0
    lr: Rate = 0.001
    decay: Annotated[float, Meta(ge=0)] = 0.01
    patience: Annotated[int, Meta(ge=0)] = 6

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`.

        Raises:
            DataError: no labelled row, one class, or nothing to read.
            SpecError: there is no such module, or it does not fit the arrays and outputs.
            FermionError: torch cannot export it.
            Stopped: it was stopped before the first step.
        """
        for output in train.outputs:
            learnable(output, train)
        lazy.load("torch", extra="train")
        from fermion.research import graphs, loop, modules, optim

        made = imported.load(self.module, run.home, where="model.module")
        with loop.seeded(run.seed_for("fit: weights")):
            net = self._around(made, train)
        examples = {name: (valid if len(valid) else train).arrays[name] for name in net.reads}
        odd = net.check(examples)
        for told in odd:
            run.emit("warning", "fit", told)
        modules.exportable(net, examples)
        batch = int(number(self.batch, default_batch(len(train))))
        recipe = self.recipe(
            optim.Steps(lr=number(self.lr, 0.001), matrix_lr=0.0, schedule="one-cycle", warmup=0.1, floor=0.01, decay=self.decay, clip=1.0),
            steps=self.steps or int(np.clip(PASSES * len(train) / (batch * self.training.accumulate), SHORTEST, LONGEST)),
            batch=batch,
            by_rows=not self.steps,
            evaluations=30,
            precision="float32",
        )
        trained = loop.train(net, _only(train, examples), _only(valid, examples), recipe, run)
        ignored = [name for name in train.schema.layout.names if name not in examples]
        return Fitted(
            schema=train.schema,
            outputs=train.outputs,
            learned=Proved(learned=graphs.Net(net, train.outputs, examples, layout=train.schema.layout), name=self.module),
            curves=trained.curves,
            notes=(*odd, *trained.notes, *([f"the net does not read {', '.join(ignored)}"] if ignored else [])),
        )

    def _around(self, made: Any, train: Encoded) -> Any:
        """The user's net, made and put behind what prepares its arrays."""
        from torch import nn

        from fermion.research import modules

        net, flat = made, None
        if not isinstance(made, nn.Module):
            asked = inspect.signature(made).parameters if callable(made) else {}
            answers = modules.answers_of(train.outputs)
            told: dict[str, Any] = {"size": sum(one.size for one in answers), "outputs": answers, "inputs": inputs_of(train.schema)}
            if "features" in asked:
                flat = Flat.of(train, impute=False)
                told["features"] = flat.width
            told = {name: value for name, value in told.items() if name in asked}
            net = imported.call(made, name=self.module, where="model.settings", **{**told, **self.settings})
        elif self.settings:
            remedy = "Name its class, or a function that makes it."
            raise SpecError(
                "model.settings", rule="left out for a module that is made already", given=Told(", ".join(self.settings)), remedy=remedy
            )
        if not isinstance(net, nn.Module):
            remedy = "Name a class that inherits from torch.nn.Module, or a function that gives one."
            raise SpecError(f"`{self.module}`", rule="a torch module", given=Told(type(net).__name__), remedy=remedy, where="model.module")
        return modules.Around(copy.deepcopy(net), flat, train, name=self.module)


class Proved(Struct, frozen=True, kw_only=True):
    """A trained net of the user's, whose export says in one sentence why it failed, where it does."""

    learned: Learned
    name: str

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays -> one array per output."""
        return self.learned.run(arrays)

    def export(self) -> Export:
        """One graph with the preparation inside.

        Raises:
            FermionError: an operation has no ONNX form, or the graph answers otherwise.
        """
        from fermion.research import modules

        try:
            return self.learned.export()
        except FermionError:
            raise
        except Exception as broken:  # the exporter raises what its passes raise
            raise modules.refused(broken, self.name) from broken


def _only(rows: Encoded, names: Iterable[str]) -> Encoded:
    """These arrays alone, so that nothing else is copied to the device."""
    arrays = {name: rows.arrays[name] for name in names}
    return Encoded(schema=rows.schema, outputs=rows.outputs, arrays=arrays, targets=rows.targets, weights=rows.weights)
