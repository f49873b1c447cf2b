"""One reading of a source: what was asked for, what is set aside, and whether rows are held in memory or mapped from a file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from fermion.core.declared import Source
from fermion.core.errors import DataError, Told
from fermion.core.lazy import load

if TYPE_CHECKING:
    import polars as pl

SHARE = 0.25  # of the available memory: what is estimated to need more is mapped
ROWS = 1 << 17  # rows of one block in a mapped file
ROOM = 1 << 30  # bytes that stay free on a disk
_TEMPORARY: list[tempfile.TemporaryDirectory[str]] = []  # live until the process ends: tables are mapped from them


class Aside(Struct, frozen=True):
    """What could not be read and was left out: a row (`file:line`), a file or an object, and why."""

    place: str
    reason: str


class Reading(Struct, frozen=True, kw_only=True):
    """What one call of `fermion.data.sources.read` passes along.

    `partition` are columns whose values folder names give (`year=2020`); they are added to every file below.
    """

    source: Source
    folder: Path
    where: str = ""
    scratch: Path | None = None
    asides: list[Aside] = field(default_factory=list[Aside])
    note: Callable[[str], None] | None = None
    partition: dict[str, Any] = field(default_factory=dict[str, Any])
    raw: frozenset[str] = frozenset()  # columns that stay text, where a file has them
    private: frozenset[str] = frozenset()  # columns whose values stand in no message
    known_as: tuple[Path, str] | None = None  # an unpacked or fetched file, or folder, and what errors call it

    @property
    def tolerant(self) -> bool:
        """Whether what cannot be read is set aside and the rest goes on."""
        return self.source.unreadable == "aside"

    def named(self, path: Path) -> str:
        """What errors call a file: its path, or the address that it was fetched from."""
        if self.known_as is None:
            return str(path)
        here, name = self.known_as
        if path == here:
            return name
        return f"{name}/{path.relative_to(here).as_posix()}" if path.is_relative_to(here) else str(path)

    def put_aside(self, place: str, reason: str) -> None:
        """Record what is left out."""
        self.asides.append(Aside(place, reason))

    def tell(self, note: str) -> None:
        """Pass a note to the caller, or warn where nobody listens."""
        if self.note is None:
            warnings.warn(note, stacklevel=2)
        else:
            self.note(note)

    def room(self) -> Path:
        """The folder for unpacked, fetched and mapped files: `scratch`, or a temporary one that goes with the process."""
        if self.scratch is not None:
            self.scratch.mkdir(parents=True, exist_ok=True)
            return self.scratch
        _TEMPORARY.append(tempfile.TemporaryDirectory(prefix="fermion-", ignore_cleanup_errors=True))
        return Path(_TEMPORARY[-1].name)

    def mapped(self, size: float) -> bool:
        """Whether rows of about `size` bytes are mapped from a file instead of held in memory."""
        return {"always": False, "never": True}.get(self.source.memory, size > SHARE * available())

    def collect(self, rows: pl.LazyFrame, name: str, size: float) -> pl.DataFrame:
        """The rows of a scan, in memory or streamed to a file and mapped; `name` tells this scan from the others of the source."""
        import polars as pl

        if self.partition:
            rows = rows.with_columns(**{key: pl.lit(value) for key, value in self.partition.items()})
        if not self.mapped(size):
            return rows.collect()
        return written(self.room() / f"{digest_of(name)}.arrow", lambda file: rows.sink_ipc(file, record_batch_size=ROWS))

    def gather(self, frames: Iterable[pl.DataFrame], name: str) -> pl.DataFrame:
        """Blocks of rows as one frame: held in memory until they grow too big for it, then written to a file and mapped.

        Raises:
            DataError: a column changes its type from block to block.
        """
        import polars as pl

        parts: list[pl.DataFrame] = []
        held: list[pl.DataFrame] = []
        size = 0.0
        room = self.room() if self.source.memory == "never" else None
        kinds: dict[str, Any] = {}
        for frame in frames:
            _refuse_change(frame, kinds, name)
            if self.partition:
                frame = frame.with_columns(**{key: pl.lit(value) for key, value in self.partition.items()})
            held.append(frame)
            size += frame.estimated_size()
            if self.mapped(size):
                room = room or self.room()
                parts.append(store(pl.concat(held, how="vertical_relaxed"), room / f"{digest_of(name)}-{len(parts)}.arrow"))
                held, size = [], 0.0
        if held and parts and room is not None:
            parts.append(store(pl.concat(held, how="vertical_relaxed"), room / f"{digest_of(name)}-{len(parts)}.arrow"))
            held = []
        return pl.concat(parts or held, how="vertical_relaxed") if parts or held else pl.DataFrame()


def _refuse_change(frame: pl.DataFrame, kinds: dict[str, Any], name: str) -> None:
    for column, kind in frame.schema.items():
        if str(kind) == "Null":
            continue
        if sort_of(kinds.setdefault(column, kind)) != sort_of(kind):
            raise DataError(
                f"column `{column}`",
                rule=f"of one type in all rows ({kinds[column]} in the first)",
                given=Told(str(kind)),
                remedy="Convert it where the rows come from; in a query: cast(x as real).",
                where=name,
            )


def sort_of(kind: Any) -> str:
    """What types have to share to stand in one column."""
    return "number" if kind.is_numeric() else "time" if kind.is_temporal() else str(kind)


def store(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """A frame written to a file and mapped from there."""
    return written(path, lambda file: frame.write_ipc(file, compression="uncompressed", record_batch_size=ROWS))


def written(path: Path, write: Callable[[Path], object]) -> pl.DataFrame:
    """An Arrow file that `write` makes, mapped: its pages belong to the file, and the system takes them back when it needs memory.

    Polars' own reader copies pages; Arrow's memory map does not, and Polars takes its columns over as they are.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return open_mapped(path)


def open_mapped(path: Path) -> pl.DataFrame:
    """An uncompressed Arrow file as a frame whose columns stay in the file."""
    import polars as pl

    arrow: Any = load("pyarrow", extra="train")
    ipc: Any = load("pyarrow.ipc", extra="train")
    with arrow.memory_map(str(path)) as source:
        return pl.DataFrame(pl.from_arrow(ipc.open_file(source).read_all(), rechunk=False))


def unpack(stream: Any, target: Path, *, limit: int | None = None, name: str = "") -> None:
    """Copy a stream of bytes to a file that appears only once it is whole.

    Raises:
        DataError: it is larger than `limit`, or than the disk has room for.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    most = min(limit if limit is not None else 1 << 62, shutil.disk_usage(target.parent).free - ROOM)
    size = 0
    try:
        with part.open("wb") as file:
            while block := stream.read(1 << 20):
                size += len(block)
                if size > most:
                    raise DataError(
                        "a packed or remote file",
                        rule=f"at most {most:,} bytes, as much as it says or as the disk has room for",
                        given=Told("more than that"),
                        where=name or target.name,
                    )
                file.write(block)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def digest_of(*names: object) -> str:
    """A file name for anything."""
    return hashlib.sha256(msgspec.json.encode([str(name) for name in names])).hexdigest()[:24]


def available() -> float:
    """The bytes of memory that a process may still take: what the system says, and what its control group allows."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = float(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        free = 8.0 * (1 << 30)
    try:
        most = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
    except OSError:
        return free
    return free if most == "max" else max(0.0, min(free, float(most) - float(used)))
