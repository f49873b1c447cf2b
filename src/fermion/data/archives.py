"""Zip archives: one table, or a folder of pictures or sounds, unpacked where nothing can leave its folder."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from msgspec import structs

from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.data.pictures import PARTS, SUFFIXES
from fermion.data.reading import Reading, digest_of, unpack

MEMBERS = 1_000_000
RATIO = 1_100  # deflate packs at most 1,032 to 1: what claims more is a bomb of another make
BOMB = 1 << 28  # bytes from which on a ratio over TENFOLD is refused: real tables pack 3 to 30 times
DENSE = 200


def unzip(path: Path, reading: Reading) -> tuple[Path, Reading]:
    """Unpack an archive (or the member that the source names) below the reading's room; what is there, and the reading for it.

    Raises:
        DataError: it is no zip file, cut off, encrypted, too big, or holds a path outside its folder, a link or a device.
        SpecError: the named member is not in it.
    """
    name = reading.named(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _litter(entry.filename)]
            for entry in entries:
                _refuse(entry, name)
            _refuse_bomb(entries, path, name)
            member = reading.source.member
            if member is not None:
                names = [entry.filename for entry in entries]
                if member not in names:
                    raise SpecError(
                        "data.source.member",
                        rule=f"a file in {path.name}: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}",
                        given=member,
                        remedy=did_you_mean(member, names),
                        where=reading.where,
                    )
                entries = [entry for entry in entries if entry.filename == member]
            state = path.stat()
            root = reading.room() / f"zip-{digest_of(path, state.st_size, state.st_mtime_ns)}"
            for entry in entries:
                target = root.joinpath(*PurePosixPath(entry.filename).parts)
                if target.exists() and target.stat().st_size == entry.file_size:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as stream:
                    unpack(stream, target, limit=entry.file_size, name=f"{name}/{entry.filename}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as failed:
        raise DataError("a .zip file", rule="whole", given=Told(str(failed)), remedy="Copy it again.", where=name) from None
    if not entries:
        raise DataError("a .zip file", rule="made of at least one file", given=Told("an empty archive"), where=name)
    inside = _inside(reading, root, name)
    return (root.joinpath(*PurePosixPath(entries[0].filename).parts) if len(entries) == 1 else _top(root)), inside


def _inside(reading: Reading, root: Path, name: str) -> Reading:
    return structs.replace(reading, known_as=(root, name), source=structs.replace(reading.source, member=None, sha256=None))


def _litter(name: str) -> bool:
    """What macOS and hidden folders leave behind."""
    return any(piece == "__MACOSX" or (piece[:1] == "." and piece not in (".", "..")) for piece in re.split(r"[/\\]", name))


def _refuse(entry: zipfile.ZipInfo, name: str) -> None:
    plain = entry.filename.replace("\\", "/")
    pieces = PurePosixPath(plain).parts
    mode = entry.external_attr >> 16
    if plain.startswith("/") or ".." in pieces or (pieces and pieces[0].endswith(":")) or "\0" in entry.orig_filename:
        given = "a path outside its folder"
    elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        given = "a link or a device"
    elif entry.flag_bits & 1:
        given = "an encrypted file"
    else:
        return
    raise DataError(
        "a member of a .zip file",
        rule="a plain file inside its folder",
        given=Told(f"{given}: {entry.filename[:80]!r}"),
        remedy="Do not trust this archive: have it made again by its author.",
        where=name,
    )


def _refuse_bomb(entries: list[zipfile.ZipInfo], path: Path, name: str) -> None:
    total, packed = sum(entry.file_size for entry in entries), max(1, path.stat().st_size)
    if len(entries) > MEMBERS or total > RATIO * packed or (total > BOMB and total > DENSE * packed):
        raise DataError(
            "a .zip file",
            rule=f"at most {MEMBERS:,} files that are at most {DENSE} times as large as the archive",
            given=Told(f"{len(entries):,} files of {total:,} bytes in {packed:,}"),
            remedy="Unpack it yourself if you trust it, and name the folder.",
            where=name,
        )


def _top(root: Path) -> Path:
    """The folder below `root` at which there is more than one entry and not only labels: archives often have one folder for all."""
    while True:
        entries = list(root.iterdir())
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].name.lower() in PARTS or "=" in entries[0].name:
            return root
        if all(entry.is_file() for entry in entries[0].iterdir()) and any(
            entry.suffix.lower() in SUFFIXES for entry in entries[0].iterdir()
        ):
            return root  # one label
        root = entries[0]
