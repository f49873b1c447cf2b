"""A project scored by every fold of its split: each fold is the test part of a fit of its own. `fermion evaluate`."""

from __future__ import annotations

import math
import time
from typing import Any

from msgspec import Struct

from fermion.core.errors import Stopped, UsageError
from fermion.core.run import Run
from fermion.measure.folds import over_folds
from fermion.measure.metrics import METRICS
from fermion.practice.pipeline import Pipeline
from fermion.practice.project import Project
from fermion.research.evaluate import Report

FOLDS = 5


class FoldScore(Struct, frozen=True, kw_only=True):
    """One metric over the folds: the mean with its 95 % interval, what each fold scored, and the mean of the baseline."""

    value: float | None
    low: float | None
    high: float | None
    folds: tuple[float | None, ...]
    baseline: float | None


class CrossValidated(Struct, frozen=True, kw_only=True):
    """What `fermion evaluate` gives; as `--json` prints it."""

    name: str
    task: str
    folds: int
    rows: tuple[dict[str, int], ...]
    metrics: dict[str, FoldScore]
    seconds: float
    stopped: bool = False


def cross_validate(project: Project, run: Run, *, folds: int = 0, fresh: bool = False) -> CrossValidated:
    """Split, clean, check, fit and score once per fold; nothing is bundled or registered, and what was fitted before is reused.

    Every fold costs what `fermion run` costs, its time budget included. After a stop the folds that are done count, if there are two.

    Args:
        folds: how many; 0 takes `split.folds`, else 5.

    Raises:
        SpecError: a split that has no folds (in time they are `by: walk` or `by: blocks`). FermionError: what a run would raise.
    """
    began = time.perf_counter()
    count = folds or project.spec.split.folds or FOLDS
    if count < 2:
        raise UsageError("--folds", rule="at least 2", given=count)
    first = Pipeline(project, run, fresh=fresh)
    reports: list[Report] = []
    for fold in range(count):
        run.emit("progress", "folds", f"fold {fold + 1} of {count}", done=fold, total=count)
        try:
            reports.append(first.of_fold(fold, count).scored().report)
        except Stopped:
            if len(reports) < 2:
                raise
        if run.stopped:
            break
    sizes = tuple({part: int(rows) for part, rows in report.split["sizes"].items()} for report in reports)
    ratio = sum(size["test"] for size in sizes) / max(1, sum(size["train"] + size["validation"] for size in sizes))
    return CrossValidated(
        name=project.spec.name,
        task=reports[0].task,
        folds=len(reports),
        rows=sizes,
        metrics={name: _over(name, [report.metrics.get(name) for report in reports], ratio) for name in reports[0].metrics},
        seconds=round(time.perf_counter() - began, 3),
        stopped=run.stopped,
    )


def _over(name: str, scores: list[Any], ratio: float) -> FoldScore:
    """One metric of all folds, its interval within what it can be; a fold in which it is undefined is left out."""
    values = [None if score is None else score.value for score in scores]
    mean = over_folds([float("nan") if value is None else value for value in values], ratio=ratio)
    base = over_folds([float("nan") if score is None or score.baseline is None else score.baseline for score in scores], ratio=ratio)
    known = METRICS.get(name.rpartition(".")[2])
    ends = (mean.low, mean.high) if known is None else (max(mean.low, known.low), min(mean.high, known.high))
    value, low, high, baseline = (None if math.isnan(one) else one for one in (mean.value, *ends, base.value))
    return FoldScore(value=value, low=low, high=high, folds=tuple(values), baseline=baseline)
