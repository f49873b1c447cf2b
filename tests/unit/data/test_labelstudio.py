from __future__ import annotations

import json

import numpy as np
import pytest

from fermion.core.errors import DataError, UsageError
from fermion.data.labelstudio import Answer, Guess, Task, labelling_config, read_tasks, write_tasks
from fermion.measure.png import data_uri

TASKS = (
    Task(
        item="ab12",
        data={"text": "free <money>", "links": 3},
        answers=(Answer(by="ana", choice="spam", at=1_700_000_000.25), Answer(by="7", choice=None)),
        guesses=(Guess(model="fermion", choice="ham", score=0.75), Guess(model="other", choice="spam")),
    ),
    Task(item="", data={"text": "hello", "links": None}),
    Task(item="ef56", data={"image": data_uri(np.zeros((2, 2), np.uint8))}, answers=(Answer(by="bo@x.org", choice="ham"),)),
)


def test_round_trip() -> None:
    written = write_tasks(TASKS, target="kind", shown="text")
    found = read_tasks(written, target="kind")
    assert found.tasks == TASKS
    assert found.aside == ()
    assert write_tasks(found.tasks, target="kind", shown="text") == written


def test_what_is_written_is_what_label_studio_documents() -> None:
    first = json.loads(write_tasks(TASKS, target="kind", shown="text"))[0]
    assert set(first) == {"id", "data", "annotations", "predictions"}
    assert first["data"] == {"text": "free <money>", "links": 3, "fermion_item": "ab12"}
    ana, seven = first["annotations"]
    assert ana["completed_by"] == {"email": "ana"}
    assert ana["created_at"] == "2023-11-14T22:13:20.250000Z"
    assert ana["result"] == [{"id": "1-a0", "type": "choices", "from_name": "kind", "to_name": "text", "value": {"choices": ["spam"]}}]
    assert (seven["completed_by"], seven["was_cancelled"], seven["result"]) == (7, True, [])
    assert first["predictions"][0]["model_version"] == "fermion"
    assert first["predictions"][0]["score"] == 0.75
    ids = [part["id"] for one in (*first["annotations"], *first["predictions"]) for part in one["result"]]
    assert len(set(ids)) == len(ids)


def choice(name: str, value: object, control: str = "kind", kind: str = "choices") -> dict[str, object]:
    return {"id": name, "type": kind, "from_name": control, "to_name": "text", "value": {kind: value}}


def test_what_is_no_choice_is_set_aside_with_its_reason() -> None:
    document = [
        {
            "id": 9,
            "data": {"text": "a"},
            "drafts": [{"result": [choice("d", ["ham"])]}],
            "annotations": [
                {
                    "completed_by": {"id": 3, "email": "ana@x.org"},
                    "result": [choice("a", ["ham"]), choice("b", ["Cat"], kind="rectanglelabels")],
                },
                {"completed_by": 4, "result": [choice("c", ["ham", "spam"])]},
                {"completed_by": 5, "result": [choice("e", ["good"], control="quality")]},
                {"result": [choice("f", ["ham"]), choice("g", ["spam"])]},
                {"completed_by": 6, "created_at": "2021-03-09T22:16:08.728353Z", "result": [choice("h", ["spam"])]},
            ],
        },
        {"id": 10, "text": "no data"},
    ]
    found = read_tasks(json.dumps(document).encode(), target="kind")
    assert [(answer.by, answer.choice) for answer in found.tasks[0].answers] == [("ana@x.org", "ham"), ("6", "spam")]
    assert found.tasks[0].answers[1].at == pytest.approx(1615328168.728353)
    assert [(one.task, one.reason) for one in found.aside] == [
        (0, "a draft was not submitted"),
        (0, "a result of type rectanglelabels names no class of the row"),
        (0, "a row has exactly one class"),
        (0, "it belongs to the control quality"),
        (0, "a row has exactly one class"),
        (1, "a task without `data` names no row"),
    ]
    assert "Cat" in found.aside[1].found


def test_which_control_counts() -> None:
    def one(*controls: str) -> bytes:
        return json.dumps([{"data": {"t": 1}, "annotations": [{"result": [choice("x", ["a"], control=c) for c in controls]}]}]).encode()

    assert read_tasks(one("sentiment"), target="kind").tasks[0].answers[0].choice == "a"
    assert read_tasks(one("sentiment")).tasks[0].answers[0].choice == "a"
    assert len(read_tasks(one("kind", "other"), target="kind").aside) == 1
    with pytest.raises(UsageError, match="sentiment, other in the file, none called kind"):
        read_tasks(one("sentiment", "other"), target="kind")


@pytest.mark.parametrize("data", [b"{}", b"no", b'[1, "a"]', b"\xff"])
def test_another_file_is_told(data: bytes) -> None:
    with pytest.raises(DataError, match="choose Export, then JSON"):
        read_tasks(data)


def test_the_labelling_interface() -> None:
    config = labelling_config("kind", ["ham & eggs", "spam"], {"note": "a long text about it", "image": "data:image/png;base64,AA"})
    assert config.splitlines()[1] == '  <Image name="image" value="$image"/>'
    assert '<Choice value="ham &amp; eggs"/>' in config
    assert 'toName="image"' in config
