"""What bad input gets on the command line: a message with subject, rule, value and remedy, the right exit code, and nothing half-written.

Requests are in test_service.py, full disks and killed runs in test_run.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Command

GOOD = "\n".join(["value,level", *(f"{value},{'high' if value > 50 else 'low'}" for value in range(100))])
SPEC = "name: levels\ndata: {source: rows.csv, target: level}\nmodel: linear\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("name: x\ndata: {source: rows.csv, traget: level}\n", "fermion.yaml:2:26", ["traget", "Did you mean `target`?"]),
        ("name: x\ndata: {source: rows.csv}\n", "fermion.yaml:2", ["target"]),
        ("name: x\ndata: {source: rows.csv, target: level}\nsplit: {test: many}\n", "fermion.yaml:3:15", ["many"]),
        ("name: x\ndata: {source: rows.csv, target: level}\nsplit: {test: 1.5}\n", "fermion.yaml:3:15", ["1.5"]),
        ("name: x\ndata: {source: rows.csv, target: level}\nmodel: tree\n", "fermion.yaml:3:8", ["tree", "trees"]),
        ("name: x\ndata: {source: rows.csv, target: level}\nmodel: {type: trees, leafs: 3}\n", "fermion.yaml:3:22", ["leafs", "leaves"]),
        ("name: x\n  data: [", "fermion.yaml:2", []),
        ("", "fermion.yaml", ["empty"]),
    ],
)
def test_a_wrong_project_file(fermion: Command, tmp_path: Path, text: str, place: str, words: list[str]) -> None:
    (tmp_path / "rows.csv").write_text(GOOD)
    (tmp_path / "fermion.yaml").write_text(text)
    told = fermion("run", "--json")
    assert told.code == 2
    assert told.error["code"] == "spec"
    assert place in told.error["where"]
    whole = told.error["message"] + told.error["remedy"]
    assert " must be " in whole
    assert ", got " in whole
    assert all(word in whole for word in words), whole
    assert not (tmp_path / ".fermion").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.csv", None, ["missing.csv"]),
        ("rows.csv", b"value,level\n1,low\n2,high,too many\n", ["3"]),
        ("rows.csv", "value,level\n1,low\n2,h\xf6ch\n".encode("latin-1"), ["UTF-8", "iconv"]),
        ("rows.csv", b"value,level\n", ["0 rows"]),
        ("rows.csv", b"", ["empty"]),
        ("rows.csv", b"value,grade\n1,a\n2,b\n", ["level"]),
        ("rows.csv", GOOD.replace("7,low", "7,").encode(), ["level", "drop_unlabelled"]),
    ],
)
def test_wrong_data(fermion: Command, tmp_path: Path, name: str, content: bytes | None, words: list[str]) -> None:
    (tmp_path / "rows.csv").write_text(GOOD)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "fermion.yaml").write_text(SPEC.replace("rows.csv", name))
    told = fermion("run", "--json")
    assert told.code == 2
    assert told.error["code"] == "data"
    whole = " ".join(told.error.values())
    assert " must be " in whole
    assert told.error["remedy"]
    assert all(word in whole for word in words), whole
    assert not list((tmp_path / ".fermion").glob("store/tags/*"))


def test_a_finding_that_stops_a_fit(fermion: Command, tmp_path: Path) -> None:
    rows = [f"{value},{'high' if value > 50 else 'low'},{'x' if value > 50 else 'y'}" for value in range(100)]
    (tmp_path / "rows.csv").write_text("\n".join(["value,level,copy", *rows]))
    (tmp_path / "fermion.yaml").write_text(SPEC)
    checked = fermion("check", "--json")
    assert checked.code == 1
    leak = next(finding for finding in checked.document["findings"] if finding["kind"] == "leak")
    assert (leak["column"], leak["severity"]) == ("copy", "error")
    assert set(leak) == {"kind", "column", "severity", "score", "rows", "message", "remedy"}
    assert len(leak["rows"]) <= 10
    stopped = fermion("run", "--json")
    assert (stopped.code, stopped.error["code"]) == (2, "data")
    assert fermion("run", "--json", "checks.accept=[leak]").code == 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.target=[]", ["data.target"]),
        ("data.target=[level, level]", ["data.target"]),
        ("data.weight=level", ["level", "row 0"]),
        ("data.weight=nope", ["nope"]),
        ("data.weight={classes: {maybe: 2}}", ["maybe"]),
        ("data.ignore=[nope]", ["nope"]),
        ("data.columns={nope: number}", ["nope"]),
        ("split={test: 0}", ["split.test"]),
        ("evaluate.require={rmse: 1}", ["rmse"]),
        ("evaluate.slices=[nope]", ["nope"]),
        ("decide={type: threshold, of: maybe}", ["maybe"]),
        ("data.columns={level: number}", ["level", "row "]),
    ],
)
def test_what_the_data_do_not_bear_is_told_before_a_fit(fermion: Command, tmp_path: Path, setting: str, words: list[str]) -> None:
    (tmp_path / "rows.csv").write_text(GOOD)
    (tmp_path / "fermion.yaml").write_text(SPEC)
    for verb in ("check", "run"):
        told = fermion(verb, "--json", setting)
        assert told.code == 2, told.out
        whole = " ".join(told.error.values())
        assert all(word in whole for word in words), whole


def test_a_device_that_is_not_here(fermion: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(GOOD)
    (tmp_path / "fermion.yaml").write_text(SPEC)
    told = fermion("run", "--json", "model=mlp", "device=mps")
    assert (told.code, told.error["code"]) == (2, "spec") or told.code == 0  # a Mac has it


def test_a_tiny_share_of_rows_for_trees(fermion: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(GOOD)
    (tmp_path / "fermion.yaml").write_text(SPEC)
    assert fermion("run", "--json", "model={type: trees, rows: 0.001, rounds: 3}").code == 0


@pytest.fixture
def made(fermion: Command, tmp_path: Path) -> str:
    """A registered bundle of the levels project."""
    (tmp_path / "rows.csv").write_text(GOOD)
    (tmp_path / "fermion.yaml").write_text(SPEC)
    told = fermion("run", "--json")
    assert told.code == 0, told.err
    return told.document["bundle"]


def test_predict_answers_a_file_with_a_file(fermion: Command, tmp_path: Path, made: str) -> None:
    told = fermion("predict", made, "rows.csv", "answers.csv", "--json")
    assert told.code == 0
    assert told.document["rows"] == 100
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert lines[0] == "prediction,probability_high,probability_low"
    assert len(lines) == 101


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("worth,other\n1,2\n", ["value"]),
        ("value\nmany\nfew\n", ["value", "a finite number", "row 0"]),
        ("value,other\n,1\n2,1\n", ["value", "present", "missing: accept"]),
    ],
)
def test_a_column_that_vanished_or_changed(fermion: Command, tmp_path: Path, made: str, content: str, words: list[str]) -> None:
    (tmp_path / "new.csv").write_text(content)
    told = fermion("predict", made, "new.csv", "answers.csv", "--json")
    assert told.code == 2
    whole = " ".join(told.error.values())
    assert all(word in whole for word in words), whole
    assert not (tmp_path / "answers.csv").exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_a_tampered_bundle(fermion: Command, tmp_path: Path, made: str, damage: str) -> None:
    assert fermion("verify", made, "--json").document["ok"] is True
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    graph = next((copy / "graphs").iterdir())
    data = bytearray(graph.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        graph.write_bytes(data)
    elif damage == "truncate":
        graph.write_bytes(data[:100])
    elif damage == "remove":
        graph.unlink()
    else:
        (copy / "manifest.json").write_bytes((copy / "manifest.json").read_bytes()[:200])
    told = fermion("verify", "copy", "--json")
    assert told.code == 1
    assert told.document["ok"] is False
    failed = [check for check in told.document["checks"] if not check["ok"]]
    assert all(" must be " in check["detail"] for check in failed)
    served = fermion("serve", "copy", "serve.port=0", "--json")
    assert (served.code, served.error["code"]) == (1, "bundle")


@pytest.mark.parametrize(
    ("words", "told_of"),
    [
        (("rnu",), ["rnu"]),
        (("run", "nowhere.yaml"), ["nowhere.yaml"]),
        (("serve", "nothing"), ["nothing"]),
        (("verify", "nothing"), ["nothing"]),
        (("compare", "last", "last"), ["fermion runs"]),
        (("run", "modle.lr=1"), ["modle", "model"]),
        (("predict", "nothing"), ["input", "fermion predict BUNDLE"]),
        (("predict", "rows.csv", "answers.csv"), ["fermion predict BUNDLE rows.csv", "`fermion run` makes one"]),
        (("init", "sub", "data.source=x.csv"), ["data.target"]),
        (("init", "sub", "target=level"), ["data.source"]),
        (("init", "fermion.yaml/sub", "source=sample://iris", "target=species"), ["folder"]),
    ],
)
def test_wrong_use(fermion: Command, project: Path, words: tuple[str, ...], told_of: list[str]) -> None:
    told = fermion(*words, "--json")
    assert told.code == 2
    assert set(told.error) == {"code", "message", "where", "remedy"}
    whole = " ".join(told.error.values())
    assert all(word in whole for word in told_of), whole
    plain = fermion(*words)
    assert plain.code == 2
    assert plain.out == ""
    assert plain.err.startswith("fermion: ")
