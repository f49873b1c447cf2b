"""The rules of the code that a program can check."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fermion.core import registry

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "fermion"
FILES = sorted(SOURCE.rglob("*.py"))


def test_layers() -> None:
    """The hourglass: import-linter with the contracts of pyproject.toml."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(linter)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_files_stay_short() -> None:
    lengths = {path.relative_to(SOURCE): len(path.read_text().splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) <= 200


def test_no_file_is_called_after_nothing() -> None:
    assert [path for path in FILES if path.stem in {"utils", "util", "helpers", "common", "misc"}] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_names_say_what_they_are(path: Path) -> None:
    """Every module, public class, public function and public method of a public class has a docstring, or is told by its idea's."""
    tree = ast.parse(path.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"


def test_no_stubs() -> None:
    """No `pass`, no bare `except`, and `raise NotImplementedError` only in the contract suites, for what a subclass must give."""
    found: list[str] = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            empty = isinstance(node, ast.Pass) or (isinstance(node, ast.ExceptHandler) and node.type is None)
            stub = isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id == "NotImplementedError"
            if empty or (stub and path.parent.name != "testing"):
                found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert found == []


def test_every_registered_part_can_be_imported() -> None:
    for group in registry.OWN:
        for name in registry.names(group):
            assert registry.find(group, name).__doc__


def test_public_names_of_the_package() -> None:
    import fermion

    assert sorted(fermion.__all__) == ["Client", "FermionClassifier", "FermionRegressor", "__version__", "fit", "load", "serve"]
    for name in fermion.__all__:
        assert getattr(fermion, name) is not None


def test_the_base_install_is_small() -> None:
    """Nothing that trains, and no framework, is among the dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {line.split(">")[0].split(";")[0].strip() for line in project["dependencies"]}
    assert names == {"msgspec", "numpy", "onnxruntime", "pyyaml", "httptools", "uvloop"}
