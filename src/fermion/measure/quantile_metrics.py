"""Metrics of quantiles: how far off they are, how often the truth lies between the outermost, and how far apart those are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fermion.measure.metric import INFINITE, Metric
from fermion.measure.scored import Floats
from fermion.measure.tally import Tally


def pinball(truth: NDArray[np.float64], said_Q: NDArray[np.float64], levels_Q: NDArray[np.float64]) -> Floats:
    """max(a (y - q), (a - 1) (y - q)), the mean over the levels a: (...,) and (..., Q) -> (...,).

    >>> pinball(np.array([10.0]), np.array([[8.0, 12.0]]), np.array([0.5, 0.9])).round(6).tolist()
    [0.6]
    """
    gap_Q = truth[..., None] - said_Q
    return np.maximum(levels_Q * gap_Q, (levels_Q - 1) * gap_Q).mean(-1)


def _pinball(tally: Tally) -> Floats:
    answered = tally.basis.answered
    return tally.mean(pinball(answered.truth, answered.said, answered.about["levels"]))


def _coverage(tally: Tally) -> Floats:
    answered = tally.basis.answered
    return tally.mean(((answered.truth >= answered.said[:, 0]) & (answered.truth <= answered.said[:, -1])).astype(np.float64))


def _width(tally: Tally) -> Floats:
    said_NQ = tally.basis.answered.said
    return tally.mean(said_NQ[:, -1] - said_NQ[:, 0])


ALL = (
    Metric(name="pinball", title="Pinball loss", direction="min", low=0, high=INFINITE, needs="quantiles", of=_pinball),
    Metric(name="coverage", title="Share between the outermost quantiles", direction="max", low=0, high=1, needs="quantiles", of=_coverage),
    Metric(
        name="interval_width",
        title="Width between the outermost quantiles",
        direction="min",
        low=0,
        high=INFINITE,
        needs="quantiles",
        of=_width,
    ),
)
