from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from fermion.core.errors import DataError, SpecError, UsageError
from fermion.core.run import Event, Run
from fermion.practice.looking import guarded, profiled
from fermion.practice.project import Project

from .conftest import Make


def test_a_projects_profile_knows_target_parts_and_findings(loans: Make) -> None:
    project = loans(
        "  columns: {applied_on: {type: time, repair: {dates: ['%d.%m.%Y', '%b %d, %Y']}}, email: {private: drop}, gender: {private: keep}}"
    )
    found, page = profiled(str(project.path), (), None, Run())
    assert (project.folder / ".fermion" / "profile.html").samefile(page)
    assert {one.name for one in found.columns} >= {"applied_on", "income", "gender"}
    assert "email" not in {one.name for one in found.columns}
    gender = next(one for one in found.columns if one.name == "gender")
    assert gender.private
    assert not {"male", "female"} & {str(value) for value in gender.top}
    text = page.read_text()
    assert "@example.com" not in text
    assert "collection_calls" in text


def test_a_project_that_cannot_be_split_yet_is_profiled_all_the_same(loans: Make) -> None:
    events: list[Event] = []
    found, _ = profiled(str(loans().path), (), None, Run(listeners=(events.append,)))
    assert len(found.columns) == 22
    assert any("without parts and findings" in event.text for event in events)


def test_a_file_of_data_is_profiled_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"x": [1, 2, 3], "mail": ["a@b.org", "c@d.org", "e@f.org"]}).write_csv(tmp_path / "rows.csv")
    found, page = profiled("rows.csv", (), None, Run())
    assert (found.rows, page.name) == (3, "profile.html")
    assert "a@b.org" not in (tmp_path / "profile.html").read_text()
    profiled("rows.csv", (), "other.html", Run())
    assert (tmp_path / "other.html").exists()


def test_what_cannot_be_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("x\n1\n")
    with pytest.raises(UsageError, match="project"):
        profiled("rows.csv", ("seed=1",), None, Run())
    with pytest.raises(DataError, match=r"nothing\.csv"):
        profiled("nothing.csv", (), None, Run())


def test_personal_data_that_nobody_marked_are_found(loans: Make) -> None:
    told = guarded(loans("  columns: {email: {private: drop}}"), Run())
    assert told["marked"] == {"email": "drop"}
    assert {one["column"]: one["proposal"] for one in told["personal"]} == {"birth_date": "keep", "applicant": "drop"}
    assert told["anonymity"] is None


def test_k_anonymity_of_the_quasi_identifiers(loans: Make) -> None:
    told = guarded(loans("  privacy: {quasi: [gender, months], k: 5}"), Run())
    assert told["anonymity"]["holds"] is True
    alone = guarded(loans("  privacy: {quasi: [birth_date]}"), Run())["anonymity"]
    assert (alone["holds"], alone["reached"]) == (False, 1)
    assert alone["lines"]


def test_a_quasi_identifier_that_is_not_there(loans: Make) -> None:
    project: Project = loans("  privacy: {quasi: [genders]}")
    with pytest.raises(SpecError, match="gender"):
        guarded(project, Run())
