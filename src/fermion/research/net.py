"""One net for any table: an encoder per column, a combiner, a head per target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
from msgspec import Meta, field
from msgspec.structs import force_setattr

from fermion.columns.schema import Layout, Named
from fermion.core import lazy, registry
from fermion.core.declared import part
from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.run import Run
from fermion.research.augment import augmenting, check_parts, check_roles, read_parts, resample, resampling_notes
from fermion.research.encoder import Combiner, Encoder, columns_of, usual, width_for
from fermion.research.encoders.combiners import Concat
from fermion.research.encoders.plain import Facts
from fermion.research.encoders.pretrained import beside, frozen
from fermion.research.model import Encoded, Fitted
from fermion.research.tabular import default_batch
from fermion.research.targets import EVERY, TAGGED, check_steps, learnable, least_batch
from fermion.research.training import Learner, Precision, Rate, Rows, number

if TYPE_CHECKING:
    from fermion.research.blocks.encoding import Encoding

AUGMENTED = ("numbers", "codes", "image", "series", "wave", "tokens")  # roles whose arrays augmentations may change
FACTS = "facts"  # what the numbers and codes of all columns are called among the encodings
UNDECLARED = "A text whose values all differ is left out unless it is declared: `columns: {NAME: text}` under data."
SHORTEST, LONGEST, PASSES = 300, 5_000, 30


class Network(Learner, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="net"):
    """A net with an encoder for each column, whatever its kind, and one for all numbers and categories together.

    Args:
        encoders: by column; columns that are not named get the encoder that is usual for their kind.
        facts: the encoder of all numbers and categories.
        combine: how the encoders' vectors become one.
        width: features of the layers behind the combiner; 0 chooses by the number of rows, from 64 to 256.
        blocks: residual blocks of two layers behind the combiner; none where there is one column only, unless told otherwise.
        dropout: share of the features that training hides in each block.
        steps: batches to train on; 0 chooses by the number of rows: 30 passes, at least 300 and at most 5,000 steps.
        batch: rows per step; 0 chooses by the number of rows, from 32 to 256; `auto` measures.
        lr: peak learning rate of AdamW, or `auto`: found by a range test.
        decay: its weight decay.
        smoothing: share of the truth that is spread over all classes in training.
        precision: "auto" tries 16-bit autocast in the first steps and keeps it where it is faster; float16 is for cuda.
        augment: what training rows go through: resampling once, changes of rows and mixtures in every batch anew. Columns that a frozen
            encoder reads stay as they are, because their vectors are computed once.

    >>> Network(combine="gated").combine
    Gated(width=0)
    """

    encoders: dict[str, Annotated[Any, part("encoders")]] = field(default_factory=dict[str, Any])
    facts: Annotated[Any, part("encoders")] = Facts()
    combine: Annotated[Any, part("combiners")] = Concat()
    width: Annotated[int, Meta(ge=0)] = 0
    blocks: Annotated[int, Meta(ge=0)] | None = None
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    steps: Annotated[int, Meta(ge=0)] = 0
    batch: Rows = 0
    lr: Rate = 0.002
    decay: Annotated[float, Meta(ge=0)] = 0.01
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    patience: Annotated[int, Meta(ge=0)] = 8
    precision: Precision = "float32"
    augment: tuple[Annotated[Any, part("augments")], ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "augment", read_parts(self.augment))
        check_parts(self.augment, model="net", kinds=("resampling", "row", "mixing"), roles=AUGMENTED)
        force_setattr(self, "encoders", {name: registry.read("encoders", one) for name, one in self.encoders.items()})
        force_setattr(self, "facts", registry.read("encoders", self.facts))
        force_setattr(self, "combine", registry.read("combiners", self.combine))

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`.

        Raises:
            DataError: no labelled row, one class, no column that an encoder reads, or an augmentation for other data.
            SpecError: an encoder is named for a column that is not there, or labels of steps would be mixed.
            Stopped: it was stopped before the first step.
        """
        for output in train.outputs:
            learnable(output, train, kinds=(*EVERY, *TAGGED))
            check_steps(output, train)
        chosen, unread = self.chosen(train.schema.layout)
        check_roles(self.augment, part_of(train, changing(chosen)), model="net")
        for output in train.outputs:
            if isinstance(output, TAGGED):
                why = "Labels of single steps have no means."
                check_parts(
                    self.augment, model=f"a net that answers `{output.target}`", kinds=("resampling", "row"), roles=AUGMENTED, why=why
                )
        lazy.load("torch", extra="train")
        from fermion.research import graphs, loop, optim
        from fermion.research.blocks.mixednet import MixedNet
        from fermion.research.blocks.pictures import PictureReader, entered
        from fermion.research.pretrained.features import ahead

        with loop.seeded(run.seed_for("fit: weights")):
            encodings: dict[str, Encoding] = {
                name: beside(encoder, run.home).build(named, train) for name, (encoder, named) in chosen.items()
            }
            combining = cast("Combiner", self.combine).build(list(encodings.values()), len(train))
            net = MixedNet(
                encodings,
                combining,
                train.outputs,
                width=self.width or width_for(len(train), least=64, most=256),
                blocks=(1 if len(encodings) > 1 else 0) if self.blocks is None else self.blocks,
                dropout=self.dropout,
            )
        read = read_by(chosen)
        train, valid = part_of(train, read), part_of(valid, read)
        examples = valid.arrays if len(valid) else train.arrays
        grown = resample(self.augment, train, run)
        resampled = resampling_notes(self.augment, train, grown)
        train, valid = ahead(list(encodings.values()), grown, valid, run)
        batch = int(number(self.batch, max(min(256, default_batch(len(train))), least_batch(train.outputs))))
        recipe = self.recipe(
            optim.Steps(
                lr=number(self.lr, 0.002),
                matrix_lr=0.0,
                schedule="one-cycle",
                warmup=0.1,
                floor=0.01,
                betas=(0.9, 0.99),
                decay=self.decay,
                clip=1.0,
            ),
            steps=self.steps or min(LONGEST, max(SHORTEST, PASSES * len(train) // (batch * self.training.accumulate))),
            batch=batch,
            by_rows=not self.steps,
            smoothing=self.smoothing,
            evaluations=30,
            precision=self.precision,
        )
        device = loop.device_of(run.device)
        sides = {
            named.name: (int(named.slot.shape[0] or 1), int(named.slot.shape[1] or 1))
            for named in train.schema.layout.arrays
            if named.slot.role == "image"
        }
        frame = {one.name: one.picture(*sides[one.name], device) for one in encodings.values() if isinstance(one, PictureReader)}
        by_batch = augmenting(self.augment, train, run, pictures=frame, enter=entered if frame else None)
        trained = loop.train(net, train, valid, recipe, run, augment=by_batch)
        loop.calibrate(net, net.heads, valid)
        notes = (f"the net does not read {', '.join(unread)}: no encoder is known for such arrays",) if unread else ()
        return Fitted(
            schema=train.schema,
            outputs=train.outputs,
            learned=graphs.Net(net, train.outputs, examples, layout=train.schema.layout),
            curves=trained.curves,
            notes=(*resampled, *trained.notes, *notes),
        )

    def chosen(self, layout: Layout) -> tuple[dict[str, tuple[Encoder, tuple[Named, ...]]], tuple[str, ...]]:
        """The encoder and the arrays of each column, the settings' own first; and the columns that none reads.

        Raises:
            SpecError: the settings name a column that has no arrays of its own.
            DataError: nothing is read.
        """
        columns = columns_of(layout)
        for name in self.encoders:
            if name not in columns:
                fused = any(ref.field == name for ref in (*layout.numbers, *layout.codes))
                remedy = (
                    "Numbers and categories share one encoder: set model.facts." if fused else did_you_mean(name, columns) or UNDECLARED
                )
                given = Told(f"`{name}`")
                raise SpecError("model.encoders", rule=f"by the columns {', '.join(columns) or '(none)'}", given=given, remedy=remedy)
        found: dict[str, tuple[Encoder, tuple[Named, ...]]] = {}
        if layout.numbers or layout.codes:
            found[FACTS if FACTS not in columns else f"{FACTS} of all columns"] = (cast("Encoder", self.facts), ())
        unread: list[str] = []
        for name, named in columns.items():
            encoder = cast("Encoder | None", self.encoders.get(name)) or usual(named)
            if encoder is None:
                unread.append(name)
            else:
                found[name] = (encoder, named)
        if not found:
            raise DataError(
                "the table of a `net`",
                rule="one with a column that an encoder reads",
                given=Told(", ".join(named.name for named in layout.arrays) or "no column"),
                remedy="Register an encoder for its role in the entry point group fermion.encoders.",
            )
        return found, tuple(unread)


def read_by(chosen: dict[str, tuple[Encoder, tuple[Named, ...]]]) -> frozenset[str]:
    """The names of the arrays that the encoders may read."""
    own = (named.name for _, arrays in chosen.values() for named in arrays)
    fused = ("numbers", "codes") if any(not arrays for _, arrays in chosen.values()) else ()
    return frozenset((*own, *fused))


def changing(chosen: dict[str, tuple[Encoder, tuple[Named, ...]]]) -> frozenset[str]:
    """The names of the arrays that are read in every batch anew, and so may be augmented."""
    return read_by(chosen) - {named.name for encoder, arrays in chosen.values() if frozen(encoder) for named in arrays}


def part_of(rows: Encoded, names: Iterable[str]) -> Encoded:
    """The rows with these arrays alone, so that nothing else is copied to the device."""
    kept = frozenset(names)
    return msgspec.structs.replace(rows, arrays={name: array for name, array in rows.arrays.items() if name in kept})
