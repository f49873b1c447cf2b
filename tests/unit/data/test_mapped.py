from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from msgspec import Struct

from fermion.columns.category import Category
from fermion.columns.column import Slot, Values
from fermion.columns.number import Number
from fermion.columns.schema import Schema
from fermion.core.declared import Source
from fermion.core.errors import ValueRejected
from fermion.data import reading
from fermion.data.sources import read
from fermion.data.table import Table


class Codes(Struct, frozen=True, kw_only=True, tag="test-codes"):
    """Texts as the codes of their letters: rows of different lengths."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (Slot(name="codes", dtype="int64", shape=(None,), padding=-1, role="sequence"),)

    @property
    def request(self) -> Any:
        return str

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Codes:
        return self

    def encode(self, values: Values) -> tuple[Any, ...]:
        rows = [[ord(sign) for sign in str(value)] for value in values]
        longest = max(map(len, rows), default=0)
        return (np.array([row + [-1] * (longest - len(row)) for row in rows], dtype=np.int64).reshape(len(rows), longest),)

    def plain(self, value: object) -> object:
        return value


def table(rows: int = 1_000) -> Table:
    rng = np.random.default_rng(0)
    return Table.of(
        {
            "size": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "kind": rng.choice(["a", "bb", "ccc"], rows),
            "word": ["w" * (1 + i % 7) for i in range(rows)],
            "y": rng.integers(0, 2, rows),
        }
    )


@pytest.mark.parametrize("block", [1, 7, 300, 1_000, 5_000])
def test_encoding_by_blocks_is_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("fermion.data.mapped.ROWS", block)
    rows = table(100 if block < 10 else 1_000)
    schema = Schema.of({"size": Number(), "kind": Category(), "word": Codes()}).fit(rows.part(np.arange(len(rows))))
    expected, made = schema.encode(rows.batch()), rows.encoded(schema, tmp_path / "arrays")
    assert list(made) == list(expected)
    for name, array in made.items():
        np.testing.assert_array_equal(array, expected[name], strict=True)
        assert isinstance(array, np.memmap)


def test_a_rejected_value_is_told_by_its_row_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fermion.data.mapped.ROWS", 4)
    rows = Table.of({"x": [1.0] * 9 + [None]})
    schema = Schema.of({"x": Number()}).fit({"x": [1.0]})
    with pytest.raises(ValueRejected, match=r"^row 9: `x` must be present"):
        rows.encoded(schema, tmp_path)
    assert Table.of({"x": np.empty(0)}).encoded(schema, tmp_path)["numbers"].shape == (0, 1)


def test_a_part_is_gathered_column_by_column() -> None:
    rows = table()
    numbers = np.flatnonzero(np.arange(1_000) % 3 == 0)
    part = rows.part(numbers)
    assert (len(part), list(part), "y" in part, "z" in part) == (4, list(rows.names), True, False)
    for name, values in rows.take(numbers).batch().items():
        np.testing.assert_array_equal(part[name], values)
    assert list(rows.part([0], ["y"])) == ["y"]
    with pytest.raises(KeyError):
        part["z"]


def test_many_equal_texts_are_one_object() -> None:
    texts = ["red", None, "a long name of a colour"] * 10_000
    values: Any = Table.of({"t": texts}).values("t")
    assert values == texts
    assert len({id(value) for value in values}) == 3


def test_blocks_that_grow_too_big_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "available", lambda: 1_000.0)
    asked = reading.Reading(source=Source(at="x"), folder=tmp_path, scratch=tmp_path / "scratch")
    blocks = [pl.DataFrame({"a": list(range(10 * i, 10 * i + 10)), "t": [f"text {i}"] * 10}) for i in range(20)]
    assert asked.gather(iter(blocks), "x").equals(pl.concat(blocks))
    assert list((tmp_path / "scratch").glob("*.arrow"))
    (tmp_path / "a.csv").write_text("a\n" + "1\n" * 10_000)
    assert len(read("a.csv", folder=tmp_path, scratch=tmp_path / "other")) == 10_000
    assert list((tmp_path / "other").glob("*.arrow"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is told by Linux only")
def test_anonymous_memory_stays_small(tmp_path: Path) -> None:
    """The benchmark of 10 million rows with 300,000: 73 MB of values, twice as much while they are written."""
    path = Path(__file__).resolve().parents[3] / "benchmarks/data/larger.py"
    spec = importlib.util.spec_from_file_location("larger", path)
    assert spec is not None
    assert spec.loader is not None
    larger = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(larger)
    result = larger.measure(300_000, tmp_path)
    assert result["peak_mb"] < 500, result["stages"]
