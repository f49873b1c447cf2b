"""Parts by name: columns, models, engines. A plugin adds its own with an entry point; nothing is imported until it is named."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from fermion.core.errors import SpecError, UsageError, did_you_mean

# What each group is called in a message.
_KINDS = {"columns": "column type", "models": "model", "engines": "engine"}


def names(group: str) -> tuple[str, ...]:
    """The known names of a group, sorted.

    >>> "number" in names("columns")
    True
    """
    return tuple(sorted(_entries(group)))


def called(group: str) -> str:
    """What a part of this group is called in a message, with its article.

    >>> called("models"), called("columns")
    ('a model', 'a column type')
    """
    word = _KINDS.get(group, group)
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"


def find(group: str, name: str, *, where: str = "") -> Any:
    """The class that is registered under `fermion.GROUP` as `name`.

    >>> find("columns", "number").__name__
    'Number'

    Raises:
        SpecError: there is none, or it cannot be imported.
    """
    entry = _entries(group).get(name)
    kind = _KINDS.get(group, group)
    if entry is None:
        known = names(group)
        raise SpecError(f"the {kind}", rule=f"one of {', '.join(known)}", given=name, remedy=did_you_mean(name, known), where=where)
    try:
        return entry.load()
    except (ImportError, AttributeError) as broken:
        package = entry.dist.name if entry.dist else "its package"
        raise SpecError(
            f"the {kind} `{name}` of {package}", rule="importable", given=str(broken), remedy=f"Repair or remove {package}.", where=where
        ) from broken


def package(group: str, name: str) -> tuple[str, str]:
    """The package that registered a name, and its version.

    >>> package("columns", "number")[0]
    'fermion'
    """
    entry = _entries(group).get(name)
    return (entry.dist.name, entry.dist.version) if entry is not None and entry.dist is not None else ("unknown", "unknown")


@functools.cache
def _entries(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"fermion.{group}"):
        if entry.name in found and found[entry.name].value != entry.value:
            raise UsageError(
                f"the name `{entry.name}` in fermion.{group}",
                rule="registered once",
                given=[found[entry.name].value, entry.value],
                remedy="Uninstall one of the two packages.",
            )
        found[entry.name] = entry
    return found
