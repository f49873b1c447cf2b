"""Where the files of a bundle lie: a folder or a zip, read without leaving the one or unfolding the other."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from fermion.bundle.manifest import COPY_AGAIN
from fermion.core.errors import BundleError, Told

LARGEST_RATIO = 200  # of an entry's size to its compressed size
_SUSPECT = 10_000_000  # bytes below which a ratio does no harm
_DAMAGED = (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, zlib.error, lzma.LZMAError)


class Files(Protocol):
    """The files of a bundle by name."""

    def names(self) -> list[str]:
        """All files, manifest.json among them."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""
        ...

    def read(self, name: str, most: int) -> bytes:
        """The file, at most `most` + 1 bytes of it.

        Raises:
            BundleError: it cannot be read.
        """
        ...


class FolderFiles:
    """The files of a folder; links may point within it only."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        found = [path for path in self._root.rglob("*") if path.is_symlink() or not path.is_dir()]
        return sorted(path.relative_to(self._root).as_posix() for path in found)

    def size(self, name: str) -> int | None:
        path = self._path(name)
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, most: int) -> bytes:
        try:
            with self._path(name).open("rb") as file:
                return file.read(most + 1)
        except OSError as bad:
            given = Told(bad.strerror or str(bad))
            raise BundleError(f"the file {name}", rule="readable", given=given, remedy=COPY_AGAIN, where=str(self._root)) from None

    def _path(self, name: str) -> Path:
        path = self._root / name
        if not path.resolve().is_relative_to(self._root.resolve()):
            given = Told(f"{name}, a link that leaves the folder")
            remedy = "Put the file itself in the place of the link, if you trust it."
            raise BundleError("a file of a bundle", rule="inside it", given=given, remedy=remedy, where=str(self._root))
        return path


class ZipFiles:
    """The entries of a zip, never unpacked. Each is read as far as its declared size, so that a bomb never unfolds.

    Raises:
        BundleError: it is no whole zip, has two entries of one name, or one that is a bomb.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except _DAMAGED as bad:
            raise BundleError("a bundle", rule="a folder or a whole zip", given=Told(f"{path} ({bad})"), remedy=COPY_AGAIN) from None
        self._path, self._infos = path, dict[str, zipfile.ZipInfo]()
        for info in self._archive.infolist():
            if info.is_dir():
                continue
            if info.filename in self._infos:
                rule, remedy = "made of entries with different names", "Do not use it: programs differ in which of the two they read."
                raise BundleError("a zip", rule=rule, given=info.filename, remedy=remedy, where=str(path))
            if info.flag_bits & 1:
                given = Told(f"{info.filename}, which is encrypted")
                raise BundleError("a zip", rule="free of passwords", given=given, remedy="Unpack it and open the folder.", where=str(path))
            if info.file_size > _SUSPECT and info.file_size > LARGEST_RATIO * max(info.compress_size, 1):
                raise BundleError(
                    "an entry of a zip",
                    rule=f"at most {LARGEST_RATIO} times its compressed size",
                    given=Told(f"{info.filename}: {info.compress_size} bytes that unfold to {info.file_size}"),
                    remedy="Unpack it yourself if you trust it.",
                    where=str(path),
                )
            self._infos[info.filename] = info

    def names(self) -> list[str]:
        return sorted(self._infos)

    def size(self, name: str) -> int | None:
        info = self._infos.get(name)
        return None if info is None else info.file_size

    def read(self, name: str, most: int) -> bytes:
        try:
            with self._archive.open(self._infos[name]) as entry:
                return entry.read(most + 1)
        except _DAMAGED as bad:
            given = Told(str(bad) or type(bad).__name__)
            raise BundleError(f"the entry {name}", rule="readable", given=given, remedy=COPY_AGAIN, where=str(self._path)) from None
