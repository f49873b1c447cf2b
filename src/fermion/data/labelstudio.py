"""Label Studio's JSON: rows as tasks, labels as annotations, what models suggest as predictions. Classification of any kind of data.

A file is a list of tasks. What is written, and read back:

- `data`: the row's columns as JSON shows them (pictures as data URIs or paths) and `fermion_item`, the key of the row
- `annotations`: one per annotator; `completed_by` is {"email": name}, or the number that Label Studio gave; `created_at`;
  `was_cancelled` for "cannot tell"; `result` holds one object {"id", "type": "choices", "from_name": the target, "to_name": the column
  that is shown, "value": {"choices": [class]}}
- `predictions`: `model_version`, `score` and a `result` of the same form

What is read and is none of this (boxes, ratings, several choices at once, drafts, other controls) is set aside with its reason.
The format: https://labelstud.io/guide/task_format
"""

from __future__ import annotations

import datetime
import html
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from fermion.core.errors import DataError, Told, UsageError

ITEM = "fermion_item"
PICTURE = "data:image/"


class Answer(Struct, frozen=True, kw_only=True):
    """One annotator's choice by its name, None for "cannot tell"; `at` in seconds since 1970, 0 where it is not known."""

    by: str
    choice: str | None
    at: float = 0.0


class Guess(Struct, frozen=True, kw_only=True):
    """What a model suggests."""

    model: str
    choice: str
    score: float | None = None


class Task(Struct, frozen=True, kw_only=True):
    """One row: its columns, what annotators chose and what models suggest. `item` is the row's key, "" where it is not known."""

    item: str
    data: dict[str, Any]
    answers: tuple[Answer, ...] = ()
    guesses: tuple[Guess, ...] = ()


class Unread(Struct, frozen=True, kw_only=True):
    """Something in a file that is no choice of a class: which task (0..) it is in, why, and what it is."""

    task: int
    reason: str
    found: str


class Read(Struct, frozen=True, kw_only=True):
    """The tasks of a file, and what was set aside."""

    tasks: tuple[Task, ...]
    aside: tuple[Unread, ...] = field(default=())


def write_tasks(tasks: Iterable[Task], *, target: str, shown: str) -> bytes:
    """The JSON that Label Studio imports.

    >>> task = Task(item="ab12", data={"text": "hi"}, answers=(Answer(by="ana", choice="no"),))
    >>> read_tasks(write_tasks([task], target="spam", shown="text"), target="spam").tasks == (task,)
    True

    Args:
        target: the name of the control, `from_name`: what is labelled.
        shown: the name of the object, `to_name`: the column that annotators see.
    """
    documents: list[dict[str, Any]] = []
    for number, task in enumerate(tasks, 1):

        def result(choice: str | None, of: str, number: int = number) -> list[dict[str, Any]]:
            if choice is None:
                return []
            value = {"choices": [choice]}
            return [{"id": f"{number}-{of}", "type": "choices", "from_name": target, "to_name": shown, "value": value}]

        annotations = [
            {
                "completed_by": int(answer.by) if answer.by.isdecimal() else {"email": answer.by},
                "was_cancelled": answer.choice is None,
                "ground_truth": False,
                **({"created_at": _iso(answer.at)} if answer.at else {}),
                "result": result(answer.choice, f"a{place}"),
            }
            for place, answer in enumerate(task.answers)
        ]
        predictions = [
            {
                "model_version": guess.model,
                **({} if guess.score is None else {"score": guess.score}),
                "result": result(guess.choice, f"p{place}"),
            }
            for place, guess in enumerate(task.guesses)
        ]
        data = {**task.data, **({ITEM: task.item} if task.item else {})}
        documents.append({"id": number, "data": data, "annotations": annotations, "predictions": predictions})
    return msgspec.json.format(msgspec.json.encode(documents), indent=1)


def read_tasks(data: bytes, *, target: str | None = None) -> Read:
    """Tasks from an export of Label Studio (JSON, not JSON-MIN), or from `write_tasks`.

    Args:
        target: the control (`from_name`) whose choices count; when left out, the only one there is. Where no control has this name
            and there is only one, it is that one.

    Raises:
        DataError: not a list of tasks. UsageError: several controls, and none is called `target`.
    """
    try:
        documents = msgspec.json.decode(data, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        remedy = "In Label Studio choose Export, then JSON."
        raise DataError("a file of Label Studio", rule="a list of tasks in JSON", given=Told(str(broken)), remedy=remedy) from None
    control, aside = _control(documents, target), list[Unread]()
    tasks: list[Task] = []
    for number, document in enumerate(documents):
        fields = document.get("data")
        if not isinstance(fields, dict):
            aside.append(Unread(task=number, reason="a task without `data` names no row", found=_brief(document)))
            continue
        row: dict[str, Any] = dict(fields)
        for draft in _listed(document, "drafts"):
            aside.append(Unread(task=number, reason="a draft was not submitted", found=_brief(draft)))
        answers: list[Answer] = []
        for one in _listed(document, "annotations"):
            at = _seconds(one.get("created_at"))
            if one.get("was_cancelled"):
                answers.append(Answer(by=_who(one.get("completed_by")), choice=None, at=at))
                continue
            choice = _choice(one, control, number, aside)
            if choice is not None:
                answers.append(Answer(by=_who(one.get("completed_by")), choice=choice, at=at))
        guesses: list[Guess] = []
        for one in _listed(document, "predictions"):
            choice = _choice(one, control, number, aside)
            if choice is not None:
                score = one.get("score")
                score = float(score) if isinstance(score, int | float) else None
                guesses.append(Guess(model=str(one.get("model_version") or ""), choice=choice, score=score))
        item = str(row.pop(ITEM, ""))
        tasks.append(Task(item=item, data=row, answers=tuple(answers), guesses=tuple(guesses)))
    return Read(tasks=tuple(tasks), aside=tuple(aside))


def labelling_config(target: str, classes: Sequence[str], data: dict[str, Any]) -> str:
    """The labelling interface that fits the tasks, for Label Studio's settings (Labeling Interface, Code).

    >>> print(labelling_config("spam", ["no", "yes"], {"text": "hi"}))
    <View>
      <Text name="text" value="$text"/>
      <Choices name="spam" toName="text" choice="single" showInLine="true">
        <Choice value="no"/>
        <Choice value="yes"/>
      </Choices>
    </View>

    Args:
        data: of one task: every column is shown, the picture first.
    """
    shown = shown_first(data)
    lines = [_view(name, data[name]) for name in [shown, *(name for name in data if name != shown)] if name in data]
    choices = [f'    <Choice value="{html.escape(name)}"/>' for name in classes]
    head = f'  <Choices name="{html.escape(target)}" toName="{html.escape(shown)}" choice="single" showInLine="true">'
    return "\n".join(["<View>", *lines, head, *choices, "  </Choices>", "</View>"])


def shown_first(data: dict[str, Any]) -> str:
    """The column that annotators look at: a picture where there is one, else the longest text, else the first."""
    pictures = [name for name, value in data.items() if isinstance(value, str) and _is_picture(value)]
    if pictures:
        return pictures[0]
    texts = {name: len(value) for name, value in data.items() if isinstance(value, str)}
    return max(texts, key=lambda name: texts[name]) if texts else next(iter(data), "row")


def _view(name: str, value: Any) -> str:
    kind = "Image" if isinstance(value, str) and _is_picture(value) else "Text"
    return f'  <{kind} name="{html.escape(name)}" value="${html.escape(name)}"/>'


def _is_picture(value: str) -> bool:
    return value.startswith(PICTURE) or value.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"))


def _control(documents: Sequence[dict[str, Any]], target: str | None) -> str | None:
    names: dict[str, None] = {}
    for document in documents:
        for one in (*_listed(document, "annotations"), *_listed(document, "predictions")):
            names |= {str(part.get("from_name")): None for part in _listed(one, "result") if part.get("type") == "choices"}
    if target in names or not names:
        return target
    if len(names) > 1:
        given = Told(f"{', '.join(names)} in the file" + (f", none called {target}" if target else ""))
        raise UsageError("the control to read", rule="named like the target, or the only one", given=given)
    return next(iter(names))


def _choice(one: dict[str, Any], control: str | None, task: int, aside: list[Unread]) -> str | None:
    """The one choice of the control among the results; everything else is set aside."""
    found: list[str] = []
    for part in _listed(one, "result"):
        if part.get("type") != "choices":
            aside.append(Unread(task=task, reason=f"a result of type {part.get('type')} names no class of the row", found=_brief(part)))
        elif part.get("from_name") != control:
            aside.append(Unread(task=task, reason=f"it belongs to the control {part.get('from_name')}", found=_brief(part)))
        else:
            value: Any = part.get("value")
            choices: Any = value.get("choices") if isinstance(value, dict) else None
            if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str):
                found.append(choices[0])
            else:
                aside.append(Unread(task=task, reason="a row has exactly one class", found=_brief(part)))
    if len(set(found)) > 1:
        aside.append(Unread(task=task, reason="a row has exactly one class", found=", ".join(found)))
        return None
    return found[0] if found else None


def _listed(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value: Any = document.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _who(completed_by: Any) -> str:
    """An annotator's name: the e-mail address, else the number, of what Label Studio says."""
    if isinstance(completed_by, dict):
        return str(completed_by.get("email") or completed_by.get("id") or "unknown")
    return "unknown" if completed_by is None else str(completed_by)


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat().replace("+00:00", "Z")


def _seconds(text: Any) -> float:
    try:
        moment = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _brief(document: Any) -> str:
    text = msgspec.json.encode(document).decode()
    return text if len(text) <= 200 else text[:200] + "..."
