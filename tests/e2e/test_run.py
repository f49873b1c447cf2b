"""`fermion run`: what it gives, what it reuses, how it is stopped, and what survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fermion.bundle import bundle as bundles
from fermion.core.store import Folder

from .conftest import Command

STAGES = ["data", "split", "clean", "checks", "fit", "evaluate", "report", "bundle", "verify", "register"]


def test_a_run_makes_a_verified_and_registered_bundle(fermion: Command, project: Path) -> None:
    told = fermion("run", "--json")
    assert told.code == 0, told.err
    run = told.document
    assert list(run["stages"]) == STAGES
    assert not any(stage["reused"] for stage in run["stages"].values())
    assert run["metrics"]["accuracy"]["value"] >= 0.9 > run["metrics"]["accuracy"]["baseline"]
    assert run["metrics"]["accuracy"]["low"] <= run["metrics"]["accuracy"]["value"] <= run["metrics"]["accuracy"]["high"]
    assert "<html" in Path(run["report"]).read_text()
    assert bundles.open(run["bundle"]).id == run["bundle_id"]
    assert {"files", "golden rows", "http"} <= {check["name"] for check in run["checks"]}
    assert Folder(project.parent / ".fermion" / "store").resolve("model/flowers/latest") == run["bundle_id"]


def test_nothing_changed_means_nothing_is_done_again(fermion: Command, project: Path) -> None:
    first = fermion("run", "--json").document
    began = time.monotonic()
    again = fermion("run", "--json")
    assert time.monotonic() - began < 2
    assert again.document["bundle_id"] == first["bundle_id"]
    reused = [name for name, stage in again.document["stages"].items() if stage["reused"]]
    assert reused == ["data", "split", "clean", "checks", "fit", "evaluate", "report", "verify"]


def test_a_setting_repeats_only_what_depends_on_it(fermion: Command, project: Path) -> None:
    first = fermion("run", "--json").document
    model = fermion("run", "--json", "model={type: linear, l2: 10}").document
    assert [name for name, stage in model["stages"].items() if stage["reused"]] == ["data", "split", "clean", "checks"]
    assert model["bundle_id"] != first["bundle_id"]
    draws = fermion("run", "--json", "evaluate.draws=100").document
    assert [name for name, stage in draws["stages"].items() if stage["reused"]][:5] == ["data", "split", "clean", "checks", "fit"]
    port = fermion("run", "--json", "serve.port=9999").document
    assert port["stages"]["evaluate"]["reused"]


def test_new_data_are_noticed(fermion: Command, tmp_path: Path) -> None:
    rows = [f"{value},{'high' if value > 50 else 'low'}" for value in range(100)]
    (tmp_path / "rows.csv").write_text("\n".join(["value,level", *rows]))
    (tmp_path / "fermion.yaml").write_text("name: levels\ndata: {source: rows.csv, target: level}\nmodel: linear\n")
    assert fermion("run", "--json").code == 0
    os.utime(tmp_path / "rows.csv", (1, 1))  # touched, not changed: read again, and nothing after that
    touched = fermion("run", "--json").document["stages"]
    assert not touched["data"]["reused"]
    assert touched["fit"]["reused"]
    (tmp_path / "rows.csv").write_text("\n".join(["value,level", *rows[:90]]))
    assert not fermion("run", "--json").document["stages"]["fit"]["reused"]


def test_the_same_seed_gives_the_same_bundle(fermion: Command, project: Path) -> None:
    first = fermion("run", "--json", "--fresh", "model=trees").document
    again = fermion("run", "--json", "--fresh", "model=trees").document
    other = fermion("run", "--json", "--fresh", "model=trees", "seed=1").document
    assert first["bundle_id"] == again["bundle_id"] != other["bundle_id"]


def test_a_missed_requirement_registers_nothing(fermion: Command, project: Path) -> None:
    told = fermion("run", "--json", "evaluate.require={accuracy: 0.9999, log_loss: 0.0001}")
    assert told.code == 1
    assert told.error["code"] == "not-reached"
    assert "accuracy" in told.error["message"]
    assert told.document["metrics"]["accuracy"]["value"] > 0.5
    assert told.document["bundle"] is None
    assert Folder(project.parent / ".fermion" / "store").tags() == {}


def start(tmp_path: Path, *words: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "fermion", "run", "--json", *words]
    return subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(path: Path, process: subprocess.Popen[bytes], pattern: str) -> None:
    deadline = time.monotonic() + 60
    while not list(path.glob(pattern)):
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)


LONG = (
    "name: long\ndata: {source: 'sample://card-transactions?customers=300&days=60', target: is_fraud}\nmodel: {type: mlp, steps: 200000}\n"
)


def test_ctrl_c_ends_with_the_best_model_so_far(tmp_path: Path) -> None:
    (tmp_path / "fermion.yaml").write_text(LONG)
    process = start(tmp_path)
    wait_for(tmp_path, process, ".fermion/cache/checks/*.json")
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    run = json.loads(out)
    assert run["stopped"] is True
    assert bundles.open(run["bundle"]).id == run["bundle_id"]
    assert list((tmp_path / ".fermion" / "cache").glob("fit/*.json")) == []  # the next run fits to the end


def test_a_killed_run_loses_nothing_that_was_stored(fermion: Command, tmp_path: Path) -> None:
    (tmp_path / "fermion.yaml").write_text("name: long\ndata: {source: sample://iris, target: species}\nmodel: linear\n")
    before = fermion("run", "--json").document
    (tmp_path / "fermion.yaml").write_text(LONG)
    process = start(tmp_path)
    wait_for(tmp_path, process, ".fermion/runs/*")
    time.sleep(4)
    process.kill()
    process.communicate()
    store = Folder(tmp_path / ".fermion" / "store")
    assert store.resolve("model/long/latest") == before["bundle_id"]
    assert bundles.open(before["bundle"]).runtime().predict({name: [1.0] for name in bundles.open(before["bundle"]).manifest.schema.names})
    assert fermion("runs", "--json").document["runs"][0]["bundle_id"] == before["bundle_id"]
    (tmp_path / "fermion.yaml").write_text("name: long\ndata: {source: sample://iris, target: species}\nmodel: linear\n")
    assert fermion("run", "--json").document["bundle_id"] == before["bundle_id"]


def test_a_budget_ends_a_fit_in_time(fermion: Command, tmp_path: Path) -> None:
    (tmp_path / "fermion.yaml").write_text(LONG)
    told = fermion("run", "--json", "budget=3s")
    assert told.code == 0, told.err
    assert told.document["stages"]["fit"]["seconds"] < 30
    assert told.document["stopped"] is False


@pytest.mark.parametrize("limit", [200_000])
def test_a_full_disk_says_so_and_keeps_what_was_there(fermion: Command, project: Path, limit: int) -> None:
    before = fermion("run", "--json").document
    program = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "sys.argv = ['fermion', 'run', '--json', 'seed=3']; runpy.run_module('fermion', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=project.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    error = json.loads(done.stdout)["error"]
    assert "disk" in error["message"]
    assert Folder(project.parent / ".fermion" / "store").resolve("model/flowers/latest") == before["bundle_id"]
    assert fermion("verify", "--json").document["ok"] is True
