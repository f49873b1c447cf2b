"""Scores a model on the test part: metrics with intervals beside the baseline's, and everything that the report shows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from fermion.bundle.manifest import Score
from fermion.columns.column import Values, is_missing
from fermion.columns.output import Output, Probability, name_of
from fermion.core.errors import NotReached, SpecError, Told, did_you_mean
from fermion.core.run import Run
from fermion.core.spec import Spec, document
from fermion.data.table import Table
from fermion.measure.answered import Answered
from fermion.measure.page import shown_as
from fermion.research import figures, own_metrics, slices
from fermion.research.deciding import check_choice, decisions
from fermion.research.importance import importances
from fermion.research.judging import BY
from fermion.research.mistakes import most_confident
from fermion.research.model import Curve, Encoded
from fermion.research.report import Detail, Importance, Report
from fermion.research.scoring import Answering, Judged, answers, judge, names_of, prefix_of, scores, smoothed, task_of

__all__ = ["Report", "check", "evaluate", "missed"]

STAGE = "evaluate"


def check(spec: Spec, outputs: Sequence[Output], names: Iterable[str]) -> None:
    """Whether `evaluate` and `decide` mean something for these outputs and columns: worth knowing before a long fit.

    Raises:
        SpecError: a metric, a class or a column that is not there.
    """
    check_choice(spec.decide, outputs)
    _check_required(spec.evaluate.require, [*names_of(outputs), *own_metrics.names_of(spec.evaluate.metrics, outputs)])
    columns = list(names)
    for name in spec.evaluate.slices:
        if name not in columns:
            rule = f"a column of the data ({', '.join(columns[:12])})"
            raise SpecError("evaluate.slices", rule=rule, given=name, remedy=did_you_mean(name, columns), where="evaluate.slices")


def evaluate(
    model: Answering,
    *,
    test: Encoded,
    valid: Encoded | None,
    chosen_by: Answering | None = None,
    raw: Table,
    rows: NDArray[np.int64],
    groups: Values | None = None,
    baseline: Mapping[str, Sequence[Any]],
    spec: Spec,
    curves: Sequence[Curve] = (),
    notes: Sequence[str] = (),
    findings: Sequence[dict[str, Any]] = (),
    split: Mapping[str, Any] | None = None,
    run: Run,
) -> Report:
    """Everything that is known about a model on the test part; thresholds are chosen on the validation part.

    Args:
        model: a Runtime or a Fitted.
        test: the encoded test part; its weights are those of the evaluation, or None. Unlabelled rows are left out target by target.
        valid: the encoded validation part, or None.
        chosen_by: what answers `valid` in place of the model, which learned from these rows.
        raw: the rows of `test` as they came.
        rows: (N,) their numbers in the source.
        groups: (N,) the unit that the bootstrap draws, or None where each row is one.
        baseline: by output array, what its `prior` says of the training part: class shares, the standardised mean, ...
        findings: of the checks, as plain values.
        split: how the rows were told apart, as plain values; `sizes` has the rows by part.

    Raises:
        SpecError: `spec` names a metric, a class or a column that is not there.
        DataError: no test rows, or a threshold to choose and nothing to choose it on.
    """
    began = time.perf_counter()
    check(spec, test.outputs, raw.names)
    own = own_metrics.load(spec.evaluate.metrics, run.home)
    run.emit("progress", STAGE, "answers", done=0, total=len(test))
    decided = decisions(spec.decide, test.outputs, chosen_by or model, valid)
    said = answers(model, test.arrays)
    units = None if groups is None else _codes(groups)
    private = {name for name, said in spec.data.columns.items() if said.private is not None}
    levels = _levels(test, raw, spec.evaluate.slices, private)
    found: dict[str, Score] = {}
    details: dict[str, Detail] = {}
    for output in test.outputs:
        run.emit("progress", STAGE, f"metrics of {output.target}", done=len(details), total=len(test.outputs))
        judged = judge(output, test, said, decided.get(output.target))
        seed, of_rows = run.seed_for("bootstrap"), None if units is None else units[judged.at]
        scored = scores(judged, baseline[output.array], draws=spec.evaluate.draws, seed=seed, groups=of_rows)
        scored |= own_metrics.scores(own, judged, baseline[output.array], draws=spec.evaluate.draws, seed=seed, groups=of_rows)
        found |= {
            prefix_of(output, test.outputs) + name: score for name, score in (scored | smoothed(judged, baseline[output.array])).items()
        }
        details[output.target] = _detail(judged, test, raw, rows, levels, run)
    shuffled, more = importances(model, test, decided, run)
    details = {target: _with_importance(detail, shuffled.get(target, ())) for target, detail in details.items()}
    run.emit("progress", STAGE, "done", done=len(test), total=len(test))
    return Report(
        task=task_of(test.outputs),
        rows=len(test),
        metrics=found,
        decisions=decided,
        details=details,
        curves=tuple(_drawable(curve) for curve in curves),
        findings=tuple(map(_as_json, findings)),
        split=_as_json(split or {}),
        settings=document(spec),
        draws=spec.evaluate.draws,
        weighted=test.weights is not None,
        grouped=groups is not None,
        own={one.name: one.direction for one in own},
        notes=(*notes, *more),
        seconds=round(time.perf_counter() - began, 3),
    )


def missed(metrics: Mapping[str, Score], require: Mapping[str, float], own: Mapping[str, str] | None = None) -> NotReached | None:
    """The error for the requirements that were not reached, or None: an accuracy must be at least, an RMSE at most what is required.

    >>> print(missed({"accuracy": Score(value=0.9, low=0.85, high=0.94)}, {"accuracy": 0.95}).message)
    `accuracy` must be at least 0.9500 on the test part, got 0.9000 (95 % interval 0.8500 to 0.9400).

    Args:
        own: metrics of the project's own, by name: whether more of them is better ("max"), or less ("min").

    Raises:
        SpecError: a required metric is none of this task's.
    """
    _check_required(require, list(metrics))
    failed: list[tuple[str, str, str]] = []
    for name, wanted in require.items():
        score, at_least = metrics[name], own_metrics.direction_of(name, own or {}) == "max"
        if score.value is None or (score.value < wanted if at_least else score.value > wanted):
            rule = f"at {'least' if at_least else 'most'} {shown_as(float(wanted))} on the test part"
            failed.append((name, rule, _told(score)))
    if not failed:
        return None
    name, rule, given = failed[0]
    others = "".join(f"; `{also}` must be {its_rule}, got {its_given}" for also, its_rule, its_given in failed[1:])
    return NotReached(
        f"`{name}`",
        rule=rule,
        given=Told(given + others),
        remedy="The report's worst slices and most confident errors show where it fails. Improve the data or the model, or ask for less.",
    )


def _check_required(require: Mapping[str, float], names: Sequence[str]) -> None:
    for name in require:
        if name not in names:
            remedy = did_you_mean(name, names) or "Several targets have theirs as `target.metric`."
            raise SpecError(
                "evaluate.require",
                rule=f"made of this task's metrics ({', '.join(names)})",
                given=name,
                remedy=remedy,
                where="evaluate.require",
            )


def _told(score: Score) -> str:
    if score.value is None:
        return "nothing, for it is undefined there"
    between = "" if score.low is None else f" (95 % interval {shown_as(score.low)} to {shown_as(score.high)})"
    return shown_as(score.value) + between


def _detail(
    judged: Judged, test: Encoded, raw: Table, rows: NDArray[np.int64], levels: Sequence[tuple[str, slices.Levels, bool]], run: Run
) -> Detail:
    output, scored = judged.output, judged.scored
    here = [(name, slices.Levels(one.names, one.codes[judged.at]), asked) for name, one, asked in levels]
    whole, worst = slices.worst(scored, here, judged.task)
    shared: dict[str, Any] = {
        "target": output.target,
        "task": judged.task,
        "primary": judged.metrics[0].name,
        "rows": len(scored) if scored.weights is None else int((scored.weights > 0).sum()),
        "slice_metric": BY.get(judged.task, ""),
        "slice_whole": whole,
        "slices": worst,
        "mistakes": most_confident(judged, test, raw, rows),
    }
    if isinstance(scored, Answered):
        return Detail(**shared, reliability=figures.coverage(scored))
    if not isinstance(output, Probability):
        return Detail(**shared, histogram=figures.errors(scored), scatter=figures.scatter(scored, run.rng("scatter")))
    names = tuple(name_of(label) for label in output.classes)
    roc, precision_recall = figures.lines(scored, output)
    return Detail(
        **shared,
        classes=names,
        confusion=figures.confusion(scored, names),
        roc=roc,
        precision_recall=precision_recall,
        thresholds=figures.thresholds(scored, output),
        reliability=figures.reliability(scored, output),
        histogram=figures.probabilities(scored, output),
    )


def _levels(test: Encoded, raw: Table, asked: Sequence[str], private: Set[str]) -> list[tuple[str, slices.Levels, bool]]:
    """The columns that have slices: those of the project file first, then the inputs. Values of private ones get numbers for names."""
    pictures = {named.field for named in test.schema.layout.arrays if named.slot.role == "image"}
    names = [*asked, *(name for name in test.schema.names if name not in asked and name not in pictures and name in raw.names)]
    made = [(name, slices.levels_of(raw.values(name), asked=name in asked), name in asked) for name in dict.fromkeys(names)]
    shown = [(name, levels, named) for name, levels, named in made if levels is not None]
    return [(name, slices.unnamed(levels) if name in private else levels, named) for name, levels, named in shown]


def _codes(groups: Values) -> NDArray[np.int64]:
    """The groups as numbers; rows without one are each a group of their own."""
    listed = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    seen: dict[object, int] = {}
    return np.array(
        [seen.setdefault(("row", row) if is_missing(value) else value, len(seen)) for row, value in enumerate(listed)], np.int64
    )


def _with_importance(detail: Detail, found: tuple[Importance, ...]) -> Detail:
    return replace(detail, importance=found)


def _as_json(value: Any) -> Any:
    """The value as it is after it was stored: lists for tuples, text for keys."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _drawable(curve: Curve) -> Curve:
    """A training curve without the points that are not finite: JSON has no word for them."""
    points = [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True) if np.isfinite(x) and np.isfinite(y)]
    return Curve(name=curve.name, x=[x for x, _ in points], y=[y for _, y in points], unit=curve.unit)
