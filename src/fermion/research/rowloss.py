"""How good a mean of answers is, row by row: what choosing between models needs to know about an output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.count import Count
from fermion.columns.labels import Labels
from fermion.columns.output import Output, Probability, Value
from fermion.columns.quantiles import Quantiles

LEAST = 1e-7  # a probability, or a count over the mean, below counts as this


def losses_of(output: Output, said: Sequence[NDArray[Any]], truth: NDArray[Any]) -> NDArray[np.float64] | None:
    """(M, N, ...) numbers per model and row, of which means over models may be taken before `mixed_loss`; None for other outputs.

    For classes the probability of the true one; for labels (K,) the probabilities of what is true of each; for a value its error, for
    quantiles (Q,) those; for a count the answer beside the truth.
    """
    match output:
        case Probability():
            terms = [p_NK[np.arange(len(truth)), truth] for p_NK in said]
        case Value():
            terms = [v_N - truth for v_N in said]
        case Labels():
            terms = [np.where(truth > 0, p_NK, 1 - p_NK) for p_NK in said]
        case Quantiles():
            terms = [v_NQ - truth[:, None] for v_NQ in said]
        case Count():
            terms = [np.stack([v_N, truth], axis=1) for v_N in said]
        case _:
            return None
    return np.stack(terms).astype(np.float64)


def mixed_loss(output: Output, terms: NDArray[np.float64], weights_N: NDArray[np.float64]) -> float:
    """The weighted mean of log losses, squared errors of a value, pinball losses of quantiles, or Poisson's m - y log m of a count.

    >>> spam = Probability(target="spam", classes=(False, True))
    >>> round(mixed_loss(spam, np.array([0.5, 1.0]), np.array([1.0, 1.0])), 4)
    0.3466
    """
    match output:
        case Value():
            losses = terms**2
        case Quantiles():
            levels_Q = np.asarray(output.levels)
            losses = np.maximum(-levels_Q * terms, (1 - levels_Q) * terms)
        case Count():
            mean_N = np.maximum(terms[:, 0], LEAST)
            losses = mean_N - terms[:, 1] * np.log(mean_N)
        case _:
            losses = -np.log(np.maximum(terms, LEAST))
    losses_N = losses.reshape(len(losses), -1).mean(axis=1)
    return float(weights_N @ losses_N / weights_N.sum())
