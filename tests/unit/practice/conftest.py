"""A project of loan applications in a folder of its own, small enough to be read many times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fermion.practice.project import Project

LOANS = """\
name: loans
data:
  source: sample://loan-applications?rows=600
  target: defaulted
  time: applied_on
{more}
model: linear
split: {{by: time, column: applied_on, test: 0.2, validation: 0.15}}
{rest}
"""

Make = Callable[..., Project]


@pytest.fixture
def loans(tmp_path: Path) -> Make:
    """`loans("  ignore: [city]")`: more lines under `data`, and more sections."""

    def make(more: str = "", rest: str = "") -> Project:
        (tmp_path / "fermion.yaml").write_text(LOANS.format(more=more, rest=rest))
        return Project.load(tmp_path)

    return make
