from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from fermion.core.errors import UsageError
from fermion.core.run import Run
from fermion.practice import versions
from fermion.practice.project import Project


def project_of(folder: Path, frame: pl.DataFrame, data: str = "") -> Project:
    frame.write_parquet(folder / "rows.parquet")
    (folder / "fermion.yaml").write_text(f"name: t\ndata:\n  source: rows.parquet\n  target: y\n{data}model: linear\n")
    return Project.load(folder)


FRAME = pl.DataFrame({"key": range(40), "x": [row / 10 for row in range(40)], "who": ["ann", "bob"] * 20, "y": ["a", "b"] * 20})


def test_unchanged_data_are_one_snapshot_and_changed_ones_have_a_parent(tmp_path: Path) -> None:
    project = project_of(tmp_path, FRAME)
    first = versions.snapshot(project, Run(), "first")
    assert first["new"] is True
    assert versions.snapshot(project, Run())["new"] is False
    changed = project_of(tmp_path, FRAME.with_columns(x=pl.col("x") + (pl.col("key") == 7)))
    second = versions.snapshot(changed, Run())
    assert (second["new"], second["parents"]) == (True, [first["snapshot"]])
    assert [(one["snapshot"], one["tags"]) for one in versions.history(changed)] == [
        (second["snapshot"], []),
        (first["snapshot"], ["first"]),
    ]


def test_a_plan_that_changed_is_another_snapshot_and_the_diff_names_it(tmp_path: Path) -> None:
    versions.snapshot(project_of(tmp_path, FRAME), Run(), "before")
    project = project_of(tmp_path, FRAME, "  clean: {duplicates: exact}\n")
    assert versions.snapshot(project, Run())["new"] is True
    changes, plan = versions.diff(project, Run(), "before", None)
    assert plan == ["clean"]
    assert (changes.added, changes.removed, changes.changed) == (0, 0, 0)


def test_show_says_what_the_plan_was_without_what_it_left_open(tmp_path: Path) -> None:
    project = project_of(tmp_path, FRAME, "  columns: {who: {private: keep, repair: {truth: {ann: true, bob: false}}}}\n")
    versions.snapshot(project, Run())
    shown = versions.show(project, "last")
    assert [one["name"] for one in shown["columns"]] == ["key", "x", "who", "y"]
    said = shown["plan"]["columns"]["who"]
    assert said["private"] == "keep"
    assert said["repair"]["truth"] == {"ann": True, "bob": False}
    assert None not in said.values()
    assert "impute" not in said


def test_the_diff_shows_no_private_values(tmp_path: Path) -> None:
    project = project_of(tmp_path, FRAME, "  columns: {who: {private: keep}}\n")
    versions.snapshot(project, Run(), "one")
    later = project_of(tmp_path, FRAME.with_columns(who=pl.lit("zoe-zeta")), "  columns: {who: {private: keep}}\n")
    changes, _ = versions.diff(later, Run(), "one", None)
    assert "zoe-zeta" not in str(changes)
    assert "ann" not in str(changes)


def test_restored_is_what_was_kept(tmp_path: Path) -> None:
    project = project_of(tmp_path, FRAME)
    versions.snapshot(project, Run(), "one")
    project_of(tmp_path, FRAME.head(3))
    found = versions.restored(project, "one", tmp_path / "back.parquet")
    assert found["rows"] == 40
    assert pl.read_parquet(tmp_path / "back.parquet").equals(FRAME)


@pytest.mark.parametrize(("word", "output", "told"), [
    ("nothing", "new.csv", "fermion data log"),
    ("last", "rows.parquet", "nothing was overwritten"),
    ("last", "new.xyz", "xyz"),
])  # fmt: skip
def test_what_cannot_be_restored(tmp_path: Path, word: str, output: str, told: str) -> None:
    project = project_of(tmp_path, FRAME)
    versions.snapshot(project, Run())
    with pytest.raises(UsageError, match=told):
        versions.restored(project, word, tmp_path / output)
    assert pl.read_parquet(tmp_path / "rows.parquet").height == 40


def test_before_the_first_snapshot_there_is_none(tmp_path: Path) -> None:
    project = project_of(tmp_path, FRAME)
    assert versions.history(project) == []
    with pytest.raises(UsageError):
        versions.show(project, "last")
