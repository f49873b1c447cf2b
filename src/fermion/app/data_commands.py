"""What each verb of `fermion data` does. The work is in `practice`; here it is told."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from fermion.app.commands import print_json


def snapshot(known: Namespace) -> int:
    """Keep the data as they are now."""
    from fermion.practice import versions

    project, run = _begun(known)
    found = versions.snapshot(project, run, known.tag)
    if known.json:
        print_json(found)
        return 0
    print(f"{'took' if found['new'] else 'unchanged'}  {found['snapshot'][:12]}  {found['rows']:,} rows, {found['columns']} columns")
    return 0


def log(known: Namespace) -> int:
    """The snapshots, newest first."""
    from fermion.practice import versions

    found = versions.history(_begun(known)[0])
    if known.json:
        print_json({"snapshots": found})
        return 0
    if not found:
        print("no snapshots yet; next: fermion data snapshot")
    for one in found:
        tags = f"  ({', '.join(one['tags'])})" if one["tags"] else ""
        print(f"{one['snapshot'][:12]}  {one['made']}  {one['rows']:>10,} rows {one['columns']:>4} columns  {one['source']}{tags}")
    return 0


def show(known: Namespace) -> int:
    """What a snapshot is and where it came from."""
    from fermion.practice import versions

    found = versions.show(_begun(known)[0], known.snapshot or "last")
    if known.json:
        print_json(found)
        return 0
    print(f"snapshot   {found['snapshot']}\nmade       {found['made']}\nsource     {found['source']}")
    for name in ("query", "code"):
        if found[name]:
            print(f"{name:<10} {found[name]}")
    print(f"parents    {', '.join(one[:12] for one in found['parents']) or 'none'}")
    print(f"rows       {found['rows']:,}\ncolumns    " + "\n           ".join(f"{one['name']}: {one['type']}" for one in found["columns"]))
    print(f"plan       {msgspec.json.encode(found['plan']).decode()}")
    return 0


def diff(known: Namespace) -> int:
    """Which rows and columns changed, and how distributions moved."""
    from fermion.data.changes import lines
    from fermion.practice import versions

    project, run = _begun(known)
    changes, plan = versions.diff(project, run, known.one, known.other)
    if known.json:
        print_json({**msgspec.to_builtins(changes, enc_hook=str), "plan": plan})
        return 0
    print("\n".join(lines(changes)))
    if plan:
        print(f"plan       changed: {', '.join(plan)}")
    return 0


def restore(known: Namespace) -> int:
    """Write a snapshot to a file."""
    from fermion.practice import versions

    found = versions.restored(_begun(known)[0], known.snapshot, Path(known.output))
    if known.json:
        print_json(found)
    else:
        print(f"{found['rows']:,} rows in {found['output']}", file=sys.stderr)
    return 0


def _begun(known: Namespace) -> tuple[Any, Any]:
    """The project and a run whose progress is shown."""
    from fermion.core.run import Run
    from fermion.practice.progress import Progress
    from fermion.practice.project import Project, near_project

    project = Project.load(known.project or near_project(), getattr(known, "settings", ()))
    return project, Run(seed=project.spec.seed, device=project.spec.device, listeners=(Progress(),))


def clean(known: Namespace) -> int:
    """What the cleaning plan does; with --suggest a proposal."""
    from fermion.core.errors import UsageError
    from fermion.practice import planning

    if known.write and not known.suggest:
        raise UsageError("--write", rule="beside --suggest", given="--write", remedy="fermion data clean --suggest --write")
    project, run = _begun(known)
    if not known.suggest:
        found = planning.describe(project, run)
        if known.json:
            print_json(found)
            return 0
        print(f"{found['rows']:,} training rows; repaired: {', '.join(found['repaired']) or 'nothing'}")
        for step, count in found["aside"].items():
            print(f"set aside  {count:>8,}  {step}")
            print("".join(f"{'':<21}{example}\n" for example in found["examples"][step]), end="")
        return 0
    plan = planning.suggest(project, run)
    kept = planning.write(project, plan) if known.write and plan.data else None
    if known.json:
        print_json({**msgspec.to_builtins(plan), "written": None if kept is None else str(project.path)})
        return 0
    print("\n".join(plan.lines()))
    if not plan.data:
        print("nothing to propose")
    elif kept is None:
        print(f"\nTo take it over: fermion data clean --suggest --write, or write into the project file\n\n{plan.yaml()}", end="")
    else:
        print(f"\nwritten into {project.path.name}; the file as it was is {kept.name}")
    return 0


def label_errors(known: Namespace) -> int:
    """Rank the rows whose labels look wrong."""
    from fermion.practice import labelling

    project, run = _begun(known)
    found = labelling.errors(
        project, run, target=known.target, folds=_whole(known.folds, "--folds", 5), most=_whole(known.most, "--most", 200)
    )
    if known.json:
        print_json(found)
    else:
        _print_items(found)
        print("next: fermion data label next")
    return 0


def label_next(known: Namespace) -> int:
    """What to label next."""
    from fermion.practice import labelling

    project, run = _begun(known)
    found = labelling.following(
        project,
        run,
        count=_whole(known.count, "--count", 1),
        strategy=known.by,
        target=known.target,
        by=known.annotator,
        overlap=_whole(known.overlap, "--overlap", 1),
        budget=_whole(known.budget, "--budget", 200),
        classes=[one for one in (known.classes or "").split(",") if one],
    )
    if known.json:
        print_json(found)
    else:
        _print_items(found)
        print("then: fermion data label set ITEM LABEL" if found["items"] else "nothing is left in this round")
    return 0


def label_set(known: Namespace) -> int:
    """One row gets its label."""
    import getpass

    from fermion.core.errors import UsageError
    from fermion.practice import labelling

    if (known.label is None) != known.skip:
        raise UsageError("the label", rule="given, or --skip", given=known.label, remedy="fermion data label set ITEM LABEL")
    found = labelling.decide(_begun(known)[0], known.item, known.label, by=known.by or getpass.getuser(), target=known.target)
    if known.json:
        print_json(found)
    else:
        print(f"{known.item}: {'cannot be told' if known.skip else known.label}; {_progress(found)}")
    return 0


def label_export(known: Namespace) -> int:
    """The labels that were given, as a file."""
    from fermion.practice import label_exchange

    found = label_exchange.export(_begun(known)[0], Path(known.output), target=known.target)
    if known.json:
        print_json(found)
    else:
        print(f"{_progress(found)} in {known.output}")
    return 0


def label_import(known: Namespace) -> int:
    """Labels from a file of Label Studio."""
    from fermion.practice import label_exchange

    found = label_exchange.take_over(_begun(known)[0], Path(known.input), target=known.target)
    if known.json:
        print_json(found)
        return 0
    print(_progress(found))
    for one in found.get("aside", []):
        print(f"set aside: {msgspec.json.encode(one).decode()}")
    return 0


def _print_items(found: dict[str, Any]) -> None:
    for one in found.get("items", []):
        now = f"{one['label']}, perhaps {one['suggestion']}" if one["suggestion"] is not None else str(one["label"])
        print(f"{one['item']}  row {one['row']:,}  {now}  ({one['reason']})")
        shown = [f"{name} {value}" for name, value in one["data"].items() if not str(value).startswith("data:")]
        print(f"    {', '.join(shown)[:400]}" if shown else "    a picture; --json has it")
    print(_progress(found))


def _progress(found: dict[str, Any]) -> str:
    told = {name: value for name, value in found.items() if name not in ("config", "path", "item", "label", "at", "source")}
    plain = {name: value for name, value in told.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{name} {value}" for name, value in plain.items())


def _whole(text: str | None, option: str, default: int) -> int:
    from fermion.core.errors import UsageError

    if text is None:
        return default
    if not text.isdigit() or int(text) < 1:
        raise UsageError(option, rule="a whole number from 1", given=text)
    return int(text)


def profile(known: Namespace) -> int:
    """A page that shows the data, and its numbers on the screen."""
    from fermion.core.run import Run
    from fermion.data.profile_text import document, lines
    from fermion.practice.looking import profiled
    from fermion.practice.progress import Progress

    found, page = profiled(known.project, known.settings, known.output, Run(listeners=(Progress(),)))
    if known.json:
        print_json({**document(found), "page": str(page)})
        return 0
    print("\n".join(lines(found)))
    print(f"page       {page}")
    return 0


def private(known: Namespace) -> int:
    """Personal data, and k-anonymity; exit code 1 where something is not guarded."""
    from fermion.practice.looking import guarded

    found = guarded(*_begun(known))
    open_ = bool(found["personal"]) or (found["anonymity"] is not None and not found["anonymity"]["holds"])
    if known.json:
        print_json(found)
        return int(open_)
    for name, mode in found["marked"].items():
        print(f"marked     {name:<24} {mode}")
    for one in found["personal"]:
        print(f"found      {one['column']:<24} {one['kind']}, by {one['how']} ({one['share']:.0%} of its values)\n{'':<11}{one['line']}")
    if found["anonymity"] is not None:
        print("\n".join(found["anonymity"]["lines"]))
    print("something is not guarded" if open_ else "nothing else looks personal")
    return int(open_)
