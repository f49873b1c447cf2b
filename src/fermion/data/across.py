"""What ties the parts of a split together that should be strangers: equal rows, entities, time, and plans made from the wrong rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fermion.core.declared import Lineage
from fermion.data import hints
from fermion.data.duplicates import BLOCK, hashed, repeats, rows_equal
from fermion.data.findings import Finding, View, finding, missing_of
from fermion.data.marks import TEST, TRAIN, Marks
from fermion.data.near import near
from fermion.data.strength import SAMPLE, Sought, read, strength

if TYPE_CHECKING:
    import polars as pl

NEAR, FILES = 20_000, 4_000  # rows that are searched for near duplicates; where pictures are files that are to be read first
SEEN = 0.005  # the share of rows with a near duplicate from which it is a warning
ENTITIES = 20  # different values at the least
SHARED = 0.05  # the share of test rows whose entity is in training
MOVES = 0.6  # the area under the curve (0.2: R2) by the row's time alone from which the data change in time


def across(
    view: View,
    features: Sequence[str],
    targets: Sequence[str],
    *,
    marks: Marks,
    time: str | None,
    made_from: Lineage | Mapping[str, Lineage] | None,
    training: str,
    similarity: float,
    classification: Mapping[str, bool],
) -> Iterator[Finding]:
    """Every finding about the split as a whole; for the arguments see `fermion.data.checks.check`."""
    yield from _lineage(view, marks, made_from, training)
    yield from _duplicates(view)
    yield from _near(view, features, similarity)
    yield from _entities(view, features, marks, time)
    if time is not None:
        yield from _time(view, targets, time, marks, classification)
        for name in features:
            yield from _later(view, name, time)


def _lineage(view: View, marks: Marks, made_from: Lineage | Mapping[str, Lineage] | None, training: str) -> Iterator[Finding]:
    if made_from is None:
        return
    from fermion.data.clean import part_digest

    training = training or part_digest(marks)
    for name, lineage in ({"": made_from} if isinstance(made_from, Lineage) else made_from).items():
        other = bool(lineage.split) and lineage.split != training
        if lineage.part == "train" and not other:
            continue
        yield finding(
            "fitted-outside-training",
            name,
            subject=f"the feature `{name}`" if name else "the cleaning plan",
            rule="made from the training part only",
            given="made from all rows, those for the test among them" if lineage.part != "train" else "made from another training part",
            score=1.0,
            rows=np.flatnonzero(view.codes == TEST)[:3],
            remedy="Make it again: `fermion data clean --suggest`." if not name else "Fit it again on the training part of this split.",
        )


def _duplicates(view: View) -> Iterator[Finding]:
    codes_N, n = view.codes, len(view)

    def equal(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        import polars as pl

        sides = [view.rows(view.names, rows) for rows in (left, right)]
        frames = [side.frame.with_columns(pl.Series(name, side.contents(name), dtype=pl.String) for name in side.paths) for side in sides]
        return rows_equal(pl.concat(frames), np.arange(len(left)), np.arange(len(left), 2 * len(left)))

    found = repeats(hashed(view.blocks(BLOCK)), codes_N, equal)
    within = found.rows[found.first_in_part != found.rows]
    if within.size:
        yield finding(
            "duplicates",
            "",
            subject="the rows of one part",
            rule="all different",
            given=f"{within.size:,} of {n:,} that repeat an earlier row, such as row {within[0]}",
            score=within.size / n,
            rows=within,
            remedy="Set repeated rows of the training part aside: `data.clean: {duplicates: exact}`.",
        )
    yield from _on_both_sides(view, found.rows[codes_N[found.rows] != codes_N[found.first]], len(view), "duplicates-across", "")


def _on_both_sides(view: View, rows: NDArray[np.int64], looked_at: int, kind: str, how: str) -> Iterator[Finding]:
    """The finding about rows that are in an earlier part, too: of the test part where there are any."""
    if not rows.size:
        return
    codes_N = view.codes
    judged = TEST if (codes_N[rows] == TEST).any() else int(codes_N[rows].max())
    hit = rows[codes_N[rows] == judged]
    part = "test" if judged == TEST else "validation"
    of = int((codes_N == judged).sum()) * looked_at / len(view)
    share = min(1.0, hit.size / max(1.0, of))
    counted = f"{hit.size:,} of {round(of):,}" + (f" (of {looked_at:,} rows that were looked at)" if looked_at < len(view) else "")
    yield finding(
        kind,
        "",
        subject=f"the rows of the {part} part",
        rule="different from those that a model was fitted or chosen on",
        given=f"{counted} that are {how}also in an earlier part",
        score=share,
        rows=hit,
        remedy="Drop repeated rows, or keep what belongs together in one part: `split: {by: group, column: COLUMN}`.",
        severity=None if kind == "duplicates-across" or share >= SEEN else "info",
    )


def _near(view: View, features: Sequence[str], similarity: float) -> Iterator[Finding]:
    """Rows that are nearly in an earlier part; equal rows are told elsewhere."""
    names = [name for name in features if name not in view.private or view.series(name).dtype.is_nested()] or list(features)
    if not names or len(view) < 2 or len(np.unique(view.codes)) < 2:
        return
    rows = _together(view, names)
    found = near(view.rows(names, rows), similarity)
    close = found.similarity < 1
    left, right = rows[found.left[close]], rows[found.right[close]]
    swap = view.codes[left] > view.codes[right]
    late, early = np.where(swap, left, right), np.where(swap, right, left)
    between = view.codes[late] != view.codes[early]
    order = np.argsort(-found.similarity[close][between], kind="stable")
    late = late[between][order]
    late = late[np.sort(np.unique(late, return_index=True)[1])]
    yield from _on_both_sides(view, late, len(rows), "near-duplicates-across", "nearly ")


def _together(view: View, names: Sequence[str]) -> NDArray[np.int64]:
    """Some of the rows, so drawn that near duplicates are in or out together: by the value of a column with many values; else at random."""
    n, most_rows = len(view), FILES if any(name in view.table.paths for name in names) else NEAR
    if n <= most_rows:
        return np.arange(n)
    head = np.random.default_rng(0).choice(n, 2_000, replace=False)
    best, most = "", 500
    for name in names:
        if view.table.series(name).dtype.is_nested() or name in view.table.paths:
            continue
        different = view.some(name, head).n_unique()
        if different > most:
            best, most = name, different
    if not best:
        return np.sort(np.random.default_rng(0).choice(n, most_rows, replace=False))
    hash_N = view.series(best).hash(seed=1).to_numpy()
    return np.flatnonzero(hash_N % np.uint64(-(-n // NEAR)) == 0)[: 2 * NEAR]


def _entities(view: View, features: Sequence[str], marks: Marks, time: str | None) -> Iterator[Finding]:
    import polars as pl

    train_N, test_N = view.codes == TRAIN, view.codes == TEST
    if marks.by == "group" or not test_N.any() or not train_N.any():
        return
    for name in features:
        series = view.table.series(name)
        if not _names_entities(series, name) or name in view.table.paths:
            continue
        series = view.series(name)
        known_N = ~missing_of(series)
        trained = series.filter(pl.Series(train_N & known_N))
        distinct = trained.unique()
        rows = np.flatnonzero(test_N & known_N)
        if len(distinct) < ENTITIES or len(trained) < 1.5 * len(distinct):
            continue
        both = rows[series.filter(pl.Series(test_N & known_N)).is_in(distinct.implode()).to_numpy()]
        if both.size >= SHARED * max(1, len(rows)):
            yield finding(
                "group-across",
                name,
                subject=f"each value of `{name}`, which names an entity,",
                rule="in one part only",
                given=f"{both.size:,} of {len(rows):,} test rows whose value is also in the training part",
                score=both.size / max(1, len(rows)),
                rows=both,
                remedy=f"If new ones are to be predicted: `split: {{by: group, column: {name}}}`. Leave the column itself out.",
                severity="info" if marks.by == "time" or (time is not None and time == marks.column) else None,
            )


def _names_entities(series: pl.Series, name: str) -> bool:
    """Whether values look like the names of things that have several rows: by the column's name, or texts with digits such as C-1093."""
    import polars as pl

    if not (series.dtype == pl.String or series.dtype.is_integer()):
        return False
    head = series.head(2_000).drop_nulls()
    if head.n_unique() < ENTITIES:
        return False
    if hints.names_entity(name):
        return True
    if series.dtype != pl.String:
        return False
    coded = head.str.contains(r"^\S*\d\S*$") & ~head.str.contains(r"^[\d.,:/<>=$%+-]*$") & (head.str.len_chars() >= 4)
    return float(coded.mean() or 0.0) > 0.8 and head.n_unique() >= 50  # type: ignore[arg-type]


def _moments(view: View, name: str) -> NDArray[np.float64] | None:
    import polars as pl

    series = view.series(name)
    if not (series.dtype.is_temporal() or series.dtype.is_numeric()):
        return None
    return _seconds(series).cast(pl.Float64).fill_null(np.nan).to_numpy()


def _seconds(series: pl.Series) -> pl.Series:
    """Dates and times in microseconds, numbers as they are."""
    import polars as pl

    return series.cast(pl.Datetime("us")).to_physical() if isinstance(series.dtype, pl.Date | pl.Datetime) else series.to_physical()


def _time(view: View, targets: Sequence[str], time: str, marks: Marks, classification: Mapping[str, bool]) -> Iterator[Finding]:
    t_N = _moments(view, time)
    train_N, test_N = view.codes == TRAIN, view.codes == TEST
    if t_N is None or not test_N.any() or not train_N.any():
        return
    if marks.by == "time" and marks.column == time:
        return
    last = float(np.nanmedian(t_N[train_N]))
    early = np.flatnonzero(test_N & (t_N < last))
    share = early.size / int(test_N.sum())
    if share > 0.75:
        yield finding(
            "time-backwards",
            time,
            subject="the rows of the test part",
            rule=f"later than those of the training part by `{time}`",
            given=f"{early.size:,} of {int(test_N.sum()):,} that lie before the middle of the training part",
            score=share,
            rows=early,
            remedy=f"Split by time: `split: {{by: time, column: {time}}}`.",
        )
    elif share > 0.25:
        moved, said = _moves(view, targets, t_N, classification)
        yield finding(
            "split-ignores-time",
            time,
            subject="the rows of the test part",
            rule=f"later than those of the training part by `{time}`",
            given=f"drawn from all times, {share:.0%} before the middle of the training part{said}",
            score=share,
            rows=early[:3],
            remedy=f"If the model is to predict what comes: `split: {{by: time, column: {time}}}`.",
            severity="warning" if moved else "info",
        )


def _moves(view: View, targets: Sequence[str], t_N: NDArray[np.float64], classification: Mapping[str, bool]) -> tuple[bool, str]:
    """Whether the time alone tells a target."""
    import polars as pl

    for target in targets:
        truth = view.series(target)
        rows = np.flatnonzero(~missing_of(truth) & ~np.isnan(t_N))
        if len(rows) > SAMPLE:
            rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLE, replace=False))
        column = read(pl.Series(t_N[rows]))
        classes = classification[target]
        if column is None or len(rows) < 100 or truth.dtype.is_nested() or not (classes or truth.dtype.is_numeric()):
            continue
        told = strength(column, Sought.of(view.some(target, rows), classes=classes))
        if told.low >= (MOVES if classes else 0.2):
            return True, f", and the time alone tells `{target}` with {told.score:.2f}"
    return False, ""


def _later(view: View, name: str, time: str) -> Iterator[Finding]:
    """A time that lies after the row's own: it was not known then, unless it was planned."""
    import polars as pl

    series = view.table.series(name)
    if name == time or not isinstance(series.dtype, pl.Date | pl.Datetime):
        return
    own = view.series(time)
    if not isinstance(own.dtype, pl.Date | pl.Datetime):
        return
    # dates hold a whole day: a date is later only from the next day on
    unit = pl.Date() if pl.Date in (series.dtype, own.dtype) else pl.Datetime("us")
    later = np.flatnonzero((view.series(name).cast(unit) > own.cast(unit)).fill_null(False).to_numpy())
    if later.size:
        share = later.size / len(view)
        yield finding(
            "later-than-row",
            name,
            subject=f"column `{name}`",
            rule=f"not later than the row's time `{time}`",
            given=f"{later.size:,} of {len(view):,} rows in which it is later",
            score=share,
            rows=later,
            remedy=f"Leave it out unless it is planned ahead: `data.ignore: [{name}]`.",
            severity="warning" if share >= 0.01 else "info",
        )
