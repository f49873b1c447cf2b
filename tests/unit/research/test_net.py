"""The net for any table: which encoders it takes, what it refuses, and that columns of every kind have an importance."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch

from fermion.columns.category import Category
from fermion.columns.column import Column
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.sequence import Sequence
from fermion.columns.text import Text
from fermion.core.errors import DataError, SpecError
from fermion.core.run import Run
from fermion.data.samples import sample
from fermion.practice.making import default_model
from fermion.research.blocks.combine import CrossAttention, Gated, Said
from fermion.research.blocks.encoding import Stepwise
from fermion.research.blocks.recurrent import gathered, turned
from fermion.research.encoders.combiners import Attention
from fermion.research.encoders.convolutional import ResNet
from fermion.research.encoders.pretrained import Pretrained
from fermion.research.encoders.recurrent import Bag, Recurrent
from fermion.research.importance import importances
from fermion.research.model import Encoded
from fermion.research.net import Network, changing

COLUMNS: dict[str, Column] = {"age": Number(), "note": Text(vocabulary=300), "face": Image(), "pulse": Sequence()}


def rows(count: int = 120) -> dict[str, list[Any]]:
    """What is ill is said by the note alone."""
    rng = np.random.default_rng(0)
    ill = np.arange(count) % 2 == 1
    return {
        "age": rng.normal(50, 10, count).tolist(),
        "note": [("bad cough and fever" if one else "all well today") if rng.random() < 0.9 else None for one in ill],
        "face": list(rng.integers(0, 256, (count, 8, 8), dtype=np.uint8)),
        "pulse": [rng.normal(70, 5, rng.integers(1, 9)).tolist() for _ in range(count)],
    }


def encoded(columns: dict[str, Column], count: int = 120) -> Encoded:
    batch = {name: values for name, values in rows(count).items() if name in columns}
    schema = Schema.of(columns).fit(batch)
    output = Probability(target="ill").fit([False, True])
    target_N = output.encode([place % 2 == 1 for place in range(count)])
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"ill": target_N})


def small(**settings: Any) -> Network:
    encoders = {"note": Bag(width=16), "face": ResNet(widths=(4, 8), depth=1, size=8), "pulse": Recurrent(width=8)}
    return Network(encoders=encoders, batch=32, width=16, lr=0.01, **{"steps": 60, **settings})


def small_of(*names: str, **settings: Any) -> Network:
    known = {"face": ResNet(widths=(4, 8), depth=1, size=8), "pulse": Bag(width=8)}
    return msgspec.structs.replace(small(**settings), encoders={name: known[name] for name in names})


def test_every_kind_of_column_gets_its_usual_encoder() -> None:
    chosen, unread = Network().chosen(encoded(COLUMNS).schema.layout)
    assert {name: type(encoder).__name__ for name, (encoder, _) in chosen.items()} == {
        "facts": "Facts",
        "note": "Transformer",
        "face": "Cnn",
        "pulse": "ResNet",
    }
    assert unread == ()


def test_settings_are_read_from_names_and_mappings() -> None:
    net = Network(encoders={"note": "bag", "pulse": {"type": "rocket", "thresholds": 2}}, combine={"type": "attention", "queries": 2})  # type: ignore[arg-type]
    assert (net.encoders["note"], net.combine) == (Bag(), Attention(queries=2))
    with pytest.raises(SpecError, match="Did you mean `bag`"):
        Network(encoders={"note": "bagg"})
    with pytest.raises(SpecError, match=r"a setting of the encoder `bag`"):
        Network(encoders={"note": {"type": "bag", "size": 3}})


def test_a_column_that_is_not_there_is_told_with_the_nearest() -> None:
    layout = encoded(COLUMNS).schema.layout
    with pytest.raises(SpecError, match="Did you mean `note`"):
        Network(encoders={"notes": Bag()}).chosen(layout)
    with pytest.raises(SpecError, match=r"set model\.facts"):
        Network(encoders={"age": Bag()}).chosen(layout)


def test_an_encoder_for_other_arrays_names_those_that_work() -> None:
    train = encoded({"face": Image()})
    with pytest.raises(DataError, match=r"must be one for image, got one for .*These would work: cnn, convnext, "):
        Network(encoders={"face": Bag()}).fit(train, train, Run())


@pytest.mark.parametrize("combine", ["concat", "gated", "attention"])
def test_one_net_reads_all_kinds_and_the_column_that_says_something_is_found(combine: str) -> None:
    train = encoded(COLUMNS)
    fitted = small(combine=combine).fit(train, train, Run(seed=1))
    found, notes = importances(fitted, train, {}, Run(seed=1))
    assert notes == ()
    assert found["ill"][0].column == "note"
    assert found["ill"][0].drop > 0.1
    assert {one.column for one in found["ill"]} == set(COLUMNS)
    nothing = {"age": [None], "note": [None], "face": [None], "pulse": [None]}
    fields = Schema(fields=tuple(type(one)(name=one.name, column=one.column, missing=True) for one in train.schema.fields))
    assert np.isfinite(fitted.run(fields.encode(nothing))[train.outputs[0].array]).all()


@pytest.mark.parametrize(
    ("names", "model"),
    [(("age",), "Trees"), (("face",), "Cnn"), (("age", "face"), "Cnn"), (("note",), "Network"), (("pulse", "age"), "Network")],
)
def test_the_default_model_goes_by_the_kinds_of_columns(names: tuple[str, ...], model: str) -> None:
    schema = Schema.of({name: COLUMNS[name] for name in names}).fit({name: rows()[name] for name in names})
    assert type(default_model(schema)).__name__ == model


def test_turning_a_row_around_twice_is_nothing() -> None:
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    x = torch.arange(10.0).view(2, 5, 1)
    once = gathered(x, turned(mask))
    assert once[:, :, 0].tolist() == [[4, 3, 2, 1, 0], [6, 5, 7, 8, 9]]
    assert torch.equal(gathered(once, turned(mask)), x)


def test_attention_over_what_a_recurrent_encoder_says_is_exported_for_any_length() -> None:
    """Torch takes the length that a recurrent layer was traced with for the only one, unless it is told."""
    train = encoded({"pulse": COLUMNS["pulse"]})
    encoder = Recurrent(width=8, layers=2, both_ways=False)
    fitted = Network(encoders={"pulse": encoder}, combine="attention", steps=2, batch=32, width=16).fit(train, train, Run())  # type: ignore[arg-type]
    export = fitted.export()  # compared with the model on rows of many lengths
    assert export.tolerance <= 1e-3


class _Said(Stepwise):
    features, width = 3, 2

    def steps(self, arrays: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return arrays["x"], arrays["m"]

    def pool(self, x_BLE: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        return x_BLE.new_zeros(len(x_BLE), 3)


def test_attention_sees_real_steps_only_and_gates_sum_to_one() -> None:
    steps, mask = torch.randn(2, 4, 2), torch.tensor([[True, True, False, False], [True, True, True, False]])
    combine = CrossAttention([_Said()], width=8, queries=2, heads=2).eval()
    said = Said(torch.randn(2, 3), steps, mask)
    torch.testing.assert_close(combine([said]), combine([said._replace(steps=steps.masked_fill(~mask.unsqueeze(2), 9.0))]))
    gated = Gated([_Said(), _Said()], width=8).eval()
    one = torch.randn(2, 3)
    assert gated([Said(one), Said(one)]).shape == (2, 8)


def test_listings_are_the_same_for_the_same_seed_and_say_what_they_promise() -> None:
    table = sample("sample://listings?rows=400&seed=3")
    assert sample("sample://listings?rows=400&seed=3").fingerprint == table.fingerprint
    sold = np.array(table.values("sold"))
    texts = table.values("text")
    broken = np.array([text is not None and "broken" in text for text in texts])
    assert 0.3 < sold.mean() < 0.7
    assert sold[broken].mean() < 0.3
    assert Category().fit(table.values("thing")).levels


def test_augmentations_change_training_rows_of_every_kind_and_others_are_refused() -> None:
    train = encoded(COLUMNS)
    model = small(augment=("oversample", "noise", "flip", "jitter"))
    fitted = model.fit(train, train, Run(seed=1))
    assert np.isfinite(fitted.run(train.arrays)[train.outputs[0].array]).all()
    notes = encoded({"note": Text(vocabulary=300)})
    with pytest.raises(DataError, match=r"`flip` in model\.augment must be for arrays that the table of this net has"):
        Network(encoders={"note": Bag()}, augment=("flip",)).fit(notes, notes, Run())


def graph(fitted: Any, arrays: dict[str, Any]) -> Any:
    """What the exported graph answers."""
    session = ort.InferenceSession(fitted.export().graphs["model"])
    known = {one.name for one in session.get_inputs()}
    return session.run(None, {name: array for name, array in arrays.items() if name in known})[0]


def test_training_rows_are_augmented_and_the_graph_is_what_it_was() -> None:
    train = encoded({name: column for name, column in COLUMNS.items() if name != "note"})
    parts = ["jitter", "timemask", "distort", {"type": "mixup", "alpha": 0.4}, "noise"]
    plain, changed, again = (
        small_of("face", "pulse", augment=augment, steps=20).fit(train, train, Run(seed=1)) for augment in ((), parts, parts)
    )
    name = train.outputs[0].array
    told = changed.run(train.arrays)[name]
    assert not np.allclose(told, plain.run(train.arrays)[name])
    np.testing.assert_array_equal(told, again.run(train.arrays)[name])
    np.testing.assert_allclose(graph(changed, train.arrays), told, atol=2e-5)
    assert [type(part).__name__ for part in small(augment=parts).augment] == ["Jitter", "TimeMask", "Distort", "Mixup", "Noise"]


def test_what_a_frozen_encoder_reads_is_not_augmented() -> None:
    layout = encoded(COLUMNS).schema.layout
    encoders = {"face": Pretrained(name="somewhere"), "note": Pretrained(name="somewhere", tune="full")}
    chosen, _ = Network(encoders=encoders).chosen(layout)
    assert set(layout.names) - changing(chosen) == {"face.pixels"}
