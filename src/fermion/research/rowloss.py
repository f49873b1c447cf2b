"""How good a mean of answers is, row by row: what choosing between models needs to know about an output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.output import Output, Probability

LEAST = 1e-7  # a probability below counts as this


def losses_of(output: Output, said: Sequence[NDArray[Any]], truth_N: NDArray[Any]) -> NDArray[np.float64] | None:
    """(M, N) one number per model and row, of which means over models may be taken before `mixed_loss`; None for other outputs.

    For classes the probability of the true one, for a value its error.
    """
    if isinstance(output, Probability):
        return np.stack([p_NK[np.arange(len(truth_N)), truth_N] for p_NK in said]).astype(np.float64)
    if output.__struct_config__.tag != "value":
        return None
    return np.stack([v_N - truth_N for v_N in said]).astype(np.float64)


def mixed_loss(output: Output, terms_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> float:
    """The log loss of classes or the squared error of a value, weighted.

    >>> spam = Probability(target="spam", classes=(False, True))
    >>> round(mixed_loss(spam, np.array([0.5, 1.0]), np.array([1.0, 1.0])), 4)
    0.3466
    """
    losses_N = -np.log(np.maximum(terms_N, LEAST)) if isinstance(output, Probability) else terms_N**2
    return float(weights_N @ losses_N / weights_N.sum())
