"""Optional packages, imported where they are needed, with the remedy when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from fermion.core.errors import MissingExtra, Told


def load(module: str, *, extra: str) -> Any:
    """The module, or the command that installs it.

    >>> load("json", extra="train").loads("[1]")
    [1]

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and module.split(".")[0] != missing.name.split(".")[0]:
            raise  # the package is there and is itself broken
        raise MissingExtra(
            f"the package `{module.split('.')[0]}`",
            rule="installed for this step",
            given=Told("no such package"),
            remedy=f"Run: pip install 'fermion[{extra}]'",
        ) from None
