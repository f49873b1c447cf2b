"""Series and sound from a source to a served bundle: `fermion run` on each form in which they come."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from fermion.bundle import bundle as bundles

from .conftest import Command


def put(folder: Path, data: str) -> None:
    (folder / "fermion.yaml").write_text(f"name: series\ndata:\n{data}\nmodel: baseline\nevaluate: {{draws: 20}}\n")


def inputs(fermion: Command) -> dict[str, str]:
    """The kinds of columns of the bundle that a run makes; the run holds the golden rows against the live server."""
    told = fermion("run", "--json")
    assert told.code == 0, told.err + told.out
    return {field.name: field.kinds[0] for field in bundles.open(told.document["bundle"]).manifest.schema.fields}


def test_beats_of_an_npz_file_whose_arrays_list_the_patients(fermion: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "X": rng.integers(-200, 200, (120, 25), dtype=np.int16),
        "y": rng.choice(["N", "V"], 120),
        "record": np.repeat([1, 2, 3, 4], 30),
    }
    np.savez(tmp_path / "beats.npz", **arrays, DS1=np.array([1, 2, 3]), DS2=np.array([4]))
    put(
        tmp_path,
        "  source: {at: beats.npz, arrays: [X, y], parts: {of: record, train: DS1, test: DS2}}\n  target: y\n  columns: {X: sequence}\n"
        "  ignore: [record]\nsplit: {by: column, column: split}",
    )
    assert inputs(fermion) == {"X": "sequence"}


def test_private_ragged_series_and_series_at_times_of_json_lines(fermion: Command, tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), []
    for number in range(100):
        steps = int(rng.integers(0, 8))
        x = rng.normal(size=(steps, 2)).round(3).tolist()
        timed = {"times": np.cumsum(rng.exponential(size=steps)).tolist(), "values": [one[0] for one in x]}
        rows.append({"x": x, "t": timed if number % 9 else None, "y": ["a", "b"][number % 2]})
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    put(tmp_path, "  source: a.jsonl\n  target: y\n  columns: {x: {type: sequence, private: keep}}")
    assert inputs(fermion) == {"x": "sequence", "t": "sequence"}


def test_spoken_words(fermion: Command, tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    put(tmp_path, "  source: sample://spoken?rows=80&speakers=4\n  target: word\n  ignore: [speaker]\nsplit: {by: group, column: speaker}")
    assert inputs(fermion) == {"clip": "audio"}


def test_a_long_table_of_measurements(fermion: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with (tmp_path / "events.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "t", "v"], *([int(rng.integers(80)), int(rng.integers(1000)), round(float(rng.normal()), 3)] for _ in range(800))]
        )
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "at", "y"], *([number, int(rng.integers(300, 1000)), "ab"[number % 2]] for number in range(80))])
    put(
        tmp_path,
        "  source: rows.csv\n  target: y\n  time: at\n  ignore: [id, at]\n"
        "  joins: [{source: events.csv, by: id, series: {time: t, value: v}, name: course}]",
    )
    assert inputs(fermion) == {"course": "sequence"}
