"""Columns that say the target: because they are it, tell it alone, came after it, or were made from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.data import hints
from fermion.data.findings import Finding, Severity, View, each, finding, ignoring, missing_of
from fermion.data.marks import TRAIN
from fermion.data.strength import (
    SAMPLE,
    Numbers,
    Read,
    Sought,
    Strength,
    expected,
    of_missing,
    ranks_of,
    read,
    reference,
    strength,
)

if TYPE_CHECKING:
    import polars as pl

STRONG, SUSPICIOUS, HINTED, CERTAIN = 0.95, 0.8, 0.65, 0.99  # lower ends of scores: areas under the curve, R2
WORDS = 0.9  # the area for a column of as few values as there are classes: the target in other words, with errors
TIMES, APART = 2.0, 1.15  # the separation over that of the good columns, and over the next best
LEAST = 0.3  # the separation of a column that tells a little (an area of 0.58): what columns are measured against at the least
GAPS = 0.02  # a column whose missing values alone tell nearly as much as the whole tells nothing by its values
OTHERS = 3  # columns to compare with


class Suspect(Struct, frozen=True, kw_only=True, eq=False):
    """One column and what it tells of the target."""

    name: str
    column: Read
    told: Strength
    hint: str  # why its name or its values place it after the outcome
    looks: str  # why its values look like what someone said about the target


def leaks(view: View, names: Sequence[str], target: str, *, classes: bool, time: str | None = None) -> Iterator[Finding]:
    """Every column that says the target, at most one finding for each.

    A column is measured by how well it tells the target alone, on rows that it was not learned from (`fermion.data.strength`), and
    against the other columns: a column that is far better than the good ones of the same table is suspicious, a strong one among
    strong ones is not. From 32,768 rows on a sample of so many is looked at.

    Args:
        names: the feature columns.
        classes: whether the target is classes.
        time: the column that says when a row happened.
    """
    truth = view.series(target)
    known_N = ~missing_of(truth)
    rows = np.flatnonzero(known_N)
    if len(rows) < 2 or truth.dtype.is_nested() or not (classes or truth.dtype.is_numeric()):
        return
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLE, replace=False))
    drawn = truth.gather(rows)
    sought = Sought.of(drawn, classes=classes)

    def looked(name: str) -> Finding | Suspect | None:
        if name in view.table.paths:
            return None
        some = view.some(name, rows)
        if (same := _same(view, name, some, drawn, truth, target, classes)) is not None:
            return same
        column = read(some)
        if column is None:
            return None
        told = strength(column, sought)
        if time is not None and name != time and some.dtype.is_temporal():
            told = max(told, _after(column, read(view.some(time, rows)), sought), key=lambda one: one.low)
        level, hint = hints.of_levels(column.names)
        hint = hints.of_name(name, target) or (hint and f"{hint}, {view.shown(name, level)}")
        suspect = Suspect(name=name, column=column, told=told, hint=hint, looks=_looks_said(column, told, sought))
        return _made_from(view, suspect, truth, drawn, target, sought) or suspect

    all_of_them = each(looked, names)
    yield from (one for one in all_of_them if isinstance(one, Finding))
    found = [one for one in all_of_them if isinstance(one, Suspect)]
    yield from _judged(view, found, target, sought, rows)


def _same(view: View, name: str, some: pl.Series, drawn: pl.Series, truth: pl.Series, target: str, classes: bool) -> Finding | None:
    """A column that equals the target or names its classes otherwise, compared on all rows where the sample leaves it open."""
    import polars as pl

    if some.dtype.is_nested() or not _could_be(some, drawn):
        return None
    feature = view.series(name)
    known = pl.Series(~missing_of(feature) & ~missing_of(truth))
    pair = pl.DataFrame({"feature": feature, "target": truth})
    pair = pair if known.all() else pair.filter(known)
    if pair.height < 2:
        return None
    if _equal(pair["feature"], pair["target"]):
        given = f"equal to it in all {pair.height:,} rows that have both"
    elif classes and _one_to_one(pair):
        given = f"one value of it for each class, in all {pair.height:,} rows that have both"
    else:
        return None
    return finding(
        "leak",
        name,
        subject=f"column `{name}`",
        rule=f"known before the target `{target}` is",
        given=given,
        score=1.0,
        rows=np.flatnonzero(known.to_numpy())[:3],
        remedy=ignoring(name),
    )


def _could_be(feature: pl.Series, truth: pl.Series) -> bool:
    """Whether some rows leave it open that a column is the target: a thousand tell most columns from it."""
    import polars as pl

    feature, truth = feature.head(1000), truth.head(1000)
    pair = pl.DataFrame({"feature": feature, "target": truth}).filter(pl.Series(~missing_of(feature) & ~missing_of(truth)))
    values, classes = pair["feature"].n_unique(), pair["target"].n_unique()
    return pair.height < 2 or (values == classes and pair.unique().height == classes)


def _equal(feature: pl.Series, truth: pl.Series) -> bool:
    """Whether a column says the same as the target, also where it is 0 and 1 for false and true."""
    import polars as pl

    numbers = [series.cast(pl.UInt8) if series.dtype == pl.Boolean else series for series in (feature, truth)]
    if feature.dtype != truth.dtype and not all(series.dtype.is_numeric() for series in numbers):
        return False
    return truth.n_unique() > 1 and bool((numbers[0] == numbers[1]).all())


def _one_to_one(pair: pl.DataFrame) -> bool:
    """Whether values and classes are the same thing under two names; of a few rows nearly any column is."""
    classes = pair["target"].n_unique()
    if classes < 2 or 2 * classes > pair.height:
        return False
    return pair["feature"].n_unique() == classes and pair.unique().height == classes


def _after(column: Read, time: Read | None, sought: Sought) -> Strength:
    """What the distance of a time to the row's time tells."""
    assert column.numbers is not None
    if time is None or time.numbers is None:
        return strength(column, sought)
    import polars as pl

    apart = read(pl.Series(column.numbers - time.numbers))
    assert apart is not None
    return strength(apart, sought)


def _looks_said(column: Read, told: Strength, sought: Sought) -> str:
    """Numbers spread over 0 to 1 that rise or fall with the share of a class are what a model or an expert said about it."""
    if not sought.classes or column.numbers is None or told.low < 0.7 or column.missing.all():
        return ""
    known = ~column.missing
    x_N = column.numbers[known]
    low, high = float(x_N.min()), float(x_N.max())
    if not (0 <= low <= 0.05 and 0.9 <= high <= 1):
        return ""
    values, counts = np.unique(x_N, return_counts=True)
    if len(values) < 8 or counts.max() > 0.5 * len(x_N):
        return ""
    fitted = expected(column.codes, sought)[column.codes[known]]
    rising = np.corrcoef(ranks_of(x_N), ranks_of(fitted))[0, 1] if fitted.std() > 0 else 0.0
    return "its values lie between 0 and 1 and go with the share of a class, as a prediction does" if abs(rising) > 0.9 else ""


def _made_from(view: View, one: Suspect, truth: pl.Series, drawn: pl.Series, target: str, sought: Sought) -> Finding | None:
    """The mean of the target over groups, its own row among them: in each group of equal values the target's mean is that value."""
    x_N, known = one.column.numbers, ~one.column.missing
    if x_N is None or not view.table.series(one.name).dtype.is_float() or known.sum() < 100:
        return None
    x_N = x_N[known]
    spread = float(x_N.std())
    if spread == 0 or len(np.unique(x_N)) > 0.9 * len(x_N):
        return None
    for label, whole_N in _indicators(drawn, sought):
        y_N = whole_N[known]
        y_spread = float(y_N.std())
        if y_spread == 0 or abs(float(x_N.mean() - y_N.mean())) > 0.1 * y_spread:
            continue
        correlation = float(np.corrcoef(x_N, y_N)[0, 1])
        slope = correlation * y_spread / spread
        if correlation < 0.1 or not 0.5 < slope < 2:
            continue
        rows = _equal_means(view, view.series(one.name), truth, label, sought)
        if rows.size:
            given = f"the mean of the target over its own group of rows: {rows.size:,} of its values are the target's mean where they stand"
            severity: Severity = "error"
        elif 0.9 < slope < 1.1 and correlation > 0.3 and _mode(x_N) < 0.5:
            given = "on average equal to the target at each of its values, as a mean or a prediction of the target is"
            severity = "warning"
        else:
            continue
        return finding(
            "estimate",
            one.name,
            subject=f"column `{one.name}`",
            rule=f"made without the target `{target}` of the same rows",
            given=given,
            score=max(0.0, correlation),
            rows=rows,
            remedy=f"{ignoring(one.name)} Or let a category be encoded out of fold: `data.columns: {{CATEGORY: {{encode: target}}}}`.",
            severity=severity,
        )
    return None


def _mode(x_N: Numbers) -> float:
    """The share of the most frequent value."""
    return float(np.unique(x_N, return_counts=True)[1].max()) / len(x_N)


def _indicators(drawn: pl.Series, sought: Sought) -> Iterator[tuple[object, Numbers]]:
    """The target as a number; or for each class (the rarer one of two) its name and where it is."""
    if not sought.classes:
        yield None, np.asarray(sought.values, dtype=np.float64)
        return
    order = np.argsort(sought.shares, kind="stable")
    for k in order[:1] if len(order) == 2 else order:
        there_N = sought.values == int(k)
        yield drawn[int(np.argmax(there_N))], there_N.astype(np.float64)


def _equal_means(view: View, feature: pl.Series, truth: pl.Series, label: object, sought: Sought) -> NDArray[np.int64]:
    """A row for each value that is the mean of the target over all rows, or all training rows, with it; none unless that holds for most."""
    import polars as pl

    if sought.classes:
        truth = (truth == label).cast(pl.Float64)
    frame = pl.DataFrame({"x": feature, "y": truth.cast(pl.Float64), "row": np.arange(len(truth))})
    frame = frame.filter(pl.Series(~missing_of(feature)), pl.col("y").is_not_null())
    for part in (None, TRAIN):
        some = frame if part is None else frame.filter(pl.Series(view.codes == part).gather(frame["row"]))
        groups = some.group_by("x").agg(pl.col("y").mean(), pl.len(), pl.col("row").min()).filter(pl.col("len") > 1)
        same = groups.filter((pl.col("x") - pl.col("y")).abs() <= 1e-6 * pl.col("y").abs() + 1e-9).sort("row")
        if same.height > 2 and same["len"].sum() >= 0.9 * some.height:
            return same["row"].to_numpy()
    return np.empty(0, dtype=np.int64)


def _judged(view: View, found: Sequence[Suspect], target: str, sought: Sought, rows: NDArray[np.int64]) -> Iterator[Finding]:
    """Errors from the strongest on, each measured against what is not suspicious so far; then warnings, then missing values."""
    left = sorted(found, key=lambda one: (-one.told.separation, one.name))
    innocent = [one for one in left if not (one.hint or one.looks) or one.told.low < HINTED]
    told: list[tuple[Suspect, str, Severity]] = []
    for one in left:
        others = [other.told for other in innocent if other is not one]
        ahead = one.told.separation / max(reference(others), LEAST) if len(others) >= OTHERS else 0.0
        if (kind := _stops(one, ahead, sought)) and (len(left) > 1 or kind != "predicts-alone"):  # alone it has nothing to be better than
            told.append((one, kind, "error"))
            innocent = [other for other in innocent if other is not one]
    known = {id(one) for one, _, _ in told}
    for one in (one for one in left if id(one) not in known):
        others = [other.told for other in innocent if other is not one]
        ahead = one.told.separation / max(reference(others), LEAST) if len(others) >= OTHERS else 0.0
        next_best = max([other.separation for other in others if other.separation <= one.told.separation], default=0.0)
        if (one.hint or one.looks) and one.told.low >= HINTED and (sought.classes or ahead >= 1):
            told.append((one, "known-after", "warning"))
        elif _stands_out(one, ahead, next_best, sought):
            told.append((one, "predicts-alone", "warning"))
    flagged: set[int] = set()
    for one, kind, severity in told:
        by_gaps = kind == "predicts-alone" and of_missing(one.column, sought).low >= one.told.low - GAPS
        if not by_gaps:  # else it is told below, and more exactly
            flagged.add(id(one))
            yield _of(one, kind, severity, target, sought, rows)
    for one in found:
        share = float(one.column.missing.mean())
        if id(one) not in flagged and 0.005 <= share <= 0.995:
            yield from _missing(view, one, target, sought, rows)


def _stops(one: Suspect, ahead: float, sought: Sought) -> str:
    """The kind of an error, or ''."""
    told, levels = one.told, int(one.column.codes.max(initial=0))
    after = bool(one.hint or one.looks)
    if told.low >= CERTAIN or (told.low >= STRONG and ahead >= TIMES):
        return "known-after" if after else "predicts-alone"
    if not sought.classes or told.low < WORDS:
        return ""
    if after and ahead >= TIMES:
        return "known-after"
    few = len(sought.shares)
    return "predicts-alone" if (levels <= few and ahead >= 1.1) or (levels <= 4 * few and ahead >= TIMES) else ""


def _stands_out(one: Suspect, ahead: float, next_best: float, sought: Sought) -> bool:
    """Whether a column is far better than the good ones, and than the next; or has as few values as there are classes and is strong."""
    told, clearly = one.told, SUSPICIOUS + 0.05
    if sought.classes and told.low >= clearly and int(one.column.codes.max(initial=0)) <= len(sought.shares):
        return True
    if ahead < TIMES:
        return False
    tells_one_class = told.best >= clearly + 0.15
    return told.low >= clearly or tells_one_class or (told.low >= SUSPICIOUS and told.separation >= APART * next_best)


def _of(one: Suspect, kind: str, severity: Severity, target: str, sought: Sought, rows: NDArray[np.int64]) -> Finding:
    measure = "an area under the curve" if sought.classes else "a share of explained variance"
    why = " and ".join(word for word in (one.hint, one.looks) if word)
    alone = f"a column that tells it alone with {measure} of {one.told.score:.3f}"
    return finding(
        kind,
        one.name,
        subject=f"column `{one.name}`",
        rule=f"known before the target `{target}` is",
        given=f"{alone}; {why}" if why else f"{alone}, far better than the other columns",
        score=one.told.score,
        rows=rows[_telling(one.column, sought)],
        remedy=f"Leave it out unless it is known when a prediction is asked for: `data.ignore: [{one.name}]`.",
        severity=severity,
    )


def _telling(column: Read, sought: Sought) -> NDArray[np.int64]:
    """The rows whose level says most, in either direction."""
    said = expected(column.codes, sought)[column.codes]
    order = np.argsort(said, kind="stable")
    return np.unique(np.concatenate([order[:5], order[-5:]]))


def _missing(view: View, one: Suspect, target: str, sought: Sought, rows: NDArray[np.int64]) -> Iterator[Finding]:
    told = of_missing(one.column, sought)
    low = max(told.low, told.best)  # for one class of several that is enough
    if low < (HINTED if sought.classes else 0.2):
        return
    certain = low >= (WORDS if sought.classes else 0.8)
    measure = "an area under the curve" if sought.classes else "a share of explained variance"
    yield finding(
        "missing-tells",
        one.name,
        subject=f"whether column `{one.name}` is missing",
        rule=f"known before the target `{target}` is",
        given=f"{measure} of {told.score:.3f} by that alone, with {float(one.column.missing.mean()):.0%} missing",
        score=told.score,
        rows=rows[np.flatnonzero(one.column.missing)[:10]],
        remedy=f"{ignoring(one.name)} Or make sure that it is as often missing when a prediction is asked for.",
        severity="error" if certain else "warning",
    )
