from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core import spec as specs
from fermion.core.errors import DataError, FermionError, SpecError, Stopped, UsageError
from fermion.core.run import Event, Run
from fermion.core.spec import Spec
from fermion.data.labels import find_errors
from fermion.data.rowkeys import row_keys
from fermion.data.table import Table
from fermion.practice import label_exchange, labelling
from fermion.practice.crossfit import classes_of, deal, one_target, out_of_fold
from fermion.practice.project import Project

ROWS = 400


def flowers(rows: int = ROWS, share: float = 0.05, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
    """Three easy classes, a group, a column with one gap; a share of the labels is flipped."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=rows)
    flipped = np.zeros(rows, dtype=bool)
    flipped[rng.permutation(rows)[: round(share * rows)]] = True
    label = np.where(flipped, (truth + rng.integers(1, 3, rows)) % 3, truth)
    frame = pl.DataFrame(
        {
            "size": truth * 3.0 + rng.normal(0, 0.6, rows),
            "width": pl.Series([None, *(truth[1:] * -2.0 + rng.normal(0, 0.6, rows - 1))]),
            "place": [("north", "south")[place] for place in rng.integers(2, size=rows)],
            "owner": rng.integers(40, size=rows),
            "kind": [("ash", "beech", "cedar")[code] for code in label],
        }
    )
    return frame, flipped


def project_of(folder: Path, frame: pl.DataFrame, more: str = "", data: str = "") -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "rows.parquet")
    (folder / "fermion.yaml").write_text(
        f"name: trees\ndata:\n  source: rows.parquet\n  target: kind\n{data}model: linear\nsplit: {{by: random}}\n{more}"
    )
    return Project.load(folder)


def spec_of(**data: Any) -> Spec:
    return specs.read({"name": "t", "model": "linear", "data": {"source": "none", "target": "kind", **data}}, [])


def test_every_row_is_predicted_by_a_model_that_did_not_see_it() -> None:
    """A column that tells training rows apart perfectly and says nothing about others: in-fold predictions would be right."""
    rng = np.random.default_rng(0)
    table = Table.of({"x": rng.normal(size=200), "kind": rng.permutation(["a", "b"] * 100)})
    spec = specs.read({"name": "t", "model": {"type": "trees", "min_leaf": 1}, "data": {"source": "none", "target": "kind"}}, [])
    events: list[Event] = []
    found = out_of_fold(table, spec, Run(listeners=(events.append,)), folds=4)
    assert 0.3 < (found.probabilities.argmax(1) == found.codes).mean() < 0.7
    assert np.bincount(found.folds).tolist() == [50] * 4
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    assert [event.done for event in events if event.stage == "label"] == [0, 1, 2, 3, 4]
    again = out_of_fold(table, spec, Run(), folds=4)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)


def test_flipped_labels_of_a_table_are_found_and_unlabelled_rows_are_predicted() -> None:
    frame, flipped = flowers()
    table = Table(frame).with_column("kind", [None if row < 20 else kind for row, kind in enumerate(frame["kind"])])
    found = out_of_fold(table, spec_of(), Run(), folds=4)
    assert (found.folds[:20] == -1).all()
    assert (found.codes[:20] == -1).all()
    assert found.probabilities[:20].max(1).mean() > 0.8
    suspects = find_errors(found.codes, found.probabilities)
    hit = flipped[suspects.rows]
    assert hit.mean() > 0.8
    assert hit.sum() / flipped[20:].sum() > 0.85


def test_flipped_labels_of_pictures_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=120)
    pictures = rng.integers(0, 60, (120, 8, 8), dtype=np.uint8)
    pictures[truth == 1, 2:6] += 150
    label = truth.copy()
    label[:6] = 1 - label[:6]
    spec = specs.read({"name": "t", "model": {"type": "cnn", "steps": 25, "widths": [8, 8]}, "data": {"source": "none", "target": "y"}}, [])
    found = out_of_fold(Table.of({"image": pictures, "y": label}), spec, Run(), folds=2)
    assert set(range(6)) <= set(find_errors(found.codes, found.probabilities).rows.tolist())


def test_groups_stay_whole_and_classes_are_shared_out() -> None:
    rng = np.random.default_rng(0)
    groups, codes = rng.integers(50, size=1000), rng.choice(3, 1000, p=[0.7, 0.2, 0.1])
    parts = deal(codes, groups, 5, rng)
    assert all(len(set(parts[groups == group])) == 1 for group in range(50))
    shares = np.array([np.bincount(codes[parts == part], minlength=3) for part in range(5)]) / np.bincount(codes)
    assert shares.min() > 0.14
    assert shares.max() < 0.26
    rows = np.array([np.bincount(codes[deal(codes, None, 5, rng) == part], minlength=3) for part in range(5)])
    assert (np.ptp(rows, axis=0) <= 1).all()
    frame, _ = flowers()
    spec = specs.read(
        {"name": "t", "model": "linear", "data": {"source": "none", "target": "kind"}, "split": {"by": "group", "column": "owner"}}, []
    )
    found = out_of_fold(Table(frame), spec, Run(), folds=3)
    assert all(len(set(found.folds[frame["owner"].to_numpy() == owner])) == 1 for owner in range(40))


def test_what_cannot_be_predicted_is_told() -> None:
    frame, _ = flowers(30)
    with pytest.raises(SpecError, match=r"made of classes.*kind: category.*largest errors"):
        classes_of(Table.of({"x": [1, 2], "kind": [0.5, 1.25]}), spec_of())
    with pytest.raises(DataError, match="at least 2 classes, got only a"):
        classes_of(Table.of({"x": [1, 2], "kind": ["a", "a"]}), spec_of())
    with pytest.raises(DataError, match=r"no label yet.*--by coverage"):
        classes_of(Table.of({"x": [1, 2], "kind": [None, None]}), spec_of())
    with pytest.raises(UsageError, match="at least 2"):
        out_of_fold(Table(frame), spec_of(), Run(), folds=1)
    with pytest.raises(DataError, match="more than the 40 folds, got 30"):
        out_of_fold(Table(frame), spec_of(), Run(), folds=40)
    stopped = Run()
    stopped.stop()
    with pytest.raises(Stopped):
        out_of_fold(Table(frame), spec_of(), stopped, folds=2)
    several = spec_of(target=("kind", "place"))
    with pytest.raises(UsageError, match="one of kind, place"):
        one_target(several)
    assert one_target(several, "place").data.ignore == ("kind",)


def test_errors_then_review_then_a_better_table(tmp_path: Path) -> None:
    frame, flipped = flowers()
    project = project_of(tmp_path, frame)
    told = labelling.errors(project, Run(), folds=4)
    json.dumps(told)
    assert told["classes"] == ["ash", "beech", "cedar"]
    assert (told["rows"], told["labelled"], told["reviewed"]) == (ROWS, ROWS, 0)
    assert 0.6 * flipped.sum() < told["found"] <= told["estimated"]
    assert 0.02 < told["share"] < 0.12
    first = told["items"][0]
    assert flipped[first["row"]]
    assert first["label"] == frame["kind"][first["row"]]
    assert first["data"]["size"] == frame["size"][first["row"]]
    assert "kind" not in first["data"]
    assert first["suggestion"] in first["reason"]

    after = labelling.following(project, Run(), count=1)
    assert (after["strategy"], after["items"][0]) == ("errors", first)
    assert labelling.decide(project, first["item"], first["suggestion"], by="ana")["decided"] == 1
    table = labelling.overlay(Table(frame), project)
    assert table.values("kind")[first["row"]] == first["suggestion"]
    assert sum(a != b for a, b in zip(table.values("kind"), frame["kind"], strict=True)) == 1
    assert labelling.stamp(project)[0][0] == "kind"

    again = labelling.errors(project, Run(), folds=4)  # with the mended label in place
    assert first["item"] not in [item["item"] for item in again["items"]]


def test_predictions_are_kept_until_labels_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of(tmp_path, flowers()[0])
    labelling.errors(project, Run(), folds=3)
    monkeypatch.setattr(labelling, "out_of_fold", lambda *_, **__: pytest.fail("predicted again"))
    found = labelling.following(project, Run(), strategy="margin", count=3, budget=3)
    assert found["strategy"] == "margin"
    assert len(found["items"]) == 3
    assert "the models say" in found["items"][0]["reason"]
    monkeypatch.undo()
    for item in found["items"]:
        labelling.decide(project, item["item"], "ash", by="ana")
    assert labelling.following(project, Run())["items"] == []  # the budget is spent; a strategy begins another round
    new = labelling.following(project, Run(), strategy="entropy", count=50, budget=50)
    assert not {item["item"] for item in new["items"]} & {item["item"] for item in found["items"]}


@pytest.mark.parametrize("strategy", ["coverage", "badge", "random", "confidence"])
def test_unlabelled_rows_are_asked_for_first(tmp_path: Path, strategy: str) -> None:
    frame = flowers()[0].with_columns(pl.when(pl.int_range(ROWS) < 60).then(pl.col("kind")).alias("kind"))
    project = project_of(tmp_path, frame)
    found = labelling.following(project, Run(), strategy=strategy, count=9, budget=12)
    assert found["waiting"] == 12
    assert all(item["row"] >= 60 and item["label"] is None for item in found["items"])
    assert all((item["suggestion"] is None) == (strategy in ("coverage", "random")) for item in found["items"])


def test_a_table_without_any_label(tmp_path: Path) -> None:
    project = project_of(tmp_path, flowers()[0].drop("kind"))
    with pytest.raises(DataError, match="at least two"):
        labelling.following(project, Run())
    found = labelling.following(project, Run(), classes=["ash", "beech"])
    assert found["strategy"] == "coverage"
    labelling.decide(project, found["items"][0]["item"], "ash", by="ana")
    assert labelling.overlay(labelling.read(project).source, project).series("kind").drop_nulls().to_list() == ["ash"]
    with pytest.raises(DataError, match="at least 2 classes"):
        labelling.errors(project, Run())


def test_private_columns_are_not_shown(tmp_path: Path) -> None:
    project = project_of(tmp_path, flowers()[0], data="  columns: {place: {type: category, private: keep}, owner: {private: drop}}\n")
    found = labelling.following(project, Run(), strategy="random", count=1)
    assert set(found["items"][0]["data"]) == {"size", "width"}


def test_out_and_in(tmp_path: Path) -> None:
    frame = flowers()[0]
    project = project_of(tmp_path / "one", frame)
    items = labelling.following(project, Run(), strategy="random", count=4, budget=6)["items"]
    for item, label in zip(items, ("ash", "beech", None, "cedar"), strict=True):
        labelling.decide(project, item["item"], label, by="ana@x.org")
    labelling.decide(project, items[0]["item"], "cedar", by="bo@x.org")
    for suffix in ("csv", "parquet", "jsonl"):
        told = label_exchange.export(project, tmp_path / f"labels.{suffix}")
        assert told["labels"] == 3
    lines = pl.read_csv(tmp_path / "labels.csv")
    assert lines.columns == ["item", "row", "label", "by", "at", "source", "answers"]
    assert dict(zip(lines["row"], lines["label"], strict=True)) == {
        items[0]["row"]: "cedar",
        items[1]["row"]: "beech",
        items[3]["row"]: "cedar",
    }

    told = label_exchange.export(project, tmp_path / "tasks.json")
    assert (told["tasks"], told["labels"]) == (6, 3)
    assert '<Choice value="beech"/>' in told["config"]
    other = project_of(tmp_path / "two", frame.reverse())
    taken = label_exchange.take_over(other, tmp_path / "tasks.json")
    assert (taken["taken"], taken["unchanged"], taken["aside"]) == (5, 0, [])
    assert labelling.queue_of(other).answers() == labelling.queue_of(project).answers()
    assert label_exchange.take_over(other, tmp_path / "tasks.json")["unchanged"] == 5

    document = json.loads((tmp_path / "tasks.json").read_bytes())
    for task in document:
        del task["data"]["fermion_item"]  # as made by someone else: rows are known by their values
    document[0]["annotations"][0]["result"][0]["value"]["choices"] = ["oak"]
    document.append({"data": {"size": -99.0}, "annotations": document[1]["annotations"]})
    (tmp_path / "theirs.json").write_text(json.dumps(document))
    third = project_of(tmp_path / "three", frame)
    taken = label_exchange.take_over(third, tmp_path / "theirs.json")
    assert taken["reasons"] == {"no class of `kind`": 1, "no row of the source has these values": 1}
    assert taken["taken"] == 4
    assert {item: said for item, said in labelling.queue_of(third).answers().items() if item != items[0]["item"]} == {
        item: said for item, said in labelling.queue_of(project).answers().items() if item != items[0]["item"]
    }


def test_mistakes_are_told(tmp_path: Path) -> None:
    project = project_of(tmp_path, flowers(60)[0])
    key = row_keys(Table(flowers(60)[0]), without=["kind"])[0]
    for call, said in (
        (lambda: labelling.decide(project, key, "ash", by="ana"), "label errors"),
        (lambda: labelling.following(project, Run(), strategy="margins"), "Did you mean `margin`"),
        (lambda: label_exchange.export(project, tmp_path / "x.xlsx"), "ends in .csv"),
        (lambda: label_exchange.take_over(project, tmp_path / "gone.json"), "can be read"),
        (lambda: labelling.errors(project, Run(), target="place"), "one of kind"),
    ):
        with pytest.raises(FermionError, match=said):
            call()


def test_labels_of_a_target_that_is_mended(tmp_path: Path) -> None:
    """The source says yes and no, the classes are true and false: a label is written as the source writes it, and mended with it."""
    frame = pl.DataFrame({"size": range(60), "kind": ["yes", "no", "Yes", "no"] * 15})
    truth = "  columns: {kind: {type: flag, repair: {truth: {yes: true, no: false}}}}\n"
    project = project_of(tmp_path, frame, data=truth)
    first = labelling.following(project, Run(), strategy="random")
    assert first["classes"] == ["false", "true"]
    item = first["items"][0]
    labelling.decide(project, item["item"], item["label"] == "no", by="ana")
    told = labelling.overlay(Table(frame), project).values("kind")[item["row"]]
    assert told == ("yes" if item["label"] == "no" else "no")
    assert bool(labelling.read(project).ready.values("kind")[item["row"]]) is (item["label"] == "no")
