"""One reader per file format. Each says what is wrong with a file, and where."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fermion.core.errors import DataError, Told

if TYPE_CHECKING:
    import polars as pl

BLOCK = 1 << 24  # bytes at a time
HEADER = 1 << 20  # bytes in which the header lies
SNIFFED = 10_000  # rows whose types are tried first
QUOTE, NEWLINE = ord('"'), ord("\n")


def family(path: Path) -> str | None:
    """The suffix that says how a file is read, or None.

    >>> family(Path("a.b/data.CSV.gz")), family(Path("model.pkl")), family(Path("data.parquet.gz"))
    ('.csv', None, None)
    """
    suffix, packed = path.suffix.lower(), False
    if suffix == ".gz":
        suffix, packed = Path(path.stem).suffix.lower(), True
    return suffix if suffix in READERS and not (packed and suffix == ".parquet") else None


def read_csv(path: Path, *, separator: str = ",") -> pl.DataFrame:
    """Comma-separated text in UTF-8 with a header.

    Types are inferred over the whole file, so a number with a fraction in the last row is no surprise; dates and times are read as
    such, times of day stay text. Only an empty field without quotes is missing: "NA" is a text.

    Raises:
        DataError: no header, a name twice, a row with more or fewer fields than the header, another encoding; with the line.
    """
    import polars as pl

    data = _text(path)
    if not data.strip():
        raise DataError(
            "a csv file",
            rule="a header and rows",
            given=Told("an empty file"),
            remedy="Check the step that writes this file.",
            where=str(path),
        )
    if b"\n" not in data and b"\r" in data:
        raise DataError(
            "a csv file",
            rule="lines that end in \\n or \\r\\n",
            given=Told("lines that end in \\r, as old Macs wrote them"),
            remedy=f"Convert it: tr '\\r' '\\n' < {path.name} > new-{path.name}",
            where=str(path),
        )
    data = data.rstrip(b"\r\n") + b"\n" if data.endswith((b"\n\n", b"\n\r\n")) else data
    try:
        header = _header(data, separator)
        _refuse_header(header, separator, path)
        if len(header) > 1:
            _refuse_ragged(data, separator, len(header), path)
        return _parsed(data, separator)
    except (pl.exceptions.PolarsError, csv.Error) as failed:
        raise DataError(
            "a csv file",
            rule="readable: fields apart by one separator, quotes only around whole fields and doubled inside them",
            given=Told(_first_line(failed)),
            remedy="Write it again with a csv library.",
            where=str(path),
        ) from None


def _parsed(data: bytes, separator: str) -> pl.DataFrame:
    """Types that fit all rows. Looking at the first rows first is many times faster, and Polars refuses a later value that does not fit."""
    import polars as pl

    try:
        frame = pl.read_csv(data, separator=separator, infer_schema_length=SNIFFED, try_parse_dates=True)
        head = frame.head(SNIFFED)
        whole = frame.height > SNIFFED and any(
            kind == pl.String and head[name].null_count() == SNIFFED for name, kind in frame.schema.items()
        )
    except pl.exceptions.PolarsError:
        frame, whole = None, True
    if frame is None or whole:
        frame = pl.read_csv(data, separator=separator, infer_schema_length=None, try_parse_dates=True)
    text = {name: pl.String for name, kind in frame.schema.items() if kind == pl.Time}
    if not text:
        return frame
    return pl.read_csv(data, separator=separator, infer_schema_length=None, try_parse_dates=True, schema_overrides=text)


def read_tsv(path: Path) -> pl.DataFrame:
    """Text with tabs between the fields; else like csv."""
    return read_csv(path, separator="\t")


def read_parquet(path: Path) -> pl.DataFrame:
    """Apache Parquet.

    Raises:
        DataError: the file is cut off or is something else.
    """
    import polars as pl

    try:
        return pl.read_parquet(path, hive_partitioning=False, glob=False)
    except pl.exceptions.PolarsError as failed:
        raise DataError(
            "a parquet file",
            rule="whole",
            given=Told(_first_line(failed)),
            remedy="Copy or write it again: it was cut off or is another format.",
            where=str(path),
        ) from None


def read_jsonl(path: Path) -> pl.DataFrame:
    """One JSON object per line; types are inferred over the whole file.

    Raises:
        DataError: a line that is not a JSON object, with its number.
    """
    import polars as pl

    data = _text(path)
    if not data.strip():
        raise DataError(
            "a jsonl file",
            rule="one JSON object per line",
            given=Told("an empty file"),
            remedy="Check the step that writes this file.",
            where=str(path),
        )
    try:
        return pl.read_ndjson(data, infer_schema_length=None)
    except pl.exceptions.PolarsError as failed:
        for number, line in enumerate(data.splitlines(), 1):
            try:
                if line.strip():
                    msgspec.json.decode(line, type=dict[str, object])
            except msgspec.DecodeError as wrong:
                raise DataError(
                    "a line of a jsonl file",
                    rule="a JSON object",
                    given=line[:200].decode(errors="replace"),
                    remedy=f"The parser says: {wrong}.",
                    where=f"{path}:{number}",
                ) from None
        raise DataError(
            "a jsonl file", rule="objects whose fields keep their types", given=Told(_first_line(failed)), where=str(path)
        ) from None


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
}


def _text(path: Path) -> bytes:
    """The bytes of a text file, unpacked, without a byte order mark, and known to be UTF-8."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as failed:
        raise DataError("a .gz file", rule="whole gzip data", given=Told(str(failed)), remedy="Copy it again.", where=str(path)) from None
    wide = next((name for mark, name in ((b"\xff\xfe", "UTF-16LE"), (b"\xfe\xff", "UTF-16BE")) if data.startswith(mark)), "")
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        raise DataError(
            "a text file",
            rule="in UTF-8",
            given=Told(f"the byte 0x{data[wrong.start]:02x} at offset {wrong.start}"),
            remedy=f"Convert it: iconv -f {wide or 'WINDOWS-1252'} -t UTF-8 {path.name} > utf8-{path.name}",
            where=str(path) if wide else f"{path}:{line}",
        ) from None
    return data.removeprefix(b"\xef\xbb\xbf")


def _header(data: bytes, separator: str) -> list[str]:
    return next(csv.reader(io.StringIO(data[:HEADER].decode(errors="ignore"), newline=""), delimiter=separator))


def _refuse_header(header: list[str], separator: str, path: Path) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    other = next((sign for sign in ";\t|," if len(header) == 1 and sign != separator and sign in header[0]), "")
    if twice:
        rule, given, remedy = "named differently", f"`{twice[0]}` {header.count(twice[0])} times", "Rename one of them in the first line."
    elif not header or "" in header:
        rule, given = "named in the first line", f"no name for number {header.index('') + 1}" if header else "an empty line"
        remedy = "Write one; pandas leaves its index out with to_csv(index=False)."
    elif other:
        rule, given, remedy = (
            f"separated by {separator!r}",
            f"{other!r} in {shown(header[0])}",
            "Write it with commas, or name it .tsv if these are tabs.",
        )
    else:
        return
    raise DataError("the columns", rule=rule, given=Told(given), remedy=remedy, where=f"{path}:1")


def _refuse_ragged(data: bytes, separator: str, width: int, path: Path) -> None:
    """Polars fills short rows with nulls and names no line for long ones: count the fields of each record first.

    Counting on bytes is fast and right unless a quote stands inside an unquoted field, so the exact reader has the last word.
    """
    if all((counts == width).all() for counts in _fields_per_record(data, ord(separator))):
        return
    rows = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=separator)
    before = 0
    for row in rows:
        if len(row) != width:
            raise DataError(
                "a row",
                rule=f"{width} fields like the header",
                given=Told(f"{len(row)} field{'s' if len(row) != 1 else ''}: {shown(separator.join(row))}"),
                remedy="Quote fields that hold the separator, or repair the line.",
                where=f"{path}:{before + 1}",
            )
        before = rows.line_num


def _fields_per_record(data: bytes, separator: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """For each record of a block how many fields it has; a record on the border of two blocks belongs to the later."""
    quoted = QUOTE in data
    inside, open_fields = False, 0
    for start in range(0, len(data), BLOCK):
        block_N = np.frombuffer(data, dtype=np.uint8, count=min(BLOCK, len(data) - start), offset=start)
        separators_N, newlines_N = block_N == separator, block_N == NEWLINE
        if quoted:
            inside_N = np.bitwise_xor.accumulate(block_N == QUOTE) ^ inside
            inside = bool(inside_N[-1])
            separators_N &= ~inside_N
            newlines_N &= ~inside_N
        ends = np.flatnonzero(newlines_N)
        marks = np.flatnonzero(separators_N)
        counts = np.diff(np.searchsorted(marks, ends), prepend=0)
        if len(ends):
            counts[0] += open_fields
            open_fields = 0
        open_fields += len(marks) - int(np.searchsorted(marks, ends[-1]) if len(ends) else 0)
        yield counts + 1
    if data and data[-1] != NEWLINE:
        yield np.array([open_fields + 1])


def shown(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= 60 else text[:57] + "..."


def _first_line(failed: Exception) -> str:
    return str(failed).strip().split("\n")[0][:160]
