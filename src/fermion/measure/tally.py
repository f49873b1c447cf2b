"""Sums over rows under many sets of weights at once: all that a metric needs to know of the rows.

A bootstrap draw is a vector of weights (how often each row was drawn), and the plain score is the draw of all ones. So every
metric is written once, over B draws, and what does not depend on the draw (sort orders, per-row losses) is computed once.

Shape suffixes: N rows, B draws, K classes, S steps of a ranking.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fermion.measure.answered import Answered
from fermion.measure.scored import Codes, Floats, Scored

Made = TypeVar("Made")


class Basis:
    """What many draws over the same rows have in common."""

    def __init__(self, given: Scored | Answered) -> None:
        self.given = given
        self._terms: dict[str, Any] = {}

    @property
    def scored(self) -> Scored:
        """Classes or numbers."""
        assert isinstance(self.given, Scored)
        return self.given

    @property
    def answered(self) -> Answered:
        """What is more than a class or a number."""
        assert isinstance(self.given, Answered)
        return self.given

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What a metric needs of all rows whatever the draw, made when it is first asked for."""
        if name not in self._terms:
            self._terms[name] = make()
        return self._terms[name]

    @cached_property
    def correct(self) -> Floats:
        """(N,) 1 where the answer is the truth."""
        return (self.scored.truth == self.scored.decided).astype(np.float64)

    @cached_property
    def log_loss(self) -> Floats:
        """(N,) -log of what the true class was given, clipped by one machine epsilon so that it stays finite."""
        p_NK, epsilon = self._probabilities, np.finfo(np.float64).eps
        return -np.log(np.clip(p_NK[np.arange(len(p_NK)), self.scored.truth], epsilon, 1 - epsilon))

    @cached_property
    def brier(self) -> Floats:
        """(N,) squared distance of the probabilities to the truth; of the positive class alone where there are two."""
        if self.scored.classes == 2:
            return (self._probabilities[:, 1] - self.scored.truth) ** 2
        hot_NK = self.scored.truth[:, None] == np.arange(self.scored.classes)
        return ((self._probabilities - hot_NK) ** 2).sum(1)

    @cached_property
    def error(self) -> Floats:
        """(N,) answer minus truth."""
        return self.scored.decided - self.scored.truth

    @cached_property
    def centred(self) -> Floats:
        """(N,) the truth about its median: draws that miss an outlier stay near 0, so their variance keeps its digits."""
        return self.scored.truth - np.median(self.scored.truth)

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """One per class against the rest; of the positive class alone where there are two."""
        classes = self.scored.classes
        return tuple(Ranking(self._probabilities[:, k], self.scored.truth == k) for k in ([1] if classes == 2 else range(classes)))

    @property
    def _probabilities(self) -> Floats:
        assert self.scored.probabilities is not None
        return self.scored.probabilities


class Ranking:
    """Rows sorted by falling score, cut into the fewest steps that ROC AUC and average precision need.

    Rows of one score are one step (ties); neighbouring steps without a positive row are merged, which changes neither metric.
    """

    def __init__(self, score_N: Floats, positive_N: NDArray[np.bool_]) -> None:
        order_N = np.argsort(-score_N, kind="stable")
        sorted_N, hit_N = score_N[order_N], positive_N[order_N]
        found_N: Codes = hit_N.cumsum(dtype=np.int64)
        ends_S = np.flatnonzero(np.append(sorted_N[1:] != sorted_N[:-1], True))
        holds_S = np.diff(found_N[ends_S], prepend=0) > 0
        ends_S = ends_S[holds_S | np.append(holds_S[1:], True)]
        self.positives, self.negatives = order_N[hit_N], order_N[~hit_N]
        self.positives_S = found_N[ends_S]
        self.negatives_S = ends_S + 1 - self.positives_S

    def steps(self, w_BN: Floats) -> tuple[Floats, Floats]:
        """(true positives, false positives), each (B, S): the weight ranked at or above each step."""
        return _above(w_BN, self.positives, self.positives_S), _above(w_BN, self.negatives, self.negatives_S)


def _above(w_BN: Floats, rows: Codes, upto_S: Codes) -> Floats:
    running = np.zeros((len(w_BN), len(rows) + 1))
    np.cumsum(np.take(w_BN, rows, axis=1), axis=1, out=running[:, 1:])
    return np.take(running, upto_S, axis=1)


class Tally:
    """B sets of weights over the rows of one basis."""

    def __init__(self, basis: Basis, w_BN: Floats) -> None:
        self.basis, self.w_BN = basis, w_BN

    @cached_property
    def total(self) -> Floats:
        """(B,) the weight of all rows."""
        return self.w_BN.sum(1)

    @cached_property
    def rows(self) -> Floats:
        """(B,) how many rows are there: those with a weight."""
        return np.count_nonzero(self.w_BN, axis=1).astype(np.float64)

    def mean(self, term_N: Floats) -> Floats:
        """(B,) the weighted mean of a per-row term; NaN where no row is there."""
        return ratio(self.w_BN @ term_N, self.total)

    @cached_property
    def counts(self) -> tuple[Floats, Floats, Floats]:
        """(true, decided, both), each (B, K): the weight of rows that are, and that were called, each class."""
        scored, hit_N = self.basis.scored, self.basis.correct
        true, decided, both = (np.empty((len(self.w_BN), scored.classes)) for _ in range(3))
        for b, w_N in enumerate(self.w_BN):
            true[b] = np.bincount(scored.truth, w_N, scored.classes)
            decided[b] = np.bincount(scored.decided, w_N, scored.classes)
            both[b] = np.bincount(scored.truth, w_N * hit_N, scored.classes)
        return true, decided, both

    @cached_property
    def ranks(self) -> tuple[Floats, Floats]:
        """(ROC AUC, average precision), each (B,): the mean over classes for which it is defined, NaN where there is none."""
        auc, precision = zip(*(areas(*ranking.steps(self.w_BN)) for ranking in self.basis.rankings), strict=True)
        return mean_of_defined(np.stack(auc, 1)), mean_of_defined(np.stack(precision, 1))


def areas(tp_BS: Floats, fp_BS: Floats) -> tuple[Floats, Floats]:
    """ROC AUC by the trapezoid rule and average precision, sum over steps of (R_s - R_{s-1}) P_s, each (B,)."""
    gained_BS = np.diff(tp_BS, axis=1, prepend=0)
    area_B = (np.diff(fp_BS, axis=1, prepend=0) * (tp_BS - gained_BS / 2)).sum(1)
    found_B = (gained_BS * ratio(tp_BS, tp_BS + fp_BS, otherwise=0)).sum(1)
    return ratio(area_B, tp_BS[:, -1] * fp_BS[:, -1]), ratio(found_B, tp_BS[:, -1])


def ratio(part: Floats, whole: Floats, *, otherwise: float = np.nan) -> Floats:
    """part / whole, and `otherwise` where the whole is 0, without a warning."""
    return np.divide(part, whole, out=np.full(np.shape(whole), otherwise, np.float64), where=whole != 0)


def mean_of_defined(x_BK: Floats) -> Floats:
    """The mean of each row over what is not NaN; NaN where nothing is."""
    there_BK = ~np.isnan(x_BK)
    return ratio(np.where(there_BK, x_BK, 0).sum(1), there_BK.sum(1).astype(np.float64))
