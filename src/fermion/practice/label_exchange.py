"""Labels out of the label room and into it: tables of decisions, and Label Studio's JSON."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from fermion.bundle.bundle import replacing
from fermion.columns.output import Label, name_of
from fermion.core.errors import DataError, Told, UsageError
from fermion.data import labelstudio
from fermion.data.label_queue import Decision, Queue
from fermion.data.labelstudio import Answer, Guess, Task
from fermion.data.table import Table
from fermion.practice.labelling import Rows, choices, queue_of, read
from fermion.practice.prediction import write_table
from fermion.practice.project import Project
from fermion.practice.showing import shown_row

TABLES = (".csv", ".parquet", ".jsonl")


def export(project: Project, output: Path, *, target: str | None = None) -> dict[str, Any]:
    """Write what was decided: a table with one line per row, or tasks for Label Studio, by the suffix.

    A table (.csv, .parquet, .jsonl) has the columns item, row, label, by, at, source and answers (how many annotators). Tasks (.json)
    are the items that wait, with the suggestions as predictions, and all decided rows, with every annotator's answer.

    Raises:
        UsageError: another suffix, or no queue yet.
    """
    if output.suffix not in (*TABLES, ".json"):
        rule = "a file that ends in .csv, .parquet, .jsonl, or .json for Label Studio"
        raise UsageError("the output", rule=rule, given=output.name)
    queue = queue_of(project, target)
    if output.suffix == ".json":
        return _export_tasks(project, queue, output, target)
    decided, answers = queue.labels(), queue.answers()
    lines = [
        {
            "item": key,
            "row": row,
            "label": decided[key].label,
            "by": decided[key].by,
            "at": decided[key].at,
            "source": decided[key].source,
            "answers": len(answers[key]),
        }
        for row, key in enumerate(queue.contents.keys)
        if key in decided
    ]
    names = ("item", "row", "label", "by", "at", "source", "answers")
    write_table(Table.of({name: [line[name] for line in lines] for name in names}).frame, output)
    return {"target": queue.contents.target, "output": str(output), "labels": len(lines)}


def take_over(project: Project, path: Path, *, target: str | None = None) -> dict[str, Any]:
    """Take the answers of a file of Label Studio as decisions. What was taken before is not taken twice.

    A task is matched to a row by `fermion_item`, else by the values of all columns that it shares with the source.

    Raises:
        UsageError: there is no such file. DataError: it is none of Label Studio's.
    """
    try:
        content = path.read_bytes()
    except OSError as failed:
        raise UsageError("the file to import", rule="one that can be read", given=str(path), remedy=f"{failed.strerror}.") from None
    rows, queue = read(project, target), queue_of(project, target)
    keys = rows.keys()
    if not queue.exists:
        name, classes = choices(project, rows, target)
        queue.fill(name, classes, keys=keys, items=(), strategy="import", without=rows.without)
    contents = queue.contents
    found = labelstudio.read_tasks(content, target=contents.target)
    classes = {name_of(label): label for label in contents.classes}
    aside = [{"task": one.task, "reason": one.reason, "found": one.found} for one in found.aside]
    matched = _match(found.tasks, rows, keys)
    before = {(one.item, one.by): one.label for one in queue.decisions()}
    new: list[Decision] = []
    same = 0
    for number, (task, key) in enumerate(zip(found.tasks, matched, strict=True)):
        if key is None:
            shown = json.dumps(task.data)[:200]
            aside.append({"task": number, "reason": "no row of the source has these values", "found": shown})
            continue
        for answer in task.answers:
            if answer.choice is not None and answer.choice not in classes:
                aside.append({"task": number, "reason": f"no class of `{contents.target}`", "found": answer.choice})
                continue
            label: Label | None = None if answer.choice is None else classes[answer.choice]
            if (key, answer.by) in before and before[key, answer.by] == label:
                same += 1
                continue
            new.append(Decision(item=key, label=label, by=answer.by, at=answer.at or time.time(), source="label-studio"))
    queue.extend(new)
    reasons = Counter(str(one["reason"]) for one in aside)
    return {
        "target": contents.target,
        "tasks": len(found.tasks),
        "taken": len(new),
        "unchanged": same,
        "aside": aside,
        "reasons": dict(reasons),
        **queue.progress(),
    }


def _export_tasks(project: Project, queue: Queue, output: Path, target: str | None) -> dict[str, Any]:
    contents, said = queue.contents, queue.decisions()
    items = {item.item: item for item in contents.items}
    last = {(one.item, one.by): one for one in sorted(said, key=lambda one: one.at)}
    answers: dict[str, list[Answer]] = {}
    for one in last.values():
        choice = None if one.label is None else name_of(one.label)
        answers.setdefault(one.item, []).append(Answer(by=one.by, choice=choice, at=one.at))
    elsewhere = [key for key in answers if key not in items]
    data = {item.item: item.data for item in contents.items} | (_data_of(project, elsewhere, target) if elsewhere else {})
    tasks = [
        Task(
            item=key,
            data=data[key],
            answers=tuple(answers.get(key, ())),
            guesses=_guesses(items[key].suggestion) if key in items else (),
        )
        for key in (*items, *elsewhere)
        if key in data
    ]
    if not tasks:
        raise DataError("the label room", rule="one with rows that wait or are decided", given=Told("neither"))
    shown = labelstudio.shown_first(tasks[0].data)
    with replacing(output.absolute()) as scratch:
        scratch.write_bytes(labelstudio.write_tasks(tasks, target=contents.target, shown=shown))
    config = labelstudio.labelling_config(contents.target, [name_of(label) for label in contents.classes], tasks[0].data)
    return {"target": contents.target, "output": str(output), "labels": len(queue.labels()), "tasks": len(tasks), "config": config}


def _guesses(suggestion: Label | None) -> tuple[Guess, ...]:
    return () if suggestion is None else (Guess(model="fermion", choice=name_of(suggestion)),)


def _data_of(project: Project, keys: list[str], target: str | None) -> dict[str, dict[str, Any]]:
    """The values of decided rows that are no items of this round, from the source; rows that are gone from it have none."""
    rows = read(project, target)
    wanted, hidden = set(keys), _hidden(project, rows)
    return {key: shown_row(rows.source, row, hidden) for row, key in enumerate(rows.keys()) if key in wanted}


def _hidden(project: Project, rows: Rows) -> set[str]:
    return {*rows.without, *(name for name, said in project.spec.data.columns.items() if said.private is not None)}


def _match(tasks: tuple[Task, ...], rows: Rows, keys: list[str]) -> list[str | None]:
    """The key of each task's row, None where there is none."""
    known = set(keys)
    matched: list[str | None] = [task.item if task.item in known else None for task in tasks]
    open_tasks = [place for place, key in enumerate(matched) if key is None]
    if not open_tasks:
        return matched
    index: dict[tuple[str, ...], dict[bytes, str]] = {}
    for place in open_tasks:
        shared = tuple(sorted(set(tasks[place].data) & (set(rows.source.names) - set(rows.without))))
        if not shared:
            continue
        if shared not in index:
            some = rows.source.select(shared)
            index[shared] = {_values(shown_row(some, row), shared): key for row, key in reversed(list(enumerate(keys)))}
        matched[place] = index[shared].get(_values(tasks[place].data, shared))
    return matched


def _values(data: dict[str, Any], names: tuple[str, ...]) -> bytes:
    return msgspec.json.encode([float(value) if type(value := data.get(name)) is int else value for name in names])
