"""What boosted trees of every library share: the matrix they read, the rounds until nothing improves, and their sums as a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.category import FIRST, MISSING, UNSEEN
from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, Stopped, Told
from fermion.core.run import Run
from fermion.research.design import vectors_of
from fermion.research.forest import Branches
from fermion.research.goals import Goal, answer_nodes, answer_of, scores, to_learn
from fermion.research.model import Curve, Encoded, Export
from fermion.research.nodes import Nodes
from fermion.research.parity import ROWS

MOST_LEVELS = 64  # categories with more levels are split by rank of frequency: sets of many rare levels only fit noise
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


def check_running(run: Run) -> None:
    """Whether there may be a first round.

    Raises:
        Stopped: someone asked to stop before it.
    """
    if run.stopped:
        raise Stopped("the training", rule="given time for one round of boosting", given=Told("a stop before the first"))


def probe_of(arrays: Arrays, reads: Sequence[str]) -> Arrays:
    """Up to 1,000 rows, evenly over the training part, that an export is compared on."""
    rows = len(arrays[reads[0]])
    at = np.linspace(0, rows - 1, min(ROWS, rows)).astype(np.int64)
    return {name: arrays[name][at] for name in reads}


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


class Grown(Struct, frozen=True, kw_only=True):
    """What was learned: by output array one model per goal, or its constant; by goal how many rounds, and curves."""

    models: dict[str, tuple[Any, ...]]
    rounds: dict[str, int]
    curves: tuple[Curve, ...]


def grow_all(train: Encoded, valid: Encoded, run: Run, grow: Callable[[Goal, Goal, Run], tuple[Any, Rounds]], *, balance: bool) -> Grown:
    """Grow one ensemble per goal of every output; each may use an equal share of the time that those before it left.

    Args:
        grow: a model, from the goal's rows of the training and of the validation part.
        balance: whether every class counts equally.
    """
    goals = to_learn(train, valid)
    models: dict[str, tuple[Any, ...]] = {output.array: () for output in train.outputs}
    rounds: dict[str, int] = {}
    curves: list[Curve] = []
    for place, (output, goal, held) in enumerate(goals):
        if (model := goal.constant) is None:
            share = run.within(1 / (len(goals) - place))
            model, went = grow(*((goal.balanced(), held.balanced()) if balance else (goal, held)), share)
            rounds[goal.name] = went.best
            curves.append(went.curve(goal.name, validated=len(held) > 0))
        models[output.array] += (model,)
    return Grown(models=models, rounds=rounds, curves=tuple(curves))


def answers_of(outputs: Sequence[Output], models: Mapping[str, Sequence[Any]], rows: int, predict: Callable[[Output, Any], Any]) -> Arrays:
    """The answers to N rows; `predict` gives the raw scores of one model, (N,) or (N, K)."""
    made: Arrays = {}
    for output in outputs:
        raw_NK = np.zeros((rows, scores(output)))
        if rows:
            parts = [
                np.full((rows, 1), model) if isinstance(model, float) else np.reshape(predict(output, model), (rows, -1))
                for model in models[output.array]
            ]
            raw_NK = np.concatenate(parts, axis=1)
        made[output.array] = answer_of(raw_NK, output)
    return made


class Sum(Struct, frozen=True, kw_only=True):
    """Ensembles as numbers: their branches and the K raw scores that every row starts from."""

    branches: Branches
    base: list[float]


def sum_of_all(parts: Sequence[Sum]) -> Sum:
    """Several ensembles as one, their scores side by side."""
    branches, base = Branches(), list[float]()
    for part in parts:
        branches.append(part.branches, len(base))
        base += part.base
    return Sum(branches=branches, base=base)


def constant(score: float) -> Sum:
    """An ensemble that says one number."""
    branches = Branches()
    branches.leaf(0, 0, [0.0])
    return Sum(branches=branches, base=[score])


def sum_nodes(nodes: Nodes, x: str, parts: Sequence[Sum], output: Output) -> str:
    """Ensembles side by side -> the output's array."""
    made = sum_of_all(parts)
    return answer_nodes(nodes, nodes.add("TreeEnsembleRegressor", x, domain="ai.onnx.ml", **made.branches.attributes(made.base)), output)


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
        graphs[called] = nodes.finish({"y": y}, shapes={"y": output.tail})
        steps.append(Onnx(graph=called, inputs={read: read for read in reads}, outputs={"y": output.array}))
    return Export(graphs=graphs, steps=tuple(steps), tolerance=tolerance)
