"""What augmentation promises as a whole: when it happens, from which chance, and that losses keep their meaning."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from fermion.columns.category import Category
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core import registry
from fermion.core.errors import DataError, SpecError
from fermion.core.run import Run
from fermion.core.spec import document, json_schema, override, read
from fermion.research import loop
from fermion.research.augment import Frame, Labels, Rows, augmenting, name_of, read_parts, resample, resampling_notes
from fermion.research.mixing import Mixup
from fermion.research.model import Encoded
from fermion.research.picture_augment import Flip, Rotate
from fermion.research.table_augment import Noise, Oversample, Smote
from fermion.research.tabular import Mlp
from fermion.research.trees import Trees
from fermion.research.vision import Cnn

NAMES = registry.names("augments")
QUICK = Mlp(width=16, blocks=1, steps=30, batch=32)
TINY = Cnn(widths=(4, 4, 8), steps=6, batch=32, size=8, precision="float32", augment=())


def table(count: int = 200, *, seed: int = 0, price: bool = False) -> Encoded:
    """`kind` follows `x`, one row in five is a "yes"."""
    rng = np.random.default_rng(seed)
    x_N = rng.normal(size=count)
    batch: dict[str, Any] = {"x": x_N.tolist(), "z": rng.normal(size=count).tolist(), "town": rng.choice(["a", "b", "c"], count).tolist()}
    batch["z"][0] = None
    columns = Schema.of({"x": Number(), "z": Number(), "town": Category()}).fit(batch)
    kind = np.where(x_N + 0.3 * rng.normal(size=count) > 0.85, "yes", "no").tolist()
    truths: list[tuple[Output, Any]] = [(Probability(target="kind"), kind)]
    truths += [(Value(target="price"), (x_N * 3).tolist())] if price else []
    outputs = [output.fit(values) for output, values in truths]
    targets = {output.target: output.encode(values) for output, (_, values) in zip(outputs, truths, strict=True)}
    return Encoded(schema=columns, outputs=tuple(outputs), arrays=columns.encode(batch), targets=targets)


def pictures(count: int = 120, seed: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    y_N = rng.integers(0, 2, count)
    pixels = np.clip(rng.normal(80 + 90 * y_N[:, None, None, None], 40, (count, 8, 8, 3)), 0, 255).astype(np.uint8)
    schema = Schema.of({"image": Image()}).fit({"image": pixels})
    output = Probability(target="kind").fit(y_N)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode({"image": pixels}), targets={"kind": output.encode(y_N)})


def answers(model: Any, rows: Encoded, seed: int = 0) -> Any:
    fitted = model.fit(rows, rows, Run(seed=seed))
    return fitted.run(rows.arrays)["probabilities:kind"]


class TestDeclaring:
    def spec(self, model: Any) -> Any:
        return read({"name": "a", "data": {"source": "s", "target": "y"}, "model": model})

    def test_parts_are_read_by_name_or_with_their_settings(self) -> None:
        spec = self.spec({"type": "cnn", "augment": ["flip", {"type": "mixup", "alpha": 0.4}]})
        assert spec.model.augment == (Flip(), Mixup(alpha=0.4))
        assert read(document(spec)) == spec
        assert override(spec, "model.augment=[{type: rotate, degrees: 30}]").model.augments == (Rotate(degrees=30),)

    def test_a_number_is_the_strength_of_the_distortion_and_the_default(self) -> None:
        assert [one.strength for one in self.spec("cnn").model.augments] == [1.0]
        assert [one.strength for one in self.spec({"type": "cnn", "augment": 0.3}).model.augments] == [0.3]
        assert self.spec({"type": "cnn", "augment": []}).model.augments == self.spec({"type": "cnn", "augment": 0}).model.augments == ()

    @pytest.mark.parametrize(
        ("augment", "says"),
        [
            ([{"type": "flipp"}], r"`model.augment\[0\].type` must be one of .*got 'flipp'. Did you mean `flip`"),
            (
                [{"type": "mixup", "alfa": 1}],
                r"a field of `model.augment\[0\]` must be one of alpha, chance, got `alfa`. Did you mean `alpha`",
            ),
            ([{"type": "mixup", "alpha": 0}], r"`model.augment\[0\].alpha` must be a number .*above 0, got 0"),
            ("flip", r"`model.augment` must be a number of at least 0 or a list, each item an augmentation"),
        ],
    )
    def test_a_mistake_says_where_and_what_would_be_right(self, augment: Any, says: str) -> None:
        with pytest.raises(SpecError, match=says):
            self.spec({"type": "cnn", "augment": augment})

    def test_what_a_model_cannot_use_is_refused_when_the_file_is_read(self) -> None:
        with pytest.raises(SpecError, match=r"augment of `model` must be made of noise, .*smote.* for trees, got `mixup`\. A mixed row"):
            self.spec({"type": "trees", "augment": ["mixup"]})
        with pytest.raises(SpecError, match=r"augment of `model` must be made of mixup, noise, .* for mlp, got `flip`\. It changes image"):
            self.spec({"type": "mlp", "augment": ["flip"]})

    def test_models_in_python_take_the_same_and_survive_json(self) -> None:
        model = Mlp(augment=("mixup", {"type": "noise", "deviation": 0.2}))
        assert model.augment == (Mixup(), Noise(deviation=0.2))
        assert msgspec.json.decode(msgspec.json.encode(model), type=Mlp) == model
        with pytest.raises(SpecError, match="a setting of the augmentation `noise`"):
            Mlp(augment=({"type": "noise", "deviation": -1},))
        with pytest.raises(SpecError, match="the augmentation must be one of"):
            Mlp(augment=("nothing",))

    def test_editors_know_them(self) -> None:
        schema = json_schema()["$defs"]
        assert schema["augments"]["oneOf"][0] == {"enum": list(NAMES)}
        assert "alpha" in schema["Mixup"]["properties"]

    def test_naming_them_costs_no_torch(self) -> None:
        code = (
            "import sys\nfrom fermion.core import registry\n"
            "[registry.find('augments', name) for name in registry.names('augments')]\nsys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize("name", NAMES)
    def test_every_part_is_tagged_with_its_name_and_has_working_defaults(self, name: str) -> None:
        part = registry.find("augments", name)()
        assert name_of(part) == name
        assert part.kind in ("resampling", "row", "mixing")
        assert read_parts([msgspec.to_builtins(part)]) == (part,)


class TestWhen:
    @pytest.mark.parametrize("augment", [["noise"], ["mixup"], ["smote"], ["oversample", "noise", "mixup"]], ids="+".join)
    def test_the_same_seed_gives_the_same_net(self, augment: list[str]) -> None:
        model = msgspec.structs.replace(QUICK, augment=tuple(augment))
        first = answers(model, table())
        np.testing.assert_array_equal(first, answers(model, table()))
        assert not np.array_equal(first, answers(model, table(), seed=1))
        assert not np.array_equal(first, answers(QUICK, table()))

    @pytest.mark.parametrize(
        "augment", [["flip", "crop", "rotate", "colour", "cutout", "noise", "blur"], ["randaugment", "cutmix"], ["mixup"]]
    )
    def test_pictures_go_through_them_in_training_alone(self, augment: list[str]) -> None:
        rows, model = pictures(), msgspec.structs.replace(TINY, augment=tuple(augment))
        fitted, again = (model.fit(rows, rows, Run()) for _ in range(2))
        made = fitted.run(rows.arrays)["probabilities:kind"]
        np.testing.assert_array_equal(made, fitted.run(rows.arrays)["probabilities:kind"])
        np.testing.assert_array_equal(made, again.run(rows.arrays)["probabilities:kind"])
        assert not np.array_equal(made, answers(TINY, rows))

    def test_training_leaves_the_rows_alone(self) -> None:
        rows = table()
        before = {name: array.copy() for name, array in rows.arrays.items()}
        for model in (msgspec.structs.replace(QUICK, augment=("smote", "noise", "mixup")), Trees(rounds=3, augment=("smote", "noise"))):
            model.fit(rows, rows, Run())
            for name, array in rows.arrays.items():
                np.testing.assert_array_equal(array, before[name])

    def test_trees_grow_on_noisy_copies_beside_the_rows(self) -> None:
        rows = table()
        grown = resample((Noise(),), rows, Run(), copies=True)
        assert len(grown) == 2 * len(rows)
        np.testing.assert_array_equal(grown.arrays["numbers"][: len(rows)], rows.arrays["numbers"])
        np.testing.assert_array_equal(grown.targets["kind"], np.tile(rows.targets["kind"], 2))
        assert 0.03 < np.nanstd(grown.arrays["numbers"][len(rows) :] - rows.arrays["numbers"]) < 0.2
        assert resample((Noise(), Mixup()), rows, Run()) is rows

    def test_what_changed_is_told(self) -> None:
        rows = table()
        notes = Trees(rounds=3, augment=("smote",)).fit(rows, rows, Run()).notes
        assert any("augment (smote): 200 training rows became" in note for note in notes)
        assert any("kind: 'yes' went from" in note and "to 50.0%" in note and "decide.at: best" in note for note in notes)
        assert resampling_notes((), rows, rows) == ()

    def test_a_table_without_what_a_part_changes(self) -> None:
        rows = pictures()
        with pytest.raises(
            DataError, match=r"`smote` in model.augment must be for arrays that the table of this cnn has \(image\).*oversample"
        ):
            msgspec.structs.replace(TINY, augment=("smote",)).fit(rows, rows, Run())

    def test_batches_differ_and_start_again_with_the_run(self) -> None:
        rows = table()
        arrays, targets = loop.tensors(rows, torch.device("cpu"))
        labels = (Labels(targets=targets),)
        one, same = (augmenting((Noise(),), rows, Run()) for _ in range(2))
        assert one is not None
        assert same is not None
        first = one(arrays, labels)[0]["numbers"]
        assert torch.equal(first.nan_to_num(), same(arrays, labels)[0]["numbers"].nan_to_num())
        assert not torch.equal(first.nan_to_num(), one(arrays, labels)[0]["numbers"].nan_to_num())
        assert augmenting((Smote(), Oversample()), rows, Run()) is None

    def test_the_global_random_numbers_are_not_used(self) -> None:
        before = torch.random.get_rng_state()
        resample((Smote(), Noise()), table(), Run(), copies=True)
        assert torch.equal(torch.random.get_rng_state(), before)


class TestLosses:
    """A mixed row's loss is that of the soft target."""

    def mixed(self, rows: Encoded, weights: torch.Tensor | None) -> tuple[Rows, torch.Tensor, torch.Tensor]:
        _, targets = loop.tensors(rows, torch.device("cpu"))
        count = len(rows)
        partner, share = torch.arange(count).flip(0), torch.linspace(0.5, 1, count)
        given = Rows(
            frame=Frame(outputs=rows.outputs), arrays={"x": torch.zeros(count)}, labels=(Labels(targets=targets, weights=weights),)
        )
        return given.mixed(partner, share, given.arrays), partner, share

    def loss(self, rows: Encoded, made: Rows, raw: dict[str, torch.Tensor], smoothing: float = 0.0) -> torch.Tensor:
        return torch.stack([loop.total_loss(rows.outputs, raw, one.targets, one.weights, smoothing) for one in made.labels]).sum()

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_classes(self, smoothing: float, weighted: bool) -> None:
        rows = table(50)
        weights = torch.linspace(0.1, 3, 50) if weighted else None
        made, partner, share = self.mixed(rows, weights)
        logits = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        y = nn.functional.one_hot(torch.from_numpy(rows.targets["kind"]), 2).float()
        w = torch.ones(50) if weights is None else weights
        own, other = (share * w)[:, None] * y, ((1 - share) * w[partner])[:, None] * y[partner]
        soft = (own + other) * (1 - smoothing) + (own + other).sum(1, keepdim=True) * smoothing / 2
        want = -(soft * logits.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(self.loss(rows, made, {rows.outputs[0].array: logits}, smoothing), want)

    def test_values_have_the_gradient_of_the_mean(self) -> None:
        rows = table(50, price=True)
        rows = msgspec.structs.replace(rows, outputs=rows.outputs[1:])
        made, partner, share = self.mixed(rows, None)
        value = torch.zeros(50, requires_grad=True)
        self.loss(rows, made, {rows.outputs[0].array: value}).backward()
        y = torch.from_numpy(rows.targets["price"].astype(np.float32))
        torch.testing.assert_close(value.grad, -2 * (share * y + (1 - share) * y[partner]) / 50)

    def test_a_row_without_a_label_counts_with_its_partner_alone(self) -> None:
        rows = table(50)
        codes = rows.targets["kind"].copy()
        codes[:25] = -1
        rows = msgspec.structs.replace(rows, targets={"kind": codes})
        made, partner, share = self.mixed(rows, None)
        logits = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        each = nn.functional.cross_entropy(logits, torch.from_numpy(codes), ignore_index=-1, reduction="none")
        other = nn.functional.cross_entropy(logits, torch.from_numpy(codes)[partner], ignore_index=-1, reduction="none")
        want = ((share * each).sum() + ((1 - share) * other).sum()) / 25
        torch.testing.assert_close(self.loss(rows, made, {rows.outputs[0].array: logits}), want)

    def test_nets_learn_from_mixed_rows_of_classes_and_values(self) -> None:
        rows = table(400, price=True)
        model = Mlp(width=32, blocks=1, steps=150, batch=64, balance=True, augment=("mixup",))
        made = model.fit(rows, rows, Run()).run(rows.arrays)
        assert np.mean(made["probabilities:kind"].argmax(1) == rows.targets["kind"]) > 0.85
        assert np.corrcoef(made["value:price"], rows.targets["price"])[0, 1] > 0.9
