from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fermion.core.errors import DataError
from fermion.data.rowkeys import row_keys
from fermion.data.table import Table

TABLE = Table.of(
    {
        "n": [1, 2, 2**60, None],
        "x": [0.5, float("nan"), -0.0, 1e300],
        "t": ["a", "", None, "ä"],
        "b": [True, None, False, True],
        "d": [dt.date(2020, 1, 1), None, dt.date(1960, 1, 1), dt.date(2020, 1, 1)],
        "y": ["p", "q", None, "p"],
    }
)


def test_keys_survive_a_new_reading(tmp_path: Path) -> None:
    """Other order of columns and rows, integers that became floats, labels that changed: the keys stay; and they are these for ever."""
    keys = row_keys(TABLE, without=["y"])
    assert len(set(keys)) == 4
    assert all(len(key) == 20 for key in keys)
    TABLE.frame.write_parquet(tmp_path / "t.parquet")
    again = Table(pl.read_parquet(tmp_path / "t.parquet").select(["t", "y", "x", "n", "d", "b"]).reverse())
    assert row_keys(again, without=["y"]) == keys[::-1]
    assert row_keys(TABLE.with_column("y", ["z"] * 4), without=["y"]) == keys
    floats = Table(TABLE.frame[:2].with_columns(pl.col("n").cast(pl.Float64)))
    assert row_keys(floats, without=["y"]) == keys[:2]
    assert row_keys(Table(TABLE.frame.with_columns(pl.col("t").cast(pl.Categorical))), without=["y"]) == keys
    assert row_keys(Table.of({"a": [1], "b": ["x"]})) == ["884c5caad784a34c2e8a"]


def test_values_do_not_run_into_each_other() -> None:
    keys = row_keys(Table.of({"a": ["ab", "a", "", None], "b": ["c", "bc", "abc", "abc"]}))
    assert len(set(keys)) == 4


def test_pictures_and_files(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4, 4), dtype=np.uint8)
    pixels[1, 0, 0] = 1
    assert len(set(row_keys(Table.of({"image": pixels})))) == 2
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    one.write_bytes(b"same")
    other.write_bytes(b"same")
    paths = Table(pl.DataFrame({"image": [str(one), str(other)]}), paths=["image"])
    assert len(set(row_keys(paths))) == 1


def test_what_names_no_row_is_told() -> None:
    with pytest.raises(DataError, match="at least one column"):
        row_keys(Table.of({"y": [1]}), without=["y"])
    with pytest.raises(DataError, match="column `l`"):
        row_keys(Table(pl.DataFrame({"l": pl.Series([object()], dtype=pl.Object)})))


def test_lists_and_places_have_names_by_what_is_in_them() -> None:
    table = Table.of(
        {
            "tags": [["a", "b"], ["ab"], [], None, ["a", "b"]],
            "steps": [[1, 2], [1.0], None, [], [1.0, 2.0]],
            "home": [{"lat": 1, "lon": 2}, None, {"lat": 1, "lon": None}, {"lat": 3, "lon": 4}, {"lat": 1.0, "lon": 2.0}],
        }
    )
    keys = row_keys(table)
    assert keys[0] == keys[4]
    assert len(set(keys)) == 4
    assert row_keys(table.take([1, 0])) == [keys[1], keys[0]]
