"""Fermion behind scikit-learn's interface: its own checks, and what they do not see."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fermion
from fermion import FermionClassifier, FermionRegressor

WEIGHTS = (
    "a weight is not a repetition: numbers are standardised, and rows are held out for choices, by rows as they are; the fit itself "
    "multiplies each row's loss by its weight"
)
SMALL = {"type": "trees", "rounds": 30, "threads": 1}


def expected(estimator: Any) -> dict[str, str]:
    """What does not apply, and why."""
    return {"check_sample_weight_equivalence_on_dense_data": WEIGHTS}


@parametrize_with_checks([FermionClassifier("linear"), FermionRegressor("linear")], expected_failed_checks=expected)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def iris(frame: bool) -> tuple[Any, Any]:
    return load_iris(return_X_y=True, as_frame=frame)


@pytest.mark.parametrize("kind", ["array", "pandas", "polars"])
def test_frames_and_arrays_learn_alike(kind: str) -> None:
    x, y = iris(kind != "array")
    x = pl.from_pandas(x) if kind == "polars" else x
    fitted = FermionClassifier("linear", seed=1).fit(x, y)
    assert fitted.score(x, y) > 0.9
    assert fitted.n_features_in_ == 4
    p_NK = fitted.predict_proba(x)
    assert p_NK.shape == (150, 3)
    np.testing.assert_allclose(p_NK.sum(axis=1), 1, atol=1e-5)
    if kind != "array":
        assert fitted.feature_names_in_.tolist() == list(x.columns)


def test_texts_categories_and_gaps_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    frame = pd.DataFrame({"size": size, "colour": np.where(size > 0, "red", "blue")})
    frame.loc[::10, "size"] = np.nan
    y = np.where(size > 0, "yes", "no")
    fitted = FermionClassifier(SMALL).fit(frame, y)
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.score(frame, y) > 0.9
    assert fitted.predict(pd.DataFrame({"size": [np.nan], "colour": ["green"]})).shape == (1,)
    mixed = FermionClassifier("linear").fit(frame.to_numpy(dtype=object), y)
    assert mixed.score(frame.to_numpy(dtype=object), y) > 0.9


def test_classes_keep_their_type_and_order() -> None:
    x, y = iris(False)
    for labels in ([10, 2, 7], [2.0, 0.0, 1.0], ["b", "c", "a"]):
        truth = np.array(labels)[y]
        fitted = FermionClassifier("linear").fit(x, truth)
        assert fitted.classes_.tolist() == sorted(labels)
        assert fitted.predict(x).dtype == truth.dtype
        assert (fitted.predict(x) == truth).mean() > 0.9


def test_it_travels_and_writes_a_bundle(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    fitted = FermionRegressor("linear").fit(x, y)
    again, copied = pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)
    np.testing.assert_array_equal(fitted.predict(x), again.predict(x))
    np.testing.assert_array_equal(fitted.predict(x), copied.predict(x))
    bundle = fitted.to_bundle(tmp_path / "diabetes.zip", name="diabetes")
    assert bundle.manifest.name == "diabetes"
    assert bundle.manifest.provenance.data["rows"]["test"] == 0
    served = fermion.load(tmp_path / "diabetes.zip").predict({name: x[name].tolist()[:5] for name in x.columns})["prediction"]
    np.testing.assert_allclose(served, fitted.predict(x)[:5], rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_it_stands_in_pipelines_searches_and_cross_validation() -> None:
    x, y = iris(False)
    pipeline = make_pipeline(StandardScaler(), FermionClassifier("linear"))
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.9
    grid = {"model": [{"type": "linear", "l2": l2} for l2 in (1.0, 1000.0)]}
    found = GridSearchCV(FermionClassifier(), grid, cv=3).fit(x, y)
    assert found.best_params_["model"]["l2"] == 1.0
    assert clone(found.best_estimator_).get_params() == found.best_estimator_.get_params()


def test_what_fermion_refuses_is_a_value_error_in_its_words() -> None:
    x, y = iris(False)
    with pytest.raises(ValueError, match=r"Did you mean `linear`\?"):
        FermionClassifier("linaer").fit(x, y)
    with pytest.raises(ValueError, match="infinity"):
        FermionClassifier("linear").fit(np.where(x > 7, np.inf, x), y)


def test_importing_fermion_imports_no_scikit_learn() -> None:
    program = "import sys, fermion\nassert 'sklearn' not in sys.modules and 'FermionClassifier' in fermion.__all__"
    subprocess.run([sys.executable, "-c", program], check=True)
