from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core.declared import Source
from fermion.core.errors import DataError, SpecError
from fermion.data.sources import Aside, read


def tolerant(folder: Path, content: bytes, **more: Any) -> tuple[list[dict[str, object]], list[Aside], pl.Schema]:
    (folder / "a.csv").write_bytes(content)
    aside: list[Aside] = []
    table = read(Source(at="a.csv", unreadable="aside", **more), folder=folder, aside=aside)
    return table.preview(10), aside, table.frame.schema


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million rows; row 900,000 has a text where numbers were."""
    folder = tmp_path_factory.mktemp("million")
    lines = np.array([f"{i},{i % 97}.5,c{i % 7}\n" for i in range(1_000_000)], dtype=object)
    lines[899_999] = "899999,twelve,c1\n"
    (folder / "a.csv").write_text("id,size,kind\n" + "".join(lines))
    return folder


@pytest.mark.parametrize("memory", ["always", "never"])
def test_a_type_that_changes_at_row_900_000(million: Path, memory: Any) -> None:
    with pytest.raises(DataError) as told:
        read(Source(at="a.csv", memory=memory), folder=million)
    assert told.value.where == f"{million / 'a.csv'}:900001"
    assert told.value.message == "column `size` must be made of numbers like the rows before, got 'twelve'."
    assert "unreadable: aside" in told.value.remedy
    aside: list[Aside] = []
    table = read(Source(at="a.csv", unreadable="aside", memory=memory), folder=million, aside=aside)
    assert aside == [Aside(f"{million / 'a.csv'}:900001", told.value.message)]
    assert len(table) == 999_999
    assert table.frame.schema == pl.Schema({"id": pl.Int64, "size": pl.Float64, "kind": pl.String})
    assert table.row(899_999)["id"] == 900_000


@pytest.mark.parametrize(
    ("good", "odd", "kind", "words"),
    [
        ("12", "1.5 kg", pl.Int64, "numbers"),
        ("2026-01-31", "31.1.", pl.Date, "dates"),
        ("2026-01-31 10:00:00", "soon", pl.Datetime, "dates and times"),
        ("true", "maybe", pl.Boolean, "true and false"),
    ],
)
def test_any_type_that_changes(tmp_path: Path, good: str, odd: str, kind: Any, words: str) -> None:
    content = ("a,b\n" + f"{good},x\n" * 10_001 + f"{odd},y\n{good},z\n").encode()
    _, aside, schema = tolerant(tmp_path, content)
    assert [thing.place for thing in aside] == [f"{tmp_path / 'a.csv'}:10003"]
    assert f"made of {words} like the rows before, got {odd!r}" in aside[0].reason
    assert schema["a"] == kind
    assert read(Source(at="a.csv", text=("a",)), folder=tmp_path).values("a")[10_001] == odd


def test_rows_that_are_no_rows_are_set_aside_with_their_lines(tmp_path: Path) -> None:
    content = b'a,b\n1,"x\ny"\n2\n3,z,z\n\n4,caf\xe9\n5,"two\nlines"\n' + b"6,q\n" * 10_000 + b"seven,r\n8,s\n\n\n"
    rows, aside, schema = tolerant(tmp_path, content)
    assert [int(thing.place.rsplit(":", 1)[1]) for thing in aside] == [4, 5, 6, 7, 10_010]
    assert [thing.reason.split(", got ")[1] for thing in aside] == [
        "1 field: 2.",
        "3 fields: 3,z,z.",
        "0 fields: .",
        "the byte 0xe9 at offset 26.",
        "'seven'.",
    ]
    assert rows[:3] == [{"a": 1, "b": "x\ny"}, {"a": 5, "b": "two\nlines"}, {"a": 6, "b": "q"}]
    assert schema["a"] == pl.Int64
    table = read(Source(at="a.csv", unreadable="aside", memory="never"), folder=tmp_path)
    assert (len(table), table.row(len(table) - 1)) == (10_003, {"a": 8, "b": "s"})


def test_nulls_in_the_last_column_are_not_short_rows(tmp_path: Path) -> None:
    rows, aside, _ = tolerant(tmp_path, b'a,b\n"1,2",\n"say ""no"", then",x\n3,\n')
    assert (rows, aside) == ([{"a": "1,2", "b": None}, {"a": 'say "no", then', "b": "x"}, {"a": "3", "b": None}], [])


def test_text_stays_text(tmp_path: Path) -> None:
    rows, _, schema = tolerant(tmp_path, b"code,day,n\n00123,2026-01-01,1\n", text=("code", "day"))
    assert rows == [{"code": "00123", "day": "2026-01-01", "n": 1}]
    with pytest.raises(SpecError, match=r"data.source.text must be made of columns of a.csv, got 'cod'. Did you mean `code`"):
        tolerant(tmp_path, b"code\n00123\n", text=("cod",))
    assert schema["n"] == pl.Int64


def test_types_are_those_that_polars_infers_over_all_rows(tmp_path: Path) -> None:
    day, flags = "2026-01-01", ("false", "true")
    content = b"".join(
        f"{i},{i / 4},2026-01-{i % 28 + 1:02},2026-01-0{i % 9 + 1}T10:00:00,{flags[i % 2]},{'' if i < 300 else day},w{i}\n".encode()
        for i in range(500)
    )
    content = b"i,f,d,t,b,late,w\n" + content
    _, _, schema = tolerant(tmp_path, content)
    assert schema == pl.read_csv(content, infer_schema_length=None, try_parse_dates=True).schema
    assert schema["late"] == pl.Date
    table = read("a.csv", folder=tmp_path)
    assert table.frame.row(499)[2:4] == (dt.date(2026, 1, 24), dt.datetime(2026, 1, 5, 10))


def test_old_mac_lines(tmp_path: Path) -> None:
    rows, aside, _ = tolerant(tmp_path, b"a,b\r1,x\r2\r3,z\r")
    assert (rows, [thing.place for thing in aside]) == ([{"a": 1, "b": "x"}, {"a": 3, "b": "z"}], [f"{tmp_path / 'a.csv'}:3"])


def test_windows_lines_and_blank_ends(tmp_path: Path) -> None:
    for end in (b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n"):
        rows, aside, _ = tolerant(tmp_path, b"\xef\xbb\xbfa,b\r\n1,\r\n2,y" + end)
        assert (rows, aside) == ([{"a": 1, "b": None}, {"a": 2, "b": "y"}], [])


def test_dates_of_two_forms_are_texts(tmp_path: Path) -> None:
    """Which a repair can read (`repair: {dates: [...]}`); one form alone is read as dates."""
    (tmp_path / "a.csv").write_text("one,two\n2024-01-01,02.03.2024\n2024-01-02,2024-03-04\n" + "2024-01-03,2024-03-05\n" * 200)
    table = read("a.csv", folder=tmp_path)
    assert table.frame.schema == {"one": pl.Date, "two": pl.String}
