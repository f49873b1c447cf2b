"""`fermion run`, killed with SIGKILL in the middle of the fit and run again; beside it, one that nobody kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fermion.core.run import Event, Run
from fermion.practice.cache import Stages
from fermion.practice.pipeline import Pipeline
from fermion.practice.project import Project

PROJECT = """
name: killed
data: {source: rows.csv, target: kind}
model: {type: mlp, width: 16, blocks: 1, steps: 1500, batch: 32, patience: 0, training: {checkpoint: 100ms, ema: 0.99}}
"""
RUNNING = "import sys; from fermion.app.cli import main; sys.exit(main(['run', '.']))"


def project(folder: Path) -> Path:
    x = np.random.default_rng(0).normal(size=(300, 2))
    lines = [f"{a:.6f},{b:.6f},{'p' if a * b > 0 else 'n'}" for a, b in x]
    folder.mkdir()
    (folder / "rows.csv").write_text("\n".join(["a,b,kind", *lines]) + "\n")
    (folder / "fermion.yaml").write_text(PROJECT)
    return folder


def finished(folder: Path, *, fresh: bool = False) -> tuple[bytes, str]:
    """Run it in this process; the graph of the bundle, and what was told."""
    events: list[Event] = []
    found = Project.load(folder)
    done = Pipeline(found, Run(seed=found.spec.seed, listeners=(events.append,)), fresh=fresh).go()
    assert done.bundle is not None
    return (Path(done.bundle) / "graphs" / "model.onnx").read_bytes(), " ".join(event.text for event in events)


def test_a_killed_run_goes_on_and_ends_with_the_same_graph(tmp_path: Path) -> None:
    killed, whole = project(tmp_path / "killed"), project(tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNING],
        cwd=killed,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    fit, until = killed / ".fermion" / "cache" / "fit", time.monotonic() + 120
    while not list(fit.glob("*.partial/*.pt")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(fit.glob("*.partial/*.pt"))
    graph, told = finished(killed)
    assert "Training goes on from step" in told
    assert not list(fit.glob("*.partial"))
    unbroken, told = finished(whole)
    assert "goes on" not in told
    assert graph == unbroken


def test_where_nothing_is_kept_nothing_is_saved(tmp_path: Path) -> None:
    assert Stages(None, Run()).partial("fit", [1]) is None
    stages = Stages(tmp_path, Run())
    folder = stages.partial("fit", [1])
    assert folder is not None
    assert folder != stages.partial("fit", [2])
    folder.mkdir(parents=True)
    (folder / "some.pt").write_bytes(b"state")
    assert stages.stage("fit", int, [1], lambda: 3) == 3
    assert not folder.exists()


def test_what_nobody_goes_back_to_is_gone_after_a_week(tmp_path: Path) -> None:
    stages = Stages(tmp_path, Run())
    old, new = tmp_path / "fit" / "a.partial", tmp_path / "fit" / "b.partial"
    for folder, days in ((old, 8), (new, 6)):
        folder.mkdir(parents=True)
        (folder / "some.pt").write_bytes(b"state")
        os.utime(folder / "some.pt", (time.time() - days * 86400,) * 2)
    stages.partial("fit", [1])
    assert not old.exists()
    assert new.exists()
