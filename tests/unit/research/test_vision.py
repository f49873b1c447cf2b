import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

from fermion.columns.category import Category
from fermion.columns.column import Batch
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError
from fermion.core.run import Run
from fermion.research.model import Encoded, Fitted, Model
from fermion.research.vision import Cnn

SMALL = Cnn(widths=(8, 12, 12), steps=60, batch=64, size=8, augment=0.3, precision="float32")


def run_onnx(graph: bytes, arrays: dict[str, Any]) -> dict[str, Any]:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, arrays), strict=True))


def bars(count: int, seed: int = 0, channels: int = 1) -> tuple[Any, Any]:
    """Pictures of a horizontal (0), vertical (1) or diagonal (2) bar in noise."""
    rng = np.random.default_rng(seed)
    y, at = rng.integers(0, 3, count), rng.integers(1, 7, count)
    x = rng.integers(0, 80, (count, 8, 8, channels))
    for row in range(count):
        if y[row] == 0:
            x[row, at[row]] += 150
        elif y[row] == 1:
            x[row, :, at[row]] += 150
        else:
            x[row, range(8), range(8)] += 150
    return x.astype(np.uint8), y


def table(batch: Batch, columns: dict[str, Any], targets: dict[str, tuple[Output, Any]]) -> Encoded:
    schema = Schema.of(columns).fit(batch)
    outputs = {name: output.fit(values) for name, (output, values) in targets.items()}
    return Encoded(
        schema=schema,
        outputs=tuple(outputs.values()),
        arrays=schema.encode(batch),
        targets={name: outputs[name].encode(values) for name, (_, values) in targets.items()},
    )


def pictures(count: int, seed: int = 0, channels: int = 1) -> Encoded:
    x, y = bars(count, seed, channels)
    return table({"image": x}, {"image": Image()}, {"kind": (Probability(target="kind"), y)})


def accuracy(fitted: Fitted, rows: Encoded) -> float:
    return float((fitted.run(rows.arrays)["probabilities:kind"].argmax(1) == rows.targets["kind"]).mean())


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return SMALL.fit(pictures(600), pictures(150, 1), Run())


def test_it_is_a_model_and_its_settings_are_json() -> None:
    model: Model = Cnn(lr=0.01)
    assert msgspec.json.decode(msgspec.json.encode(model), type=Cnn) == model
    assert msgspec.json.decode(b'{"type":"cnn"}', type=Cnn) == Cnn()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"cnn","learning_rate":1}', type=Cnn)


def test_naming_the_model_costs_no_torch() -> None:
    code = "import sys, fermion.research.vision; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_learns_and_answers_raw_pictures(fitted: Fitted) -> None:
    assert accuracy(fitted, pictures(300, 2)) > 0.97
    x, y = bars(20, 3)
    answer = fitted.predict({"image": list(x)})
    assert np.mean(np.array(answer["prediction"]) == y) > 0.9
    assert sum(answer["probabilities"][0].values()) == pytest.approx(1, abs=1e-5)
    assert fitted.curves


def test_same_seed_same_answers(fitted: Fitted) -> None:
    again = SMALL.fit(pictures(600), pictures(150, 1), Run())
    test = pictures(50, 2).arrays
    np.testing.assert_array_equal(again.run(test)["probabilities:kind"], fitted.run(test)["probabilities:kind"])


def test_the_export_answers_as_the_model_does(fitted: Fitted) -> None:
    made = fitted.export()
    for count in (1, 7, 0):
        test = pictures(count, 2).arrays if count else {"image.pixels": np.zeros((0, 8, 8, 1), dtype=np.uint8)}
        np.testing.assert_allclose(
            run_onnx(made.graphs["model"], test)["probabilities:kind"], fitted.run(test)["probabilities:kind"], atol=1e-5, strict=True
        )


def test_probabilities_mean_what_they_say(fitted: Fitted) -> None:
    test = pictures(500, 4)
    p = fitted.run(test.arrays)["probabilities:kind"]
    assert p.max(1).mean() == pytest.approx(accuracy(fitted, test), abs=0.03)


def test_colour_other_sizes_and_columns_beside_the_picture() -> None:
    x, y = bars(500, channels=3)
    wide = np.repeat(x, 2, axis=2)
    rng = np.random.default_rng(0)
    hint, shop = rng.normal(size=500), rng.integers(0, 2, 500)
    batch = {"image": wide, "hint": [None if v > 2 else float(v) for v in hint], "shop": [("inn", "bar")[v] for v in shop]}
    rows = table(
        batch,
        {"image": Image(), "hint": Number(), "shop": Category()},
        {"kind": (Probability(target="kind"), y), "price": (Value(target="price"), 3 * hint + 5 * shop)},
    )
    model = msgspec.structs.replace(SMALL, size=16, steps=120, augment=0.0)
    fitted = model.fit(rows.take(np.arange(400)), rows.take(np.arange(400, 500)), Run())
    assert accuracy(fitted, rows) > 0.95
    assert np.corrcoef(fitted.run(rows.arrays)["value:price"], rows.targets["price"])[0, 1] > 0.9


def test_a_table_without_pictures() -> None:
    rows = table({"a": [1.0, 2.0]}, {"a": Number()}, {"kind": (Probability(target="kind"), ["x", "y"])})
    with pytest.raises(DataError, match=r"column of pictures, got 0 of them among the columns a\. Use `model: \{type: trees\}`"):
        Cnn().fit(rows, rows, Run())


def test_nothing_to_learn() -> None:
    rows = pictures(40)
    with pytest.raises(DataError, match="at least one labelled row"):
        SMALL.fit(rows.take(np.zeros(40, dtype=bool)), rows, Run())
    x, _ = bars(10)
    one = table({"image": x}, {"image": Image()}, {"kind": (Probability(target="kind"), ["x"] * 10)})
    with pytest.raises(DataError, match="at least two classes"):
        SMALL.fit(one, one, Run())


def test_few_rows_still_fit() -> None:
    assert SMALL.fit(pictures(5), pictures(3, 1), Run()).run(pictures(2).arrays)["probabilities:kind"].shape[0] == 2


def test_contrast_makes_light_of_no_account() -> None:
    import torch

    from fermion.research.blocks.pictures import contrasted

    z = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x = contrasted(z)
    assert x.mean((1, 2, 3)).abs().max() < 1e-5
    np.testing.assert_allclose(contrasted(40 * z + 3).numpy(), contrasted(20 * z - 1).numpy(), atol=0.01)
    assert contrasted(torch.full((1, 3, 8, 8), 0.3)).abs().max() < 1e-5


def test_five_views_answer_with_the_mean_of_their_logits() -> None:
    import torch

    from fermion.research.blocks.pictures import ConvNet, Pixels, shifted

    kind = Probability(target="kind", classes=("a", "b"))
    net = ConvNet("image.pixels", 1, (4, 6, 8), [kind], Pixels([0.5], [0.2])).eval()
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    views = shifted(x).unflatten(0, (5, 3))
    assert torch.equal(views[0], x)
    assert torch.equal(views[1][..., 1:], x[..., :-1])
    assert torch.equal(views[1][..., 0], x[..., 0])
    each = torch.stack([net({"image.pixels": view})[kind.array] for view in views])
    net.shifts = True
    torch.testing.assert_close(net({"image.pixels": x})[kind.array], each.mean(0))


def test_views_are_in_the_exported_graph_and_chosen_by_validation() -> None:
    train, valid = pictures(200), pictures(60, 1)
    brief = msgspec.structs.replace(SMALL, steps=20, contrast=True)
    one, five, best = (msgspec.structs.replace(brief, views=views).fit(train, valid, Run()) for views in ("one", "shifts", "best"))
    answers = [fitted.run(valid.arrays)["probabilities:kind"] for fitted in (one, five, best)]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    made = run_onnx(five.export().graphs["model"], valid.arrays)["probabilities:kind"]
    np.testing.assert_allclose(made, answers[1], atol=1e-4)
    told = next(note for note in best.notes if note.startswith("Five shifts of a picture"))
    np.testing.assert_array_equal(answers[2], answers[1 if " stay" in told else 0])
