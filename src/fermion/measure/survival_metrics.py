"""Metrics of times until an event that some rows were not seen to reach.

Harrell et al. 1982, "Evaluating the yield of medical tests"; Graf et al. 1999, "Assessment and comparison of prognostic classification
schemes for survival data".
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.measure.answered import Answered
from fermion.measure.metric import Metric
from fermion.measure.scored import Floats
from fermion.measure.tally import Tally, ratio

EVENTS = 4_000  # of more events an even share is compared with all rows
BLOCK = 256  # events compared at a time


class Pairs(Struct, frozen=True):
    """The rows that can be compared: `order` (N,) by time, the `events` (E,) as places in it, `risk` (N,) in it, and the `later` (E,)
    place from which on rows outlived each event."""

    order: NDArray[np.int64]
    events: NDArray[np.int64]
    later: NDArray[np.int64]
    risk: NDArray[np.float64]

    @classmethod
    def of(cls, answered: Answered) -> Pairs:
        """A pair is an event at t_i and a row that was there after t_i, or censored at t_i itself."""
        time_N, event_N = answered.truth[:, 0], answered.truth[:, 1] > 0
        order = np.lexsort((~event_N, time_N))  # of one time the events first
        time_N, event_N = time_N[order], event_N[order]
        events = np.flatnonzero(event_N)
        if len(events) > EVENTS:
            events = events[np.linspace(0, len(events) - 1, EVENTS).astype(np.int64)]
        same_N = np.searchsorted(time_N, time_N[events], side="left")
        died = np.concatenate([[0], np.cumsum(event_N)])
        ends = np.searchsorted(time_N, time_N[events], side="right")
        return cls(order, events, same_N + died[ends] - died[same_N], answered.said.mean(1)[order])


def _concordance(tally: Tally) -> Floats:
    """The share of comparable pairs in which the row that met the event first was said to be at the higher risk; equal risks count half."""
    pairs = tally.basis.once("pairs", lambda: Pairs.of(tally.basis.answered))
    w_BN = tally.w_BN[:, pairs.order]
    right_B, all_B = np.zeros(len(w_BN)), np.zeros(len(w_BN))
    columns_N = np.arange(w_BN.shape[1])
    for start in range(0, len(pairs.events), BLOCK):
        some = pairs.events[start : start + BLOCK]
        there_EN = columns_N >= pairs.later[start : start + BLOCK, None]
        risk_E1 = pairs.risk[some, None]
        won_EN = there_EN * ((risk_E1 > pairs.risk) + 0.5 * (risk_E1 == pairs.risk))
        w_BE = w_BN[:, some]
        right_B += (w_BE * (w_BN @ won_EN.T)).sum(1)
        all_B += (w_BE * (w_BN @ there_EN.T.astype(np.float64))).sum(1)
    return ratio(right_B, all_B)


def _integrated_brier(tally: Tally) -> Floats:
    return tally.mean(tally.basis.once("brier", lambda: brier(tally.basis.answered)))


def brier(answered: Answered) -> Floats:
    """(N,) each row's part of the integrated Brier score: the mean over time of (1[T > t] - S(t))², weighed for what censoring hides.

    A row that met the event by t counts 1 / G(T-), one that was there after t counts 1 / G(t), one censored before t nothing, with the
    probability G of not being censored after Kaplan and Meier over these rows. The mean over time is the trapezoid rule between the
    first and the last of `times` (the score itself where there is one).
    """
    times_T, (time_N, event_N) = answered.about["times"], answered.truth.T
    w_N = np.ones(len(time_N)) if answered.weights is None else answered.weights
    survival_NT = np.exp(-answered.said)
    before_N = _free(time_N, event_N, time_N, w_N, at_once=False)
    after_T = _free(time_N, event_N, times_T, w_N, at_once=True)
    died_NT = (time_N[:, None] <= times_T) & (event_N[:, None] > 0)
    there_NT = time_N[:, None] > times_T
    weight_NT = np.where(died_NT, ratio(np.ones_like(before_N), before_N, otherwise=0)[:, None], 0.0)
    weight_NT = np.where(there_NT, ratio(np.ones_like(after_T), after_T, otherwise=0), weight_NT)
    score_NT = weight_NT * (there_NT - survival_NT) ** 2
    if len(times_T) == 1:
        return score_NT[:, 0]
    return np.trapezoid(score_NT, times_T, axis=1) / (times_T[-1] - times_T[0])


def _free(time_N: Floats, event_N: Floats, at: Floats, w_N: Floats, *, at_once: bool) -> Floats:
    """G, the probability of not being censored up to each time: up to and with it where `at_once`, else just before it."""
    times_U, place_N = np.unique(time_N, return_inverse=True)
    gone_U = np.bincount(place_N, w_N * (event_N <= 0), len(times_U)).astype(np.float64)
    died_U = np.bincount(place_N, w_N * (event_N > 0), len(times_U))
    risk_U = np.bincount(place_N, w_N, len(times_U))[::-1].cumsum()[::-1] - died_U  # who dies at t was not censored at t
    free_U = np.concatenate([[1.0], np.cumprod(1 - ratio(gone_U, risk_U.astype(np.float64), otherwise=0))])
    return free_U[np.searchsorted(times_U, at, side="right" if at_once else "left")]


ALL = (
    Metric(name="concordance", title="Concordance", direction="max", low=0, high=1, needs="survival", of=_concordance),
    Metric(name="integrated_brier", title="Integrated Brier score", direction="min", low=0, high=1, needs="survival", of=_integrated_brier),
)
