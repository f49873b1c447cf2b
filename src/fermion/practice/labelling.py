"""The label room of a project: find wrong labels, choose what to label next, label it. Plain values, for a command or a page.

.fermion/labels/TARGET/queue.json, decisions.jsonl   see `fermion.data.label_queue`
.fermion/labels/TARGET/predicted.npz                 what models said about rows that they had not seen

Labels that were given are laid over the source by `overlay`, and with that count in every later run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, cast, get_args

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.bundle.bundle import replacing
from fermion.columns.infer import declare, infer
from fermion.columns.output import Label, name_of
from fermion.columns.repair import Repaired
from fermion.core.errors import UsageError, did_you_mean
from fermion.core.run import Run
from fermion.core.spec import Spec, document
from fermion.data import sources
from fermion.data.active import NEEDS_FEATURES, NEEDS_PROBABILITIES, Strategy, pick
from fermion.data.embedding import embedding
from fermion.data.label_queue import Item, Queue
from fermion.data.labels import find_errors
from fermion.data.rowkeys import row_keys
from fermion.data.table import Table
from fermion.practice import collecting
from fermion.practice.cache import digest
from fermion.practice.crossfit import Predicted, classes_of, one_target, out_of_fold
from fermion.practice.making import libraries
from fermion.practice.preparation import set_aside, targets_of
from fermion.practice.project import Project
from fermion.practice.showing import shown_row

FOLDS, BUDGET = 5, 200
STRATEGIES = ("errors", *get_args(Strategy))
_ROW = "row of the source"  # the name of a column that goes along while features are made


class Rows(Struct, frozen=True, kw_only=True, eq=False):
    """The source with the labels laid over it, and the same rows, all of them, as models get them."""

    source: Table
    ready: Table
    without: tuple[str, ...]

    def keys(self) -> list[str]:
        """The keys of the source's rows."""
        return row_keys(self.source, without=self.without)


def errors(project: Project, run: Run, *, target: str | None = None, folds: int = FOLDS, most: int = BUDGET) -> dict[str, Any]:
    """Rank the rows whose labels look wrong, and make them the queue.

    Args:
        target: which of several targets.
        folds: models to fit, each on the rows of the others' parts.
        most: rows to put into the queue.

    Raises:
        SpecError: the target is numbers. DataError: fewer than two classes, fewer rows than folds.
    """
    rows = read(project, target)
    predicted = _predicted(project, rows, run, target, folds)
    return _begin_errors(project, rows, predicted, target, most)


def following(
    project: Project,
    run: Run,
    *,
    count: int = 1,
    strategy: str | None = None,
    target: str | None = None,
    by: str | None = None,
    overlap: int = 1,
    budget: int = BUDGET,
    classes: Sequence[Label] = (),
) -> dict[str, Any]:
    """The next items of the round; a new round begins where there is none, where another strategy is asked for, or one that is used up.

    Args:
        count: how many items.
        strategy: errors, margin, entropy, confidence, coverage, badge or random; None goes on with the round, or begins with errors
            (coverage where no row has a label).
        by: the annotator, who is not asked twice.
        overlap: annotators per item.
        budget: labels that can be afforded in a new round.
        classes: the labels that may be given in a new round besides those of the data; needed where no row has one.

    Raises:
        UsageError: an unknown strategy. DataError: what the strategy needs cannot be had.
    """
    queue = queue_of(project, target)
    if strategy is not None and strategy not in STRATEGIES:
        raise UsageError("the strategy", rule=f"one of {', '.join(STRATEGIES)}", given=strategy, remedy=did_you_mean(strategy, STRATEGIES))
    used_up = queue.exists and not queue.next(1, by=by, overlap=overlap)
    if not queue.exists or (strategy is not None and (used_up or strategy != queue.contents.strategy)):
        _begin(project, run, strategy, target, budget, classes)
    contents = queue.contents
    return {
        "target": contents.target,
        "strategy": contents.strategy,
        "classes": [name_of(label) for label in contents.classes],
        "items": [msgspec.to_builtins(item) for item in queue.next(count, by=by, overlap=overlap)],
        **queue.progress(),
    }


def decide(project: Project, item: str, label: Label | None, *, by: str, target: str | None = None) -> dict[str, Any]:
    """Give one row its label, None for "cannot tell".

    Raises:
        UsageError: no such item or label, or no queue yet.
    """
    queue = queue_of(project, target)
    return {**msgspec.to_builtins(queue.set(item, label, by=by)), "target": queue.contents.target, **queue.progress()}


def overlay(table: Table, project: Project) -> Table:
    """A source's rows with the labels that were given in the label room; the same table where there is none.

    To be called on the source as it was read, before joins, features and the drop of unlabelled rows.

    Raises:
        DataError: a target cannot hold its labels.
    """
    for target in targets_of(project.spec.data):
        queue = queue_of(project, target)
        if queue.exists:
            table = queue.apply(table, target, written=_written(table, target, project.spec))
    return table


def _written(table: Table, target: str, spec: Spec) -> dict[Label, str]:
    """How the texts of a target that is mended write labels that are no texts: the most frequent text of each."""
    said = spec.data.columns.get(target)
    if said is None or said.repair is None or target not in table.names or str(table.series(target).dtype) != "String":
        return {}
    texts: list[str] = [*table.series(target).drop_nulls().value_counts(sort=True)[target].to_list(), *said.repair.truth]
    column = cast(Repaired, declare(texts, msgspec.structs.replace(said, private=None)))
    unread = collecting.read_with(column, texts)[1]
    meant = [(column.value(text), text) for row, text in enumerate(texts) if row not in unread]
    return {cast(Label, label): text for label, text in reversed(meant) if isinstance(label, bool | int | float)}


def stamp(project: Project) -> list[tuple[str, int, int]]:
    """What changes with every decision: each target's file of decisions, its size and time of change (ns)."""
    paths = [queue_of(project, target).folder / "decisions.jsonl" for target in targets_of(project.spec.data)]
    return [(path.parent.name, (state := path.stat()).st_size, state.st_mtime_ns) for path in paths if path.is_file()]


def queue_of(project: Project, target: str | None = None) -> Queue:
    """The queue of a target.

    Raises:
        UsageError: there are several targets and none is named, or no target has this name.
    """
    name = targets_of(one_target(project.spec, target).data)[0]
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return Queue(project.state / "labels" / (plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"))


def read(project: Project, target: str | None = None) -> Rows:
    """All rows of the project, with and without a label.

    Raises:
        DataError: the source cannot be read.
    """
    spec, data = project.spec, project.spec.data
    source = overlay(collecting.as_it_is(spec, folder=project.folder, place=project.place), project)
    name = targets_of(one_target(spec, target).data)[0]
    source = source if name in source.names else source.with_column(name, [None] * len(source))
    gone = {column for column, said in data.columns.items() if said.private == "drop"}
    numbered = source.with_column(_ROW, np.arange(len(source)))
    # With a second target `shaped` keeps rows without a label, which are those that are asked for here.
    keeping = msgspec.structs.replace(spec, data=msgspec.structs.replace(data, target=(name, _ROW), drop_unlabelled=False))
    ready = collecting.shaped(
        numbered, keeping, lambda other: sources.read(other, folder=project.folder, where=project.place("joins")), project.place("target")
    )
    ready = ready.take(np.argsort(np.asarray(ready.values(_ROW)), kind="stable")).drop([_ROW])
    return Rows(source=source, ready=ready, without=tuple(sorted({*targets_of(data), *(gone & set(source.names))})))


def choices(project: Project, rows: Rows, target: str | None = None) -> tuple[str, tuple[Label, ...]]:
    """The target, and the labels that may be given.

    Raises:
        SpecError: the target is numbers.
    """
    spec = one_target(project.spec, target)
    return targets_of(spec.data)[0], _classes(rows.ready, spec, queue_of(project, target), ())


def _begin(project: Project, run: Run, strategy: str | None, target: str | None, budget: int, classes: Sequence[Label]) -> None:
    rows = read(project, target)
    spec = one_target(project.spec, target)
    name = targets_of(spec.data)[0]
    unlabelled_N = rows.ready.series(name).is_null().to_numpy()
    chosen = strategy or ("coverage" if unlabelled_N.all() else "errors")
    predicted = _predicted(project, rows, run, target, None) if chosen in ("errors", *NEEDS_PROBABILITIES) else None
    if chosen == "errors" and predicted is not None:
        _begin_errors(project, rows, predicted, target, budget, classes)
        return
    queue, keys = queue_of(project, target), rows.keys()
    known = _classes(rows.ready, spec, queue, classes)
    done = {decision.item for decision in queue.decisions()}
    fresh_N = np.array([key not in done for key in keys], dtype=np.bool_)
    candidates = np.flatnonzero(unlabelled_N & fresh_N)
    if not len(candidates):  # every row has a label: look again at those that are worth it
        candidates = np.flatnonzero(fresh_N)
    picked = pick(
        cast(Strategy, chosen),
        candidates,
        budget,
        seed=run.seed_for("label: pick"),
        probabilities=None if predicted is None else predicted.probabilities,
        features=_features(rows.ready, spec) if chosen in NEEDS_FEATURES else None,
        labelled=np.setdiff1d(np.flatnonzero(~unlabelled_N), candidates),
        names=tuple(name_of(label) for label in known),
    )
    best_N = None if predicted is None else predicted.probabilities.argmax(1)
    suggestions = [None if best_N is None or predicted is None else predicted.output.classes[int(best_N[row])] for row in picked.rows]
    _fill(project, rows, target, known, keys, chosen, picked.rows, picked.scores, picked.reasons, suggestions)


def _begin_errors(
    project: Project, rows: Rows, predicted: Predicted, target: str | None, most: int, classes: Sequence[Label] = ()
) -> dict[str, Any]:
    queue, keys, output = queue_of(project, target), rows.keys(), predicted.output
    suspects = find_errors(predicted.codes, predicted.probabilities)
    done = {decision.item for decision in queue.decisions()}
    open_M = np.array([keys[row] not in done for row in suspects.rows], dtype=np.bool_)  # who looked at it has said what it is
    listed, scores, codes = suspects.rows[open_M][:most], suspects.scores[open_M][:most], suspects.suggestions[open_M][:most]
    names = [name_of(label) for label in output.classes]
    reasons = [
        f"models that did not see it say {names[code]} {predicted.probabilities[row, code]:.2f}, its label {names[mine]} {1 - score:.2f}"
        for row, code, score, mine in zip(listed, codes, scores, predicted.codes[listed], strict=True)
    ]
    known = _classes(rows.ready, one_target(project.spec, target), queue, classes)
    suggestions = [output.classes[int(code)] for code in codes]
    items = _fill(project, rows, target, known, keys, "errors", listed, scores, reasons, suggestions)
    joint_KK = suspects.joint * (1 - np.eye(len(names)))
    pairs = [divmod(int(place), len(names)) for place in np.argsort(-joint_KK.ravel(), kind="stable")[:10]]
    labelled = int((predicted.codes >= 0).sum())
    return {
        "target": output.target,
        "classes": names,
        "rows": len(rows.source),
        "labelled": labelled,
        "estimated": suspects.estimated,
        "share": suspects.estimated / labelled,
        "found": len(suspects),
        "reviewed": int((~open_M).sum()),
        "confused": [
            {"label": names[given], "truth": names[truth], "share": float(joint_KK[given, truth])}
            for given, truth in pairs
            if joint_KK[given, truth] > 0
        ],
        "items": [msgspec.to_builtins(item) for item in items],
    }


def _fill(
    project: Project,
    rows: Rows,
    target: str | None,
    classes: tuple[Label, ...],
    keys: Sequence[str],
    strategy: str,
    chosen: NDArray[np.int64],
    scores: NDArray[np.float64],
    reasons: Sequence[str],
    suggestions: Sequence[Label | None],
) -> list[Item]:
    name = targets_of(one_target(project.spec, target).data)[0]
    private = {column for column, said in project.spec.data.columns.items() if said.private is not None}
    hidden = {name, *rows.without, *private}
    now: list[Any] = rows.source.series(name).to_list()
    items = [
        Item(
            item=str(keys[row]),
            row=row,
            score=float(score),
            reason=reason,
            label=now[row],
            suggestion=suggestion,
            data=shown_row(rows.source, row, hidden),
        )
        for row, score, reason, suggestion in zip(chosen.tolist(), scores, reasons, suggestions, strict=True)
    ]
    queue_of(project, target).fill(name, classes, keys=keys, items=items, strategy=strategy, without=rows.without)
    return items


def _classes(table: Table, spec: Spec, queue: Queue, more: Sequence[Label]) -> tuple[Label, ...]:
    """The labels that may be given: those of the data, those of the queue so far, and those that are named."""
    name = targets_of(spec.data)[0]
    known: dict[str, Label] = {}
    if table.series(name).null_count() < len(table):
        known |= {name_of(label): label for label in classes_of(table, spec, least=1)[0].classes}
    if queue.exists:
        known |= {name_of(label): label for label in queue.contents.classes if name_of(label) not in known}
    known |= {name_of(label): label for label in more if name_of(label) not in known}
    return tuple(known.values())


def _predicted(project: Project, rows: Rows, run: Run, target: str | None, folds: int | None) -> Predicted:
    """What models say, kept until the rows, the labels or the model change; any number of folds will do for None."""
    spec = one_target(project.spec, target)
    output, codes_N = classes_of(rows.ready, spec)
    said = document(spec)
    key = digest([rows.ready.fingerprint, said["data"], said.get("model"), said.get("split"), spec.seed, libraries()])
    path = queue_of(project, target).folder / "predicted.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["key"]) == key and folds in (None, int(kept["folds"].max()) + 1):
                return Predicted(output=output, codes=codes_N, probabilities=kept["probabilities"].astype(np.float64), folds=kept["folds"])
    predicted = out_of_fold(rows.ready, spec, run, folds=folds or FOLDS)
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, key=np.array(key), probabilities=predicted.probabilities.astype(np.float32), folds=predicted.folds)
    return predicted


def _features(table: Table, spec: Spec) -> NDArray[np.float32]:
    """(N, F) what tells rows apart, from all columns that a model would see."""
    targets = targets_of(spec.data)
    names = [name for name in table.names if name not in targets and name not in spec.data.ignore]
    batch = table.batch(names)
    inputs = {name: said for name, said in spec.data.columns.items() if name not in targets}
    found = infer(batch, inputs, without=(*targets, *set_aside(spec, table)))
    schema = found.schema.fit(batch, missing=found.missing)
    return embedding(schema.encode(table.batch(schema.names)), schema.layout)
