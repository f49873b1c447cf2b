"""A value means one thing: in the file that was learned from, in the one that is predicted, and to the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import fermion
from fermion.app.cli import main
from fermion.bundle.bundle import Bundle
from fermion.core.errors import DataError, ValueRejected
from fermion.core.run import Run
from fermion.practice import labelling
from fermion.practice.pipeline import Pipeline
from fermion.practice.prediction import predict_file
from fermion.practice.project import Project


def project(folder: Path, rows: list[str], **data: Any) -> Project:
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    import yaml

    whole = {
        "name": "alike",
        "data": {"source": "rows.csv", "target": "y", **data},
        "model": "linear",
        "checks": {"accept": ["predicts-alone"]},
    }
    (folder / "fermion.yaml").write_text(yaml.safe_dump(whole))
    return Project.load(folder)


def bundle(made: Project) -> Bundle:
    Pipeline(made, Run(seed=0)).go()
    return made.latest()


def test_days_before_months_are_not_guessed(tmp_path: Path) -> None:
    rows = ["when,x,y", *(f"0{1 + k % 9}/0{1 + k % 7}/2021,{k % 5},{'ab'[k % 2]}" for k in range(100))]
    table = Pipeline(project(tmp_path, rows, columns={"when": {"type": "time", "repair": {"dates": ["%m/%d/%Y"]}}}), Run(seed=0)).table()
    assert str(table.row(1)["when"])[:10] == "2021-02-02"
    assert str(table.row(8)["when"])[:10] == "2021-09-02"
    plain = Pipeline(project(tmp_path, rows), Run(seed=0)).table()
    assert plain.series("when").dtype == pl.String


def test_a_code_is_read_alike_whatever_stands_beside_it(tmp_path: Path) -> None:
    codes = ["007", "010", "A12", "B13"]
    rows = ["code,x,y", *(f"{codes[k % 4]},{k % 7},{'yes' if k % 4 == 0 else 'no'}" for k in range(200))]
    made = bundle(project(tmp_path, rows))
    alone, beside = tmp_path / "alone.csv", tmp_path / "beside.csv"
    alone.write_text("code,x\n007,3\n010,3\n")
    beside.write_text("code,x\n007,3\n010,3\nA12,3\n")
    for source in (alone, beside):
        predict_file(made, source, source.with_suffix(".parquet"))
    one, other = (pl.read_parquet(source.with_suffix(".parquet")) for source in (alone, beside))
    assert one.equals(other.head(2))
    assert one["prediction"].to_list() == ["yes", "no"]


def test_rows_that_the_service_would_refuse_get_no_answer(tmp_path: Path) -> None:
    rows = ["x,y", *(f"{k % 50},{'ab'[k % 2]}" for k in range(200))]
    made = bundle(project(tmp_path, rows, expect=[{"column": "x", "between": [0, 100]}]))
    (tmp_path / "new.csv").write_text("x\n5\n500\n")
    count, refused = predict_file(made, tmp_path / "new.csv", tmp_path / "out.parquet")
    answers = pl.read_parquet(tmp_path / "out.parquet")
    assert (count, list(refused)) == (2, [1])
    assert answers["prediction"].null_count() == 1
    assert answers["refused"].to_list() == [None, "not x from 0 to 100"]


@pytest.mark.parametrize("bad", ["Zaphod,12,a,more", "Zaphod,secretsalary,a"])
def test_private_values_stand_in_no_message_of_the_reader(tmp_path: Path, bad: str) -> None:
    rows = ["name,pay,y", *(f"Zaphod{k},{1000 + k},{'ab'[k % 2]}" for k in range(12_000)), bad]
    private = {"name": {"private": "drop"}, "pay": {"private": "keep"}}
    with pytest.raises((DataError, ValueRejected)) as raised:
        Pipeline(project(tmp_path, rows, columns=private), Run(seed=0)).table()
    assert "Zaphod" not in str(raised.value)
    assert "secretsalary" not in str(raised.value)
    assert "12002" in str(raised.value)


def test_what_cannot_be_read_is_counted_and_listed(tmp_path: Path) -> None:
    rows = ["x,y", *(f"{k % 50},{'ab'[k % 2]}" for k in range(200)), "1,2,3"]
    made = project(tmp_path, rows, source={"at": "rows.csv", "unreadable": "aside"})
    Pipeline(made, Run(seed=0)).go()
    (folder,) = (tmp_path / ".fermion" / "runs").iterdir()
    assert "rows.csv:202" in (folder / "unreadable.jsonl").read_text()
    assert "1 could not be read" in (folder / "card.md").read_text()


@pytest.mark.parametrize("content", [b'a,"he said ""hi""",y\n1,2,no\n', bytes(range(256)) * 20])
def test_odd_files_are_told(tmp_path: Path, content: bytes) -> None:
    made = project(tmp_path, ["x,y", "1,a"])
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DataError):
        Pipeline(made, Run(seed=0)).table()


def test_a_label_that_was_given_counts_where_a_repair_reads_plain_numbers(tmp_path: Path) -> None:
    """The label room and a run must see the same row, or the label is lost without a word."""
    rows = ["size,x,y", *(f"{k},{k % 7},{'ab'[k % 2]}" for k in range(120))]
    made = project(tmp_path, rows, columns={"size": {"repair": {"units": {"kg": 1}}}})
    (item,) = labelling.following(made, Run(seed=0), strategy="random")["items"]
    other = "b" if item["label"] == "a" else "a"
    labelling.decide(made, item["item"], other, by="ann")
    assert Pipeline(made, Run(seed=0)).table().row(item["row"])["y"] == other


def test_python_reads_a_file_as_a_project_does(tmp_path: Path) -> None:
    rows = ["when,x,y", *(f"0{1 + k % 9}/0{1 + k % 7}/2021,{k % 5},{'ab'[k % 2]}" for k in range(100))]
    columns = {"when": {"type": "time", "repair": {"dates": ["%m/%d/%Y"]}}}
    made = project(tmp_path, rows, columns=columns)
    trained = fermion.fit(
        tmp_path / "rows.csv", target="y", model="linear", data={"columns": columns}, checks={"accept": ["predicts-alone"]}
    )
    done = Pipeline(made, Run(seed=0))
    done.go()
    assert trained.product.schema == made.latest().manifest.schema


def test_a_bundle_answers_what_a_project_reads(tmp_path: Path) -> None:
    trained = fermion.fit("sample://iris", target="species", model="linear", evaluate={"draws": 0})
    made = trained.save(tmp_path / "iris")
    assert main(["predict", str(made.path), "sample://iris", str(tmp_path / "out.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "out.parquet")["prediction"].to_list() == trained.predict("sample://iris")["prediction"]


def test_what_was_fitted_and_what_was_saved_answer_the_same_values(tmp_path: Path) -> None:
    tones = [np.sin(np.arange(800) * (0.1 + 0.3 * (k % 2))).astype(np.float32) for k in range(24)]
    columns = {"tone": {"type": "audio", "rate": 8000, "mels": 4}}
    trained = fermion.fit(
        {"tone": tones, "y": ["low", "high"] * 12},
        target="y",
        data={"columns": columns},
        model={"type": "net", "steps": 2},
        checks={"accept": ["duplicates", "duplicates-across"]},
        evaluate={"draws": 0},
    )
    trained.save(tmp_path / "tones")
    loaded = fermion.load(tmp_path / "tones")
    bare = loaded.predict({"tone": tones[:2]})
    for form in (lambda one: one, lambda one: one.tolist(), lambda one: {"rate": 8000, "samples": one.tolist()}):
        rows = {"tone": [form(one) for one in tones[:2]]}
        assert trained.predict(rows) == loaded.predict(rows)
        assert loaded.predict(rows)["prediction"] == bare["prediction"]
    series = pl.Series([{"rate": 8000, "samples": 1}])
    for model in (trained, loaded):
        with pytest.raises(DataError, match="`tone`"):
            model.predict({"tone": series})
