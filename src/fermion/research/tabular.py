"""The net for tables: embedded numbers and categories, then residual layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from msgspec.structs import force_setattr

from fermion.core import lazy
from fermion.core.declared import part
from fermion.core.errors import DataError, Told
from fermion.core.run import Run
from fermion.research.augment import augmenting, check_parts, check_roles, read_parts, resample, resampling_notes
from fermion.research.boosting import vectors_of
from fermion.research.model import Encoded, Fitted
from fermion.research.targets import EVERY, learnable, least_batch
from fermion.research.training import Learner, Rate, Rows, number

SHORTEST, LONGEST, PASSES = 500, 5_000, 30


class Mlp(Learner, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="mlp"):
    """A residual net over embedded numbers and categories (`fermion.research.tablenet`), one head per output.

    Imputation, scaling and embeddings are part of the net and of its graph, learned on the training part.

    Args:
        width: features of a layer.
        blocks: residual blocks of two layers.
        dropout: share of the features that training hides in each block.
        steps: batches to train on; 0 chooses by the number of rows: 30 passes, at least 500 and at most 5,000 steps.
        batch: rows per step; 0 chooses by the number of rows, from 32 to 1,024; `auto` measures.
        lr: peak learning rate of AdamW, or `auto`: found by a range test.
        decay: its weight decay.
        augment: what training rows go through: smote, oversample and undersample once, noise and mixup in every batch anew.

    >>> Mlp(blocks=1).width
    192
    """

    width: Annotated[int, Meta(ge=1)] = 192
    blocks: Annotated[int, Meta(ge=0)] = 2
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    steps: Annotated[int, Meta(ge=0)] = 0
    batch: Rows = 0
    lr: Rate = 0.001
    decay: Annotated[float, Meta(ge=0)] = 0.01
    patience: Annotated[int, Meta(ge=0)] = 6
    augment: tuple[Annotated[Any, part("augments")], ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "augment", read_parts(self.augment))
        check_parts(self.augment, model="mlp", kinds=("resampling", "row", "mixing"), roles=("numbers", "codes"))

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`.

        Raises:
            DataError: no labelled row, one class, neither numbers nor categories, or an augmentation for other data.
            Stopped: it was stopped before the first step.
        """
        layout = train.schema.layout
        vectors = [name for name, _ in vectors_of(train.schema)]
        if not layout.numbers and not layout.codes and not vectors:
            raise DataError(
                "the table of an `mlp`",
                rule="one with a number, category, flag, time or vector column",
                given=Told(", ".join(named.name for named in layout.arrays) or "no column"),
                remedy="Set model.type to cnn for images.",
            )
        for output in train.outputs:
            learnable(output, train, kinds=EVERY)
        check_roles(self.augment, train, model="mlp")
        lazy.load("torch", extra="train")
        from fermion.research import graphs, loop, optim, tablenet

        read = ("numbers", "codes", *vectors)
        train, valid = _read_part(train, read), _read_part(valid, read)
        with loop.seeded(run.seed_for("fit: weights")):
            net = tablenet.TableNet(
                tablenet.Numbers(train.arrays["numbers"]) if layout.numbers else None,
                tablenet.Codes(train.arrays["codes"], [ref.size for ref in layout.codes]) if layout.codes else None,
                train.outputs,
                width=self.width,
                blocks=self.blocks,
                dropout=self.dropout,
                vectors=tablenet.Vectors({name: train.arrays[name] for name in vectors}) if vectors else None,
            )
        grown = resample(self.augment, train, run)
        batch = int(number(self.batch, max(default_batch(len(grown)), least_batch(train.outputs))))
        recipe = self.recipe(
            optim.Steps(
                lr=number(self.lr, 0.001),
                matrix_lr=0.0,  # Muon was as good and took five times as long at this size
                schedule="one-cycle",
                warmup=0.1,
                floor=0.01,
                betas=(0.9, 0.99),
                decay=self.decay,
                clip=1.0,
            ),
            steps=self.steps or int(np.clip(PASSES * len(grown) / (batch * self.training.accumulate), SHORTEST, LONGEST)),
            batch=batch,
            by_rows=not self.steps,
            evaluations=30,
            precision="float32",  # layers this small are slower in bfloat16
        )
        trained = loop.train(net, grown, valid, recipe, run, augment=augmenting(self.augment, train, run))
        notes = [*resampling_notes(self.augment, train, grown), *trained.notes]
        ignored = [named.name for named in layout.arrays if named.name not in read]
        examples = valid.arrays if len(valid) else train.arrays
        return Fitted(
            schema=train.schema,
            outputs=train.outputs,
            learned=graphs.Net(net, train.outputs, examples),
            curves=trained.curves,
            notes=(*notes, *([f"the net does not read {', '.join(ignored)}"] if ignored else [])),
        )


def default_batch(rows: int) -> int:
    """About 32 steps per pass over the rows: a power of 2 from 32 to 1,024.

    >>> default_batch(300), default_batch(10_000), default_batch(1_000_000)
    (32, 256, 1024)
    """
    return int(2 ** np.floor(np.log2(np.clip(rows / 32, 32, 1024))))


def _read_part(rows: Encoded, read: Sequence[str]) -> Encoded:
    """The arrays that the net reads, so that nothing else is copied to the device."""
    arrays = {name: array for name, array in rows.arrays.items() if name in read}
    return Encoded(schema=rows.schema, outputs=rows.outputs, arrays=arrays, targets=rows.targets, weights=rows.weights)
