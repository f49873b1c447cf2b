"""Other people's models keep the contract of models."""

from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.fixture(autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory holds the module that the models name."""
    folder = tmp_path_factory.getbasetemp() / "foreign"
    folder.mkdir(exist_ok=True)
    for name, text in {"my_estimators": MADE, "my_nets": NETS}.items():
        Path(folder / f"{name}.py").write_text(text)
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
