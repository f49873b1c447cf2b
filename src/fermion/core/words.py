"""What a field of the project file expects, in words made from its type."""

from __future__ import annotations

from typing import Any, cast

from msgspec import inspect

from fermion.core import registry
from fermion.core.errors import Told


def expected(kind: inspect.Type) -> str:
    """A type with its limits, as it stands after "must be".

    >>> from typing import Annotated, Literal
    >>> from msgspec import Meta
    >>> expected(inspect.type_info(Annotated[int, Meta(ge=0, le=65535)])), expected(inspect.type_info(float | Literal["best"]))
    ('a whole number from 0 to 65535', 'a number or best')
    """
    return _words(kind)


def plain(kind: inspect.Type) -> inspect.Type:
    """The type without its description."""
    return plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def group_of(kind: inspect.Type) -> str:
    """The registry group of a field that holds a part, or ''."""
    return str((kind.extra or {}).get("group", "")) if isinstance(kind, inspect.Metadata) else ""


def description(kind: inspect.Type) -> str:
    """What the type says about itself, or ''."""
    return str((kind.extra_json_schema or {}).get("description", "")) if isinstance(kind, inspect.Metadata) else ""


def examples(kind: inspect.Type) -> str:
    """'For example: 7d' where the type, or one of a union, has examples, or ''."""
    if isinstance(kind, inspect.UnionType):
        return next((told for told in map(examples, kind.types) if told), "")
    if not isinstance(kind, inspect.Metadata):
        return ""
    known = (kind.extra_json_schema or {}).get("examples")
    return f"For example: {known[0]}" if known else examples(kind.type)


def told(value: Any) -> object:
    """A value as the file has it, for `given`."""
    if value is None or isinstance(value, bool):
        return Told(str(value).lower() if value is not None else "null")
    return Told("a mapping") if isinstance(value, dict) else value


def _words(kind: inspect.Type) -> str:
    if group := group_of(kind):
        return f"{registry.called(group)}: {_listed(registry.names(group))}"
    inner = plain(kind)
    match inner:
        case inspect.StrType():
            return _text(kind, inner)
        case inspect.IntType():
            return "a whole number" + _limits(inner)
        case inspect.FloatType():
            return "a number" + _limits(inner)
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.LiteralType():
            return _listed(inner.values)
        case inspect.UnionType():
            return _listed(_words(one) for one in inner.types if not isinstance(one, inspect.NoneType))
        case inspect.ListType() | inspect.VarTupleType():
            some = f" of {inner.min_length} or more" if inner.min_length else ""
            return f"a list{some}, each item {_words(inner.item_type)}"
        case inspect.TupleType():
            return f"a list of {len(inner.item_types)}: {', '.join(_words(one) for one in inner.item_types)}"
        case inspect.DictType():
            return f"a mapping of names, each to {_words(inner.value_type)}"
        case inspect.StructType():
            return f"a mapping with fields from {', '.join(field.encode_name for field in inner.fields)}"
        case _:
            return "a value"


def _text(kind: inspect.Type, inner: inspect.StrType) -> str:
    about = description(kind)
    if inner.pattern is not None:
        return about[:1].lower() + about[1:].rstrip(".") if about else f"text that matches {inner.pattern}"
    return "text that is not empty" if inner.min_length else "text"


def _limits(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:g} to {kind.le:g}" if max(abs(kind.ge), abs(kind.le)) < 1e5 else f" from {kind.ge} to {kind.le}"
    limits = {"of at least": kind.ge, "above": kind.gt, "of at most": kind.le, "below": kind.lt}
    said = [f"{word} {limit:g}" if abs(limit) < 1e5 else f"{word} {limit}" for word, limit in limits.items() if limit is not None]
    steps = [f"in steps of {kind.multiple_of:g}"] if kind.multiple_of is not None else []
    return " " + " and ".join([*said, *steps]) if said or steps else ""


def _listed(words: Any) -> str:
    """a, b or c"""
    listed = [str(word) for word in cast("list[object]", list(words))]
    return ", ".join(listed[:-1]) + " or " + listed[-1] if len(listed) > 1 else "".join(listed)
