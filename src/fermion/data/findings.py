"""What a check says: one finding, its kinds, and the rows that it is about."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.core.errors import DataError, SpecError, Told, did_you_mean, shortened
from fermion.data.marks import OUT
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

Severity = Literal["error", "warning", "info"]
EVIDENCE = 10  # rows at most

KINDS: dict[str, Severity] = {
    "target-missing": "error",  # the target is no column
    "target-nulls": "error",  # rows without a value of the target
    "unseen-class": "error",  # a class in validation or test that training does not have
    "leak": "error",  # a column that is the target, or its classes under other names
    "predicts-alone": "error",  # a column that nearly says the target, far better than the others; a warning where it is less strong
    "known-after": "error",  # a strong column that its name or its values place after the outcome; a warning where it is less strong
    "estimate": "error",  # the mean of the target over groups; a warning where it only looks like a probability of the target
    "missing-tells": "error",  # whether the value is missing says the target; a warning where it says it less well
    "fitted-outside-training": "error",  # a plan or a feature that was made from rows outside the training part
    "expectation": "error",  # what the project file expects does not hold; a warning or an info where it says so
    "later-than-row": "warning",  # times that lie after the row's own time
    "time-backwards": "warning",  # test rows that lie before the training rows
    "split-ignores-time": "warning",  # rows drawn at random from data that change in time
    "group-across": "warning",  # the same entity on both sides of the split
    "duplicates-across": "warning",  # rows of one part that are also in an earlier one
    "near-duplicates-across": "warning",  # rows of one part that are nearly in an earlier one
    "duplicates": "warning",  # rows that are twice in one part
    "rare-class": "warning",  # a class with one row
    "constant": "warning",  # a column with one value in the training part
    "identifier": "warning",  # a column that tells every row apart
    "nulls": "info",  # missing values; a warning from half of the rows on
}


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that a check found.

    `score` is a share from 0 to 1 (what of is in `message`), `rows` at most 10 row numbers of the table as evidence,
    `remedy` the line of the project file that deals with it.
    """

    kind: str
    column: str
    severity: Severity
    score: float
    rows: tuple[int, ...]
    message: str
    remedy: str


def finding(
    kind: str,
    column: str,
    *,
    subject: str,
    rule: str,
    given: str,
    score: float,
    rows: NDArray[np.int64] | Sequence[int] = (),
    remedy: str,
    severity: Severity | None = None,
) -> Finding:
    """A finding whose message says subject, rule and what was found, as errors do."""
    message = DataError(subject, rule=rule, given=Told(given)).message
    shown = tuple(int(row) for row in rows[:EVIDENCE])
    bounded = min(1.0, max(0.0, round(float(score), 6)))
    return Finding(kind=kind, column=column, severity=severity or KINDS[kind], score=bounded, rows=shown, message=message, remedy=remedy)


def ignoring(column: str) -> str:
    """The remedy that leaves a column out."""
    return f"Leave it out: `data.ignore: [{column}]`."


class View:
    """The rows of a table that are in the split, column by column: nothing is copied but the column at hand.

    Args:
        private: columns whose values are never shown.
    """

    def __init__(self, table: Table, codes_N: NDArray[np.int8], private: frozenset[str] = frozenset()) -> None:
        kept_N = codes_N != OUT
        whole = bool(kept_N.all())
        self.table, self.private = table, private
        self.used: NDArray[np.int64] | None = None if whole else np.flatnonzero(kept_N)
        self.codes = codes_N if whole else codes_N[kept_N]
        self._kept_N = kept_N

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def names(self) -> tuple[str, ...]:
        return self.table.names

    def series(self, name: str) -> pl.Series:
        """One column, the used rows only."""
        import polars as pl

        series = self.table.series(name)
        return series if self.used is None else series.filter(pl.Series(self._kept_N))

    def some(self, name: str, rows: NDArray[np.int64]) -> pl.Series:
        """One column, these of the used rows."""
        return self.table.series(name).gather(rows if self.used is None else self.used[rows])

    def blocks(self, size: int) -> Iterator[pl.DataFrame]:
        """The used rows block by block; paths as the digests of their files."""
        import polars as pl

        frame = self.table.frame
        contents = [pl.Series(name, self.table.contents(name), dtype=pl.String) for name in sorted(self.table.paths)]
        for start in range(0, frame.height, size):
            block = frame.slice(start, size).with_columns(series.slice(start, size) for series in contents)
            yield block if self.used is None else block.filter(pl.Series(self._kept_N[start : start + size]))

    def rows(self, names: Sequence[str], rows: NDArray[np.int64]) -> Table:
        """Some of the used rows as a table of these columns."""
        return self.table.select(names).take(rows if self.used is None else self.used[rows])

    def shown(self, name: str, value: object) -> str:
        """A value for a message, or that it is not shown."""
        return "a private value" if name in self.private else shortened(value)

    def listed(self, name: str, values: Sequence[object]) -> str:
        """Some values for a message."""
        if name in self.private:
            return f"{len(values)} private value" + ("s" if len(values) != 1 else "")
        return ", ".join(shortened(value) for value in values[:5]) + (f" and {len(values) - 5} more" if len(values) > 5 else "")

    def numbered(self, found: Finding) -> Finding:
        """The finding with row numbers of the whole table."""
        if self.used is None or not found.rows:
            return found
        return structs.replace(found, rows=tuple(int(self.used[row]) for row in found.rows))


class Accepted:
    """Which findings the project file accepts: by kind, or by kind and column.

    >>> Accepted(("leak:copy",), ["copy", "y"]).covers("leak", "copy"), Accepted(("leak:copy",), ["copy", "y"]).covers("leak", "other")
    (True, False)

    Raises:
        SpecError: a kind or a column that there is not.
    """

    def __init__(self, accept: Sequence[str], names: Sequence[str]) -> None:
        self._accepted = frozenset(accept)
        for word in accept:
            kind, colon, column = word.partition(":")
            if kind not in KINDS:
                remedy = did_you_mean(kind, KINDS)
                raise SpecError("checks.accept", rule=f"made of {', '.join(KINDS)}", given=word, remedy=remedy, where="checks.accept")
            if colon and column not in names:
                rule = f"a kind and one of the columns {', '.join(names[:12])}"
                raise SpecError("checks.accept", rule=rule, given=word, remedy=did_you_mean(column, names), where="checks.accept")

    def covers(self, kind: str, column: str) -> bool:
        """Whether a finding is accepted."""
        return kind in self._accepted or f"{kind}:{column}" in self._accepted

    def settled(self, found: Finding) -> Finding:
        """An accepted error as a warning that says so; any other error with the line that accepts it."""
        if found.severity != "error":
            return found
        if self.covers(found.kind, found.column):
            return structs.replace(found, severity="warning", message=f"{found.message} Accepted by checks.accept.")
        if found.kind in ("target-missing", "target-nulls"):
            return found
        name = f'"{found.kind}:{found.column}"' if found.column and found.kind != "leak" else found.kind
        return structs.replace(found, remedy=f"{found.remedy} To go on all the same: `checks: {{accept: [{name}]}}`.")


def missing_of(series: pl.Series) -> NDArray[np.bool_]:
    """Which values are null or NaN."""
    if not series.null_count() and not series.dtype.is_float():
        return np.zeros(len(series), dtype=np.bool_)
    missing = series.is_null()
    return (missing | series.is_nan().fill_null(False) if series.dtype.is_float() else missing).to_numpy()


def each(work: Callable[[str], T], names: Sequence[str]) -> list[T]:
    """What `work` gives for each column, in their order, on all cores: most of it is done outside of the interpreter."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:
        return list(threads.map(work, names))
