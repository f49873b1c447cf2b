"""How probabilities become an answer: a part of the manifest, apart from the graph, that can be read and changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray


class Argmax(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="argmax"):
    """The most probable class; the first of equals."""

    def decide(self, p_NK: NDArray[Any]) -> NDArray[np.int64]:
        """(N, K) probabilities -> (N,) codes."""
        return p_NK.argmax(axis=1)


class Threshold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="threshold"):
    """Class `code` where its probability is at least `at`, else the most probable of the others.

    >>> Threshold(code=1, at=0.3).decide(np.array([[0.65, 0.35], [0.8, 0.2]])).tolist()
    [1, 0]
    """

    code: int
    at: float

    def decide(self, p_NK: NDArray[Any]) -> NDArray[np.int64]:
        """(N, K) probabilities -> (N,) codes."""
        if p_NK.shape[1] == 1:
            return np.zeros(len(p_NK), dtype=np.int64)
        others_NK = p_NK.copy()
        others_NK[:, self.code] = -1.0
        return np.where(p_NK[:, self.code] >= self.at, self.code, others_NK.argmax(axis=1))


class Median(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="median"):
    """Of classes with an order the one in the middle: the first up to which at least half of the probability lies.

    >>> Median().decide(np.array([[0.4, 0.2, 0.4], [0.6, 0.3, 0.1]])).tolist()
    [1, 0]
    """

    def decide(self, p_NK: NDArray[Any]) -> NDArray[np.int64]:
        """(N, K) probabilities -> (N,) codes."""
        return np.minimum((p_NK.astype(np.float64).cumsum(axis=1) < 0.5).sum(axis=1), p_NK.shape[1] - 1)


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="thresholds"):
    """Of several labels each that is at least as probable as its own threshold `at`, (K,).

    >>> Thresholds(at=(0.5, 0.2)).decide(np.array([[0.6, 0.1], [0.4, 0.3]])).tolist()
    [[True, False], [False, True]]
    """

    at: tuple[float, ...]

    def decide(self, p_NK: NDArray[Any]) -> NDArray[np.bool_]:
        """(N, K) probabilities -> (N, K) which labels are answered."""
        return p_NK >= np.asarray(self.at)


Decision = Argmax | Median | Threshold | Thresholds
