"""Rows told apart by lot: within each class, or all together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.data.marks import TEST, TRAIN, VALIDATION, Codes, whole

if TYPE_CHECKING:
    import polars as pl


class Rule(Protocol):
    """A way of telling N rows apart. The same seed gives the same parts."""

    def shares(self, test: float, validation: float, rng: np.random.Generator) -> Codes:
        """(N,) test, validation and training part by their shares of the rows."""
        ...

    def folds(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        """(N,) the fold of each row, from 0 to count - 1.

        Raises:
            DataError: there is too little for so many folds.
        """
        ...

    def take(self, rows: NDArray[Any]) -> Self:
        """The same rule for these rows."""
        ...


class Strata:
    """By lot within each class.

    Args:
        rows: how many there are.
        class_N: (N,) numbers of the classes from 1, 0 where it is missing; None for rows of one kind.

    >>> Strata(4, np.array([1, 1, 2, 2])).folds(2, np.random.default_rng(0)).tolist()
    [0, 1, 0, 1]
    """

    def __init__(self, rows: int, class_N: NDArray[Any] | None = None) -> None:
        self.rows, self.class_N = rows, class_N

    def shares(self, test: float, validation: float, rng: np.random.Generator) -> Codes:
        """Rounding goes to the classes with the largest remainders; a class keeps a row for training before it gives one away."""
        count_K = self._counts()
        test_K = _given(count_K, np.maximum(count_K - 1, 0), whole(test, self.rows), test, rng)
        validation_K = _given(count_K, np.maximum(count_K - 1 - test_K, 0), whole(validation, self.rows), validation, rng)
        parts = np.tile(np.array([TEST, VALIDATION, TRAIN], dtype=np.int8), len(count_K))
        codes = np.empty(self.rows, dtype=np.int8)
        order = self._order(rng)  # drawn last
        codes[order] = np.repeat(parts, np.stack([test_K, validation_K, count_K - test_K - validation_K], axis=1).ravel())
        return codes

    def folds(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        """Every class and the whole are as even as whole rows allow."""
        if self.rows < count:
            raise DataError("the rows", rule=f"at least {count}, one per fold", given=self.rows, remedy="Take fewer folds, or more data.")
        count_K = self._counts()
        real_K = count_K[1:][count_K[1:] > 0]
        if real_K.size and real_K.min() < count:
            raise DataError(
                "every class",
                rule=f"of at least {count} rows, one per fold",
                given=Told(f"{real_K.min()} in the smallest of {len(real_K)} classes"),
                remedy="Take fewer folds, join rare classes, or write `split: {by: random}`.",
            )
        fold_N = np.empty(self.rows, dtype=np.min_scalar_type(count))
        fold_N[self._order(rng)] = np.resize(np.arange(count, dtype=fold_N.dtype), self.rows)
        return fold_N

    def take(self, rows: NDArray[Any]) -> Strata:
        return Strata(len(rows), None if self.class_N is None else self.class_N[rows])

    @property
    def distinct(self) -> bool:
        """Whether no two rows are of one class."""
        return self.class_N is not None and self.rows > 1 and int(self._counts().max()) == 1

    def _counts(self) -> NDArray[np.int64]:
        return np.array([self.rows]) if self.class_N is None else np.bincount(self.class_N, minlength=1)

    def _order(self, rng: np.random.Generator) -> NDArray[Any]:
        """Rows by class, by lot within a class. Narrow integers: at ten million rows they are what this costs."""
        shuffled_N = rng.permutation(np.arange(self.rows, dtype=np.int32 if self.rows < 2**31 else np.int64))
        return shuffled_N if self.class_N is None else shuffled_N[np.argsort(self.class_N[shuffled_N], kind="stable")]


def _given(count_K: NDArray[np.int64], most_K: NDArray[np.int64], wanted: int, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many rows each class gives: largest remainders, ties by lot, never more than `most_K`."""
    exact_K = share * count_K
    given_K = np.minimum(np.floor(exact_K).astype(np.int64), most_K)
    while (missing := wanted - int(given_K.sum())) > 0:
        able = np.flatnonzero(given_K < most_K)
        if not able.size:
            break
        order = np.lexsort((rng.random(len(able)), given_K[able] - exact_K[able]))
        given_K[able[order[:missing]]] += 1
    return given_K


def numbered(series: pl.Series) -> NDArray[Any]:
    """(N,) 1.. in the order of values, 0 where missing, so that chunks and threads change nothing; as narrow as it goes.

    >>> import polars as pl
    >>> numbered(pl.Series(["b", None, "a"])).tolist()
    [2, 0, 1]
    """
    import polars as pl

    distinct = series.unique().drop_nulls().sort() if series.dtype == pl.String else None
    if distinct is not None and 2 * len(distinct) < len(series):  # texts are large to sort
        ranks = series.cast(pl.Enum(distinct)).to_physical().cast(pl.UInt32) + 1
    else:
        ranks = series.rank("dense")
    most = ranks.max()
    return ranks.fill_null(0).to_numpy().astype(np.min_scalar_type(most if isinstance(most, int) else 0))
