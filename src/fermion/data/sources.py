"""From an address in the project file to a table."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from fermion.core.declared import Source
from fermion.core.errors import DataError, FermionError, SpecError, Told, did_you_mean
from fermion.core.lazy import load
from fermion.data import archives, databases, hosts, hub, objects, pictures, web
from fermion.data.addresses import public, with_variables
from fermion.data.formats import READERS, family
from fermion.data.parts import Part, joined, partitions
from fermion.data.queries import answered
from fermion.data.reading import Aside, Reading
from fermion.data.samples import sample
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Aside", "public", "read", "stamp"]

ADDRESSES = ("sample", "https", "s3", "postgresql", "mysql", "sqlite", "kaggle", "openml")


def read(
    source: str | Source,
    *,
    folder: Path,
    where: str = "",
    aside: list[Aside] | None = None,
    scratch: Path | None = None,
    note: Callable[[str], None] | None = None,
    raw: Collection[str] = (),
    private: Collection[str] = (),
) -> Table:
    """The table behind a source.

    Args:
        source: an address, or a section with one and more. It leads to

            - a csv, tsv, jsonl, ndjson (also as .gz), parquet, arrow, feather, xlsx or npz file, a .zip with such files, pictures or sounds
            - a glob of such files, or a folder with them, also below folders such as `year=2020`, which become columns, as do parts of
              file names that `names` says the meaning of
            - a folder with one sub-folder of pictures or sounds per label, or with `names` that say what their names mean; or a table
              with a column of their paths relative to it
            - a folder that Hugging Face `datasets` wrote with save_to_disk
            - `postgresql://`, `mysql://` or `sqlite:///file`, with a `query`; `s3://bucket/key`, a prefix or a glob;
              `https://`; `kaggle://owner/dataset[/file]`; `openml://number`; `sample://NAME?option=value`

            `${VARIABLE}` is taken from the environment.
        folder: what relative paths are relative to: the project file's folder.
        where: the place in the project file, for errors.
        aside: where `unreadable: aside` of the source puts what cannot be read, each with its place and reason.
        scratch: the folder for what is fetched, unpacked or mapped, kept from run to run; else a temporary one, gone with the process.
        note: takes notes to the user; they are warnings where it is left out.
        raw: columns that are read as text, where a file of text has them: what a repair reads, or a service.
        private: columns whose values stand in no message.

    What is read of a file may go through a `query` of its own, in SQL over the table `rows`.

    A folder of pictures or sounds gives the columns `image` or `audio` (absolute paths) and `label`, and `split` when its first level
    is train, validation (or valid, val, dev) and test.

    Raises:
        SpecError: a variable that is not set, an unknown sample, option, scheme or suffix.
        DataError: a source that is missing, empty or cannot be read as what it says it is; with the place.
        MissingExtra: a format or address needs a package that is not installed.
    """
    load("polars", extra="train")
    section = Source(at=source) if isinstance(source, str) else source
    if not section.at.strip():
        raise SpecError("data.source", rule="an address", given=section.at, remedy="Name a file, a folder or sample://NAME.", where=where)
    reading = Reading(
        source=section,
        folder=folder,
        where=where,
        scratch=scratch,
        asides=[] if aside is None else aside,
        note=note,
        raw=frozenset(raw),
        private=frozenset(private),
    )
    at = with_variables(section.at, where)
    table = _read(at, reading)
    return answered(table, section.query, where) if section.query and _scheme(at) not in databases.SCHEMES else table


def _read(at: str, reading: Reading) -> Table:
    scheme = _scheme(at)
    if scheme == "sample":
        return sample(at, where=reading.where)
    if scheme in databases.SCHEMES:
        return _filled(databases.read_database(at, reading), public(at))
    if scheme == "s3":
        found = objects.listed(at, reading.where)
        if objects.native(found) and not reading.source.sha256:
            return _filled(joined(objects.scans(found, at, reading), reading), at)
        return _local(*objects.fetched(found, at, reading))
    if scheme in ("http", "https"):
        return _local(*web.download(at, reading))
    if scheme == "kaggle":
        return _local(*hosts.kaggle(at, reading))
    if scheme == "openml":
        return hosts.openml(at, reading)
    if scheme:
        raise SpecError(
            "data.source",
            rule=f"a file, a glob, a folder, or an address: {', '.join(f'{name}://' for name in ADDRESSES)}",
            given=public(at),
            remedy=did_you_mean(scheme, ADDRESSES),
            where=reading.where,
        )
    path = (reading.folder / Path(at).expanduser()).absolute()
    if path.exists():
        return _local(path, reading)
    if _is_glob(at):
        return Table(_files(_matching(path), _fixed(path), at, reading))
    raise _missing(path, at, reading.where)


def stamp(source: str | Source, *, folder: Path, where: str = "") -> list[tuple[str, int, int]]:
    """What tells, without reading a source, that it is as it was: each file's or object's name, size (bytes) and time of change.

    A source that cannot change, such as a sample or a file that is pinned by its sha256, is its own stamp; a database is never as it
    was. What is not there has an empty one; `read` says so.
    """
    section = Source(at=source) if isinstance(source, str) else source
    at = with_variables(section.at, where)
    scheme = _scheme(at)
    if scheme in databases.SCHEMES:
        return [(f"{public(at)} {section.query}", 0, time.time_ns())]
    if scheme == "s3":
        try:
            return [(thing.key, thing.size, thing.changed) for thing in objects.listed(at, where)]
        except FermionError:
            return []
    if scheme in ("http", "https") and section.sha256 is None:
        try:
            size, version = web.tag_of(at)
        except OSError:
            return []
        return [(f"{public(at)} {version}", size, 0 if version else time.time_ns())]
    if scheme:
        return [(public(at), 0, 0)]
    path = (folder / Path(at).expanduser()).absolute()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and _visible(file, path))
    else:
        files = [path] if path.is_file() else _matching(path) if _is_glob(at) else []
    return [(str(file), (state := file.stat()).st_size, state.st_mtime_ns) for file in files]


def _scheme(at: str) -> str:
    found = re.match(r"([a-z][a-z0-9.-]+)(?:\+[a-z0-9]+)?://", at)
    return found[1] if found else ""


def _is_glob(at: str) -> bool:
    return any(sign in at for sign in "*?[")


def _local(path: Path, reading: Reading) -> Table:
    """What lies on this machine's disk: a folder, an archive, a file."""
    if path.is_dir():
        return _folder(path, reading)
    if path.suffix.lower() == ".zip":
        _refuse_other(path, reading)
        return _local(*archives.unzip(path, reading))
    frame = _file(path, reading)
    column = pictures.column_of_paths(frame, path.parent)
    return Table(frame) if column is None else pictures.of_table(frame, column, path.parent, reading, reading.named(path))


def _refuse_other(path: Path, reading: Reading) -> None:
    pinned = reading.source.sha256
    if pinned and (digest := web.sha256_of(path)) != pinned:
        raise web.wrong_digest(pinned, digest, reading.named(path))


def _file(path: Path, reading: Reading) -> pl.DataFrame:
    kind = family(path)
    if kind is None:
        raise SpecError(
            "data.source",
            rule=f"a file that ends in {', '.join(READERS)} (.gz for text) or .zip",
            given=path.name,
            remedy="Rename it if it is one of these, or convert it.",
            where=reading.where,
        )
    try:
        _refuse_other(path, reading)
        frame = READERS[kind](path, reading)
    except OSError as failed:
        raise DataError(
            f"data.source {reading.named(path)}",
            rule="a readable file",
            given=Told(failed.strerror or type(failed).__name__),
            where=reading.where,
        ) from None
    return _filled(frame, reading.named(path)).frame


def _filled(frame: pl.DataFrame, name: str) -> Table:
    if not frame.height or not frame.width:
        raise DataError(
            "data.source",
            rule="a table with at least one row",
            given=Told(f"{frame.height} rows and {frame.width} columns"),
            remedy="Check the step that writes this file." if "://" not in name else "Check the query, or the step that writes it.",
            where=name,
        )
    return Table(frame)


def _fixed(pattern: Path) -> Path:
    """The folder below which a glob looks."""
    return Path(*pattern.parts[: next(place for place, piece in enumerate(pattern.parts) if _is_glob(piece))])


def _matching(pattern: Path) -> list[Path]:
    """The files that a glob matches, sorted: `**` reaches through folders. What DVC keeps beside its files is no data."""
    root = _fixed(pattern)
    found = sorted(path for path in root.glob("/".join(pattern.parts[len(root.parts) :])) if path.is_file() and _visible(path, root))
    _refuse_absent([*found, *root.glob("/".join(pattern.parts[len(root.parts) :]) + ".dvc")])
    return [path for path in found if path.suffix != ".dvc"]


def _refuse_absent(paths: list[Path]) -> None:
    absent = next((path for path in paths if path.suffix == ".dvc" and not path.with_suffix("").exists()), None)
    if absent is not None:
        raise _not_pulled(absent.with_suffix(""), str(absent))


def _not_pulled(path: Path, where: str) -> DataError:
    return DataError(
        "data.source",
        rule="on this machine's disk",
        given=Told(f"{path.name}, of which only {path.name}.dvc is here"),
        remedy=f"DVC keeps its content elsewhere: dvc pull {path.name}.dvc",
        where=where,
    )


def _files(paths: list[Path], root: Path, at: str, reading: Reading) -> pl.DataFrame:
    if not paths:
        raise DataError(
            "data.source", rule="a glob that matches files", given=at, remedy="Quote it, and check the folder.", where=reading.where
        )
    if reading.source.sha256 and len(paths) > 1:
        given = Told(f"{len(paths)} files")
        raise SpecError("data.source.sha256", rule="about one file", given=given, remedy="Leave it out.", where=reading.where)
    columns = partitions(path.relative_to(root).parts for path in paths)
    if reading.source.names:
        told = pictures.by_names(root, paths, reading)
        columns = [partition | {name: values[place] for name, values in told.items()} for place, partition in enumerate(columns)]
    parts: list[Part] = []
    for path, partition in zip(paths, columns, strict=True):
        below = structs.replace(reading, partition=partition)
        parts.append(Part(reading.named(path), lambda path=path, below=below: _file(path, below)))
    return parts[0].read() if len(parts) == 1 else joined(parts, reading)


def _folder(path: Path, reading: Reading) -> Table:
    if hub.is_saved(path):
        return _filled(hub.read_saved(path, reading), reading.named(path))
    beside = sorted(file for file in path.rglob("*") if file.is_file() and _visible(file, path))
    _refuse_absent(beside)
    tables = [file for file in beside if family(file) and all("=" in piece for piece in file.relative_to(path).parts[:-1])]
    found = pictures.pictures_in(path)
    if len(tables) == 1 and found:
        frame = _file(tables[0], reading)
        column = pictures.column_of_paths(frame, tables[0].parent)
        if column is not None:
            return pictures.of_table(frame, column, tables[0].parent, reading, reading.named(tables[0]))
    if tables and found:
        raise DataError(
            "data.source",
            rule="a folder of tables or a folder of pictures or sounds",
            given=Told(f"both, such as {tables[0].name} and {found[0].relative_to(path)}"),
            remedy="Name the file itself, or move the others to a folder of their own.",
            where=reading.where,
        )
    if tables:
        return Table(_files(tables, path, str(path), reading))
    if not found:
        raise DataError(
            "data.source",
            rule=f"a folder with files that end in {', '.join((*READERS, *pictures.SUFFIXES))}",
            given=reading.named(path),
            remedy="Files may lie in it, or below folders such as year=2020; for others write a glob: folder/**/*.csv.",
            where=reading.where,
        )
    return pictures.of_folder(path, found, reading)


def _visible(file: Path, root: Path) -> bool:
    return not any(piece.startswith(".") for piece in file.relative_to(root).parts)


def _missing(path: Path, at: str, where: str) -> DataError:
    if path.with_name(f"{path.name}.dvc").is_file():
        return _not_pulled(path, where)
    parent = path.parent
    while not parent.is_dir():
        path, parent = parent, parent.parent
        if path.with_name(f"{path.name}.dvc").is_file():
            return _not_pulled(path, where)
    beside = sorted(entry.name for entry in parent.iterdir())
    remedy = did_you_mean(path.name, beside) or f"There is no `{path.name}` in {parent}."
    return DataError("data.source", rule="a file or folder that exists", given=at, remedy=remedy, where=where)
