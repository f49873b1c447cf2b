"""The project file as a JSON Schema, from which editors complete and check it while it is written.

A file names it in its first line: `# yaml-language-server: $schema=fermion.schema.json`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fermion.core import registry
from fermion.core.errors import MissingExtra, SpecError
from fermion.core.sections import Declared, Spec
from fermion.core.spec import document
from fermion.core.typed import part_class

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Parts that stand within a model, and what they are.
_WITHIN = {
    "augments": "What training rows go through.",
    "encoders": "How a net reads one column.",
    "combiners": "How what the encoders of a net say becomes one vector.",
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a project file: all sections, and every registered model, augmentation, column and target type.

    A part that cannot be imported here (its extra is not installed) is known by its name alone.

    >>> sorted(json_schema()["required"])
    ['data', 'name']
    """
    groups = {group: {name: _class(group, name) for name in registry.names(group)} for group in ("models", "meanings", *_WITHIN)}
    classes = [cls for parts in groups.values() for cls in parts.values() if cls is not None]
    references, definitions = msgspec.json.schema_components([Spec, Declared, *classes], ref_template="#/$defs/{name}")
    place = {cls: str(ref["$ref"]).rpartition("/")[2] for cls, ref in zip([Spec, Declared, *classes], references, strict=True)}
    for definition in definitions.values():
        if "description" in definition:  # the first paragraph of a docstring; the rest is for Python
            definition["description"] = " ".join(definition["description"].split("\n\n")[0].split())
    models = [_alone(name) if cls is None else {"$ref": f"#/$defs/{place[cls]}"} for name, cls in groups["models"].items()]
    definitions["models"] = {"oneOf": [{"type": "null"}, {"enum": [*groups["models"]]}, *models]}
    for group, told in _WITHIN.items():
        listed = [_alone(name) if cls is None else {"$ref": f"#/$defs/{place[cls]}"} for name, cls in groups[group].items()]
        definitions[group] = {"description": told, "oneOf": [{"enum": [*groups[group]]}, *listed]}
    definitions["meanings"] = {"oneOf": [{"type": "null"}, {"enum": [*groups["meanings"]]}]}
    rules = {name: rule for name, rule in definitions[place[Declared]]["properties"].items() if name != "column"}
    kinds = [_alone(name) if cls is None else definitions[place[cls]] for name, cls in groups["meanings"].items()]
    for name, kind in zip(groups["meanings"], kinds, strict=True):
        if name in registry.names("targets"):  # what it learns has no description, and nobody writes it
            kind["properties"] = {key: one for key, one in kind["properties"].items() if key == "type" or "description" in one}
    definitions[place[Declared]] = {
        "description": definitions[place[Declared]]["description"],
        "oneOf": [
            {"enum": [*groups["meanings"]]},
            {"type": "object", "properties": rules, "additionalProperties": False},
            *({**kind, "properties": {**kind["properties"], **rules}} for kind in kinds),
        ],
    }
    top = definitions.pop(place[Spec])
    return document({"$schema": _DIALECT, **top, "title": "A Fermion project file", "$defs": dict(sorted(definitions.items()))})


def _class(group: str, name: str) -> type[Struct] | None:
    try:
        return part_class(group, name)
    except (SpecError, MissingExtra):
        return None


def _alone(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"type": {"const": name}}, "required": ["type"]}
