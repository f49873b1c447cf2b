"""Every verb of `fermion data` as a user types it: what it prints, the keys of its JSON, and what it says to bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

SNAPSHOT = ["snapshot", "made", "rows", "columns", "source", "parents", "fingerprint"]
ERROR = ["code", "message", "where", "remedy"]
PRIVATE = ["personal", "marked", "anonymity"]
SPEC = """\
name: loans
data:
  source: rows.parquet
  target: defaulted
  columns:
    applicant: {private: drop}
    email: {private: drop}
    birth_date: {private: keep}
  ignore: [application_id, customer_id, birth_date, collection_calls, recovered]
  clean: {duplicates: exact}
model: linear
split: {by: random}
"""


def fermion(folder: Path, *words: str, code: int = 0) -> str:
    """What a command prints on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "fermion", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 or done.stdout else done.stderr


def told(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The one document of `--json`."""
    out = fermion(folder, *words, "--json", code=code)
    assert out.count("\n") == 1, "one document, on one line"
    return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def refused(folder: Path, *words: str) -> dict[str, str]:
    document = told(folder, *words, code=2)
    assert list(document) == ["error"]
    assert list(document["error"]) == ERROR
    return document["error"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project over an export in a file."""
    from fermion.data.loans import LoanApplications

    folder = tmp_path_factory.mktemp("data")
    LoanApplications(rows=400).table().frame.write_parquet(folder / "rows.parquet")
    (folder / "fermion.yaml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def kept(folder: Path) -> dict[str, Any]:
    """The first snapshot."""
    return told(folder, "data", "snapshot", "--tag", "first")


def test_snapshot_and_log(folder: Path, kept: dict[str, Any]) -> None:
    assert list(kept) == [*SNAPSHOT, "new", "tag"]
    assert (kept["new"], kept["tag"], kept["rows"], kept["parents"]) == (True, "first", 412, [])
    assert told(folder, "data", "snapshot")["new"] is False
    assert fermion(folder, "data", "snapshot").startswith(f"unchanged  {kept['snapshot'][:12]}")
    listed = told(folder, "data", "log")
    assert list(listed) == ["snapshots"]
    assert list(listed["snapshots"][0]) == [*SNAPSHOT, "tags"]
    assert listed["snapshots"][0]["tags"] == ["first"]
    assert "(first)" in fermion(folder, "data", "log")


def test_show(folder: Path, kept: dict[str, Any]) -> None:
    shown = told(folder, "data", "show", "first")
    assert shown["snapshot"] == kept["snapshot"]
    assert {"columns", "source", "plan", "parents", "code"} <= set(shown)
    assert "email" not in {one["name"] for one in shown["columns"]}, "what is not read is not kept"
    assert told(folder, "data", "show") == shown
    assert told(folder, "data", "show", kept["snapshot"][:8]) == shown
    assert "plan" in fermion(folder, "data", "show", "last")


def test_diff_and_restore(folder: Path, kept: dict[str, Any]) -> None:
    same = told(folder, "data", "diff", "first")
    assert (same["added"], same["removed"], same["plan"]) == (0, 0, [])
    back = told(folder, "data", "restore", "first", "back.parquet")
    assert list(back) == ["snapshot", "output", "rows", "fingerprint"]
    assert back["fingerprint"] == kept["fingerprint"]
    assert pl.read_parquet(folder / "back.parquet").height == 412
    error = refused(folder, "data", "restore", "first", "back.parquet")
    assert "nothing was overwritten" in error["remedy"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "nosuch"), "nosuch"),
        (("diff", "nosuch"), "nosuch"),
        (("restore", "nosuch", "new.csv"), "nosuch"),
        (("restore", "first", "new.xyz"), ".xyz"),
        (("clean", "--write"), "--suggest"),
        (("clean", "data.clean.duplicate=exact"), "duplicate"),
        (("label", "set", "zz", "yes"), "fermion data label errors"),
        (("label", "set", "0123456789abcdef0123"), "--skip"),
        (("label", "next", "--count", "none"), "--count"),
        (("label", "next", "--by", "luck"), "luck"),
        (("label", "export", "labels.xyz"), ".xyz"),
        (("label", "import", "nothing.json"), "nothing.json"),
        (("profile", "nothing.csv"), "nothing.csv"),
        (("profile", "rows.parquet", "seed=1"), "seed=1"),
        (("snapshot", "nowhere/fermion.yaml"), "nowhere"),
    ],
)
def test_bad_input_is_told(folder: Path, kept: dict[str, Any], words: tuple[str, ...], message: str) -> None:
    error = refused(folder, "data", *words)
    assert message in error["message"] + error["remedy"] + error["where"]


def test_profile_of_a_project_and_of_a_file(folder: Path) -> None:
    found = told(folder, "data", "profile")
    assert {"rows", "columns", "page"} <= set(found)
    assert (folder / found["page"]).exists()
    assert "412 rows" in fermion(folder, "data", "profile", "rows.parquet", "--output", "page.html")
    assert (folder / "page.html").read_text().lower().startswith("<!doctype html")


def test_private_ends_with_1_where_something_is_open(folder: Path) -> None:
    closed = told(folder, "data", "private")
    assert list(closed) == PRIVATE
    assert (closed["personal"], closed["anonymity"]) == ([], None)
    assert closed["marked"] == {"applicant": "drop", "email": "drop", "birth_date": "keep"}
    assert "nothing else looks personal" in fermion(folder, "data", "private")
    opened = told(folder, "data", "private", "data.columns={}", code=1)
    assert {one["column"] for one in opened["personal"]} == {"applicant", "email", "birth_date"}
    assert told(folder, "data", "private", "data.privacy.quasi=[birth_date]", code=1)["anonymity"]["holds"] is False


def test_clean_says_what_the_plan_does_and_suggests_another(folder: Path, tmp_path: Path) -> None:
    done = told(folder, "data", "clean")
    assert list(done) == ["rows", "aside", "examples", "repaired"]
    assert set(done["aside"]) == {"duplicates"}
    assert "set aside" in fermion(folder, "data", "clean")
    before = (folder / "fermion.yaml").read_text()
    plan = told(folder, "data", "clean", "--suggest")
    assert list(plan) == ["data", "steps", "rows", "written"]
    assert plan["written"] is None
    assert {"income", "history", "rate"} <= set(plan["data"]["columns"])
    assert (folder / "fermion.yaml").read_text() == before, "only --write writes"
    assert "repair to a number `income`" in fermion(folder, "data", "clean", "--suggest")


def test_a_plan_that_is_written_can_be_run(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").symlink_to(folder / "rows.parquet")
    (tmp_path / "fermion.yaml").write_text(SPEC)
    out = fermion(tmp_path, "data", "clean", "--suggest", "--write")
    assert "written into fermion.yaml; the file as it was is fermion.yaml.bak" in out
    assert (tmp_path / "fermion.yaml.bak").read_text() == SPEC
    assert told(tmp_path, "run", "evaluate.draws=20")["bundle"] is not None
    assert "nothing to propose" in fermion(tmp_path, "data", "clean", "--suggest")


def test_labels_from_errors_to_a_file_and_back(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").symlink_to(folder / "rows.parquet")
    (tmp_path / "fermion.yaml").write_text(SPEC)
    errors = told(tmp_path, "data", "label", "errors", "--folds", "3", "--most", "5")
    assert {"target", "classes", "found", "items"} <= set(errors)
    item = told(tmp_path, "data", "label", "next", "--count", "2")["items"][0]
    assert {"item", "row", "score", "label", "suggestion", "data"} <= set(item)
    assert "email" not in item["data"]
    assert told(tmp_path, "data", "label", "set", item["item"], "yes", "--by", "ann")["decided"] == 1
    assert item["item"] not in {one["item"] for one in told(tmp_path, "data", "label", "next", "--count", "9")["items"]}
    for unknown in ("zz", "0123456789abcdef0123"):
        assert unknown in refused(tmp_path, "data", "label", "set", unknown, "yes")["message"]
    fermion(tmp_path, "data", "label", "export", "labels.json")
    assert json.loads((tmp_path / "labels.json").read_text())
    assert told(tmp_path, "data", "label", "import", "labels.json")
    assert "yes" in refused(tmp_path, "data", "label", "set", item["item"], "perhaps")["message"]


def test_before_anything_was_done_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n" + "\n".join(f"{row * 7 % 61},{'ab'[row % 2]}" for row in range(60)) + "\n")
    (tmp_path / "fermion.yaml").write_text("name: t\ndata: {source: rows.csv, target: y}\nmodel: linear\n")
    assert told(tmp_path, "data", "log") == {"snapshots": []}
    assert "fermion data snapshot" in fermion(tmp_path, "data", "log")
    assert "fermion data clean --suggest" in refused(tmp_path, "data", "clean")["remedy"]
    assert "nothing to propose" in fermion(tmp_path, "data", "clean", "--suggest")
