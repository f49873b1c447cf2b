"""Encoded rows as points whose distances mean something: what choosing unlike rows measures with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.schema import Layout
from fermion.core.errors import DataError, Told

LEVELS = 32  # of a category that are told apart, the most frequent ones; codes are in that order
FAR = 5.0  # standard deviations beyond which a number is no farther
SIDE = 16  # pixels of a picture's longer side
WEIGHT = 4.0  # a picture counts as much as 16 numbers


def embedding(arrays: Arrays, layout: Layout) -> NDArray[np.float32]:
    """(N, F) numbers in standard deviations (missing ones at the mean), categories as indicators, pictures as coarse pixels.

    A number has variance 1, two different levels of a category are as far apart as two numbers that differ by one deviation, and all
    pixels of a picture together have a variance of 16. Other arrays (text, sound) are not looked at.

    >>> from fermion.columns.number import Number
    >>> from fermion.columns.schema import Schema
    >>> schema = Schema.of({"x": Number()}).fit({"x": [1.0, 3.0]})
    >>> embedding(schema.encode({"x": [1.0, 3.0]}), schema.layout).tolist()
    [[-1.0], [1.0]]

    Args:
        arrays: as `Schema.encode` makes them.
        layout: the schema's.

    Raises:
        DataError: there is neither a number, nor a category, nor a picture.
    """
    parts: list[NDArray[np.float32]] = []
    if "numbers" in arrays:
        x_NF = arrays["numbers"].astype(np.float64)
        known_NF = np.isfinite(x_NF)
        count_F = np.maximum(known_NF.sum(0), 1)
        apart_NF = np.where(known_NF, x_NF - np.where(known_NF, x_NF, 0).sum(0) / count_F, 0)
        deviation_F = np.sqrt((apart_NF**2).sum(0) / count_F)
        parts.append(np.clip(apart_NF / np.where(deviation_F > 0, deviation_F, 1), -FAR, FAR).astype(np.float32))
    for place, ref in enumerate(layout.codes):
        codes_N = np.minimum(arrays["codes"][:, place], min(ref.size, LEVELS) - 1)
        parts.append((codes_N[:, None] == np.arange(min(ref.size, LEVELS))).astype(np.float32) / np.float32(np.sqrt(2)))
    parts += [_coarse(arrays[named.name]) for named in layout.arrays if named.slot.role == "image"]
    if not parts:
        given = Told(", ".join(named.name for named in layout.arrays) or "no column")
        raise DataError("the rows", rule="made of numbers, categories or pictures, to compare them", given=given, remedy="Use random.")
    return np.concatenate(parts, axis=1)


def _coarse(pixels_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means over equal blocks, at most 16 a side, with a total variance of 16."""
    rows, height, width, channels = pixels_NHWC.shape
    step = max(1, -(-max(height, width) // SIDE))
    high, wide = height // step * step or height, width // step * step or width  # what does not fill a block is cut off
    blocks = (rows, max(1, high // step), min(step, high), max(1, wide // step), min(step, wide), channels)
    small_NF = pixels_NHWC[:, : blocks[1] * blocks[2], : blocks[3] * blocks[4]].reshape(blocks).mean((2, 4), dtype=np.float32)
    flat_NF = small_NF.reshape(rows, -1)
    flat_NF -= flat_NF.mean(0)
    total = float((flat_NF**2).sum(1).mean()) if rows else 0.0
    return flat_NF * np.float32(WEIGHT / np.sqrt(total)) if total > 0 else flat_NF
