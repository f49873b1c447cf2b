"""Rewrites the generated parts of the documentation from the code: `python docs/generate.py`.

A page holds `<!-- generated: NAME -->` and `<!-- end -->`; what stands between them is replaced. `tests/docs/test_generated.py` fails
where a page differs from what the code says.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from fermion.app import cli
from fermion.cloud.counters import Counters
from fermion.core import declared, registry, sections, words
from fermion.core.typed import beside, info, part_class
from fermion.data.checks import KINDS
from fermion.data.samples import SAMPLES
from fermion.measure.metrics import METRICS, Task, for_task
from fermion.research.training import Training

FOLDER = Path(__file__).parent
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH = "100"  # columns of the command line's help

ROOMS = ("core", "columns", "measure", "data", "bundle", "research", "cloud", "practice", "app", "testing")

# Fields that a column learns; its docstring tells of them in running text.
TOLD = {
    ("category", "levels"): "Learned: the levels, by frequency, then by name.",
    ("number", "offset"): "Learned: what is subtracted in float64 before the cast to float32.",
    ("time", "unit"): "What numbers count since 1970; none where values are ISO 8601 text or dates.",
    ("time", "origin"): "Learned: the moment from which `elapsed` counts, in seconds since 1970.",
    ("time", "parts"): "Which parts to make; those that do not vary in the training part are dropped.",
}

SECTIONS = {
    "": sections.Spec,
    "data": declared.Data,
    "data.source": declared.Source,
    "data.joins": declared.Join,
    "data.features": declared.Feature,
    "data.columns.NAME": declared.Declared,
    "data.columns.NAME.repair": declared.Repair,
    "data.weight": declared.Weight,
    "data.expect": declared.Expectation,
    "data.clean": declared.Clean,
    "data.clean.outliers": declared.Outliers,
    "data.clean.made_from": declared.Lineage,
    "data.privacy": declared.Privacy,
    "split": sections.Split,
    "checks": sections.Checks,
    "decide": sections.Choice,
    "evaluate": sections.Evaluate,
    "serve": sections.Serve,
}


def generated() -> dict[str, str]:
    """What stands between the markers, by name."""
    makers: dict[str, Callable[[], str]] = {
        "help": _help,
        "sections": _sections,
        "models": lambda: _parts("models"),
        "columns": lambda: _parts("columns"),
        "targets": lambda: _parts("targets"),
        "augments": lambda: _parts("augments"),
        "encoders": lambda: _parts("encoders", "####"),
        "combiners": lambda: _parts("combiners", "####"),
        "training": lambda: _fields(Training),
        "metrics": _metrics,
        "findings": _findings,
        "samples": _samples,
        "counters": _counters,
    }
    rooms = {f"room-{room}": (lambda room=room: _room(room)) for room in ROOMS}
    return {name: make() for name, make in {**makers, **rooms}.items()}


def rewritten(text: str, parts: dict[str, str]) -> str:
    """A page with its generated parts as they should be."""
    return PART.sub(lambda found: f"{found[1]}\n{parts[found['name']]}\n{found[3]}", text)


def _help() -> str:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        top = cli.parser()
        texts = _texts("fermion", top)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "".join(f"### {name}\n\n```text\n{text.rstrip()}\n```\n\n" for name, text in texts.items())


def _texts(name: str, parser: argparse.ArgumentParser) -> dict[str, str]:
    """The help of a command and of all under it."""
    texts = {name: parser.format_help()}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, one in action.choices.items():
                texts |= _texts(f"{name} {word}", one)
    return texts


def _sections() -> str:
    return "".join(f"### {name or 'The top level'}\n\n{_about(cls)}\n\n{_fields(cls)}\n" for name, cls in SECTIONS.items())


def _parts(group: str, head: str = "###") -> str:
    found = {name: part_class(group, name) for name in registry.names(group)}
    ours = {name: cls for name, cls in found.items() if cls.__module__.startswith("fermion.")}
    return "".join(f"{head} {name}\n\n{_about(cls)}\n\n{_fields(cls)}\n" for name, cls in ours.items())


def _about(cls: type[Struct]) -> str:
    """The docstring up to its arguments, example or formulas, as running text."""
    kept: list[str] = []
    for paragraph in (inspect.getdoc(cls) or "").split("\n\n"):
        if re.match(r"Args:|>>>|\s{4}", paragraph):
            break
        if paragraph.endswith(":"):  # what it announces are formulas
            break
        kept.append(" ".join(paragraph.split()))
    return "\n\n".join(kept)


def _fields(cls: type[Struct]) -> str:
    """A table of fields with what they take, their default and what they mean."""
    told = _arguments(cls)
    inline = beside(cls)
    rows: list[str] = []
    learned = str(info(cls).tag) in registry.names("targets")  # whose settings have descriptions, and what they learn none
    own = cls.__annotations__
    for field in sorted(info(cls).fields, key=lambda field: field.name not in own):
        if learned and not words.description(field.type):
            continue
        name = "type" if inline and field.name == inline[0] else field.encode_name
        meaning = (
            told.get(field.name)
            or words.description(field.type)
            or _of_section(field.type)
            or TOLD.get((str(info(cls).tag), field.name), "")
        )
        rows.append(f"| `{name}` | {_cell(_kind(field.type))} | {_default(field)} | {_cell(meaning)} |")
    if not rows:
        return "It has no settings.\n"
    return "\n".join(["| Field | Takes | Default | Meaning |", "|---|---|---|---|", *rows]) + "\n"


def _kind(kind: Any) -> str:
    inner = words.plain(kind)
    if isinstance(inner, msgspec.inspect.StructType):
        return "a section"
    if isinstance(inner, msgspec.inspect.DictType) and isinstance(words.plain(inner.value_type), msgspec.inspect.StructType):
        return "a section per name"
    if isinstance(inner, msgspec.inspect.UnionType):
        members = [one for one in inner.types if not isinstance(one, msgspec.inspect.NoneType)]
        return " or ".join(_kind(one) for one in members)
    return words.expected(kind)


def _of_section(kind: Any) -> str:
    inner = words.plain(kind)
    return (inspect.getdoc(inner.cls) or "").split("\n\n")[0].replace("\n", " ") if isinstance(inner, msgspec.inspect.StructType) else ""


def _default(field: Any) -> str:
    if field.required:
        return "**required**"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, Struct):
        return "its own"
    if value is None or value == () or value == {} or value == "":
        return "none"
    return f"`{msgspec.json.encode(value).decode()}`".replace('"', "")


def _arguments(cls: type[Struct]) -> dict[str, str]:
    """The entries under `Args:` of a docstring, and of those of the structs that it extends."""
    found = re.search(r"^Args:\n((?:    .*\n?|\n)+)", inspect.cleandoc(cls.__doc__ or "") + "\n", re.MULTILINE)
    entries: dict[str, str] = {}
    for line in (found[1] if found else "").splitlines():
        if match := re.match(r"    (\w+): (.*)", line):
            entries[match[1]] = match[2]
        elif entries and line.strip():
            entries[list(entries)[-1]] += " " + line.strip()
    extended: dict[str, str] = {}
    for base in cls.__bases__:
        extended |= _arguments(base) if issubclass(base, Struct) else {}
    return extended | {name: text[:1].upper() + text[1:] for name, text in entries.items()}


def _metrics() -> str:
    tasks = {task: [metric.name for metric in for_task(task)] for task in get_args(Task)}
    rows = []
    for name, metric in METRICS.items():
        having = [f"**{task}**" if names[0] == name else task for task, names in tasks.items() if name in names]
        reach = "at least" if metric.direction == "max" else "at most"
        low, high = (f"{bound:g}".replace("inf", "∞") for bound in (metric.low, metric.high))
        rows.append(f"| `{name}` | {metric.title} | {low} to {high} | {reach} | {', '.join(having)} |")
    head = ["| Name | Metric | Range | `require` means | Tasks (bold: the primary one) |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def _findings() -> str:
    source = inspect.getsource(__import__("fermion.data.findings", fromlist=["KINDS"]))
    told = dict(re.findall(r'^    "([a-z-]+)": "(?:error|warning|info)",  # (.*)$', source, re.MULTILINE))
    rows = [f"| `{kind}` | {severity} | {_cell(_sentence(told[kind]))} |" for kind, severity in KINDS.items()]
    return "\n".join(["| Kind | Severity | What was found |", "|---|---|---|", *rows]) + "\n"


def _samples() -> str:
    rows = []
    for name, cls in SAMPLES.items():
        options = ", ".join(f"`{one.name}={_option(one.default)}`" for one in msgspec.structs.fields(cls))  # type: ignore[arg-type]
        rows.append(f"| `sample://{name}` | {_cell((inspect.getdoc(cls) or '').splitlines()[0])} | {options or 'none'} |")
    return "\n".join(["| Source | Rows | Options with defaults |", "|---|---|---|", *rows]) + "\n"


def _option(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _counters() -> str:
    text = Counters(["column"]).text(waiting=0, ready=True, about={"bundle": "ID", "name": "NAME"})
    says = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\S+) (.*)$", text, re.MULTILINE))
    rows = [f"| `{name}` | {kinds[name]} | {_cell(meaning)} |" for name, meaning in says.items()]
    return "\n".join(["| Name | Type | Meaning |", "|---|---|---|", *rows]) + "\n"


def _room(room: str) -> str:
    """A room's files with the first sentence of each."""
    rows = []
    top = FOLDER.parent / "src" / "fermion" / room
    for path in sorted(top.rglob("*.py"), key=lambda one: (one.parent != top, one)):  # its own files, then those of its folders
        if path.stem != "__init__":
            says = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
            first = re.split(r"(?<=[.!?])\s", " ".join(says.split()))[0]
            rows.append(f"| `{path.relative_to(top.parent).as_posix()}` | {_cell(first)} |")
    return "\n".join(["| File | What it is |", "|---|---|", *rows]) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    made = generated()
    for page in sorted(FOLDER.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = rewritten(old, made)
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"rewrote {page.name}")
