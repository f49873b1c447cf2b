from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from fermion.core.errors import DataError, UsageError
from fermion.measure.intervals import bootstrap, intervals
from fermion.measure.metrics import METRICS, for_task
from fermion.measure.scored import Scored
from fermion.measure.tally import Basis, Tally


def binary(rng: np.random.Generator, rows: int, *, shift: float = 1.0) -> Scored:
    truth = rng.integers(0, 2, rows)
    p = 1 / (1 + np.exp(-(rng.normal(size=rows) + shift * truth - shift / 2)))
    return Scored(truth=truth, decided=(p > 0.5).astype(int), probabilities=np.stack([1 - p, p], 1), classes=2)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_draw_is_the_metric_of_the_rows_drawn(task: str) -> None:
    """Counts as weights and rows repeated are one thing."""
    rng = np.random.default_rng(0)
    k = {"binary": 2, "multiclass": 4, "regression": 0}[task]
    p = np.round(rng.dirichlet(np.ones(k), 50), 1) if k else None
    truth = rng.integers(0, k, 50) if k else rng.normal(size=50)
    s = Scored(truth=truth, decided=p.argmax(1) if k else truth + rng.normal(size=50), probabilities=p, classes=k)
    times = rng.multinomial(50, np.full(50, 1 / 50), size=20)
    for metric in for_task(task):
        together = metric.of(Tally(Basis(s), times.astype(float)))
        alone = [metric.score(s.take(np.repeat(np.arange(50), row))) for row in times]
        np.testing.assert_allclose(together, alone, rtol=1e-9, err_msg=metric.name)


def test_same_seed_same_interval_in_any_company() -> None:
    s = binary(np.random.default_rng(1), 300)
    together = intervals(for_task("binary"), s, draws=200, seed=5)
    assert together == intervals(for_task("binary"), s, draws=200, seed=5)
    assert together["roc_auc"] == bootstrap(METRICS["roc_auc"], s, draws=200, seed=5)
    assert together["roc_auc"] != bootstrap(METRICS["roc_auc"], s, draws=200, seed=6)
    for name, interval in together.items():
        assert interval.low < interval.value < interval.high
        assert interval.value == METRICS[name].score(s)


def test_covers_the_truth_about_95_times_in_100() -> None:
    rng, hits = np.random.default_rng(2), {"roc_auc": 0, "accuracy": 0, "recall": 0, "r2": 0}
    accuracy = 0.5 * (1 + math.erf(0.5 / math.sqrt(2)))
    auc = 0.5 * (1 + math.erf(0.5))
    for trial in range(300):
        s = binary(rng, 150)
        got = intervals([METRICS[name] for name in ("roc_auc", "accuracy", "recall")], s, draws=300, seed=trial)
        for name, true in (("roc_auc", auc), ("accuracy", accuracy), ("recall", accuracy)):
            hits[name] += got[name].low <= true <= got[name].high
        t = rng.normal(size=150)
        r2 = bootstrap(METRICS["r2"], Scored(truth=t, decided=t + 0.5 * rng.normal(size=150)), draws=300, seed=trial)
        hits["r2"] += r2.low <= 0.75 <= r2.high
    assert all(0.9 <= hit / 300 <= 0.99 for hit in hits.values()), hits


def test_groups_are_drawn_whole() -> None:
    """Ten copies of each row are no more evidence than the row."""
    s = binary(np.random.default_rng(3), 80)
    tenfold = s.take(np.repeat(np.arange(80), 10))
    one = bootstrap(METRICS["accuracy"], s, seed=0)
    grouped = bootstrap(METRICS["accuracy"], tenfold, seed=0, groups=np.repeat([f"customer {i:02}" for i in range(80)], 10))
    naive = bootstrap(METRICS["accuracy"], tenfold, seed=0)
    assert (grouped.low, grouped.high) == pytest.approx((one.low, one.high))
    assert naive.high - naive.low < 0.5 * (grouped.high - grouped.low)


def test_weights_count() -> None:
    s = binary(np.random.default_rng(4), 200)
    w = np.where(s.truth == s.decided, 2.0, 1.0)
    heavier = bootstrap(METRICS["accuracy"], Scored(truth=s.truth, decided=s.decided, weights=w, classes=2), seed=0)
    assert heavier.value > bootstrap(METRICS["accuracy"], s, seed=0).value


def test_draws_in_which_a_metric_is_undefined_are_dropped() -> None:
    p = np.linspace(0.1, 0.9, 12)
    s = Scored(truth=np.arange(12) == 11, decided=p > 0.5, probabilities=np.stack([1 - p, p], 1), classes=2)
    assert bootstrap(METRICS["roc_auc"], s, seed=0).low == 1  # a third of the draws has no positive row


def test_too_little_to_draw_from() -> None:
    one = Scored(truth=np.array([1]), decided=np.array([1]), classes=2)
    none = Scored(truth=np.array([], int), decided=np.array([], int), classes=2)
    got = bootstrap(METRICS["accuracy"], one, seed=0)
    assert got.value == 1
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    assert math.isnan(bootstrap(METRICS["accuracy"], none, seed=0).value)
    grouped = bootstrap(METRICS["accuracy"], binary(np.random.default_rng(0), 9), seed=0, groups=np.zeros(9))
    assert math.isnan(grouped.low)


def test_bad_input_is_refused() -> None:
    s = binary(np.random.default_rng(0), 9)
    with pytest.raises(DataError, match=r"`groups` must be as long as the truth \(9 rows\), got 3 rows"):
        bootstrap(METRICS["accuracy"], s, seed=0, groups=np.zeros(3))
    with pytest.raises(UsageError, match="must be used for a regression"):
        bootstrap(METRICS["rmse"], s, seed=0)


def test_wider_with_fewer_rows() -> None:
    rng = np.random.default_rng(6)
    widths = [got.high - got.low for got in (bootstrap(METRICS["brier"], binary(rng, n), seed=0) for n in (100, 1000, 10_000))]
    assert all(2 < wide / narrow < 5 for wide, narrow in pairwise(widths))


def test_rankings_of_very_many_classes_have_a_value_and_no_interval() -> None:
    """They would take minutes; what is counted keeps its interval."""
    rng = np.random.default_rng(0)
    truth, p_NK = np.arange(1500) % 500, rng.dirichlet(np.ones(500), 1500)
    scored = Scored(truth=truth, decided=p_NK.argmax(1), probabilities=p_NK, classes=500)
    found = intervals(for_task("multiclass"), scored, seed=0)
    assert math.isfinite(found["roc_auc"].value)
    assert math.isnan(found["roc_auc"].low)
    assert math.isfinite(found["accuracy"].low)
