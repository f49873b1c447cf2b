"""Labels per step of a series, from a table to a bundle that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fermion
from fermion.bundle.verify import verify
from fermion.columns.output import Tags
from fermion.columns.tags import spans
from fermion.core.errors import DataError, SpecError
from fermion.research.judging import scored_of

RNG = np.random.default_rng(0)


def rows(count: int) -> dict[str, list[Any]]:
    """Series of 3 to 9 numbers; a run above 1 is a span."""
    found: dict[str, list[Any]] = {"signal": [], "tags": []}
    for length in RNG.integers(3, 10, count).tolist():
        high = np.repeat(RNG.random(length) < 0.4, 2)[:length]
        labels, before = [], False
        for one in high.tolist():
            labels.append("O" if not one else "I-peak" if before else "B-peak")
            before = one
        found["signal"].append((3.0 * high + 0.3 * RNG.normal(size=length)).tolist())
        found["tags"].append(labels)
    return found


MODEL = {"type": "net", "width": 16, "steps": 150, "batch": 32, "encoders": {"signal": {"type": "recurrent"}}}


def test_spans_are_found_and_answered(tmp_path: Path) -> None:
    data = {"columns": {"tags": {"type": "tags", "steps": "signal"}, "signal": "sequence"}}
    trained = fermion.fit(rows(200), target="tags", data=data, model=MODEL, evaluate={"draws": 30})
    metrics = trained.evaluate().metrics
    f1, accuracy = metrics["entity_f1"], metrics["step_accuracy"]
    assert f1.value is not None
    assert f1.low is not None
    assert f1.value > 0.8
    assert accuracy.value is not None
    assert accuracy.baseline is not None
    assert accuracy.value > 0.9 > accuracy.baseline
    bundle = trained.save(tmp_path / "bundle")
    assert [check for check in verify(bundle.path) if not check.ok] == []
    answer = fermion.load(bundle.path).predict({"signal": [[0.0, 3.0, 3.0, 0.0, 0.0], [0.0, 0.0, 3.0]]})
    assert [len(labels) for labels in answer["prediction"]] == [5, 3]
    assert answer["prediction"][0][0] == "O"
    assert answer["spans"][0] == [{"type": kind, "start": a, "end": b} for kind, a, b in spans(answer["prediction"][0])]


def test_folds_of_rows_of_several_lengths_answer_their_mean() -> None:
    data = {"columns": {"tags": {"type": "tags", "steps": "signal"}, "signal": "sequence"}}
    quick = {"type": "net", "width": 8, "steps": 40, "batch": 32, "encoders": {"signal": "bag"}}
    trained = fermion.fit(rows(60), target="tags", data=data, model={"type": "folded", "folds": 2, "model": quick}, evaluate={"draws": 0})
    answer = trained.predict({"signal": [[0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [3.0]]})
    assert [len(labels) for labels in answer["prediction"]] == [8, 1]


def test_spans_as_seqeval_finds_them() -> None:
    assert spans(["B-PER", "I-PER", "O", "B-LOC"]) == [("PER", 0, 2), ("LOC", 3, 4)]
    assert spans(["I-PER", "I-LOC", "B-LOC", "B-LOC"]) == [("PER", 0, 1), ("LOC", 1, 2), ("LOC", 2, 3), ("LOC", 3, 4)]
    assert spans(["O", "noun", "B"]) == []


def test_counts_of_spans_by_hand() -> None:
    """Truth: PER 0-2 and LOC 3-4; answer: PER 0-2 and PER 3-4. One span of two is right, and 3 steps of 4."""
    output = Tags(target="y", steps="x", classes=("B-LOC", "B-PER", "I-PER", "O"))
    truth, said = np.array([[1, 2, 3, 0, -1]]), np.eye(4)[[[1, 2, 3, 1]]]
    scored: Any = scored_of(output, truth, said, None, None)
    assert scored.truth.tolist() == [[4, 2]]
    assert scored.said.tolist() == [[3, 2, 1]]


def test_labels_that_do_not_fit_the_steps() -> None:
    data = {"columns": {"tags": {"type": "tags", "steps": "signal"}, "signal": "sequence"}}
    short = rows(60)
    short["tags"] = [labels[:-1] for labels in short["tags"]]
    with pytest.raises(DataError, match="the target `tags` must be one label per step of `signal`"):
        fermion.fit(short, target="tags", data=data, model=MODEL)
    with pytest.raises(SpecError, match="These can: net"):
        fermion.fit({**rows(60), "x": RNG.normal(size=60)}, target="tags", data=data, model="mlp")


def test_runs_of_one_label_are_spans_where_that_is_said() -> None:
    output = Tags(target="y", steps="x", spans="runs", classes=("O", "city", "day"))
    assert output.found(["city", "city", "O", "day", "city"]) == [("city", 0, 2), ("day", 3, 4), ("city", 4, 5)]
    truth, said = np.array([[1, 1, 0, 2]]), np.eye(3)[[[1, 1, 0, 0]]]
    scored: Any = scored_of(output, truth, said, None, None)
    assert (scored.truth.tolist(), scored.said.tolist()) == ([[4, 2]], [[3, 1, 1]])
    answer = output.of("y").fit([["city", "O", "day"]]).decode({"tags:y": said.astype(np.float32)}, None)
    assert answer["spans"] == [[{"type": "city", "start": 0, "end": 2}]]
