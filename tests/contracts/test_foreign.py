"""Other people's models keep the contract of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from fermion.research.sklearn_model import Sklearn
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


@pytest.fixture(autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory holds the module that the models name."""
    folder = tmp_path_factory.getbasetemp() / "foreign"
    folder.mkdir(exist_ok=True)
    for name, text in {"my_estimators": MADE}.items():
        Path(folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(folder)


class TestSklearn(ModelContract):
    model = Sklearn(estimator="my_estimators:linear")


class TestForest(ModelContract):
    """Gaps are filled: with NaN its export would answer otherwise."""

    model = Sklearn(estimator="my_estimators:forest", settings={"trees": 20})
