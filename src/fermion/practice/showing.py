"""A row as JSON can carry it, for people who look at it: on a terminal, a page, or in Label Studio."""

from __future__ import annotations

import base64
import datetime
import decimal
from collections.abc import Collection
from typing import Any

import numpy as np

from fermion.columns.audio import is_sound
from fermion.data.table import Table
from fermion.measure.png import data_uri


def shown_row(table: Table, row: int, hidden: Collection[str] = ()) -> dict[str, Any]:
    """The values of one row but those of hidden columns; pictures and sounds as data URIs, times in ISO 8601, paths as they are.

    >>> shown_row(Table.of({"x": [1.5], "name": ["Ada"]}), 0, hidden=["name"])
    {'x': 1.5}
    """
    import polars as pl

    shown: dict[str, Any] = {}
    for name in table.names:
        if name in hidden:
            continue
        series = table.series(name)
        value: Any = series[row]
        if isinstance(series.dtype, pl.Array) and value is not None:
            shown[name] = _array(value.to_numpy())
        elif isinstance(series.dtype, pl.List | pl.Struct) and value is not None:
            shown[name] = _without_nan(value.to_list() if isinstance(value, pl.Series) else value)
        else:
            shown[name] = _plain(value)
    return shown


def _array(values: np.ndarray[Any, Any]) -> Any:
    """A picture as a data URI, any other array as nested lists."""
    return (
        data_uri(values) if values.dtype == np.uint8 and (values.ndim == 2 or values.shape[2:] in ((1,), (3,), (4,))) else values.tolist()
    )


def _without_nan(value: Any) -> Any:
    """Lists and objects as they are, None for NaN."""
    if isinstance(value, list):
        return [_without_nan(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes) and is_sound(value):
        kind = {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg"}.get(value[:4], "basic")
        return f"data:audio/{kind};base64,{base64.b64encode(value).decode()}"
    if isinstance(value, bytes):
        known = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")
        return data_uri(value) if value.startswith(known) else base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.datetime | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal):
        return str(value)
    return None if isinstance(value, float) and value != value else value
