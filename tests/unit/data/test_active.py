from __future__ import annotations

import numpy as np
import pytest

from fermion.core.errors import DataError, UsageError
from fermion.data.active import Strategy, pick

EVERY = np.arange(6)
P = np.array([[0.98, 0.01, 0.01], [0.4, 0.35, 0.25], [0.5, 0.49, 0.01], [0.34, 0.33, 0.33], [0.9, 0.05, 0.05], [0.6, 0.3, 0.1]])


@pytest.mark.parametrize(("strategy", "want"), [("margin", [2, 3]), ("entropy", [3, 1]), ("confidence", [3, 1])])
def test_the_unsure_rows_come_first(strategy: Strategy, want: list[int]) -> None:
    found = pick(strategy, EVERY, 2, seed=0, probabilities=P, names=("a", "b", "c"))
    assert sorted(found.rows.tolist()) == sorted(want)
    assert (found.scores >= 0).all()
    assert (found.scores <= 1).all()
    assert "the models say a 0.34 or" in " ".join(found.reasons) or strategy == "margin"


def test_scores_by_hand() -> None:
    one = np.array([[0.5, 0.25, 0.25]])
    for strategy, want in (("margin", 0.75), ("entropy", 1.5 * np.log(2) / np.log(3)), ("confidence", 0.75)):
        assert pick(strategy, np.arange(1), 1, seed=0, probabilities=one).scores[0] == pytest.approx(want)  # type: ignore[arg-type]


def test_coverage_is_greedy_k_centre() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    labelled = np.arange(20)
    found = pick("coverage", np.arange(20, 300), 15, seed=1, features=x, labelled=labelled)
    centres = labelled.tolist()
    for row, score in zip(found.rows.tolist(), found.scores, strict=True):
        far = np.linalg.norm(x[:, None] - x[centres], axis=2).min(1)
        assert far[row] == pytest.approx(far.max(), rel=1e-3)
        assert score == pytest.approx(far[row], rel=1e-2, abs=1e-2)
        centres.append(row)


def test_coverage_finds_every_cluster_with_nothing_labelled() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(8), 50)
    x = (rng.normal(size=(8, 4)) * 20)[cluster] + rng.normal(size=(400, 4))
    found = pick("coverage", np.arange(400), 8, seed=0, features=x)
    assert set(cluster[found.rows]) == set(range(8))
    assert "middle" in found.reasons[0]


def test_badge_prefers_unsure_rows_and_different_ones() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(4), 100)
    x = (np.eye(4) * 10)[cluster] + rng.normal(size=(400, 4)) * 0.1
    sure = np.tile([True, False], 200)
    p = np.where(sure[:, None], [0.999, 0.001], [0.55, 0.45])
    found = pick("badge", np.arange(400), 8, seed=0, probabilities=p, features=x)
    assert sure[found.rows].mean() <= 0.25  # half of the rows are; a draw among distances may take one
    assert set(cluster[found.rows]) == {0, 1, 2, 3}
    assert len(set(found.rows.tolist())) == 8


def test_badge_distances_are_those_of_the_gradients() -> None:
    rng = np.random.default_rng(0)
    p, x = rng.dirichlet(np.ones(3), 30), rng.normal(size=(30, 4))
    found = pick("badge", np.arange(30), 5, seed=3, probabilities=p, features=x)
    a = p - np.eye(3)[p.argmax(1)]
    g = np.einsum("nk,nf->nkf", a, np.c_[x, np.ones(30)]).reshape(30, -1)
    assert found.scores[0] == pytest.approx(np.linalg.norm(g, axis=1).max(), rel=1e-4)
    for place in range(1, 5):
        near = min(np.linalg.norm(g[found.rows[place]] - g[row]) for row in found.rows[:place])
        assert found.scores[place] == pytest.approx(near, rel=1e-3, abs=1e-3)


def test_equal_rows_do_not_stop_it_and_seeds_repeat() -> None:
    x, p = np.zeros((10, 2)), np.full((10, 2), 0.5)
    for strategy in ("coverage", "badge", "random", "margin"):
        first, again = (pick(strategy, np.arange(10), 20, seed=5, probabilities=p, features=x) for _ in range(2))  # type: ignore[arg-type]
        assert sorted(first.rows.tolist()) == list(range(10))
        np.testing.assert_array_equal(first.rows, again.rows)
        assert len(first.reasons) == len(first.scores) == 10
    assert len(pick("random", np.arange(0), 3, seed=0).rows) == 0


def test_what_is_missing_is_told() -> None:
    with pytest.raises(DataError, match=r"the probabilities for `margin` must be there, got none yet.*label errors"):
        pick("margin", EVERY, 1, seed=0)
    with pytest.raises(DataError, match="the features for `coverage`"):
        pick("coverage", EVERY, 1, seed=0, features=np.full((6, 2), np.nan))
    with pytest.raises(UsageError, match="Did you mean `margin`"):
        pick("margins", EVERY, 1, seed=0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one label"):
        pick("random", EVERY, 0, seed=0)
