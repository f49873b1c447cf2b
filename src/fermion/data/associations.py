"""How columns hang together: correlation of numbers, Cramer's V of categories, information about the target. Plain numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Codes = NDArray[np.int64]


class Matrix(Struct, frozen=True, kw_only=True):
    """A symmetric matrix over columns, row by row; None where there is nothing to compute from."""

    names: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]

    @classmethod
    def of(cls, names: Sequence[str], values_CC: NDArray[np.float64]) -> Matrix:
        rows = tuple(tuple(float(value) if math.isfinite(value) else None for value in row) for row in values_CC)
        return cls(names=tuple(names), values=rows)

    def strongest(self, count: int = 20, least: float = 0.3) -> list[tuple[str, str, float]]:
        """Pairs of columns by the size of their number, at most `count` and at least `least`."""
        pairs = [
            (first, second, value)
            for i, first in enumerate(self.names)
            for j, second in enumerate(self.names[:i])
            if (value := self.values[i][j]) is not None and abs(value) >= least
        ]
        return sorted(pairs, key=lambda pair: -abs(pair[2]))[:count]


def pearson(columns: Mapping[str, NDArray[Any]]) -> Matrix:
    """Pearson's correlation of each pair, over the rows that have both: cov(x, y) / sqrt(var(x) var(y)).

    >>> pearson({"a": np.array([1.0, 2.0, 3.0, np.nan]), "b": np.array([2.0, 4.0, 6.0, 0.0])}).values[0][1]
    1.0

    Args:
        columns: names to (N,) float64, NaN where missing.
    """
    x_CN = np.array([np.asarray(column, np.float64) for column in columns.values()])
    there_CN = np.isfinite(x_CN)
    x_CN[~there_CN] = 0.0
    n_C = np.maximum(there_CN.sum(axis=1), 1)
    x_CN -= (x_CN.sum(axis=1) / n_C)[:, None]  # near 0, so that sums of squares cost no digits
    x_CN[~there_CN] = 0.0
    scale_C = np.sqrt(np.einsum("cn,cn->c", x_CN, x_CN) / n_C)
    x_CN /= np.where(scale_C > 0, scale_C, 1.0)[:, None]
    # einsum keeps to one thread: such small products cost a busy machine more in waiting for threads than in sums
    products_CC, variance_CC = np.einsum("cn,dn->cd", x_CN, x_CN), np.ones((len(x_CN), len(x_CN)))
    gaps_C = n_C < x_CN.shape[1]
    pairs_CC, means_CC = np.broadcast_to(n_C[:, None], variance_CC.shape).astype(np.float64), np.zeros_like(variance_CC)
    if gaps_C.any():  # sums over the rows that a pair shares: those of a column less what the other one lacks
        g_KN = (~there_CN[gaps_C]).astype(np.float64)
        pairs_CC[:, gaps_C] -= np.einsum("cn,kn->ck", there_CN.astype(np.float64), g_KN)
        pairs_CC = np.maximum(pairs_CC, 1.0)
        means_CC[:, gaps_C] = -np.einsum("cn,kn->ck", x_CN, g_KN)
        means_CC /= pairs_CC
        squares_CC = np.broadcast_to(np.diag(products_CC)[:, None], variance_CC.shape).copy()
        squares_CC[:, gaps_C] -= np.einsum("cn,kn->ck", x_CN * x_CN, g_KN)
        variance_CC = squares_CC / pairs_CC - means_CC**2
    covariance_CC = products_CC / pairs_CC - means_CC * means_CC.T
    spread_CC = np.sqrt(np.maximum(variance_CC, 0.0) * np.maximum(variance_CC.T, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        r_CC = np.where(spread_CC > 1e-12, covariance_CC / spread_CC, np.nan)
    r_CC = np.where((scale_C > 0) & (scale_C > 0)[:, None], np.clip(r_CC, -1.0, 1.0), np.nan)
    return Matrix.of(tuple(columns), np.round(r_CC, 12).astype(np.float64))


def cramer(columns: Mapping[str, Codes]) -> Matrix:
    """Cramer's V of each pair, from 0 (nothing in common) to 1, corrected for its bias.

    phi2 = chi2 / n, less (r - 1)(k - 1) / (n - 1), over min(r~ - 1, k~ - 1) with r~ = r - (r - 1)^2 / (n - 1), and the root of it.

    Bergsma, "A bias-correction for Cramer's V and Tschuprow's T", Journal of the Korean Statistical Society 42 (2013).

    >>> cramer({"a": np.array([0, 1] * 50), "b": np.array([1, 0] * 50)}).values[0][1]
    1.0

    Args:
        columns: names to (N,) codes from 0.
    """
    names, codes = tuple(columns), [np.asarray(column) for column in columns.values()]
    values_CC = np.eye(len(names))
    for i in range(len(names)):
        for j in range(i):
            values_CC[i, j] = values_CC[j, i] = _v(_crossed(codes[i], codes[j]))
    return Matrix.of(names, values_CC)


def information(x_N: Codes, y_N: Codes) -> float:
    """How much of the uncertainty about y a column takes away: I(x; y) / H(y), from 0 to 1, corrected for its bias.

    The plug-in estimate of I is too large by (K_xy - K_x - K_y + 1) / 2n to first order, K being the values that occur. NaN where y
    has one value.

    Miller, "Note on the bias of information estimates", 1955; Theil's uncertainty coefficient.

    >>> information(np.array([0, 1] * 500), np.array([1, 0] * 500)) > 0.99
    True
    """
    table_XY = _crossed(x_N, y_N)
    n = table_XY.sum()
    if not n:
        return math.nan
    marginals = [table_XY.sum(axis=1), table_XY.sum(axis=0)]
    h_x, h_y, h_xy = (_entropy(counts, n) for counts in (*marginals, table_XY.ravel()))
    if h_y <= 0:
        return math.nan
    k_x, k_y, k_xy = (int((counts > 0).sum()) for counts in (*marginals, table_XY))
    bits = h_x + h_y - h_xy - max(0, k_xy - k_x - k_y + 1) / (2 * n)
    return float(min(1.0, max(0.0, bits / h_y)))


def binned(x_N: NDArray[Any], bins: int = 20) -> Codes:
    """Numbers as codes of about equally frequent bins; what is missing is a bin of its own, the last.

    >>> binned(np.array([1.0, 2.0, 3.0, 4.0, np.nan]), bins=2).tolist()
    [0, 0, 1, 1, 2]
    """
    x_N = np.asarray(x_N, np.float64)
    there_N = ~np.isnan(x_N)
    present = np.sort(x_N[there_N])
    if not present.size:
        return np.zeros(len(x_N), np.int64)
    ends = -(-np.arange(1, bins) * len(present) // bins) - 1
    edges = np.unique(present[np.maximum(ends, 0)])
    codes_N = np.searchsorted(edges, x_N)
    return np.where(there_N, codes_N, len(edges) + 1).astype(np.int64)


def _crossed(x_N: Codes, y_N: Codes) -> NDArray[np.int64]:
    if not len(x_N):
        return np.zeros((1, 1), np.int64)
    rows, columns = int(x_N.max()) + 1, int(y_N.max()) + 1
    return np.bincount(x_N * columns + y_N, minlength=rows * columns).reshape(rows, columns)


def _v(table_XY: NDArray[np.int64]) -> float:
    counts_XY = table_XY[table_XY.any(axis=1)][:, table_XY.any(axis=0)].astype(np.float64)
    n, (r, k) = counts_XY.sum(), counts_XY.shape
    if n < 2 or min(r, k) < 2:
        return math.nan
    expected_XY = counts_XY.sum(axis=1, keepdims=True) * counts_XY.sum(axis=0) / n
    phi2 = float((counts_XY**2 / expected_XY).sum() - n) / n
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    fewest = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return round(min(1.0, math.sqrt(phi2 / fewest)), 12) if fewest > 0 else math.nan


def _entropy(counts: NDArray[np.int64], n: float) -> float:
    p = counts[counts > 0] / n
    return float(-(p * np.log(p)).sum())
