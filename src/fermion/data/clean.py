"""Rows of the training part that are set aside by the cleaning plan, each with its step and its reason. No row is ever lost."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.declared import Clean, Outliers
from fermion.core.errors import DataError, SpecError, Told
from fermion.core.lazy import load
from fermion.data.duplicates import first_equal
from fermion.data.split import OUT, TRAIN, Marks
from fermion.data.table import Table, unknown_column

if TYPE_CHECKING:
    import polars as pl

LIMITS = {"iqr": 3.0, "robust_z": 6.0, "isolation": 0.01}
TREES, SAMPLE = 200, 256  # of the isolation forest, as in its paper
NORMAL = 1.4826  # the standard deviation of a normal distribution over its median absolute deviation


class SetAside(Struct, frozen=True, kw_only=True):
    """One row that the fit does not see: its number in the table, the step that took it, and why."""

    row: int
    step: str
    reason: str


class Cleaned(Struct, frozen=True, kw_only=True):
    """The marks without the rows that were set aside, and those rows in ascending order."""

    marks: Marks
    aside: tuple[SetAside, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Rows by the step that took them."""
        steps = [one.step for one in self.aside]
        return {step: steps.count(step) for step in dict.fromkeys(steps)}


def clean(
    table: Table,
    marks: Marks,
    plan: Clean,
    *,
    ignore: Sequence[str] = (),
    targets: Sequence[str] = (),
    more: dict[int, str] | None = None,
    private: Collection[str] = (),
    seed: int = 0,
) -> Cleaned:
    """Carry out a plan on the training part. Validation and test stay as they are: they are what the service will meet.

    Steps in order: incomplete rows, rows that break an expectation, duplicates, outliers; a row counts for the first step that takes it.
    What a step learns (quartiles, deviations, trees) it learns from the training rows that are left by then.

    >>> table = Table.of({"x": [1, 1, 2, None], "y": [0, 0, 1, 1]})
    >>> found = clean(table, Marks(codes=np.zeros(4, np.int8), by="random"), Clean(duplicates="exact", incomplete=("x",)))
    >>> found.marks.codes.tolist(), found.counts
    ([0, -1, 0, -1], {'duplicates': 1, 'incomplete': 1})

    Args:
        ignore: columns that the model does not see; duplicates and outliers do not look at them.
        targets: the target columns; outliers do not look at them.
        more: rows that break an expectation with `then: aside`, with the reason.
        private: columns whose values stand in no reason.
        seed: of the isolation forest.

    Raises:
        DataError: a column of the plan is not there. SpecError: outliers are asked of a column that is no number.
    """
    codes = marks.codes.copy()
    taken: dict[int, SetAside] = {}

    def take(step: str, found: Iterator[tuple[int, str]]) -> None:
        for row, reason in found:
            if codes[row] == TRAIN:
                codes[row] = OUT
                taken[row] = SetAside(row=row, step=step, reason=reason)

    take("incomplete", _incomplete(table, plan.incomplete))
    take("expectation", iter((more or {}).items()))
    features = table.drop([name for name in ignore if name in table.names])
    if plan.duplicates is not None and (codes == TRAIN).any():
        take("duplicates", _repeats(features, np.flatnonzero(codes == TRAIN)))
    if plan.duplicates == "near" and (codes == TRAIN).any():
        take("near duplicates", _nearly(features, np.flatnonzero(codes == TRAIN), plan.similarity))
    for one in plan.outliers:
        take(f"outliers: {one.by}", _far(features, np.flatnonzero(codes == TRAIN), one, targets, private, seed))
    if taken and not (codes == TRAIN).any():
        given = Told(f"none of {int((marks.codes == TRAIN).sum()):,}")
        raise DataError("data.clean", rule="a plan that leaves rows to learn from", given=given, remedy="Take its limits back.")
    return Cleaned(
        marks=Marks(codes=codes, by=marks.by, column=marks.column, boundaries=marks.boundaries),
        aside=tuple(taken[row] for row in sorted(taken)),
    )


def kept_aside(table: Table, cleaned: Cleaned) -> Table:
    """The rows that were set aside, with three columns more: `row`, `step` and `reason`; what is written beside a run."""
    rows = table.take([one.row for one in cleaned.aside])
    for name, values in (
        ("reason", [one.reason for one in cleaned.aside]),
        ("step", [one.step for one in cleaned.aside]),
        ("row", [one.row for one in cleaned.aside]),
    ):
        while name in rows.names:
            name += "_"
        rows = rows.with_column(name, np.array(values, dtype=np.int64) if values and isinstance(values[0], int) else values)
    return rows


def part_digest(marks: Marks) -> str:
    """What tells the training part of one split from that of another: the sha256 of which rows are in it."""
    return hashlib.sha256(np.packbits(marks.codes == TRAIN).tobytes()).hexdigest()


def _incomplete(table: Table, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    for name in names:
        if name not in table.names:
            raise unknown_column(name, table.names, subject="a column of data.clean.incomplete")
        series = table.series(name)
        missing = series.is_null() | series.is_nan().fill_null(False) if series.dtype.is_float() else series.is_null()
        for row in np.flatnonzero(missing.to_numpy()):
            yield int(row), f"`{name}` is missing"


def _repeats(table: Table, rows: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
    import polars as pl

    part = table.take(rows)
    frame = part.frame
    for name in part.paths:
        frame = frame.with_columns(pl.Series(name, part.contents(name), dtype=pl.String))
    first_N, _ = first_equal(frame, np.zeros(len(rows), dtype=np.int8))
    for place in np.flatnonzero(first_N != np.arange(len(rows))):
        yield int(rows[place]), f"equals row {rows[first_N[place]]}"


def _nearly(table: Table, rows: NDArray[np.int64], similarity: float) -> Iterator[tuple[int, str]]:
    from fermion.data.near import near

    found = near(table.take(rows), similarity)
    first: dict[int, tuple[int, float]] = {}
    for one, other, alike in zip(found.left.tolist(), found.right.tolist(), found.similarity.tolist(), strict=True):
        earlier, later = min(one, other), max(one, other)
        if later not in first or earlier < first[later][0]:
            first[later] = (earlier, alike)
    for place, (earlier, alike) in sorted(first.items()):
        yield int(rows[place]), f"is {alike:.1%} like row {rows[earlier]}"


def _far(
    table: Table, rows: NDArray[np.int64], plan: Outliers, targets: Sequence[str], private: Collection[str], seed: int
) -> Iterator[tuple[int, str]]:
    limit = LIMITS[plan.by] if plan.limit is None else plan.limit
    names = _numeric(table, plan, targets)
    if plan.by == "isolation":
        if plan.log:
            raise SpecError("data.clean.outliers: log", rule="with iqr or robust_z", given="isolation", remedy="Leave it out.")
        yield from _isolated(table, rows, names, limit, seed)
        return
    for name in names:
        x_N = _numbers(table.series(name))[rows]
        read_N = np.log(np.where(x_N > 0, x_N, np.nan)) if plan.log else x_N
        known_N = read_N[~np.isnan(read_N)]
        if not known_N.size:
            continue
        if plan.by == "iqr":
            q1, q3 = np.quantile(known_N, [0.25, 0.75])
            low, high = q1 - limit * (q3 - q1), q3 + limit * (q3 - q1)
        else:
            middle = float(np.median(known_N))
            spread = NORMAL * float(np.median(abs(known_N - middle)))
            low, high = middle - limit * spread, middle + limit * spread
        if not low < high:  # half of the values are one value: nothing to measure a distance by
            continue
        far = np.flatnonzero((read_N < low) | (read_N > high))
        low, high = (np.exp(low), np.exp(high)) if plan.log else (low, high)
        for place in far:
            told = "is far from the others" if name in private else f"is {x_N[place]:.6g}, outside {low:.6g} to {high:.6g}"
            yield int(rows[place]), f"`{name}` {told}"


def _isolated(table: Table, rows: NDArray[np.int64], names: Sequence[str], share: float, seed: int) -> Iterator[tuple[int, str]]:
    """Liu, Ting, Zhou 2008, "Isolation forest": rows that a few random cuts set apart; missing values stand at the median."""
    if not names or not len(rows):
        return
    if share >= 0.5:
        raise SpecError("data.clean.outliers: limit", rule="a share of the rows below 0.5 for an isolation forest", given=share)
    x_NF = np.stack([_numbers(table.series(name))[rows] for name in names], axis=1)
    middle_F = np.nanmedian(np.where(np.isnan(x_NF).all(axis=0), 0.0, x_NF), axis=0)
    x_NF = np.where(np.isnan(x_NF), middle_F, x_NF)
    forest: Any = load("sklearn.ensemble", extra="train").IsolationForest(
        n_estimators=TREES, max_samples=min(SAMPLE, len(rows)), random_state=seed
    )
    score_N = -forest.fit(x_NF).score_samples(x_NF)
    most = int(share * len(rows))
    for place in np.argsort(-score_N, kind="stable")[:most]:
        yield int(rows[place]), f"isolation score {score_N[place]:.3f}, among the {share:.2%} most isolated rows"


def _numeric(table: Table, plan: Outliers, targets: Sequence[str]) -> list[str]:
    if not plan.columns:
        return [name for name in table.names if name not in targets and _is_number(table.series(name))]
    for name in plan.columns:
        if name not in table.names:
            raise unknown_column(name, table.names, subject="a column of data.clean.outliers")
        if not _is_number(table.series(name)):
            given = Told(f"`{name}` with {table.series(name).dtype}")
            remedy = f"Repair its type first where the data come from, or leave it out: `columns:` without {name}."
            raise SpecError("a column of data.clean.outliers", rule="a number", given=given, remedy=remedy)
    return list(plan.columns)


def _is_number(series: pl.Series) -> bool:
    return series.dtype.is_numeric()


def _numbers(series: pl.Series) -> NDArray[np.float64]:
    import polars as pl

    return series.cast(pl.Float64).to_numpy()
