"""From an address in the project file to a table: files, globs, folders of pictures, samples."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.lazy import load
from fermion.data.formats import READERS, family
from fermion.data.samples import sample
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
PARTS = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation", "dev": "validation", "test": "test"}


def read(source: str, *, folder: Path, where: str = "") -> Table:
    """The table behind a source.

    Args:
        source: a csv, tsv, parquet, jsonl or ndjson file (csv, tsv and jsonl also as .gz); a glob of such files with the same columns;
            a folder with such files or with one sub-folder of pictures per label; or `sample://NAME?option=value`.
            `${VARIABLE}` is taken from the environment.
        folder: what relative paths are relative to: the project file's folder.
        where: the place in the project file, for errors.

    A folder of pictures gives the columns `image` (absolute paths) and `label`, and `split` when its first level is train,
    validation (or valid, val, dev) and test.

    Raises:
        SpecError: a variable that is not set, an unknown sample, option, scheme or suffix.
        DataError: a file that is missing, empty or cannot be read as what its suffix says; with the place.
    """
    load("polars", extra="train")
    source = _with_variables(source, where)
    if source.startswith("sample://"):
        return sample(source, where=where)
    scheme = re.match(r"([a-z][a-z0-9+.-]+)://", source)
    if scheme:
        raise SpecError("data.source", rule="a file, a glob, a folder or sample://NAME", given=source, where=where)
    path = (folder / Path(source).expanduser()).absolute()
    if path.is_dir():
        return _folder(path, where)
    if path.exists():
        return Table(_file(path, where))
    if any(sign in source for sign in "*?["):
        return Table(_files(_matching(path), source, where))
    raise _missing(path, source, where)


def stamp(source: str, *, folder: Path, where: str = "") -> list[tuple[str, int, int]]:
    """What tells, without reading a source, that it is as it was: each file's path, size (bytes) and time of change (ns).

    A source that cannot change, such as a sample, is its own stamp. What is not there has an empty one; `read` says so.
    """
    source = _with_variables(source, where)
    if "://" in source:
        return [(source, 0, 0)]
    path = (folder / Path(source).expanduser()).absolute()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and _visible(file, path))
    else:
        files = [path] if path.is_file() else _matching(path) if any(sign in source for sign in "*?[") else []
    return [(str(file), (state := file.stat()).st_size, state.st_mtime_ns) for file in files]


def _with_variables(source: str, where: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if not os.environ.get(name):
            raise SpecError(
                "data.source",
                rule="made of variables that are set in the environment",
                given=Told(f"${{{name}}}, which is not"),
                remedy=f"Set it first: export {name}=/path/to/data",
                where=where,
            )
        return os.environ[name]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, source)


def _file(path: Path, where: str) -> pl.DataFrame:
    kind = family(path)
    if kind is None:
        raise SpecError(
            "data.source",
            rule=f"a file that ends in {', '.join(READERS)} (.gz for text)",
            given=path.name,
            remedy="Rename it if it is one of these, or convert it.",
            where=where,
        )
    try:
        frame = READERS[kind](path)
    except OSError as failed:
        raise DataError(
            f"data.source {path}", rule="a readable file", given=Told(failed.strerror or type(failed).__name__), where=where
        ) from None
    if not frame.height or not frame.width:
        raise DataError(
            "data.source",
            rule="a table with at least one row",
            given=Told(f"{frame.height} rows and {frame.width} columns"),
            remedy="Check the step that writes this file.",
            where=str(path),
        )
    return frame


def _matching(pattern: Path) -> list[Path]:
    """The files that a glob matches, sorted: `**` reaches through folders."""
    fixed = next(place for place, piece in enumerate(pattern.parts) if any(sign in piece for sign in "*?["))
    root = Path(*pattern.parts[:fixed])
    return sorted(path for path in root.glob("/".join(pattern.parts[fixed:])) if path.is_file() and not path.name.startswith("."))


def _files(paths: list[Path], source: str, where: str) -> pl.DataFrame:
    import polars as pl

    if not paths:
        raise DataError(
            "data.source", rule="a glob that matches files", given=source, remedy="Quote it, and check the folder.", where=where
        )
    frames = [_file(path, where) for path in paths]
    first = frames[0]
    for path, frame in zip(paths, frames, strict=True):
        if set(frame.columns) != set(first.columns):
            more, less = sorted(set(frame.columns) - set(first.columns)), sorted(set(first.columns) - set(frame.columns))
            told = "; ".join(f"{word} {', '.join(names[:5])}" for word, names in (("also", more), ("without", less)) if names)
            raise DataError(
                "files of one source",
                rule=f"made of the columns of {paths[0].name}",
                given=Told(told),
                remedy="Name files of one kind only.",
                where=str(path),
            )
    alike = [frame.select(_untyped_where_empty(frame, name) for name in first.columns) for frame in frames]
    for name in first.columns:
        kinds = {path: frame.schema[name] for path, frame in zip(paths, alike, strict=True) if frame.schema[name] != pl.Null}
        sorts = {path: "number" if kind.is_numeric() else "time" if kind.is_temporal() else str(kind) for path, kind in kinds.items()}
        if len(set(sorts.values())) > 1:
            one = next(iter(kinds))
            other = next(path for path, sort in sorts.items() if sort != sorts[one])
            raise DataError(
                f"column `{name}`",
                rule=f"of one type in all files ({kinds[one]} in {one.name})",
                given=Told(str(kinds[other])),
                remedy="Convert it, or look for a stray text in the column.",
                where=str(other),
            )
    return pl.concat(alike, how="vertical_relaxed")


def _untyped_where_empty(frame: pl.DataFrame, name: str) -> pl.Series:
    """An empty csv column is read as text, whatever it is in the other files."""
    import polars as pl

    series = frame[name]
    return pl.Series(name, [None] * len(series), dtype=pl.Null) if series.null_count() == len(series) else series


def _folder(path: Path, where: str) -> Table:
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    tables = [file for file in files if family(file)]
    pictures = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES and _visible(file, path))
    if tables and pictures:
        raise DataError(
            "data.source",
            rule="a folder of tables or a folder of pictures",
            given=Told(f"both, such as {tables[0].name} and {pictures[0].relative_to(path)}"),
            remedy="Name the file itself, or move the pictures to a folder of their own.",
            where=where,
        )
    if tables:
        return Table(_files(tables, str(path), where))
    if not pictures:
        endings = ", ".join((*READERS, *PICTURES))
        raise DataError("data.source", rule=f"a folder with files that end in {endings}", given=str(path), where=where)
    return _pictures(path, pictures, where)


def _visible(file: Path, root: Path) -> bool:
    return not any(piece.startswith(".") for piece in file.relative_to(root).parts)


def _pictures(root: Path, files: list[Path], where: str) -> Table:
    """`image`, `label` and, where the first level names parts and the second labels, `split`."""
    pieces = [file.relative_to(root).parts for file in files]
    split = all(len(piece) > 2 and piece[0].lower() in PARTS for piece in pieces)
    depth = 1 if split else 0
    bare = next((file for file, piece in zip(files, pieces, strict=True) if len(piece) < 2), None)
    if bare is not None:
        raise DataError(
            "data.source",
            rule="a folder with one sub-folder of pictures per label",
            given=Told(f"{bare.name} beside the sub-folders"),
            remedy="Move each picture into a folder named like its label, such as cat/1.png.",
            where=where or str(root),
        )
    columns = {"image": [str(file) for file in files], "label": [piece[depth] for piece in pieces]}
    if split:
        columns["split"] = [PARTS[piece[0].lower()] for piece in pieces]
    return Table(Table.of(columns).frame, paths=["image"])


def _missing(path: Path, source: str, where: str) -> DataError:
    parent = path.parent
    while not parent.is_dir():
        path, parent = parent, parent.parent
    beside = sorted(entry.name for entry in parent.iterdir())
    remedy = did_you_mean(path.name, beside) or f"There is no `{path.name}` in {parent}."
    return DataError("data.source", rule="a file or folder that exists", given=source, remedy=remedy, where=where)
