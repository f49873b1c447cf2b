"""The preparation in front of a graph that others make: gaps filled, numbers standardised, pictures as shares of 255."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.research.flat import Flat
from fermion.research.model import Encoded
from fermion.research.nodes import Nodes
from fermion.research.offered import Input, inputs_of

FAR = 1e6  # standard deviations; farther numbers are cut, so that no answer overflows


class Prelude(Struct, frozen=True, kw_only=True):
    """z = (x - mean) / scale for numbers, 0 where missing; beside them one matrix, or the arrays by their words.

    Args:
        mean: (F,) of the training part.
        scale: (F,) standard deviations there.
        flat: how the matrix is laid out; None for arrays.
        inputs: what is made, in order.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    flat: Flat | None
    inputs: tuple[Input, ...]

    @classmethod
    def of(cls, train: Encoded, *, matrix: bool) -> Prelude:
        """Learn from the training part.

        Raises:
            DataError: a matrix is asked for and nothing of a fixed shape is there.
        """
        flat = Flat.of(train, impute=False) if matrix else None
        mean, scale = moments(train.arrays["numbers"] if "numbers" in train.arrays else np.zeros((1, 0), dtype=np.float32))
        whole = (Input(name="matrix", dtype="float32", shape=(flat.width,), role="matrix"),) if flat else inputs_of(train.schema)
        return cls(mean=mean, scale=scale, flat=flat, inputs=whole)

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays -> prepared ones by their words."""
        ready = {name: self._ready(name, array) for name, array in arrays.items()}
        if self.flat is not None:
            return {"matrix": np.nan_to_num(self.flat.matrix(ready), nan=0.0)}
        return {one.word: ready[one.name] for one in self.inputs}

    def _ready(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        if name == "numbers":
            with np.errstate(over="ignore"):
                return np.clip(np.nan_to_num((array - self.mean) / self.scale, nan=0.0, posinf=FAR, neginf=-FAR), -FAR, FAR)
        if self.flat is None and any(one.name == name and one.role == "image" for one in self.inputs):
            return array.astype(np.float32) / np.float32(255)
        if self.flat is None and any(one.name == name and one.role == "vector" for one in self.inputs):
            return np.nan_to_num(array, nan=0.0)
        return array

    def step(self) -> tuple[dict[str, bytes], tuple[Onnx, ...], dict[str, str]]:
        """The same as a graph and a step, where there is anything to do, and the name of the array behind each word."""
        nodes = Nodes("prepare")
        made: dict[str, str] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        reads: tuple[str, ...]
        if self.flat is not None:
            x = self.flat.nodes(nodes, numbers=self._numbers)
            made["matrix"], shapes["matrix"], reads = _gapless(nodes, x), (self.flat.width,), self.flat.reads
        else:
            for one in self.inputs:
                shape = tuple(size for size in one.shape if size is not None)
                if one.role not in ("numbers", "image", "vector") or len(shape) < len(one.shape):
                    continue
                x = nodes.input(one.name, "uint8" if one.role == "image" else "float32", *shape)
                if one.role == "numbers":
                    x = self._numbers(nodes, x)
                elif one.role == "image":
                    x = nodes.add("Div", nodes.add("Cast", x, to=1), nodes.constant(np.float32(255)))
                else:
                    x = _gapless(nodes, x)
                made[one.word], shapes[one.word] = x, shape
            reads = tuple(one.name for one in self.inputs if one.word in made)
        names = {one.word: f"prepared:{one.word}" if one.word in made else one.name for one in self.inputs}
        if not made:
            return {}, (), names
        graph = nodes.finish(
            {f"prepared_{word}": x for word, x in made.items()}, shapes={f"prepared_{word}": shapes[word] for word in made}
        )
        outputs = {f"prepared_{word}": names[word] for word in made}
        return {"prepare": graph}, (Onnx(graph="prepare", inputs={name: name for name in reads}, outputs=outputs),), names

    def _numbers(self, nodes: Nodes, x: str) -> str:
        z = nodes.add("Div", nodes.add("Sub", x, nodes.constant(self.mean)), nodes.constant(self.scale))
        return nodes.add("Clip", _gapless(nodes, z), nodes.constant(np.float32(-FAR)), nodes.constant(np.float32(FAR)))


def moments(x_NF: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(F,) mean and (F,) standard deviation of what is present; 0 and 1 where there is nothing, or no spread.

    >>> [one.tolist() for one in moments(np.array([[1.0, np.nan], [3.0, np.nan]], dtype=np.float32))]
    [[2.0, 0.0], [1.0, 1.0]]
    """
    masked = np.ma.masked_invalid(x_NF.astype(np.float64))
    spread = np.ma.filled(masked.std(0), 1.0)
    return np.ma.filled(masked.mean(0), 0.0).astype(np.float32), np.where(spread > 0, spread, 1.0).astype(np.float32)


def _gapless(nodes: Nodes, x: str) -> str:
    return nodes.add("Where", nodes.add("IsNaN", x), nodes.constant(np.float32(0)), x)
