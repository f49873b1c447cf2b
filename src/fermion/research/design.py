"""The design matrix of a linear model: encoded arrays as numbers of comparable size, in numpy and in a graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.category import FIRST, UNSEEN
from fermion.columns.column import Arrays
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, Told
from fermion.research.model import Encoded
from fermion.research.nodes import Nodes

MOST_LEVELS = 100  # levels of a category with a weight of their own; rarer ones share that of unseen ones
MOST_PIXELS = 4096
FAR = 1e6  # standard deviations; farther numbers are cut, so that no answer overflows


class Design(Struct, frozen=True, kw_only=True):
    """What the preparation learned: the first four are (F,). F numbers, those of vectors among them, P pixels of all images, C codes.

    x = [(number or median - mean) / scale, whether it is missing, pixel / 255, one column per level of each code].

    The columns for "missing" count only where training had missing values. The statistics are those of all training rows.
    """

    median: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    flagged: NDArray[np.bool_]
    images: tuple[tuple[str, tuple[int, ...]], ...]
    sizes: tuple[int, ...]
    plain: int = 0  # how many of the numbers are fused ones
    vectors: tuple[tuple[str, int], ...] = ()  # the others: arrays of numbers, with their lengths

    @classmethod
    def of(cls, train: Encoded, *, model: str = "a linear model", bare: bool = False) -> Design:
        """Learn from the training part.

        Args:
            model: what reads it, for messages.
            bare: whether there may be nothing to read, because the model reads something else as well.

        Raises:
            DataError: nothing to read, or pictures that are too large for a linear model.
        """
        layout = train.schema.layout
        images, vectors = _images(train.schema), vectors_of(train.schema)
        pixels = sum(int(np.prod(shape)) for _, shape in images)
        if not (layout.numbers or layout.codes or images or vectors or bare) or pixels > MOST_PIXELS:
            raise DataError(
                "the table",
                rule=f"one with numbers, categories, vectors or pictures of at most {MOST_PIXELS} pixels, for {model}",
                given=Told(f"{pixels} pixels" if images else ", ".join(named.name for named in layout.arrays) or "no column"),
                remedy="Set model.type to cnn for pictures, to tfidf for text.",
            )
        x_NF = _numbers(train.arrays, len(layout.numbers), vectors, len(train))
        median_F = _median(x_NF)
        filled_NF = np.where(np.isnan(x_NF), median_F, x_NF).astype(np.float64)
        spread_F = filled_NF.std(axis=0)
        return cls(
            median=median_F,
            mean=filled_NF.mean(axis=0).astype(np.float32),
            scale=np.where(spread_F > 0, spread_F, 1.0).astype(np.float32),
            flagged=np.asarray(np.isnan(x_NF).any(axis=0)),
            images=images,
            sizes=tuple(ref.size for ref in layout.codes),
            plain=len(layout.numbers),
            vectors=vectors,
        )

    @property
    def numbers(self) -> int:
        return len(self.median)

    @property
    def reads(self) -> tuple[str, ...]:
        fused = (("numbers",) if self.plain else ()) + (("codes",) if self.sizes else ())
        return fused + tuple(name for name, _ in (*self.vectors, *self.images))

    def dense(self, arrays: Arrays) -> NDArray[np.float32]:
        """(N, F + F + P): standardised numbers, their missing flags, pixels."""
        parts: list[NDArray[Any]] = []
        if self.numbers:
            x_NF = _numbers(arrays, self.plain, self.vectors, 0)
            missing_NF = np.isnan(x_NF)
            with np.errstate(over="ignore"):
                z_NF = (np.where(missing_NF, self.median, x_NF) - self.mean) / self.scale
            parts += [np.clip(z_NF, -FAR, FAR), missing_NF & self.flagged]
        parts += [arrays[name].reshape(len(arrays[name]), -1) / np.float32(255) for name, _ in self.images]
        return (
            np.concatenate(parts, axis=1, dtype=np.float32) if parts else np.zeros((len(next(iter(arrays.values()))), 0), dtype=np.float32)
        )

    def matrix(self, arrays: Arrays) -> NDArray[Any]:
        """(N, D) the whole design with the one-hot columns, float64 where memory allows."""
        dense = self.dense(arrays)
        rows, kept = len(dense), [min(size, FIRST + MOST_LEVELS) for size in self.sizes]
        columns = dense.shape[1] + sum(kept)
        x_ND = np.zeros((rows, columns), dtype=np.float64 if rows * columns < 50_000_000 else np.float32)
        x_ND[:, : dense.shape[1]] = dense
        start = dense.shape[1]
        for position, size in enumerate(kept):
            codes_N = arrays["codes"][:, position]
            x_ND[np.arange(rows), start + np.where(codes_N < size, codes_N, UNSEEN)] = 1.0
            start += size
        return x_ND

    def split(self, w_DK: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights of the design -> (F + F + P, K) of the dense part and (sum of sizes, K), one row per code, of the one-hot part."""
        start = len(w_DK) - sum(min(size, FIRST + MOST_LEVELS) for size in self.sizes)
        tables = [np.zeros((0, w_DK.shape[1]))]
        dense_DK = w_DK[:start]
        for size in self.sizes:
            kept = min(size, FIRST + MOST_LEVELS)
            rare = np.repeat(w_DK[start + UNSEEN][None], size - kept, axis=0)
            tables += [w_DK[start : start + kept], rare]
            start += kept
        return dense_DK.astype(np.float32), np.concatenate(tables).astype(np.float32)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(C,) where each code's rows begin in the one-hot part."""
        return np.cumsum([0, *self.sizes], dtype=np.int64)[:-1]

    def nodes(self, nodes: Nodes) -> tuple[str, str]:
        """The same in a graph: the dense part, and the rows of the one-hot part to be summed; "" where there is none."""
        parts: list[str] = []
        if self.numbers:
            raw = [nodes.input("numbers", "float32", self.plain)] if self.plain else []
            raw += [nodes.input(name, "float32", size) for name, size in self.vectors]
            x = nodes.add("Concat", *raw, axis=1) if len(raw) > 1 else raw[0]
            missing = nodes.add("IsNaN", x)
            filled = nodes.add("Where", missing, nodes.constant(self.median), x)
            z = nodes.add("Div", nodes.add("Sub", filled, nodes.constant(self.mean)), nodes.constant(self.scale))
            z = nodes.add("Clip", z, nodes.constant(np.float32(-FAR)), nodes.constant(np.float32(FAR)))
            flags = nodes.add("Cast", nodes.add("And", missing, nodes.constant(self.flagged)), to=1)
            parts += [z, flags]
        rows = ""
        if self.sizes:
            rows = nodes.add("Add", nodes.input("codes", "int64", len(self.sizes)), nodes.constant(self.offsets))
        for name, shape in self.images:
            image = nodes.add("Cast", nodes.input(name, "uint8", *shape), to=1)
            flat = nodes.add("Reshape", image, nodes.constant(np.array([-1, int(np.prod(shape))], dtype=np.int64)))
            parts.append(nodes.add("Div", flat, nodes.constant(np.float32(255))))
        dense = nodes.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0] if parts else ""
        return dense, rows


def vectors_of(schema: Schema) -> tuple[tuple[str, int], ...]:
    """The arrays of the role "vector" whose length is fixed, with their lengths: more numbers, for models of tables."""
    flat = [named for named in schema.layout.arrays if named.slot.role == "vector" and len(named.slot.shape) == 1]
    return tuple((named.name, size) for named in flat if (size := named.slot.shape[0]) is not None)


def _numbers(arrays: Arrays, plain: int, vectors: tuple[tuple[str, int], ...], rows: int) -> NDArray[np.float32]:
    """(N, F) the fused numbers and the vectors, side by side."""
    parts = ([arrays["numbers"]] if plain else []) + [arrays[name] for name, _ in vectors]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0), dtype=np.float32)


def _images(schema: Schema) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(
        (named.name, tuple(size for size in named.slot.shape if size is not None))
        for named in schema.layout.arrays
        if named.slot.role == "image" and None not in named.slot.shape
    )


def _median(x_NF: NDArray[np.float32]) -> NDArray[np.float32]:
    """(F,) medians of what is present, 0 where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a value
        return np.nan_to_num(np.nanmedian(x_NF, axis=0)).astype(np.float32)
