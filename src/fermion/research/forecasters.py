"""Forecasts of a series from its own history alone, to compare a model with: the season before, and exponential smoothing.

Legend of shapes: N series, P steps of history (the latest last), H steps ahead, Q levels of quantiles.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Forecaster = Callable[[Floats, int, int, "tuple[float, ...]"], Floats]

LEVEL, TREND, SEASON = (0.1, 0.3, 0.6, 0.9), (0.0, 0.1, 0.3), (0.0, 0.1, 0.3)  # the smoothing constants that are tried
DAMPED = 0.95


def seasonal_naive(past_NP: Floats, steps: int, season: int, levels: tuple[float, ...]) -> Floats:
    """(N, H, Q) what stood one season before, plus the quantiles of how much that was off within the history.

    >>> seasonal_naive(np.array([[1.0, 2.0, 1.0, 2.0]]), 3, 2, (0.5,))[0, :, 0].tolist()
    [1.0, 2.0, 1.0]
    """
    at_H = past_NP.shape[1] - season + np.arange(steps) % season
    point_NH = past_NP[:, at_H]
    gap_NP = past_NP[:, season:] - past_NP[:, :-season]
    some_N = (~np.isnan(gap_NP)).any(1)
    off_QN = np.zeros((len(levels), len(past_NP)))
    if some_N.any():
        off_QN[:, some_N] = np.nanquantile(gap_NP[some_N], levels, axis=1)
    return point_NH[:, :, None] + off_QN.T[:, None, :]


def smoothing(past_NP: Floats, steps: int, season: int, levels: tuple[float, ...]) -> Floats:
    """(N, H, Q) exponential smoothing with a damped trend and, where a season is declared, an additive season (Holt 1957, Winters 1960).

        l_t = l' + a e_t    b_t = d b + a b* e_t    s_t = s_(t-m) + g e_t    with e_t = x_t - l' - s_(t-m), l' = l + d b

    For each series the constants with the least squared error one step ahead are taken; quantiles are normal, with the variance of that
    error times the number of steps. A series with gaps, or of fewer than two seasons, has NaN.

    >>> smoothing(np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]), 2, 1, (0.5,)).round(1).tolist()
    [[[6.8], [7.7]]]
    """
    rows, past = past_NP.shape
    whole_N = ~np.isnan(past_NP).any(1)
    made_NHQ = np.full((rows, steps, len(levels)), np.nan)
    if past < max(2 * season, 4) or not whole_N.any():
        return made_NHQ
    x_NP = past_NP[whole_N]
    best_N, point_NH = np.full(len(x_NP), np.inf), np.zeros((len(x_NP), steps))
    for a, b, g in itertools.product(LEVEL, TREND, SEASON if season > 1 else (0.0,)):
        error_N, ahead_NH = _smoothed(x_NP, steps, season, a, b, g)
        better_N = error_N < best_N
        best_N[better_N], point_NH[better_N] = error_N[better_N], ahead_NH[better_N]
    z_Q = np.array([NormalDist().inv_cdf(level) for level in levels])
    spread_NH = np.sqrt(best_N)[:, None] * np.sqrt(np.arange(1, steps + 1))
    made_NHQ[whole_N] = point_NH[:, :, None] + spread_NH[:, :, None] * z_Q
    return made_NHQ


def _smoothed(x_NP: Floats, steps: int, season: int, a: float, b: float, g: float) -> tuple[Floats, Floats]:
    """(N,) the mean squared error one step ahead, and (N, H) what comes next."""
    first = season if season > 1 else 1
    level_N = x_NP[:, :first].mean(1)
    trend_N = (x_NP[:, first : 2 * first].mean(1) - level_N) / first
    season_NM = x_NP[:, :first] - level_N[:, None] if season > 1 else np.zeros((len(x_NP), 1))
    squares_N = np.zeros(len(x_NP))
    for t in range(first, x_NP.shape[1]):
        moved_N, at = level_N + DAMPED * trend_N, t % season_NM.shape[1]
        error_N = x_NP[:, t] - moved_N - season_NM[:, at]
        squares_N += error_N**2
        level_N, trend_N = moved_N + a * error_N, DAMPED * trend_N + a * b * error_N
        season_NM[:, at] += g * error_N
    damped_H = np.cumsum(DAMPED ** np.arange(1, steps + 1))
    at_H = (x_NP.shape[1] + np.arange(steps)) % season_NM.shape[1]
    return squares_N / (x_NP.shape[1] - first), level_N[:, None] + trend_N[:, None] * damped_H + season_NM[:, at_H]


def instead(forecast: Forecaster, past_NP: Floats, steps: int, season: int, levels: tuple[float, ...], otherwise: NDArray[Any]) -> Floats:
    """(N, H, Q) a forecast, and `otherwise` (N, H, Q) where it has none."""
    made_NHQ = forecast(past_NP, steps, season, levels)
    return np.where(np.isnan(made_NHQ), otherwise, made_NHQ)
