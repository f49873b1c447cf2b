"""From a table with marks to what models see: fitted columns, encoded parts, weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.classes import listed
from fermion.columns.column import Values
from fermion.columns.features import name_of as name_of_feature
from fermion.columns.infer import infer
from fermion.columns.missing import missing_rows
from fermion.columns.number import read_numbers
from fermion.columns.output import Horizon, Output, Probability, Value, infer_output, name_of
from fermion.columns.schema import Schema
from fermion.columns.text import Text
from fermion.core import registry
from fermion.core.errors import DataError, SpecError, Told, ValueRejected, did_you_mean
from fermion.core.sections import Data, Declared, Weight
from fermion.core.spec import Spec
from fermion.data.split import TEST, TRAIN, VALIDATION, Marks, groups_of
from fermion.data.table import KEPT, Table
from fermion.research.model import Encoded

Out = TypeVar("Out", bound=Output)


class Learnable(Struct, frozen=True, kw_only=True):
    """What the training part taught about the columns and the targets."""

    schema: Schema
    outputs: tuple[Output, ...]
    skipped: dict[str, str]  # columns that are no inputs, and why


def targets_of(data: Data) -> list[str]:
    """The target columns, one or several."""
    return [data.target] if isinstance(data.target, str) else list(data.target)


def labelled(table: Table, data: Data, where: str = "") -> Table:
    """The table without unlabelled rows, where the project file says so.

    Raises:
        DataError: a target is not in the table, or has missing values and `drop_unlabelled` is not set.
    """
    targets = targets_of(data)
    if not targets or len(set(targets)) < len(targets):
        raise SpecError("data.target", rule="one column, or several that differ", given=targets, remedy="Name each once.", where=where)
    if not len(table.names):
        raise DataError("the data", rule="made of columns and rows", given=Told("no column"), where=where)
    for target in targets:
        if target not in table.names:
            raise DataError(
                "data.target",
                rule=f"a column of the data ({', '.join(table.names[:12])})",
                given=target,
                remedy=did_you_mean(target, table.names) or "Name the column to learn.",
                where=where,
            )
    if len(targets) > 1 and not data.drop_unlabelled:
        return table  # a missing label masks that target's loss and metric
    also = {kind.history for target in targets if isinstance(kind := (data.columns.get(target) or Declared()).column, Horizon)} - {None}
    for beside in sorted({*truth_of(data), *map(str, also)} - set(table.names)):
        rule = f"a column of the data ({', '.join(table.names[:12])})"
        raise DataError(_said_by(data, beside), rule=rule, given=beside, remedy=did_you_mean(beside, table.names), where=where)
    missing_N = np.any([missing_rows(values) for values in table.part(slice(None), truth_of(data)).values()], axis=0)
    if not missing_N.any():
        return table
    if not data.drop_unlabelled:
        rows = np.flatnonzero(missing_N)
        raise DataError(
            f"the target `{targets[0]}`",
            rule="there in every row",
            given=Told(f"{len(rows)} rows without it, the first is row {rows[0]}"),
            remedy="Label them, or write `drop_unlabelled: true` under data to leave them out.",
            where=where,
        )
    return table.take(np.flatnonzero(~missing_N))


def learn(table: Table, marks: Marks, spec: Spec) -> Learnable:
    """Columns and outputs, inferred where they are not declared and fitted on the training part only.

    Raises:
        DataError: a column that the project file declares does not fit the data, or no input is left.
    """
    data = spec.data
    targets = targets_of(data)
    for name in data.ignore:
        if name not in table.names:
            raise SpecError("a column of data.ignore", rule="in the data", given=name, remedy=did_you_mean(name, table.names))
    rows = marks.rows(TRAIN)
    for name, said in inputs_of(data).items():
        if said.column is not None and said.column.__struct_config__.tag in registry.names("targets"):
            kind = said.column.__struct_config__.tag
            remedy = "Name it as data.target too." if name not in truth_of(data) else f"Leave its type out: `{name}` belongs to a target."
            raise SpecError(f"the column `{name}` of data.columns", rule="a target, to be of this type", given=kind, remedy=remedy)
    known = set(truth_of(data))
    batch = table.part(rows, [name for name in table.names if name not in data.ignore and name not in known])
    outputs: list[Output] = []
    for target in targets:
        try:
            outputs.append(taught(output_of(target, table, data), table, rows))
        except ValueRejected as bad:
            raise _named(bad, f"the target `{target}`", rows) from None
    try:
        found = infer(
            batch,
            {name: said for name, said in inputs_of(data).items() if name not in derived_names(data)},
            without=(*targets, *set_aside(spec, table)),
            features=[feature for feature in data.features if feature.take is None],
            expect=data.expect,
            salt=data.privacy.salt,
        )
        schema = found.schema.fit(batch, missing=found.missing)
    except ValueRejected as bad:
        raise _named(bad, bad.subject, rows) from None
    return Learnable(schema=schema, outputs=tuple(outputs), skipped=found.skipped)


def placed(spec: Spec, folder: Path) -> Spec:
    """The same project with the files that its columns name read from its folder: given tokenisers.

    Raises:
        DataError: one is not there, or something else.
    """
    columns = {
        name: msgspec.structs.replace(said, column=said.column.placed(folder)) if isinstance(said.column, Text) else said
        for name, said in spec.data.columns.items()
    }
    return msgspec.structs.replace(spec, data=msgspec.structs.replace(spec.data, columns=columns))


def inputs_of(data: Data) -> dict[str, Declared]:
    """What is declared about inputs: targets and ignored columns are none."""
    gone = {*truth_of(data), *data.ignore}
    return {name: said for name, said in data.columns.items() if name not in gone}


def derived_names(data: Data) -> set[str]:
    """The names of ratios and differences of a row's columns: made in the bundle, so that only how a model takes them can be declared.

    Raises:
        SpecError: a kind, a repair or privacy is declared for one.
    """
    names = {name_of_feature(feature) for feature in data.features if feature.take is None}
    for name in sorted(names & set(data.columns)):
        said = data.columns[name]
        if said.column is not None or said.repair is not None or said.private is not None or said.missing != "learn":
            rule = "declared with impute, indicator and scale alone"
            remedy = "It is a number made from other columns; declare those."
            raise SpecError(
                f"the column `{name}` of data.columns", rule=rule, given=Told("more"), remedy=remedy, where=f"data.columns.{name}"
            )
    return names


def made_of(data: Data) -> list[str]:
    """The columns that are features in time: a row that repeats another differs in its past, not in itself."""
    return [name_of_feature(feature) for feature in data.features if feature.take is not None]


def private_of(data: Data) -> set[str]:
    """The columns whose values are never shown."""
    return {name for name, said in data.columns.items() if said.private is not None}


def time_of(spec: Spec, table: Table) -> str | None:
    """The column that says when a row happened: `data.time`, else what a split in time goes by.

    Raises:
        SpecError: it is not in the table.
    """
    name = spec.data.time or (spec.split.column if spec.split.by in ("time", "walk", "blocks") else None)
    if name is not None and name not in table.names:
        raise SpecError("the column of time", rule="in the data", given=name, remedy=did_you_mean(name, table.names))
    return name


def output_of(target: str, table: Table, data: Data) -> Output:
    """What a target means: as its column is declared (`category` or `flag`: classes, `number`: a value, or a kind of target), else as
    its values say.

    Raises:
        SpecError: it is declared as a column that cannot be a target.
    """
    said = data.columns.get(target)
    if said is None or said.column is None:
        coded = table.coded(target)
        return infer_output(target, table.values(target) if coded is None else coded.distinct)
    kind = said.column.__struct_config__.tag
    if kind in registry.names("targets"):
        return said.column.of(target)
    if kind in ("category", "flag"):
        return Probability(target=target)
    if kind == "number":
        return Value(target=target)
    rule = f"a category, a flag, a number or one of {', '.join(registry.names('targets'))}"
    raise SpecError(f"the target `{target}` in data.columns", rule=rule, given=kind)


def truth_of(data: Data) -> list[str]:
    """All columns that say how a row turned out: the targets, and what their kinds read besides (whether an event was seen)."""
    targets = targets_of(data)
    beside = [name for target in targets if target in data.columns for name in _reads(data.columns[target].column)]
    return [*dict.fromkeys((*targets, *beside))]


def _said_by(data: Data, beside: str) -> str:
    """The setting of a target's kind that names this column: `data.columns.days.event`."""
    for target in targets_of(data):
        kind = (data.columns.get(target) or Declared()).column
        for name in kind.__struct_fields__ if isinstance(kind, Struct) else ():
            if name not in ("target", "array") and getattr(kind, name) == beside:
                return f"data.columns.{target}.{name}"
    return "a column that a target reads"


def _reads(kind: Any) -> tuple[str, ...]:
    if isinstance(kind, Horizon):
        return ()  # the numbers before are what there is to learn from
    return kind.of("").reads[1:] if kind is not None and kind.__struct_config__.tag in registry.names("targets") else ()


def set_aside(spec: Spec, table: Table) -> list[str]:
    """Columns that are no inputs unless they are declared: ignored ones, what the split goes by, the weight."""
    weight, targets = _weight(spec.data), set(targets_of(spec.data))
    named = {*spec.data.ignore, spec.split.column, *spec.split.groups, weight.column if weight else None} - set(spec.data.columns) - targets
    named |= set(truth_of(spec.data)) - targets
    return [name for name in table.names if name in named]


def taught(output: Out, table: Table, rows: NDArray[np.int64] | slice) -> Out:
    """An output fitted on its target in these rows; classes are looked at once each.

    Raises:
        ValueRejected: a value that cannot be a target, with its place in `rows`.
    """
    coded = table.coded(output.target) if isinstance(output, Probability) else None
    if coded is not None:
        return coded.take(rows).mended(output.fit)
    fitted: Any = output.fit(_truth(output, table, rows))
    return fitted


def codes_of(output: Output, table: Table, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
    """(N,) the target of these rows as a model learns it.

    Raises:
        ValueRejected: a class that the training part did not have, or what cannot be a target, with its place in `rows`.
    """
    coded = table.coded(output.target) if len(output.reads) == 1 else None
    if coded is not None:
        return coded.take(rows).each(output.encode)
    return output.encode(_truth(output, table, rows))


def _truth(output: Output, table: Table, rows: NDArray[np.int64] | slice) -> Values:
    """The values of the target, or tuples of those of all columns that it reads."""
    found = table.part(rows, output.reads)
    if len(output.reads) == 1:
        return found[output.target]
    return list(zip(*(listed(found[name]) for name in output.reads), strict=True))


def encode(
    table: Table,
    schema: Schema,
    outputs: tuple[Output, ...],
    weights_N: NDArray[Any] | None = None,
    *,
    rows: NDArray[np.int64] | None = None,
    scratch: Path | None = None,
) -> Encoded:
    """Rows of a table as arrays; of several million rows the inputs become arrays that are mapped from files.

    Args:
        weights_N: (N,) what every row of the table counts.
        rows: numbers of the rows; all when left out.
        scratch: the folder for these files, which are gone once the arrays are; without it the arrays are memory.

    Raises:
        DataError: a column vanished, a value does not fit, a class is new.
    """
    schema.check(table.part(slice(0, 0), [name for name in table.names if name in schema.names]))
    some: NDArray[np.int64] | slice = slice(0, len(table)) if rows is None else rows
    targets: dict[str, NDArray[Any]] = {}
    for output in outputs:
        try:
            targets[output.target] = codes_of(output, table, some)
        except ValueRejected as bad:
            raise _named(bad, f"the target `{output.target}`", rows) from None
    if scratch is not None and (len(table) if rows is None else len(rows)) > KEPT:
        with tempfile.TemporaryDirectory(prefix="encoded-", dir=scratch, ignore_cleanup_errors=True) as folder:
            arrays = table.encoded(schema, Path(folder), rows=rows)  # what is mapped stays readable when its file is gone
    else:
        arrays = table.encoded(schema, rows=rows)
    return Encoded(schema=schema, outputs=outputs, arrays=arrays, targets=targets, weights=None if weights_N is None else weights_N[some])


def units_of(table: Table, spec: Spec, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """(M,) the numbers of the groups of these rows where the project splits by groups, else None; a missing group is one."""
    if spec.split.groups:
        return groups_of(table, spec.split.groups, rows).group_N.astype(np.int64)
    if spec.split.by != "group" or spec.split.column is None:
        return None
    return table.series(spec.split.column).gather(rows).rank("dense").fill_null(0).to_numpy().astype(np.int64)


def row_weights(table: Table, data: Data, purpose: str) -> NDArray[np.float64] | None:
    """(N,) what each row counts for "fit" or "evaluate", or None.

    Raises:
        DataError: a weight is missing or negative. SpecError: a class or column that is not there.
    """
    weight = _weight(data)
    if weight is None or weight.use not in (purpose, "both"):
        return None
    if weight.column is not None:
        if weight.column not in table.names:
            raise SpecError(
                "data.weight", rule="a column of the data", given=weight.column, remedy=did_you_mean(weight.column, table.names)
            )
        try:
            weights_N = read_numbers(table.values(weight.column))
        except ValueRejected as bad:
            raise _named(bad, f"the weight `{weight.column}`") from None
        if np.isnan(weights_N).any() or (weights_N < 0).any():
            row = int((np.isnan(weights_N) | (weights_N < 0)).argmax())
            raise DataError(f"the weight `{weight.column}`", rule="a number from 0", given=weights_N[row], where=f"row {row}")
        return weights_N
    return _by_class(table, output_of(targets_of(data)[0], table, data), weight.classes or {})


def parts(marks: Marks) -> Mapping[str, NDArray[np.int64]]:
    """The rows of the three parts by name."""
    return {"train": marks.rows(TRAIN), "validation": marks.rows(VALIDATION), "test": marks.rows(TEST)}


def _named(bad: ValueRejected, subject: str, rows: NDArray[np.int64] | None = None) -> DataError:
    """The same rejection under the name that the user knows, with the row of the whole table where `rows` were a part of it."""
    where = bad.where
    if rows is not None and where.startswith("row "):
        where = f"row {rows[int(where.removeprefix('row '))]}"
    return DataError(subject, rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=where)


def _weight(data: Data) -> Weight | None:
    weight = Weight(column=data.weight) if isinstance(data.weight, str) else data.weight
    if weight is not None and (weight.column is None) == (weight.classes is None):
        raise SpecError(
            "data.weight",
            rule="either a column or a map of classes",
            given=Told("both" if weight.column else "neither"),
            where="data.weight",
        )
    return weight


def _by_class(table: Table, output: Output, classes: Mapping[str, float]) -> NDArray[np.float64]:
    if not isinstance(output, Probability):
        raise SpecError("data.weight.classes", rule="for a target with classes", given=Told("a target with numbers"))
    output = taught(output, table, slice(None))
    names = [name_of(label) for label in output.classes]
    for name in classes:
        if name not in names:
            raise SpecError(
                "a class of data.weight",
                rule=f"a class of the target ({', '.join(names[:10])})",
                given=name,
                remedy=did_you_mean(name, names),
            )
    by_code = np.array([classes.get(name, 1.0) for name in names])
    return by_code[codes_of(output, table, slice(None))]
