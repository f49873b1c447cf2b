"""Metrics: how well a model does, each with its direction and range, equal to scikit-learn's.

What is undefined is NaN, never an exception or a warning:

- every metric where no row has a weight, and R2 of a single row;
- ROC AUC where the truth holds one class, average precision and recall where it holds no positive row;
- precision and F1 where no row is positive in the truth or in the answers.

A class that is there but never answered has precision 0: that is the model's doing, not a gap in the data. Means over classes
("macro") run over the classes in the truth or the answers, a recall without rows counting 0; for ROC AUC and average precision
over the classes for which they are defined; for balanced accuracy over the classes in the truth.
"""

from __future__ import annotations

import numpy as np

from fermion.core.errors import UsageError, did_you_mean
from fermion.measure import count_metrics, label_metrics, quantile_metrics, rank_metrics, survival_metrics, tag_metrics
from fermion.measure.metric import INFINITE, Metric, Task
from fermion.measure.scored import Floats, Scored
from fermion.measure.tally import Tally, mean_of_defined, ratio

__all__ = ["METRICS", "Metric", "Task", "confusion", "for_task", "metric"]


def _precision(tally: Tally) -> Floats:
    true, decided, both = tally.counts
    return _over_classes(true, decided, ratio(both, decided), otherwise=np.where(true > 0, 0.0, np.nan))


def _recall(tally: Tally) -> Floats:
    true, decided, both = tally.counts
    return _over_classes(true, decided, ratio(both, true), otherwise=np.full(true.shape, np.nan))


def _f1(tally: Tally) -> Floats:
    true, decided, both = tally.counts
    return _over_classes(true, decided, ratio(2 * both, true + decided), otherwise=np.full(true.shape, np.nan))


def _over_classes(true: Floats, decided: Floats, score: Floats, *, otherwise: Floats) -> Floats:
    """The positive class's score where there are two, else the mean over the classes that occur."""
    if score.shape[1] == 2:
        return np.where(np.isnan(score), otherwise, score)[:, 1]
    occurs = (true > 0) | (decided > 0)
    return mean_of_defined(np.where(occurs, np.nan_to_num(score), np.nan))


def _balanced_accuracy(tally: Tally) -> Floats:
    true, _, both = tally.counts
    return mean_of_defined(ratio(both, true))


def _r2(tally: Tally) -> Floats:
    """1 - (sum of squared errors) / (sum of squares about the mean); of a constant truth 1 if perfect, else 0, as in scikit-learn."""
    t_N = tally.basis.centred
    residual, square, mean = tally.mean(tally.basis.error**2), tally.mean(t_N**2), tally.mean(t_N)
    spread = square - mean**2
    spread = np.where(spread <= 1e-13 * square, 0.0, spread)  # all that rounding leaves of a constant
    constant = np.where(np.isnan(residual), np.nan, np.where(residual == 0, 1.0, 0.0))
    return np.where(tally.rows < 2, np.nan, np.where(spread == 0, constant, 1 - ratio(residual, spread, otherwise=0)))


_ALL = (
    Metric(name="accuracy", title="Accuracy", direction="max", low=0, high=1, needs="decided", of=lambda t: t.mean(t.basis.correct)),
    Metric(name="balanced_accuracy", title="Balanced accuracy", direction="max", low=0, high=1, needs="decided", of=_balanced_accuracy),
    Metric(name="precision", title="Precision", direction="max", low=0, high=1, needs="decided", of=_precision),
    Metric(name="recall", title="Recall", direction="max", low=0, high=1, needs="decided", of=_recall),
    Metric(name="f1", title="F1", direction="max", low=0, high=1, needs="decided", of=_f1),
    Metric(name="roc_auc", title="ROC AUC", direction="max", low=0, high=1, needs="probabilities", of=lambda t: t.ranks[0]),
    Metric(
        name="average_precision", title="Average precision", direction="max", low=0, high=1, needs="probabilities", of=lambda t: t.ranks[1]
    ),
    Metric(
        name="log_loss",
        title="Log loss",
        direction="min",
        low=0,
        high=INFINITE,
        needs="probabilities",
        of=lambda t: t.mean(t.basis.log_loss),
    ),
    Metric(name="brier", title="Brier score", direction="min", low=0, high=2, needs="probabilities", of=lambda t: t.mean(t.basis.brier)),
    Metric(
        name="mae",
        title="Mean absolute error",
        direction="min",
        low=0,
        high=INFINITE,
        needs="values",
        of=lambda t: t.mean(abs(t.basis.error)),
    ),
    Metric(
        name="rmse",
        title="Root mean squared error",
        direction="min",
        low=0,
        high=INFINITE,
        needs="values",
        of=lambda t: np.sqrt(t.mean(t.basis.error**2)),
    ),
    Metric(name="r2", title="R²", direction="max", low=-INFINITE, high=1, needs="values", of=_r2),
)

_MORE = (*rank_metrics.ALL, *label_metrics.ALL, *quantile_metrics.ALL, *count_metrics.ALL, *survival_metrics.ALL, *tag_metrics.ALL)

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_ALL, *_MORE)}

_RANKED = ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "balanced_accuracy", "precision", "recall", "f1")
_DECIDED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "log_loss", "brier")
_TASKS: dict[Task, tuple[str, ...]] = {
    "binary": _RANKED,
    "multiclass": _DECIDED,
    "regression": ("rmse", "mae", "r2"),
    "ordinal": ("quadratic_kappa", "rank_mae", "accuracy", "balanced_accuracy", "f1", "log_loss"),
    "multilabel": ("macro_f1", "micro_f1", "mean_average_precision", "hamming_loss", "exact_match"),
    "quantiles": ("pinball", "coverage", "interval_width"),
    "count": ("poisson_deviance", "mae", "rmse"),
    "forecast": ("pinball", "mase", "coverage", "interval_width"),
    "tagging": ("entity_f1", "step_accuracy", "step_errors"),
    "survival": ("concordance", "integrated_brier"),
}


def metric(name: str) -> Metric:
    """The metric of this name.

    >>> metric("rmse").direction
    'min'

    Raises:
        UsageError: there is none; the remedy names the nearest.
    """
    if name not in METRICS:
        remedy = did_you_mean(name, METRICS) or f"Known: {', '.join(METRICS)}."
        raise UsageError("a metric", rule="one that is known", given=name, remedy=remedy)
    return METRICS[name]


def for_task(task: Task) -> tuple[Metric, ...]:
    """The metrics of a task in the order in which a report shows them, the primary one first.

    >>> [for_task(task)[0].name for task in ("binary", "multiclass", "regression")]
    ['roc_auc', 'accuracy', 'rmse']
    """
    return tuple(METRICS[name] for name in _TASKS[task])


def confusion(scored: Scored) -> Floats:
    """(K, K) weights of rows by true class (down) and decided class (across).

    >>> confusion(Scored(truth=[0, 1, 1], decided=[0, 1, 0], classes=2)).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    k = scored.classes
    return np.bincount(scored.truth * k + scored.decided, scored.weights, k * k).astype(np.float64).reshape(k, k)
