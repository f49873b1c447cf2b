"""`fermion evaluate`: every fold once, the mean with its interval, metrics of the project's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fermion.app.cli import main
from fermion.core.errors import SpecError, UsageError
from fermion.core.run import Run
from fermion.measure.folds import over_folds, student
from fermion.practice.crossvalidation import cross_validate
from fermion.practice.project import Project

SPEC = """\
name: folds
data: {source: rows.csv, target: bought}
model: linear
evaluate: {draws: 20, metrics: ["costs:cost"]}
"""
COST = '''\
def cost(scored):
    """Five for a buyer who is missed, one for a call in vain."""
    missed = (scored.truth == 1) & (scored.decided == 0)
    in_vain = (scored.truth == 0) & (scored.decided == 1)
    return (5 * missed + in_vain).mean()

cost.direction = "min"
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=160)
    bought = np.where(x_N + rng.normal(size=160) > 0, "yes", "no")
    lines = [f"{x},{z},{y}" for x, z, y in zip(x_N, rng.normal(size=160), bought, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,z,bought", *lines]))
    (tmp_path / "fermion.yaml").write_text(SPEC)
    (tmp_path / "costs.py").write_text(COST)
    return tmp_path


def test_each_row_is_tested_once_and_the_mean_has_an_interval(project: Path) -> None:
    done = cross_validate(Project.load(project), Run(), folds=4)
    assert done.folds == 4
    assert sum(rows["test"] for rows in done.rows) == 160
    auc = done.metrics["roc_auc"]
    known = [score for score in auc.folds if score is not None]
    assert auc.value == pytest.approx(np.mean(known))
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < min(0.95, auc.value or 0) < auc.high
    assert auc.baseline == pytest.approx(0.5)
    assert done.metrics["cost"].baseline is not None
    assert not (project / ".fermion" / "runs").exists()


def test_a_second_time_reuses_the_folds_and_prints_one_document(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(project), "--folds", "2", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(project), "split.folds=2", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert list(first) == ["name", "task", "folds", "rows", "metrics", "seconds", "stopped"]
    assert first["metrics"] == second["metrics"]
    assert second["seconds"] < first["seconds"]
    assert main(["evaluate", str(project), "--folds", "2"]) == 0
    assert "mean over 2 folds" in capsys.readouterr().out


def test_folds_that_mean_nothing_are_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="--folds must be at least 2"):
        cross_validate(Project.load(project), Run(), folds=1)
    with pytest.raises(SpecError, match="Write `by: walk` or `by: blocks`"):
        cross_validate(Project.load(project, ("split.by=time", "split.column=x")), Run())


def test_a_requirement_may_be_about_a_metric_of_ones_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(project), "evaluate.require.cost=0.0001", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "`cost` must be at most 0.0001" in told["error"]["message"]
    assert told["metrics"]["cost"]["value"] > 0
    report = next((project / ".fermion" / "runs").glob("*/report.html")).read_text()
    assert "cost" in report


def test_another_cost_is_measured_anew(project: Path) -> None:
    first = cross_validate(Project.load(project), Run(), folds=2)
    (project / "costs.py").write_text(COST.replace("5 *", "50 *"))
    second = cross_validate(Project.load(project), Run(), folds=2)
    assert (second.metrics["cost"].value or 0) > 3 * (first.metrics["cost"].value or 1)


def test_the_correction_for_shared_rows_widens_the_interval() -> None:
    bare, wide = (over_folds([0.7, 0.8, 0.9], ratio=ratio) for ratio in (0.0, 0.25))
    assert bare.high - 0.8 == pytest.approx(student(2) * 0.1 / np.sqrt(3))
    assert wide.high - wide.low > 1.3 * (bare.high - bare.low)
    assert np.isnan(over_folds([0.5], ratio=0.1).low)
    assert over_folds([0.5, float("nan")], ratio=0.1).value == 0.5
