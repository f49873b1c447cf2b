from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fermion
from fermion.columns.column import Batch, Column
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.core.errors import DataError, FermionError, SpecError
from fermion.core.run import Run
from fermion.research.flat import Flat
from fermion.research.sklearn_model import Sklearn
from fermion.testing.models import ModelContract

TABLE = ModelContract()


class Pictured(ModelContract):
    def columns(self) -> dict[str, Column]:
        return {"picture": Image(height=8, width=8, channels=1), "noise": Number()}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        pictures = rng.integers(0, 256, (len(signal_N), 8, 8), dtype=np.uint8)
        return {"picture": list(pictures), "noise": signal_N.tolist()}


def fit(estimator: str, target: str = "kind", *, weights: bool = False, **settings: object) -> object:
    train, valid, _ = TABLE.table(targets=(target,), weights=weights)
    return Sklearn(estimator=estimator, **settings).fit(train, valid, Run())


def test_gaps_are_kept_for_who_takes_them_and_filled_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_kept.py").write_text(
        "from sklearn.impute import SimpleImputer\nfrom sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\n\n\n"
        "def make():\n    return make_pipeline(SimpleImputer(), LogisticRegression())\n"
    )
    monkeypatch.chdir(tmp_path)
    kept, filled = fit("my_kept:make"), fit("sklearn.linear_model:LogisticRegression")
    assert kept.learned.flat.fill is None
    assert not kept.notes
    assert filled.learned.flat.fill is not None


def test_a_forest_with_gaps_is_filled_with_a_note_and_refused_where_they_must_stay() -> None:
    forest = "sklearn.ensemble:RandomForestClassifier"
    fitted = fit(forest, settings={"n_estimators": 10})
    assert "filled by their medians" in fitted.notes[0]
    with pytest.raises(FermionError, match=r"Input X contains NaN.*"):
        fit("sklearn.linear_model:LogisticRegression", missing="keep")
    with pytest.raises(FermionError, match=r"exported within 0.0001 of itself, got a difference of .* Set model.missing to median"):
        fit(forest, settings={"n_estimators": 10}, missing="keep")


def test_what_does_not_convert_is_refused_with_what_comes_nearest() -> None:
    with pytest.raises(FermionError, match=r"HistGradientBoostingClassifier: .*Use `model: \{type: trees\}`: LightGBM grows"):
        fit("sklearn.ensemble:HistGradientBoostingClassifier", settings={"max_iter": 3})


@pytest.mark.parametrize(
    ("estimator", "target", "settings", "told"),
    [
        (
            "sklearn.svm:LinearSVC",
            "kind",
            {},
            "gives probabilities, got LinearSVC without predict_proba. .*CalibratedClassifierCV",
        ),
        ("sklearn.linear_model:Ridge", "kind", {}, "the estimator of `kind` must be a classifier, for classes, got Ridge"),
        ("sklearn.linear_model:LogisticRegression", "price", {}, "must be a regressor, for numbers, got LogisticRegression"),
        ("sklearn.linear_model:LogisticRegresion", "kind", {}, "Did you mean `LogisticRegression`?"),
        ("sklearn.linear_model:LogisticRegression", "kind", {"c": 1}, "got TypeError: .*unexpected keyword argument 'c'"),
        ("sklearn.linear_model:LogisticRegression", "kind", {"C": -1.0}, "got InvalidParameterError"),
        ("collections:OrderedDict", "kind", {}, "an estimator with fit and predict, got OrderedDict"),
    ],
)
def test_what_is_no_fitting_estimator_is_told(estimator: str, target: str, settings: dict[str, object], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        fit(estimator, target, settings=settings)


def test_weights_that_an_estimator_cannot_take_are_refused() -> None:
    assert fit("sklearn.neighbors:KNeighborsClassifier", settings={"n_neighbors": 3})
    with pytest.raises(DataError, match=r"weights of rows for KNeighborsClassifier must be left out.*data.weight.use"):
        fit("sklearn.neighbors:KNeighborsClassifier", weights=True)


def test_a_class_that_training_lacks_gets_no_probability() -> None:
    train, valid, _ = TABLE.table(targets=("band",))
    two = train.take(train.targets["band"] != 1)
    fitted = Sklearn(estimator="sklearn.linear_model:LogisticRegression").fit(two, valid, Run())
    made = fitted.run(valid.arrays)["probabilities:band"]
    assert made.shape[1] == 3
    assert (made[:, 1] == 0).all()
    fitted.export()


def test_an_unfitted_estimator_of_a_module_is_cloned_and_seeded(tmp_path: Path) -> None:
    (tmp_path / "my_trees.py").write_text("from sklearn.tree import DecisionTreeClassifier as Tree\n\ntree = Tree(max_features=1)\n")
    train, valid, _ = TABLE.table()
    model = Sklearn(estimator="my_trees:tree", settings={"max_depth": 3})
    first, again, other = (model.fit(train, valid, Run(seed=seed, home=tmp_path)).run(valid.arrays) for seed in (0, 0, 1))
    array = "probabilities:kind"
    np.testing.assert_array_equal(first[array], again[array])
    assert not np.array_equal(first[array], other[array])


def test_the_matrix_holds_pictures_in_shares_and_names_what_it_leaves() -> None:
    train, _, _ = Pictured().table()
    flat = Flat.of(train, impute=True)
    x_ND = flat.matrix(train.arrays)
    assert x_ND.shape == (len(train), 1 + 64)
    assert 0 <= x_ND[:, 1:].min() <= x_ND[:, 1:].max() <= 1


def test_through_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_pipeline.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\n\n\n"
        "def make(C):\n    return make_pipeline(StandardScaler(), LogisticRegression(C=C))\n"
    )
    monkeypatch.chdir(tmp_path)
    model = {"type": "sklearn", "estimator": "my_pipeline:make", "settings": {"C": 2.0}}
    made = fermion.fit("sample://iris", target="species", model=model)
    assert made.evaluate().metrics["accuracy"].value > 0.85
    bundle = made.save(tmp_path / "iris")
    assert bundle.manifest.provenance.spec["model"]["settings"] == {"C": 2.0}
    row = {"sepal_length_cm": [5.1], "sepal_width_cm": [3.5], "petal_length_cm": [1.4], "petal_width_cm": [0.2]}
    assert fermion.load(tmp_path / "iris").predict(row)["prediction"] == ["setosa"]
