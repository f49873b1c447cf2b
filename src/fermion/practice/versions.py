"""Versions of a project's data: take, list, show, compare, restore. The plain values that the command line prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec

from fermion.core.errors import UsageError
from fermion.core.run import Run
from fermion.core.spec import document
from fermion.data import sources
from fermion.data.changes import Changes, compare
from fermion.data.snapshots import find, load, log, name_it, restore, summary, take
from fermion.practice.making import commit_of
from fermion.practice.pipeline import Pipeline
from fermion.practice.prediction import check_suffix, write_table
from fermion.practice.project import Project


def snapshot(project: Project, run: Run, tag: str | None = None) -> dict[str, Any]:
    """Keep the data as they are read now; nothing new where they are as they were.

    Raises:
        DataError: they cannot be read. StoreError: they cannot be kept.
    """
    spec = project.spec
    identity, new = take(
        Pipeline(project, run).table(),
        project.store,
        spec.name,
        source=sources.public(spec.data.origin.at),
        query=spec.data.origin.query,
        plan=_plan(project),
        code=commit_of(project.folder),
    )
    if tag is not None:
        name_it(project.store, spec.name, tag, identity)
    return {**summary(identity, load(project.store, identity)), "new": new, "tag": tag}


def history(project: Project) -> list[dict[str, Any]]:
    """The snapshots, newest first, with the names that were given to them."""
    prefix = f"data/{project.spec.name}/tags/"
    names: dict[str, list[str]] = {}
    for tag, identity in project.store.tags(prefix).items():
        names.setdefault(identity, []).append(tag.removeprefix(prefix))
    return [{**summary(identity, one), "tags": names.get(identity, [])} for identity, one in log(project.store, project.spec.name)]


def show(project: Project, word: str) -> dict[str, Any]:
    """A snapshot's whole document.

    Raises:
        UsageError: there is none of this name.
    """
    identity = find(project.store, project.spec.name, word)
    whole: dict[str, Any] = msgspec.to_builtins(load(project.store, identity))
    whole["columns"] = [{name: one[name] for name in ("name", "type", "digest")} for one in whole["columns"]]
    return {"snapshot": identity, **whole}


def diff(project: Project, run: Run, one: str, other: str | None) -> tuple[Changes, list[str]]:
    """What changed between two snapshots, or between one and the data as they are now; and how the plan changed.

    Raises:
        UsageError: there is no such snapshot.
    """
    name, store = project.spec.name, project.store
    identity = find(store, name, one)
    before, plan = restore(store, identity), load(store, identity).plan
    if other is None:
        after, later = Pipeline(project, run).table(), _plan(project)
    else:
        identity = find(store, name, other)
        after, later = restore(store, identity), load(store, identity).plan
    private = [column for column, said in project.spec.data.columns.items() if said.private is not None]
    changed = [key for key in sorted({*plan, *later}) if plan.get(key) != later.get(key)]
    return compare(before, after, private=private), changed


def restored(project: Project, word: str, output: Path) -> dict[str, Any]:
    """Write a snapshot to a file; pictures go into a folder beside it.

    Raises:
        UsageError: there is no such snapshot, the file is there already, or its suffix is not known.
    """
    if output.exists():
        raise UsageError("the output", rule="a new file", given=str(output), remedy="Name another; nothing was overwritten.")
    check_suffix(output)
    identity = find(project.store, project.spec.name, word)
    table = restore(project.store, identity, files=output.parent / f"{output.stem}-files")
    write_table(table.frame, output)
    return {"snapshot": identity, "output": str(output), "rows": len(table), "fingerprint": table.fingerprint}


def _plan(project: Project) -> dict[str, Any]:
    """The `data` section without where the data come from, and without what it leaves open."""
    whole: dict[str, Any] = document(project.spec)["data"]
    return _told({name: value for name, value in whole.items() if name != "source" and value is not False})


def _told(value: Any) -> Any:
    """A tree without the branches that say nothing."""
    if isinstance(value, list):
        return [_told(one) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    kept = {name: _told(one) for name, one in cast("dict[str, Any]", value).items()}
    return {name: one for name, one in kept.items() if one is not None and one != [] and one != {}}
