"""A project file before its types are known: plain values, and where each of them was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

Path = tuple[str | int, ...]


class Tree(Struct, frozen=True, kw_only=True):
    """Mappings, lists and scalars, with the place of every key and every value by path.

    A place is `file:line:column`, both counted from 1, or the argument that set the value. A tree from Python has none.

    >>> tree = Tree(value={"model": "cnn"}).put(("serve", "port"), 9000, place="argument `serve.port=9000`")
    >>> tree.value["serve"], tree.place(("serve", "port"))
    ({'port': 9000}, 'argument `serve.port=9000`')
    """

    value: Any
    keys: dict[Path, str] = field(default_factory=dict[Path, str])
    values: dict[Path, str] = field(default_factory=dict[Path, str])

    def place(self, path: Path) -> str:
        """Where the value at `path` was written, or the nearest thing around it."""
        return next((self.values[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.values), "")

    def place_of_key(self, path: Path) -> str:
        """Where the last key of `path` was written."""
        return self.keys.get(path) or self.place(path)

    def get(self, path: Path) -> Any:
        """The value at `path`, or None where there is none."""
        value = self.value
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def put(self, path: Path, value: Any, *, place: str) -> Tree:
        """The same tree with one value set. Sections that are not there, or null, are made. Nothing around it may be a list or a scalar."""
        keys, values = _outside(self.keys, path), _outside(self.values, path)
        for end in range(1, len(path) + 1):
            if end == len(path) or self.get(path[:end]) is None:
                keys[path[:end]] = values[path[:end]] = place
        return Tree(value=_with(self.value, path, value), keys=keys, values=values)

    def without(self, path: Path) -> Tree:
        """The same tree without what is at `path`, which is not empty.

        >>> Tree(value={"serve": {"port": 9000}}).without(("serve", "port")).value
        {'serve': {}}
        """
        around = self.get(path[:-1])
        if not isinstance(around, Mapping):
            return self
        left: dict[Any, Any] = {key: one for key, one in around.items() if key != path[-1]}  # pyright: ignore[reportUnknownVariableType]
        return Tree(value=_with(self.value, path[:-1], left), keys=_outside(self.keys, path), values=_outside(self.values, path))


def dotted(path: Path) -> str:
    """A path as users write it.

    >>> dotted(("model", "members", 0, "lr"))
    'model.members[0].lr'
    """
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _outside(places: Mapping[Path, str], path: Path) -> dict[Path, str]:
    return {old: where for old, where in places.items() if old[: len(path)] != path}


def _with(around: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    inner: dict[str | int, Any] = {**around} if isinstance(around, Mapping) else {}
    return {**inner, path[0]: _with(inner.get(path[0]), path[1:], value)}
