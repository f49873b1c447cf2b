"""How far annotators agree beyond chance: Cohen's and Fleiss' kappa with bootstrap intervals over the items.

kappa = (p_o - p_e) / (1 - p_e), with p_o the observed agreement and p_e the agreement of annotators who answer at random, each class as
often as it was given. 1 is full agreement, 0 that of chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.measure.intervals import Interval

DRAWS = 1000
_CELLS = 4_000_000  # weights held at a time


def cohen(
    first: Sequence[Any] | NDArray[Any],
    second: Sequence[Any] | NDArray[Any],
    *,
    weights: Literal["none", "linear", "quadratic"] = "none",
    classes: Sequence[Any] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Cohen's kappa of two annotators over the items that both labelled: 1 - sum(w o) / sum(w e).

    o (K, K) counts pairs of answers, e = row sums times column sums over N; w is 0 on the diagonal, else 1, |i - j| (linear) or
    (i - j)^2 (quadratic), for classes with an order. NaN where both always gave the same one class.

    >>> round(cohen(["a", "a", "b", "b"], ["a", "a", "b", "a"]).value, 3)
    0.5

    Args:
        first, second: labels by item, None where an annotator gave none.
        classes: their order for weights; sorted when left out.
        draws: bootstrap resamples of the items for the 95 % interval.
        seed: of the draws.

    Cohen: "A Coefficient of Agreement for Nominal Scales", Educational and Psychological Measurement 20, 1960; weighted: Psychological
    Bulletin 70, 1968.

    Raises:
        DataError: the two are not equally long, a label is not among `classes`, or no item was labelled by both.
    """
    if len(first) != len(second):
        raise DataError("the labels of two annotators", rule="equally long", given=Told(f"{len(first)} and {len(second)}"))
    pairs = [(a, b) for a, b in zip(_listed(first), _listed(second), strict=True) if a is not None and b is not None]
    if not pairs:
        raise DataError("two annotators", rule="given at least one item in common", given=Told("none"))
    order = _order([a for a, _ in pairs] + [b for _, b in pairs], classes)
    k = len(order)
    cell_M = np.array([order[a] * k + order[b] for a, b in pairs])
    gap_KK = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(np.float64)
    cost_KK = {"none": (gap_KK > 0).astype(np.float64), "linear": gap_KK, "quadratic": gap_KK**2}[weights]

    def kappa(w_BM: NDArray[np.float64]) -> NDArray[np.float64]:
        observed_BC = np.stack([np.bincount(cell_M, weights=w_M, minlength=k * k) for w_M in w_BM])
        o_BKK = observed_BC.reshape(-1, k, k)
        e_BKK = o_BKK.sum(2)[:, :, None] * o_BKK.sum(1)[:, None, :] / np.maximum(o_BKK.sum((1, 2)), 1e-300)[:, None, None]
        return 1 - _over((o_BKK * cost_KK).sum((1, 2)), (e_BKK * cost_KK).sum((1, 2)))

    return _bootstrap(kappa, len(pairs), draws, seed)


def fleiss(counts: NDArray[Any], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Fleiss' kappa of several annotators, who need not be the same for every item.

    With n_ik annotators who gave item i the class k and n_i = sum_k n_ik: P_i = (sum_k n_ik^2 - n_i) / (n_i (n_i - 1)), p_o their mean,
    p_e = sum_k (sum_i n_ik / sum_i n_i)^2. Items with fewer than two answers say nothing about agreement and are left out.

    >>> fleiss(np.array([[2, 0], [0, 2]]), draws=0).value
    1.0

    Args:
        counts: (N, K) how many annotators gave each item each class. See `tally`.
        draws: bootstrap resamples of the items for the 95 % interval.
        seed: of the draws.

    Fleiss: "Measuring Nominal Scale Agreement among Many Raters", Psychological Bulletin 76, 1971.

    Raises:
        DataError: not a table of counts, or no item with two answers.
    """
    n_NK = np.asarray(counts)
    if n_NK.ndim != 2 or n_NK.dtype.kind not in "iuf" or (n_NK < 0).any():
        raise DataError("the answers", rule="counts from 0 by item and class", given=Told(f"{n_NK.dtype} of shape {n_NK.shape}"))
    n_NK = n_NK[n_NK.sum(1) >= 2].astype(np.float64)
    if not len(n_NK):
        raise DataError("the items", rule="such that one at least has two answers", given=Told("none"))
    n_N = n_NK.sum(1)
    agree_N = ((n_NK**2).sum(1) - n_N) / (n_N * (n_N - 1))

    def kappa(w_BM: NDArray[np.float64]) -> NDArray[np.float64]:
        given_BK = w_BM @ n_NK
        chance_B = ((given_BK / np.maximum(given_BK.sum(1, keepdims=True), 1e-300)) ** 2).sum(1)
        return 1 - _over(1 - w_BM @ agree_N / w_BM.sum(1), 1 - chance_B)

    return _bootstrap(kappa, len(n_NK), draws, seed)


def tally(answers: Sequence[Sequence[Any]], classes: Sequence[Any] | None = None) -> NDArray[np.int64]:
    """(N, K) counts from the answers to each item, None where an annotator gave none.

    >>> tally([["a", "b"], ["b", "b", None]]).tolist()
    [[1, 1], [0, 2]]

    Raises:
        DataError: an answer is not among `classes`.
    """
    order = _order([answer for item in answers for answer in item if answer is not None], classes)
    counts_NK = np.zeros((len(answers), len(order)), dtype=np.int64)
    for row, item in enumerate(answers):
        for answer in item:
            if answer is not None:
                counts_NK[row, order[answer]] += 1
    return counts_NK


def _over(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole, NaN where chance leaves nothing to disagree about."""
    return np.where(whole > 1e-12, part / np.where(whole > 1e-12, whole, 1.0), np.nan)


def _bootstrap(kappa: Any, items: int, draws: int, seed: int) -> Interval:
    value = float(kappa(np.ones((1, items)))[0])
    if draws == 0 or items < 2 or np.isnan(value):
        return Interval(value, np.nan, np.nan)
    rng, block, drawn = np.random.default_rng(seed), max(1, _CELLS // items), list[NDArray[np.float64]]()
    for start in range(0, draws, block):
        picks = (rng.integers(items, size=items) for _ in range(min(block, draws - start)))
        drawn.append(kappa(np.stack([np.bincount(pick, minlength=items) for pick in picks]).astype(np.float64)))
    every = np.concatenate(drawn)
    every = every[~np.isnan(every)]
    if not len(every):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(every, [0.025, 0.975])
    return Interval(value, min(float(low), value), max(float(high), value))


def _order(labels: Sequence[Any], classes: Sequence[Any] | None) -> dict[Any, int]:
    known = sorted(set(labels), key=lambda label: (type(label).__name__, label)) if classes is None else list(classes)
    order = {label: place for place, label in enumerate(known)}
    strange = next((label for label in labels if label not in order), None)
    if strange is not None:
        raise DataError("a label", rule=f"one of the classes {', '.join(map(str, known[:10]))}", given=strange)
    return order


def _listed(labels: Sequence[Any] | NDArray[Any]) -> list[Any]:
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
