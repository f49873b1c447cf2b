"""A project whose model is written beside its file: found there, fitted again when it changed, and told when it is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fermion.core.errors import SpecError
from fermion.core.run import Run
from fermion.practice.pipeline import Pipeline
from fermion.practice.project import Project

SPEC = """\
name: iris
data: {source: "sample://iris", target: species}
model: {type: sklearn, estimator: "my_estimator:make"}
evaluate: {draws: 100}
"""
MODULE = """\
from my_settings import C
from sklearn.linear_model import LogisticRegression


def make():
    return LogisticRegression(C=C)
"""


def run(folder: Path) -> dict[str, Any]:
    return Pipeline(Project.load(folder), Run()).go().document()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"fermion.yaml": SPEC, "my_estimator.py": MODULE, "my_settings.py": "C = 1.0\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_change_in_what_the_module_imports_fits_anew_and_nothing_else_does(project: Path) -> None:
    first = run(project)
    (project / "notes.py").write_text("x = 1\n")
    again = run(project)
    assert first["metrics"]["accuracy"]["value"] > 0.8
    assert [told["stages"]["fit"]["reused"] for told in (first, again)] == [False, True]
    (project / "my_settings.py").write_text("C = 2.0\n")
    changed = run(project)
    assert not changed["stages"]["fit"]["reused"]
    assert changed["bundle_id"] != first["bundle_id"]


def test_a_syntax_error_stops_the_run_with_its_line(project: Path) -> None:
    (project / "my_settings.py").write_text("C = (1.0\n")
    with pytest.raises(SpecError, match=r"my_settings.py:1:\d+: the module `my_estimator` must be valid Python"):
        run(project)
