"""A cleaning plan proposed from the training part, for a person to judge: what to repair, what to guard, which rows to set aside."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.bundle.bundle import replacing
from fermion.columns.propose import Proposal, propose
from fermion.columns.repair import Repaired
from fermion.core import registry, yaml12
from fermion.core.declared import Clean, Declared, Outliers, Repair
from fermion.core.errors import SpecError, Told
from fermion.core.run import Run
from fermion.core.spec import Spec, document, read
from fermion.data import personal, sources
from fermion.data.clean import clean, part_digest
from fermion.data.split import TRAIN, Marks
from fermion.data.table import Table
from fermion.practice import collecting, making
from fermion.practice.labelling import overlay
from fermion.practice.preparation import made_of, set_aside, targets_of
from fermion.practice.project import Project

FAR, FAR_IN_LOG = 12.0, 7.0  # robust deviations: a value is proposed as an outlier when it is far off as it is and in its logarithm
FEW = 0.03  # outliers are rare; what is frequent is a heavy tail
NATURAL = 0.2  # share of rows from which repetition is how the data are: few columns with few values
SURE = 0.8  # the score from which personal data are proposed to be guarded


class Step(Struct, frozen=True, kw_only=True):
    """One thing that the plan would do: how many training rows it is about, some examples, and what is left to decide."""

    what: str
    column: str
    rows: int
    examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Plan(Struct, frozen=True, kw_only=True):
    """What to write under `data` in the project file, and why. `rows` are those of the training part, from which it was made."""

    data: dict[str, Any]
    steps: tuple[Step, ...]
    rows: int

    def yaml(self) -> str:
        """As it stands in the project file."""
        return yaml12.dump({"data": self.data})

    def lines(self) -> list[str]:
        """The steps as text for a terminal."""
        out = [f"from {self.rows:,} training rows"]
        for step in self.steps:
            where = f" `{step.column}`" if step.column else ""
            out.append(f"{step.what}{where}: {step.rows:,} rows")
            out += [f"    {example}" for example in step.examples]
            out += [f"    to decide: {note}" for note in step.notes]
        return out


def suggest(project: Project, run: Run) -> Plan:
    """Propose a plan for what the project file leaves open; what it already declares stays as it is.

    Repairs are proposed from the training part alone, but for the column of time, whose form must be known before rows can be split.

    Raises:
        DataError: the data cannot be read or split.
    """
    spec, folder = project.spec, project.folder
    raw = overlay(collecting.as_it_is(spec, folder=folder, place=project.place), project)
    found = _of_time(raw, spec)
    spec = _with(spec, found)

    def join(source: str) -> Table:
        return sources.read(source, folder=folder, where=project.place("joins"))

    table = collecting.shaped(raw, spec, join, project.place("target"))
    marks = making.divide(table, spec, run)
    train = table.take(marks.train)
    found |= {name: proposal for name in train.names if (proposal := _of_column(train, name, spec)) is not None}
    spec = _with(spec, found)
    guarded = _personal(train, spec)
    legible, unread = _forgiving(table, found)
    mended = collecting.mended(legible, spec)
    hidden = {name for name, said in spec.data.columns.items() if said.private is not None} | {one.column for one in guarded}
    steps = [_step(name, proposal, unread[name], hidden=name in hidden) for name, proposal in found.items()]
    steps += [
        Step(what=f"guard ({one.kind})", column=one.column, rows=round(one.share * len(train)), examples=(one.how,))
        if one.score >= SURE
        else Step(what=f"perhaps guard ({one.kind})", column=one.column, rows=round(one.share * len(train)), notes=(one.line,))
        for one in guarded
    ]
    guarded = [one for one in guarded if one.score >= SURE]
    plan, more = _rows(mended, marks, spec, run)
    columns = {name: _declared(proposal, spec.data.columns.get(name)) for name, proposal in found.items()}
    for one in guarded:
        columns[one.column] = {**columns.get(one.column, {}), "private": one.proposal}
    data: dict[str, Any] = {}
    if columns:
        data["columns"] = columns
    if plan:
        origin = {"fingerprint": table.fingerprint, "part": "train", "split": part_digest(marks)}
        data["clean"] = {**plan, "made_from": origin}
    return Plan(data=data, steps=(*steps, *more), rows=len(train))


def write(project: Project, plan: Plan) -> Path:
    """Write a plan into the project file; what was there before is kept beside it as `NAME.bak`, comments and all.

    Raises:
        SpecError: the file with the plan in it is no project file.
    """
    text = project.path.read_text(encoding="utf-8")
    whole: Any = yaml12.parse(text, file=str(project.path)).value
    merged = yaml12.dump(_merged(whole, {"data": plan.data}))
    read(merged, name=str(project.path))
    kept = project.path.with_name(project.path.name + ".bak")
    shutil.copyfile(project.path, kept)
    with replacing(project.path) as scratch:
        scratch.write_text(merged, encoding="utf-8")
    return kept


def _of_time(raw: Table, spec: Spec) -> dict[str, Proposal]:
    name = spec.data.time or (spec.split.column if spec.split.by in ("time", "walk", "blocks") else None)
    if name is None or name not in raw.names or _repaired(spec, name):
        return {}
    proposal = propose(raw.values(name))
    return {} if proposal is None else {name: proposal}


def _of_column(train: Table, name: str, spec: Spec) -> Proposal | None:
    said = spec.data.columns.get(name)
    skipped = {*targets_of(spec.data), *spec.data.ignore, *train.paths}
    if name in skipped or _repaired(spec, name) or (said is not None and said.private in ("drop", "hash", "redact")):
        return None
    return propose(train.values(name)) if train.series(name).dtype == _text() else None


def _repaired(spec: Spec, name: str) -> bool:
    said = spec.data.columns.get(name)
    return said is not None and said.repair is not None


def _with(spec: Spec, found: Mapping[str, Proposal]) -> Spec:
    """The spec as if the proposals were in it."""
    columns = dict(spec.data.columns)
    for name, proposal in found.items():
        said = columns.get(name, Declared())
        kind = said.column if said.column is not None else registry.find("columns", proposal.type)()
        columns[name] = structs.replace(said, column=kind, repair=proposal.repair)
    return structs.replace(spec, data=structs.replace(spec.data, columns=columns))


def _forgiving(table: Table, found: Mapping[str, Proposal]) -> tuple[Table, dict[str, int]]:
    """The table with nothing where a proposal cannot read a text, and how many rows that are: they are looked at no further here."""
    counts: dict[str, int] = {}
    for name, proposal in found.items():
        column = Repaired(column=registry.find("columns", proposal.type)(), repair=proposal.repair)
        values, unread = collecting.read_with(column, table.values(name))
        counts[name] = len(unread)
        if unread:
            table = table.with_column(name, [None if row in unread else value for row, value in enumerate(values)])
    return table, counts


def _personal(train: Table, spec: Spec) -> list[personal.Personal]:
    known = {name for name, said in spec.data.columns.items() if said.private is not None}
    gone = {*known, *targets_of(spec.data), *spec.data.ignore, *made_of(spec.data)}
    return [one for one in personal.find(train, recognisers=False) if one.column not in gone]


def _rows(table: Table, marks: Marks, spec: Spec, run: Run) -> tuple[dict[str, Any], list[Step]]:
    """Row-level steps that would set something aside."""
    targets, unseen = targets_of(spec.data), [*set_aside(spec, table), *made_of(spec.data)]
    plan: dict[str, Any] = {}
    steps: list[Step] = []
    if spec.data.clean.duplicates is None:
        trial = clean(table, marks, Clean(duplicates="near", similarity=spec.data.clean.similarity), ignore=unseen, targets=targets)
        natural = len(trial.aside) > NATURAL * int((marks.codes == TRAIN).sum())
        for step, count in trial.counts.items():
            if natural:
                note = "so many repeat that it may be how the data are: `data: {clean: {duplicates: exact}}` keeps the first of each"
                steps.append(Step(what=f"perhaps set aside {step}", column="", rows=count, notes=(note,)))
                continue
            plan["duplicates"] = "near" if "near duplicates" in trial.counts else "exact"
            examples = [f"row {one.row} {one.reason}" for one in trial.aside if one.step == step]
            steps.append(Step(what=f"set aside {step}", column="", rows=count, examples=tuple(examples[:3])))
    if not spec.data.clean.outliers:
        columns = [name for name in table.names if name not in (*targets, *unseen) and _far(table, name, marks)]
        if columns:
            outliers = Outliers(by="robust_z", columns=tuple(columns), limit=FAR)
            trial = clean(table, marks, Clean(outliers=(outliers,)), targets=targets, seed=run.seed_for("clean"))
            hidden = {name for name, said in spec.data.columns.items() if said.private is not None}
            reasons = [f"row {one.row}: {one.reason}" for one in trial.aside if not any(f"`{name}`" in one.reason for name in hidden)]
            plan["outliers"] = [{"by": "robust_z", "columns": columns, "limit": FAR}]
            steps.append(Step(what="set aside outliers in", column=", ".join(columns), rows=len(trial.aside), examples=tuple(reasons[:3])))
    return plan, steps


def _far(table: Table, name: str, marks: Marks) -> bool:
    series = table.series(name)
    return series.dtype.is_numeric() and far_off(series.cast(_float()).to_numpy()[marks.train])


def far_off(x_N: NDArray[np.float64]) -> bool:
    """Whether a few numbers are far off, in their logarithms too: what only its logarithm brings near is a heavy tail, no mistake.

    >>> heavy = np.random.default_rng(0).lognormal(0.0, 1.0, 1000)
    >>> far_off(heavy), far_off(np.append(heavy[:990], heavy[990:] * 1e5))
    (False, True)

    Args:
        x_N: (N,) numbers, NaN where missing.
    """
    x_N = x_N[~np.isnan(x_N)]
    if len(x_N) < 100 or len(np.unique(x_N[:10_000])) < 10:
        return False
    size = float(np.median(abs(x_N[x_N != 0])))
    far_N = (_robust(x_N) > FAR) & (_robust(np.log(x_N) if x_N.min() > 0 else np.arcsinh(x_N / size)) > FAR_IN_LOG)
    return bool(0 < far_N.sum() <= FEW * len(x_N))


def _robust(x_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances from the median, in deviations."""
    middle = np.median(x_N)
    spread = 1.4826 * np.median(abs(x_N - middle))
    return abs(x_N - middle) / spread if spread > 0 else np.zeros(len(x_N))


def _step(name: str, proposal: Proposal, unread: int, *, hidden: bool) -> Step:
    examples = [] if hidden else [f"{text!r} -> {meaning!r}" for text, meaning in proposal.examples]
    notes = [] if hidden else list(proposal.notes)
    if proposal.unreadable:
        such = "" if hidden else f", such as {', '.join(map(repr, proposal.unread[:3]))}"
        notes.append(f"{proposal.unreadable:,} rows cannot be read{such}")
    if unread > proposal.unreadable:
        notes.append(f"{unread - proposal.unreadable:,} rows outside the training part cannot be read")
    return Step(what=f"repair to a {proposal.type}", column=name, rows=proposal.repaired, examples=tuple(examples), notes=tuple(notes))


def _declared(proposal: Proposal, said: Declared | None) -> dict[str, Any]:
    default = document(Repair())
    rules = {name: rule for name, rule in document(proposal.repair).items() if rule != default[name]}
    kind = proposal.type if said is None or said.column is None else said.column.__struct_config__.tag
    return {"type": kind, "repair": rules} | ({"missing": "accept"} if proposal.repair.missing else {})


def _merged(one: Any, other: Any) -> Any:
    """Two trees, the second over the first; a column that was said in a word becomes a section."""
    if isinstance(one, str) and isinstance(other, dict):
        one = {"type": one}
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    left, right = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
    return {**left, **{key: _merged(left.get(key), value) for key, value in right.items()}}


def _text() -> Any:
    import polars as pl

    return pl.String


def _float() -> Any:
    import polars as pl

    return pl.Float64


def describe(project: Project, run: Run) -> dict[str, Any]:
    """What the plan of the project file does to its data: rows set aside by step, with examples.

    Raises:
        DataError: the data cannot be read, or the plan names a column that is not there.
        SpecError: there is no plan.
    """
    from fermion.practice.pipeline import Pipeline

    spec = project.spec
    if spec.data.clean == Clean() and not any(one.then == "aside" for one in spec.data.expect):
        repaired = [name for name, said in spec.data.columns.items() if said.repair is not None]
        if not repaired:
            raise SpecError("data.clean", rule="a plan", given=Told("none"), remedy="Propose one: fermion data clean --suggest")
    table = Pipeline(project, run).table()
    marks = making.divide(table, spec, run)
    cleaned = making.tidy(table, marks, spec, run)
    hidden = {name for name, said in spec.data.columns.items() if said.private is not None}
    shown = [one for one in cleaned.aside if not any(f"`{name}`" in one.reason for name in hidden)]
    return {
        "rows": int((marks.codes == TRAIN).sum()),
        "aside": cleaned.counts,
        "examples": {step: [f"row {one.row}: {one.reason}" for one in shown if one.step == step][:3] for step in cleaned.counts},
        "repaired": [name for name, said in spec.data.columns.items() if said.repair is not None],
    }
