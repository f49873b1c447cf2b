"""Metrics of quantiles: how far off they are, how often the truth lies between the outermost, and how far apart those are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fermion.measure.answered import Answered
from fermion.measure.metric import INFINITE, Metric
from fermion.measure.scored import Floats
from fermion.measure.tally import Tally, ratio


def pinball(truth: NDArray[np.float64], said_Q: NDArray[np.float64], levels_Q: NDArray[np.float64]) -> Floats:
    """max(a (y - q), (a - 1) (y - q)), the mean over the levels a: (...,) and (..., Q) -> (...,).

    >>> pinball(np.array([10.0]), np.array([[8.0, 12.0]]), np.array([0.5, 0.9])).round(6).tolist()
    [0.6]
    """
    gap_Q = truth[..., None] - said_Q
    return np.maximum(levels_Q * gap_Q, (levels_Q - 1) * gap_Q).mean(-1)


def ahead(answered: Answered) -> Floats:
    """The truth without the history behind it: (N,), or (N, H) of a horizon."""
    return answered.truth[:, : answered.said.shape[1]] if answered.said.ndim == 3 else answered.truth


def _of_rows(each: Floats) -> Floats:
    """(N,) the mean over the steps of a row that are known; a number alone is its own."""
    if each.ndim == 1:
        return each
    there = ~np.isnan(each)
    return np.where(there, each, 0.0).sum(1) / np.maximum(there.sum(1), 1)


def row_pinball(answered: Answered) -> Floats:
    """(N,) the pinball loss of each row."""
    return _of_rows(pinball(ahead(answered), answered.said, answered.about["levels"]))


def _coverage(tally: Tally) -> Floats:
    answered = tally.basis.answered
    y = ahead(answered)
    inside = ((y >= answered.said[..., 0]) & (y <= answered.said[..., -1])).astype(np.float64)
    return tally.mean(_of_rows(np.where(np.isnan(y), np.nan, inside)))


def _width(tally: Tally) -> Floats:
    said = tally.basis.answered.said
    return tally.mean(_of_rows(said[..., -1] - said[..., 0]))


def naive_error(past_NP: Floats, season: int) -> Floats:
    """(N,) the mean |x_t - x_(t - season)| over a history, the latest last; NaN where that cannot be told or is 0.

    >>> naive_error(np.array([[1.0, 3.0, 2.0], [np.nan, np.nan, 1.0]]), 1).tolist()
    [1.5, nan]
    """
    gap_NP = np.abs(past_NP[:, season:] - past_NP[:, :-season])
    there_NP = ~np.isnan(gap_NP)
    error_N = np.where(there_NP, gap_NP, 0).sum(1) / np.maximum(there_NP.sum(1), 1)
    return np.where(error_N > 0, error_N, np.nan)


def _mase(tally: Tally) -> Floats:
    """The mean absolute error of the middle quantile over that of a seasonal naive forecast within each row's own history.

    Rows whose history is too short or never changes count for nothing. Hyndman and Koehler 2006, "Another look at measures of
    forecast accuracy".
    """
    answered = tally.basis.answered
    if "season" not in answered.about:
        return np.full(len(tally.w_BN), np.nan)
    levels_Q = answered.about["levels"]
    error_N = _of_rows(np.abs(ahead(answered) - answered.said[..., int(np.abs(levels_Q - 0.5).argmin())]))
    scaled_N = error_N / naive_error(answered.truth[:, answered.said.shape[1] :], int(answered.about["season"][0]))
    there_N = ~np.isnan(scaled_N)
    return ratio(tally.mean(np.where(there_N, scaled_N, 0.0)), tally.mean(there_N.astype(np.float64)))


ALL = (
    Metric(name="mase", title="Error in units of the naive one (MASE)", direction="min", low=0, high=INFINITE, needs="quantiles", of=_mase),
    Metric(
        name="pinball",
        title="Pinball loss",
        direction="min",
        low=0,
        high=INFINITE,
        needs="quantiles",
        of=lambda t: t.mean(row_pinball(t.basis.answered)),
    ),
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
