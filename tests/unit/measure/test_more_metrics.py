"""Metrics of labels, ranks, quantiles, counts and survival, against scikit-learn and by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from fermion.core.errors import UsageError
from fermion.measure.answered import Answered
from fermion.measure.intervals import intervals
from fermion.measure.metrics import METRICS, for_task
from fermion.measure.scored import Scored

RNG = np.random.default_rng(3)
N = 300


class TestLabels:
    truth = (RNG.random((N, 4)) < [0.5, 0.2, 0.05, 0.0]).astype(float)
    said = np.clip(0.5 * truth + 0.6 * RNG.random((N, 4)), 0, 1)
    decided = said >= 0.55
    weights = RNG.uniform(0.5, 2, N)

    def scored(self) -> Answered:
        return Answered(kind="labels", truth=self.truth, said=self.said, decided=self.decided, weights=self.weights)

    def test_they_are_scikit_learns(self) -> None:
        scored, sure = self.scored(), {"sample_weight": self.weights}
        want = {
            "micro_f1": sk.f1_score(self.truth, self.decided, average="micro", **sure),
            "macro_f1": sk.f1_score(self.truth, self.decided, average="macro", zero_division=np.nan, **sure),
            "mean_average_precision": sk.average_precision_score(self.truth[:, :3], self.said[:, :3], average="macro", **sure),
            "hamming_loss": sk.hamming_loss(self.truth, self.decided, **sure),
            "exact_match": sk.accuracy_score(self.truth, self.decided, **sure),
        }
        assert set(want) == {metric.name for metric in for_task("multilabel")}
        for name, value in want.items():
            assert METRICS[name].score(scored) == pytest.approx(value), name

    def test_intervals_hold_the_score(self) -> None:
        for one in intervals(for_task("multilabel"), self.scored(), draws=50, seed=0).values():
            assert one.low <= one.value <= one.high

    def test_other_kinds_are_refused(self) -> None:
        with pytest.raises(UsageError, match="the metric `pinball` must be used for quantiles, got only labels"):
            METRICS["pinball"].check(self.scored())


def test_quadratic_kappa_is_scikit_learns() -> None:
    truth, decided, weights = RNG.integers(0, 4, N), RNG.integers(0, 4, N), RNG.uniform(0.5, 2, N)
    scored = Scored(truth=truth, decided=decided, weights=weights, classes=4)
    want = sk.cohen_kappa_score(truth, decided, weights="quadratic", sample_weight=weights)
    assert METRICS["quadratic_kappa"].score(scored) == pytest.approx(want)
    assert METRICS["rank_mae"].score(scored) == pytest.approx(sk.mean_absolute_error(truth, decided, sample_weight=weights))


def test_quantiles_by_scikit_learns_pinball_loss() -> None:
    truth, levels = RNG.normal(size=N), np.array([0.1, 0.5, 0.9])
    said = np.sort(RNG.normal(size=(N, 3)), axis=1)
    scored = Answered(kind="quantiles", truth=truth, said=said, about={"levels": levels})
    want = np.mean([sk.mean_pinball_loss(truth, said[:, k], alpha=level) for k, level in enumerate(levels)])
    assert METRICS["pinball"].score(scored) == pytest.approx(want)
    assert METRICS["coverage"].score(scored) == np.mean((said[:, 0] <= truth) & (truth <= said[:, 2]))
    assert METRICS["interval_width"].score(scored) == pytest.approx(np.mean(said[:, 2] - said[:, 0]))


def test_poisson_deviance_is_scikit_learns() -> None:
    truth, said = RNG.poisson(2.0, N).astype(float), RNG.uniform(0.1, 5, N)
    scored = Scored(truth=truth, decided=said)
    assert METRICS["poisson_deviance"].score(scored) == pytest.approx(sk.mean_poisson_deviance(truth, said))


class TestSurvival:
    """Five patients: events at 2, 4 and 6, censored at 4 and 5."""

    truth = np.array([[2.0, 1], [4.0, 1], [4.0, 0], [5.0, 0], [6.0, 1]])
    risk = np.array([0.9, 0.2, 0.5, 0.2, 0.1])

    def scored(self, times: Any = (3.0,)) -> Answered:
        said = np.repeat(self.risk[:, None], len(times), axis=1)
        return Answered(kind="survival", truth=self.truth, said=said, about={"times": np.asarray(times)})

    def test_concordance_by_hand(self) -> None:
        """The event at 2 comes before four others, and all four have less risk: 4 of 4. The event at 4 comes before the one censored at 4
        (more risk: wrong), the one censored at 5 (the same: half) and the event at 6 (right): 1.5 of 3. The event at 6 comes last."""
        assert METRICS["concordance"].score(self.scored()) == pytest.approx(5.5 / 7)

    def test_concordance_is_the_sum_over_all_pairs(self) -> None:
        time, event = RNG.integers(1, 20, 60).astype(float), RNG.random(60) < 0.6
        said = RNG.integers(0, 8, 60)[:, None].astype(float)
        weights = RNG.uniform(0.5, 2, 60)
        right = total = 0.0
        for i, j in itertools.product(range(60), repeat=2):
            if event[i] and (time[j] > time[i] or (time[j] == time[i] and not event[j])):
                total += weights[i] * weights[j]
                right += weights[i] * weights[j] * (float(said[i, 0] > said[j, 0]) + 0.5 * float(said[i, 0] == said[j, 0]))
        truth = np.stack([time, event], 1)
        scored = Answered(kind="survival", truth=truth, said=said, weights=weights, about={"times": np.array([5.0])})
        assert METRICS["concordance"].score(scored) == pytest.approx(right / total)

    def test_integrated_brier_by_hand(self) -> None:
        """At t = 3 nobody is censored yet: G is 1, patient 1 has died and four live."""
        died, lives = np.exp(-0.9) ** 2, (1 - np.exp(-self.risk[1:])) ** 2
        assert METRICS["integrated_brier"].score(self.scored()) == pytest.approx((died + lives.sum()) / 5)

    def test_censored_rows_give_their_weight_to_those_that_outlive_them(self) -> None:
        """At t = 5.5 G is 2/3 after 4 (one of three at risk that did not die) and 1/3 after 5."""
        score = METRICS["integrated_brier"].score(self.scored((5.5,)))
        each = [np.exp(-0.9) ** 2, np.exp(-0.2) ** 2, 0, 0, 3 * (1 - np.exp(-0.1)) ** 2]
        assert score == pytest.approx(np.mean(each))

    def test_without_events_it_is_undefined(self) -> None:
        scored = Answered(kind="survival", truth=[[1.0, 0], [2.0, 0]], said=[[1.0], [2.0]], about={"times": np.array([1.0])})
        assert np.isnan(METRICS["concordance"].score(scored))
