"""A tree of plain values -> frozen structs, field by field, so that every mistake says where it is and what would be right."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar, cast

from msgspec import Struct, inspect

from fermion.core import registry
from fermion.core.errors import FermionError, SpecError, Told, did_you_mean
from fermion.core.tree import Path, Tree, dotted
from fermion.core.words import description, examples, expected, group_of, plain, told

T = TypeVar("T", bound=Struct)


def typed(tree: Tree, cls: type[T]) -> T:
    """The tree as a struct of this class, with defaults filled in and parts made from the registry.

    >>> from fermion.core.sections import Serve
    >>> typed(Tree(value={"port": 9000}), Serve).port
    9000

    Raises:
        SpecError: an unknown, missing or wrong field, with its place, its dotted path, what was expected and the nearest valid word.
    """
    return cast("T", _Reading(tree).value(info(cls), tree.value, ()))


@functools.cache
def info(cls: type) -> inspect.StructType:
    """What msgspec knows about a struct class."""
    return cast("inspect.StructType", inspect.type_info(cls))


@functools.cache
def beside(cls: type) -> tuple[str, str] | None:
    """The field, and its group, of a part whose settings stand beside the struct's own: `{type: category, missing: accept}`."""
    for field in info(cls).fields:
        if isinstance(field.type, inspect.Metadata) and (field.type.extra or {}).get("beside"):
            return field.name, group_of(field.type)
    return None


def part_class(group: str, name: str, *, where: str = "") -> type[Struct]:
    """The registered class, which must be a struct tagged with the name that it is registered under.

    Raises:
        SpecError: it cannot be imported, or is not.
    """
    cls = registry.find(group, name, where=where)
    config = getattr(cls, "__struct_config__", None)
    if config is None or config.tag != name or config.tag_field != "type":
        rule = f'a msgspec Struct with tag_field="type" and tag="{name}"'
        raise SpecError(f"the class registered as `{name}` in fermion.{group}", rule=rule, given=cls, where=where)
    return cls


def takes_type(cls: type, value: Any, path: Path) -> bool:
    """Whether text at this path is short for `{type: text}`."""
    kind = type_at(cls, value, path)
    inner = plain(kind)
    return bool(group_of(kind)) or (isinstance(inner, inspect.StructType) and beside(inner.cls) is not None)


def type_at(cls: type, value: Any, path: Path) -> inspect.Type:
    """What belongs at this path of a struct's values; any type where nobody knows."""
    kind: inspect.Type = info(cls)
    for key in path:
        if group := group_of(kind):
            kind = _part_info(group, value)
        kind = _below(plain(kind), key)
        value = cast("dict[Any, Any]", value).get(key) if isinstance(value, dict) else None
    return kind


def _part_info(group: str, value: Any) -> inspect.Type:
    name = cast("dict[str, Any]", value).get("type") if isinstance(value, dict) else value
    return info(part_class(group, name)) if name in registry.names(group) else inspect.AnyType()


def _below(kind: inspect.Type, key: str | int) -> inspect.Type:
    match kind:
        case inspect.StructType():
            return next((field.type for field in kind.fields if field.encode_name == key), inspect.AnyType())
        case inspect.DictType():
            return kind.value_type
        case inspect.UnionType():
            return next((one for one in (_below(plain(one), key) for one in kind.types) if not isinstance(one, inspect.AnyType)), kind)
        case _:
            return inspect.AnyType()


class _Reading:
    """One pass over one tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def value(self, kind: inspect.Type, given: Any, path: Path) -> Any:
        """`given` as this type."""
        if group := group_of(kind):
            return self.part(kind, group, given, path)
        inner = plain(kind)
        match inner:
            case inspect.StructType():
                return self.struct(inner, given, path, kind)
            case inspect.UnionType():
                return self.one_of(inner, given, path, kind)
            case inspect.DictType():
                if not isinstance(given, Mapping):
                    self.wrong(kind, given, path)
                entries: dict[Any, Any] = {}
                for key, one in cast("Mapping[Any, Any]", given).items():
                    entries[self.value(inner.key_type, key, (*path, key))] = self.value(inner.value_type, one, (*path, key))
                return entries
            case inspect.ListType() | inspect.VarTupleType():
                listed = [self.value(inner.item_type, one, (*path, at)) for at, one in enumerate(self.listed(kind, given, path))]
                if not (inner.min_length or 0) <= len(listed) <= (math.inf if inner.max_length is None else inner.max_length):
                    self.wrong(kind, given, path)
                return listed if isinstance(inner, inspect.ListType) else tuple(listed)
            case inspect.TupleType():
                values = self.listed(kind, given, path)
                if len(values) != len(inner.item_types):
                    self.wrong(kind, given, path)
                return tuple(self.value(one, values[at], (*path, at)) for at, one in enumerate(inner.item_types))
            case inspect.AnyType():
                return given
            case _:
                result = _scalar(inner, given)
                return self.wrong(kind, given, path) if result is _NOT else result

    def listed(self, kind: inspect.Type, given: Any, path: Path) -> list[Any]:
        if isinstance(given, list | tuple):
            return list(cast("list[Any]", given))
        return self.wrong(kind, given, path, remedy=f"Write a list: [{given}]" if isinstance(given, str) else "")

    def one_of(self, union: inspect.UnionType, given: Any, path: Path, kind: inspect.Type) -> Any:
        """The member of a union that takes this value: integers before floats for integers, floats before integers for floats."""
        members = [one for one in union.types if _fits(plain(one), given) or group_of(one)]
        members.sort(key=lambda one: isinstance(plain(one), inspect.FloatType) != isinstance(given, float))
        if len(members) == 1 and isinstance(given, Mapping | list | tuple | Struct):
            return self.value(members[0], given, path)
        for member in members:
            try:
                return self.value(member, given, path)
            except SpecError:
                continue
        return self.wrong(kind, given, path)

    def struct(self, kind: inspect.StructType, given: Any, path: Path, told_as: inspect.Type) -> Any:
        if isinstance(given, kind.cls):
            return given
        inline = beside(kind.cls)
        if inline is not None and isinstance(given, str):
            given = {"type": given}
        elif inline is not None and isinstance(given, Struct):
            return kind.cls(**{inline[0]: given})
        if not isinstance(given, Mapping):
            self.wrong(told_as, given, path)
        section = dict(cast("Mapping[str, Any]", given))
        if kind.tag_field is not None and section.get(kind.tag_field) == kind.tag:
            del section[kind.tag_field]
        values: dict[str, Any] = {}
        if inline is not None:
            name, group = inline
            own = {field.encode_name for field in kind.fields if field.name != name}
            settings = {key: section.pop(key) for key in list(section) if key not in own}
            if settings:
                values[name] = self.part(_field(kind, name), group, settings, path, more=tuple(sorted(own)))
        self.known(kind, section, path)
        for field in kind.fields:
            here = (*path, field.encode_name)
            if field.encode_name in section:
                one = section[field.encode_name]
                values[field.name] = None if one is None and field.default is None else self.value(field.type, one, here)
            elif field.required:
                about = f" {text}" if (text := description(field.type)) else ""
                remedy = f"It is {expected(field.type)}.{about}"
                raise SpecError(f"`{dotted(here)}`", rule="given", given=Told("nothing"), remedy=remedy, where=self.tree.place(path))
        try:
            return kind.cls(**values)
        except FermionError as bad:  # what the struct's own __post_init__ refuses
            subject = f"{bad.subject} of `{dotted(path)}`"
            raise SpecError(subject, rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=self.tree.place(path)) from None
        except (TypeError, ValueError) as bad:
            subject = f"`{dotted(path)}`" if path else "the file"
            raise SpecError(subject, rule="consistent", given=Told(str(bad)), where=self.tree.place(path)) from None

    def known(self, kind: inspect.StructType, section: Mapping[str, Any], path: Path, *, more: tuple[str, ...] = ()) -> None:
        """Refuse the first key that is no field. `more` are keys that would be right beside these fields."""
        words = [*(field.encode_name for field in kind.fields), *more]
        for key in section:
            if key not in words:
                around = f"a field of `{dotted(path)}`" if path else "a section of the project file"
                rule = f"one of {', '.join(words)}" if words else "left out: it has no fields"
                remedy = did_you_mean(str(key), words) or _elsewhere(kind, str(key))
                raise SpecError(around, rule=rule, given=Told(f"`{key}`"), remedy=remedy, where=self.tree.place_of_key((*path, key)))

    def part(self, kind: inspect.Type, group: str, given: Any, path: Path, *, more: tuple[str, ...] = ()) -> Any:
        """An instance of a registered class, from its name or from `{type: name, ...}`."""
        names = registry.names(group)
        here = (*path, "type")
        if isinstance(given, Struct):
            return given
        if not isinstance(given, str | Mapping):
            self.wrong(kind, given, path)
        settings: dict[str, Any] = {"type": given} if isinstance(given, str) else dict(cast("Mapping[str, Any]", given))
        if "type" not in settings:
            if more:  # beside other fields the words may be misspelt settings of those
                odd = next(iter(settings))
                known = (name for name in names if odd in registry.find(group, name).__struct_fields__)
                shown = next(known, names[0] if names else "...")
                remedy = did_you_mean(odd, ("type", *more)) or f"Say the type beside it: {{type: {shown}, {odd}: ...}}"
                rule = f"one of type, {', '.join(more)}"
                where = self.tree.place_of_key((*path, odd))
                raise SpecError(f"a field of `{dotted(path)}`", rule=rule, given=Told(f"`{odd}`"), remedy=remedy, where=where)
            remedy = f"It is one of {', '.join(names)}."
            raise SpecError(f"`{dotted(here)}`", rule="given", given=Told("nothing"), remedy=remedy, where=self.tree.place(path))
        name = settings.pop("type")
        where = self.tree.place(here)
        if name not in names:
            subject = f"`{dotted(path if isinstance(given, str) else here)}`"
            remedy = did_you_mean(str(name), names)
            raise SpecError(subject, rule=f"one of {', '.join(names)}", given=told(name), remedy=remedy, where=where)
        fields = info(part_class(group, name, where=where))
        self.known(fields, settings, path, more=more)
        return self.struct(fields, settings, path, fields)

    def wrong(self, kind: inspect.Type, given: Any, path: Path, *, remedy: str = "") -> NoReturn:
        """The error for a value of the wrong type or out of range."""
        rule = expected(kind)
        inner = plain(kind)
        words = [str(value) for value in inner.values] if isinstance(inner, inspect.LiteralType) else []
        if isinstance(given, str):
            remedy = remedy or did_you_mean(given, words)
        elif isinstance(given, bool | int | float) and _takes_any_text(inner):
            remedy = "Put it in quotes."
        subject = f"`{dotted(path)}`" if path else "a project file"
        raise SpecError(subject, rule=rule, given=told(given), remedy=remedy or examples(kind), where=self.tree.place(path))


_NOT = object()  # no value of this type


def _scalar(kind: inspect.Type, given: Any) -> Any:
    """`given` as this scalar type, or `_NOT`. A whole float is an integer; an integer is a float; nothing else turns into anything."""
    match kind:
        case inspect.NoneType():
            return None if given is None else _NOT
        case inspect.BoolType():
            return given if isinstance(given, bool) else _NOT
        case inspect.LiteralType():
            return next((value for value in kind.values if value == given and type(value) is type(given)), _NOT)
        case inspect.StrType():
            return given if isinstance(given, str) and _text_fits(kind, given) else _NOT
        case inspect.IntType() | inspect.FloatType():
            return _number(kind, given)
        case _:
            raise TypeError(f"a field of the type {type(kind).__name__} cannot be written in a project file")


def _text_fits(kind: inspect.StrType, text: str) -> bool:
    longest = math.inf if kind.max_length is None else kind.max_length
    return (kind.min_length or 0) <= len(text) <= longest and (kind.pattern is None or re.search(kind.pattern, text) is not None)


def _number(kind: inspect.IntType | inspect.FloatType, given: Any) -> Any:
    if isinstance(given, bool) or not isinstance(given, int | float) or (isinstance(given, float) and not math.isfinite(given)):
        return _NOT
    if isinstance(kind, inspect.IntType):
        if given != int(given):
            return _NOT
        number = int(given)
    else:
        try:
            number = float(given)
        except OverflowError:
            return _NOT
    holds = (
        (kind.ge is None or number >= kind.ge)
        and (kind.gt is None or number > kind.gt)
        and (kind.le is None or number <= kind.le)
        and (kind.lt is None or number < kind.lt)
        and (kind.multiple_of is None or number % kind.multiple_of == 0)
    )
    return number if holds else _NOT


def _fits(kind: inspect.Type, given: Any) -> bool:
    """Whether a value of this form could be of this type, limits aside."""
    match kind:
        case inspect.StructType():
            return isinstance(given, Mapping | Struct) or (isinstance(given, str) and beside(kind.cls) is not None)
        case inspect.DictType():
            return isinstance(given, Mapping)
        case inspect.ListType() | inspect.VarTupleType() | inspect.TupleType():
            return isinstance(given, list | tuple)
        case _:
            return not isinstance(given, Mapping | list | tuple | Struct)


def _takes_any_text(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_takes_any_text(plain(one)) for one in kind.types)
    return isinstance(kind, inspect.StrType) and kind.pattern is None


def _field(kind: inspect.StructType, name: str) -> inspect.Type:
    return next(field.type for field in kind.fields if field.name == name)


def _elsewhere(kind: inspect.StructType, word: str) -> str:
    """A section that has a field of this name: `target` at the top belongs to `data`."""
    for field in kind.fields:
        inner = plain(field.type)
        if isinstance(inner, inspect.StructType) and any(deeper.encode_name == word for deeper in inner.fields):
            return f"Did you mean `{field.encode_name}.{word}`?"
    return ""
