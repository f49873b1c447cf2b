import json

import numpy as np
import pytest

from fermion.bundle.runtime import Runtime
from fermion.cloud.answer import Answers
from fermion.columns.output import Argmax, Output, Probability, Threshold, decode

BATCH = {"age": [20.0, 45.0, 70.0], "member": [True, None, False], "city": ["Rome", "Oslo", None]}


@pytest.mark.parametrize("which", ["runtime", "two_targets", "one_value"])
def test_the_same_as_the_runtime_decodes(which: str, request: pytest.FixtureRequest) -> None:
    runtime: Runtime = request.getfixturevalue(which)
    answers = Answers(runtime.outputs, runtime.decisions, "b")
    arrays = runtime.arrays(BATCH)
    want = runtime.decode(arrays)
    rows = json.loads(answers.encode(answers.rows(arrays), columnar=False))
    columns = json.loads(answers.encode(answers.rows(arrays), columnar=True))
    assert rows["bundle"] == columns["bundle"] == "b"
    for key, values in want.items():
        assert [row[key] for row in rows["rows"]] == columns["columns"][key] == values
    assert set(rows["rows"][0]) == set(columns["columns"]) == {*want, "id"}


@pytest.mark.parametrize("classes", [(False, True), (1, "1", 'a "quoted" one'), (1, 2, 3)])
def test_any_names_of_classes(classes: tuple[bool | int | str, ...]) -> None:
    outputs: tuple[Output, ...] = (Probability(target="t", array="p", classes=classes),)
    arrays = {"p": np.random.default_rng(0).random((5, len(classes))).astype(np.float32)}
    for decision in (Argmax(), Threshold(code=0, at=0.3)):
        answers = Answers(outputs, {"t": decision}, "b")
        rows = json.loads(answers.encode(answers.rows(arrays), columnar=False))["rows"]
        want = decode(outputs, arrays, {"t": decision})
        assert [row["prediction"] for row in rows] == want["prediction"]
        assert [row["probabilities"] for row in rows] == want["probabilities"]


def test_ids_are_unique(runtime: Runtime) -> None:
    answers, others = (Answers(runtime.outputs, runtime.decisions, "b") for _ in range(2))
    arrays = runtime.arrays(BATCH)
    ids = [row.id for one in (answers, answers, others) for row in one.rows(arrays)]  # type: ignore[attr-defined]
    assert len(set(ids)) == 9


def test_no_number_is_null(runtime: Runtime) -> None:
    answers = Answers(runtime.outputs, runtime.decisions, "b")
    rows = json.loads(answers.encode(answers.rows({"joins": np.full((1, 2), np.nan, np.float32)}), columnar=False))["rows"]
    assert rows[0]["probabilities"] == {"no": None, "yes": None}


def test_a_package_that_the_server_lacks_is_not_the_models_failure() -> None:
    from fermion.cloud.reply import refusal
    from fermion.core.errors import MissingExtra

    reply = refusal(
        MissingExtra("the package `PIL`", rule="installed for this step", given="no", remedy="Run: pip install 'fermion[media]'")
    )
    assert reply.status == 501
    assert b"fermion[media]" in reply.body
