"""Several files of one kind as one table, and the columns that folder names such as `year=2020` give."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from msgspec import Struct

from fermion.core.errors import DataError, Told
from fermion.data.reading import Reading, sort_of

if TYPE_CHECKING:
    import polars as pl

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Part(Struct, frozen=True):
    """One file of several: what errors call it, and how its rows are read."""

    name: str
    read: Callable[[], pl.DataFrame]


def joined(parts: list[Part], reading: Reading) -> pl.DataFrame:
    """The rows of all parts, by the columns of the first.

    Raises:
        DataError: a part cannot be read, or has other columns or types than the first; where the source says so it is set aside.
    """
    read: dict[str, pl.DataFrame] = {}
    for part in parts:
        try:
            frame = part.read()
            if read:
                _refuse_others(part.name, frame, read)
            read[part.name] = frame
        except DataError as bad:
            if not reading.tolerant:
                raise
            reading.put_aside(part.name, bad.message)
    if not read:
        raise DataError(
            "data.source",
            rule="made of at least one file that can be read",
            given=Told(f"{len(parts)} that cannot"),
            remedy=f"The first: {reading.asides[-len(parts)].reason}" if reading.asides else "",
            where=reading.where,
        )
    return _stacked(read, reading)


def _refuse_others(name: str, frame: pl.DataFrame, read: dict[str, pl.DataFrame]) -> None:
    import polars as pl

    first_name, first = next(iter(read.items()))
    if set(frame.columns) != set(first.columns):
        more, less = sorted(set(frame.columns) - set(first.columns)), sorted(set(first.columns) - set(frame.columns))
        told = "; ".join(f"{word} {', '.join(names[:5])}" for word, names in (("also", more), ("without", less)) if names)
        raise DataError(
            "files of one source",
            rule=f"made of the columns of {Path(first_name).name}",
            given=Told(told),
            remedy="Name files of one kind only.",
            where=name,
        )
    for column, kind in frame.schema.items():
        if kind == pl.Null or frame[column].null_count() == frame.height:
            continue
        for other_name, other in read.items():
            before = other.schema[column]
            if before == pl.Null or other[column].null_count() == other.height:
                continue
            if sort_of(before) != sort_of(kind):
                raise DataError(
                    f"column `{column}`",
                    rule=f"of one type in all files ({before} in {Path(other_name).name})",
                    given=Told(str(kind)),
                    remedy="Convert it, or look for a stray text in the column.",
                    where=name,
                )
            break


def _stacked(read: dict[str, pl.DataFrame], reading: Reading) -> pl.DataFrame:
    import polars as pl

    frames = list(read.values())
    names = frames[0].columns
    alike = [frame.select(_untyped_where_empty(frame, name) for name in names) for frame in frames]
    if all(frame.schema == alike[0].schema for frame in alike):
        return pl.concat(alike, rechunk=False)
    size = sum(frame.estimated_size() for frame in alike)
    if not reading.mapped(size):
        return pl.concat(alike, how="vertical_relaxed")
    return reading.collect(pl.concat([frame.lazy() for frame in alike], how="vertical_relaxed"), f"all of {list(read)}", size)


def _untyped_where_empty(frame: pl.DataFrame, name: str) -> pl.Series:
    """An empty csv column is read as text, whatever it is in the other files."""
    import polars as pl

    series = frame[name]
    return pl.Series(name, [None] * len(series), dtype=pl.Null) if series.null_count() == len(series) else series


def partitions(names: Iterable[tuple[str, ...]]) -> list[dict[str, Any]]:
    """For each path below a folder, as its pieces, the columns that its folders give: whole numbers, dates or text for all paths alike.

    >>> partitions([("year=2020", "a.csv"), ("year=2021", "b.csv")])
    [{'year': 2020}, {'year': 2021}]
    """
    raw = [dict(_named(piece) for piece in pieces[:-1] if "=" in piece) for pieces in names]
    return [{key: _typed(key, value, raw) for key, value in columns.items()} for columns in raw]


def _named(piece: str) -> tuple[str, str | None]:
    key, _, value = piece.partition("=")
    return unquote(key), None if value == NO_VALUE else unquote(value)


def _typed(key: str, value: str | None, raw: list[dict[str, str | None]]) -> Any:
    import datetime as dt

    values = [columns[key] or "" for columns in raw if columns.get(key) is not None]
    if value is None:
        return None
    if all(re.fullmatch(r"-?(0|[1-9]\d{0,17})", text) for text in values):
        return int(value)
    if all(re.fullmatch(r"\d{4}-\d\d-\d\d", text) for text in values):
        return dt.date.fromisoformat(value)
    return value
