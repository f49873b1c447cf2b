from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from fermion.core.errors import DataError, FermionError, UsageError
from fermion.data.label_queue import Decision, Item, Queue
from fermion.data.rowkeys import row_keys
from fermion.data.table import Table

TABLE = Table.of({"x": [1, 2, 3, 4, 4], "y": ["no", None, "yes", "no", None]})
KEYS = row_keys(TABLE, without=["y"])


def filled(folder: Path, table: Table = TABLE, classes: tuple[object, ...] = ("no", "yes")) -> Queue:
    queue = Queue(folder)
    keys = row_keys(table, without=["y"])
    items = [Item(item=keys[row], row=row, score=1 - row / 10, reason="because") for row in (2, 0, 1)]
    queue.fill("y", classes, keys=keys, items=items, strategy="errors")  # type: ignore[arg-type]
    return queue


def test_next_set_next(tmp_path: Path) -> None:
    queue = filled(tmp_path / "deep" / "queue")
    assert [item.row for item in queue.next(9)] == [2, 0, 1]
    first = queue.next()[0]
    told = queue.set(first.item[:6], "no", by=" ana ")
    assert (told.item, told.label, told.by, told.source) == (KEYS[2], "no", "ana", "fermion")
    assert [item.row for item in Queue(queue.folder).next(9)] == [0, 1]
    queue.set(KEYS[0], None, by="ana")  # cannot tell
    assert [item.row for item in queue.next(9)] == [1]
    assert set(queue.labels()) == {KEYS[2]}
    assert queue.progress() == {"waiting": 1, "decided": 2, "by": {"ana": 2}, "agreement": None}


def test_labels_are_laid_over_the_source(tmp_path: Path) -> None:
    queue = filled(tmp_path)
    queue.set(KEYS[2], "no", by="ana")
    queue.set(KEYS[4], "yes", by="ana")  # the same row twice: both get it
    assert queue.apply(TABLE, "y").values("y") == ["no", None, "no", "yes", "yes"]
    shuffled = Table(TABLE.frame.reverse().with_columns(z=pl.lit(0)).drop("z"))
    assert queue.apply(shuffled, "y").values("y") == ["yes", "yes", "no", None, "no"]
    assert queue.apply(TABLE.drop(["y"]), "y").values("y") == [None, None, "no", "yes", "yes"]
    assert filled(tmp_path / "other").apply(TABLE, "y") is TABLE


@pytest.mark.parametrize(
    ("values", "classes", "name", "want"), [([0, 1, None], (0, 1), "1", 1), ([True, False, None], (False, True), "true", True)]
)
def test_labels_keep_the_type_of_the_target(
    tmp_path: Path, values: list[object], classes: tuple[object, ...], name: str, want: object
) -> None:
    table = Table.of({"x": [1, 2, 3], "y": values})
    queue = filled(tmp_path, table, classes)
    assert queue.set(row_keys(table, without=["y"])[2], name, by="ana").label is want
    after = queue.apply(table, "y")
    assert after.series("y").to_list() == [*values[:2], want]
    assert after.series("y").dtype == table.series("y").dtype


def test_last_word_majority_and_overlap(tmp_path: Path) -> None:
    queue = filled(tmp_path)
    for by, label in (("ana", "yes"), ("bo", "no"), ("ana", "no"), ("cy", "yes"), ("dee", "yes"), ("eli", "no")):
        queue.extend([Decision(item=KEYS[0], label=label, by=by, at=100.0 + len(queue.decisions()))])
    assert queue.labels()[KEYS[0]].label == "no"  # ana, bo, eli
    queue.extend([Decision(item=KEYS[0], label="yes", by="fay", at=200.0)])
    assert queue.labels()[KEYS[0]].label == "yes"  # three each: the latest
    assert queue.answers()[KEYS[0]] == {"ana": "no", "bo": "no", "cy": "yes", "dee": "yes", "eli": "no", "fay": "yes"}
    queue.set(KEYS[2], "yes", by="ana")
    assert [item.row for item in queue.next(9, by="ana", overlap=2)] == [1]
    assert [item.row for item in queue.next(9, by="bo", overlap=2)] == [2, 1]
    assert queue.progress()["agreement"] is not None


def test_a_killed_writer_costs_nothing_that_was_told(tmp_path: Path) -> None:
    queue = filled(tmp_path)
    queue.set(KEYS[0], "yes", by="ana")
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(path.read_bytes() + b'{"item": "abc", "la')
    assert len(queue.decisions()) == 1
    queue.set(KEYS[1], "no", by="ana")
    assert [one.label for one in queue.decisions()] == ["yes", "no"]
    assert path.read_bytes().count(b"\n") == 2
    path.write_bytes(b'{"item": "abc", "la')  # nothing but a part
    assert queue.decisions() == []
    queue.set(KEYS[1], "no", by="ana")
    assert len(queue.decisions()) == 1
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    with pytest.raises(DataError, match=r"decisions.jsonl:1: a decision must be one JSON object"):
        queue.decisions()


WRITER = """
import sys
from pathlib import Path
from fermion.data.label_queue import Queue
queue = Queue(Path(sys.argv[1]))
for _ in range(200):
    queue.set(sys.argv[2], "yes", by=sys.argv[3])
"""


def test_annotators_at_once(tmp_path: Path) -> None:
    queue = filled(tmp_path)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), KEYS[row], f"who{row}"]) for row in (0, 1)]
    assert [writer.wait() for writer in writers] == [0, 0]
    said = queue.decisions()
    assert len(said) == 400
    assert {by: sum(one.by == by for one in said) for by in ("who0", "who1")} == {"who0": 200, "who1": 200}


def test_a_new_round_keeps_decisions_and_another_process_sees_it(tmp_path: Path) -> None:
    queue, other = filled(tmp_path), Queue(tmp_path)
    assert other.contents.strategy == "errors"
    queue.set(KEYS[1], "yes", by="ana")
    queue.fill(
        "y", ["no", "yes"], keys=KEYS, items=[Item(item=KEYS[row], row=row, score=0.5, reason="") for row in (1, 3)], strategy="margin"
    )
    assert other.contents.strategy == "margin"
    assert [item.row for item in other.next(5)] == [3]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda q: q.set(KEYS[0], "yep", by="a"), "a class of `y` \\(no, yes\\), got 'yep'. Did you mean `yes`"),
        (lambda q: q.set("0" * 20, "yes", by="a"), "the key of a row"),
        (lambda q: q.set(KEYS[0][:2], "yes", by="a"), "the key of a row"),
        (lambda q: q.set(KEYS[0], "yes", by=" "), "named.*--by NAME"),
        (lambda q: q.next(0), "at least 1"),
        (lambda q: q.fill("y", ["a"], keys=[], items=[], strategy=""), "at least two"),
        (lambda q: Queue(Path("/nowhere")).next(), "label errors"),
        (
            lambda q: q.extend([Decision(item=KEYS[0], label="yes", by="a", at=0), Decision(item="?", label="yes", by="a", at=0)]),
            "key of a row",
        ),
    ],
)
def test_mistakes_are_told(tmp_path: Path, call: object, said: str) -> None:
    queue = filled(tmp_path)
    with pytest.raises(FermionError, match=said):
        call(queue)  # type: ignore[operator]
    assert queue.decisions() == []


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    queue = filled(tmp_path)
    (tmp_path / "queue.json").write_text("{")
    with pytest.raises(DataError, match="Remove the file; decisions are kept"):
        queue.next()
    other = filled(tmp_path / "b")
    other.set(KEYS[0], "yes", by="ana")
    with pytest.raises(DataError, match="holds the labels"):
        other.apply(Table.of({"x": [1], "y": [0.5]}), "y")
    with pytest.raises(UsageError):
        Queue(tmp_path / "empty").set(KEYS[0], "yes", by="a")
