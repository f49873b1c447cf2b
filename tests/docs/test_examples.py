"""Docs cannot rot: every example in a docstring and every block of the README and the docs runs."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    if ">>>" in path.read_text() and path.stem != "__main__"
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert found.attempted > 0
    assert found.failed == 0


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language; one that begins with a comment `# not run: why` is left out."""
    found = re.findall(rf"^```{language}[^\n]*\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [block for block in found if not block.startswith("# not run:")]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_blocks(page: Path, tmp_path: Path) -> None:
    """The blocks of a page run one after another, in an empty folder."""
    program = "\n".join(blocks(page, "python"))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["data.md", "networks.md", "project-file.md", "series.md", "models.md", "training.md"])
def test_yaml_blocks_are_parts_of_project_files(page: str) -> None:
    """Every field of every example is there, and takes what is shown."""
    from fermion.core import spec, yaml12

    for block in blocks(ROOT / "docs" / page, "yaml"):
        shown: Any = yaml12.parse(block, file=page).value
        if shown is not None:  # a comment for editors
            spec.read({"name": "shown", **shown, "data": {"source": "rows.csv", "target": "y", **shown.get("data", {})}})


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=lambda page: page.name)
def test_console_blocks(page: Path, tmp_path: Path) -> None:
    """Every `$ fermion ...` line of a page runs, in order, in a copy of the projects."""
    import os
    import shutil

    shutil.copytree(ROOT / "projects", tmp_path / "projects", ignore=shutil.ignore_patterns(".fermion"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks(page, "console"):
        for line in re.findall(r"^\$ (fermion .*)$", block, flags=re.MULTILINE):
            if " serve " in line:
                continue  # runs until it is stopped; tests/e2e runs it
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
                env={**os.environ, "PATH": path},
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
