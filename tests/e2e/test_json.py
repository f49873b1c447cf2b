"""`--json`: exactly one document on standard output, with the keys that docs/json.md lists, and the documented exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fermion.app.cli import VERBS

RUN = ["run", "task", "bundle", "bundle_id", "report", "metrics", "seconds", "stages", "stopped", "name", "spec", "checks", "notes"]
STAGES = ["data", "split", "clean", "checks", "fit", "evaluate", "report", "bundle", "verify", "register"]
SCORE = ["value", "low", "high", "baseline"]
FINDING = ["kind", "column", "severity", "score", "rows", "message", "remedy"]
CHECK = ["name", "ok", "detail"]
CHECKS = ["manifest", "files", "needs", "graphs", "golden rows", "profile", "signature", "http"]
SHAPES = ["missing_together", "pearson", "cramer", "balances", "parts", "shifts"]
PROFILE = ["rows", "bytes", "sample", "error", "columns", *SHAPES, "findings", "personal", "page"]
COUNTED = ["rows", "missing", "distinct", "counted", "constant"]
DESCRIBED = ["name", "type", "kind", *COUNTED, "private", "numbers", "texts", "top", "time", "information"]
PLAN = ["data", "steps", "rows", "written"]
CLEAN = ["rows", "aside", "examples", "repaired"]
STEP = ["what", "column", "rows", "examples", "notes"]
PRIVATE = ["personal", "marked", "anonymity"]
PERSONAL = ["column", "kind", "share", "score", "how", "proposal", "line"]
ANONYMITY = ["quasi", "k", "rows", "groups", "reached", "share", "sizes", "unique", "diversity", "steps", "holds", "lines"]
PROGRESS = ["waiting", "decided", "by", "agreement"]
LABEL_ERRORS = ["target", "classes", "rows", "labelled", "estimated", "share", "found", "reviewed", "confused", "items"]
LABEL_NEXT = ["target", "strategy", "classes", "items", *PROGRESS]
LABEL_SET = ["item", "label", "by", "at", "source", "target", "waiting", "decided", "agreement"]
LABEL_EXPORT = ["target", "output", "labels"]
LABEL_IMPORT = ["target", "tasks", "taken", "unchanged", "aside", "reasons", *PROGRESS]
ITEM = ["item", "row", "score", "reason", "label", "suggestion", "data"]
VERSION = ["snapshot", "made", "rows", "columns", "source", "parents", "fingerprint"]
SHOWN = ["snapshot", "rows", "columns", "fingerprint", "source", "made", "query", "plan", "parents", "code", "format"]
DIFF = ["rows", "key", "added_columns", "removed_columns", "columns", "added", "removed", "changed", "added_rows", "removed_rows", "plan"]
CHANGED = ["name", "types", "same", "moved", "missing", "rows", "examples"]
RESTORED = ["snapshot", "output", "rows", "fingerprint"]
ERROR = ["code", "message", "where", "remedy"]


def fermion(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The one document that a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "fermion", *words, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.count("\n") == 1, "one document, on one line"
    document = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert isinstance(document, dict)
    return document


def exactly(document: dict[str, Any], keys: Sequence[str]) -> None:
    assert list(document) == list(keys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a column that is missing sometimes and one that gives the answer away."""
    folder = tmp_path_factory.mktemp("json")
    rows = ["size,colour,refund,churned"]
    for row in range(200):
        churned = (row * 7) % 10 < 5
        size = "" if row % 40 == 3 else f"{(row % 13) + 6 * churned}.5"
        rows.append(f"{size},{['red', 'green', 'blue'][row % 3]},{str(churned).lower()},{str(churned).lower()}")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    (folder / "fermion.yaml").write_text("name: churn\ndata: {source: rows.csv, target: churned, ignore: [refund]}\nmodel: linear\n")
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Any]:
    return fermion(folder, "run")


def test_run(ran: dict[str, Any], folder: Path) -> None:
    exactly(ran, RUN)
    assert ran["task"] == "binary"
    assert (ran["name"], ran["stopped"]) == ("churn", False)
    assert Path(ran["bundle"]).is_dir()
    assert len(ran["bundle_id"]) == 64
    assert Path(ran["report"]).read_text().lower().startswith("<!doctype html")
    exactly(ran["stages"], STAGES)
    for stage in ran["stages"].values():
        exactly(stage, ["seconds", "reused"])
    assert next(iter(ran["metrics"])) == "roc_auc"
    for score in ran["metrics"].values():
        exactly(score, SCORE)
    assert [check["name"] for check in ran["checks"]] == CHECKS
    assert ran["spec"]["model"] == {"type": "linear", "l2": 1.0, "steps": 1000}
    assert json.loads((Path(ran["report"]).parent / "run.json").read_text()) == ran


def test_a_second_run_reuses_what_has_not_changed(ran: dict[str, Any], folder: Path) -> None:
    again = fermion(folder, "run")
    exactly(again, RUN)
    assert again["bundle_id"] == ran["bundle_id"]
    assert again["metrics"] == ran["metrics"]
    assert [name for name, stage in again["stages"].items() if not stage["reused"]] == ["bundle", "register"]


def test_a_missed_requirement_prints_the_run_with_its_error_and_registers_nothing(ran: dict[str, Any], folder: Path) -> None:
    missed = fermion(folder, "run", "model.l2=3", "evaluate.require.roc_auc=0.9999", code=1)
    exactly(missed, [*RUN[:-3], *RUN[-3:], "error"])
    exactly(missed["error"], ERROR)
    assert missed["error"]["code"] == "not-reached"
    assert (missed["bundle"], missed["bundle_id"]) == (None, None)
    exactly(missed["stages"], STAGES[: STAGES.index("report") + 1])
    assert missed["metrics"]
    assert fermion(folder, "show")["bundle_id"] == ran["bundle_id"]


def test_check(folder: Path) -> None:
    found = fermion(folder, "check")
    exactly(found, ["findings"])
    assert found["findings"]
    for finding in found["findings"]:
        exactly(finding, FINDING)
        assert finding["severity"] in ("warning", "info")
        assert len(finding["rows"]) <= 10


def test_a_finding_that_stops_a_fit(folder: Path) -> None:
    found = fermion(folder, "check", "data.ignore=[]", code=1)
    first = found["findings"][0]
    exactly(first, FINDING)
    assert (first["kind"], first["column"], first["severity"]) == ("leak", "refund", "error")
    stopped = fermion(folder, "run", "data.ignore=[]", code=2)
    exactly(stopped, ["error"])
    assert stopped["error"]["code"] == "data"
    assert "data.ignore: [refund]" in stopped["error"]["remedy"]


def test_verify(ran: dict[str, Any], folder: Path) -> None:
    verified = fermion(folder, "verify")
    exactly(verified, ["ok", "checks"])
    assert verified["ok"] is True
    assert [check["name"] for check in verified["checks"]] == CHECKS
    for check in verified["checks"]:
        exactly(check, CHECK)


def test_verify_of_a_bundle_that_was_altered(ran: dict[str, Any], folder: Path) -> None:
    import shutil

    copy = folder / "altered"
    shutil.copytree(ran["bundle"], copy)
    graph = copy / "graphs" / "linear.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    verified = fermion(folder, "verify", "altered", code=1)
    exactly(verified, ["ok", "checks"])
    assert verified["ok"] is False
    assert "http" not in [check["name"] for check in verified["checks"]]
    assert not all(check["ok"] for check in verified["checks"])


def test_predict(ran: dict[str, Any], folder: Path) -> None:
    predicted = fermion(folder, "predict", ".", "rows.csv", "answers.csv")
    exactly(predicted, ["bundle_id", "rows", "refused", "output"])
    assert (predicted["rows"], predicted["output"]) == (200, "answers.csv")
    header, *rows = (folder / "answers.csv").read_text().splitlines()
    assert header == "prediction,probability_false,probability_true"
    assert len(rows) == 200


def test_predict_without_a_file_is_wrong_use(ran: dict[str, Any], folder: Path) -> None:
    exactly(fermion(folder, "predict", ".", "rows.csv", code=2)["error"], ERROR)


def test_show(ran: dict[str, Any], folder: Path) -> None:
    shown = fermion(folder, "show", ran["bundle"])
    exactly(shown, ["bundle", "bundle_id", "manifest"])
    assert shown["bundle_id"] == ran["bundle_id"]
    assert shown["manifest"] == json.loads((Path(ran["bundle"]) / "manifest.json").read_text())


def test_runs_and_compare(ran: dict[str, Any], folder: Path) -> None:
    other = fermion(folder, "run", "model.l2=30")
    listed = fermion(folder, "runs")
    exactly(listed, ["runs"])
    runs = {run["run"]: run for run in listed["runs"]}
    assert list(runs) == sorted(runs)
    assert runs[ran["run"]] == ran
    compared = fermion(folder, "compare", ran["run"], other["run"])
    exactly(compared, ["runs", "comparable", "metrics", "settings"])
    assert compared["runs"] == [ran["run"], other["run"]]
    assert list(compared["metrics"]) == list(ran["metrics"])
    for row in compared["metrics"].values():
        exactly(row, ["values", "apart"])
        assert len(row["values"]) == 2
    assert compared["settings"] == {"model.l2": [1.0, 30.0]}


def test_init(tmp_path: Path) -> None:
    made = fermion(tmp_path, "init", "iris", "source=sample://iris", "target=species")
    exactly(made, ["project"])
    assert (tmp_path / made["project"]).is_file()


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose file has prices as text, an address per row, and rows that stand twice."""
    folder = tmp_path_factory.mktemp("messy")
    rows = ["price,city,mail,bought"]
    for row in range(200):
        bought = (row * 7) % 10 < 5
        rows.append(f'"{1 + row % 3},{row:03}.50",{["rome", "oslo"][row % 2]},p{row}@example.org,{["no", "yes"][bought]}')
    (folder / "rows.csv").write_text("\n".join([*rows, *rows[1:4]]) + "\n")
    (folder / "fermion.yaml").write_text("name: shop\ndata: {source: rows.csv, target: bought}\nmodel: linear\n")
    return folder


def test_data_profile(messy: Path) -> None:
    found = fermion(messy, "data", "profile")
    exactly(found, PROFILE)
    for column in found["columns"]:
        exactly(column, DESCRIBED)
    assert (messy / found["page"]).is_file() or Path(found["page"]).is_file()
    exactly(fermion(messy, "data", "profile", "rows.csv", "--output", "page.html"), PROFILE)


def test_data_private(messy: Path) -> None:
    found = fermion(messy, "data", "private", "data.privacy={quasi: [city]}", code=1)
    exactly(found, PRIVATE)
    assert [one["column"] for one in found["personal"]] == ["mail"]
    exactly(found["personal"][0], PERSONAL)
    exactly(found["anonymity"], ANONYMITY)
    guarded = fermion(messy, "data", "private", "data.columns={mail: {private: drop}}")
    assert guarded == {"personal": [], "marked": {"mail": "drop"}, "anonymity": None}


def test_data_clean(messy: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(messy, tmp_path / "copy")
    found = fermion(tmp_path / "copy", "data", "clean", "--suggest")
    exactly(found, PLAN)
    assert found["data"]["columns"]["price"] == {"type": "number", "repair": {"thousands": ","}}
    assert found["written"] is None
    for step in found["steps"]:
        exactly(step, STEP)
    written = fermion(tmp_path / "copy", "data", "clean", "--suggest", "--write")
    assert Path(written["written"]).name == "fermion.yaml"
    cleaned = fermion(tmp_path / "copy", "data", "clean")
    exactly(cleaned, CLEAN)
    assert cleaned["repaired"] == ["price"]
    assert list(cleaned["examples"]) == list(cleaned["aside"])


def test_data_label(messy: Path) -> None:
    found = fermion(messy, "data", "label", "errors", "--folds", "2", "data.ignore=[mail]")
    exactly(found, LABEL_ERRORS)
    for item in found["items"]:
        exactly(item, ITEM)
    following = fermion(messy, "data", "label", "next", "--by", "random", "--count", "2")
    exactly(following, LABEL_NEXT)
    first = following["items"][0]
    exactly(first, ITEM)
    decided = fermion(messy, "data", "label", "set", first["item"], "yes", "--by", "ann")
    exactly(decided, LABEL_SET)
    assert (decided["label"], decided["by"], decided["decided"]) == ("yes", {"ann": 1}, 1)
    assert fermion(messy, "data", "label", "export", "labels.csv") == {"target": "bought", "output": "labels.csv", "labels": 1}
    exactly(fermion(messy, "data", "label", "export", "tasks.json"), [*LABEL_EXPORT, "tasks", "config"])
    taken = fermion(messy, "data", "label", "import", "tasks.json")
    exactly(taken, LABEL_IMPORT)
    assert (taken["taken"], taken["unchanged"]) == (0, 1)


def test_data_versions(messy: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(messy, tmp_path / "copy", ignore=shutil.ignore_patterns(".fermion"))
    folder = tmp_path / "copy"
    first = fermion(folder, "data", "snapshot", "--tag", "raw")
    exactly(first, [*VERSION, "new", "tag"])
    assert (first["new"], first["parents"], first["rows"], first["columns"]) == (True, [], 203, 4)
    assert fermion(folder, "data", "snapshot")["new"] is False
    listed = fermion(folder, "data", "log")
    exactly(listed, ["snapshots"])
    exactly(listed["snapshots"][0], [*VERSION, "tags"])
    shown = fermion(folder, "data", "show", "raw")
    exactly(shown, SHOWN)
    exactly(shown["columns"][0], ["name", "type", "digest"])
    with (folder / "rows.csv").open("a") as file:
        file.write("9.75,rome,new@example.org,no\n")
    changes = fermion(folder, "data", "diff", "raw")
    exactly(changes, DIFF)
    exactly(changes["columns"][0], CHANGED)
    assert (changes["rows"], changes["added"], changes["removed"], changes["plan"]) == ([203, 204], 1, 0, [])
    restored = fermion(folder, "data", "restore", "raw", "old.csv")
    exactly(restored, RESTORED)
    assert (restored["snapshot"], restored["rows"]) == (first["snapshot"], 203)


def test_schema(tmp_path: Path) -> None:
    schema = fermion(tmp_path, "schema")
    assert schema["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("run", "modle=linear"), "spec", 2),
        (("run", "budget=soon"), "spec", 2),
        (("run", "no-such-folder"), "spec", 2),
        (("run", "data.source=none.csv"), "data", 2),
        (("run", "data.target=chruned"), "data", 2),
        (("run", "--what"), "usage", 2),
        (("nope",), "usage", 2),
        (("show", "no-such-bundle"), "usage", 2),
        (("show", "empty"), "bundle", 1),
        (("verify", "no-such-bundle"), "usage", 2),
        (("compare", "last", "nothing"), "usage", 2),
        (("init", "target=x"), "usage", 2),
    ],
)
def test_an_error_is_the_one_document(ran: dict[str, Any], folder: Path, words: tuple[str, ...], code: str, exit_code: int) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    wrong = fermion(folder, *words, code=exit_code)
    exactly(wrong, ["error"])
    exactly(wrong["error"], ERROR)
    assert wrong["error"]["code"] == code
    assert all(isinstance(text, str) for text in wrong["error"].values())
    assert wrong["error"]["message"]


def test_the_page_shows_every_document_as_json() -> None:
    """Each example of docs/json.md parses, and has the keys that the tests above hold the commands to."""
    import re

    page = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    examples = {
        section.split("\n")[0]: [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)]
        for section in page.split("\n## ")[1:]
    }
    keys = {name: [list(one) for one in found] for name, found in examples.items() if found}
    assert keys == {
        "run": [RUN],
        "evaluate": [["name", "task", "folds", "rows", "metrics", "seconds", "stopped"]],
        "check": [["findings"]],
        "verify": [["ok", "checks"]],
        "predict": [["bundle_id", "rows", "refused", "output"]],
        "show": [["bundle", "bundle_id", "manifest"]],
        "runs": [["runs"]],
        "compare": [["runs", "comparable", "metrics", "settings"]],
        "init": [["project"]],
        "serve": [["serving"]],
        "An error": [["error"]],
        "data profile": [PROFILE],
        "data clean": [CLEAN, PLAN],
        "data private": [PRIVATE],
        "data label errors": [LABEL_ERRORS],
        "data label next": [LABEL_NEXT],
        "data label set": [LABEL_SET],
        "data label export": [LABEL_EXPORT],
        "data label import": [LABEL_IMPORT],
        "data snapshot": [[*VERSION, "new", "tag"]],
        "data log": [["snapshots"]],
        "data show": [SHOWN],
        "data diff": [DIFF],
        "data restore": [RESTORED],
    }
    assert {name for name in VERBS if name.startswith("data ")} <= set(keys)
    assert list(examples["data profile"][0]["columns"][0]) == DESCRIBED
    assert list(examples["data private"][0]["personal"][0]) == PERSONAL
    assert list(examples["data private"][0]["anonymity"]) == ANONYMITY
    assert list(examples["data label errors"][0]["items"][0]) == ITEM
    assert list(examples["data log"][0]["snapshots"][0]) == [*VERSION, "tags"]
    assert list(examples["data diff"][0]["columns"][0]) == CHANGED
    assert list(examples["data clean"][1]["steps"][0]) == STEP
    assert list(examples["check"][0]["findings"][0]) == FINDING
    assert list(examples["An error"][0]["error"]) == ERROR
    assert [check["name"] for check in examples["verify"][0]["checks"]] == CHECKS
