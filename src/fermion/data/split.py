"""Which rows are for training, validation and test."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Values
from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.sections import Split
from fermion.data.groups import Groups
from fermion.data.marks import NAMES, OUT, TEST, TRAIN, VALIDATION, Codes, Marks
from fermion.data.moments import Moments
from fermion.data.multilabel import Labels
from fermion.data.strata import Rule, Strata, numbered
from fermion.data.table import Table, unknown_column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NAMES", "OUT", "TEST", "TRAIN", "VALIDATION", "Codes", "Marks", "marks_of_folds", "split"]

WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
FEW = 5  # rows from which on every part gets one
IN_TIME = ("time", "blocks", "walk")


def split(
    table: Table,
    spec: Split,
    *,
    target: Values | pl.Series | Mapping[str, Values] | None,
    task_is_classification: bool,
    rng: np.random.Generator,
) -> Marks:
    """Mark every row, before anything learns from the data. The same seed gives the same marks.

    - random: shares of the rows, drawn without replacement
    - stratified: the same within each class of `target`; rounding goes to the classes with the largest remainders, and a class keeps
      a row for training before it gives one away. With several targets, or lists of labels, every label has its share
    - group: rows with equal values in `column` stay together; sizes come as close to the shares as whole groups allow
    - time: the newest rows are the test part, before them the validation part, before it the training part. Shares are moved to the
      nearest moment at which no two rows with the same time are torn apart; a duration d before the moment t is (t - d, t], and a
      number in `column` counts seconds. `gap` is left out before each of the two parts
    - column: `column` says train, validation (valid, val, dev) or test. Without rows for validation they are cut from train, by
      the share `validation`: in whole groups of rows that are equal in all of `groups`, else stratified for classes
    - auto: stratified for classes, else random

    With `folds` the test part of random, stratified and group is fold `fold` of so many; the validation part is cut from the rest by its
    share of all rows, or is fold `inner_fold` of the `inner` folds of the rest. Folds in time, of as many rows each:

    - blocks: the test part is one block; `gap` is left out on both sides of it and of the validation part, which is the newest of the
      rest, and `embargo` behind them too
    - walk: the rows are one block more than there are folds, or the blocks have the duration `test`; fold f is tested on the f-th later
      block by what came before it (of the duration `train` where that is given), the share `validation` is one of the rows before it

    >>> table = Table.of({"x": [5, 1, 2, 3, 4]})
    >>> split(table, Split(by="time", column="x"), target=None, task_is_classification=False, rng=np.random.default_rng(0)).codes.tolist()
    [2, 0, 0, 0, 1]

    Args:
        target: (N,) values of the one target, classes or lists of labels, or values by target; for stratified splits.

    Raises:
        SpecError: a column that is needed and not named, or words that have no meaning together.
        DataError: a part would be empty, there is too little for so many folds; the column is missing, has nulls or is of the wrong type.
    """
    by = spec.by if spec.by != "auto" else ("stratified" if task_is_classification and target is not None else "random")
    _check_folds(spec, by)
    if spec.groups and by != "column":
        remedy = "Name the one column of groups: `split: {by: group, column: NAME}`." if by != "group" else "The groups are in `column`."
        raise SpecError("split.groups", rule="left out unless `by: column`", given=list(spec.groups), remedy=remedy)
    if by in IN_TIME:
        return _checked(_in_time(table, spec, by), spec)
    _refuse_time_words(spec, by)
    classes = _classes(target) if task_is_classification and target is not None else None
    if by == "column":
        return _checked(Marks(codes=_by_column(table, spec, classes, rng), by=by, column=spec.column), spec)
    if by == "group":
        return _checked(Marks(codes=_parts(Groups.of(_column(table, spec)), spec, rng), by=by, column=spec.column), spec)
    if by == "random":
        return _checked(Marks(codes=_parts(Strata(len(table)), spec, rng), by=by), spec)
    if target is None:
        raise SpecError("split.by", rule="random, group, time or column without a target", given=by)
    rule = classes or _classes(target)
    if isinstance(rule, Strata) and rule.distinct and (spec.test or spec.validation):
        raise DataError(
            "the target",
            rule="made of classes with several rows, for a split that is stratified",
            given=Told(f"{len(table)} different values in {len(table)} rows"),
            remedy="Write `split: {by: random}`, or check data.target.",
        )
    return _checked(Marks(codes=_parts(rule, spec, rng), by=by), spec)


def marks_of_folds(
    table: Table,
    spec: Split,
    *,
    target: Values | pl.Series | Mapping[str, Values] | None,
    task_is_classification: bool,
    rng: np.random.Generator,
) -> list[Marks]:
    """The marks of all `spec.folds` folds, in their order; with `spec.inner` those of all inner folds of the first, then of the next.

    The folds are those that `split` gives one by one to generators of the same seed.

    >>> table = Table.of({"x": [5, 1, 2, 3]})
    >>> all_marks = marks_of_folds(
    ...     table, Split(folds=2, validation=0), target=None, task_is_classification=False, rng=np.random.default_rng(0)
    ... )
    >>> sum((marks.codes == TEST).astype(int) for marks in all_marks).tolist()
    [1, 1, 1, 1]

    Raises:
        SpecError: `spec.folds` is not given. What `split` raises.
    """
    if spec.folds is None:
        raise SpecError("split.folds", rule="how many folds there are", given=None, remedy="Add `folds: 5` to `split:`.")
    return [
        split(
            table,
            msgspec.structs.replace(spec, fold=fold, inner_fold=inner),
            target=target,
            task_is_classification=task_is_classification,
            rng=copy.deepcopy(rng),
        )
        for fold in range(spec.folds)
        for inner in range(spec.inner or 1)
    ]


def _parts(rule: Rule, spec: Split, rng: np.random.Generator) -> Codes:
    """(N,) parts by shares, or by a fold for the test and what is cut from the rest."""
    if spec.folds is None:
        return rule.shares(_share(spec, "test"), _share(spec, "validation"), rng)
    fold_N = rule.folds(spec.folds, rng)
    codes = np.where(fold_N == spec.fold, np.int8(TEST), np.int8(TRAIN))
    rest = np.flatnonzero(codes == TRAIN)
    if spec.inner is not None:
        codes[rest[rule.take(rest).folds(spec.inner, rng) == spec.inner_fold]] = VALIDATION
    elif spec.validation:
        codes[rest] = rule.take(rest).shares(0.0, _share(spec, "validation") * len(codes) / len(rest), rng)
    return codes


def _in_time(table: Table, spec: Split, by: str) -> Marks:
    series = _column(table, spec)
    moments = Moments.of(series)
    if by == "time" or spec.folds is None:
        codes = moments.newest(spec)
    else:
        codes = moments.blocks(spec, spec.folds) if by == "blocks" else moments.walk(spec, spec.folds)
    return Marks(codes=codes, by=by, column=spec.column, boundaries=moments.boundaries(codes))


def _checked(marks: Marks, spec: Split) -> Marks:
    wanted = {TRAIN: True, VALIDATION: spec.validation != 0 or spec.inner is not None, TEST: spec.test != 0 or spec.folds is not None}
    for part, name in NAMES.items():
        if wanted[part] and not (marks.codes == part).any():
            sizes = ", ".join(f"{size} {other}" for other, size in marks.sizes.items())
            raise DataError(
                f"the {name} part",
                rule="at least one row",
                given=Told(f"{sizes} of {len(marks.codes)} rows, split by {marks.by}"),
                remedy=_remedy(marks.by, name, len(marks.codes)),
            )
    return marks


def _remedy(by: str, part: str, rows: int) -> str:
    if by in IN_TIME:
        return "Take shorter durations or a shorter gap in `split:`, or more data."
    if by == "column":
        return f"Mark rows as {part} in the column."
    if rows < FEW:
        return f"With fewer than {FEW} rows not every part gets one: add rows."
    return (
        f"Give it a larger share, as in `split: {{{part}: 0.3}}`, or more data."
        if part != "train"
        else "Take smaller shares for the others."
    )


def _check_folds(spec: Split, by: str) -> None:
    """Words about folds that have no meaning together."""
    if spec.folds is None:
        if by in ("blocks", "walk"):
            raise SpecError("split.folds", rule=f"named for `by: {by}`", given=None, remedy="Add `folds: 5` to `split:`.")
        for name, given in (("fold", spec.fold), ("inner", spec.inner), ("inner_fold", spec.inner_fold)):
            if given:
                raise SpecError(f"split.{name}", rule="left out without `folds`", given=given, remedy="Add `folds: 5` to `split:`.")
    elif by in ("time", "column"):
        remedy = "Write `by: walk` or `by: blocks`." if by == "time" else "Leave `folds` out, or write `by: random`."
        raise SpecError("split.folds", rule=f"left out with `by: {by}`", given=spec.folds, remedy=remedy)
    elif spec.fold >= spec.folds:
        raise SpecError("split.fold", rule=f"from 0 to {spec.folds - 1}, as there are {spec.folds} folds", given=spec.fold, remedy=_COUNTED)
    if spec.inner is not None and by == "walk":
        remedy = "Leave it out: the validation part lies right before the test part."
        raise SpecError("split.inner", rule="left out with `by: walk`", given=spec.inner, remedy=remedy)
    if spec.inner_fold and spec.inner_fold >= (spec.inner or 1):
        rule = f"from 0 to {(spec.inner or 1) - 1}, as there are {spec.inner or 'no'} inner folds"
        raise SpecError("split.inner_fold", rule=rule, given=spec.inner_fold, remedy=_COUNTED)
    for name, given, where in (("embargo", spec.embargo, ("blocks",)), ("train", spec.train, ("time", "walk"))):
        if given is not None and by in IN_TIME and by not in where:
            raise SpecError(f"split.{name}", rule=f"left out with `by: {by}`", given=given, remedy=f"Only `by: {where[-1]}` knows it.")
    if by == "blocks" and isinstance(spec.test, str):
        raise SpecError("split.test", rule="left out with `by: blocks`", given=spec.test, remedy="Blocks have equally many rows.")


_COUNTED = "Folds are counted from 0."


def _refuse_time_words(spec: Split, by: str) -> None:
    given_words = {"test": spec.test, "validation": spec.validation, "train": spec.train, "gap": spec.gap, "embargo": spec.embargo}
    for name, given in given_words.items():
        if isinstance(given, str):
            rule = "a share such as 0.2" if name in ("test", "validation") else "left out"
            raise SpecError(
                f"split.{name}", rule=f"{rule} with `by: {by}`", given=given, remedy="Durations need `by: time` and a `column`."
            )
    if spec.folds is not None:
        if spec.inner is None and _share(spec, "validation") >= 1 - 1 / spec.folds:
            rule = f"less than the {1 - 1 / spec.folds:.2g} of the rows that {spec.folds} folds leave"
            raise SpecError("split.validation", rule=rule, given=spec.validation, remedy="Take a smaller share, or more folds.")
    elif spec.by not in ("column", "group") and _share(spec, "test") + _share(spec, "validation") >= 1:
        raise SpecError("split.test and split.validation", rule="less than 1 together", given=Told(f"{spec.test} and {spec.validation}"))


def _share(spec: Split, name: str) -> float:
    return float(getattr(spec, name))


def _column(table: Table, spec: Split) -> pl.Series:
    if spec.column is None:
        raise SpecError("split.column", rule=f"named for `by: {spec.by}`", given=None, remedy="Add `column: NAME` to `split:`.")
    if spec.column not in table.names:
        raise unknown_column(spec.column, table.names, subject="split.column")
    series = table.series(spec.column)
    if series.null_count():
        row = int(series.is_null().arg_max() or 0)
        raise DataError(
            f"column `{spec.column}`, which splits the rows,",
            rule="without missing values",
            given=Told(f"{series.null_count()} of them"),
            remedy="Fill them or drop these rows.",
            where=f"row {row}",
        )
    return series


def _classes(target: Values | pl.Series | Mapping[str, Values]) -> Strata | Labels:
    """What the classes of the target say: one per row, or several."""
    import polars as pl

    if isinstance(target, Mapping):
        return Labels.of_columns({name: Table.of({name: values}).series(name) for name, values in target.items()})
    series = Table.of({"target": target}).series("target")
    if isinstance(series.dtype, pl.List | pl.Array):
        return Labels.of_lists(series)
    return Strata(len(series), numbered(series))


def groups_of(table: Table, names: Sequence[str], rows: NDArray[np.int64]) -> Groups:
    """These rows in groups: those that are equal in all of the columns.

    >>> groups_of(Table.of({"a": [1, 1, 2], "b": [1, 1, 1]}), ("a", "b"), np.arange(3)).group_N.tolist()
    [0, 0, 1]

    Raises:
        DataError: a column is not there.
    """
    key_N = np.zeros(len(rows), dtype=np.int64)
    for name in names:
        if name not in table.names:
            raise unknown_column(name, table.names, subject="split.groups")
        code_N = numbered(table.series(name).gather(rows)).astype(np.int64)
        key_N = np.unique(key_N * (int(code_N.max(initial=0)) + 1) + code_N, return_inverse=True)[1]
    return Groups(", ".join(names), key_N)


def _by_column(table: Table, spec: Split, classes: Strata | Labels | None, rng: np.random.Generator) -> Codes:
    import polars as pl

    series = _column(table, spec)
    if not isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
        raise DataError(f"column `{series.name}`", rule="text: train, validation or test", given=Told(f"values of type {series.dtype}"))
    text = series.cast(pl.String).str.strip_chars().str.to_lowercase()
    for word in text.unique(maintain_order=True):
        if word not in WORDS:
            row = int((text == word).arg_max() or 0)
            raise DataError(
                f"column `{series.name}`",
                rule="train, validation or test in every row",
                given=series[row],
                remedy=did_you_mean(str(word), WORDS),
                where=f"row {row}",
            )
    codes = text.replace_strict(WORDS, return_dtype=pl.Int8).to_numpy().copy()
    if spec.validation and not (codes == VALIDATION).any():
        train = np.flatnonzero(codes == TRAIN)
        rule: Rule = groups_of(table, spec.groups, train) if spec.groups else Strata(len(train)) if classes is None else classes.take(train)
        codes[train] = rule.shares(0.0, _share(spec, "validation"), rng) if len(train) else TRAIN
    return codes
