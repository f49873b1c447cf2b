"""Credit risk as a stranger runs it: the export is mended, the doctor stops a leak, the service reads the export's own texts."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fermion.bundle import bundle as bundles
from fermion.practice.live import started

from .conftest import Command, Told

PROJECT = Path(__file__).resolve().parents[2] / "projects" / "credit-risk"
QUICK = "evaluate.draws=100"
RAW = {
    "applied_on": "Jan 05, 2025",
    "city": "riverton",
    "employment": "EMPLOYED",
    "income": "3,250.00 monthly",
    "debt": "1,200.00",
    "amount": 9000,
    "months": 36,
    "purpose": "car",
    "rate": "7.90%",
    "history": "18 months",
    "utilisation": None,
    "accounts": 3,
    "earlier_default": "Y",
    "applications_in_a_year": 1,
}
MENDED = {
    **RAW,
    "applied_on": "2025-01-05",
    "employment": "employed",
    "income": 39000.0,
    "debt": 1200.0,
    "rate": 7.9,
    "history": 1.5,
    "earlier_default": True,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "projects" / "credit-risk"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(".fermion"))
    return folder


@pytest.fixture
def ran(project: Path, fermion: Command) -> Told:
    told = fermion("run", "projects/credit-risk/fermion.yaml", "--json", QUICK)
    assert told.code == 0, told.err
    return told


def predict(url: str, rows: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{url}/v1/predict", json.dumps({"rows": rows}).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as bad:
        return bad.code, json.load(bad)


def test_from_the_messy_export_to_a_service_that_reads_it(ran: Told, project: Path) -> None:
    scores = ran.document["metrics"]
    assert scores["roc_auc"]["value"] > 0.72
    assert all(check["ok"] for check in ran.document["checks"])
    card = (Path(ran.document["report"]).parent / "card.md").read_text()
    assert "| gender | group 1 |" in card
    assert "female" not in card
    assert "@example.com" not in card
    assert "| applicant | not read at all |" in card
    assert "near duplicates" in card
    with started(bundles.open(ran.document["bundle"]).path) as service:
        status, answer = predict(service.url, [RAW, MENDED])
        assert status == 200, answer
        raw, mended = answer["rows"]
        assert raw["probabilities"] == mended["probabilities"], "a text and what it means are answered alike"
        for wrong, word in (({"amount": 50}, "amount"), ({"months": 37}, "months"), ({"utilisation": 1.2}, "utilisation")):
            status, answer = predict(service.url, [RAW, {**RAW, **wrong}])
            assert status == 422, answer
            assert word in json.dumps(answer)
        status, answer = predict(service.url, [{**RAW, "income": "three coins"}])
        assert status == 422, answer
        assert "income" in json.dumps(answer)


def test_the_doctor_stops_what_is_known_only_afterwards(project: Path, fermion: Command) -> None:
    told = fermion("run", "projects/credit-risk/fermion.yaml", "--json", "data.ignore=[application_id, customer_id, gender, birth_date]")
    assert told.code == 2
    assert told.error["code"] == "data"
    assert "collection_calls" in told.error["message"] + told.error["remedy"]
    assert not (project / ".fermion" / "bundles").exists()
    found = fermion("check", "projects/credit-risk/fermion.yaml", "--json", "data.ignore=[application_id, customer_id, gender, birth_date]")
    errors = {finding["column"] for finding in found.document["findings"] if finding["severity"] == "error"}
    assert errors == {"collection_calls", "recovered"}


def test_the_doctor_can_be_overruled_by_name_and_the_card_says_so(project: Path, fermion: Command) -> None:
    accept = 'checks.accept=["known-after:collection_calls", "known-after:recovered"]'
    ignore = "data.ignore=[application_id, customer_id, gender, birth_date]"
    told = fermion("run", "projects/credit-risk/fermion.yaml", "--json", QUICK, ignore, accept)
    assert told.code == 0, told.err
    assert told.document["metrics"]["roc_auc"]["value"] > 0.98, "far too good to be true"
    assert "`known-after:collection_calls`" in (Path(told.document["report"]).parent / "card.md").read_text()


def test_as_it_stands_nothing_stops_the_fit(project: Path, fermion: Command) -> None:
    found = fermion("check", "projects/credit-risk/fermion.yaml", "--json")
    assert found.code == 0
    assert {finding["severity"] for finding in found.document["findings"]} <= {"info"}


def test_the_commands_of_its_page_run(project: Path, fermion: Command) -> None:
    blocks = re.findall(r"^```console[^\n]*\n(.*?)^```", (PROJECT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in re.findall(r"^\$ fermion (.*)$", block, flags=re.MULTILINE)]
    assert len(lines) >= 4
    for line in lines:
        if not line.startswith("serve"):
            told = fermion(*line.split())
            assert told.code == 0, f"{line}\n{told.out}\n{told.err}"


def test_taiwan(project: Path, fermion: Command, real_data: Path) -> None:
    if not (real_data / "taiwan_credit_default").is_dir():
        pytest.skip("FERMION_DATA has no taiwan_credit_default")
    told = fermion(
        "run", "projects/credit-risk/real.yaml", "--json", QUICK, "model.lr=0.1", "model.patience=20", "evaluate.require.roc_auc=0.77"
    )
    assert told.code == 0, told.err
    card = (Path(told.document["report"]).parent / "card.md").read_text()
    assert "| SEX | group 1 |" in card


def test_german(project: Path, fermion: Command, real_data: Path) -> None:
    if not (real_data / "german_credit").is_dir():
        pytest.skip("FERMION_DATA has no german_credit")
    told = fermion("run", "projects/credit-risk/german.yaml", "--json", QUICK)
    assert told.code == 0, told.err
    assert told.document["metrics"]["roc_auc"]["value"] > 0.7
    decision = bundles.open(told.document["bundle"]).manifest.decisions
    assert "0.1667" in str(decision)
