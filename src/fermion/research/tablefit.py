"""What the nets for tables have in common: what they refuse, how a table is prepared for them, and how they are trained.

resample -> learn the preparation on the training part -> run it once over all rows -> `loop.train` -> preparation and net as one
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta, Struct, structs
from msgspec.structs import force_setattr

from fermion.columns.output import Value
from fermion.core import lazy
from fermion.core.declared import part
from fermion.core.errors import DataError, Told
from fermion.core.run import Run
from fermion.research.augment import check_parts, check_roles, read_parts, resample, resampling_notes
from fermion.research.model import Encoded, Fitted
from fermion.research.targets import EVERY, ROWWISE, learnable, least_batch
from fermion.research.training import Learner, Precision, number

if TYPE_CHECKING:  # naming a model in a project file costs no torch
    from torch import nn

    from fermion.research.augment import Augmenting
    from fermion.research.blocks import Heads
    from fermion.research.optim import Steps
    from fermion.research.recipe import Recipe
    from fermion.research.tableinputs import Scaling, TableInputs

LEAST, SMALLEST, LARGEST = 300, 32, 256


class Built(Struct, frozen=True, kw_only=True):
    """A net behind a preparation, and how it is trained. `heads` are calibrated by the validation part where given."""

    net: nn.Module
    recipe: Recipe
    augment: Augmenting | None = None
    heads: Heads | None = None


class TableLearner(Learner, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every net for tables is asked beside its own settings.

    Args:
        epochs: passes over the training part, unless the time ends first; then the learning rate comes down within it.
        batch: rows per step; 0 takes an eighth of the rows, from 32 to 256; `auto` measures.
        precision: of the steps of training; "auto" measures whether bfloat16 is faster here.
        augment: what the training rows go through, once: smote, oversample and undersample.
    """

    epochs: Annotated[float, Meta(gt=0)] = 50.0
    precision: Precision = "auto"
    augment: tuple[Annotated[Any, part("augments")], ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "augment", read_parts(self.augment))
        check_parts(self.augment, model=self.name, kinds=("resampling",), roles=("numbers", "codes"), why="model.type: mlp can.")

    @property
    def name(self) -> str:
        """The `type` in a project file."""
        return str(self.__struct_config__.tag)

    def passes(self, rows: Encoded, optim: Steps, *, evaluations: int) -> Recipe:
        """The recipe of so many passes over the rows."""
        batch = int(number(self.batch, max(batch_of(len(rows)), least_batch(rows.outputs))))
        steps = steps_of(len(rows), batch * self.training.accumulate, self.epochs)
        return self.recipe(optim, steps=steps, batch=batch, evaluations=evaluations, precision=self.precision)


def fit_table(
    train: Encoded,
    valid: Encoded,
    run: Run,
    model: TableLearner,
    *,
    scaling: Scaling,
    build: Callable[[TableInputs, Encoded], Built],
) -> Fitted:
    """Fit a net for tables.

    Args:
        model: what is asked for.
        scaling: how its numbers are scaled.
        build: from the preparation and the prepared training part, the net with its first weights and its recipe.

    Raises:
        DataError: no labelled row, one class, nothing that it reads, or an augmentation for other data.
        Stopped: it was stopped before the first step.
    """
    lazy.load("torch", extra="train")
    from fermion.research import graphs, loop, tableinputs

    name, augment = model.name, model.augment

    layout = train.schema.layout
    reads = tableinputs.readable(layout)
    if not reads:
        raise DataError(
            f"the table of a model of type `{name}`",
            rule="one with a number, category, flag, time or vector column",
            given=Told(", ".join(named.name for named in layout.arrays) or "no column"),
            remedy="Set model.type to cnn for images.",
        )
    for output in train.outputs:
        learnable(output, train, kinds=ROWWISE if name == "tabm" else EVERY, model=name)  # tabm repeats its rows
    check_roles(augment, train, model=name)
    train, valid = (structs.replace(rows, arrays={one: rows.arrays[one] for one in reads}) for rows in (train, valid))
    grown = resample(augment, train, run)
    inputs = tableinputs.TableInputs(train.arrays, layout, scaling)
    ready, looked = (structs.replace(rows, arrays=_prepared(inputs, rows)) for rows in (grown, valid))
    if not ready.arrays:
        raise DataError(
            f"the columns of a model of type `{name}`",
            rule="of more than one value in the training part, one at least",
            given=Told("constants"),
            remedy="Check data.columns and split, or set model.type to baseline.",
        )
    with loop.seeded(run.seed_for("fit: weights")):
        built = build(inputs, ready)
    trained = loop.train(built.net, ready, looked, built.recipe, run, augment=built.augment)
    if built.heads is not None:
        loop.calibrate(built.net, built.heads, looked)
    limits = {
        output.array: (float(np.nanmin(train.targets[output.target])), float(np.nanmax(train.targets[output.target])))
        for output in train.outputs
        if isinstance(output, Value)
    }
    ignored = [named.name for named in layout.arrays if named.name not in reads]
    notes = [*resampling_notes(augment, train, grown), *trained.notes]
    return Fitted(
        schema=train.schema,
        outputs=train.outputs,
        learned=graphs.Net(tableinputs.Whole(inputs, built.net, limits), train.outputs, (valid if len(valid) else train).arrays),
        curves=trained.curves,
        notes=(*notes, *([f"the net does not read {', '.join(ignored)}"] if ignored else [])),
    )


def batch_of(rows: int) -> int:
    """Rows per step: an eighth of the table, from 32 to 256.

    >>> batch_of(100), batch_of(1000), batch_of(100_000)
    (32, 125, 256)
    """
    return int(np.clip(rows // 8, SMALLEST, LARGEST))


def steps_of(rows: int, batch: int, epochs: float) -> int:
    """Steps that make so many passes over the rows, and at least 300.

    >>> steps_of(10_000, 256, 40)
    1563
    """
    return max(LEAST, int(np.ceil(rows * epochs / batch)))


def _prepared(inputs: TableInputs, rows: Encoded) -> dict[str, Any]:
    import torch

    from fermion.research.loop import tensors

    arrays, _ = tensors(rows, torch.device("cpu"))
    with torch.no_grad():
        return {name: made.numpy() for name, made in inputs(arrays).items()}
