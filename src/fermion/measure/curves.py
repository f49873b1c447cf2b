"""Curves of a report: ROC, precision-recall and calibration, thin enough to draw."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from fermion.core.errors import Told, UsageError
from fermion.measure.scored import Floats, Scored
from fermion.measure.tally import Ranking, ratio


class Curve(Struct, frozen=True, eq=False):
    """Points (x, y), each (P,); `count` is the weight behind each point where that has a meaning, else empty."""

    x: Floats
    y: Floats
    count: Floats


def roc_curve(scored: Scored, code: int, *, points: int = 300) -> Curve:
    """False positive rate (x) against true positive rate (y) of class `code` against the rest, from (0, 0) to (1, 1).

    NaN throughout where the truth lacks the class or the rest.

    >>> said = Scored(truth=[0, 1], decided=[0, 1], probabilities=[[0.9, 0.1], [0.2, 0.8]], classes=2)
    >>> roc_curve(said, 1).y.tolist()
    [0.0, 1.0, 1.0]
    """
    tp_S, fp_S = _steps(scored, code)
    tp_S, fp_S = np.append(0, tp_S), np.append(0, fp_S)
    return _thin(ratio(fp_S, np.full_like(fp_S, fp_S[-1])), ratio(tp_S, np.full_like(tp_S, tp_S[-1])), points)


def precision_recall_curve(scored: Scored, code: int, *, points: int = 300) -> Curve:
    """Recall (x) against precision (y) of class `code` against the rest, by rising recall.

    Draw it as steps (Plotly's `shape: "vh"`): between two points precision is the right one's, as average precision counts it.
    """
    tp_S, fp_S = _steps(scored, code)
    there = tp_S + fp_S > 0
    tp_S, fp_S = tp_S[there], fp_S[there]
    if len(tp_S) == 0:
        return Curve(np.empty(0), np.empty(0), np.empty(0))
    recall, precision = ratio(tp_S, np.full_like(tp_S, tp_S[-1])), ratio(tp_S, tp_S + fp_S)
    return _thin(np.append(0, recall), np.append(precision[0], precision), points)


def calibration(scored: Scored, code: int, *, bins: int = 10) -> Curve:
    """Mean predicted probability (x) against the observed share (y) of class `code` in bins of equal weight.

    Rows of one probability stay in one bin, so there may be fewer bins than asked for. `count` is each bin's weight.

    >>> said = Scored(truth=[0, 1], decided=[0, 1], probabilities=[[0.9, 0.1], [0.2, 0.8]], classes=2)
    >>> calibration(said, 1).y.tolist()
    [0.0, 1.0]
    """
    p_N, w_N = _probability(scored, code), _weights(scored)
    p_N, w_N, hit_N = p_N[w_N > 0], w_N[w_N > 0], scored.truth[w_N > 0] == code
    if len(p_N) == 0:
        return Curve(np.empty(0), np.empty(0), np.empty(0))
    value_V, of_N = np.unique(p_N, return_inverse=True)
    weight_V = np.bincount(of_N, w_N, len(value_V))
    middle_V = (np.cumsum(weight_V) - weight_V / 2) / weight_V.sum()
    bin_N = np.minimum((middle_V * bins).astype(np.int64), bins - 1)[of_N]
    count, said, seen = (np.bincount(bin_N, w_N * term, bins).astype(np.float64) for term in (1.0, p_N, hit_N))
    there = count > 0
    return Curve(said[there] / count[there], seen[there] / count[there], count[there])


def _steps(scored: Scored, code: int) -> tuple[Floats, Floats]:
    if len(scored) == 0:
        return np.zeros(1), np.zeros(1)
    tp_1S, fp_1S = Ranking(_probability(scored, code), scored.truth == code).steps(_weights(scored)[None])
    return tp_1S[0], fp_1S[0]


def _probability(scored: Scored, code: int) -> Floats:
    if scored.probabilities is None:
        raise UsageError("a curve", rule="drawn from probabilities", given=Told("none"))
    return scored.probabilities[:, code]


def _weights(scored: Scored) -> Floats:
    return np.ones(len(scored)) if scored.weights is None else scored.weights


def _thin(x: Floats, y: Floats, points: int) -> Curve:
    """At most `points` of a long curve, evenly along its length: corners stay, flat stretches lose."""
    if len(x) > points:
        along = np.cumsum(np.hypot(np.diff(x, prepend=x[0]), np.diff(y, prepend=y[0])))
        keep = np.unique(np.append(np.searchsorted(along, np.linspace(0, along[-1], points - 1)), len(x) - 1))
        x, y = x[keep], y[keep]
    return Curve(x, y, np.empty(0))
