"""The projects that come with the package, as a user runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Command

PROJECTS = Path(__file__).resolve().parents[2] / "projects"


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    shutil.copytree(PROJECTS, tmp_path / "projects", ignore=shutil.ignore_patterns(".fermion"))
    return tmp_path / "projects"


def test_digits_are_read_and_served(fermion: Command, projects: Path) -> None:
    """The main job, with a third of the default training: `make demo` runs all of it."""
    told = fermion("run", "projects/digits/fermion.yaml", "--json", "model={type: cnn, steps: 60}", "evaluate.require={accuracy: 0.9}")
    assert told.code == 0, told.err
    assert told.document["metrics"]["accuracy"]["value"] >= 0.9
    asked = subprocess.run([sys.executable, str(projects / "digits" / "ask.py")], capture_output=True, text=True, check=True)
    assert "the service says" in asked.stdout
    assert "exit code 0" in asked.stdout


def test_card_fraud_is_found_in_the_newest_days(fermion: Command, projects: Path) -> None:
    told = fermion("run", "projects/card-fraud/fermion.yaml", "--json", "evaluate.draws=100")
    assert told.code == 0, told.err
    scores = told.document["metrics"]
    assert scores["average_precision"]["value"] > 10 * scores["average_precision"]["baseline"]
    assert scores["roc_auc"]["value"] > 0.85
    assert fermion("verify", "projects/card-fraud", "--json").document["ok"] is True


def test_card_fraud_on_real_payments(fermion: Command, projects: Path, real_data: Path) -> None:
    if not (real_data / "ulb_creditcard_sample").is_dir():
        pytest.skip("FERMION_DATA has no ulb_creditcard_sample")
    told = fermion("run", "projects/card-fraud/real.yaml", "--json", "evaluate.draws=100")
    assert told.code == 0, told.err
    scores = told.document["metrics"]
    assert scores["roc_auc"]["value"] > 0.95
    # Weighted back to all 284,807 rows, fraud is as rare as it was.
    assert 0.0005 < scores["average_precision"]["baseline"] < 0.005


def test_a_variable_that_is_not_set_says_how_to_set_it(fermion: Command, projects: Path) -> None:
    env = {"FERMION_DATA": ""}
    told = fermion("run", "projects/card-fraud/real.yaml", "--json", env={**os.environ, **env})
    assert told.code == 2
    assert "export FERMION_DATA=" in told.error["remedy"]


def test_support_questions_are_told_apart_and_their_slots_found(fermion: Command, projects: Path) -> None:
    words = ["data.source=sample://intents?rows=1500", "evaluate.draws=50", "model.steps=220", "evaluate.require={}"]
    told = fermion("run", "projects/support-intents/fermion.yaml", "--json", *words, limit=300)
    assert told.code == 0, told.err
    scores = told.document["metrics"]
    assert scores["intent.accuracy"]["value"] > 0.7 > 5 * scores["intent.accuracy"]["baseline"]
    assert scores["tags.entity_f1"]["value"] > 0.35
    assert {check["name"]: check["ok"] for check in told.document["checks"]}["http"]


@pytest.mark.parametrize(
    ("spec", "folder", "words", "least"),
    [
        ("real", "banking77", ["model.steps=12", "evaluate.require={}"], {"accuracy": 0.5}),
        ("bitext", "bitext_customer_support", ["model.steps=12"], {"accuracy": 0.97}),
        ("multidogo", "multidogo", ["model.steps=40", "model.width=32"], {"intent.accuracy": 0.45, "slots.step_accuracy": 0.75}),
    ],
)
def test_support_questions_of_real_customers(
    fermion: Command, projects: Path, real_data: Path, spec: str, folder: str, words: list[str], least: dict[str, float]
) -> None:
    if not (real_data / folder).is_dir():
        pytest.skip(f"FERMION_DATA has no {folder}")
    told = fermion("run", f"projects/support-intents/{spec}.yaml", "--json", "evaluate.draws=20", *words, limit=300)
    assert told.code == 0, told.err
    for metric, value in least.items():
        assert told.document["metrics"][metric]["value"] > value


def test_traffic_signs_are_told_apart_on_poles_never_seen(fermion: Command, projects: Path) -> None:
    """A quarter of the pictures and of the default training: the README has the figures of the whole."""
    settings = ["data.source=sample://signs?rows=900&frames=3", "model.steps=40", "evaluate.require={accuracy: 0.5}", "evaluate.draws=50"]
    told = fermion("run", "projects/traffic-signs/fermion.yaml", "--json", *settings, limit=300)
    assert told.code == 0, told.err
    assert told.document["metrics"]["accuracy"]["value"] > 0.5
    assert fermion("verify", "projects/traffic-signs", "--json").document["ok"] is True


def test_heartbeats_of_new_patients_are_told_apart(fermion: Command, projects: Path) -> None:
    """The project with fewer beats and a net that takes seconds to export; its own reads both ways."""
    told = fermion(
        "run",
        "projects/heart-monitor/fermion.yaml",
        "--json",
        "data.source=sample://ecg?rows=1200&patients=24",
        "model={type: net, encoders: {beat: rocket}, steps: 150, batch: 64, augment: [jitter, {type: scaling, deviation: 0.2}]}",
        "evaluate={require: {accuracy: 0.8}, draws: 100}",
        limit=300,
    )
    assert told.code == 0, told.err
    scores = told.document["metrics"]
    assert scores["accuracy"]["value"] > scores["accuracy"]["baseline"] + 0.05
    assert fermion("verify", "projects/heart-monitor", "--json").document["ok"] is True


@pytest.mark.parametrize(("project", "data"), [("traffic-signs", "gtsrb32"), ("heart-monitor", "mitbih_beats")])
def test_real_data_are_checked_before_they_are_learned(fermion: Command, projects: Path, real_data: Path, project: str, data: str) -> None:
    if not (real_data / data).is_dir():
        pytest.skip(f"FERMION_DATA has no {data}")
    told = fermion("check", f"projects/{project}/real.yaml", "--json", limit=300)
    assert told.code == 0, told.err
