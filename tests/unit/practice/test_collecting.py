from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fermion.core.errors import DataError, SpecError
from fermion.data.reading import Aside
from fermion.practice.collecting import collect, depends
from fermion.practice.project import Project

PAID = pl.DataFrame(
    {
        "at": [dt.datetime(2026, 1, day) for day in (1, 2, 3, 4)],
        "who": ["a", "b", "a", "a"],
        "name": ["Ann", "Bob", "Ann", "Ann"],
        "amount": ["1,200.50", "n/a", "oops", "3"],
        "y": ["good", "bad", "good", None],
    }
)
REPAIR = "columns: {name: {private: drop}, amount: {repair: {thousands: ',', missing: [n/a]}}}"


def project_of(folder: Path, data: str, source: str = "rows.parquet", frame: pl.DataFrame = PAID) -> Project:
    frame.write_parquet(folder / "rows.parquet")
    (folder / "fermion.yaml").write_text(f"name: t\ndata:\n  source: {source}\n  target: y\n{data}")
    return Project.load(folder)


def collected(project: Project, **more: Any) -> pl.DataFrame:
    return collect(project.spec, folder=project.folder, place=project.place, **more).frame


def test_a_text_that_no_rule_reads_stops_with_its_row_and_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2: the column `amount` must be a number.*'oops'.*unreadable: aside"):
        collected(project_of(tmp_path, f"  {REPAIR}\n  drop_unlabelled: true\n"))


def test_or_its_row_is_set_aside_with_the_reason(tmp_path: Path) -> None:
    aside: list[Aside] = []
    project = project_of(tmp_path, f"  {REPAIR}\n  drop_unlabelled: true\n", "{at: rows.parquet, unreadable: aside}")
    frame = collected(project, aside=aside)
    assert frame["amount"].fill_nan(None).to_list() == [1200.5, None]
    assert [(one.place, "'oops' is not a number" in one.reason) for one in aside] == [("row 2", True)]


def test_private_values_are_in_no_message(tmp_path: Path) -> None:
    data = "  columns: {amount: {private: keep, repair: {thousands: ','}}}\n"
    with pytest.raises(DataError) as told:
        collected(project_of(tmp_path, data))
    assert "a private value" in str(told.value)
    assert "n/a" not in str(told.value)
    assert "oops" not in str(told.value)
    aside: list[Aside] = []
    collected(project_of(tmp_path, data + "  drop_unlabelled: true\n", "{at: rows.parquet, unreadable: aside}"), aside=aside)
    assert len(aside) == 2
    assert not any("oops" in one.reason for one in aside)


def test_what_is_private_to_the_point_of_drop_is_not_in_the_table(tmp_path: Path) -> None:
    frame = PAID.with_columns(amount=pl.lit("1"), y=pl.lit("good"))
    assert "name" not in collected(project_of(tmp_path, f"  {REPAIR}\n", frame=frame)).columns


def test_joins_come_before_features_and_both_before_the_split(tmp_path: Path) -> None:
    frame = PAID.with_columns(amount=pl.Series([1.0, 2.0, 3.0, 4.0]), y=pl.lit("good"))
    pl.DataFrame({"at": [dt.datetime(2025, 12, 1), dt.datetime(2026, 1, 4)], "who": ["a", "a"], "limit": [10.0, 20.0]}).write_parquet(
        tmp_path / "limits.parquet"
    )
    data = (
        "  time: at\n  joins: [{source: limits.parquet, by: who, time: at}]\n"
        "  features: [{take: sum, of: limit, by: who, window: 7d, name: limits}, {ratio: [amount, limit]}]\n"
    )
    made = collected(project_of(tmp_path, data, frame=frame))
    assert made["limit"].to_list() == [10.0, None, 10.0, 20.0]
    assert made["limits"].to_list() == [10.0, 0.0, 20.0, 40.0]
    assert "amount / limit" not in made.columns, "a ratio is made inside the bundle"


def test_features_in_time_need_a_time_and_columns_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.time"):
        collected(project_of(tmp_path, "  drop_unlabelled: true\n  features: [{take: count, by: who, window: 7d}]\n"))
    with pytest.raises(SpecError, match="whom"):
        collected(project_of(tmp_path, "  time: at\n  drop_unlabelled: true\n  features: [{take: count, by: whom, window: 7d}]\n"))


def test_a_missing_label_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="drop_unlabelled"):
        collected(project_of(tmp_path, ""))


def test_labels_given_by_hand_are_laid_over_what_was_read(tmp_path: Path) -> None:
    def overlay(table: Any) -> Any:
        return table.with_column("y", ["good"] * len(table))

    assert collected(project_of(tmp_path, "  drop_unlabelled: true\n"), overlay=overlay)["y"].to_list() == ["good"] * 4


@pytest.mark.parametrize(
    ("data", "same"),
    [
        ("  drop_unlabelled: true\n", False),
        (f"  {REPAIR}\n", False),
        ("  time: at\n  features: [{take: count, by: who, window: 7d}]\n", False),
        ("  features: [{ratio: [amount, amount]}]\n", True),
        ("  ignore: [who]\n", True),
    ],
)
def test_the_cache_knows_what_the_table_depends_on(tmp_path: Path, data: str, same: bool) -> None:
    plain, other = (depends(project_of(tmp_path, one).spec, str) for one in ("", data))
    assert (plain == other) == same
