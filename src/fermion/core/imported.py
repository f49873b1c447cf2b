"""What the user wrote in Python, named `module:name` in a project file: imported from the project's folder, with errors that say where."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import os
import re
import sys
import threading
import traceback
from collections.abc import Generator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from fermion.core.errors import FermionError, SpecError, Told, did_you_mean

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_READ: dict[Path, str] = {}  # files of projects that were imported in this process, with their digests
_FOLDERS: set[Path] = set()  # where they lie
_ONE = threading.RLock()  # the import path belongs to the whole process


def load(name: str, folder: Path | None = None, *, where: str = "") -> Any:
    """The object that `module:name` means: of a module in the project's folder, or of an installed package.

    A module of the folder that was changed since it was imported is imported again. The import path is afterwards as it was, and nothing
    is written into the folder.

    Args:
        name: `my_module:Net`, `package.module:Class.method`.
        folder: the project's; the working directory for None.
        where: the place or field that is named in errors.

    >>> load("json:dumps")([1])
    '[1]'

    Raises:
        SpecError: it has another form, cannot be found, or raises while it is imported; with the file and line.
    """
    if not _NAME.fullmatch(name):
        remedy = "Write the module and the name in it: my_module:Net."
        raise SpecError("what is imported", rule="written as `module:name`", given=name, remedy=remedy, where=where)
    place = (folder or Path.cwd()).resolve()
    module, _, path = name.partition(":")
    found: Any = _module(module, place, where)
    for part in path.split("."):
        if not hasattr(found, part):
            known = [word for word in dir(found) if not word.startswith("_")]
            remedy = did_you_mean(part, known) or f"It has {', '.join(known[:8]) or 'no names'}."
            raise SpecError(f"`{name}`", rule="a name that the module has", given=Told(f"no `{part}`"), remedy=remedy, where=where)
        found = getattr(found, part)
    return found


def call(made: Any, *args: Any, name: str, where: str = "", **settings: Any) -> Any:
    """What the user's function or class gives; what it raises is told with the line that raised it.

    >>> call(int, "7", name="builtins:int")
    7

    Raises:
        SpecError: it raised, or takes other arguments.
    """
    try:
        return made(*args, **settings)
    except FermionError:
        raise
    except Exception as broken:  # what a stranger's code raises is the user's to see
        remedy = "Repair it there, or change its settings in the project file."
        raise SpecError(
            f"`{name}`", rule="called without an error", given=_said(broken), remedy=remedy, where=line_of(broken) or where
        ) from broken


def parameters(name: str, folder: Path | None = None, *, where: str = "") -> tuple[str, ...]:
    """The names of the parameters of a function of the project, read from its source: nothing is imported, nor what it imports.

    >>> parameters("no_such_module:build", Path("/"))
    ()

    Raises:
        SpecError: its module is not valid Python.
    """
    module, _, wanted = name.partition(":")
    file = _file(module, (folder or Path.cwd()).resolve())
    if file is None:
        return ()
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as bad:
        raise _unreadable(bad, module, str(file)) from bad
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == wanted:
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            return tuple(one.arg for one in every)
    return ()


def digests(section: Any, folder: Path | None) -> dict[str, str]:
    """The sha256 of every file of the project's folder that a section names: modules as `module:name`, with what they import of the folder,
    and files by their path. What a cached result depends on.

    >>> digests({"type": "sklearn", "estimator": "sklearn.svm:SVC"}, Path("/"))
    {}
    """
    place = (folder or Path.cwd()).resolve()
    files: set[Path] = set()
    for text in _texts(section):
        if _NAME.fullmatch(text):
            files |= _sources(text.partition(":")[0], place)
        elif "\n" not in text and len(text) < 1024:
            with contextlib.suppress(OSError, ValueError):
                path = (place / text).resolve()
                if path.is_file():
                    files.add(path)
    named = {str(path.relative_to(place)) if path.is_relative_to(place) else str(path): path for path in files}
    return {name: hashlib.sha256(named[name].read_bytes()).hexdigest() for name in sorted(named)}


def _module(name: str, folder: Path, where: str) -> ModuleType:
    with _ONE:
        if _file(name, folder) is None:
            return _imported(name, folder, where)
        _refuse_known(name.partition(".")[0], folder, where)
        read = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in _sources(name, folder)}
        changed = any(_READ.get(file, digest) != digest for file, digest in read.items())
        for old, module in list(sys.modules.items()):
            if _of_a_project(old, module) and (changed or not _is(old, module, folder)):
                del sys.modules[old]
        _FOLDERS.add(folder)
        _READ.update(read)
        importlib.invalidate_caches()
        with _path(folder):
            return _imported(name, folder, where)


def _of_a_project(name: str, module: ModuleType | None) -> bool:
    """Whether it was imported from the folder of a project, this one or another that was open before."""
    return any(_is(name, module, folder) for folder in _FOLDERS)


def _is(name: str, module: ModuleType | None, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if file is None or name == "__main__" or not str(file).startswith(f"{folder}{os.sep}"):  # said first: there are thousands of modules
        return False
    return _file(name, folder) == Path(file).resolve()


def _refuse_known(top: str, folder: Path, where: str) -> None:
    """A module of the project that has the name of an installed one would be taken for it, or it for the other, by who comes first."""
    spec = PathFinder.find_spec(top, [entry for entry in sys.path if Path(entry or ".").resolve() != folder])
    if top in sys.builtin_module_names or (spec is not None and spec.origin is not None):
        raise SpecError(
            f"the module `{top}` of the project",
            rule="named otherwise than what is installed",
            given=Told(f"another `{top}` on the import path"),
            remedy=f"Rename it, for example to my_{top}.",
            where=where,
        )


def _imported(name: str, folder: Path, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as bad:
        raise _unreadable(bad, name, bad.filename or where) from bad
    except ModuleNotFoundError as missing:
        lacking = missing.name or name
        if name == lacking or name.startswith(f"{lacking}."):
            known = [path.stem for path in sorted(folder.glob("*.py"))]
            remedy = did_you_mean(name, known) or f"Write {name.replace('.', '/')}.py beside the project file, or install the package."
            given = Told(f"no such module in {folder.name}/ or among the installed packages")
            raise SpecError(f"the module `{name}`", rule="there", given=given, remedy=remedy, where=where) from None
        remedy = f"Install the package that brings `{lacking}`."
        given = Told(f"an import of `{lacking}`, which is missing")
        raise SpecError(f"the module `{name}`", rule="importable", given=given, remedy=remedy, where=line_of(missing) or where) from missing
    except Exception as broken:
        remedy = "Repair that line."
        raise SpecError(
            f"the module `{name}`", rule="imported without an error", given=_said(broken), remedy=remedy, where=line_of(broken) or where
        ) from broken


def _unreadable(bad: SyntaxError, module: str, file: str) -> SpecError:
    remedy = "Repair that line; `python -m py_compile` shows it too."
    at = f"{file}:{bad.lineno}:{bad.offset}"
    return SpecError(f"the module `{module}`", rule="valid Python", given=Told(bad.msg), remedy=remedy, where=at)


@contextlib.contextmanager
def _path(folder: Path) -> Generator[None]:
    """The folder first on the import path, and no compiled files in it: they are told apart by whole seconds, which an edit may share."""
    before, wrote = list(sys.path), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = wrote
        sys.path[:] = before


def _file(module: str, folder: Path) -> Path | None:
    """The file of a module in this folder, or None where it is not there."""
    stem = folder.joinpath(*module.split("."))
    for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
        if path.is_file():
            return path.resolve()
    return None


def _sources(module: str, folder: Path) -> set[Path]:
    """The files that a module of the folder is made of: its own, its packages', and those that it imports from there."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            file = _file(".".join(parts[:end]), folder)
            if file is None or file in found:
                continue
            found.add(file)
            waiting += _imports(file, ".".join(parts[:end]))
    return found


def _imports(file: Path, name: str) -> list[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return []
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            within = ".".join(package.split(".")[: len(package.split(".")) + 1 - node.level]) if node.level else ""
            base = ".".join(part for part in (within, node.module or "") if part)
            found += [base, *(f"{base}.{alias.name}" if base else alias.name for alias in node.names)]
    return [one for one in found if one]


def _texts(section: Any) -> list[str]:
    if isinstance(section, str):
        return [section]
    if isinstance(section, Mapping):
        return [text for value in cast("Mapping[Any, Any]", section).values() for text in _texts(value)]
    if isinstance(section, Sequence) and not isinstance(section, bytes):
        return [text for value in cast("Sequence[Any]", section) for text in _texts(value)]
    return []


def line_of(broken: BaseException) -> str:
    """Where the innermost line of code outside of the libraries raised."""
    frames = [frame for frame in traceback.extract_tb(broken.__traceback__) if any(_within(frame.filename, folder) for folder in _FOLDERS)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _within(file: str, folder: Path) -> bool:
    return Path(file).is_relative_to(folder) and "site-packages" not in file


def _said(broken: BaseException) -> Told:
    lines = str(broken).strip().splitlines()
    return Told(f"{type(broken).__name__}: {lines[0][:120]}" if lines else type(broken).__name__)
