"""Bootstrap intervals: how far a score could be off, by drawing the rows again.

Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1), 1979; the percentile interval.
A draw takes as many units as there are, with replacement; a row's weight in the draw is how often its unit was taken, times its
own weight. Over groups (customers, patients) whole groups are drawn: rows of one group are no independent evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.measure.answered import Answered
from fermion.measure.metric import Metric
from fermion.measure.scored import Scored
from fermion.measure.tally import Basis, Tally

RANKED = ("roc_auc", "average_precision")  # one ranking per class and draw
MOST_RANKED = 400_000_000  # rows times classes times draws, some seconds; beyond, these metrics have no interval
_CELLS = 1_000_000  # weights held at a time: 8 MB, so that a block of draws stays near the processor


class Interval(Struct, frozen=True):
    """A score and the 95 % interval around it.

    The ends are NaN where there are fewer than two units to draw from, and where so many classes would be ranked for so many rows that it
    would take minutes.
    """

    value: float
    low: float
    high: float


def bootstrap(metric: Metric, scored: Scored | Answered, *, draws: int = 1000, seed: int, groups: NDArray[Any] | None = None) -> Interval:
    """The metric with its 95 % percentile bootstrap interval.

    Args:
        metric: from `fermion.measure.metrics`.
        draws: how many resamples; those in which the metric is undefined are dropped.
        seed: from `Run.seed_for`; same seed, same interval.
        groups: (N,) the unit of each row (any values), or None where each row is one.

    >>> from fermion.measure.metrics import METRICS
    >>> bootstrap(METRICS["accuracy"], Scored(truth=[0, 1] * 50, decided=[0, 1] * 45 + [1, 0] * 5, classes=2), seed=0)
    Interval(value=0.9, low=0.84, high=0.96)
    """
    return intervals([metric], scored, draws=draws, seed=seed, groups=groups)[metric.name]


def intervals(
    metrics: Sequence[Metric], scored: Scored | Answered, *, draws: int = 1000, seed: int, groups: NDArray[Any] | None = None
) -> dict[str, Interval]:
    """Every metric with its interval, over the same draws: what they share is computed once.

    Raises:
        UsageError: `scored` lacks what a metric needs.
        DataError: `groups` is not as long as the rows.
    """
    for metric in metrics:
        metric.check(scored)
    n = len(scored)
    if groups is not None and len(groups) != n:
        raise DataError("`groups`", rule=f"as long as the truth ({n} rows)", given=Told(f"{len(groups)} rows"))
    if n == 0:
        return {metric.name: Interval(np.nan, np.nan, np.nan) for metric in metrics}
    own_N = np.ones(n) if scored.weights is None else scored.weights
    basis = Basis(scored)
    with np.errstate(over="ignore", invalid="ignore"):
        values = {metric.name: float(metric.of(Tally(basis, own_N[None]))[0]) for metric in metrics}
    unit_N = None if groups is None else np.unique(groups, return_inverse=True)[1]
    units = n if unit_N is None else int(unit_N.max()) + 1
    if units < 2:
        return {name: Interval(value, np.nan, np.nan) for name, value in values.items()}
    dear = RANKED if isinstance(scored, Scored) and n * scored.classes * draws > MOST_RANKED else ()
    redrawn = [metric for metric in metrics if metric.name not in dear]
    rng, block = np.random.default_rng(seed), max(1, _CELLS // n)
    drawn = {metric.name: np.full(0 if metric.name in dear else draws, np.nan) for metric in metrics}
    for start in range(0, draws, block):
        w_BN = np.empty((min(block, draws - start), n))
        for w_N in w_BN:
            times_U = np.bincount(rng.integers(units, size=units), minlength=units)
            np.multiply(times_U if unit_N is None else times_U[unit_N], own_N, out=w_N)
        tally = Tally(basis, w_BN)
        for metric in redrawn:
            with np.errstate(over="ignore", invalid="ignore"):
                drawn[metric.name][start : start + len(w_BN)] = metric.of(tally)
    return {name: _percentile(value, drawn[name]) for name, value in values.items()}


def _percentile(value: float, drawn: NDArray[np.float64]) -> Interval:
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0 or np.isnan(value):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, min(float(low), value), max(float(high), value))
