"""What the nets for tables have in common: what they refuse, how a table is prepared for them, and how they are trained.

resample -> learn the preparation on the training part -> run it once over all rows -> `loop.train` -> preparation and net as one
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, structs

from fermion.columns.output import Value
from fermion.core import lazy
from fermion.core.errors import DataError, Told
from fermion.core.run import Run
from fermion.research.augment import Augment, check_roles, resample, resampling_notes
from fermion.research.model import Encoded, Fitted
from fermion.research.targets import EVERY, ROWWISE, learnable

if TYPE_CHECKING:  # naming a model in a project file costs no torch
    from torch import nn

    from fermion.research.augment import Augmenting
    from fermion.research.blocks import Heads
    from fermion.research.loop import Recipe
    from fermion.research.tableinputs import Scaling, TableInputs

LEAST, SMALLEST, LARGEST = 300, 32, 256


class Built(Struct, frozen=True, kw_only=True):
    """A net behind a preparation, and how it is trained. `heads` are calibrated by the validation part where given."""

    net: nn.Module
    recipe: Recipe
    augment: Augmenting | None = None
    heads: Heads | None = None


def fit_table(
    train: Encoded,
    valid: Encoded,
    run: Run,
    *,
    name: str,
    scaling: Scaling,
    augment: Sequence[Augment],
    build: Callable[[TableInputs, Encoded], Built],
) -> Fitted:
    """Fit a net for tables.

    Args:
        name: the `type` of the model, for messages.
        scaling: how its numbers are scaled.
        augment: what the training rows go through once.
        build: from the preparation and the prepared training part, the net with its first weights and its recipe.

    Raises:
        DataError: no labelled row, one class, nothing that it reads, or an augmentation for other data.
        Stopped: it was stopped before the first step.
    """
    lazy.load("torch", extra="train")
    from fermion.research import graphs, loop, tableinputs

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
    train, valid = (structs.replace(part, arrays={one: part.arrays[one] for one in reads}) for part in (train, valid))
    grown = resample(augment, train, run)
    inputs = tableinputs.TableInputs(train.arrays, layout, scaling)
    ready, looked = (structs.replace(part, arrays=_prepared(inputs, part)) for part in (grown, valid))
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


def _prepared(inputs: TableInputs, part: Encoded) -> dict[str, Any]:
    import torch

    from fermion.research.loop import tensors

    arrays, _ = tensors(part, torch.device("cpu"))
    with torch.no_grad():
        return {name: made.numpy() for name, made in inputs(arrays).items()}
