"""Which rows to label next: by what models are unsure of, by what no labelled row is like, or by both.

Settles: "Active Learning Literature Survey", University of Wisconsin-Madison, 2009 (margin, entropy, least confident).
Sener, Savarese: "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018 (coverage).
Ash, Zhang, Krishnamurthy, Langford, Agarwal: "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", ICLR 2020 (badge).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told, UsageError, did_you_mean
from fermion.data.labels import read_probabilities

Strategy = Literal["margin", "entropy", "confidence", "coverage", "badge", "random"]
NEEDS_PROBABILITIES = ("margin", "entropy", "confidence", "badge")
NEEDS_FEATURES = ("coverage", "badge")
MOST_CENTRES = 10_000  # labelled rows that coverage compares with; more are thinned out evenly
_BLOCK = 4096


class Picked(Struct, frozen=True, kw_only=True, eq=False):
    """Rows to label, the first first: `rows` (M,) numbers, `scores` (M,) larger where more is to be learned, `reasons` in words."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    reasons: tuple[str, ...]


def pick(
    strategy: Strategy,
    candidates: NDArray[np.int64],
    budget: int,
    *,
    seed: int,
    probabilities: NDArray[Any] | None = None,
    features: NDArray[Any] | None = None,
    labelled: NDArray[np.int64] | None = None,
    names: tuple[str, ...] = (),
) -> Picked:
    """Up to `budget` of the candidates, in the order in which they should be labelled.

    - margin: 1 - (p_1 - p_2) of the two most probable classes
    - entropy: -sum p log p / log K
    - confidence: (1 - p_1) K / (K - 1)
    - coverage: greedy k-centre; each is the row farthest from all that are labelled or picked. The score is its distance
    - badge: k-means++ on the gradients (p - onehot(argmax p)) x features of the last layer, which are long where the model is unsure
      and point elsewhere where rows differ. The score is the distance to what was picked before
    - random: by lot

    >>> p = np.array([[0.9, 0.1], [0.55, 0.45], [0.7, 0.3]])
    >>> pick("margin", np.arange(3), 2, seed=0, probabilities=p).rows.tolist()
    [1, 2]

    Args:
        candidates: (C,) row numbers.
        budget: how many labels can be afforded.
        seed: of badge, random and of the order among equals.
        probabilities: (N, K) of all rows.
        features: (N, F) of all rows, scaled so that distances mean something.
        labelled: row numbers that coverage counts as covered.
        names: the classes, for the reasons.

    Raises:
        UsageError: an unknown strategy, a budget below 1. DataError: what the strategy needs is missing or broken.
    """
    if strategy not in get_args(Strategy):
        known = get_args(Strategy)
        raise UsageError("the strategy", rule=f"one of {', '.join(known)}", given=strategy, remedy=did_you_mean(strategy, known))
    if budget < 1:
        raise UsageError("the budget", rule="at least one label", given=budget)
    rng = np.random.default_rng(seed)
    pool = rng.permutation(np.asarray(candidates, dtype=np.int64))  # equals are then drawn by lot, not by place
    p_NK = x_NF = None
    if strategy in NEEDS_PROBABILITIES:
        if probabilities is None:
            remedy = "Let models predict every row first (`fermion data label errors`), or use coverage or random."
            raise DataError(f"the probabilities for `{strategy}`", rule="there", given=Told("none yet"), remedy=remedy)
        p_NK = read_probabilities(probabilities)
    if strategy in NEEDS_FEATURES:
        if features is None or features.ndim != 2 or not np.isfinite(features).all():
            given = Told("none" if features is None else f"an array of shape {features.shape}, perhaps with NaN")
            raise DataError(f"the features for `{strategy}`", rule="an array of rows and finite numbers", given=given)
        x_NF = np.asarray(features, dtype=np.float32)
    count = min(budget, len(pool))
    if count == 0:
        return Picked(rows=pool[:0], scores=np.empty(0), reasons=())
    if strategy == "coverage" and x_NF is not None:
        return _coverage(x_NF, pool, labelled, count)
    if strategy == "badge" and p_NK is not None and x_NF is not None:
        return _badge(p_NK, x_NF, pool, count, rng, names)
    if p_NK is None:
        return Picked(rows=pool[:count], scores=np.zeros(count), reasons=("drawn by lot",) * count)
    score_C = _uncertainty(strategy, p_NK[pool])
    first = np.argsort(-score_C, kind="stable")[:count]
    return Picked(rows=pool[first], scores=score_C[first], reasons=tuple(_unsure(p_NK[row], names) for row in pool[first]))


def _uncertainty(strategy: str, p_CK: NDArray[np.float64]) -> NDArray[np.float64]:
    k = p_CK.shape[1]
    if strategy == "entropy":
        return -(p_CK * np.log(np.maximum(p_CK, 1e-300))).sum(1) / np.log(k)
    top_C2 = np.partition(p_CK, k - 2, axis=1)[:, k - 2 :]
    return 1 - (top_C2[:, 1] - top_C2[:, 0]) if strategy == "margin" else (1 - top_C2[:, 1]) * k / (k - 1)


def _coverage(x_NF: NDArray[np.float32], pool: NDArray[np.int64], labelled: NDArray[np.int64] | None, count: int) -> Picked:
    """Greedy k-centre, a 2-approximation of the smallest radius (Gonzalez 1985); one pass over the candidates per pick."""
    x_CF = x_NF[pool]
    square_C = np.einsum("cf,cf->c", x_CF, x_CF)
    centres = np.empty(0, dtype=np.int64) if labelled is None else np.asarray(labelled, dtype=np.int64)
    if len(centres) > MOST_CENTRES:
        centres = centres[np.linspace(0, len(centres) - 1, MOST_CENTRES).astype(np.int64)]
    if len(centres):
        nearest_C = _nearest(x_CF, square_C, x_NF[centres])
    else:  # the first is the row nearest to the middle: it covers most
        middle_F = x_CF.mean(0)
        nearest_C = square_C - 2 * x_CF @ middle_F + middle_F @ middle_F
        nearest_C = np.where(np.arange(len(pool)) == int(nearest_C.argmin()), np.inf, 0.0)
    picked: list[int] = []
    scores: list[float] = []
    for _ in range(count):
        best = int(nearest_C.argmax())
        picked.append(best)
        scores.append(float(np.sqrt(max(float(nearest_C[best]), 0.0))))
        distance_C = np.maximum(square_C - 2 * (x_CF @ x_CF[best]) + square_C[best], 0.0)
        nearest_C = distance_C if np.isinf(nearest_C[best]) else np.minimum(nearest_C, distance_C)
        nearest_C[picked] = -1.0
    if np.isinf(scores[0]):
        scores[0] = max(scores[1:], default=0.0)
        reasons = (
            "nearest to the middle of all rows",
            *(f"far from all rows picked before (distance {score:.3g})" for score in scores[1:]),
        )
    else:
        reasons = tuple(f"far from every labelled row (distance {score:.3g})" for score in scores)
    return Picked(rows=pool[picked], scores=np.array(scores), reasons=reasons)


def _nearest(x_CF: NDArray[np.float32], square_C: NDArray[np.float32], centre_LF: NDArray[np.float32]) -> NDArray[np.float32]:
    """(C,) squared distance to the nearest centre, a block of candidates and centres at a time."""
    nearest_C = np.full(len(x_CF), np.inf, dtype=np.float32)
    for low in range(0, len(centre_LF), _BLOCK):
        some_BF = centre_LF[low : low + _BLOCK]
        square_B = np.einsum("bf,bf->b", some_BF, some_BF)
        for start in range(0, len(x_CF), _BLOCK):
            part = slice(start, start + _BLOCK)
            apart_CB = square_C[part, None] - 2 * x_CF[part] @ some_BF.T + square_B
            nearest_C[part] = np.minimum(nearest_C[part], apart_CB.min(1))
    return np.maximum(nearest_C, 0)


def _badge(
    p_NK: NDArray[np.float64],
    x_NF: NDArray[np.float32],
    pool: NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
    names: tuple[str, ...],
) -> Picked:
    """k-means++ without building the K x F gradients: |a (x) x - b (x) y|^2 = |a|^2 |x|^2 + |b|^2 |y|^2 - 2 (a.b)(x.y)."""
    x_CF = np.concatenate([x_NF[pool], np.ones((len(pool), 1), dtype=np.float32)], axis=1)  # the last layer's bias
    a_CK = p_NK[pool].astype(np.float32)
    a_CK[np.arange(len(pool)), a_CK.argmax(1)] -= 1
    square_C = np.einsum("ck,ck->c", a_CK, a_CK) * np.einsum("cf,cf->c", x_CF, x_CF)
    picked, scores = [int(square_C.argmax())], [float(np.sqrt(square_C.max()))]
    nearest_C = np.full(len(pool), np.inf, dtype=np.float64)
    while len(picked) < count:
        last = picked[-1]
        dot_C = (a_CK @ a_CK[last]) * (x_CF @ x_CF[last])
        nearest_C = np.minimum(nearest_C, np.maximum(square_C + square_C[last] - 2 * dot_C, 0))
        nearest_C[picked] = 0
        total = float(nearest_C.sum())
        if total > 0:
            best = int(np.searchsorted(np.cumsum(nearest_C), rng.random() * total, side="right").clip(max=len(pool) - 1))
        else:  # the rest repeats what was picked
            best = int(np.setdiff1d(np.arange(len(pool)), picked)[0])
        picked.append(best)
        scores.append(float(np.sqrt(nearest_C[best])))
    rows = pool[picked]
    return Picked(
        rows=rows, scores=np.array(scores), reasons=tuple(f"{_unsure(p_NK[row], names)}; unlike the others picked" for row in rows)
    )


def _unsure(p_K: NDArray[np.float64], names: tuple[str, ...]) -> str:
    second, first = np.argsort(p_K, kind="stable")[-2:]
    said = [f"{names[code] if names else code} {p_K[code]:.2f}" for code in (int(first), int(second))]
    return f"the models say {said[0]} or {said[1]}"
