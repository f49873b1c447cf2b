"""Rows that nearly repeat another: by their pictures, by their texts, or value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.audio import SUFFIXES, is_sound
from fermion.columns.image import MAGIC, Image
from fermion.core.errors import ValueRejected
from fermion.data.near_pictures import SIDE, near_pictures
from fermion.data.near_rows import near_rows
from fermion.data.near_texts import near_texts
from fermion.data.nested import innermost
from fermion.data.pairs import Pairs
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Pairs", "near", "near_pictures", "near_rows", "near_texts"]

WORDS = 4.0  # on average: shorter texts are names and codes
DIFFERENT = 0.5  # the share of different texts: others are categories with long names


def near(table: Table, similarity: float = 0.8) -> Pairs:
    """Pairs of rows that are alike in what they are about: the first column of pictures; else the column of texts with the most words;
    else all values, but for one.

    >>> texts = ["where is my new card please", "how do I close my account", "where is my new card"]
    >>> near(Table.of({"text": texts, "label": [0, 1, 0]}), 0.6).right.tolist()
    [2]

    Args:
        similarity: from above 0 to 1; what it counts is told by `near_pictures`, `near_texts` and `near_rows`.

    A file that is no picture is like no other.
    """
    if (pictures := _pictures_of(table)) is not None:
        rows, images = pictures
        found = near_pictures(images, similarity)
        return Pairs(left=rows[found.left], right=rows[found.right], similarity=found.similarity)
    if (name := _text_of(table)) is not None:
        return near_texts(table.series(name).to_list(), similarity)
    return near_rows(table, similarity)


def _pictures_of(table: Table) -> tuple[NDArray[np.int64], Any] | None:
    """The rows that have a picture, and their pictures."""
    import polars as pl

    for name in table.names:
        series = table.series(name)
        if isinstance(series.dtype, pl.Array) and len(series.dtype.shape) in (2, 3) and innermost(series.dtype) == pl.UInt8:
            rows = np.flatnonzero(series.is_not_null().to_numpy())
            return rows, (series if len(rows) == len(series) else series.gather(rows)).to_numpy()
        if isinstance(series.dtype, pl.String | pl.Binary) and _is_picture(series, path=name in table.paths):
            return _read(series)
    return None


def _read(series: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The pictures of files, small and grey; one that cannot be read is like no other: the column that encodes it tells of it."""
    small = Image(height=SIDE, width=SIDE, channels=1, resize=True)
    rows: list[int] = []
    pictures: list[NDArray[np.uint8]] = []
    for row, file in enumerate(series.to_list()):
        if file is not None:
            try:
                pictures.append(small.encode([file])[0][0])
            except ValueRejected:
                continue
            rows.append(row)
    return np.array(rows, dtype=np.int64), np.array(pictures, dtype=np.uint8).reshape(len(pictures), SIDE, SIDE, 1)


def _is_picture(series: pl.Series, *, path: bool) -> bool:
    known = series.drop_nulls()
    if not len(known):
        return False
    first: Any = known[0]
    if isinstance(first, bytes):
        return first.startswith(MAGIC) and not is_sound(first)
    return path and not first.lower().endswith(SUFFIXES)


def _text_of(table: Table) -> str | None:
    """The column with the longest texts, if there are texts to read that are mostly different."""
    import polars as pl

    longest, chosen = WORDS, None
    for name in table.names:
        series = table.series(name)
        if series.dtype != pl.String or name in table.paths:
            continue
        head = series.drop_nulls().head(1000)
        words = _words(head)
        if words >= longest and head.n_unique() >= DIFFERENT * len(head):
            longest, chosen = words, name
    return chosen


def _words(series: pl.Series) -> float:
    return float(str(series.str.count_matches(r"\S+").mean())) if len(series) else 0.0
