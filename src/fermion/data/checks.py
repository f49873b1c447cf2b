"""What is wrong with the data, found before a model is fitted, with the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import DataError, SpecError, Told, did_you_mean, shortened
from fermion.data.duplicates import first_equal
from fermion.data.split import OUT, TEST, TRAIN, Marks
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

Severity = Literal["error", "warning", "info"]
EVIDENCE = 10  # rows at most
MANY_MISSING = 0.5

KINDS: dict[str, Severity] = {
    "target-missing": "error",  # the target is no column
    "target-nulls": "error",  # rows without a value of the target
    "unseen-class": "error",  # a class in validation or test that training does not have
    "leak": "error",  # a column that is the target, or its classes under other names
    "duplicates-across": "warning",  # rows of one part that are also in an earlier one
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


def check(
    table: Table, *, targets: tuple[str, ...], marks: Marks, classification: Mapping[str, bool], accept: tuple[str, ...] = ()
) -> list[Finding]:
    """Everything that is found, errors first, then by score.

    All columns but the targets are taken as features, so ignored columns must be gone from the table. Duplicates across the split are
    a warning: equal rows are evidence of a leak for pictures and texts, and normal for a few coarse columns. Rows that are left
    out of the split are not looked at.

    >>> table = Table.of({"a": [1, 2, 3, 4], "copy": [0, 1, 0, 1], "y": [0, 1, 0, 1]})
    >>> marks = Marks(codes=np.array([0, 0, 1, 2], np.int8), by="random")
    >>> [finding.kind for finding in check(table, targets=("y",), marks=marks, classification={"y": True})]
    ['leak', 'identifier']

    Args:
        classification: target to whether it is classes.
        accept: kinds that are reported and do not stop a fit.

    Raises:
        SpecError: `accept` names a kind that does not exist.
    """
    for kind in accept:
        if kind not in KINDS:
            raise SpecError("checks.accept", rule=f"made of {', '.join(KINDS)}", given=kind, remedy=did_you_mean(kind, KINDS))
    used = np.flatnonzero(marks.codes != OUT)
    if len(used) < len(table):
        table, codes_N = table.take(used), marks.codes[used]
    else:
        codes_N = marks.codes
    present = tuple(target for target in targets if target in table.names)
    found = [_absent(target, table) for target in targets if target not in present]
    for target in present:
        found += _of_target(table, target, codes_N, classification[target], several=len(targets) > 1)
    for name in table.names:
        if name not in targets:
            found += _of_feature(table, name, codes_N)
            found += [finding for target in present for finding in _leaks(table, name, target, classification[target])]
    found += _duplicates(table, codes_N)
    numbered = [_with(finding, used, finding.kind in accept) for finding in found]
    order = ("error", "warning", "info")
    return sorted(numbered, key=lambda finding: (order.index(finding.severity), -finding.score))


def refuse(findings: Sequence[Finding]) -> None:
    """Stop where a finding is an error.

    Raises:
        DataError: with the first such finding, and how many more there are.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        first = errors[0]
        raise DataError(
            "the data",
            rule="free of findings that stop a fit",
            given=Told(f"{len(errors)}, the first `{first.kind}`: {first.message.rstrip('.')}"),
            remedy=first.remedy,
            where=f"row {first.rows[0]}" if first.rows else "",
        )


def _with(finding: Finding, used: NDArray[np.int64], accepted: bool) -> Finding:
    """With the row numbers of the whole table, and as a warning where it was accepted."""
    fields: dict[str, object] = {name: getattr(finding, name) for name in finding.__struct_fields__}
    fields["rows"] = tuple(int(used[row]) for row in finding.rows[:EVIDENCE])
    if finding.severity == "error" and accepted:
        fields |= {"severity": "warning", "message": f"{finding.message} Accepted by checks.accept."}
    elif finding.severity == "error" and finding.kind not in ("target-missing", "target-nulls"):
        fields["remedy"] = f"{finding.remedy} To go on all the same: `checks: {{accept: [{finding.kind}]}}`."
    return Finding(**fields)  # type: ignore[arg-type]


def _finding(
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
    message = DataError(subject, rule=rule, given=Told(given)).message
    shown = tuple(int(row) for row in rows[:EVIDENCE])
    return Finding(
        kind=kind, column=column, severity=severity or KINDS[kind], score=round(float(score), 6), rows=shown, message=message, remedy=remedy
    )


def _absent(target: str, table: Table) -> Finding:
    return _finding(
        "target-missing",
        target,
        subject=f"the target `{target}`",
        rule="a column of the data",
        given=f"the columns {', '.join(table.names[:12])}",
        score=1.0,
        remedy=did_you_mean(target, table.names) or "Name a column as `data.target`.",
    )


def _of_target(table: Table, target: str, codes_N: NDArray[np.int8], classes: bool, *, several: bool) -> Iterator[Finding]:
    missing_N = _is_missing(table.series(target))
    missing = np.flatnonzero(missing_N)
    if missing.size:
        yield _finding(
            "target-nulls",
            target,
            subject=f"the target `{target}`",
            rule="known in every row",
            given=f"{missing.size:,} missing of {len(table):,}",
            score=missing.size / len(table),
            rows=missing,
            severity="info" if several else None,  # with several targets a missing one is left out of that target's loss
            remedy="Rows without it are left out for this target only."
            if several
            else "Leave these rows out: `data.drop_unlabelled: true`.",
        )
    if classes:
        yield from _of_classes(table.series(target), ~missing_N, target, codes_N)


def _of_classes(series: pl.Series, known_N: NDArray[np.bool_], target: str, codes_N: NDArray[np.int8]) -> Iterator[Finding]:
    import polars as pl

    rows = pl.DataFrame({"class": series, "trained": codes_N == TRAIN, "row": np.arange(len(series))}).filter(pl.Series(known_N))
    classes = rows.group_by("class").agg(pl.len().alias("rows"), pl.col("trained").any(), pl.col("row").min()).sort("row")
    once = classes.filter(pl.col("rows") == 1)
    if once.height:
        yield _finding(
            "rare-class",
            target,
            subject=f"each class of `{target}`",
            rule="seen in at least two rows",
            given=f"one row of {_listed(once['class'].to_list())}",
            score=once.height / classes.height,
            rows=once["row"].to_numpy(),
            remedy="Join rare classes into one, drop these rows, or collect more.",
        )
    unseen = classes.filter(~pl.col("trained"))
    if unseen.height:
        where = rows.join(unseen.select("class"), on="class", how="semi", maintain_order="left")
        yield _finding(
            "unseen-class",
            target,
            subject=f"each class of `{target}` in validation and test",
            rule="in the training part too",
            given=f"{_listed(unseen['class'].to_list())}, which is not",
            score=where.height / max(1, int((codes_N != TRAIN).sum())),
            rows=where["row"].to_numpy(),
            remedy="Keep every class in training: `split: {by: stratified}`, or join rare classes into one.",
        )


def _of_feature(table: Table, name: str, codes_N: NDArray[np.int8]) -> Iterator[Finding]:
    import polars as pl

    series = table.series(name)
    missing_N = _is_missing(series)
    missing = np.flatnonzero(missing_N)
    ignore = f"Leave it out: `data.ignore: [{name}]`."
    if missing.size:
        share = missing.size / len(series)
        yield _finding(
            "nulls",
            name,
            subject=f"column `{name}`",
            rule="known in every row" if share < MANY_MISSING else "known in most rows",
            given=f"{missing.size:,} missing of {len(series):,}",
            score=share,
            rows=missing,
            severity="warning" if share >= MANY_MISSING else "info",
            remedy=f"{ignore} Or, where training happens to have none: `data.columns: {{{name}: {{missing: accept}}}}`.",
        )
    trained = series.filter(pl.Series(codes_N == TRAIN))
    if len(trained) > 1 and _is_constant(trained):
        yield _finding(
            "constant",
            name,
            subject=f"column `{name}`",
            rule="more than one value in the training part",
            given=f"{shortened(trained[0])} in all {len(trained):,} rows" if not isinstance(series.dtype, pl.Array) else "one picture",
            score=1.0,
            remedy=ignore,
        )
    elif name not in table.paths and len(series) > 2 and _tells_apart(series, missing.size):
        yield _finding(
            "identifier",
            name,
            subject=f"column `{name}`",
            rule="shared by rows, so that something can be learned from it",
            given=f"another value in each of {len(series) - missing.size:,} rows, such as {shortened(series.drop_nulls()[0])}",
            score=1.0,
            rows=np.flatnonzero(~missing_N)[:3],
            remedy=ignore,
        )


def _is_missing(series: pl.Series) -> NDArray[np.bool_]:
    missing = series.is_null()
    return (missing | series.is_nan().fill_null(False) if series.dtype.is_float() else missing).to_numpy()


def _is_constant(series: pl.Series) -> bool:
    head = series.head(100)  # most columns are told from a constant by a few rows
    return all(bool(some.eq_missing(some.new_from_index(0, len(some))).all()) for some in (head, series))


def _tells_apart(series: pl.Series, missing: int) -> bool:
    """Texts that are all different, or whole numbers that count the rows."""
    import polars as pl

    present = len(series) - missing
    if series.dtype == pl.String:
        return present > 1 and series.drop_nulls().n_unique() == present
    if not series.dtype.is_integer() or missing:
        return False
    low, high = series.min(), series.max()
    return isinstance(low, int) and isinstance(high, int) and high - low == present - 1 and series.n_unique() == present


def _leaks(table: Table, name: str, target: str, classes: bool) -> Iterator[Finding]:
    import polars as pl

    feature, truth = table.series(name), table.series(target)
    if feature.dtype.is_nested() or truth.dtype.is_nested() or name in table.paths:
        return
    known = pl.Series(~_is_missing(feature) & ~_is_missing(truth))
    pair = pl.DataFrame({"feature": feature, "target": truth})
    pair = pair if known.all() else pair.filter(known)
    if pair.height < 2:
        return
    if _equal(pair["feature"], pair["target"]):
        given = f"equal to it in all {pair.height:,} rows that have both"
    elif classes and _one_to_one(pair):
        given = f"one value of it for each class, in all {pair.height:,} rows that have both"
    else:
        return
    yield _finding(
        "leak",
        name,
        subject=f"column `{name}`",
        rule=f"known before the target `{target}` is",
        given=given,
        score=1.0,
        rows=np.flatnonzero(known.to_numpy())[:3],
        remedy=f"Leave it out: `data.ignore: [{name}]`.",
    )


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
    if classes < 2 or 2 * classes > pair.height or pair["feature"].head(1000).n_unique() > classes:
        return False
    return pair["feature"].n_unique() == classes and pair.unique().height == classes


def _duplicates(table: Table, codes_N: NDArray[np.int8]) -> Iterator[Finding]:
    import polars as pl

    frame = table.frame
    for name in table.paths:  # two files may hold one picture
        frame = frame.with_columns(pl.Series(name, table.contents(name), dtype=pl.String))
    first_N, first_in_part_N = first_equal(frame, codes_N)
    within = np.flatnonzero(first_in_part_N != np.arange(len(codes_N)))
    if within.size:
        yield _finding(
            "duplicates",
            "",
            subject="the rows of one part",
            rule="all different",
            given=f"{within.size:,} of {len(codes_N):,} that repeat an earlier row, such as row {within[0]}",
            score=within.size / len(codes_N),
            rows=within,
            remedy="Drop repeated rows where the data come from, or give them one row with a weight: `data.weight: COLUMN`.",
        )
    across = np.flatnonzero(codes_N != codes_N[first_N])
    if across.size:
        judged = TEST if (codes_N[across] == TEST).any() else int(codes_N[across].max())
        hit = across[codes_N[across] == judged]
        part = "test" if judged == TEST else "validation"
        yield _finding(
            "duplicates-across",
            "",
            subject=f"the rows of the {part} part",
            rule="different from those that a model was fitted or chosen on",
            given=f"{hit.size:,} of {int((codes_N == judged).sum()):,} that are also in an earlier part",
            score=hit.size / int((codes_N == judged).sum()),
            rows=hit,
            remedy="Drop repeated rows, or keep what belongs together in one part: `split: {by: group, column: COLUMN}`.",
        )


def _listed(classes: Sequence[object]) -> str:
    shown = ", ".join(shortened(value) for value in classes[:5])
    return shown + (f" and {len(classes) - 5} more" if len(classes) > 5 else "")
