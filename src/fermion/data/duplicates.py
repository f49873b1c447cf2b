"""Rows that are equal, found in one pass over the table, pictures included."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

BLOCK = 1 << 18  # rows that are hashed at a time: bounds the memory that this needs
Rows = NDArray[np.int64]
Equal = Callable[[Rows, Rows], NDArray[np.bool_]]


class Repeats(Struct, frozen=True, kw_only=True, eq=False):
    """Rows that have an equal one, ascending; the first such row in the order train, validation, test, and the first within its part."""

    rows: Rows
    first: Rows
    first_in_part: Rows


def first_equal(frame: pl.DataFrame, codes_N: NDArray[np.int8]) -> tuple[Rows, Rows]:
    """For each row the first row that equals it, in the order train, validation, test; and the first within its part.

    Rows are found by a 64-bit hash and then compared value by value, so a collision is never reported.

    >>> import polars as pl
    >>> [rows.tolist() for rows in first_equal(pl.DataFrame({"x": [7, 7, 8, 7]}), np.array([1, 0, 0, 0], np.int8))]
    [[1, 1, 2, 1], [0, 1, 2, 1]]

    Args:
        frame: N rows of any types.
        codes_N: (N,) the part of each row.
    """
    hash_N = hashed(frame.slice(start, BLOCK) for start in range(0, frame.height, BLOCK))
    found = repeats(hash_N, codes_N, lambda left, right: rows_equal(frame, left, right))
    first_N, first_in_part_N = np.arange(len(hash_N)), np.arange(len(hash_N))
    first_N[found.rows], first_in_part_N[found.rows] = found.first, found.first_in_part
    return first_N, first_in_part_N


def hashed(blocks: Iterable[pl.DataFrame]) -> NDArray[np.uint64]:
    """(N,) a number for each row of the blocks, the same for equal rows."""
    import polars as pl

    parts = [pl.DataFrame([_hashable(series) for series in block]).hash_rows(seed=0).to_numpy() for block in blocks]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def repeats(hash_N: NDArray[np.uint64], codes_N: NDArray[np.int8], equal: Equal) -> Repeats:
    """The rows that are there more than once.

    Args:
        hash_N: (N,) numbers that are the same for equal rows.
        codes_N: (N,) the part of each row.
        equal: whether rows (M,) equal other rows (M,), for numbers that collide.
    """
    rows = _shared(hash_N)
    part_R, hash_R = codes_N[rows], hash_N[rows]
    order = np.lexsort((part_R, hash_R))
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = hash_R[order][1:] != hash_R[order][:-1]
    fresh_in_part = fresh.copy()
    fresh_in_part[1:] |= part_R[order][1:] != part_R[order][:-1]
    firsts: list[Rows] = []
    for starts in (fresh, fresh_in_part):
        first_R = np.empty(len(order), dtype=np.int64)
        if len(order):
            first_R[order] = rows[order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]]
        others = np.flatnonzero(first_R != rows)
        for at in range(0, len(others), BLOCK):
            some = others[at : at + BLOCK]
            differ = some[~equal(rows[some], first_R[some])]
            first_R[differ] = rows[differ]
        firsts.append(first_R)
    return Repeats(rows=rows, first=firsts[0], first_in_part=firsts[1])


def rows_equal(frame: pl.DataFrame, left: Rows, right: Rows) -> NDArray[np.bool_]:
    """Whether rows (M,) equal other rows (M,), missing values included."""
    equal_M = np.ones(len(left), dtype=np.bool_)
    if left.size:
        for series in frame:
            equal_M &= series.gather(left).eq_missing(series.gather(right)).to_numpy()
    return equal_M


def _shared(hash_N: NDArray[np.uint64]) -> Rows:
    """The places of numbers that are there more than once, ascending."""
    sorted_N = np.sort(hash_N)
    twice = np.unique(sorted_N[1:][sorted_N[1:] == sorted_N[:-1]])
    del sorted_N
    if not twice.size:
        return np.empty(0, dtype=np.int64)
    found: list[Rows] = []
    for start in range(0, len(hash_N), BLOCK):
        block = hash_N[start : start + BLOCK]
        near = twice[np.minimum(np.searchsorted(twice, block), len(twice) - 1)]
        found.append(start + np.flatnonzero(near == block))
    return np.concatenate(found)


def _hashable(series: pl.Series) -> pl.Series:
    """Pictures as one number each, sum(a_i x_i) modulo 2**64 over their bytes in words: ten times faster than value by value."""
    import polars as pl

    if not isinstance(series.dtype, pl.Array) or series.null_count():
        return series
    array = np.ascontiguousarray(series.to_numpy())
    bytes_NB = array.reshape(len(array), -1).view(np.uint8)
    spare = -bytes_NB.shape[1] % 8
    factors_W = np.random.default_rng(0).integers(1, 2**63, (bytes_NB.shape[1] + spare) // 8, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    sums = [np.empty(0, dtype=np.uint64)]
    for start in range(0, len(bytes_NB), 4096):
        words_BW = np.pad(bytes_NB[start : start + 4096], [(0, 0), (0, spare)]).view(np.uint64)
        sums.append((words_BW * factors_W).sum(axis=1, dtype=np.uint64))
    return pl.Series(series.name, np.concatenate(sums))
