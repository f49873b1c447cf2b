"""Metrics of several labels per row.

Over all pairs of row and label together ("micro") or as a mean over the labels ("macro", for which it is defined: a label that is
neither in the truth nor in the answers has no F1, one that is never there no average precision).
"""

from __future__ import annotations

import numpy as np

from fermion.measure.metric import Metric
from fermion.measure.scored import Floats
from fermion.measure.tally import Ranking, Tally, areas, mean_of_defined, ratio


def _counts(tally: Tally) -> tuple[Floats, Floats]:
    """(both, either), each (B, K): the weight of rows with the label in truth and answer, and the sum of that in each."""
    answered = tally.basis.answered
    assert answered.decided is not None
    said_NK = answered.decided.astype(np.float64)
    return tally.w_BN @ (answered.truth * said_NK), tally.w_BN @ (answered.truth + said_NK)


def _micro_f1(tally: Tally) -> Floats:
    both_BK, either_BK = _counts(tally)
    return ratio(2 * both_BK.sum(1), either_BK.sum(1))


def _macro_f1(tally: Tally) -> Floats:
    both_BK, either_BK = _counts(tally)
    return mean_of_defined(ratio(2 * both_BK, either_BK))


def _mean_average_precision(tally: Tally) -> Floats:
    answered = tally.basis.answered
    rankings = tally.basis.once(
        "label rankings", lambda: [Ranking(answered.said[:, k], answered.truth[:, k] > 0) for k in range(answered.said.shape[1])]
    )
    there = [ranking for ranking in rankings if len(ranking.positives)]
    if not there:
        return np.full(len(tally.w_BN), np.nan)
    return mean_of_defined(np.stack([areas(*ranking.steps(tally.w_BN))[1] for ranking in there], 1))


def _wrong(tally: Tally) -> Floats:
    answered = tally.basis.answered
    assert answered.decided is not None
    return np.asarray(answered.truth != answered.decided, np.float64)


ALL = (
    Metric(name="macro_f1", title="F1, mean over labels", direction="max", low=0, high=1, needs="labels", of=_macro_f1),
    Metric(name="micro_f1", title="F1 over all labels", direction="max", low=0, high=1, needs="labels", of=_micro_f1),
    Metric(
        name="mean_average_precision",
        title="Average precision, mean over labels",
        direction="max",
        low=0,
        high=1,
        needs="labels",
        of=_mean_average_precision,
    ),
    Metric(
        name="hamming_loss",
        title="Share of wrong labels",
        direction="min",
        low=0,
        high=1,
        needs="labels",
        of=lambda t: t.mean(_wrong(t).mean(1)),
    ),
    Metric(
        name="exact_match",
        title="Rows with all labels right",
        direction="max",
        low=0,
        high=1,
        needs="labels",
        of=lambda t: t.mean(1.0 - _wrong(t).max(1, initial=0.0)),
    ),
)
