"""What boosted trees of every library share: the matrix they read, the rounds until nothing improves, and their sum as a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.category import FIRST, MISSING, UNSEEN
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, Stopped, Told
from fermion.core.run import Run
from fermion.research.design import vectors_of
from fermion.research.forest import Branches
from fermion.research.model import Curve, Export
from fermion.research.nodes import Nodes
from fermion.research.targets import Target, width

MOST_LEVELS = 64  # categories with more levels are split by rank of frequency: sets of many rare levels only fit noise
MOST_CLASSES = 1000  # every round grows a tree for each class
MOST_ROUNDS, UNVALIDATED_ROUNDS = 5000, 200


class Inputs(Struct, frozen=True, kw_only=True):
    """How the encoder's arrays become the trees' matrix: numbers, the vectors' numbers, then codes as numbers.

    `vectors` are arrays of the role "vector" with their lengths. `sets` are the columns of the matrix that are split by sets of levels.
    Codes with more levels are split by rank of frequency, where unseen levels rank last and missing ones are missing.
    """

    numbers: int
    vectors: tuple[tuple[str, int], ...]
    codes: int
    sets: list[int]
    ranked: NDArray[np.bool_]  # (C,)
    last: NDArray[np.float32]  # (C,) the rank after the last, for levels that training did not see
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, schema: Schema, *, model: str) -> Inputs:
        """The inputs of a fitted schema.

        Raises:
            DataError: there is nothing that trees read.
        """
        layout = schema.layout
        vectors = vectors_of(schema)
        if not layout.numbers and not layout.codes and not vectors:
            raise DataError(
                "the table",
                rule=f"one with a number, category, flag, time or vector column, for {model}",
                given=Told(", ".join(named.name for named in layout.arrays) or "no column"),
                remedy="Set model.type to cnn for images, to tfidf for text, or to net for what else there is.",
            )
        before = len(layout.numbers) + sum(size for _, size in vectors)
        ranked = np.array([ref.size - FIRST > MOST_LEVELS for ref in layout.codes], dtype=np.bool_)
        read = {name for name, _ in vectors}
        return cls(
            numbers=len(layout.numbers),
            vectors=vectors,
            codes=len(layout.codes),
            sets=[before + position for position, rank in enumerate(ranked) if not rank],
            ranked=ranked,
            last=np.array([ref.size for ref in layout.codes], dtype=np.float32),
            ignored=tuple(named.name for named in layout.arrays if named.name not in read),
        )

    @property
    def reads(self) -> tuple[str, ...]:
        fused = (("numbers",) if self.numbers else ()) + (("codes",) if self.codes else ())
        return fused + tuple(name for name, _ in self.vectors)

    @property
    def width(self) -> int:
        """The columns of the matrix."""
        return self.numbers + sum(size for _, size in self.vectors) + self.codes

    def dense(self, arrays: Arrays) -> list[NDArray[Any]]:
        """The numbers and vectors, side by side."""
        return ([arrays["numbers"]] if self.numbers else []) + [arrays[name] for name, _ in self.vectors]

    def matrix(self, arrays: Arrays) -> NDArray[np.float32]:
        """(N, F + V + C) float32."""
        parts = self.dense(arrays)
        if self.codes:
            codes_NC = arrays["codes"]
            x_NC = codes_NC.astype(np.float32)
            x_NC = np.where(self.ranked & (codes_NC == UNSEEN), self.last, x_NC)
            parts.append(np.where(self.ranked & (codes_NC == MISSING), np.float32(np.nan), x_NC))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1, dtype=np.float32)

    def dense_nodes(self, nodes: Nodes) -> list[str]:
        """The numbers and vectors as inputs of a graph."""
        numbers = [nodes.input("numbers", "float32", self.numbers)] if self.numbers else []
        return numbers + [nodes.input(name, "float32", size) for name, size in self.vectors]

    def nodes(self, nodes: Nodes) -> str:
        """The matrix in a graph; numbers alone are fed as they are, which costs nothing."""
        parts = self.dense_nodes(nodes)
        if self.codes:
            x = nodes.add("Cast", nodes.input("codes", "int64", self.codes), to=1)
            if self.ranked.any():
                for code, instead in ((UNSEEN, self.last), (MISSING, np.full(self.codes, np.nan, dtype=np.float32))):
                    # a number that no code equals, where the column is a set
                    wanted = nodes.constant(np.where(self.ranked, np.float32(code), np.float32(-1)))
                    x = nodes.add("Where", nodes.add("Equal", x, wanted), nodes.constant(instead), x)
            parts.append(x)
        return nodes.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def check_classes(target: Target, *, model: str) -> Target:
    """The same target, where boosting can learn so many classes.

    Raises:
        DataError: there are more than 1,000.
    """
    if width(target.output) > MOST_CLASSES:
        raise DataError(
            f"the classes of `{target.output.target}`",
            rule=f"at most {MOST_CLASSES:,} for {model}, which grows a tree for each in every round",
            given=Told(f"{width(target.output):,}"),
            remedy="Group rare classes, or set model.type to knn or mlp.",
        )
    return target


def check_running(run: Run) -> None:
    """Whether there may be a first round.

    Raises:
        Stopped: someone asked to stop before it.
    """
    if run.stopped:
        raise Stopped("the training", rule="given time for one round of boosting", given=Told("a stop before the first"))


def balanced(target: Target) -> Target:
    """The same rows weighed so that every class counts equally, with mean 1; a value's rows stay as they are."""
    if not isinstance(target.output, Probability) or not len(target):
        return target
    total_K = np.bincount(target.y, weights=target.w, minlength=width(target.output))
    w = target.w / total_K[target.y]
    return structs.replace(target, w=w / w.mean())


class Rounds(Struct, frozen=True, kw_only=True):
    """How boosting went: the round with the least loss, and the loss after every round."""

    best: int
    losses: list[float]

    def curve(self, target: str, *, validated: bool) -> Curve:
        """The losses for the report."""
        x = [float(number) for number in range(1, len(self.losses) + 1)]
        return Curve(name=f"{target}: {'validation' if validated else 'training'} loss", x=x, y=self.losses, unit="rounds")


def boost(
    update: Callable[[], tuple[float, bool]], run: Run, *, target: str, rounds: int, patience: int, validated: bool, name: str
) -> Rounds:
    """Rounds until the validation loss has not improved for `patience` of them, or until time or a stop says so.

    Args:
        update: grows the next trees; answers the loss, on the validation part where there is one, and whether there is nothing to grow.
        rounds: the most of them; 0 leaves it to the validation part, or 200 without one.
        patience: 0 never ends early and keeps every round.
        name: of the model, for the progress.
    """
    most = rounds or (MOST_ROUNDS if validated and patience else UNVALIDATED_ROUNDS)
    best, best_loss = 0, np.inf
    losses: list[float] = []
    while len(losses) < most and not (losses and run.left() <= 0):
        loss, ended = update()
        losses.append(loss)
        run.emit("progress", "fit", f"{name} for {target}", done=len(losses), total=most, loss=loss)
        if not validated or not patience or loss < best_loss:
            best, best_loss = len(losses), loss
        if ended or len(losses) - best >= patience > 0:
            break
    return Rounds(best=max(best, 1), losses=losses)


class Sum(Struct, frozen=True, kw_only=True):
    """An ensemble as numbers: its branches and the K raw scores that every row starts from."""

    branches: Branches
    base: list[float]


def sum_nodes(nodes: Nodes, x: str, made: Sum, output: Output) -> str:
    """Raw scores (N, K') -> the output's array: the sigmoid beside its rest for two classes, softmax for more, the value itself."""
    z = nodes.add("TreeEnsembleRegressor", x, domain="ai.onnx.ml", **made.branches.attributes(made.base))
    if not isinstance(output, Probability):
        return nodes.add("Squeeze", z, nodes.constant(np.array([1], dtype=np.int64)))
    if len(made.base) == 1:
        p = nodes.add("Sigmoid", z)
        return nodes.add("Concat", nodes.add("Sub", nodes.constant(np.float32(1)), p), p, axis=1)
    return nodes.add("Softmax", z, axis=1)


def answer_of(raw_NK: NDArray[Any], output: Output) -> NDArray[np.float32]:
    """The same in numpy, in float64: (N, K) or (N,) float32."""
    z_NK = raw_NK.astype(np.float64)
    z_NK = z_NK[:, None] if z_NK.ndim == 1 else z_NK
    if not isinstance(output, Probability):
        return z_NK[:, 0].astype(np.float32)
    if z_NK.shape[1] == 1:
        z_NK = np.concatenate([np.zeros_like(z_NK), z_NK], axis=1)
    p_NK = np.exp(z_NK - z_NK.max(axis=1, keepdims=True))
    return (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)


def graphs_of(
    outputs: Sequence[Output], *, name: str, reads: Sequence[str], draw: Callable[[Nodes, Output], str], tolerance: float = 1e-4
) -> Export:
    """One graph per output; `draw` adds the nodes from its inputs to its array."""
    graphs: dict[str, bytes] = {}
    steps: list[Onnx] = []
    for output in outputs:
        called = name if len(outputs) == 1 else f"{name}-{len(graphs)}"
        nodes = Nodes(called)
        y = draw(nodes, output)
        shape = (width(output),) if isinstance(output, Probability) else ()
        graphs[called] = nodes.finish({"y": y}, shapes={"y": shape})
        steps.append(Onnx(graph=called, inputs={read: read for read in reads}, outputs={"y": output.array}))
    return Export(graphs=graphs, steps=tuple(steps), tolerance=tolerance)
