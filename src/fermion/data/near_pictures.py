"""Pictures that are nearly the same: low frequencies as a perceptual hash, candidates compared pixel by pixel under small shifts.

The hash is that of Zauner 2010, "Implementation and benchmarking of perceptual image hash functions" (the low frequencies of a cosine
transform), kept as numbers: the cosine of two hashes loses less under a shift than the number of equal signs does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.data.pairs import Pairs, Rows

SIDE = 32  # pixels that pictures are compared at; larger ones are reduced, so that a shift by a pixel becomes part of one
LOW = 6  # frequencies in each direction
ALIKE, ALIGNED = 0.87, 0.97  # the cosine of two hashes as they are, and of the best aligned ones, from which pixels are compared
BLOCK = 2_048  # pictures at a time
SHIFTS = tuple((dy, dx) for dy in (0, -1, 1) for dx in (0, -1, 1))

Array = NDArray[np.float32]


def near_pictures(images: NDArray[Any] | Sequence[NDArray[Any]], similarity: float = 0.8) -> Pairs:
    """Pairs of pictures that are one picture: shifted by a pixel, encoded again, a little darker or larger.

        similarity(a, b) = 1 - 2 sqrt(1 - r),  r the largest correlation of the grey values over shifts by up to one pixel

    of the pictures under a 3 x 3 binomial filter, for encoding changes the finest detail; 0.8 asks for a correlation of 0.99. A
    difference of one of 256 grey levels, as rounding makes it, does not count against a picture without contrast. Pictures of one
    colour are like no other. All hashes are compared with all others, N^2 / 2 products of 35 numbers: seconds for 10,000
    pictures, minutes for 100,000. The same pictures give the same pairs.

    >>> y, x = np.mgrid[:24, :24]
    >>> pairs = near_pictures(np.stack([np.sin(x / 4) * y, np.cos(y / 3) * x, np.sin((x - 1) / 4) * y]))
    >>> pairs.left.tolist(), pairs.right.tolist()
    ([0], [2])

    Args:
        images: (N, H, W) or (N, H, W, C) numbers, or N such pictures of any sizes.
        similarity: from above 0 to 1.
    """
    grey_NHW = _grey(images)
    if len(grey_NHW) < 2:
        return Pairs.of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    left, right = _candidates(grey_NHW)
    r = _correlations(_blurred(grey_NHW), left, right)
    alike = 1 - 2 * np.sqrt(np.maximum(0.0, 1 - r))
    good = alike >= similarity - 1e-6
    return Pairs.of(left[good], right[good], np.minimum(alike[good], 1.0))


def _grey(images: NDArray[Any] | Sequence[NDArray[Any]]) -> Array:
    """(N, h, w) grey values, all of one size of at most `SIDE`."""
    if isinstance(images, np.ndarray):
        blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
        size = _size(images.shape[1:3]) if len(images) else (1, 1)
    else:
        blocks = [np.asarray(image)[None] for image in images]
        shapes = {block.shape[1:3] for block in blocks}
        size = _size(shapes.pop()) if len(shapes) == 1 else (SIDE, SIDE)
    made = [_reduced(_flat(block), size) for block in blocks]
    return np.concatenate(made) if made else np.empty((0, 1, 1), dtype=np.float32)


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    return min(shape[0], SIDE), min(shape[1], SIDE)


def _flat(block: NDArray[Any]) -> Array:
    grey = block.astype(np.float32)
    return grey.mean(axis=3) if grey.ndim == 4 else grey


def _reduced(grey_NHW: Array, size: tuple[int, int]) -> Array:
    """Each pixel the mean of the area that it covers; smaller pictures are enlarged the same way."""
    height, width = grey_NHW.shape[1:]
    if (height, width) == size:
        return grey_NHW
    return np.einsum("ah,nhw,bw->nab", _areas(height, size[0]), grey_NHW, _areas(width, size[1]), optimize=True).astype(np.float32)


def _areas(old: int, new: int) -> Array:
    """(new, old) shares of the old pixels in the new ones."""
    edges = np.linspace(0, old, new + 1)
    pixels = np.arange(old)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(covered, 0) / (old / new)).astype(np.float32)


def _blurred(grey_NHW: Array) -> Array:
    wide = _padded(grey_NHW)
    rows = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
    return ((rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4).astype(np.float32)


def _padded(grey_NHW: Array) -> Array:
    return np.pad(grey_NHW, [(0, 0), (1, 1), (1, 1)], mode="edge")


def _hashes(grey_NHW: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(N, D) low frequencies without the mean, of length one; and which pictures are of one colour."""
    height, width = grey_NHW.shape[1:]
    rows, columns = _cosines(min(LOW, height), height), _cosines(min(LOW, width), width)
    low = np.matmul(rows, np.matmul(grey_NHW, columns.T)).reshape(len(grey_NHW), len(rows) * len(columns))[:, 1:]
    length = np.linalg.norm(low, axis=1, keepdims=True)
    flat = grey_NHW.std(axis=(1, 2)) <= 1e-3 * np.maximum(1e-6, abs(grey_NHW).max(axis=(1, 2), initial=0.0))
    return low / np.maximum(length, 1e-12), flat


def _cosines(count: int, size: int) -> Array:
    return np.cos(np.pi * np.arange(count)[:, None] * (np.arange(size) + 0.5) / size).astype(np.float32)


def _candidates(grey_NHW: Array) -> tuple[Rows, Rows]:
    """Pairs whose hashes are alike, and more so once one of the two pictures is shifted."""
    hash_ND, flat_N = _hashes(grey_NHW)
    rows = np.flatnonzero(~flat_N)
    hash_ND = hash_ND[rows]
    height, width = grey_NHW.shape[1:]
    wide = _padded(grey_NHW[rows])
    shifted = [_hashes(wide[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width])[0] for dy, dx in SHIFTS]
    left: list[Rows] = [np.empty(0, dtype=np.int64)]
    right: list[Rows] = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(rows), BLOCK):
        some_BD = hash_ND[start : start + BLOCK]
        for other in range(start, len(rows), BLOCK):
            others_BD = hash_ND[other : other + BLOCK]
            one, two = np.divmod(np.flatnonzero((some_BD @ others_BD.T).ravel() >= ALIKE), len(others_BD))
            later = (start + one) < (other + two)
            one, two = one[later], two[later]
            aligned = np.zeros(len(one), dtype=np.bool_)
            for turned_ND in shifted:
                open_M = np.flatnonzero(~aligned)
                cosine = np.einsum("md,md->m", turned_ND[start + one[open_M]], others_BD[two[open_M]])
                aligned[open_M[cosine >= ALIGNED]] = True
            left.append(rows[start + one[aligned]])
            right.append(rows[other + two[aligned]])
    return np.concatenate(left), np.concatenate(right)


def _correlations(grey_NHW: Array, left: Rows, right: Rows) -> NDArray[np.float64]:
    """(M,) the largest correlation over the shifts, of the parts that overlap; a grey level of difference is none."""
    height, width = grey_NHW.shape[1:]
    level = float(grey_NHW.max(initial=0.0) - grey_NHW.min(initial=0.0)) / 256
    best = np.full(len(left), -1.0)
    shifts = SHIFTS if min(height, width) > 4 else SHIFTS[:1]
    for start in range(0, len(left), BLOCK):
        some = slice(start, start + BLOCK)
        one, two = grey_NHW[left[some]], grey_NHW[right[some]]
        for dy, dx in shifts:
            a = one[:, max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)].reshape(len(one), -1)
            b = two[:, max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)].reshape(len(two), -1)
            a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
            spread = np.maximum(np.sqrt(np.einsum("mp,mp->m", a, a) * np.einsum("mp,mp->m", b, b)), 1e-9)
            rest = 1 - np.einsum("mp,mp->m", a, b) / spread - level**2 * a.shape[1] / (2 * spread)
            best[some] = np.maximum(best[some], 1 - np.maximum(rest, 0.0))
    return best
