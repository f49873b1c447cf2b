"""A project on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from fermion.core.errors import UsageError
from fermion.practice.project import Project


def test_a_file_in_the_place_of_its_state_is_told(tmp_path: Path) -> None:
    (tmp_path / "fermion.yaml").write_text("name: flowers\ndata: {source: sample://iris, target: species}\n")
    assert Project.load(tmp_path).runs() == []
    (tmp_path / ".fermion").write_text("")
    with pytest.raises(UsageError, match=r"a project's \.fermion must be a folder, got the file .*\.fermion\. Move it away"):
        Project.load(tmp_path)
