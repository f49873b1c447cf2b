"""YAML as the project file uses it: the core schema of YAML 1.2, one document, every value with its place.

PyYAML reads YAML 1.1, where `NO` is false, `10:30` is 630, `012` is ten and `3e-4` is text. The resolvers here are those of YAML 1.2.2,
chapter 10.3 (https://yaml.org/spec/1.2.2/#103-core-schema), over PyYAML's scanner, parser and composer. Nothing is ever constructed but
text, numbers, truth values, null, lists and mappings, so a file cannot run code.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.emitter import Emitter
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.representer import SafeRepresenter
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner
from yaml.serializer import Serializer

from fermion.core.characters import has_half
from fermion.core.errors import SpecError, Told, shortened
from fermion.core.tree import Path, Tree

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000  # after aliases are followed: ten lines of aliases can stand for a billion values
DEEPEST = 64

_PREFIX = "tag:yaml.org,2002:"
_NULL, _BOOL, _INT, _FLOAT = (
    re.compile(r"null|Null|NULL|~|"),
    re.compile(r"true|True|TRUE|false|False|FALSE"),
    re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
)
_CORE = {_PREFIX + "null": _NULL, _PREFIX + "bool": _BOOL, _PREFIX + "int": _INT, _PREFIX + "float": _FLOAT}


class _Resolver(BaseResolver):
    """What a plain scalar is; int stands before float, which would match it too."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode and implicit[0]:
            return next((tag for tag, pattern in _CORE.items() if pattern.fullmatch(value)), _PREFIX + "str")
        return _PREFIX + ("str" if kind is ScalarNode else "seq" if kind is SequenceNode else "map")


class _Composer(Reader, Scanner, Parser, Composer, _Resolver):
    """Text -> nodes with their marks, down to a depth at which Python's own stack is safe."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)
        self.depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ComposerError(problem=f"more than {DEEPEST} levels of nesting", problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(Emitter, Serializer, SafeRepresenter, _Resolver):
    """Plain values -> text that the composer above reads back as the same values."""

    def __init__(self, stream: Any, *, sort_keys: bool, width: int, allow_unicode: bool, **_: Any) -> None:
        Emitter.__init__(self, stream, width=width, allow_unicode=allow_unicode)
        Serializer.__init__(self)
        SafeRepresenter.__init__(self, default_flow_style=False, sort_keys=sort_keys)
        _Resolver.__init__(self)

    def ignore_aliases(self, data: Any) -> bool:
        return True  # equal values of one file need no anchors


def parse(data: str | bytes, *, file: str) -> Tree:
    """One YAML document as plain values with their places; an empty one has the value None and no place.

    >>> parse("lr: 3e-4\\ncountry: NO", file="a.yaml").value
    {'lr': 0.0003, 'country': 'NO'}

    Raises:
        SpecError: not UTF-8, too large, not YAML, a key twice, a key that is no text, a tag beyond the core schema, or aliases without end.
    """
    if len(data) > MOST_BYTES:
        rule, given = f"at most {MOST_BYTES:,} bytes", Told(f"{len(data):,}")
        raise SpecError("a project file", rule=rule, given=given, remedy="Keep data in files of their own.", where=file)
    text = data if isinstance(data, str) else _decoded(data, file)
    try:
        node = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise _malformed(bad.problem or str(bad), context=bad.context or "", where=where) from None
    except ReaderError as bad:
        given = Told(f"the character U+{int(bad.character):04X}")
        raise SpecError("a project file", rule="printable text", given=given, where=_place(file, text, bad.position)) from None
    except (ValueError, OverflowError) as bad:  # PyYAML's own reading of escapes and versions
        raise _malformed(str(bad), context="", where=file) from None
    if node is None:
        return Tree(value=None)
    builder = _Builder(file)
    return Tree(value=builder.build(node, (), ()), keys=builder.keys, values=builder.values)


def dump(value: Any) -> str:
    """Plain values as YAML that `parse` reads back as the same values.

    >>> print(dump({"lr": 0.0003, "country": "NO", "text": "3e-4"}), end="")
    lr: 0.0003
    country: NO
    text: '3e-4'
    """
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True))  # type: ignore[arg-type]


class _Builder:
    """Nodes -> plain values, noting places."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Path, str] = {}
        self.values: dict[Path, str] = {}

    def build(self, node: Node, path: Path, around: tuple[Node, ...]) -> Any:
        place = self._place(node)
        if node in around:
            raise SpecError("an alias", rule="for something that ends before it", given=Told("one inside of it"), where=place)
        if len(self.values) >= MOST_VALUES or len(around) >= DEEPEST:
            rule = f"for at most {MOST_VALUES:,} values and {DEEPEST} levels in all"
            raise SpecError("the aliases of a file", rule=rule, given=Told("more"), remedy="Write the values out.", where=place)
        self.values[path] = place
        inside = (*around, node)
        if isinstance(node, MappingNode):
            self._tagged(node, "map", place)
            return {key: self.build(inner, (*path, key), inside) for key, inner in self._entries(node, path)}
        if isinstance(node, SequenceNode):
            self._tagged(node, "seq", place)
            return [self.build(inner, (*path, position), inside) for position, inner in enumerate(node.value)]
        return _scalar(node, place)

    def _entries(self, node: MappingNode, path: Path) -> list[tuple[str, Node]]:
        entries: dict[str, Node] = {}
        for key_node, inner in node.value:
            place = self._place(key_node)
            key = _scalar(key_node, place) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                given = Told(f"`{key_node.value}`" if isinstance(key_node, ScalarNode) else "a collection")
                raise SpecError("a key", rule="text", given=given, remedy="Put it in quotes.", where=place)
            if key in entries:
                first = self.keys[(*path, key)].removeprefix(self.file + ":").partition(":")[0]
                remedy = "Keep one of the two."
                raise SpecError("a key", rule="there once", given=Told(f"`{key}` again, after line {first}"), remedy=remedy, where=place)
            entries[key] = inner
            self.keys[(*path, key)] = place
        return list(entries.items())

    def _tagged(self, node: Node, kind: str, place: str) -> None:
        if node.tag != _PREFIX + kind:
            raise _tag_refused(node, place)

    def _place(self, node: Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _scalar(node: Node, place: str) -> Any:
    text: str = node.value
    if node.tag == _PREFIX + "str":
        if has_half(text):
            raise SpecError("text", rule="Unicode", given=Told("half of a surrogate pair"), where=place)
        return text
    pattern = _CORE.get(node.tag)
    if pattern is None or not pattern.fullmatch(text):
        raise _tag_refused(node, place)
    if pattern is _NULL:
        return None
    if pattern is _BOOL:
        return text[0] in "tT"
    if pattern is _INT:
        if len(text) > 400:
            raise SpecError("a number", rule="at most 400 digits long", given=Told(f"{len(text)}"), where=place)
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text.replace(".", "", 1) if text[-1] in "fFnN" else text)


def _tag_refused(node: Node, place: str) -> SpecError:
    rule = "as YAML's core schema has it: str, int, float, bool, null, seq or map, around such a value"
    return SpecError(
        "a tag", rule=rule, given=Told(node.tag.replace(_PREFIX, "!!")), remedy="Put text that starts with `!` in quotes.", where=place
    )


def _decoded(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        before = data[: bad.start].decode("utf-8-sig", errors="replace")
        remedy = "Save the file as UTF-8."
        where = _place(file, before, len(before))
        raise SpecError(
            "a project file", rule="UTF-8", given=Told(f"the byte 0x{data[bad.start]:02x}"), remedy=remedy, where=where
        ) from None


def _place(file: str, text: str, position: int) -> str:
    before = text[:position]
    return f"{file}:{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"


def _malformed(problem: str, *, context: str, where: str) -> SpecError:
    remedy = next((hint for sign, hint in _HINTS.items() if sign in f"{problem} {context}"), "")
    return SpecError("a project file", rule="YAML", given=Told(f"a mistake: {shortened(Told(problem))}"), remedy=remedy, where=where)


_HINTS = {
    r"'\t'": "Indent with spaces, not tabs.",
    "alias": "Put text that starts with `*` in quotes.",
    "anchor": "Put text that starts with `&` in quotes.",
    "mapping values are not allowed": "Put text with `: ` in quotes, and indent the fields of a section alike.",
    "expected ':'": "Write `key: value`, with a space after the colon.",
    "<block end>": "Indent the fields of a section alike.",
    "that cannot start any token": "Put text that starts with such a character in quotes.",
    "expected a single document": "Keep one document: leave out `---`.",
}
