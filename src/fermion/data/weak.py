"""Many weak labels of a row -> one probability per class: a label model weighs labelling functions by how they agree.

Dawid, Skene: "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied Statistics 28, 1979.
Ratner, De Sa, Wu, Selsam, Ré: "Data Programming: Creating Large Training Sets, Quickly", NeurIPS 2016.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.data.rules import ABSTAIN

ROUNDS, CLOSE = 500, 1e-7
PRIOR = 0.7, 10.0  # functions are taken to be right 7 times in 10, as firmly as 10 votes would say it
LEAST = 3  # functions that overlap: with fewer, agreement does not tell who is right


class Combined(Struct, frozen=True, kw_only=True, eq=False):
    """What the functions say together.

    `probabilities` (N, K), the class shares where all abstain; `covered` (N,) whether any voted; by function: `coverage` the share of
    rows it votes on, `overlaps` on which another votes too, `conflicts` on which another votes otherwise, `accuracies` how often its
    votes are right, as estimated; `shares` (K,) of the classes; `method` "accuracy", "confusion" or "majority".
    """

    probabilities: NDArray[np.float64]
    covered: NDArray[np.bool_]
    coverage: tuple[float, ...]
    overlaps: tuple[float, ...]
    conflicts: tuple[float, ...]
    accuracies: tuple[float, ...]
    shares: tuple[float, ...]
    method: str


def combine(
    votes: NDArray[Any],
    classes: int,
    *,
    method: Literal["accuracy", "confusion", "majority"] = "accuracy",
    shares: NDArray[Any] | None = None,
) -> Combined:
    """Probabilities of the true classes from votes, by EM on a model in which functions err independently, given the class.

    P(y = k | votes) is proportional to pi_k times the product over functions that vote of P(vote | y = k), where

    - accuracy: P(vote = l | y = k) = a_f for l = k, else (1 - a_f) / (K - 1) (one-coin Dawid-Skene)
    - confusion: a (K, K) table per function, for functions that vote for several classes and confuse some more than others
    - majority: no model; votes count equally, and accuracies are the agreement with the majority

    Abstaining says nothing about the class. Fewer than three functions that overlap do not tell who is right: those are combined by
    majority, and `method` of the result says so.

    >>> combine(np.array([[0, 0, 1], [1, 1, 1], [-1, -1, -1]]), 2, method="majority").probabilities.round(2).tolist()
    [[0.67, 0.33], [0.0, 1.0], [0.33, 0.67]]

    Args:
        votes: (N, F) positions of classes, -1 where a function abstains.
        classes: K, how many there are.
        shares: (K,) of the classes where they are known; estimated when left out.

    Raises:
        DataError: fewer than two classes, votes outside -1..K-1, shares that are none, or no vote at all.
    """
    votes_NF = _checked(votes, classes)
    voted_NF = votes_NF != ABSTAIN
    covered_N = voted_NF.any(1)
    overlap_NF = voted_NF & (voted_NF.sum(1) >= 2)[:, None]
    count_NK = np.stack([(votes_NF == label).sum(1) for label in range(classes)], axis=1).astype(np.float64)
    unanimous_N = (count_NK > 0).sum(1) <= 1
    known_K = None if shares is None else _shares(shares, classes)
    if overlap_NF.any(0).sum() < LEAST:
        method = "majority"
    p_NK = _majority(count_NK, known_K)
    pi_K = known_K if known_K is not None else _mean_class(p_NK[covered_N])
    if method != "majority":
        p_NK, pi_K = _em(votes_NF, p_NK, pi_K, known_K is None, method)
    p_NK = np.where(covered_N[:, None], p_NK, pi_K)
    said_NF = np.take_along_axis(p_NK, np.maximum(votes_NF, 0), axis=1)
    right_F = np.where(voted_NF, said_NF, 0).sum(0) / np.maximum(voted_NF.sum(0), 1)
    return Combined(
        probabilities=p_NK,
        covered=covered_N,
        coverage=tuple(voted_NF.mean(0).tolist()),
        overlaps=tuple(overlap_NF.mean(0).tolist()),
        conflicts=tuple((voted_NF & ~unanimous_N[:, None]).mean(0).tolist()),
        accuracies=tuple(np.where(voted_NF.any(0), right_F, np.nan).tolist()),
        shares=tuple(pi_K.tolist()),
        method=method,
    )


def _em(
    votes_NF: NDArray[np.int64], p_NK: NDArray[np.float64], pi_K: NDArray[np.float64], learn_shares: bool, method: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From the majority's answer to a maximum of the posterior; rows that nobody votes on are left out of the class shares."""
    k = p_NK.shape[1]
    by_function = [(rows := np.flatnonzero(votes_N != ABSTAIN), votes_N[rows]) for votes_N in votes_NF.T]
    covered_N = (votes_NF != ABSTAIN).any(1)
    mean, strength = PRIOR
    same_KK = np.eye(k, dtype=np.bool_)
    prior_KK = strength * np.where(same_KK, mean, (1 - mean) / (k - 1))
    for _ in range(ROUNDS):
        log_NK = np.tile(np.log(pi_K), (len(p_NK), 1))
        for rows, said in by_function:
            if method == "accuracy":
                right = (float(p_NK[rows, said].sum()) + mean * strength) / (len(rows) + strength)
                says_KL = np.where(same_KK, right, (1 - right) / (k - 1))
            else:
                says_KL = prior_KK.copy()
                for label in range(k):
                    says_KL[:, label] += p_NK[rows[said == label]].sum(0)
                says_KL /= says_KL.sum(1, keepdims=True)
            log_NK[rows] += np.log(says_KL).T[said]
        log_NK -= log_NK.max(1, keepdims=True)
        after_NK = np.exp(log_NK)
        after_NK /= after_NK.sum(1, keepdims=True)
        moved = float(np.abs(after_NK - p_NK).max())
        p_NK = after_NK
        if learn_shares:
            pi_K = _mean_class(p_NK[covered_N])
        if moved < CLOSE:
            break
    return p_NK, pi_K


def _majority(count_NK: NDArray[np.float64], known_K: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Shares of the votes; uniform, or the known class shares, where nobody votes."""
    total_N1 = count_NK.sum(1, keepdims=True)
    none_K = np.full(count_NK.shape[1], 1 / count_NK.shape[1]) if known_K is None else known_K
    return np.where(total_N1 > 0, count_NK / np.maximum(total_N1, 1), none_K)


def _mean_class(p_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class shares, never quite 0: a class that nobody voted for may still exist."""
    shares_K = np.maximum(p_NK.mean(0), 1e-6)
    return shares_K / shares_K.sum()


def _checked(votes: NDArray[Any], classes: int) -> NDArray[np.int64]:
    votes_NF = np.asarray(votes)
    if classes < 2:
        raise DataError("the classes", rule="at least two", given=classes)
    if votes_NF.ndim != 2 or votes_NF.dtype.kind not in "iu" or 0 in votes_NF.shape:
        rule = "whole numbers by row and labelling function"
        raise DataError("the votes", rule=rule, given=Told(f"{votes_NF.dtype} of shape {votes_NF.shape}"))
    strange_NF = (votes_NF < ABSTAIN) | (votes_NF >= classes)
    if strange_NF.any():
        row, place = np.argwhere(strange_NF)[0]
        rule = f"a position among {classes} classes, or -1 to abstain"
        raise DataError(f"the vote of function {place}", rule=rule, given=int(votes_NF[row, place]), where=f"row {row}")
    if (votes_NF == ABSTAIN).all():
        remedy = "Check that the rules fit the data: `coverage` is 0 for all of them."
        raise DataError("the votes", rule="at least one that does not abstain", given=Told("none"), remedy=remedy)
    return votes_NF.astype(np.int64)


def _shares(shares: NDArray[Any], classes: int) -> NDArray[np.float64]:
    shares_K = np.asarray(shares, dtype=np.float64)
    if shares_K.shape != (classes,) or not (shares_K > 0).all() or abs(shares_K.sum() - 1) > 1e-6:
        raise DataError("the class shares", rule=f"{classes} numbers above 0 that add up to 1", given=shares_K.tolist())
    return shares_K
