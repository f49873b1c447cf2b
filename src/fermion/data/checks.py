"""What is wrong with the data, found before a model is fitted, with the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Column
from fermion.columns.infer import is_language
from fermion.core.declared import Expectation, Lineage
from fermion.core.errors import DataError, Told, did_you_mean
from fermion.data import hints
from fermion.data.across import across
from fermion.data.expectations import unmet
from fermion.data.findings import KINDS, Accepted, Finding, Severity, View, each, finding, ignoring, missing_of
from fermion.data.leaks import leaks
from fermion.data.marks import TRAIN, Marks
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KINDS", "Finding", "Severity", "check", "refuse"]

MANY_MISSING = 0.5
TOKEN = 40  # characters on average: longer texts are something to read, not the name of a row
FEW = 200  # rows: of fewer, numbers that are measured may well rise or be nearly all different
NEARLY = 0.99  # the share of different values in a column that numbers rows
LOOKED = 10_000  # rows that are looked at before all of them are


def check(
    table: Table,
    *,
    targets: tuple[str, ...],
    marks: Marks,
    classification: Mapping[str, bool],
    accept: tuple[str, ...] = (),
    time: str | None = None,
    expect: tuple[Expectation, ...] = (),
    columns: Mapping[str, Column] | None = None,
    made_from: Lineage | Mapping[str, Lineage] | None = None,
    training: str = "",
    private: frozenset[str] = frozenset(),
    texts: frozenset[str] = frozenset(),
    similarity: float = 0.8,
) -> list[Finding]:
    """Everything that is found, errors first, then by score.

    All columns but the targets are taken as features, so ignored columns must be gone from the table. Duplicates across the split are
    a warning: equal rows are evidence of a leak for pictures and texts, and normal for a few coarse columns. Rows that are left
    out of the split are not looked at. Missing values, constants, equal rows and expectations are exact; what a column
    tells of the target is measured on up to 32,768 rows, near duplicates on up to about 20,000.

    >>> table = Table.of({"a": [1, 2, 3, 4], "copy": [0, 1, 0, 1], "y": [0, 1, 0, 1]})
    >>> marks = Marks(codes=np.array([0, 0, 1, 2], np.int8), by="random")
    >>> [finding.kind for finding in check(table, targets=("y",), marks=marks, classification={"y": True})]
    ['leak', 'identifier']

    Args:
        classification: target to whether it is classes.
        accept: findings that are reported and do not stop a fit: kinds, or `kind:column`.
        time: the column that says when a row happened; the one that splits by time when left out.
        expect: what must hold of the data.
        columns: columns through whose repair expectations read values; texts are compared as they stand for others.
        made_from: what a cleaning plan, or each feature by name, was made from.
        training: the digest of the training part (`fermion.data.clean.part_digest`) before rows were set aside; that of `marks`
            when left out.
        private: columns whose values are not shown in any message.
        texts: columns that are declared as texts, whose words are learned from, so that no two rows need to share a value.
        similarity: how alike near duplicates are at the least.

    Raises:
        SpecError: `accept` names a kind or a column that does not exist, an expectation one that does not exist.
    """
    accepted = Accepted(accept, [*table.names, *targets])
    view = View(table, marks.codes, private)
    if time is None and marks.by == "time":
        time = marks.column
    time = time if time in table.names else None
    present = tuple(target for target in targets if target in table.names)
    features = [name for name in table.names if name not in targets]
    found = [_absent(target, table) for target in targets if target not in present]
    for target in present:
        found += _of_target(view, target, classification[target], several=len(targets) > 1)
    for some in each(lambda name: list(_of_feature(view, name, unique=name == time or name in texts)), features):
        found += some
    for target in present:
        found += leaks(view, features, target, classes=classification[target], time=time)
    found += across(
        view, features, present, marks=marks, time=time, made_from=made_from, training=training, similarity=similarity,
        classification=classification,
    )  # fmt: skip
    found += unmet(view, expect, columns)
    settled = [accepted.settled(view.numbered(one)) for one in found]
    order = ("error", "warning", "info")
    return sorted(settled, key=lambda one: (order.index(one.severity), -one.score))


def refuse(findings: Sequence[Finding]) -> None:
    """Stop where a finding is an error.

    Raises:
        DataError: with the first such finding, and how many more there are.
    """
    errors = [one for one in findings if one.severity == "error"]
    if errors:
        first = errors[0]
        raise DataError(
            "the data",
            rule="free of findings that stop a fit",
            given=Told(f"{len(errors)}, the first `{first.kind}`: {first.message.rstrip('.')}"),
            remedy=first.remedy,
            where=f"row {first.rows[0]}" if first.rows else "",
        )


def _absent(target: str, table: Table) -> Finding:
    return finding(
        "target-missing",
        target,
        subject=f"the target `{target}`",
        rule="a column of the data",
        given=f"the columns {', '.join(table.names[:12])}",
        score=1.0,
        remedy=did_you_mean(target, table.names) or "Name a column as `data.target`.",
    )


def _of_target(view: View, target: str, classes: bool, *, several: bool) -> Iterator[Finding]:
    series = view.series(target)
    missing_N = missing_of(series)
    missing = np.flatnonzero(missing_N)
    if missing.size:
        yield finding(
            "target-nulls",
            target,
            subject=f"the target `{target}`",
            rule="known in every row",
            given=f"{missing.size:,} missing of {len(view):,}",
            score=missing.size / len(view),
            rows=missing,
            severity="info" if several else None,  # with several targets a missing one is left out of that target's loss
            remedy="Rows without it are left out for this target only."
            if several
            else "Leave these rows out: `data.drop_unlabelled: true`.",
        )
    if classes:
        yield from _of_classes(view, series, ~missing_N, target)


def _of_classes(view: View, series: pl.Series, known_N: NDArray[np.bool_], target: str) -> Iterator[Finding]:
    import polars as pl

    rows = pl.DataFrame({"class": series, "trained": view.codes == TRAIN, "row": np.arange(len(series))}).filter(pl.Series(known_N))
    classes = rows.group_by("class").agg(pl.len().alias("rows"), pl.col("trained").any(), pl.col("row").min()).sort("row")
    once = classes.filter(pl.col("rows") == 1)
    if once.height:
        yield finding(
            "rare-class",
            target,
            subject=f"each class of `{target}`",
            rule="seen in at least two rows",
            given=f"one row of {view.listed(target, once['class'].to_list())}",
            score=once.height / classes.height,
            rows=once["row"].to_numpy(),
            remedy="Join rare classes into one, drop these rows, or collect more.",
        )
    unseen = classes.filter(~pl.col("trained"))
    if unseen.height:
        where = rows.join(unseen.select("class"), on="class", how="semi", maintain_order="left")
        yield finding(
            "unseen-class",
            target,
            subject=f"each class of `{target}` in validation and test",
            rule="in the training part too",
            given=f"{view.listed(target, unseen['class'].to_list())}, which is not",
            score=where.height / max(1, int((view.codes != TRAIN).sum())),
            rows=where["row"].to_numpy(),
            remedy="Keep every class in training: `split: {by: stratified}`, or join rare classes into one.",
        )


def _of_feature(view: View, name: str, *, unique: bool) -> Iterator[Finding]:
    import polars as pl

    series = view.series(name)
    missing_N = missing_of(series)
    missing = np.flatnonzero(missing_N)
    if missing.size:
        share = missing.size / len(series)
        yield finding(
            "nulls",
            name,
            subject=f"column `{name}`",
            rule="known in every row" if share < MANY_MISSING else "known in most rows",
            given=f"{missing.size:,} missing of {len(series):,}",
            score=share,
            rows=missing,
            severity="warning" if share >= MANY_MISSING else "info",
            remedy=f"{ignoring(name)} Or, where training happens to have none: `data.columns: {{{name}: {{missing: accept}}}}`.",
        )
    first = np.flatnonzero(view.codes[:LOOKED] == TRAIN)
    maybe = _is_constant(series.gather(first[:100]))  # most columns are told from a constant by a few rows
    trained = series.filter(pl.Series(view.codes == TRAIN)) if maybe else series.head(0)
    if len(trained) > 1 and _is_constant(trained):
        picture = isinstance(series.dtype, pl.Array)
        yield finding(
            "constant",
            name,
            subject=f"column `{name}`",
            rule="more than one value in the training part",
            given="one picture" if picture else f"{view.shown(name, trained[0])} in all {len(trained):,} rows",
            score=1.0,
            remedy=ignoring(name),
        )
    elif not unique and name not in view.table.paths and len(series) > 2 and (what := _numbers_rows(series, name, missing.size)):
        example = series.drop_nulls()[0]
        yield finding(
            "identifier",
            name,
            subject=f"column `{name}`",
            rule="shared by rows, so that something can be learned from it",
            given=f"{what} in {len(series) - missing.size:,} rows, such as {view.shown(name, example)}",
            score=1.0,
            rows=np.flatnonzero(~missing_N)[:3],
            remedy=ignoring(name),
        )


def _is_constant(series: pl.Series) -> bool:
    return not len(series) or bool(series.eq_missing(series.new_from_index(0, len(series))).all())


def _numbers_rows(series: pl.Series, name: str, missing: int) -> str:
    """How a column names each row, or ''.

    Short texts that are all different do, and whole numbers that count, that rise with the rows or that are called keys. Sentences do not;
    numbers that are measured are nearly all different, too, and so are the moments of events. None of these names a row.
    """
    import polars as pl

    present = len(series) - missing
    text = series.dtype == pl.String
    if present < 3 or not (text or series.dtype.is_integer() or series.dtype.is_float()):
        return ""
    known = series.drop_nulls()
    if series.dtype.is_float():
        known = known.drop_nans()
        if not hints.names_key(name) or not bool((known.head(1000) == known.head(1000).round(0)).all()):
            return ""
    head = known.head(2000)
    if head.n_unique() < NEARLY * len(head) or (text and float(str(head.str.len_chars().mean())) > TOKEN):
        return ""
    if text and is_language(head.to_list()):
        return ""
    if present > LOOKED and int(str(known.approx_n_unique())) < 0.9 * NEARLY * present:  # it is off by a few hundredths at the most
        return ""
    different = known.n_unique()
    if different == present and text:
        return "another value"
    if different < NEARLY * present or (text and present < FEW):
        return ""
    if text:
        return f"{different:,} different values"
    low, high = known.min(), known.max()
    if different == present and isinstance(low, int) and isinstance(high, int) and high - low == present - 1:
        return "a running number"
    if present < FEW:
        return ""
    step = known.diff().drop_nulls()
    if bool((step > 0).all()) or bool((step < 0).all()):
        return "a number that follows the order of the rows"
    return "a key" if hints.names_key(name) else ""
