"""Folders of pictures or of sounds, and tables whose text names them. Every file is looked at before it is a row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fermion.columns import audio
from fermion.core.errors import DataError, SpecError, Told
from fermion.core.lazy import load
from fermion.data.reading import Reading
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
SUFFIXES = (*PICTURES, *audio.SUFFIXES)
PARTS = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation", "dev": "validation", "test": "test"}
END = 64  # bytes at the end of a file in which its end mark lies


def pictures_in(root: Path) -> list[Path]:
    """All pictures and sounds below a folder, sorted; hidden files and folders are left out."""
    found = (file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)
    return sorted(file for file in found if not any(piece.startswith(".") for piece in file.relative_to(root).parts))


def is_sound_name(name: str) -> bool:
    """Whether a file is called like a sound.

    >>> is_sound_name("a/7.WAV"), is_sound_name("a/7.png")
    (True, False)
    """
    return name.lower().endswith(audio.SUFFIXES)


def of_folder(root: Path, files: list[Path], reading: Reading) -> Table:
    """`image` or `audio` with the files, and what their places say: `label` and, where the first level names parts and the second labels,
    `split`; or the columns of the source's pattern `names`.

    Raises:
        DataError: pictures among sounds, a file beside the sub-folders or with a name that does not fit, or one that cannot be read; the
            last is set aside where the source says so.
    """
    sounds = [is_sound_name(file.name) for file in files]
    kind = "audio" if sounds[0] else "image"
    if any(sounds) and not all(sounds):
        odd = files[sounds.index(not sounds[0])]
        given = Told(f"{files[0].name} and {odd.name}")
        raise DataError(
            "data.source", rule="a folder of pictures or one of sounds", given=given, where=reading.where or reading.named(root)
        )
    told = by_names(root, files, reading) if reading.source.names else _by_folder(root, files, reading)
    good = [number for number, file in enumerate(files) if _readable(file, reading, reading.named(file))]
    if not good:
        rule = f"a folder with a {'sound' if sounds[0] else 'picture'} that can be read"
        raise DataError("data.source", rule=rule, given=reading.named(root), where=reading.where)
    columns = {kind: [str(files[number]) for number in good]} | {name: [values[number] for number in good] for name, values in told.items()}
    return Table(Table.of(columns).frame, paths=[kind])


def _by_folder(root: Path, files: list[Path], reading: Reading) -> dict[str, list[str]]:
    pieces = [file.relative_to(root).parts for file in files]
    split = all(len(piece) > 2 and piece[0].lower() in PARTS for piece in pieces)
    bare = next((file for file, piece in zip(files, pieces, strict=True) if len(piece) < 2), None)
    if bare is not None:
        what = "sound" if is_sound_name(bare.name) else "picture"
        raise DataError(
            "data.source",
            rule=f"a folder with one sub-folder of {what}s per label",
            given=Told(f"{bare.name} beside the sub-folders"),
            remedy=f"Move each {what} into a folder named like its label, such as cat/1{bare.suffix}; or say what the names mean, as in "
            '`source: {at: ..., names: "{label}_{speaker}_{number}"}`.',
            where=reading.where or reading.named(root),
        )
    labels = {"label": [piece[1 if split else 0] for piece in pieces]}
    return labels | ({"split": [PARTS[piece[0].lower()] for piece in pieces]} if split else {})


def by_names(root: Path, files: list[Path], reading: Reading) -> dict[str, list[str]]:
    """What file names say by the pattern of the source: `{label}_{speaker}_{number}` gives three columns of texts."""
    pattern = reading.source.names or ""
    pieces = re.split(r"\{([A-Za-z_]\w*)\}", pattern)
    names = pieces[1::2]
    if not names or len(set(names)) < len(names) or {"image", "audio"} & set(names):
        raise SpecError(
            "data.source.names",
            rule="a pattern with different names in braces, none of them `image` or `audio`",
            given=pattern,
            remedy="For 7_anna_12.wav write {digit}_{speaker}_{number}.",
            where=reading.where,
        )
    form = re.compile("".join(f"(?P<{piece}>[^/]+?)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)))
    told: dict[str, list[str]] = {name: [] for name in names}
    for file in files:
        called = file.relative_to(root).with_suffix("").as_posix() if "/" in pattern else file.stem
        found = form.fullmatch(called)
        if found is None:
            rule = f"called as data.source.names says, {pattern}"
            raise DataError(
                "a file", rule=rule, given=Told(called), remedy="Change the pattern, or move what does not fit.", where=reading.named(file)
            )
        for name in names:
            told[name].append(found[name])
    return told


def column_of_paths(frame: pl.DataFrame, folder: Path) -> str | None:
    """The first column whose texts are all names of pictures or sounds, and whose first one is there, relative to `folder`."""
    import polars as pl

    for name, kind in frame.schema.items():
        if kind == pl.String:
            head = [text for text in frame[name].head(100) if text]
            if head and all(Path(text).suffix.lower() in SUFFIXES for text in head) and any((folder / text).is_file() for text in head):
                return name
    return None


def of_table(frame: pl.DataFrame, name: str, folder: Path, reading: Reading, file: str) -> Table:
    """The table with absolute paths in the column `name`.

    Raises:
        DataError: a picture that is not there or cannot be read, or lies outside the folder of an archive; such rows are set aside
            where the source says so.
    """
    import numpy as np
    import polars as pl

    paths: list[str | None] = []
    good = np.ones(frame.height, dtype=np.bool_)
    for row, text in enumerate(frame[name]):
        path = None if text is None else folder / text
        paths.append(None if path is None else str(path))
        if path is None:
            continue
        inside = reading.known_as is None or path.resolve().is_relative_to(reading.known_as[0].resolve())
        good[row] = (
            _readable(path, reading, f"{file}, row {row}: {text}") if inside else _refused(str(text), "outside its archive", reading, file)
        )
    table = Table(frame.with_columns(pl.Series(name, paths, dtype=pl.String)), paths=[name])
    return table if good.all() else table.take(good)


def _readable(path: Path, reading: Reading, name: str) -> bool:
    why = unreadable(path)
    return not why or _refused(path.name, why, reading, name)


def _refused(given: str, why: str, reading: Reading, where: str) -> bool:
    error = DataError(
        "a sound" if is_sound_name(given.partition(": ")[0]) else "a picture",
        rule="a file that can be read as what its first bytes say",
        given=Told(f"{given}: {why}"),
        remedy="Mend or remove it, or set such files aside: `source: {at: ..., unreadable: aside}`.",
        where=where,
    )
    if not reading.tolerant:
        raise error
    reading.put_aside(where, error.message)
    return False


def unreadable(path: Path) -> str:
    """Why a picture or a sound cannot be read, or "".

    A whole file begins and ends as its format says: that takes two reads. Only a file that does not is decoded to be sure.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
            size = file.seek(0, 2)
            file.seek(max(0, size - END))
            tail = file.read()
    except OSError as failed:
        return failed.strerror or type(failed).__name__
    if not head:
        return "an empty file"
    if is_sound_name(path.name):
        return "" if audio.is_sound(head) and not audio.is_cut_off(head, size) else _heard(path, head, size)
    return "" if _whole(head, tail, size) else _decoded(path)


def _heard(path: Path, head: bytes, size: int) -> str:
    if audio.is_cut_off(head, size):
        return "cut off"
    sounds: Any = load("soundfile", extra="media")
    try:
        with sounds.SoundFile(str(path)):
            return ""
    except (OSError, RuntimeError) as failed:
        return " ".join(str(failed).replace(str(path), path.name).split())[:120] or type(failed).__name__


def _whole(head: bytes, tail: bytes, size: int) -> bool:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return head[12:16] == b"IHDR" and head[16:20] > b"\0\0\0\0" and head[20:24] > b"\0\0\0\0" and b"IEND\xaeB`\x82" in tail
    if head.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" in tail
    if head.startswith((b"GIF87a", b"GIF89a")):
        return tail.rstrip(b"\0").endswith(b";")
    if head.startswith(b"BM"):
        return int.from_bytes(head[2:6], "little") <= size
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP" and int.from_bytes(head[4:8], "little") + 8 <= size


def _decoded(path: Path) -> str:
    image: Any = load("PIL.Image", extra="media")
    try:
        with image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, image.DecompressionBombError) as failed:
        return " ".join(str(failed).replace(str(path), path.name).split())[:120] or type(failed).__name__
    return ""
