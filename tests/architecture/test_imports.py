"""What each room imports, and what that costs. Asked in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = {"polars", "torch", "sklearn", "PIL", "pandas", "lightgbm", "onnx", "plotly", "pydantic", "scipy"}


def imported_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("room", ["core", "columns", "measure", "bundle"])
def test_a_room_below_and_at_the_waist_is_light(room: str) -> None:
    statement = (
        f"import pkgutil, importlib, fermion.{room} as room\n"
        f"for module in pkgutil.iter_modules(room.__path__): importlib.import_module(f'fermion.{room}.{{module.name}}')"
    )
    assert not imported_by(statement) & HEAVY


@pytest.mark.parametrize("module", ["fermion.cloud.service", "fermion.cloud.server", "fermion.cloud.client", "fermion.app.cli"])
def test_serving_and_the_command_line_are_light(module: str) -> None:
    assert not imported_by(f"import {module}") & HEAVY


def test_loading_and_answering_needs_no_training_library() -> None:
    assert not imported_by("from fermion import load, serve, Client") & HEAVY


def seconds(*arguments: str) -> float:
    """The processor time of a fresh interpreter, the mean of five: what else the machine does is not in it."""
    before = os.times()
    for _ in range(5):
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = os.times()
    return (after.children_user - before.children_user + after.children_system - before.children_system) / 5


def test_importing_is_quick() -> None:
    assert seconds("-c", "import fermion") - seconds("-c", "") <= 0.1


def test_help_is_quick() -> None:
    assert seconds("-m", "fermion", "--help") - seconds("-c", "") <= 0.3
