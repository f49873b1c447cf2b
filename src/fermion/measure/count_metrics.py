"""Metrics of counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fermion.measure.metric import INFINITE, Metric
from fermion.measure.scored import Floats
from fermion.measure.tally import Tally


def deviance(y_N: NDArray[np.float64], m_N: NDArray[np.float64]) -> Floats:
    """2 (y log(y / m) - (y - m)): the unit deviance of a Poisson count y whose mean is m > 0.

    >>> deviance(np.array([0.0, 2.0]), np.array([1.0, 2.0])).tolist()
    [2.0, 0.0]
    """
    m_N = np.maximum(m_N, 1e-12)
    log_N = np.log(np.where(y_N > 0, y_N, 1.0) / np.where(y_N > 0, m_N, 1.0))
    return 2 * (y_N * log_N - (y_N - m_N))


def _poisson_deviance(tally: Tally) -> Floats:
    scored = tally.basis.scored
    return tally.mean(deviance(scored.truth, scored.decided))


ALL = (
    Metric(name="poisson_deviance", title="Poisson deviance", direction="min", low=0, high=INFINITE, needs="values", of=_poisson_deviance),
)
