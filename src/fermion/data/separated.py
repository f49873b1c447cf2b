"""Text with a separator: read at the speed of Polars, and told apart line by line only where something is wrong.

Polars itself refuses long rows, other encodings and values of another type than the rows before them; it fills short rows with
nulls. A short row lacks its last field, so only where the last column has nulls the separators of the file are counted: with no
long rows there are (width - 1) * (rows + 1) of them outside quotes, unless a row is short.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.data.reading import Reading, digest_of
from fermion.data.records import Records, Text, cut, encoding_error, examine, first_line, shown

if TYPE_CHECKING:
    import polars as pl

HIDDEN = Told("a private value")
BLOCK = 1 << 20  # bytes at a time
HEADER = 1 << 20  # bytes in which the header lies
SNIFFED = 10_000  # rows whose types the others have to keep
GROWS = 1.3  # bytes in memory for a byte of the file
QUOTE, NEWLINE = ord('"'), ord("\n")
DATES = ("%Y-%m-%d", "%d-%m-%Y", "%Y/%m/%d", "%d/%m/%Y", "%Y.%m.%d", "%d.%m.%Y")
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S%.f", "%H:%M:%S%z", "%H:%M:%S%.f%z")
MOMENTS = tuple(f"{date}{gap}{clock}" for date in DATES[:4] for gap in " T" for clock in CLOCKS)


def read_separated(path: Path, reading: Reading, name: str, *, separator: str = ",") -> pl.DataFrame:
    """Separated text in UTF-8 with a header, on the disk and not packed.

    Types are those of the first 10,000 rows; whole numbers may gain a fraction later, any other change of type is an error. Dates
    and times are read as such, times of day stay text. Only an empty field without quotes is missing: "NA" is a text.

    Args:
        name: what errors call the file.

    Raises:
        DataError: no header, a name twice, a row with more or fewer fields than the header, a value of another type than the rows
            before it, another encoding; with the line. Such rows are set aside where the source says so.
    """
    text = _opened(path, reading, name, separator)
    for column in reading.source.text:
        if column not in text.header:
            raise SpecError(
                "data.source.text",
                rule=f"made of columns of {Path(name).name}",
                given=column,
                remedy=did_you_mean(column, text.header),
                where=reading.where,
            )
    import polars as pl

    try:
        frame = _parsed(text, reading)
        if not _has_short_rows(text, frame):
            return frame
        failed = None
    except pl.exceptions.PolarsError as error:
        failed = error
    return _mended(text, reading, failed)


def _opened(path: Path, reading: Reading, name: str, separator: str) -> Text:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER)
        file.seek(max(0, size - HEADER))
        tail = file.read()
    if not head.strip() and not tail.strip():
        raise DataError(
            "a csv file",
            rule="a header and rows",
            given=Told("an empty file"),
            remedy="Check the step that writes this file.",
            where=name,
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise encoding_error(head[0], 0, name, wide="UTF-16LE" if head[0] == 0xFF else "UTF-16BE")
    head = head.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in head and b"\r" in head:  # as old Macs, and Excel on newer ones, end lines
        path = _with_newlines(path, reading.room() / f"{digest_of(name)}.lines.csv")
        head, tail = head.replace(b"\r", b"\n"), tail.replace(b"\r", b"\n")
    try:
        header = next(csv.reader(io.StringIO(head.decode(errors="surrogateescape"), newline=""), delimiter=separator), [])
    except csv.Error as wrong:
        raise _unreadable(str(wrong), name) from None
    if any("\udc80" <= sign <= "\udcff" for field in header for sign in field):
        try:
            examine(Text(path=path, name=name, separator=separator, header=(), blank=0), stop=True)
        except csv.Error as wrong:
            raise _unreadable(str(wrong), name) from None
    _refuse_header(header, separator, name)
    blank = len(re.split(rb"\r?\n", tail[len(tail.rstrip(b"\r\n")) :])) - 2
    return Text(path=path, name=name, separator=separator, header=tuple(header), blank=max(0, blank))


def _with_newlines(path: Path, copy: Path) -> Path:
    with path.open("rb") as source, copy.open("wb") as target:
        while block := source.read(BLOCK):
            target.write(block.replace(b"\r", b"\n"))
    return copy


def _refuse_header(header: Sequence[str], separator: str, name: str) -> None:
    twice = sorted({column for column in header if header.count(column) > 1})
    other = next((sign for sign in ";\t|," if len(header) == 1 and sign != separator and sign in header[0]), "")
    if twice:
        rule, given, remedy = "named differently", f"`{twice[0]}` {header.count(twice[0])} times", "Rename one of them in the first line."
    elif not header or "" in header:
        rule, given = "named in the first line", f"no name for number {header.index('') + 1}" if header else "an empty line"
        remedy = "Write one; pandas leaves its index out with to_csv(index=False)."
    elif any('"' in column for column in header):
        rule, given = "named without double quotes", next(column for column in header if '"' in column)
        remedy = "Rename it in the first line."
    elif other:
        rule, given, remedy = (
            f"separated by {separator!r}",
            f"{other!r} in {shown(header[0])}",
            "Write it with commas, or name it .tsv if these are tabs.",
        )
    else:
        return
    raise DataError("the columns", rule=rule, given=Told(given), remedy=remedy, where=f"{name}:1")


def _parsed(text: Text, reading: Reading, types: dict[str, Any] | None = None) -> pl.DataFrame:
    import polars as pl

    kinds = _types(text, _as_text(text, reading)) if types is None else types
    rows = pl.scan_csv(text.path, separator=text.separator, schema=pl.Schema(kinds), glob=False)
    frame = reading.collect(rows, text.name, text.path.stat().st_size * GROWS)
    return frame.slice(0, frame.height - text.blank) if text.blank else frame


def _as_text(text: Text, reading: Reading) -> list[str]:
    return [name for name in text.header if name in reading.source.text or name in reading.raw]


def _types(text: Text, as_text: Sequence[str]) -> dict[str, Any]:
    """Column to type, from the first rows; where those are all empty, from all.

    Polars tries every pattern of dates on every text, which is slow: it is asked only about columns whose first texts are dates.
    """
    import polars as pl

    def sniffed(data: bytes | Path, *, dates: bool, columns: list[str] | None = None) -> pl.DataFrame:
        return pl.read_csv(
            data,
            separator=text.separator,
            infer_schema_length=None,
            try_parse_dates=dates,
            columns=columns,
            schema_overrides=dict.fromkeys(as_text, pl.String),
            glob=False,
        )

    data, whole = _head(text, SNIFFED)
    head = sniffed(data, dates=False)
    kinds: dict[str, Any] = dict(head.schema)
    texts = [name for name, kind in kinds.items() if kind == pl.String and name not in as_text]

    def dated(rows: bytes | Path, name: str) -> Any:
        known = head[name].drop_nulls().head(1000)
        if not bool(known.str.contains(r"^\s*\d{4}\D").all()):  # 02/01/2021 is a day in February to some and in January to others
            return pl.String()
        try:
            return sniffed(rows, dates=True, columns=[name]).schema[name]
        except pl.exceptions.PolarsError:
            return pl.String()  # each is a date in some form, but not all in one

    first = _head(text, 100)[0] if texts else b""
    for name in texts:
        if head[name].head(100).null_count() == min(100, head.height) or dated(first, name).is_temporal():
            kinds[name] = dated(data, name)
        if not whole and head[name].null_count() == head.height:
            kinds[name] = dated(text.path, name)
    return {name: pl.String if kinds[name] == pl.Time else kinds[name] for name in text.header}


def _head(text: Text, rows: int) -> tuple[bytes, bool]:
    """The header and the first rows, and whether that is all."""
    with text.path.open("rb") as file:
        lines = list(itertools.islice(file, rows + 1))
        data = b"".join(lines)
        while data.count(b'"') % 2 and (line := file.readline()):
            data += line
        return data, not file.read(1)


def _has_short_rows(text: Text, frame: pl.DataFrame) -> bool:
    width = len(text.header)
    if width == 1 or not frame.height or not frame[text.header[-1]].null_count():
        return False
    return _separators(text.path, ord(text.separator)) != (width - 1) * (frame.height + 1)


def _separators(path: Path, separator: int) -> int:
    """How many separators a file has outside quotes."""
    bytes_N, inside, total = np.memmap(path, dtype=np.uint8, mode="r"), False, 0
    for start in range(0, len(bytes_N), BLOCK):
        block_N: NDArray[np.uint8] = bytes_N[start : start + BLOCK]
        marks_N, quotes_N = block_N == separator, block_N == QUOTE
        if quotes_N.any():
            inside_N: NDArray[np.bool_] = np.bitwise_xor.accumulate(quotes_N) ^ inside
            inside = bool(inside_N[-1])
            marks_N &= ~inside_N
        elif inside:
            continue
        total += int(np.count_nonzero(marks_N))
    return total


def _mended(text: Text, reading: Reading, failed: Exception | None) -> pl.DataFrame:
    """Find what is wrong, record by record. What cannot be a row stops the reading, or is cut out of a copy of the file."""
    import polars as pl

    try:
        records = examine(text, stop=not reading.tolerant, hide=bool(reading.private))
        if records.broken:
            for record in records.broken:
                reading.put_aside(record.error.where, record.error.message)
            copy = reading.room() / f"{digest_of(text.name)}.cut.csv"
            cut(text.path, copy, records.broken)
            text = structs.replace(text, path=copy)
        elif failed is None:
            return _parsed(text, reading)  # a quote inside a field misled the count
        return _retyped(text, reading, records)
    except (csv.Error, pl.exceptions.PolarsError) as error:
        raise _unreadable(first_line(error), text.name) from None


def _retyped(text: Text, reading: Reading, records: Records) -> pl.DataFrame:
    """Types that hold for the whole file: whole numbers gain a fraction; a row with anything else stops the reading or is set aside."""
    import polars as pl

    kinds = _types(text, _as_text(text, reading))
    rows = pl.scan_csv(text.path, separator=text.separator, schema=pl.Schema(dict.fromkeys(text.header, pl.String())), glob=False)
    head = pl.read_csv(_head(text, SNIFFED)[0], separator=text.separator, infer_schema=False)
    typed = {name: kind for name, kind in kinds.items() if kind != pl.String}
    read = {name: _read_as(head[name], kind) for name, kind in typed.items()}
    wrong = {name: pl.col(name).is_not_null() & expression.is_null() for name, expression in read.items()}
    whole = [name for name, kind in typed.items() if kind.is_integer()]
    if whole:
        fractions = rows.select(
            (wrong[name] & _read_as(head[name], pl.Float64()).is_not_null()).any().alias(name) for name in whole
        ).collect(engine="streaming")
        for name in (name for name in whole if fractions[name][0]):
            kinds[name] = typed[name] = pl.Float64()
            read[name] = _read_as(head[name], typed[name])
            wrong[name] = pl.col(name).is_not_null() & read[name].is_null()
    if typed:
        misfits = rows.with_row_index("\0row").filter(pl.any_horizontal(*wrong.values())).select("\0row", *typed)
        found = (misfits if reading.tolerant else misfits.head(1)).collect(engine="streaming")
        odd = found.select(wrong[name].alias(name) for name in typed)
        lines = records.lines(found["\0row"].to_numpy().astype(np.int64) + 1)
        for place, line in enumerate(lines):
            name = next(name for name in typed if odd[name][place])
            error = DataError(
                f"column `{name}`",
                rule=f"made of {_kind(typed[name])} like the rows before",
                given=HIDDEN if name in reading.private else found[name][place],
                remedy=f"Correct it, set such rows aside (`unreadable: aside`), or say that this is text (`text: [{name}]`).",
                where=f"{text.name}:{line}",
            )
            if not reading.tolerant:
                raise error
            reading.put_aside(error.where, error.message)
        if len(found):
            kept = rows.filter(~pl.any_horizontal(*wrong.values())).with_columns(**read)
            frame = reading.collect(kept, text.name, text.path.stat().st_size * GROWS)
            return frame.slice(0, frame.height - text.blank) if text.blank else frame
    return _parsed(text, reading, kinds)


def _read_as(head: pl.Series, kind: Any) -> pl.Expr:
    """An expression that reads texts as this type, null where they are something else."""
    import polars as pl

    text = pl.col(head.name).str.strip_chars()
    if kind == pl.Boolean:
        return text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    if not kind.is_temporal():
        return text.cast(kind, strict=False)
    forms = [
        form for form in (DATES if kind == pl.Date else MOMENTS) if head.str.strptime(kind, form, strict=False).null_count() < len(head)
    ]
    return pl.coalesce(*(text.str.strptime(kind, form, strict=False) for form in forms)) if forms else text.cast(kind, strict=False)


def _kind(kind: Any) -> str:
    words = {"Boolean": "true and false", "Date": "dates", "Datetime": "dates and times"}
    return "numbers" if kind.is_numeric() else words.get(kind.base_type().__name__, str(kind))


def _unreadable(why: str, name: str) -> DataError:
    return DataError(
        "a csv file",
        rule="readable: fields apart by one separator, quotes only around whole fields and doubled inside them",
        given=Told(why),
        remedy="Write it again with a csv library.",
        where=name,
    )
