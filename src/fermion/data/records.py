"""The exact reader of separated text: every record with its lines and bytes, and what is wrong with which. Slow; for files with a fault."""

from __future__ import annotations

import csv
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told


class Broken(Struct, frozen=True):
    """A record that is no row: its number (the header is 0), the bytes that it takes, and the error that says so."""

    number: int
    begin: int
    end: int
    error: DataError


class Records(Struct):
    """What the exact reader found: records that are no rows, and those that take more than one line (number, further lines)."""

    broken: list[Broken] = field(default_factory=list[Broken])
    longer: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def lines(self, numbers_K: NDArray[np.int64]) -> list[int]:
        """The lines on which these records, counted without the broken ones, begin in the file as it was."""
        gone = np.array([record.number - place for place, record in enumerate(self.broken)], dtype=np.int64)
        numbers_K = numbers_K + np.searchsorted(gone, numbers_K, side="right")
        longer = np.array(self.longer, dtype=np.int64).reshape(-1, 2)
        more = np.concatenate([[0], np.cumsum(longer[:, 1])])
        return (numbers_K + 1 + more[np.searchsorted(longer[:, 0], numbers_K)]).tolist()


class Text(Struct, frozen=True, kw_only=True):
    """A text file on the disk, without packing; `name` is what errors call it, `blank` counts the empty lines at its end."""

    path: Path
    name: str
    separator: str
    header: tuple[str, ...]
    blank: int


def examine(text: Text, *, stop: bool, hide: bool = False) -> Records:
    """What is wrong with which record, by the exact reader; with `hide` no field stands in a message.

    Raises:
        DataError: the first of them, if it is to stop.
        csv.Error: quotes that never end.
    """
    position, line = 0, 0  # bytes and lines given out so far
    spoilt: tuple[int, int] | None = None  # the first byte of the open record that is no UTF-8, and where it lies

    def decoded() -> Iterator[str]:
        nonlocal position, line, spoilt
        with text.path.open("rb") as file:
            for raw in file:
                try:
                    content = raw.decode()
                except UnicodeDecodeError as wrong:
                    content = raw.decode(errors="replace")
                    spoilt = spoilt or (raw[wrong.start], position + wrong.start)
                position += len(raw)
                line += 1
                yield content

    width, size = len(text.header), text.path.stat().st_size
    records = Records()
    begin, first = 0, 1
    for number, row in enumerate(csv.reader(decoded(), delimiter=text.separator)):
        error = None
        if spoilt is not None:
            error = encoding_error(*spoilt, text.name, line=first)
        elif width and len(row) != width and not (width == 1 and not row):
            error = DataError(
                "a row",
                rule=f"{width} fields like the header",
                given=Told(f"{len(row)} field{'s' if len(row) != 1 else ''}{'' if hide else f': {shown(text.separator.join(row))}'}"),
                remedy="Quote fields that hold the separator, or repair the line.",
                where=f"{text.name}:{first}",
            )
        if error is not None and not (not row and size - begin <= 2 * text.blank):
            if stop:
                raise error
            records.broken.append(Broken(number, begin, position, error))
        if line > first:
            records.longer.append((number, line - first))
        begin, first, spoilt = position, line + 1, None
    return records


def cut(path: Path, copy: Path, broken: list[Broken]) -> None:
    """Copy a file without its broken records."""
    with path.open("rb") as source, copy.open("wb") as target, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        start = 0
        for record in broken:
            target.write(whole[start : record.begin])
            start = record.end
        target.write(whole[start:])


def encoding_error(byte: int, offset: int, name: str, *, wide: str = "", line: int = 1) -> DataError:
    """The error for text that is not UTF-8."""
    file_name = Path(name).name
    return DataError(
        "a text file",
        rule="in UTF-8",
        given=Told(f"the byte 0x{byte:02x} at offset {offset}"),
        remedy=f"Convert it: iconv -f {wide or 'WINDOWS-1252'} -t UTF-8 {file_name} > utf8-{file_name}",
        where=name if wide else f"{name}:{line}",
    )


def shown(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= 60 else text[:57] + "..."


def first_line(failed: Exception) -> str:
    """The first line of an error of a library, at most 160 characters of it."""
    return str(failed).strip().split("\n")[0][:160]
