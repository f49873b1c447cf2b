"""The work of the stages, each a function of values: no caching, no files, no printing. `pipeline` and `fermion.fit` both call these."""

from __future__ import annotations

import importlib.metadata
import io
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, field, structs
from numpy.typing import NDArray

import fermion
from fermion.bundle.golden import MOST, Golden
from fermion.bundle.manifest import Manifest, Provenance, Score
from fermion.bundle.profile import Profile
from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Step
from fermion.columns import assets as held
from fermion.columns.column import Arrays
from fermion.columns.output import Decision, Labels, Output, Probability, name_of
from fermion.columns.schema import Schema
from fermion.columns.text import Text
from fermion.core import registry
from fermion.core.errors import DataError, SpecError, Told
from fermion.core.run import Run
from fermion.core.sections import seconds
from fermion.core.spec import Spec, digest, document
from fermion.data.checks import Finding, check
from fermion.data.clean import Cleaned, clean
from fermion.data.expectations import aside
from fermion.data.split import Marks, split
from fermion.data.table import Table
from fermion.practice.preparation import (
    Learnable,
    encode,
    inputs_of,
    learn,
    made_of,
    output_of,
    parts,
    private_of,
    row_weights,
    set_aside,
    targets_of,
    time_of,
    units_of,
)
from fermion.research import evaluate
from fermion.research.blend import Blend
from fermion.research.folded import Folded
from fermion.research.model import Curve, Encoded, Model
from fermion.research.parity import check_parity
from fermion.research.prepare import Prepared, plan_of
from fermion.research.scoring import answers, task_of

LIBRARIES = (
    "numpy", "onnxruntime", "polars", "torch", "lightgbm", "scikit-learn", "onnx", "skl2onnx", "keras", "tensorflow", "tensorflow-cpu",
    "xgboost-cpu", "xgboost", "catboost", "tokenizers", "transformers",
)  # fmt: skip
MOST_CLASSES = 10_000  # an answer holds a number for each, and so does every row of an evaluation
ROOMY = 30.0  # seconds of a budget from which the default for tables is the blend


class Product(Struct, frozen=True, kw_only=True):
    """What fitting leaves behind: everything that a bundle needs and nothing of the library that trained it."""

    schema: Schema
    outputs: tuple[Output, ...]
    steps: tuple[Step, ...]
    graphs: dict[str, bytes]
    profile: Profile
    golden: Golden
    baseline: dict[str, list[Any]]  # by output array, what its `prior` says: class shares, the mean, ...
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict[str, str])
    model: dict[str, Any] = field(default_factory=dict[str, Any])  # type and settings, as chosen
    stopped: bool = False
    out_of_fold: bytes = b""  # answers to the training rows, then the validation rows, by models that did not see them; as npz
    assets: tuple[bytes, ...] = ()  # the files that the columns name by their digests

    def __post_init__(self) -> None:
        for data in self.assets:  # as it comes from the cache, in a process that has not fitted the columns
            held.put(data)

    def runtime(self, decisions: Mapping[str, Decision] | None = None, *, threads: int = 1) -> Runtime:
        """What answers rows."""
        return Runtime(schema=self.schema, steps=self.steps, graphs=self.graphs, outputs=self.outputs, decisions=decisions, threads=threads)


def default_model(schema: Schema, budget: float = 0.0) -> Model:
    """By the kinds of columns: `cnn` for one picture beside numbers, `net` for texts, series, sounds and several kinds, else trees.

    Where a table without those has a budget of half a minute or more, it is the blend.

    >>> from fermion.columns.number import Number
    >>> type(default_model(Schema.of({"age": Number()}))).__name__
    'Trees'
    """
    layout = schema.layout
    roles = [named.slot.role for named in layout.arrays if named.slot.role not in ("mask", "times", "vector")]
    if roles:
        return registry.find("models", "cnn" if roles == ["image"] else "net")()
    return registry.find("models", "blend" if budget >= ROOMY and (layout.numbers or layout.codes) else "trees")()


def model_of(spec: Spec, schema: Schema) -> Model:
    """The model of the project file, or the default one, behind the preparation that is declared for its inputs.

    Raises:
        SpecError: a column cannot be treated as it is declared, or folds where rows follow each other in time.
    """
    model: Model = spec.model if spec.model is not None else default_model(schema, seconds(spec.budget) if spec.budget else 0.0)
    if spec.split.by in ("time", "walk", "blocks"):
        if isinstance(model, Blend) and model.folds is None:
            model = structs.replace(model, folds=0)
        if isinstance(model, Folded) or (isinstance(model, Blend) and model.folds):
            raise SpecError(
                "a model of folds",
                rule="fitted on rows that stand beside each other, not after each other: its folds would learn from the future",
                given=Told(f"split.by: {spec.split.by}"),
                remedy="Take the model without folds; the newest rows before the test part are its validation part.",
                where="model",
            )
    plan = plan_of(schema, inputs_of(spec.data))
    return model if plan is None else Prepared(model=model, plan=plan)


def divide(table: Table, spec: Spec, run: Run) -> Marks:
    """Which rows are for training, validation and test.

    Raises:
        DataError: a part would be empty, or the column to split by is not there.
    """
    targets = targets_of(spec.data)
    kinds = {target: output_of(target, table, spec.data) for target in targets}
    classes = [target for target, output in kinds.items() if isinstance(output, Probability)]
    truth: Any = table.values(targets[0]) if len(targets) == 1 else {target: table.values(target) for target in classes} or None
    if len(targets) == 1 and isinstance(output := kinds[targets[0]], Labels):
        classes, truth = targets, [list(map(name_of, labels or ())) for labels in output.rows(truth)]
    try:
        marks = split(table, spec.split, target=truth, task_is_classification=bool(classes), rng=run.rng("split"))
    except DataError as bad:
        if spec.split.column in private_of(spec.data):
            raise DataError(bad.subject, rule=bad.rule, given=Told("a private value"), remedy=bad.remedy, where=bad.where) from None
        raise
    if not len(marks.test):
        given = Told("no row")
        raise SpecError("the test part", rule="at least one row", given=given, remedy="Give split.test a larger share.", where="split.test")
    return marks


def tidy(table: Table, marks: Marks, spec: Spec, run: Run) -> Cleaned:
    """The training part without the rows that the cleaning plan, or an expectation with `then: aside`, sets aside.

    Raises:
        DataError: the plan names a column that is not there, or leaves nothing.
    """
    targets = targets_of(spec.data)
    broken = aside(table, spec.data.expect)
    unseen = [*set_aside(spec, table), *made_of(spec.data)]
    return clean(
        table,
        marks,
        spec.data.clean,
        ignore=unseen,
        targets=targets,
        more=broken,
        private=private_of(spec.data),
        seed=run.seed_for("clean"),
    )


def look(table: Table, marks: Marks, spec: Spec, *, training: str = "") -> list[Finding]:
    """What would spoil a fit or a number.

    Args:
        training: the digest of the training part before rows were set aside.
    """
    targets = targets_of(spec.data)
    kinds = {target: isinstance(output_of(target, table, spec.data), Probability) for target in targets}
    time = time_of(spec, table)
    return check(
        _readable(table.drop([name for name in set_aside(spec, table) if name != time]), targets),
        targets=tuple(targets),
        marks=marks,
        classification=kinds,
        accept=spec.checks.accept,
        time=time,
        expect=spec.data.expect,
        made_from=spec.data.clean.made_from,
        training=training,
        private=frozenset(private_of(spec.data)),
        texts=frozenset(name for name, said in spec.data.columns.items() if isinstance(said.column, Text)),
        similarity=spec.data.clean.similarity,
    )


def _readable(table: Table, targets: list[str]) -> Table:
    """The table with targets that are lists as texts, so that they can be compared like others."""
    for name in targets:
        if name in table.names and table.series(name).dtype.is_nested():
            table = table.with_column(name, [None if value is None else str(value) for value in table.series(name).to_list()])
    return table


def plan(table: Table, marks: Marks, spec: Spec) -> Learnable:
    """Columns and outputs, after making sure that everything the project file says about them holds: known before a long fit.

    Raises:
        DataError: the data do not fit. SpecError: a weight, metric, class or slice that is not there.
    """
    learnt = learn(table, marks, spec)
    model_of(spec, learnt.schema)
    evaluate.check(spec, learnt.outputs, table.names)
    row_weights(table, spec.data, "evaluate")
    for output in learnt.outputs:
        if isinstance(output, Probability) and len(output.classes) < 2:
            raise DataError(
                f"the target `{output.target}`",
                rule="made of at least two classes in the training part",
                given=Told(f"`{output.classes[0]}` alone" if output.classes else "none"),
                remedy="Choose another target, or another split.",
            )
        if isinstance(output, Probability) and len(output.classes) > MOST_CLASSES:
            merge = "Merge rare values into one class, or choose a target with fewer."
            counts = (
                f"If it counts something, declare `{output.target}: number` under data.columns. "
                if isinstance(output.classes[0], int)
                else ""
            )
            raise DataError(
                f"the target `{output.target}`",
                rule=f"made of at most {MOST_CLASSES:,} classes",
                given=Told(f"{len(output.classes):,}"),
                remedy=counts + merge,
            )
    return learnt


def fit(table: Table, marks: Marks, spec: Spec, run: Run) -> Product:
    """Columns, outputs and the model learned from the training part, exported and compared with its export.

    Raises:
        DataError: the data do not fit. FermionError: the export differs from the model.
    """
    learnt = plan(table, marks, spec)
    for name, why in learnt.skipped.items():
        run.emit("note", "fit", f"`{name}` is no input: {why}")
    rows, weights_N = parts(marks), row_weights(table, spec.data, "fit")
    # The test part too, though it is dropped: a value that does not fit is known before a long fit.
    _, train, valid = (
        encode(table, learnt.schema, learnt.outputs, weights_N, rows=rows[part], scratch=run.folder)
        for part in ("test", "train", "validation")
    )
    train = msgspec.structs.replace(train, units=units_of(table, spec, rows["train"]))
    valid = msgspec.structs.replace(valid, units=units_of(table, spec, rows["validation"]))
    model = model_of(spec, learnt.schema)
    fitted = model.fit(train, valid, run.within(0.9))  # the rest is for the export
    for note in fitted.notes:
        run.emit("note", "fit", note)
    export = fitted.export()
    some = {name: array[:1000] for name, array in (valid if len(valid) else train).arrays.items()}
    difference = check_parity(export, some, fitted.run(some))
    run.emit("note", "fit", f"the exported graphs differ from the model by {difference:.1g} at the most")
    runtime = Runtime(schema=learnt.schema, steps=export.steps, graphs=export.graphs, outputs=learnt.outputs)
    arrays = answers(runtime, valid.arrays if len(valid) else train.arrays)
    held = next(rows[part] for part in ("test", "validation", "train") if len(rows[part]))
    return Product(
        schema=learnt.schema,
        outputs=learnt.outputs,
        steps=export.steps,
        graphs=export.graphs,
        profile=Profile.of(learnt.schema, table.part(rows["train"], learnt.schema.names), learnt.outputs, arrays),
        golden=Golden.of(runtime, table.take(spread(held, MOST)).batch(learnt.schema.names), seed=run.seed_for("golden")),
        baseline={output.array: _guess(output, train) for output in learnt.outputs},
        curves=fitted.curves,
        notes=fitted.notes,
        skipped=learnt.skipped,
        model=_told(model),
        stopped=run.stopped,
        out_of_fold=_packed(fitted.out_of_fold),
        assets=tuple(asset.read() for asset in learnt.schema.assets),
    )


def manifest_of(
    spec: Spec,
    product: Product,
    *,
    decisions: Mapping[str, Decision],
    metrics: Mapping[str, Score],
    data: Mapping[str, Any],
    code: str | None,
) -> Manifest:
    """The manifest of a product; `bundle.write` fills in the files."""
    return Manifest(
        name=spec.name,
        task=task_of(product.outputs),
        schema=product.schema,
        steps=product.steps,
        outputs=product.outputs,
        files={},
        decisions=dict(decisions),
        metrics=dict(metrics),
        needs=product.schema.needs,
        packages=plugins(product.schema),
        provenance=Provenance(
            fermion=fermion.__version__,
            seed=spec.seed,
            data=dict(data),
            spec={
                "digest": digest(spec),
                "model": product.model,
                "file": {name: value for name, value in document(spec).items() if name != "serve"},
            },
            code=code,
            libraries=libraries(),
        ),
    )


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of the rows, evenly spread.

    >>> spread(np.arange(100), 3).tolist()
    [0, 49, 99]
    """
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))]


def libraries() -> dict[str, str]:
    """The versions of what took part, as far as installed."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plugins(schema: Schema) -> dict[str, str]:
    """Packages other than fermion whose columns a schema uses, with their versions."""
    found = dict(registry.package("columns", kind) for one in schema.fields for kind in one.kinds)
    return {name: version for name, version in found.items() if name != "fermion"}


def commit_of(folder: Path) -> str | None:
    """The git commit that a project's folder is at, or None where there is no repository."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, timeout=5, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def unpacked(kept: bytes) -> Arrays | None:
    """The arrays of `Product.out_of_fold`, or None where there are none."""
    if not kept:
        return None
    with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _packed(arrays: Arrays | None) -> bytes:
    if arrays is None:
        return b""
    target = io.BytesIO()
    np.savez(target, allow_pickle=False, **arrays)
    return target.getvalue()


def _told(model: Model) -> dict[str, Any]:
    """The model with its settings; how its inputs are prepared stands among them."""
    if isinstance(model, Prepared):
        return {**msgspec.to_builtins(model.model), "prepare": msgspec.to_builtins(model.plan)}
    return msgspec.to_builtins(model)


def _guess(output: Output, train: Encoded) -> list[Any]:
    """What someone says who has seen the training labels and nothing else: class shares, the mean, ... (weighted as the fit is)."""
    y = train.targets[output.target]
    there_N = output.known(y)
    prior = output.prior(y[there_N], None if train.weights is None else train.weights[there_N])
    return np.atleast_1d(prior).tolist()
