"""Other people's models keep the contract of models."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fermion.research.keras_model import Keras
from fermion.research.nodes import Nodes
from fermion.research.onnx_model import OnnxGraph
from fermion.research.sklearn_model import Sklearn
from fermion.research.torch_model import Torch
from fermion.testing.models import ModelContract

MADE = """
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fermion.columns.output import Probability


def linear(output):
    last = LogisticRegression() if isinstance(output, Probability) else Ridge()
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), last)


def forest(output, trees):
    return (RandomForestClassifier if isinstance(output, Probability) else RandomForestRegressor)(trees, max_depth=6)
"""

NETS = """
import torch
from torch import nn


class Flat(nn.Module):
    def __init__(self, features, size, width=32):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, size))

    def forward(self, x):
        return self.layers(x)


class Named(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        sizes = {one.name: one for one in inputs}
        self.codes = nn.ModuleList(nn.Embedding(size, 4) for size in sizes["codes"].sizes)
        features = sizes["numbers"].shape[0] + 4 * len(self.codes)
        self.body = nn.Sequential(nn.Linear(features, 24), nn.GELU())
        self.heads = nn.ModuleList(nn.Linear(24, one.size) for one in outputs)
        self.outputs = outputs

    def forward(self, numbers, codes):
        looked_up = [table(codes[:, at]) for at, table in enumerate(self.codes)]
        body = self.body(torch.cat([numbers, *looked_up], 1))
        made = zip(self.outputs, self.heads)
        return {one.array: head(body).reshape(-1, *one.shape) for one, head in made}
"""


LAYERS = """
import keras


def build(features, size):
    return keras.Sequential([keras.Input((features,)), keras.layers.Dense(24, activation="silu"), keras.layers.Dense(size)])
"""


def graph() -> bytes:
    """What somebody else may have trained: logits of `kind` and `band`, and `price`, of the numbers `size` and `noise` as they are."""
    nodes = Nodes("given")
    x_N2 = nodes.add("Clip", nodes.input("x", "float32", 2), *(nodes.constant(np.float32(end)) for end in (-10, 10)))
    layers = {
        "kind": ([[4.0, -4.0], [0.0, 0.0]], [0.0, 0.0]),
        "band": ([[-4.0, 0.0, 4.0], [0.0, 0.0, 0.0]], [-2.4, 0.0, -2.4]),
        "price": ([[50.0], [0.0]], [1000.0]),
    }
    made = {
        name: nodes.add("Add", nodes.add("MatMul", x_N2, nodes.constant(np.float32(w))), nodes.constant(np.float32(b)))
        for name, (w, b) in layers.items()
    }
    return nodes.finish(made, shapes={name: (len(b),) for name, (_, b) in layers.items()})


@pytest.fixture(autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory holds the module that the models name."""
    folder = tmp_path_factory.getbasetemp() / "foreign"
    folder.mkdir(exist_ok=True)
    for name, text in {"my_estimators": MADE, "my_nets": NETS, "my_layers": LAYERS}.items():
        Path(folder / f"{name}.py").write_text(text)
    Path(folder / "given.onnx").write_bytes(graph())
    monkeypatch.chdir(folder)


class TestSklearn(ModelContract):
    model = Sklearn(estimator="my_estimators:linear")


class TestForest(ModelContract):
    """Gaps are filled: with NaN its export would answer otherwise."""

    model = Sklearn(estimator="my_estimators:forest", settings={"trees": 20})


class TestTorch(ModelContract):
    """A net that reads the whole row as a matrix."""

    model = Torch(module="my_nets:Flat", settings={"width": 24}, steps=120, batch=64, lr=0.01)


class TestTorchNamed(ModelContract):
    """A net that reads arrays by name and answers by output."""

    model = Torch(module="my_nets:Named", steps=150, batch=64, lr=0.01)


class TestOnnx(ModelContract):
    """A graph that was trained elsewhere: nothing is fitted, so nothing of the training part can count."""

    model = OnnxGraph(path="given.onnx", inputs={"x": ("size", "noise")}, missing=0.0, softmax=True)

    def test_weights_count(self) -> None:
        pytest.skip("nothing is fitted")

    def test_nothing_to_learn_from_is_a_data_error_with_a_remedy(self) -> None:
        pytest.skip("nothing is fitted")


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("keras", "tensorflow", "tf2onnx")),
    reason="the extra `tensorflow` is not installed",
)
class TestKeras(ModelContract):
    """Each fit starts a process with TensorFlow in it; what several fits tell, tests/unit/research/test_keras_model.py tells."""

    model = Keras(build="my_layers:build", epochs=20, batch=64, lr=0.01)
    dear = True
