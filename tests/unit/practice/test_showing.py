"""Rows as people see them: series and sounds."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from fermion.core.errors import UsageError
from fermion.data.samples import sample
from fermion.data.table import Table
from fermion.practice.prediction import write_table
from fermion.practice.showing import shown_row


def test_series_are_lists_and_gaps_are_null() -> None:
    table = Table.of(
        {
            "flat": [[1.0, None], [2.0]],
            "wide": [[[1.0, None], None], [[3.0, 4.0]]],
            "timed": [{"times": [0.0, 5.0], "values": [1.0, None]}, None],
        }
    )
    assert shown_row(table, 0) == {
        "flat": [1.0, None],
        "wide": [[1.0, None], [None, None]],
        "timed": {"times": [0.0, 5.0], "values": [1.0, None]},
    }
    json.dumps(shown_row(table, 1), allow_nan=False)


def test_sounds_are_data_uris() -> None:
    shown = shown_row(sample("sample://spoken?rows=10&speakers=2"), 0)
    assert shown["clip"].startswith("data:audio/wav;base64,UklGR")
    assert shown["word"] == "zero"


def test_series_are_written_to_files_that_hold_them(tmp_path: Path) -> None:
    frame = Table.of({"x": [[1.0], [2.0, 3.0]]}).frame
    write_table(frame, tmp_path / "a.parquet")
    write_table(frame, tmp_path / "a.jsonl")
    assert Table(pl.read_ndjson(tmp_path / "a.jsonl")).fingerprint == Table(frame).fingerprint
    with pytest.raises(UsageError, match=r"a table for a\.csv must be one of plain values.* `x` .*Write a \.parquet or \.jsonl file"):
        write_table(frame, tmp_path / "a.csv")
