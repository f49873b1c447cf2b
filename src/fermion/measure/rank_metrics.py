"""Metrics of classes with an order: how many ranks the answer is off."""

from __future__ import annotations

import numpy as np

from fermion.measure.metric import INFINITE, Metric
from fermion.measure.scored import Floats
from fermion.measure.tally import Tally, ratio


def _rank_error(tally: Tally) -> Floats:
    scored = tally.basis.scored
    return tally.mean(np.abs(scored.truth - scored.decided).astype(np.float64))


def _quadratic_kappa(tally: Tally) -> Floats:
    """1 - sum (i - j)² O_ij / sum (i - j)² E_ij, with the counts O of truth i and answer j and E_ij = t_i a_j / n if both were independent.

    Both sums are moments: sum O (i - j)² is the weighted sum of squared errors, and the other is n (E t² + E a² - 2 E t E a).
    """
    scored = tally.basis.scored
    t_N, a_N = scored.truth.astype(np.float64), scored.decided.astype(np.float64)
    seen = tally.mean((t_N - a_N) ** 2)
    chance = tally.mean(t_N**2) + tally.mean(a_N**2) - 2 * tally.mean(t_N) * tally.mean(a_N)
    return 1 - ratio(seen, chance)


ALL = (
    Metric(name="quadratic_kappa", title="Quadratic weighted kappa", direction="max", low=-1, high=1, needs="decided", of=_quadratic_kappa),
    Metric(name="rank_mae", title="Mean error in ranks", direction="min", low=0, high=INFINITE, needs="decided", of=_rank_error),
)
