"""One reader per file format. Each says what is wrong with a file, and where."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.lazy import load
from fermion.data.arrays import read_npz
from fermion.data.reading import Reading, digest_of, unpack
from fermion.data.records import encoding_error, first_line, shown
from fermion.data.separated import read_separated

if TYPE_CHECKING:
    import polars as pl

PIECE = 500_000  # rows of a big Parquet file at a time
GROWS = 1.3  # bytes in memory for a byte of JSON
PACKABLE = (".csv", ".tsv", ".jsonl", ".ndjson")


def family(path: Path) -> str | None:
    """The suffix that says how a file is read, or None.

    >>> family(Path("a.b/data.CSV.gz")), family(Path("model.pkl")), family(Path("data.parquet.gz"))
    ('.csv', None, None)
    """
    suffix, packed = path.suffix.lower(), False
    if suffix == ".gz":
        suffix, packed = Path(path.stem).suffix.lower(), True
    return suffix if suffix in (PACKABLE if packed else READERS) else None


def read_csv(path: Path, reading: Reading) -> pl.DataFrame:
    """Comma-separated text: see `fermion.data.separated`."""
    return _unpacked(path, reading, lambda text: read_separated(text, reading, reading.named(path)))


def read_tsv(path: Path, reading: Reading) -> pl.DataFrame:
    """Text with tabs between the fields; else like csv."""
    return _unpacked(path, reading, lambda text: read_separated(text, reading, reading.named(path), separator="\t"))


def read_jsonl(path: Path, reading: Reading) -> pl.DataFrame:
    """One JSON object per line; types are inferred over the whole file.

    Raises:
        DataError: a line that is not a JSON object, with its number. Such lines are set aside where the source says so.
    """
    return _unpacked(path, reading, lambda text: _jsonl(text, reading, reading.named(path)))


def _unpacked(path: Path, reading: Reading, read: Callable[[Path], pl.DataFrame]) -> pl.DataFrame:
    """`read` of the file, or of what a .gz file holds, unpacked on the disk for as long as it takes."""
    if path.suffix.lower() != ".gz":
        return read(path)
    plain = reading.room() / f"{digest_of(path)}-{path.stem[-40:]}"
    try:
        with gzip.open(path) as packed:
            unpack(packed, plain, name=reading.named(path))
        return read(plain)
    except (gzip.BadGzipFile, EOFError, zlib.error) as failed:
        raise DataError(
            "a .gz file", rule="whole gzip data", given=Told(str(failed)), remedy="Copy it again.", where=reading.named(path)
        ) from None
    finally:
        plain.unlink(missing_ok=True)


def _jsonl(path: Path, reading: Reading, name: str) -> pl.DataFrame:
    import polars as pl

    size = path.stat().st_size
    with path.open("rb") as file:
        if not file.read(1 << 20).strip() and size <= 1 << 20:
            raise DataError(
                "a jsonl file",
                rule="one JSON object per line",
                given=Told("an empty file"),
                remedy="Check the step that writes this file.",
                where=name,
            )
    try:
        content = path.read_bytes() if any(sign in str(path) for sign in "*?[") else path  # this scan takes names for patterns
        return reading.collect(pl.scan_ndjson(content, infer_schema_length=None), name, size * GROWS)
    except pl.exceptions.PolarsError as failed:
        found = list(_broken_lines(path, name, stop=not reading.tolerant, hide=bool(reading.private)))
        if not found:
            raise DataError(
                "a jsonl file", rule="objects whose fields keep their types", given=Told(first_line(failed)), where=name
            ) from None
    for _, error in found:
        reading.put_aside(error.where, error.message)
    gone, copy = {number for number, _ in found}, reading.room() / f"{digest_of(name)}.cut.jsonl"
    with path.open("rb") as source, copy.open("wb") as target:
        target.writelines(line for number, line in enumerate(source, 1) if number not in gone)
    return _jsonl(copy, reading, name)


def _as_an_object(line: bytes) -> str:
    """What to write instead of a line that is JSON, but has no names for its values."""
    try:
        value = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"))
    except msgspec.DecodeError:
        return ""
    whole = isinstance(value, list) and all(isinstance(one, dict) for one in value) and bool(value)
    if whole:
        return "Write each object of the list in a line of its own."
    return 'Write each row as an object with the names of its columns: {"NAME": value, ...}.'


def _broken_lines(path: Path, name: str, *, stop: bool, hide: bool) -> Iterator[tuple[int, DataError]]:
    decoder, position = msgspec.json.Decoder(dict[str, object]), 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            error = None
            try:
                if line.strip():
                    line.decode()
                    decoder.decode(line.removeprefix(b"\xef\xbb\xbf"))
            except UnicodeDecodeError as wrong:
                error = encoding_error(line[wrong.start], position + wrong.start, name, line=number)
            except msgspec.DecodeError as wrong:
                error = DataError(
                    "a line of a jsonl file",
                    rule="a JSON object",
                    given=Told("another thing") if hide else line[:200].decode(errors="replace").rstrip("\n"),
                    remedy=_as_an_object(line) or f"The parser says: {wrong}.",
                    where=f"{name}:{number}",
                )
            position += len(line)
            if error is not None:
                if stop:
                    raise error
                yield number, error


def read_parquet(path: Path, reading: Reading) -> pl.DataFrame:
    """Apache Parquet.

    Raises:
        DataError: the file is cut off or is something else.
    """
    import polars as pl

    parquet: Any = load("pyarrow.parquet", extra="train")
    try:
        about = parquet.read_metadata(path)
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        size = max(sum(group.total_byte_size for group in groups), 8 * about.num_rows * about.num_columns)
        rows = pl.scan_parquet(path, hive_partitioning=False, glob=False)
        if not reading.mapped(size):
            return reading.collect(rows, reading.named(path), size)
        # Streamed in one go, blocks that wait for a slow disk would pile up in memory.
        return reading.gather(
            (rows.slice(*piece).collect() for piece in _pieces([group.num_rows for group in groups])), reading.named(path)
        )
    except (pl.exceptions.PolarsError, load("pyarrow", extra="train").ArrowException) as failed:
        raise _cut_off("parquet", failed, reading.named(path)) from None


def _pieces(groups: list[int]) -> Iterator[tuple[int, int]]:
    """First row and number of rows of whole row groups that are read together."""
    start, rows = 0, 0
    for size in groups:
        if rows and rows + size > PIECE:
            yield start, rows
            start, rows = start + rows, 0
        rows += size
    yield start, rows


def read_arrow(path: Path, reading: Reading) -> pl.DataFrame:
    """Arrow: the file format (Feather 2) or the stream format, told apart by the first bytes.

    Raises:
        DataError: the file is cut off or is something else.
    """
    import polars as pl

    with path.open("rb") as file:
        streamed = file.read(6) != b"ARROW1"
    try:
        if not streamed:
            return reading.collect(pl.scan_ipc(path, hive_partitioning=False, glob=False), reading.named(path), path.stat().st_size)
        return reading.gather(arrow_blocks(path), reading.named(path))
    except (OSError, pl.exceptions.PolarsError, load("pyarrow", extra="train").ArrowException) as failed:
        raise _cut_off("Arrow", failed, reading.named(path)) from None


def arrow_blocks(path: Path) -> Iterator[pl.DataFrame]:
    """The blocks of an Arrow stream, one at a time."""
    import polars as pl

    arrow: Any = load("pyarrow", extra="train")
    with arrow.memory_map(str(path)) as source, load("pyarrow.ipc", extra="train").open_stream(source) as stream:
        for block in stream:
            yield pl.DataFrame(pl.from_arrow(block, rechunk=False))


def read_excel(path: Path, reading: Reading) -> pl.DataFrame:
    """One sheet of an Excel workbook: the first, or the one that the source names.

    Raises:
        SpecError: there is no such sheet; the names of all are given.
        DataError: the file is no workbook.
    """
    import polars as pl

    excel: Any = load("fastexcel", extra="data")
    try:
        sheets: list[str] = excel.read_excel(path).sheet_names
        wanted = reading.source.sheet
        if wanted is not None and wanted not in sheets:
            raise SpecError(
                "data.source.sheet",
                rule=f"one of the sheets {', '.join(sheets)}",
                given=wanted,
                remedy=did_you_mean(wanted, sheets),
                where=reading.where,
            )
        frame = pl.read_excel(path, sheet_name=wanted or sheets[0], infer_schema_length=None, raise_if_empty=False)
    except (excel.FastExcelError, pl.exceptions.PolarsError) as failed:
        raise _cut_off("Excel", failed, reading.named(path)) from None
    return reading.gather([frame], reading.named(path))


def _cut_off(format_name: str, failed: Exception, name: str) -> DataError:
    return DataError(
        f"{'an' if format_name[0] in 'AE' else 'a'} {format_name} file",
        rule="whole",
        given=Told(shown(first_line(failed))),
        remedy="Copy or write it again: it was cut off or is another format.",
        where=name,
    )


READERS: dict[str, Callable[[Path, Reading], pl.DataFrame]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".xlsx": read_excel,
    ".npz": read_npz,
}
