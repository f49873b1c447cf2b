"""A first project file, with the data's own columns where they can be seen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fermion.columns.schema import Schema
from fermion.core.errors import FermionError, UsageError
from fermion.core.spec import read

EXAMPLE = {"data.source": "sample://breast-cancer", "data.target": "diagnosis"}

TEXT = """\
# A Fermion project. Everything that is not here has a default; `fermion schema` prints all there is, for your editor.
name: {name}
data:
  source: {source}
  target: {target}{columns}
# split: {{by: time, column: timestamp, test: 0.2, validation: 0.1}}
# model: {model}
# budget: 10m
# evaluate: {{require: {{{metric}}}}}
"""


def write(folder: Path, settings: Sequence[str]) -> Path:
    """Write `folder`/fermion.yaml from `name=`, `data.source=` and `data.target=`; without a source, a small example that runs.

    Raises:
        UsageError: the file exists, a setting is unknown, or a source is given without a target.
        DataError: the source cannot be read, or the target is not in it.
    """
    path = folder / "fermion.yaml"
    if path.exists():
        raise UsageError("the project file", rule="new", given=str(path), remedy="Edit it, or name another folder: fermion init FOLDER")
    given = dict(setting.split("=", 1) for setting in settings)
    given = {{"source": "data.source", "target": "data.target"}.get(name, name): value for name, value in given.items()}
    unknown = [name for name in given if name not in ("name", "data.source", "data.target")]
    if unknown:
        raise UsageError("a setting of `fermion init`", rule="name, data.source or data.target", given=unknown[0], remedy="Edit the rest.")
    if "data.target" in given and "data.source" not in given:
        raise UsageError("data.source", rule="given with data.target", given=list(given), remedy="Add data.source=FILE.")
    if "data.source" not in given:
        given = {**EXAMPLE, **given}
    source = Path(given["data.source"])
    if source.exists() and not source.is_absolute() and not (folder / source).exists():
        given["data.source"] = os.path.relpath(source, folder)  # as typed here; the file says it from its own folder
    if "data.target" not in given:
        raise UsageError("data.target", rule="given with data.source", given=list(given), remedy="Add data.target=COLUMN.")
    name = given.get("name") or "-".join(part for part in folder.resolve().name.split() if part) or "project"
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as bad:
        raise UsageError("the folder", rule="one that can be made", given=f"{folder} ({bad.strerror})", remedy="Name another.") from None
    try:
        columns, kind, model = _columns(given["data.source"], given["data.target"], folder)
    except FermionError:
        if new:
            folder.rmdir()
        raise
    text = TEXT.format(
        name=_scalar(name),
        source=_scalar(given["data.source"]),
        target=_scalar(given["data.target"]),
        columns=columns,
        model=model,
        metric="rmse: 1.0" if kind == "Value" else "accuracy: 0.9",
    )
    read(text, name=str(path))
    path.write_text(text, encoding="utf-8")
    return path


def _columns(source: str, target: str, folder: Path) -> tuple[str, str, str]:
    """The inferred columns as a comment, what the target is, and a model that reads them."""
    from fermion.columns.infer import infer
    from fermion.columns.output import infer_output
    from fermion.core.sections import Data
    from fermion.data import sources
    from fermion.practice.preparation import labelled

    table = sources.read(source, folder=folder)
    table = labelled(table, Data(source=source, target=target, drop_unlabelled=True))
    batch: Mapping[str, Any] = table.batch([name for name in table.names if name != target])
    found = infer(batch, {})
    lines = [f"  #   {_scalar(one.name)}: {one.column.__struct_config__.tag}" for one in found.schema.fields]
    lines += [f"  #   {_scalar(name)} is left out: {why}" for name, why in found.skipped.items()]
    kind = type(infer_output(target, table.values(target))).__name__
    return "\n  # columns:  # as inferred; write down only what should be otherwise\n" + "\n".join(lines), kind, _model(found.schema)


def _model(schema: Schema) -> str:
    """The model to begin with, as the project file says it: what is taken when nothing is said, with a setting to turn.

    >>> from fermion.columns.text import Text
    >>> _model(Schema.of({"note": Text()}))
    '{type: tfidf}  # words and their n-grams; {type: net} reads texts with an encoder'
    """
    from fermion.practice.making import default_model

    if {field.kinds[-1] for field in schema.fields} == {"text"}:
        return "{type: tfidf}  # words and their n-grams; {type: net} reads texts with an encoder"
    usual: Any = default_model(schema)  # trees, a net or a picture net: each has a learning rate
    return f"{{type: {usual.__struct_config__.tag}, lr: {usual.lr:g}}}"


def _scalar(text: str) -> str:
    """A text as YAML writes it, in quotation marks where it needs them."""
    return yaml.safe_dump(text, default_flow_style=True, allow_unicode=True, width=10_000).strip().removesuffix("...").strip()
