"""Rows that are the same but for a value: a signature for the table without each block of its columns, candidates compared value by value.

What agreement is worth goes by Fellegi, Sunter 1969, "A theory for record linkage": a rare value in common says more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fermion.data.pairs import Pairs, Rows, within_buckets
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

BLOCKS = 8  # of columns, one of which is left out of a signature
BUCKET = 16  # pairs of one row within one bucket at the most: a bucket larger than that is of coarse columns
MARGIN = 1.0  # bits: by chance one pair in two tables of that size would agree as much
KEPT = np.uint32(7)  # bits of a float32 that do not count: equal to five digits is equal


def near_rows(table: Table, similarity: float = 0.8) -> Pairs:
    """Pairs of rows that are alike in all columns, and equal in all but those of one block.

        similarity(a, b) = the mean over columns of 1 where a and b agree, else of 1 - |a - b| / range for numbers (Gower 1971), else of 0

    Columns are dealt into at most 8 blocks, so with up to 8 columns (that are not constant) any one may differ, with more any one or the
    few of its block; every pair of rows with one changed value has an equal signature. A pair counts only where its agreement is no
    chance: the bits of the values that agree, -log2 of their shares, must exceed those of the best of all N^2 / 2 pairs of independent
    values, 2 log2 N - 1, by `MARGIN`. Numbers agree that are equal to five digits. Pictures and lists are not looked at.

    >>> n = np.r_[0:40, 7]
    >>> changed = np.r_[np.arange(40) * 1.5, 9.0]
    >>> pairs = near_rows(Table.of({"a": changed, "b": n**2, "c": [f"n{i}" for i in n], "d": n * 0.1}))
    >>> pairs.left.tolist(), pairs.right.tolist()
    ([7], [40])

    Args:
        similarity: from above 0 to 1.
    """
    columns = [(codes, series) for series in table.frame if (codes := _codes(series)) is not None]
    weights = [_bits(codes) for codes, _ in columns]
    telling = [place for place, (entropy, _) in enumerate(weights) if entropy > 0]
    columns, weights = [columns[place] for place in telling], [weights[place] for place in telling]
    n, entropy_C = len(table), np.array([entropy for entropy, _ in weights])
    if len(columns) < 2 or n < 2:
        return Pairs.of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    mixed = [_mixed(codes + np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64)) for place, (codes, _) in enumerate(columns)]
    whole_N = np.zeros(n, dtype=np.uint64)
    for values_N in mixed:
        whole_N += values_N
    _, first, inverse = np.unique(whole_N, return_index=True, return_inverse=True)
    originals = first[inverse]
    copies = np.flatnonzero(originals != np.arange(n))
    rows = np.sort(first)
    found: list[NDArray[np.int64]] = []
    for block in _dealt(entropy_C):
        keys = whole_N[rows]
        for place in block:
            keys = keys - mixed[place][rows]
        left, right = within_buckets(keys, rows, BUCKET)
        found.append(np.minimum(left, right) * n + np.maximum(left, right))
    left, right = np.divmod(np.unique(np.concatenate(found)), n)
    alike, bits = np.zeros(len(left)), np.zeros(len(left))
    for (codes, series), (_, bits_N) in zip(columns, weights, strict=True):
        same = codes[left] == codes[right]
        alike += np.where(same, 1.0, _closeness(series, left, right)) / len(columns)
        bits += same * bits_N[left]
    good = (alike >= similarity - 1e-9) & (bits >= 2 * np.log2(n) - 1 + MARGIN)
    return Pairs.of(
        np.concatenate([originals[copies], left[good]]),
        np.concatenate([copies, right[good]]),
        np.concatenate([np.ones(len(copies)), alike[good]]),
    )


def _codes(series: pl.Series) -> NDArray[np.uint64] | None:
    """(N,) numbers that are the same for values that agree; None for what is not compared."""
    import polars as pl

    if series.dtype.is_nested() or isinstance(series.dtype, pl.Object | pl.Null):
        return None
    if series.dtype.is_float():
        x_N = series.cast(pl.Float32).fill_null(np.nan).to_numpy()
        bits_N = np.where(np.isnan(x_N), np.float32(np.nan), x_N + np.float32(0)).astype(np.float32).view(np.uint32)
        return ((bits_N + (np.uint32(1) << (KEPT - np.uint32(1)))) >> KEPT).astype(np.uint64)
    return series.hash(seed=0).to_numpy()


def _bits(codes_N: NDArray[np.uint64]) -> tuple[float, NDArray[np.float32]]:
    """The entropy of a column, and for each row the bits of its value."""
    _, inverse, count = np.unique(codes_N, return_inverse=True, return_counts=True)
    bits = (np.log2(len(codes_N)) - np.log2(count)).astype(np.float32)
    return float((count * bits).sum()) / max(1, len(codes_N)), bits[inverse]


def _closeness(series: pl.Series, left: Rows, right: Rows) -> NDArray[np.float64]:
    """(M,) how close values that differ are: numbers and times by their distance over the range, all others not at all."""
    import polars as pl

    if not (series.dtype.is_numeric() or series.dtype.is_temporal()):
        return np.zeros(len(left))
    x_N = series.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
    known_N = x_N[np.isfinite(x_N)]
    extent = float(known_N.max() - known_N.min()) if known_N.size else 0.0
    apart = abs(x_N[left] - x_N[right]) / extent if extent > 0 else np.ones(len(left))
    return 1 - np.nan_to_num(np.minimum(apart, 1.0), nan=1.0)


def _dealt(entropy_C: NDArray[np.float64]) -> list[list[int]]:
    """The columns in blocks of about equal entropy: the most telling first, each into the emptiest block."""
    blocks: list[list[int]] = [[] for _ in range(min(BLOCKS, len(entropy_C)))]
    filled = np.zeros(len(blocks))
    for place in np.argsort(-entropy_C, kind="stable"):
        emptiest = int(np.argmin(filled))
        blocks[emptiest].append(int(place))
        filled[emptiest] += entropy_C[place]
    return blocks


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0xA0761D6478BD642F)
    return x ^ (x >> np.uint64(32))
