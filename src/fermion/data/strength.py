"""How well one column alone tells the target, on rows that it was not learned from.

A column becomes at most `BINS` bins or `LEVELS` levels, missing values are one of their own; texts that are numbers with signs around
them count as numbers. The share of each class in a level (or the mean of the target) is taken over the other folds, so that a
column with another value in each row predicts nothing. Everything is counted in a table of levels by folds by classes, so a
column costs one pass over a sample of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.data.findings import missing_of

if TYPE_CHECKING:
    import polars as pl

SAMPLE = 32_768  # rows; an area under the curve of 0.9 then has a standard error below 0.003 for classes of 10 % of the rows
BINS, LEVELS, FOLDS = 64, 1_000, 5
ROWS_PER_BIN = 15
NUMERIC = 0.8  # the share of texts with a number in them
CLASSES = 40  # at most, the most frequent ones
PRIOR = 4.0  # rows that the overall share counts in each level
HIGHEST = 0.99999

Numbers = NDArray[np.float64]


class Strength(Struct, frozen=True, kw_only=True):
    """What one column tells of the target.

    Args:
        score: area under the curve (ROC), each class against the rest, weighted by the class shares; for numbers the larger one of R2 and
            the squared rank correlation.
        low: the lower end of its 95 % interval (Hanley, McNeil 1982; Fisher 1915 for correlations).
        best: the lower end of the area for the class that it tells best; `low` for numbers.
        separation: how far apart classes are, in standard deviations: sqrt(2) times the normal quantile of `low`; for numbers
            2 r / sqrt(1 - r^2), which is the same for two equally large classes.
    """

    score: float
    low: float
    best: float
    separation: float


class Sought(Struct, frozen=True, kw_only=True, eq=False):
    """The target on a sample of rows: class numbers 0..K-1, or numbers and their ranks."""

    classes: bool
    values: NDArray[np.int64] | Numbers
    shares: Numbers  # (K,) of the classes
    ranks: Numbers
    folds: NDArray[np.int64]

    @classmethod
    def of(cls, series: pl.Series, *, classes: bool) -> Sought:
        """From a target without missing values."""
        import polars as pl

        folds = np.random.default_rng(0).permutation(len(series)) % FOLDS
        if classes:
            codes_N = levels_of(series)[0]
            count_K = np.bincount(codes_N)
            frequent = np.argsort(-count_K, kind="stable")[: CLASSES - 1] if len(count_K) > CLASSES else np.arange(len(count_K))
            number_K = np.full(len(count_K), len(frequent), dtype=np.int64)  # the others are one more class
            number_K[frequent] = np.arange(len(frequent))
            values = number_K[codes_N]
            return cls(classes=True, values=values, shares=np.bincount(values) / max(1, len(values)), ranks=np.empty(0), folds=folds)
        y_N = series.cast(pl.Float64).to_numpy()
        return cls(classes=False, values=y_N, shares=np.empty(0), ranks=ranks_of(y_N), folds=folds)


class Read(Struct, frozen=True, kw_only=True, eq=False):
    """A column on the same rows: level numbers (0: missing), the numbers that it holds, and its levels' names."""

    codes: NDArray[np.int64]
    missing: NDArray[np.bool_]
    numbers: Numbers | None
    names: tuple[str, ...]  # of the most frequent levels, for texts


def read(series: pl.Series) -> Read | None:
    """A column in levels, or None for what cannot be compared value by value: pictures, lists, bytes."""
    import polars as pl

    if series.dtype.is_nested() or isinstance(series.dtype, pl.Binary | pl.Object | pl.Null):
        return None
    missing_N = missing_of(series)
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        x_N = series.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
        return Read(codes=_binned(x_N, missing_N), missing=missing_N, numbers=x_N, names=())
    if isinstance(series.dtype, pl.String):
        x_N = series.str.replace_all(r"[^\d.eE+-]", "").cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        if series.str.contains(r"\d").sum() > NUMERIC * len(series) and np.isfinite(x_N).sum() > NUMERIC * (~missing_N).sum():
            missing_N = ~np.isfinite(x_N)
            return Read(codes=_binned(x_N, missing_N), missing=missing_N, numbers=x_N, names=())
    codes_N, names = levels_of(series)
    return Read(codes=np.where(missing_N, 0, codes_N + 1), missing=missing_N, numbers=None, names=names)


def levels_of(series: pl.Series) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(N,) numbers of the values, the rare ones beyond `LEVELS` as one; and the names of the most frequent of them."""
    import polars as pl

    hash_N = series.hash(seed=0).to_numpy()
    _, first_U, codes_N, count_U = np.unique(hash_N, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(-count_U, kind="stable")[:LEVELS]
    names = tuple(str(series[int(row)]) for row in first_U[order[:30]]) if series.dtype != pl.Boolean else ()
    if len(count_U) > LEVELS:
        number_U = np.full(len(count_U), LEVELS, dtype=np.int64)
        number_U[order] = np.arange(LEVELS)
        codes_N = number_U[codes_N]
    return codes_N.astype(np.int64), names


def ranks_of(x_N: Numbers) -> Numbers:
    """(N,) ranks from 0, equal values share theirs."""
    order = np.argsort(x_N, kind="stable")
    sorted_N = x_N[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))
    ends = np.append(starts[1:], len(x_N))
    ranks = np.empty(len(x_N))
    ranks[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return ranks


def expected(codes_N: NDArray[np.int64], sought: Sought) -> Numbers:
    """(L,) what each level says of a number or of the last, rarest class; the target's mean for empty levels."""
    y_N = sought.values if not sought.classes else (sought.values == int(np.argmin(sought.shares))).astype(np.float64)
    rows_L = np.bincount(codes_N)
    return (np.bincount(codes_N, y_N) + PRIOR * y_N.mean()) / (rows_L + PRIOR)


def strength(column: Read, sought: Sought) -> Strength:
    """How well a column tells the target."""
    if sought.classes:
        return _of_classes(column.codes, sought)
    y_N = np.asarray(sought.values, dtype=np.float64)
    score = _determination(column.codes, y_N, sought.folds)
    if column.numbers is not None and not column.missing.all():
        known = ~column.missing
        y_ranks = sought.ranks if known.all() else ranks_of(y_N[known])
        score = max(score, known.mean() ** 2 * _correlation(ranks_of(column.numbers[known]), y_ranks) ** 2)
    r = min(float(np.sqrt(max(score, 0.0))), HIGHEST)
    low = max(0.0, float(np.tanh(np.arctanh(r) - 1.96 / np.sqrt(max(1, len(y_N) - 3)))))
    return Strength(score=max(score, 0.0), low=low**2, best=low**2, separation=2 * low / float(np.sqrt(1 - low**2)))


def of_missing(column: Read, sought: Sought) -> Strength:
    """How well it tells the target that a value is missing."""
    alone = Read(codes=column.missing.astype(np.int64), missing=np.zeros_like(column.missing), numbers=None, names=())
    return strength(alone, sought)


def reference(strengths: Sequence[Strength]) -> float:
    """The upper quartile of the separations: what a good column of this table reaches."""
    return float(np.quantile([one.separation for one in strengths], 0.75, method="higher")) if strengths else 0.0


def _binned(x_N: Numbers, missing_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    known_N = np.sort(x_N[~missing_N])
    if not known_N.size:
        return np.zeros(len(x_N), dtype=np.int64)
    changes = known_N[1:] != known_N[:-1]
    bins = max(2, min(BINS, len(known_N) // ROWS_PER_BIN))
    if int(changes.sum()) < max(8, 4 * bins if bins == BINS else bins):
        edges = known_N[1:][changes]
    else:
        edges = np.unique(known_N[(np.arange(1, bins) * len(known_N)) // bins])
    codes_N = np.searchsorted(edges, x_N, side="right") + 1
    codes_N[missing_N] = 0
    return codes_N


def _of_classes(codes_N: NDArray[np.int64], sought: Sought) -> Strength:
    n, levels, classes = len(codes_N), int(codes_N.max(initial=0)) + 1, len(sought.shares)
    cell_N = (codes_N * FOLDS + sought.folds) * classes + np.asarray(sought.values, dtype=np.int64)
    count_LFK = np.bincount(cell_N, minlength=levels * FOLDS * classes).reshape(levels, FOLDS, classes).astype(np.float64)
    others_LFK = count_LFK.sum(axis=1, keepdims=True) - count_LFK
    fold_FK = count_LFK.sum(axis=0)
    prior_FK = (fold_FK.sum(axis=0) - fold_FK) / np.maximum(1.0, n - fold_FK.sum(axis=1, keepdims=True))
    p_LFK = (others_LFK + PRIOR * prior_FK) / (others_LFK.sum(axis=2, keepdims=True) + PRIOR) - prior_FK
    rows_C = count_LFK.sum(axis=2).ravel()
    there_C = rows_C > 0
    area_K, low_K = np.full(classes, 0.5), np.full(classes, 0.0)
    for k in range(classes):
        positive_C = count_LFK[..., k].ravel()[there_C]
        m = positive_C.sum()
        if 0 < m < n:
            area_K[k] = _area(p_LFK[..., k].ravel()[there_C], positive_C, rows_C[there_C] - positive_C)
            low_K[k] = area_K[k] - 1.96 * _error(float(area_K[k]), float(m), float(n - m))
    score, low = float(area_K @ sought.shares), float(low_K @ sought.shares)
    return Strength(score=score, low=max(low, 0.0), best=max(0.0, float(low_K.max(initial=0.0))), separation=separation(low))


def separation(area: float) -> float:
    """Standard deviations between two normal classes with this area under the curve."""
    from statistics import NormalDist

    return float(np.sqrt(2)) * NormalDist().inv_cdf(min(max(area, 0.5), HIGHEST))


def _area(p_C: Numbers, positive_C: Numbers, negative_C: Numbers) -> float:
    order = np.argsort(p_C, kind="stable")
    fresh = np.concatenate([[True], np.diff(p_C[order]) > 1e-12])
    group = np.cumsum(fresh) - 1
    positive, negative = np.bincount(group, positive_C[order]), np.bincount(group, negative_C[order])
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / (positive.sum() * negative.sum()))


def _error(area: float, positive: float, negative: float) -> float:
    """The standard error of an area under the curve (Hanley, McNeil 1982)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positive - 1) * (q1 - area**2) + (negative - 1) * (q2 - area**2)
    least = 1 / (positive + negative)  # a perfect column of a few rows is no certainty
    return float(np.sqrt(max(spread, 0.0) / (positive * negative))) + least


def _determination(codes_N: NDArray[np.int64], y_N: Numbers, fold_N: NDArray[np.int64]) -> float:
    """R2 of the level means of the other folds."""
    cells, mean = int(codes_N.max(initial=0)) + 1, y_N.mean()
    cell_N = codes_N * FOLDS + fold_N
    sum_LF = np.bincount(cell_N, y_N - mean, minlength=cells * FOLDS).reshape(cells, FOLDS)
    rows_LF = np.bincount(cell_N, minlength=cells * FOLDS).reshape(cells, FOLDS)
    told_LF = (sum_LF.sum(axis=1, keepdims=True) - sum_LF) / (rows_LF.sum(axis=1, keepdims=True) - rows_LF + PRIOR)
    rest = float(((y_N - mean - told_LF.ravel()[cell_N]) ** 2).sum())
    whole = float(((y_N - mean) ** 2).sum())
    return 1 - rest / whole if whole > 0 else 0.0


def _correlation(a_N: Numbers, b_N: Numbers) -> float:
    a_N, b_N = a_N - a_N.mean(), b_N - b_N.mean()
    spread = float(np.sqrt((a_N @ a_N) * (b_N @ b_N)))
    return float(a_N @ b_N) / spread if spread > 0 else 0.0
