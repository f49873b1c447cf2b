"""Predictions for every row by models that did not learn from it: what finding label errors and choosing rows to label build on."""

from __future__ import annotations

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.missing import gaps
from fermion.columns.output import UNLABELLED, Probability, name_of
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, SpecError, Stopped, Told, UsageError, did_you_mean
from fermion.core.run import Run
from fermion.core.spec import Spec
from fermion.data.split import OUT, TEST, TRAIN, VALIDATION, Marks
from fermion.data.table import Table, unknown_column
from fermion.practice.making import model_of
from fermion.practice.preparation import codes_of, encode, learn, output_of, row_weights, targets_of, taught, units_of
from fermion.research.folded import deal
from fermion.research.model import Encoded, Fitted

VALID = 10  # one row in ten of those that a model learns from chooses its checkpoint
BLOCK = 4096  # rows per prediction


class Predicted(Struct, frozen=True, kw_only=True, eq=False):
    """What models said about rows that they had not seen.

    `codes` (N,) int64: each row's label as a position in `output.classes`, -1 where there is none.
    `probabilities` (N, K) float64: of a labelled row by the model whose training left it out; of an unlabelled row the mean of all.
    `folds` (N,) int8: which model left the row out, -1 for unlabelled rows.
    """

    output: Probability
    codes: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    folds: NDArray[np.int8]


def out_of_fold(table: Table, spec: Spec, run: Run, *, folds: int = 5) -> Predicted:
    """Cross-fitting: the labelled rows fall into `folds` parts, and for each part one model learns from the others.

    Parts are stratified by class; with `split: {by: group}` groups stay whole. Columns are fitted inside each model's own training
    rows. The model is the project file's, or the default for the kind of the data; the run's time is shared out evenly.

    Args:
        table: all rows; those without a label are predicted by every model and averaged.
        spec: with one target. See `one_target`.
        folds: models to fit; more of them learn from more rows each.

    Raises:
        SpecError: the target is numbers. DataError: fewer than two classes, or fewer rows or groups than folds.
        Stopped: it was stopped before the last model.
    """
    output, codes_N = classes_of(table, spec)
    if folds < 2:
        raise UsageError("folds", rule="at least 2, so that every row is left out of one model", given=folds)
    known = np.flatnonzero(codes_N != UNLABELLED)
    groups_M = _groups(table, spec, known)
    units = len(known) if groups_M is None else int(groups_M.max()) + 1
    if units < folds + 1:
        what = "labelled rows" if groups_M is None else "groups with a label"
        raise DataError(f"the {what}", rule=f"more than the {folds} folds", given=Told(str(units)), remedy="Take fewer folds.")
    folds_N = np.full(len(table), -1, dtype=np.int8)
    folds_N[known] = deal(codes_N[known], groups_M, folds, run.rng("label: folds"))
    weights_N = row_weights(table, spec.data, "fit")
    p_NK = np.zeros((len(table), len(output.classes)))
    unlabelled = np.flatnonzero(codes_N == UNLABELLED)
    for fold in range(folds):
        if run.stopped:
            raise Stopped("the predictions for the labels", rule="left alone until the last model", given=Told(f"a stop after {fold}"))
        run.emit("progress", "label", f"model {fold + 1} of {folds}", done=fold, total=folds)
        marks = _marks(codes_N, folds_N, fold, None if groups_M is None else (known, groups_M), run)
        learnt = learn(table, marks, spec)
        schema = _forgiving(learnt.schema, table)
        # All classes, also one whose few rows this model leaves out.
        train, valid, out, open_ = (
            encode(table, schema, (output,), weights_N, rows=rows) for rows in (marks.train, marks.validation, marks.test, unlabelled)
        )
        fitted = model_of(spec, schema).fit(train, valid, run.within(1 / (folds - fold)))
        p_NK[marks.test] = _probabilities(fitted, out, output)
        if len(unlabelled):
            p_NK[unlabelled] += _probabilities(fitted, open_, output) / folds
    run.emit("progress", "label", "", done=folds, total=folds)
    return Predicted(output=output, codes=codes_N, probabilities=p_NK, folds=folds_N)


def one_target(spec: Spec, target: str | None = None) -> Spec:
    """The same project with one target; other targets are no inputs.

    Raises:
        UsageError: `target` is none of the targets, or there are several and none is named.
    """
    known = targets_of(spec.data)
    if target is None and len(known) > 1:
        raise UsageError("the target to label", rule=f"named, one of {', '.join(known)}", given=None)
    if target is not None and target not in known:
        raise UsageError("the target to label", rule=f"one of {', '.join(known)}", given=target, remedy=did_you_mean(target, known))
    chosen = target or known[0]
    ignored = (*spec.data.ignore, *(other for other in known if other not in (chosen, *spec.data.ignore)))
    return msgspec.structs.replace(spec, data=msgspec.structs.replace(spec.data, target=chosen, ignore=ignored))


def classes_of(table: Table, spec: Spec, *, least: int = 2) -> tuple[Probability, NDArray[np.int64]]:
    """The classes of the one target, from all labelled rows, and (N,) each row's position in them, -1 where it has no label.

    Args:
        least: how many classes there must be.

    Raises:
        SpecError: the target is numbers. DataError: it is not there, has no label at all, or fewer classes.
    """
    target = targets_of(spec.data)[0]
    if target not in table.names:
        raise unknown_column(target, table.names, subject="data.target")
    if table.series(target).null_count() == len(table):
        remedy = "Label some rows first: `fermion data label next --by coverage` chooses them."
        raise DataError(f"the target `{target}`", rule="there in some rows, to predict it", given=Told("no label yet"), remedy=remedy)
    output = output_of(target, table, spec.data)
    if not isinstance(output, Probability):
        raise SpecError(
            f"the target `{target}`",
            rule="made of classes, to look for wrong labels or to choose rows to label",
            given=Told("numbers"),
            remedy=f"If its numbers name classes, write `columns: {{{target}: category}}` under data. For numbers, the report of `fermion "
            "run` lists the rows with the largest errors.",
        )
    output = taught(output, table, slice(None))
    if len(output.classes) < least:
        raise DataError(
            f"the target `{target}`",
            rule=f"made of at least {least} classes",
            given=Told(f"only {name_of(output.classes[0])}" if output.classes else "no label"),
            remedy="Label some rows of another class first.",
        )
    return output, codes_of(output, table, slice(None))


def _forgiving(schema: Schema, table: Table) -> Schema:
    """The same columns, missing wherever the whole table has gaps: the only gap of a column may lie in the fold that is left out."""
    whole = table.part(slice(None))
    lacking = {field.name for field in schema.fields if not field.missing and gaps(field.column, whole[field.name]).any()}
    fields = tuple(msgspec.structs.replace(field, missing=field.missing or field.name in lacking) for field in schema.fields)
    return msgspec.structs.replace(schema, fields=fields) if lacking else schema


def _groups(table: Table, spec: Spec, known: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """(M,) numbers 0.. of the groups of the labelled rows where the project splits by group, else None; a missing group is one."""
    units_M = units_of(table, spec, known)
    return None if units_M is None else np.unique(units_M, return_inverse=True)[1].astype(np.int64)


def _marks(
    codes_N: NDArray[np.int64], folds_N: NDArray[np.int8], fold: int, groups: tuple[NDArray[np.int64], NDArray[np.int64]] | None, run: Run
) -> Marks:
    """The fold as test part, a tenth of the rest as validation part, groups whole."""
    marks_N = np.full(len(codes_N), OUT, dtype=np.int8)
    marks_N[folds_N == fold] = TEST
    rest = np.flatnonzero((folds_N >= 0) & (folds_N != fold))
    groups_R = None
    if groups is not None:
        group_N = np.zeros(len(codes_N), dtype=np.int64)
        group_N[groups[0]] = groups[1]
        groups_R = np.unique(group_N[rest], return_inverse=True)[1].astype(np.int64)
    parts = min(VALID, len(rest) if groups_R is None else int(groups_R.max()) + 1)
    chosen_R = deal(codes_N[rest], groups_R, max(parts, 2), run.rng(f"label: validation {fold}"))
    marks_N[rest] = np.where(chosen_R == 0, VALIDATION, TRAIN) if parts > 1 else TRAIN
    return Marks(codes=marks_N, by="folds")


def _probabilities(fitted: Fitted, rows: Encoded, output: Probability) -> NDArray[np.float64]:
    """(M, K) what the model says, a block of rows at a time."""
    blocks = [np.empty((0, len(output.classes)))]
    for start in range(0, len(rows), BLOCK):
        some = {name: array[start : start + BLOCK] for name, array in rows.arrays.items()}
        blocks.append(fitted.run(some)[output.array].astype(np.float64))
    p_MK = np.concatenate(blocks)
    return p_MK / np.maximum(p_MK.sum(1, keepdims=True), 1e-12)
