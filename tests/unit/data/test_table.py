from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fermion.columns.category import Category
from fermion.columns.column import Coded
from fermion.columns.number import Number
from fermion.core.errors import DataError, ValueRejected
from fermion.data.table import Table

MIXED: dict[str, Any] = {
    "number": [1, 2.5, None],
    "whole": np.array([1, 2, 3]),
    "text": ["a", None, "c"],
    "flag": [True, False, None],
    "day": [dt.date(2026, 1, 1), None, dt.date(2026, 1, 3)],
    "picture": np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1),
    "bytes": [b"1", b"", None],
}


def test_values_are_what_columns_read() -> None:
    table = Table.of(MIXED)
    np.testing.assert_array_equal(table.values("number"), [1, 2.5, np.nan])
    assert table.values("text") == ["a", None, "c"]
    assert table.values("flag") == [True, False, None]
    assert table.values("bytes") == [b"1", b"", None]
    day: Any = table.values("day")
    assert day.dtype == "datetime64[us]"
    assert np.isnat(day).tolist() == [False, True, False]
    np.testing.assert_array_equal(table.values("picture"), MIXED["picture"], strict=True)
    assert table.row(1) == {
        "number": 2.5,
        "whole": 2,
        "text": None,
        "flag": False,
        "day": None,
        "picture": [[[4], [5]], [[6], [7]]],
        "bytes": b"",
    }
    assert table.row(2)["number"] is None
    assert list(table.batch(["text"])) == ["text"]
    assert len(table.preview(2)) == 2
    assert "<table" in table._repr_html_()


def test_moments_with_a_zone_are_converted_to_utc() -> None:
    moment = pl.Series("t", [dt.datetime(2026, 7, 1, 12)]).dt.replace_time_zone("Europe/Zurich")
    assert str(Table.of(moment.to_frame()).values("t")[0]) == "2026-07-01T10:00:00.000000"


@pytest.mark.parametrize(
    "data",
    [
        pl.DataFrame({"x": [1, 2], "t": ["a", "b"]}),
        pl.LazyFrame({"x": [1, 2], "t": ["a", "b"]}),
        pd.DataFrame({"x": [1, 2], "t": ["a", "b"]}, index=["p", "q"]),
        pa.table({"x": [1, 2], "t": ["a", "b"]}),
        {"x": np.array([1, 2]), "t": np.array(["a", "b"])},
        {"x": (1, np.int64(2)), "t": pd.Series(["a", "b"])},
    ],
    ids=["polars", "lazy", "pandas", "arrow", "arrays", "lists"],
)
def test_every_kind_of_frame_gives_one_table(data: Any) -> None:
    table = Table.of(data)
    assert table.names == ("x", "t")
    assert table.fingerprint == Table.of({"x": [1, 2], "t": ["a", "b"]}).fingerprint
    assert Table.of(table) is table


def test_a_duckdb_relation_and_its_decimals() -> None:
    """In a process of its own: DuckDB 2.0 writes notes about its own memory to standard error when Python ends."""
    query = "select 1.5 as x, 'a' as t"
    code = f"import duckdb; from fermion.data.table import Table; t = Table.of(duckdb.sql({query!r})); print(t.values('x'), t.values('t'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[1.5] ['a']"


def test_nan_between_texts_is_a_gap_and_odd_arrays_are_stored() -> None:
    assert Table.of({"t": ["a", float("nan")]}).values("t") == ["a", None]
    assert Table.of({"t": np.array(["a", None], dtype=object)}).values("t") == ["a", None]
    assert Table.of({"x": np.array([1.5], dtype=">f4")}).values("x")[0] == 1.5
    assert Table.of({"x": np.array([1.5], dtype=np.float16)}).values("x")[0] == 1.5
    assert str(Table.of({"d": np.array(["2026-01-02"], dtype="M8[D]")}).values("d")[0])[:10] == "2026-01-02"
    assert np.asarray(Table.of({"p": [np.zeros((2, 2), np.uint8)] * 3}).values("p")).shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "the columns must be equally long, got `a` 2, `b` 1"),
        ({"a": [1, "x"]}, "column `a` must be values of one type that a table can hold, got str in row 1 after int"),
        ({"a": [10**400]}, r"column `a` must be values of one type .+ got \[1000"),
        ({"a": [True, 3]}, "got int in row 1 after bool"),
        ({"a": np.zeros(2, dtype=complex)}, "got an array of complex128"),
        ({"a": [np.zeros((2, 2), np.uint8), np.zeros((3, 3), np.uint8)]}, "column `a` must be arrays of one shape"),
        ({"a": [[[1.0, 2.0]], [[1.0]]]}, "column `a` must be series with equally many numbers per step, got steps of 1 and 2 numbers"),
        ({"a": [[1.0], [True]]}, "row 1: column `a` must be a list of steps"),
        ({"a": "text"}, "column `a` must be a list or an array"),
        ({"a": 3}, "column `a` must be a list or an array"),
        ({1: [2]}, "a column's name must be text, got 1"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "must be named differently, got `a` more than once"),
        (pd.DataFrame({"a": [1, "x"]}), "column `a` must be values of one type"),
        ([1, 2], "the data must be a data frame .+, got an object of type list"),
    ],
)
def test_what_cannot_be_a_table(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Table.of(data)


@pytest.mark.parametrize("values", [[[dt.date(2026, 1, 1)]], [{"a": 1}], [dt.timedelta(1)], [dt.time(1)]])
def test_types_that_no_column_reads_are_refused_when_they_are_used(values: list[object]) -> None:
    table = Table.of({"odd": values, "x": [1] * len(values)})
    assert table.values("x")[0] == 1
    with pytest.raises(DataError, match=r"column `odd` must be .+ leave it out: `data.ignore: \[odd\]`"):
        table.values("odd")
    assert len(table.fingerprint) == 64


def test_unknown_columns_and_rows() -> None:
    table = Table.of({"amount": [1], "city": ["a"]})
    for call in (table.values, lambda name: table.drop([name]), lambda name: table.select([name])):
        with pytest.raises(DataError, match="Did you mean `amount`"):
            call("amuont")
    with pytest.raises(DataError, match="row must be a number from 0 to 0"):
        table.row(1)
    with pytest.raises(DataError, match="equally long"):
        table.with_column("z", [1, 2])


def test_taking_dropping_and_adding() -> None:
    table = Table.of(MIXED)
    assert table.take(np.array([2, 0])).values("whole").tolist() == [3, 1]  # type: ignore[union-attr]
    assert table.take(np.array([True, False, True])).values("whole").tolist() == [1, 3]  # type: ignore[union-attr]
    assert table.take(slice(None, None, -1)).values("text") == ["c", None, "a"]
    assert len(table.take([])) == 0
    assert table.drop(["text"]).names == tuple(name for name in MIXED if name != "text")
    assert table.select(["flag", "text"]).names == ("flag", "text")
    assert table.with_column("new", [1, 2, 3]).names[-1] == "new"
    assert "new" not in table.names


def test_fingerprint_sees_every_change_and_nothing_else() -> None:
    table = Table.of(MIXED)
    same = Table(pl.concat([table.frame[:1], table.frame[1:]], rechunk=False))
    assert same.frame.n_chunks() == 2
    assert same.fingerprint == table.fingerprint == table.take([2, 1, 0]).take([2, 1, 0]).fingerprint
    behind_null = Table(table.frame.with_columns(pl.when(pl.col("whole") != 2).then("whole").alias("n")))
    assert behind_null.fingerprint == Table(table.frame.with_columns(n=pl.Series([1, None, 3]))).fingerprint
    others = [table.take([1, 0, 2]), table.drop(["flag"]), Table(table.frame.rename({"flag": "flog"})), table.take([0, 1])]
    others += [
        table.with_column(name, changed)
        for name, changed in (("text", ["a", "", "c"]), ("whole", [1.0, 2, 3]), ("bytes", [b"", b"1", None]))
    ]
    others += [table.with_column("picture", 255 - MIXED["picture"]), table.with_column("flag", [True, None, False])]
    assert len({table.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1
    assert Table.of({"t": ["ab", "c"]}).fingerprint != Table.of({"t": ["a", "bc"]}).fingerprint


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = "from fermion.data.table import Table; print(Table.of({'t': ['a', None], 'x': [1, 2]}).fingerprint)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    assert told.stdout.strip() == Table.of({"t": ["a", None], "x": [1, 2]}).fingerprint


def test_paths_count_by_what_the_files_hold(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (Table(pl.DataFrame({"image": [str(tmp_path / name)]}), paths=["image"]) for name in "abc")
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert a.take([0]).paths == {"image"}
    with pytest.raises(DataError, match="row 0: column `image` must be paths of files that can be read"):
        _ = Table(pl.DataFrame({"image": [str(tmp_path / "none")]}), paths=["image"]).fingerprint


def test_encoding_distinct_texts_is_encoding_them_all() -> None:
    values = ["a", "b", None, "a", "c"] * 20
    table = Table.of({"t": values, "c": pl.Series(values, dtype=pl.Categorical), "x": range(100)})
    column = Category().fit(values[:3])
    for name in ("t", "c"):
        np.testing.assert_array_equal(table.encode(column, name)[0], column.encode(values)[0], strict=True)
    number = Number().fit(table.values("x"))
    np.testing.assert_array_equal(table.encode(number, "x")[0], number.encode(list(range(100)))[0])
    with pytest.raises(ValueRejected, match="row 0"):
        table.encode(Number(), "t")
    rows = Table.of({"t": [None] * 50 + ["x"]})
    with pytest.raises(ValueRejected, match=r"^row 50: "):
        rows.encode(Number(), "t")


class TestCoded:
    @pytest.mark.parametrize("distinct", [2, 3, 300, 2_000, 4_500, 6_000])
    def test_codes_are_exact_however_many_there_are(self, distinct: int) -> None:
        rng = np.random.default_rng(distinct)
        names = [None, *(f"value {number}" for number in range(distinct - 1))]
        chosen = [names[place] for place in rng.integers(0, distinct, 20_000)]
        table = Table.of({"x": chosen, "y": pl.Series(chosen, dtype=pl.Categorical)})
        for name in table.names:
            coded = table.coded(name)
            assert coded is not None
            assert list(coded) == chosen
            assert len(set(coded.distinct)) == len(coded.distinct)
            assert coded.counts.sum() == len(chosen)
            assert table.coded(name) is coded

    def test_numbers_and_truth_values_have_codes_too(self) -> None:
        table = Table.of({"i": [3, 1, 3, 3] * 2, "f": [0.0, 1.0, 0.0, None] * 2, "t": [True, False, True, None] * 2, "d": list(range(8))})
        for name in ("i", "f", "t"):
            coded = table.coded(name)
            assert coded is not None
            np.testing.assert_array_equal(np.array(list(coded), dtype=float), np.array(list(table.values(name)), dtype=float))
        assert table.coded("d") is None
        assert Table.of({"x": [[1.0, 2.0]] * 4}).coded("x") is None
        with pytest.raises(DataError, match="column must be"):
            table.coded("nothing")

    @pytest.mark.parametrize("kept", [10, 1 << 22])
    @pytest.mark.parametrize("rows", [[5, 2, 2], [0, 3, 5, 5], [1, 2, 9], [], slice(2, 7), np.arange(10) % 2 == 0, [-1, 3]])
    def test_a_part_is_what_taking_rows_gives(self, rows: Any, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fermion.data.table.KEPT", kept)
        frame = {"text": ["a", "b", None, "a", "a"] * 4, "names": [f"row {row}" for row in range(20)], "size": [1.5, None] * 10}
        table = Table.of({**frame, "whole": list(range(20)), "day": [dt.date(2026, 1, 1)] * 20, "true": [True, None] * 10})
        rows = np.resize(rows, 20) if isinstance(rows, np.ndarray) else rows
        wanted = table.take(rows).batch()
        part = table.part(rows)
        for name, values in wanted.items():
            got = part[name]
            if isinstance(values, np.ndarray):
                np.testing.assert_array_equal(got, values, strict=True)
            else:
                assert list(got) == values

    def test_a_part_keeps_no_value_of_other_rows(self) -> None:
        part = Table.of({"text": ["a", "b", "c", "a"] * 5}).part([0, 3, 2])["text"]
        assert isinstance(part, Coded)
        assert (list(part.distinct), list(part), list(part[1:])) == (["a", "c"], ["a", "a", "c"], ["a", "c"])
