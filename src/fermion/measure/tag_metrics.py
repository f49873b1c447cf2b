"""Metrics of labels per step, from counts per row: steps and whole spans that are right.

A span is right where its kind, its beginning and its end are (Tjong Kim Sang and Buchholz 2000, CoNLL; seqeval counts alike).
"""

from __future__ import annotations

from fermion.measure.metric import Metric
from fermion.measure.scored import Floats
from fermion.measure.tally import Tally, ratio


def _entity_f1(tally: Tally) -> Floats:
    answered, w_BN = tally.basis.answered, tally.w_BN
    return ratio(2 * (w_BN @ answered.said[:, 2]), w_BN @ (answered.truth[:, 1] + answered.said[:, 1]))


def _step_accuracy(tally: Tally) -> Floats:
    answered, w_BN = tally.basis.answered, tally.w_BN
    return ratio(w_BN @ answered.said[:, 0], w_BN @ answered.truth[:, 0])


def _step_errors(tally: Tally) -> Floats:
    each_N = tally.basis.answered.each
    assert each_N is not None
    return tally.mean(each_N)


ALL = (
    Metric(name="entity_f1", title="F1 of spans", direction="max", low=0, high=1, needs="tags", of=_entity_f1),
    Metric(name="step_accuracy", title="Accuracy of steps", direction="max", low=0, high=1, needs="tags", of=_step_accuracy),
    Metric(name="step_errors", title="Share of wrong steps of a row", direction="min", low=0, high=1, needs="tags", of=_step_errors),
)
