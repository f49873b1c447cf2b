"""Rows with several labels told apart so that every label has its share in every part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import DataError
from fermion.data.marks import TEST, TRAIN, VALIDATION, Codes
from fermion.data.strata import numbered

if TYPE_CHECKING:
    import polars as pl

PARTS = np.array([TRAIN, VALIDATION, TEST], dtype=np.int8)


class Labels:
    """Iterative stratification: the rarest label first, its rows go to the parts that want that label most.

    As Sechidis and others do it, with all rows of a label at once: each part gets what it lacks of the label, and rows with the same
    other labels are dealt out evenly. So the work grows with the labels, not with the rows.

    Args:
        rows: how many there are.
        rows_of: by label the rows that have it, each row once.

    >>> labels = Labels(4, [np.array([0, 1]), np.array([0, 1, 2, 3])])
    >>> sorted(labels.folds(2, np.random.default_rng(0))[:2].tolist())
    [0, 1]

    Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, ECML PKDD 2011.
    """

    def __init__(self, rows: int, rows_of: list[NDArray[Any]]) -> None:
        self.rows, self.rows_of = rows, sorted((one for one in rows_of if len(one)), key=len)

    @classmethod
    def of_columns(cls, columns: Mapping[str, pl.Series]) -> Labels:
        """Every value of every column is a label; a missing value is none."""
        rows_of = [part for series in columns.values() for part in _by_value(numbered(series))]
        return cls(max(map(len, columns.values()), default=0), rows_of)

    @classmethod
    def of_lists(cls, series: pl.Series) -> Labels:
        """A column whose values are lists of labels."""
        import polars as pl

        count = len(series)
        pairs = pl.DataFrame({"row": pl.int_range(count, dtype=pl.Int32, eager=True), "label": series}).explode("label")
        pairs = pairs.drop_nulls("label").unique(maintain_order=True)
        row_P = pairs["row"].to_numpy()
        return cls(count, [row_P[at] for at in _by_value(numbered(pairs["label"]))])

    def shares(self, test: float, validation: float, rng: np.random.Generator) -> Codes:
        return PARTS[self._dealt(np.array([1 - test - validation, validation, test]), rng)]

    def folds(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        if self.rows < count:
            raise DataError("the rows", rule=f"at least {count}, one per fold", given=self.rows, remedy="Take fewer folds, or more data.")
        return self._dealt(np.full(count, 1 / count), rng)

    def take(self, rows: NDArray[Any]) -> Labels:
        place_N = np.full(self.rows, -1, dtype=np.int32)
        place_N[rows] = np.arange(len(rows), dtype=np.int32)
        taken = (place_N[one] for one in self.rows_of)
        return Labels(len(rows), [one[one >= 0] for one in taken])

    def _dealt(self, share_J: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
        """(N,) the number of each row's part."""
        parts = len(share_J)
        part_N = np.full(self.rows, parts, dtype=np.min_scalar_type(parts))  # `parts` stands for none yet
        key_N, total_J = self._keys(), np.zeros(parts, dtype=np.int64)
        for mine in [*self.rows_of, None]:
            of_mine = part_N if mine is None else part_N[mine]
            have_J = np.bincount(of_mine, minlength=parts + 1)[:parts]
            free = np.flatnonzero(of_mine == parts) if mine is None else mine[of_mine == parts]
            if not len(free):
                continue
            give_J = _quota(share_J * len(of_mine) - have_J, share_J * self.rows - total_J, len(free), rng)
            free = rng.permutation(free)
            free = free[np.argsort(key_N[free], kind="stable")]
            part_N[free] = _interleaved(give_J, rng)
            total_J += give_J
        return part_N

    def _keys(self) -> NDArray[np.float64]:
        """(N,) numbers that bring rows with the same labels together: a label counts twice as much as the next more frequent one."""
        key_N, fall = np.zeros(self.rows), min(1.0, 1000 / max(len(self.rows_of), 1))
        for rank, mine in enumerate(self.rows_of):
            key_N[mine] += 2.0 ** (-rank * fall)
        return key_N


def _quota(lacks_J: NDArray[np.float64], short_J: NDArray[np.float64], rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole numbers that add up to `rows`, in proportion to what each part lacks; ties go to the part short of rows, then by lot."""
    exact_J = np.maximum(lacks_J, 0)
    exact_J = exact_J * (rows / exact_J.sum()) if exact_J.sum() > 0 else np.full(len(lacks_J), rows / len(lacks_J))
    give_J = np.floor(exact_J + 1e-9).astype(np.int64)
    order = np.lexsort((rng.random(len(give_J)), -short_J, np.round(give_J - exact_J, 9)))
    give_J[order[: rows - int(give_J.sum())]] += 1
    return give_J


def _interleaved(give_J: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
    """The number of each part as often as it gets rows, evenly mixed."""
    places = np.concatenate([(np.arange(count) + rng.random()) / count for count in give_J if count] or [np.zeros(0)])
    return np.repeat(np.arange(len(give_J)), give_J)[np.argsort(places, kind="stable")]


def _by_value(number_N: NDArray[Any]) -> list[NDArray[Any]]:
    """The places of each number from 1, as 32 bits where that is enough."""
    order = np.argsort(number_N, kind="stable").astype(np.int32 if len(number_N) < 2**31 else np.int64)
    return np.split(order, np.cumsum(np.bincount(number_N, minlength=1))[:-1])[1:]
