from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core import yaml12
from fermion.core.errors import DataError, SpecError
from fermion.core.run import Run
from fermion.data.clean import part_digest
from fermion.practice import making
from fermion.practice.pipeline import Pipeline
from fermion.practice.planning import Plan, describe, suggest, write
from fermion.practice.project import Project

from .conftest import Make


def plan_of(project: Project) -> Plan:
    return suggest(project, Run())


def rows_project(folder: Path, frame: pl.DataFrame, more: str = "") -> Project:
    frame.write_parquet(folder / "rows.parquet")
    (folder / "fermion.yaml").write_text(
        f"name: t\ndata:\n  source: rows.parquet\n  target: y\n{more}model: linear\nsplit: {{by: random}}\n"
    )
    return Project.load(folder)


def test_the_whole_export_is_mended_by_the_plan(loans: Make) -> None:
    project = loans()
    plan = plan_of(project)
    repairs = {name: said["repair"] for name, said in plan.data["columns"].items() if "repair" in said}
    assert set(repairs) == {"applied_on", "income", "debt", "rate", "history", "earlier_default", "city", "employment"}
    assert repairs["income"]["units"] == {"monthly": 12.0}
    assert repairs["history"]["units"]["months"] == pytest.approx(1 / 12)
    assert plan.data["columns"]["income"]["missing"] == "accept"
    assert plan.data["columns"]["email"] == {"private": "hash"}
    assert plan.data["clean"]["duplicates"] == "near"
    assert plan.data["clean"]["outliers"] == [{"by": "robust_z", "columns": ["income"], "limit": 12.0}]
    assert any("perhaps guard (name) `applicant`" in line for line in plan.lines())
    kept = write(project, plan)
    written = Project.load(project.path)
    table = Pipeline(written, Run()).table()
    assert all(table.series(name).dtype.is_numeric() for name in ("income", "debt", "rate", "history"))
    assert table.series("applied_on").dtype == pl.Datetime("us")
    assert kept.name == "fermion.yaml.bak"
    assert kept.read_text().startswith("name: loans")


def test_a_plan_that_was_written_is_complete_and_made_from_the_training_part(loans: Make) -> None:
    project = loans("  columns: {email: {private: drop}}")
    write(project, plan_of(project))
    written = Project.load(project.path)
    again = plan_of(written)
    assert [step.what for step in again.steps] == ["perhaps guard (name)"]
    assert again.data == {}
    made_from: Any = written.spec.data.clean.made_from
    table = Pipeline(written, Run()).table()
    marks = making.divide(table, written.spec, Run())
    assert (made_from.part, made_from.split) == ("train", part_digest(marks))
    assert not [one for one in making.look(table, marks, written.spec, training=part_digest(marks)) if one.kind == "lineage"]


def test_only_the_training_part_is_looked_at(tmp_path: Path) -> None:
    """Spellings that only the newest rows have are no reason for a repair."""
    days = [dt.datetime(2026, 1, 1) + dt.timedelta(days=day) for day in range(200)]
    frame = pl.DataFrame(
        {
            "day": days,
            "place": [f"{place} " if row >= 160 else place for row, place in enumerate(["bern", "rome"] * 100)],
            "paid": ["1,200.50" if row >= 160 else f"{row}.5" for row in range(200)],
            "y": ["a", "b"] * 100,
        }
    )
    project = rows_project(tmp_path, frame)
    project.path.write_text(project.path.read_text().replace("{by: random}", "{by: time, column: day}"))
    plan = plan_of(Project.load(project.path))
    assert set(plan.data["columns"]) == {"paid"}
    assert "thousands" not in plan.data["columns"]["paid"]["repair"]
    assert any("40 rows outside the training part cannot be read" in line for line in plan.lines())


def test_what_is_declared_already_is_left_alone(loans: Make) -> None:
    project = loans(
        "  ignore: [city, applicant]\n  columns: {debt: {type: category, repair: {text: [strip]}}, email: {private: drop}}\n"
        "  clean: {duplicates: exact, outliers: [{by: iqr, columns: [amount]}]}"
    )
    plan = plan_of(project)
    assert not {"city", "debt", "email", "applicant", "defaulted"} & set(plan.data["columns"])
    assert "clean" not in plan.data


def test_clean_data_get_no_plan(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x": rng.normal(size=300), "heavy": rng.lognormal(0, 1.5, 300), "y": rng.permutation(["a", "b"] * 150)})
    project = rows_project(tmp_path, frame)
    before = project.path.read_text()
    plan = plan_of(project)
    assert (plan.data, plan.steps) == ({}, ())
    with pytest.raises(SpecError, match="fermion data clean --suggest"):
        describe(project, Run())
    assert project.path.read_text() == before


def test_rows_that_repeat_by_nature_are_no_plan(tmp_path: Path) -> None:
    frame = pl.DataFrame({"colour": ["red", "blue", "green"] * 100, "y": ["a", "b"] * 150})
    plan = plan_of(rows_project(tmp_path, frame))
    assert plan.data == {}
    assert any("it may be how the data are" in line for line in plan.lines())


def test_values_of_private_columns_are_not_among_the_examples(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "birth_date": [f"{row % 28 + 1:02d}.0{row % 9 + 1}.19{row % 50 + 40}" for row in range(200)],
            "salary": [f"{row},500.00" for row in range(200)],
            "x": np.arange(200) % 7,
            "y": ["a", "b"] * 100,
        }
    )
    told = "\n".join(plan_of(rows_project(tmp_path, frame, "  columns: {salary: {private: keep}}\n")).lines())
    assert "repair to a time `birth_date`" in told
    assert "repair to a number `salary`" in told
    assert ".19" not in told
    assert ",500" not in told


def test_texts_that_nothing_can_read_are_counted_and_shown(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"paid": ["oops" if row % 50 == 3 else f"{row},000" for row in range(200)], "x": range(200), "y": ["a", "b"] * 100}
    )
    plan = plan_of(rows_project(tmp_path, frame))
    step = next(step for step in plan.steps if step.column == "paid")
    assert any("rows cannot be read, such as 'oops'" in note for note in step.notes)


def test_describe_counts_what_the_plan_sets_aside(loans: Make) -> None:
    project = loans()
    write(project, plan_of(project))
    told = describe(Project.load(project.path), Run())
    assert set(told["aside"]) >= {"duplicates", "near duplicates"}
    assert told["rows"] > 350
    assert told["examples"]["duplicates"][0].startswith("row ")
    assert "income" in told["repaired"]


def test_a_column_said_in_a_word_becomes_a_section(loans: Make) -> None:
    project = loans("  columns: {city: category, purpose: category}")
    write(project, plan_of(project))
    columns: Any = yaml12.parse(project.path.read_text(), file="").value["data"]["columns"]  # type: ignore[index]
    assert columns["purpose"] == "category"
    assert columns["city"]["type"] == "category"
    assert columns["city"]["repair"]["merge"]


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "fermion.yaml").write_text("name: t\ndata: {source: nothing.csv, target: y}\n")
    with pytest.raises(DataError, match=r"nothing\.csv"):
        plan_of(Project.load(tmp_path))
