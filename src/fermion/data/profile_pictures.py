"""A few small pictures of a column, for a page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import shortened
from fermion.core.lazy import load
from fermion.data.profile_values import Picture
from fermion.data.table import Table
from fermion.measure.png import png

SHOWN = 12
SIDE = 96  # pixels


def pictures_of(table: Table, name: str, rows_S: NDArray[np.int64], label: str | None) -> tuple[Picture, ...]:
    """Up to 12 pictures, evenly spread over these rows, labelled by the column `label`; what cannot be read says so in its label."""
    rows = rows_S[np.linspace(0, len(rows_S) - 1, min(SHOWN, len(rows_S))).astype(np.int64)]
    some = table.take(rows)
    labels = [shortened(value) if not isinstance(value, str) else value for value in some.series(label).to_list()] if label else []
    shown: list[Picture] = []
    for place, value in enumerate(some.values(name)):
        if value is None:
            continue
        small, why = _small(value)
        shown.append(Picture(png=small, label=" · ".join([*labels[place : place + 1], f"row {rows[place]}{why}"])))
    return tuple(shown)


def _small(value: Any) -> tuple[bytes, str]:
    if isinstance(value, np.ndarray):
        pixels: NDArray[Any] = value
        step = max(1, -(-max(pixels.shape[:2]) // SIDE))
        return png(np.ascontiguousarray(pixels[::step, ::step])), ""
    image = load("PIL.Image", extra="media")
    try:
        with image.open(io.BytesIO(value) if isinstance(value, bytes) else value) as opened:
            opened.thumbnail((SIDE, SIDE))
            return png(np.asarray(opened.convert("RGB"))), ""
    except (OSError, ValueError, image.DecompressionBombError) as broken:
        return png(np.zeros((1, 1), np.uint8)), f", unreadable ({type(broken).__name__})"
