"""The project file: read, changed by arguments, written back, and named by a digest.

    fermion.yaml --yaml12--> Tree --arguments--> Tree --typed--> Spec

A mistake is answered with its place, the dotted path, what was expected, what was found and the nearest valid word.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from fermion.core.errors import SpecError, Told, UsageError
from fermion.core.sections import Spec

__all__ = ["FILE", "Spec", "digest", "document", "json_schema", "load", "override", "read", "to_yaml"]

FILE = "fermion.yaml"
_INIT = "Write one with: fermion init"


def load(path: str | Path = FILE, overrides: Sequence[str] = ()) -> Spec:
    """The project file at `path`, or `fermion.yaml` in that folder, with `key=value` arguments laid over it.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "fermion.yaml"
    >>> _ = file.write_text("name: digits\\ndata: {source: sample://digits, target: digit}\\n")
    >>> load(file, ("budget=2m",)).budget
    '2m'

    Raises:
        SpecError: there is no such file, or it holds a mistake.
        UsageError: an argument is no `key=value`.
    """
    from fermion.core import yaml12

    file = _file(Path(path))
    try:
        with file.open("rb") as stream:
            data = stream.read(yaml12.MOST_BYTES + 1)
    except OSError as bad:
        given = Told(bad.strerror or str(bad))
        raise SpecError("the project file", rule="readable", given=given, remedy="Check its permissions.", where=str(file)) from None
    return _read(data, overrides, name=str(file))


def read(source: str | Mapping[str, Any], overrides: Sequence[str] = (), *, name: str = "text") -> Spec:
    """A spec from YAML text or from Python values; parts may be instances. `name` stands for the file in messages.

    >>> read({"name": "iris", "data": {"source": "sample://iris", "target": "species"}}).serve.port
    8080

    Raises:
        SpecError: it holds a mistake.
        UsageError: an argument is no `key=value`.
    """
    return _read(source, overrides, name=name)


def override(spec: Spec, *arguments: str) -> Spec:
    """The same spec with `key=value` arguments laid over it; a value is YAML.

    >>> spec = read({"name": "iris", "data": {"source": "sample://iris", "target": "species"}})
    >>> override(spec, "serve.port=9000", "data.columns.width=number").serve.port
    9000

    Raises:
        SpecError: an unknown path or a wrong value.
        UsageError: an argument is no `key=value`.
    """
    return _read(document(spec), arguments, name="spec")


def document(value: Any) -> Any:
    """A spec or any part of it as plain values, defaults filled in and parts as `{type: ...}`: what `read` takes back.

    >>> document(read({"name": "iris", "data": {"source": "sample://iris", "target": "species"}}).checks)
    {'accept': []}
    """
    if isinstance(value, Struct):
        from fermion.core.typed import beside

        tag = value.__struct_config__.tag
        plain: dict[str, Any] = {} if tag is None else {value.__struct_config__.tag_field or "type": tag}
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        if (inline := beside(type(value))) is not None:
            plain.update(document(fields.pop(inline[0])) or {})
        return {**plain, **{name: document(one) for name, one in fields.items()}}
    if isinstance(value, Mapping):
        return {key: document(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [document(one) for one in value]
    return value


def to_yaml(spec: Spec) -> str:
    """The effective spec as a project file that reads back as the same spec."""
    from fermion.core import yaml12

    return yaml12.dump(document(spec))


def digest(value: Any) -> str:
    """The sha256 of a spec, a section or plain values as canonical JSON: keys sorted, defaults filled in, equal numbers alike.

    Neither the order of keys, nor formatting, nor writing a default out changes it.

    >>> from fermion.core.sections import Split
    >>> digest(Split()) == digest(Split(test=0.2)) != digest(Split(test=0.3))
    True
    """
    text = json.dumps(_canonical(document(value)), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a project file, for editors."""
    from fermion.core import editors

    return editors.json_schema()


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_canonical(one) for one in value]
    if isinstance(value, float):  # 1.0 and 1 are one number; infinity and NaN have no JSON
        return repr(value) if not math.isfinite(value) else int(value) if value.is_integer() else value
    return value


def _read(source: str | bytes | Mapping[str, Any], arguments: Sequence[str], *, name: str) -> Spec:
    from fermion.core import yaml12
    from fermion.core.tree import Tree
    from fermion.core.typed import typed

    tree = Tree(value=source) if isinstance(source, Mapping) else yaml12.parse(source, file=name)
    if tree.value is None and not tree.values:
        remedy = f"It needs at least `name`, `data.source` and `data.target`. {_INIT}"
        raise SpecError("the project file", rule="not empty", given=Told("an empty one"), remedy=remedy, where=name)
    if not isinstance(tree.value, Mapping):
        remedy = "It begins with `name: ...`."
        raise SpecError("the project file", rule="a mapping of sections", given=tree.value, remedy=remedy, where=tree.place(()))
    for argument in arguments:
        tree = _laid(tree, argument)
    return typed(tree, Spec)


def _laid(tree: Any, argument: str) -> Any:
    """The tree with one argument laid over it."""
    from msgspec import inspect

    from fermion.core import yaml12
    from fermion.core.tree import dotted
    from fermion.core.typed import takes_type, type_at

    key, equals, text = argument.partition("=")
    path = tuple(key.strip().split("."))
    where = f"argument `{argument}`"
    if not equals or not all(path):
        raise UsageError("an argument", rule="key=value", given=argument, remedy="For example: model.lr=3e-4")
    try:
        value = yaml12.parse(text, file="value").value
    except SpecError as bad:
        raise SpecError(f"the value of `{key}`", rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=where) from None
    for end in range(1, len(path)):
        around, outer = path[:end], tree.get(path[:end])
        if isinstance(outer, str) and takes_type(Spec, tree.value, around):  # `model: cnn` is short for `model: {type: cnn}`
            tree = tree.put(around, {"type": outer}, place=tree.place(around))
        elif isinstance(outer, Struct):
            tree = tree.put(around, document(outer), place=tree.place(around))
        elif outer is not None and not isinstance(outer, Mapping):
            remedy = f"Set it as a whole: {dotted(around)}=..."
            raise SpecError(f"`{dotted(around)}`", rule=f"a section, to set `{key}`", given=outer, remedy=remedy, where=where)
    if value is None and not isinstance(type_at(Spec, tree.value, path), inspect.AnyType):
        return tree.without(path)  # null is the word for the default: whatever takes null has it as its default
    return tree.put(path, value, place=where)


def _file(path: Path) -> Path:
    """The file itself, or the project file of a folder."""
    if path.is_dir():
        inside = path / FILE
        if inside.is_file():
            return inside
        others = sorted(other.name for other in path.glob("*.y*ml"))
        remedy = f"Did you mean `{path / others[0]}`?" if len(others) == 1 else _INIT
        raise SpecError(f"the folder {path}", rule=f"one that holds {FILE}", given=Told(", ".join(others) or "none"), remedy=remedy)
    if path.exists():
        return path
    folder = path.parent
    there = [other.name for other in folder.glob("*.y*ml")] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=1) or sorted(there)[:1]
    remedy = f"Did you mean `{folder / near[0]}`? If not: fermion init" if near else _INIT
    raise SpecError("the project file", rule="there", given=Told(f"no file `{path}`"), remedy=remedy)
