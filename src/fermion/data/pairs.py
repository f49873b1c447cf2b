"""Pairs of rows that are alike."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Pairs(Struct, frozen=True, kw_only=True, eq=False):
    """Rows `left` and later rows `right` that are alike, and how much (0 to 1), in ascending order.

    Of rows that are equal each is paired with the first of them only, so many copies of one row do not make many pairs.

    >>> pairs = Pairs(left=np.array([0, 1]), right=np.array([1, 4]), similarity=np.array([1.0, 0.9]))
    >>> len(pairs), pairs.groups(6).tolist()
    (2, [0, 0, 2, 3, 0, 5])
    """

    left: Rows
    right: Rows
    similarity: NDArray[np.float64]

    @classmethod
    def of(cls, left: Rows, right: Rows, similarity: NDArray[np.float64]) -> Pairs:
        """Ordered, each pair once."""
        low, high = np.minimum(left, right).astype(np.int64), np.maximum(left, right).astype(np.int64)
        order = np.lexsort((-similarity, high, low))
        low, high, similarity = low[order], high[order], similarity[order]
        fresh = np.ones(len(low), dtype=np.bool_)
        fresh[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        fresh &= low != high
        return cls(left=low[fresh], right=high[fresh], similarity=similarity[fresh])

    def __len__(self) -> int:
        return len(self.left)

    def groups(self, rows: int) -> Rows:
        """(rows,) for each row the first row of its group, itself where it has none like it; groups are joined by their pairs."""
        first = np.arange(rows)
        while True:
            least = np.minimum(first[self.left], first[self.right])
            before = first.copy()
            np.minimum.at(first, self.left, least)
            np.minimum.at(first, self.right, least)
            first = first[first]
            if (first == before).all():
                return first


def within_buckets(keys_N: NDArray[np.uint64], ids_N: Rows, most: int) -> tuple[Rows, Rows]:
    """All pairs of ids with equal keys; in a bucket of more than `most` ids each with its `most` next ones.

    >>> [side.tolist() for side in within_buckets(np.array([5, 7, 5, 5], np.uint64), np.arange(4), 10)]
    [[0, 2, 0], [2, 3, 3]]
    """
    order = np.argsort(keys_N, kind="stable")
    sorted_N, ids = keys_N[order], ids_N[order]
    left: list[Rows] = [np.empty(0, dtype=np.int64)]
    right: list[Rows] = [np.empty(0, dtype=np.int64)]
    places = np.flatnonzero(sorted_N[1:] == sorted_N[:-1])
    for step in range(1, most + 1):
        if not places.size:
            break
        left.append(ids[places])
        right.append(ids[places + step])
        places = places[places + step + 1 < len(ids)]
        places = places[sorted_N[places + step + 1] == sorted_N[places]]
    return np.concatenate(left), np.concatenate(right)
