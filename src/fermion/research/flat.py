"""Encoded arrays as one matrix of plain numbers, for models that take nothing else: in numpy and in a graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.category import FIRST, UNSEEN
from fermion.columns.column import Arrays
from fermion.core.errors import DataError, Told
from fermion.research.model import Encoded
from fermion.research.nodes import Nodes

MOST_LEVELS = 100  # levels of a category with a column of their own; rarer ones share that of unseen ones
MOST = 20_000  # columns of the matrix


class Piece(Struct, frozen=True, kw_only=True):
    """One array of a fixed shape that is flattened beside the numbers: (N, *shape) of dtype, divided by `scale`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float
    fill: NDArray[np.float32] | None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Flat(Struct, frozen=True, kw_only=True):
    """x = [numbers, one column per level of each code, every other array of a fixed shape in one row], (N, D) float32.

    Numbers are as they are. Where `fill` is there, a missing one is the median of the training part; otherwise it stays NaN. Pictures
    are shares of 255. Arrays of varying length are not read: `left` names them.
    """

    numbers: int
    fill: NDArray[np.float32] | None
    sizes: tuple[int, ...]
    pieces: tuple[Piece, ...]
    left: tuple[str, ...]

    @classmethod
    def of(cls, train: Encoded, *, impute: bool) -> Flat:
        """Learn medians, where gaps are to be filled, from the training part.

        Raises:
            DataError: nothing of a fixed shape, or too much of it.
        """
        layout = train.schema.layout
        pieces: list[Piece] = []
        left: list[str] = []
        for named in layout.arrays:
            shape = tuple(size for size in named.slot.shape if size is not None)
            if len(shape) < len(named.slot.shape) or named.slot.dtype not in ("float32", "uint8"):
                left.append(named.name)
                continue
            array = train.arrays[named.name]
            whole = named.slot.dtype == "uint8"
            fill = None if whole or not impute else medians(array.reshape(len(array), -1))
            scale = 255.0 if named.slot.role == "image" else 1.0
            pieces.append(Piece(name=named.name, dtype=named.slot.dtype, shape=shape, scale=scale, fill=fill))
        fill = medians(train.arrays["numbers"]) if impute and layout.numbers else None
        sizes = tuple(ref.size for ref in layout.codes)
        flat = cls(numbers=len(layout.numbers), fill=fill, sizes=sizes, pieces=tuple(pieces), left=tuple(left))
        if not 0 < flat.width <= MOST:
            raise DataError(
                "the table",
                rule=f"one whose numbers, categories, vectors and pictures make at most {MOST:,} columns, and at least one",
                given=Told(f"{flat.width:,} columns" if flat.width else ", ".join(left) or "no column"),
                remedy="Use a model of the package for texts, sequences and large pictures.",
            )
        return flat

    @property
    def kept(self) -> tuple[int, ...]:
        """How many columns each code has."""
        return tuple(min(size, FIRST + MOST_LEVELS) for size in self.sizes)

    @property
    def width(self) -> int:
        """D."""
        return self.numbers + sum(self.kept) + sum(piece.size for piece in self.pieces)

    @property
    def reads(self) -> tuple[str, ...]:
        """The arrays that are read."""
        fused = (("numbers",) if self.numbers else ()) + (("codes",) if self.sizes else ())
        return fused + tuple(piece.name for piece in self.pieces)

    @property
    def plain(self) -> bool:
        """Whether the matrix is the array `numbers` itself."""
        return self.reads == ("numbers",) and self.fill is None

    def matrix(self, arrays: Arrays) -> NDArray[np.float32]:
        """(N, D)."""
        parts: list[NDArray[Any]] = []
        if self.numbers:
            x_NF = arrays["numbers"]
            parts.append(x_NF if self.fill is None else np.where(np.isnan(x_NF), self.fill, x_NF))
        for position, (size, kept) in enumerate(zip(self.sizes, self.kept, strict=True)):
            codes_N = arrays["codes"][:, position]
            codes_N = np.where((codes_N < kept) & (codes_N < size), codes_N, UNSEEN)
            parts.append(codes_N[:, None] == np.arange(kept))
        for piece in self.pieces:
            x_NP = arrays[piece.name].reshape(len(arrays[piece.name]), -1)
            x_NP = x_NP if piece.fill is None else np.where(np.isnan(x_NP), piece.fill, x_NP)
            parts.append(x_NP if piece.scale == 1 else x_NP / np.float32(piece.scale))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def nodes(self, nodes: Nodes, *, numbers: Callable[[Nodes, str], str] | None = None) -> str:
        """The same in a graph: the name of x. `numbers` is what is done to the numbers first."""
        parts: list[str] = []
        if self.numbers:
            x = nodes.input("numbers", "float32", self.numbers)
            parts.append(_filled(nodes, x if numbers is None else numbers(nodes, x), self.fill))
        if self.sizes:
            codes = nodes.input("codes", "int64", len(self.sizes))
            for position, kept in enumerate(self.kept):
                code = nodes.add("Gather", codes, nodes.constant(np.array([position], dtype=np.int64)), axis=1)
                inside = nodes.add("Less", code, nodes.constant(np.int64(kept)))
                code = nodes.add("Where", inside, code, nodes.constant(np.int64(UNSEEN)))
                levels = nodes.constant(np.arange(kept, dtype=np.int64))
                parts.append(nodes.add("Cast", nodes.add("Equal", code, levels), to=1))
        for piece in self.pieces:
            x = nodes.input(piece.name, piece.dtype, *piece.shape)
            flat = nodes.add("Reshape", x, nodes.constant(np.array([-1, piece.size], dtype=np.int64)))
            flat = flat if piece.dtype == "float32" else nodes.add("Cast", flat, to=1)
            flat = _filled(nodes, flat, piece.fill)
            parts.append(flat if piece.scale == 1 else nodes.add("Div", flat, nodes.constant(np.float32(piece.scale))))
        return nodes.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def medians(x_NF: NDArray[np.float32]) -> NDArray[np.float32]:
    """(F,) medians of what is present, 0 where nothing is.

    >>> medians(np.array([[1.0, np.nan], [3.0, np.nan]], dtype=np.float32)).tolist()
    [2.0, 0.0]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a value
        return np.nan_to_num(np.nanmedian(x_NF, axis=0)).astype(np.float32)


def _filled(nodes: Nodes, x: str, fill: NDArray[np.float32] | None) -> str:
    return x if fill is None else nodes.add("Where", nodes.add("IsNaN", x), nodes.constant(fill), x)
