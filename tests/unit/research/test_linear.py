"""Logistic and ridge regression against scikit-learn, and what the preparation does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from fermion.bundle.runtime import Runtime
from fermion.columns.category import Category
from fermion.columns.column import Column
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError
from fermion.core.run import Run
from fermion.research.design import FAR, MOST_LEVELS, Design
from fermion.research.linear import Linear, lbfgs
from fermion.research.model import Encoded, Fitted
from fermion.research.parity import check_parity

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 4)) * [1, 10, 0.1, 1] + [0, 5, 0, -3]
SCORE = X @ [1.0, -0.2, 3.0, 0.5] + RNG.normal(size=500)
WEIGHTS = RNG.uniform(0.2, 3.0, 500)


def table(columns: dict[str, Column], batch: dict[str, Any], output: Output, y: Any, weights: NDArray[Any] | None = None) -> Encoded:
    schema = Schema.of(columns).fit(batch, missing=dict.fromkeys(batch, True))
    output = output.fit(y)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode(y)}, weights=weights)


def numbers(output: Output, y: Any, weights: NDArray[Any] | None = None) -> Encoded:
    names = [f"x{column}" for column in range(4)]
    return table({name: Number() for name in names}, {name: X[:, i].tolist() for i, name in enumerate(names)}, output, y, weights)


def answers(model: Linear, train: Encoded) -> NDArray[Any]:
    return model.fit(train, train.take(np.arange(0)), Run()).run(train.arrays)[train.outputs[0].array]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("l2", [0.1, 10.0])
def test_logistic_regression_is_that_of_scikit_learn(classes: int, weights: NDArray[Any] | None, l2: float) -> None:
    y = np.digitize(SCORE, np.quantile(SCORE, np.linspace(0, 1, classes + 1)[1:-1]))
    train = numbers(Probability(target="y"), y.tolist(), weights)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    # ours divides the weights by their mean
    theirs = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=5000).fit(z, y, None if weights is None else weights / weights.mean())
    np.testing.assert_allclose(answers(Linear(l2=l2), train), theirs.predict_proba(z), atol=1e-3)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
def test_ridge_regression_is_that_of_scikit_learn(weights: NDArray[Any] | None) -> None:
    train = numbers(Value(target="y"), SCORE.tolist(), weights)
    z, y = (X - X.mean(axis=0)) / X.std(axis=0), train.targets["y"]
    theirs = Ridge(alpha=7.0).fit(z, y, None if weights is None else weights / weights.mean())
    np.testing.assert_allclose(answers(Linear(l2=7.0), train), theirs.predict(z), atol=1e-3)


def test_levels_are_one_hot_columns() -> None:
    level_N = RNG.integers(0, 3, 500)
    y = (np.array([-1.0, 0.0, 2.0])[level_N] + RNG.normal(size=500) > 0).astype(int)
    train = table({"c": Category()}, {"c": [f"c{level}" for level in level_N]}, Probability(target="y"), y.tolist())
    hot = np.eye(5)[train.arrays["codes"][:, 0]]
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(hot, y)
    np.testing.assert_allclose(answers(Linear(), train), theirs.predict_proba(hot), atol=1e-3)


def test_missing_numbers_are_medians_with_a_flag() -> None:
    """Being missing may itself be the signal."""
    missing = RNG.random(500) < 0.3
    x = np.where(missing, np.nan, RNG.normal(size=500))
    train = table({"x": Number()}, {"x": x}, Probability(target="y"), missing.tolist())
    fitted = Linear().fit(train, train, Run())
    p = fitted.run({"numbers": np.array([[np.nan], [np.float32(np.nanmedian(x))]], dtype=np.float32)})["probabilities:y"][:, 1]
    assert p[0] > 0.95
    assert p[1] < 0.05


def test_a_number_that_is_missing_only_in_serving_is_its_median() -> None:
    train = numbers(Value(target="y"), SCORE.tolist())
    fitted = Linear().fit(train, train, Run())
    median = np.median(train.arrays["numbers"], axis=0)
    made = fitted.run({"numbers": np.stack([np.full(4, np.nan, dtype=np.float32), median])})["value:y"]
    np.testing.assert_allclose(made[0], made[1], atol=1e-6)


def test_rare_and_unseen_levels_share_a_weight() -> None:
    """Levels beyond the most frequent ones are all rare; their common effect is what an unseen level gets."""
    count = MOST_LEVELS + 50
    level_N = np.concatenate([np.repeat(np.arange(MOST_LEVELS), 4), np.arange(MOST_LEVELS, count)])
    y = np.where(level_N >= MOST_LEVELS, 3.0, 0.0) + 0.01 * RNG.normal(size=len(level_N))
    train = table({"c": Category()}, {"c": [f"{level:04d}" for level in level_N]}, Value(target="y"), y.tolist())
    fitted = Linear(l2=0.01).fit(train, train, Run())
    rare, unseen, frequent = fitted.run({"codes": np.array([[count + 1], [1], [2]])})["value:y"]
    assert rare == unseen > frequent + 1


def test_constant_and_empty_columns_do_no_harm() -> None:
    batch = {"same": [3.0] * 500, "none": [None] * 500, "x": X[:, 0].tolist()}
    train = table({name: Number() for name in batch}, batch, Value(target="y"), X[:, 0].tolist())
    fitted = Linear(l2=0.001).fit(train, train, Run())
    np.testing.assert_allclose(fitted.run(train.arrays)["value:y"], train.targets["y"], atol=1e-3)


def test_far_numbers_are_cut() -> None:
    train = numbers(Probability(target="y"), (SCORE > 0).tolist())
    fitted = Linear().fit(train, train, Run())
    far = {"numbers": np.array([[3e38, -3e38, 3e38, -3e38]], dtype=np.float32)}
    assert np.isfinite(fitted.run(far)["probabilities:y"]).all()
    assert check_parity(fitted.export(), far, fitted.run(far)) < 1e-4
    assert np.abs(Design.of(train).dense(far)).max() <= FAR


def served(fitted: Fitted) -> Runtime:
    export = fitted.export()
    return Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)


def test_small_pictures_are_rows_of_pixels() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    train = table({"image": Image()}, {"image": pictures}, Probability(target="y"), digits.target.tolist())
    fitted = Linear(l2=1.0).fit(train.take(np.arange(1200)), train, Run())
    held = train.take(np.arange(1200, 1797))
    right = fitted.run(held.arrays)["probabilities:y"].argmax(axis=1) == held.targets["y"]
    assert right.mean() > 0.9
    assert served(fitted).predict({"image": pictures[:2]})["prediction"] == [0, 1]


def test_large_pictures_are_refused() -> None:
    pictures = np.zeros((2, 100, 100), dtype=np.uint8)
    train = table({"image": Image()}, {"image": pictures}, Probability(target="y"), [0, 1])
    with pytest.raises(DataError, match=r"at most 4096 pixels.*got 10000 pixels\. Set model\.type to cnn"):
        Linear().fit(train, train, Run())


def test_a_stop_leaves_the_weights_so_far() -> None:
    train = numbers(Probability(target="y"), (SCORE > 0).tolist())
    run = Run()
    run.stop()
    early = Linear().fit(train, train, run)
    assert len(early.curves[0].y) == 1
    assert np.isfinite(early.run(train.arrays)["probabilities:y"]).all()


def test_lbfgs_finds_the_valley_of_rosenbrock() -> None:
    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        a, b = 1 - x[0], x[1] - x[0] ** 2
        return float(a * a + 100 * b * b), np.array([-2 * a - 400 * x[0] * b, 200 * b])

    found = lbfgs(loss, np.array([-1.2, 1.0]), steps=200, told=lambda step, value: True)
    np.testing.assert_allclose(found, [1, 1], atol=1e-5)
