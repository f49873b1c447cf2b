"""A project in an empty folder, and the command line as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

IRIS = """\
name: flowers
data: {source: sample://iris, target: species}
model: linear
"""


class Told:
    """What a command said and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        return self.document["error"]


Command = Callable[..., Told]


@pytest.fixture
def fermion(tmp_path: Path) -> Command:
    """`fermion("run", "--json")` in the test's folder."""

    def command(*words: str, env: dict[str, str] | None = None, limit: int = 120) -> Told:
        line = [sys.executable, "-m", "fermion", *words]
        whole = {**os.environ, **(env or {})}
        return Told(subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=limit, check=False, env=whole))

    return command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project file for a small table that is learned in a moment."""
    path = tmp_path / "fermion.yaml"
    path.write_text(IRIS)
    return path
