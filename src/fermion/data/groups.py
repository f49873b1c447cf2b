"""Rows told apart in whole groups: no group is ever torn."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.data.marks import TEST, VALIDATION, Codes, whole
from fermion.data.strata import numbered

if TYPE_CHECKING:
    import polars as pl

FEW = 100_000  # groups that are dealt out one by one


class Groups:
    """Groups by lot, into parts of nearly the wanted sizes.

    Args:
        name: of the column that names them, for errors.
        group_N: (N,) the number of each row's group, from 0; every number is there.
    """

    def __init__(self, name: str, group_N: NDArray[Any]) -> None:
        self.name, self.group_N = name, group_N

    @classmethod
    def of(cls, series: pl.Series) -> Groups:
        """Rows with equal values are one group."""
        group_N = numbered(series)
        group_N -= 1
        return cls(series.name, group_N)

    def shares(self, test: float, validation: float, rng: np.random.Generator) -> Codes:
        """Groups in random order fill the test part, then the validation part; the rest is for training."""
        size_G, rows = np.bincount(self.group_N), len(self.group_N)
        self._check(len(size_G), 1 + (test > 0) + (validation > 0), "part")
        wanted = {TEST: whole(test, rows), VALIDATION: whole(validation, rows)}
        best_G, best_miss = np.zeros(len(size_G), dtype=np.int8), np.inf
        few = len(size_G) <= 1000
        for _ in range(32 if few else 1):  # many small groups fit at once, a few large ones only in a lucky order
            part_G, left = np.zeros(len(size_G), dtype=np.int8), rng.permutation(len(size_G))
            for part, count in wanted.items():
                chosen = _filling(size_G[left], count, len(left) - (1 + (part == TEST and validation > 0)), alone=few)
                part_G[left[chosen]] = part
                left = np.delete(left, chosen)
            miss = sum(abs(int(size_G[part_G == part].sum()) - count) for part, count in wanted.items())
            if miss < best_miss:
                best_G, best_miss = part_G, miss
        return best_G[self.group_N]

    def folds(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        """The largest groups first, each to the fold that has fewest rows; of very many groups the small ones fill what is then missing."""
        size_G = np.bincount(self.group_N)
        self._check(len(size_G), count, "fold")
        order = rng.permutation(len(size_G))
        order = order[np.argsort(-size_G[order], kind="stable")]
        fold_G = np.empty(len(size_G), dtype=np.min_scalar_type(count))
        large = len(order) if len(order) <= FEW else max(int((size_G > len(self.group_N) / (20 * count)).sum()), count)
        load = [(0, fold) for fold in range(count)]
        for group in order[:large].tolist():
            rows, fold = load[0]
            fold_G[group] = fold
            heapq.heapreplace(load, (rows + int(size_G[group]), fold))
        small = order[large:]
        if len(small):
            rows_J = np.array([rows for rows, _ in sorted(load, key=lambda one: one[1])])
            missing_J = np.maximum(len(self.group_N) / count - rows_J, 0)
            end_S = np.cumsum(size_G[small])
            bounds_J = np.cumsum(missing_J) * (end_S[-1] / max(missing_J.sum(), 1e-9))
            fold_G[small] = np.minimum(np.searchsorted(bounds_J, end_S - size_G[small] / 2), count - 1)
        return fold_G[self.group_N]

    def take(self, rows: NDArray[Any]) -> Groups:
        group_n = self.group_N[rows]
        there_G = np.bincount(group_n) > 0
        return Groups(self.name, (np.cumsum(there_G) - 1).astype(self.group_N.dtype)[group_n])

    def _check(self, groups: int, needed: int, what: str) -> None:
        if groups < needed:
            raise DataError(
                f"column `{self.name}`, which splits the rows by group,",
                rule=f"at least {needed} different values, one per {what}",
                given=Told(f"{groups} among {len(self.group_N)} rows"),
                remedy="Choose another column or `by: random`." if what == "part" else "Take fewer folds, or choose another column.",
            )


def _filling(size_G: NDArray[np.int64], wanted: int, most: int, *, alone: bool) -> NDArray[np.int64]:
    """Places of groups, at most `most` and at least one, whose sizes add up to nearly `wanted`: first fit, then the best last one.

    With `alone`, a first group that is a little too large is a try of its own.
    """
    if not wanted:
        return np.empty(0, dtype=np.int64)
    if alone and wanted < size_G[0] < 2 * wanted:
        return np.zeros(1, dtype=np.int64)
    prefix = min(int(np.searchsorted(np.cumsum(size_G), wanted, side="right")), most)
    chosen, missing = list(range(prefix)), wanted - int(size_G[:prefix].sum())
    rest = np.arange(prefix, len(size_G))
    while missing > 0 and len(chosen) < most:
        rest = rest[np.abs(missing - size_G[rest]) < missing] if chosen else rest
        if not rest.size:
            break
        fitting = rest[size_G[rest] <= missing]
        best = int(fitting[0]) if fitting.size else int(rest[np.argmin(np.abs(missing - size_G[rest]))])
        chosen.append(best)
        missing -= int(size_G[best])
        rest = rest[rest != best]
    return np.array(chosen, dtype=np.int64)
