"""Equal to scikit-learn's, on data where a metric is easy and on data where it is not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from fermion.core.errors import DataError, UsageError
from fermion.measure.curves import calibration, precision_recall_curve, roc_curve
from fermion.measure.metrics import METRICS, confusion, for_task, metric
from fermion.measure.scored import Scored

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def reference(name: str, s: Scored) -> float:
    """scikit-learn's value, over the rows that have a weight."""
    if s.weights is not None:
        s = s.take(s.weights > 0)
    given: dict[str, Any] = {} if s.weights is None else {"sample_weight": s.weights}
    average = "binary" if s.classes == 2 else "macro"
    p, hot = s.probabilities, np.arange(s.classes) == s.truth[:, None]
    known: dict[str, Callable[[], float]] = {
        "accuracy": lambda: sk.accuracy_score(s.truth, s.decided, **given),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(s.truth, s.decided, **given),
        "precision": lambda: sk.precision_score(s.truth, s.decided, average=average, **given),
        "recall": lambda: sk.recall_score(s.truth, s.decided, average=average, **given),
        "f1": lambda: sk.f1_score(s.truth, s.decided, average=average, **given),
        "roc_auc": lambda: (
            sk.roc_auc_score(hot[:, 1], p[:, 1], **given) if s.classes == 2 else sk.roc_auc_score(s.truth, p, multi_class="ovr", **given)
        ),
        "average_precision": lambda: (
            sk.average_precision_score(hot[:, 1], p[:, 1], **given)
            if s.classes == 2
            else sk.average_precision_score(hot.astype(int), p, **given)
        ),
        "log_loss": lambda: sk.log_loss(s.truth, y_proba=p, labels=range(s.classes), **given),
        "brier": lambda: sk.brier_score_loss(s.truth, p, labels=range(s.classes), **given),
        "mae": lambda: sk.mean_absolute_error(s.truth, s.decided, **given),
        "rmse": lambda: sk.root_mean_squared_error(s.truth, s.decided, **given),
        "r2": lambda: sk.r2_score(s.truth, s.decided, **given),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(known[name]())


def drawn(seed: int, *, classes: int, rows: int = 200, ties: bool = False, weights: str = "none") -> Scored:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(rows) % classes)
    p = rng.dirichlet(np.ones(classes), rows) + 0.5 * (np.arange(classes) == truth[:, None])
    if ties:
        p = np.maximum(np.round(p * 4), 0.25)
    p /= p.sum(1, keepdims=True)
    w = {"none": None, "real": rng.exponential(size=rows), "zeros": rng.integers(0, 3, rows)}[weights]
    return Scored(truth=truth, decided=p.argmax(1), probabilities=p, weights=w, classes=classes)


@pytest.mark.parametrize("weights", ["none", "real", "zeros"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_classification_equals_scikit_learn(classes: int, ties: bool, weights: str) -> None:
    for seed in range(5):
        s = drawn(seed, classes=classes, ties=ties, weights=weights)
        for m in for_task("binary"):
            np.testing.assert_allclose(m.score(s), reference(m.name, s), err_msg=m.name, **CLOSE)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
@pytest.mark.parametrize("weighted", [False, True])
def test_regression_equals_scikit_learn(scale: float, weighted: bool) -> None:
    rng = np.random.default_rng(3)
    for offset in (0.0, 1e4 * scale):
        t = offset + scale * rng.normal(size=300)
        s = Scored(truth=t, decided=t + 0.3 * scale * rng.normal(size=300), weights=rng.exponential(size=300) if weighted else None)
        for m in for_task("regression"):
            np.testing.assert_allclose(m.score(s), reference(m.name, s), rtol=1e-9, atol=0, err_msg=m.name)


def two(truth: list[int], positive: list[float], **more: Any) -> Scored:
    p = np.array(positive)
    return Scored(truth=np.array(truth), decided=(p > 0.5).astype(int), probabilities=np.stack([1 - p, p], 1), classes=2, **more)


def test_never_answered_class_has_precision_zero_as_in_scikit_learn() -> None:
    s = two([0, 1, 1], [0.1, 0.2, 0.3])
    for m in for_task("binary"):
        np.testing.assert_allclose(m.score(s), reference(m.name, s), err_msg=m.name, **CLOSE)
    assert metric("precision").score(s) == metric("f1").score(s) == 0


@pytest.mark.parametrize("truth", [[0, 0, 2, 2], [0, 0, 0, 0]])
def test_classes_absent_from_the_truth(truth: list[int]) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    s = Scored(truth=np.array(truth), decided=np.array([1, 0, 2, 0]), probabilities=p, classes=3)
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "log_loss", "brier"):
        np.testing.assert_allclose(METRICS[name].score(s), reference(name, s), err_msg=name, **CLOSE)
    there = np.unique(truth)
    pairs = [(np.array(truth) == k, p[:, k]) for k in there]
    np.testing.assert_allclose(METRICS["average_precision"].score(s), np.mean([sk.average_precision_score(*pair) for pair in pairs]))
    want = np.mean([sk.roc_auc_score(*pair) for pair in pairs]) if len(there) > 1 else math.nan
    np.testing.assert_allclose(METRICS["roc_auc"].score(s), want)


def test_perfect_and_extreme_probabilities() -> None:
    for s in (two([0, 1, 1, 0], [0.0, 1.0, 1.0, 0.0]), two([0, 1, 1, 0], [1.0, 0.0, 1e-300, 1 - 1e-16])):
        for m in for_task("binary"):
            np.testing.assert_allclose(m.score(s), reference(m.name, s), err_msg=m.name, **CLOSE)


def test_single_row() -> None:
    s = two([1], [0.7])
    assert {m.name: m.score(s) for m in for_task("binary") if m.needs == "decided"} == dict.fromkeys(
        ("accuracy", "balanced_accuracy", "precision", "recall", "f1"), 1.0
    )
    assert math.isnan(metric("roc_auc").score(s))
    assert metric("average_precision").score(s) == 1
    one = Scored(truth=np.array([2.0]), decided=np.array([3.0]))
    assert metric("rmse").score(one) == 1
    assert math.isnan(metric("r2").score(one))


@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
def test_r2_of_a_constant_truth_is_one_or_zero(value: float) -> None:
    t = np.full(7, value)
    assert metric("r2").score(Scored(truth=t, decided=t)) == 1
    assert metric("r2").score(Scored(truth=t, decided=t + 1)) == 0


def test_undefined_is_nan_without_a_warning() -> None:
    nothing = two([], [])
    weightless = two([0, 1], [0.2, 0.9], weights=np.zeros(2))
    negative = two([0, 0], [0.2, 0.3])
    far = Scored(truth=np.array([1e300, -1e300]), decided=np.array([-1e300, 1e300]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for s in (nothing, weightless):
            assert all(math.isnan(m.score(s)) for m in for_task("binary"))
        for name in ("precision", "recall", "f1", "roc_auc", "average_precision"):
            assert math.isnan(metric(name).score(negative)), name
        assert math.isnan(metric("roc_auc").score(two([1, 1], [0.2, 0.3])))
        assert metric("rmse").score(far) == math.inf
        metric("r2").score(far)


def test_a_row_of_weight_zero_is_not_there() -> None:
    s = drawn(1, classes=4, rows=60)
    w = np.arange(60) % 3 != 0
    held = Scored(truth=s.truth, decided=s.decided, probabilities=s.probabilities, weights=w.astype(float), classes=4)
    for m in for_task("multiclass"):
        np.testing.assert_allclose(m.score(held), m.score(s.take(w)), **CLOSE)


def test_confusion() -> None:
    for weights in ("none", "real"):
        s = drawn(2, classes=5, weights=weights)
        want = sk.confusion_matrix(s.truth, s.decided, labels=range(5), sample_weight=s.weights)
        np.testing.assert_allclose(confusion(s), want)


def test_registry() -> None:
    assert [for_task(task)[0].name for task in ("binary", "multiclass", "regression")] == ["roc_auc", "accuracy", "rmse"]
    with pytest.raises(UsageError, match="Did you mean `accuracy`"):
        metric("acuracy")
    with pytest.raises(UsageError, match=r"Known: accuracy, "):
        metric("xyzzy")
    with pytest.raises(UsageError, match="must be given probabilities, got only decided"):
        metric("log_loss").score(Scored(truth=np.array([0]), decided=np.array([0]), classes=2))
    with pytest.raises(UsageError, match="must be used for a regression"):
        metric("rmse").score(two([0, 1], [0.1, 0.9]))
    with pytest.raises(UsageError, match="must be used for a classification"):
        metric("f1").score(Scored(truth=np.array([0.5]), decided=np.array([0.5])))


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ({"truth": [0, 2]}, "class codes from 0 to 1, got 2"),
        ({"decided": [-1, 0]}, "class codes from 0 to 1, got -1"),
        ({"decided": [0]}, r"as long as the truth \(2 rows\), got 1 rows"),
        ({"truth": [0.5, 1]}, "whole numbers"),
        ({"truth": [[0], [1]]}, "with 1 axis"),
        ({"probabilities": [[0.5, 0.5]]}, "as long as the truth"),
        ({"probabilities": [[1.0], [1.0]]}, "one column per class"),
        ({"probabilities": [[0.5, 0.5], [float("nan"), 1]]}, "finite, got nan"),
        ({"weights": [1, -1]}, "not negative, got -1.0"),
        ({"weights": [1, float("inf")]}, "finite, got inf"),
    ],
)
def test_bad_input_is_refused(bad: dict[str, Any], rule: str) -> None:
    good: dict[str, Any] = {"truth": [0, 1], "decided": [0, 1], "probabilities": [[0.8, 0.2], [0.1, 0.9]]}
    with pytest.raises(DataError, match=rule):
        Scored(**{name: np.array(value) for name, value in (good | bad).items()}, classes=2)


@pytest.mark.parametrize("weights", ["none", "real", "zeros"])
def test_curves_are_scikit_learns(weights: str) -> None:
    s = drawn(4, classes=3, ties=True, weights=weights)
    held = s if s.weights is None else s.take(s.weights > 0)
    hit, p = held.truth == 1, held.probabilities[:, 1]
    fpr, tpr, _ = sk.roc_curve(hit, p, sample_weight=held.weights)
    roc = roc_curve(s, 1)
    np.testing.assert_allclose(np.interp(fpr[1:-1], roc.x, roc.y), tpr[1:-1], atol=0.2)
    np.testing.assert_allclose(sk.auc(roc.x, roc.y), sk.roc_auc_score(hit, p, sample_weight=held.weights))
    curve = precision_recall_curve(s, 1)
    np.testing.assert_allclose((np.diff(curve.x) * curve.y[1:]).sum(), sk.average_precision_score(hit, p, sample_weight=held.weights))


def test_curves_are_thin_and_keep_their_shape() -> None:
    s = drawn(5, classes=2, rows=20_000)
    for curve in (roc_curve(s, 1), precision_recall_curve(s, 1)):
        assert 100 < len(curve.x) <= 300
        assert (curve.x[0], curve.x[-1]) == (0, 1)
    roc = roc_curve(s, 1)
    np.testing.assert_allclose(sk.auc(roc.x, roc.y), metric("roc_auc").score(s), atol=2e-4)


def test_curves_of_nothing_and_of_one_class() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for s in (two([], []), two([0, 0], [0.1, 0.2]), two([0, 1], [0.1, 0.2], weights=np.zeros(2))):
            roc_curve(s, 1), precision_recall_curve(s, 1), calibration(s, 1)
    with pytest.raises(UsageError, match="drawn from probabilities"):
        roc_curve(Scored(truth=np.array([0]), decided=np.array([0]), classes=2), 0)


def test_calibration_of_a_calibrated_model_is_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    s = two((rng.random(50_000) < p).astype(int).tolist(), p.tolist(), weights=rng.integers(0, 3, 50_000))
    curve = calibration(s, 1, bins=20)
    assert len(curve.x) == 20
    np.testing.assert_allclose(curve.y, curve.x, atol=0.04)
    np.testing.assert_allclose(curve.count.sum(), s.weights.sum())
    assert len(calibration(two([0, 1, 1], [0.5, 0.5, 0.5]), 1).x) == 1
