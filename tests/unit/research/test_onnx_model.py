from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skl2onnx
import torch
from numpy.typing import NDArray
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

import fermion
from fermion.columns.category import Category
from fermion.columns.column import Batch, Column
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.core.errors import BundleError, DataError, FermionError, SpecError
from fermion.core.run import Run
from fermion.research.nodes import Nodes
from fermion.research.onnx_model import OnnxGraph
from fermion.testing.models import ModelContract

TABLE = ModelContract()


def convert(estimator: Any, features: int, **options: Any) -> bytes:
    return skl2onnx.to_onnx(
        estimator, initial_types=[("x", FloatTensorType([None, features]))], target_opset=18, **options
    ).SerializeToString()


def fit(folder: Path, graph: bytes, contract: ModelContract = TABLE, target: str = "kind", **settings: Any) -> Any:
    (folder / "model.onnx").write_bytes(graph)
    train, valid, _ = contract.table(targets=(target,))
    return OnnxGraph(path="model.onnx", **settings).fit(train, valid, Run(home=folder)), train, valid


def linear(name: str = "z", size: int = 2, *, features: int = 2, softmax: bool = False) -> bytes:
    nodes = Nodes("linear")
    x = nodes.input("x", "float32", features)
    z = nodes.add("MatMul", x, nodes.constant(np.linspace(-1, 1, features * size, dtype=np.float32).reshape(features, size)))
    return nodes.finish({name: nodes.add("Softmax", z, axis=1) if softmax else z}, shapes={name: (size,)})


@pytest.mark.filterwarnings("ignore")
def test_a_graph_of_scikit_learn_is_evaluated_bundled_and_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x_NF, y_N = load_iris(return_X_y=True)
    (tmp_path / "iris.onnx").write_bytes(convert(LogisticRegression(max_iter=500).fit(x_NF, y_N), 4, options={"zipmap": False}))
    monkeypatch.chdir(tmp_path)
    made = fermion.fit("sample://iris", target="species", model={"type": "onnx", "path": "iris.onnx"})
    assert made.evaluate().metrics["accuracy"].value > 0.9
    made.save(tmp_path / "bundle")
    row = {"sepal_length_cm": [5.1], "sepal_width_cm": [3.5], "petal_length_cm": [1.4], "petal_width_cm": [0.2]}
    assert fermion.load(tmp_path / "bundle").predict(row)["prediction"] == ["setosa"]


def test_values_come_in_the_targets_unit_and_numbers_with_what_their_column_took_off(tmp_path: Path) -> None:
    class Years(ModelContract):
        def columns(self) -> dict[str, Column]:
            return {"noise": Number(), "year": Number()}

        def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
            return {"noise": rng.normal(size=len(signal_N)).tolist(), "year": (2000 + 10 * signal_N).tolist()}

    contract = Years()
    train, _, held = contract.table(targets=("price",))
    assert train.schema.fields[1].column.offset
    estimator = LinearRegression().fit([[2000.0, 0.0], [2010.0, 0.0]], [1000.0, 1050.0])
    fitted, _, _ = fit(tmp_path, convert(estimator, 2), contract, "price", inputs={"x": ("year", "noise")})
    want = [1000 + 5 * (year - 2000) for year in held["year"]]
    np.testing.assert_allclose(fitted.predict(held)["prediction"], want, rtol=1e-4)


def test_logits_need_softmax_and_a_lone_one_is_two_classes(tmp_path: Path) -> None:
    picked = {"inputs": {"x": ("size", "noise")}, "missing": 0.0}
    with pytest.raises(DataError, match=r"probabilities that sum to one, got numbers from .* Set model.softmax to true"):
        fit(tmp_path, linear(), **picked)
    for size in (2, 1):
        fitted, train, valid = fit(tmp_path, linear(size=size), softmax=True, **picked)
        p_NK = fitted.run(valid.arrays)[train.outputs[0].array]
        assert p_NK.shape == (len(valid), 2)
        np.testing.assert_allclose(p_NK.sum(axis=1), 1, atol=1e-6)


def test_classes_and_levels_come_in_the_graphs_order(tmp_path: Path) -> None:
    nodes = Nodes("looked-up")
    code = nodes.input("colour", "int64", 1)
    table = nodes.constant(np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32))
    looked_up = nodes.add("Gather", table, nodes.add("Reshape", code, nodes.constant(np.array([-1], dtype=np.int64))), axis=0)
    graph = nodes.finish({"p": looked_up}, shapes={"p": (2,)})
    fitted, train, _ = fit(tmp_path, graph, levels={"colour": ("red", "blue")}, unknown=1, classes={"kind": ("low", "high")})
    rows = {"size": [0.0] * 3, "noise": [0.0] * 3, "colour": ["red", "blue", None]}
    assert train.outputs[0].classes == ("high", "low")
    assert [round(p["low"], 3) for p in fitted.predict(rows)["probabilities"]] == [0.9, 0.2, 0.2]


def test_pictures_are_turned_and_scaled_as_the_graph_takes_them(tmp_path: Path) -> None:
    class Pictured(ModelContract):
        def columns(self) -> dict[str, Column]:
            return {"picture": Image(height=6, width=4, channels=3), "colour": Category()}

        def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
            pictures = rng.integers(0, 256, (len(signal_N), 6, 4, 3), dtype=np.uint8)
            return {"picture": list(pictures), "colour": ["red"] * len(signal_N)}

    class Reds(torch.nn.Module):
        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            red_B = picture[:, 0].mean((1, 2))
            return torch.stack([red_B, 1 - red_B], 1)

    file, rows = tmp_path / "reds.onnx", torch.export.Dim("rows")
    picture = torch.zeros(2, 3, 6, 4)
    torch.onnx.export(Reds().eval(), (picture,), file, dynamic_shapes=({0: rows},), dynamo=True, external_data=False, verbose=False)
    fitted, train, valid = fit(tmp_path, file.read_bytes(), Pictured())
    want_N = valid.arrays["picture.pixels"][..., 0].mean((1, 2)) / 255
    np.testing.assert_allclose(fitted.run(valid.arrays)[train.outputs[0].array][:, 0], want_N, atol=1e-5)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    onnx.save_model(onnx.load_from_string(linear()), tmp_path / "x.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(BundleError, match=r"model.onnx` must be one file with its weights inside.*external_data=False"):
        fit(tmp_path, (tmp_path / "x.onnx").read_bytes())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "settings", "told"),
    [
        (lambda: b"no graph", {}, "the graph `model.onnx` must be a whole ONNX file"),
        (
            lambda: linear(features=5),
            {},
            r"what the input `x` of the graph gets must be 5 numbers per row, got 3 of the columns size, noise, colour",
        ),
        (
            lambda: linear(size=3),
            {"inputs": {"x": "numbers"}},
            r"the answer for `kind` must be 2 numbers per row, one for each class, got .*\(N, 3\)",
        ),
        (lambda: linear(), {"inputs": {"y": "numbers"}}, "an input of model.inputs must be one that the graph has, got 'y'"),
        (lambda: linear(), {"inputs": {"x": ("size", "nois")}}, "must be a column or array, got 'nois'. Did you mean `noise`?"),
        (lambda: linear(), {"inputs": {"x": "numbers"}, "outputs": {"kind": "zz"}}, r"an output of real numbers \(z\), got zz"),
        (
            lambda: linear(softmax=True),
            {"inputs": {"x": "numbers"}},
            "must be finite, got NaN or infinity. Say what it gets for a missing number",
        ),
        (
            lambda: linear(softmax=True),
            {"inputs": {"x": "numbers"}, "missing": 0.0, "classes": {"kind": ("up", "down")}},
            r"model.classes of `kind` must be the classes of the target \(high, low\), got up, down",
        ),
        (
            lambda: convert(LogisticRegression().fit([[0, 0], [1, 1]], [0, 1]), 2),
            {"inputs": {"x": "numbers"}, "outputs": {"kind": "output_probability"}},
            "zipmap=False",
        ),
    ],
    ids=["bytes", "columns", "classes", "input", "column", "output", "gaps", "order", "zipmap"],
)
def test_what_does_not_fit_is_told(tmp_path: Path, make: Any, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(FermionError, match=told):
        fit(tmp_path, make(), **settings)


def test_a_fixed_number_of_rows_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    torch.onnx.export(
        torch.nn.Linear(2, 2).eval(), (torch.zeros(2, 2),), tmp_path / "x.onnx", dynamo=True, external_data=False, verbose=False
    )
    with pytest.raises(
        SpecError, match=r"free in its first axis, the rows, got the shape \[2, 2\]. Export it again with a dynamic batch axis"
    ):
        fit(tmp_path, (tmp_path / "x.onnx").read_bytes(), inputs={"input": "numbers"})
    train, valid, _ = TABLE.table()
    with pytest.raises(
        SpecError, match=r"model.path must be a file that can be read, got modle.onnx: No such file.*Did you mean `model.onnx`?"
    ):
        OnnxGraph(path="modle.onnx").fit(train, valid, Run(home=tmp_path))
