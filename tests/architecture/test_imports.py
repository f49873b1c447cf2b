"""What each room imports, and what that costs. Asked in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
import time

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
    """The least time of a fresh interpreter in seven tries: what else the machine does only adds to it."""
    times: list[float] = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times)


def test_importing_is_quick() -> None:
    assert seconds("-c", "import fermion") - seconds("-c", "") <= 0.1


def test_help_is_quick() -> None:
    assert seconds("-m", "fermion", "--help") - seconds("-c", "") <= 0.3
