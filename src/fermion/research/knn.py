"""The nearest neighbours: the answer of the training rows that a row is most like, found by comparing it with all of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.category import FIRST, UNSEEN
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core.errors import SpecError, Stopped, Told
from fermion.core.run import Run
from fermion.research.design import MOST_LEVELS, Design
from fermion.research.model import Curve, Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.rowloss import losses_of, mixed_loss
from fermion.research.targets import Target, labelled, learnable, width

TRIED = (1, 2, 3, 5, 8, 12, 20, 35, 50)
JUDGED = 2000  # validation rows that are enough to choose k
NEAR = 1e-3  # standard deviations; nearer rows count as this far, so that an equal row does not count infinitely
FAR = 100.0  # standard deviations; farther numbers are cut, so that squares keep their last digits
STEP = 1e9  # squared distances are rounded to multiples of its inverse: equal rows are equally far, however a product was summed

Vector = NDArray[np.float64]


class Knn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="knn"):
    """The k training rows with the least |x - x_i|, where x is the prepared row: standardised numbers, flags, and levels that differ by 1.

    For classes p_k = (prior_k + sum_i u_i w_i [y_i = k]) / (1 + sum_i u_i w_i), a row of prior knowledge added so that no probability
    is 0; for values sum_i u_i w_i y_i / sum_i u_i w_i. w are the rows' weights; u is 1, or with `weights: distance` d_1 / d_i, which is
    1 for the nearest. Of rows that are equally far the first counts.

    The bundle carries the rows themselves and every answer is compared with all of them, so there are at most `rows` of them: drawn by
    lot, for classes in equal shares. A table with private columns is refused, for the same reason.

    Args:
        k: how many neighbours; 0 chooses from 1 to 50 on the validation part, or 12 without one.
        weights: uniform or distance; auto chooses on the validation part.
        rows: the most rows that are kept.

    >>> Knn(k=5).rows
    20000

    Cover, Hart: Nearest Neighbor Pattern Classification, IEEE Transactions on Information Theory 1967.
    """

    k: Annotated[int, Meta(ge=0, le=1000)] = 0
    weights: Literal["auto", "uniform", "distance"] = "auto"
    rows: Annotated[int, Meta(ge=1)] = 20_000

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Keep the rows, and choose k for every output.

        Raises:
            DataError: no labelled row, one class, nothing to read, or pictures that are too large.
            SpecError: a target that is neither classes nor a number, or private columns.
            Stopped: it was stopped before it began.
        """
        targets = [learnable(output, train, model="knn") for output in train.outputs]
        if train.schema.private:
            raise SpecError(
                "the columns of model.type knn",
                rule="not private: the bundle would carry the training rows themselves",
                given=Told(", ".join(sorted(train.schema.private))),
                remedy="Choose another model, or ignore these columns.",
            )
        if run.stopped:
            raise Stopped("the training", rule="given time to compare the rows", given=Told("a stop before it"))
        design = Design.of(train, model="knn")
        space = Space(design=design, kept=tuple(min(size, FIRST + MOST_LEVELS) for size in design.sizes))
        heads: dict[str, Neighbours] = {}
        notes: list[str] = []
        curves: list[Curve] = []
        for target in targets:
            output = target.output
            some = _drawn(target, self.rows, run)
            x_RD = space.points({name: train.arrays[name][some.at] for name in design.reads})
            found = _Choice(space, x_RD, some, labelled(output, valid), valid.arrays, run)
            k, near, losses = found.best(self.k, self.weights)
            prior_K = np.zeros(0)
            if isinstance(output, Probability):
                prior_K = np.bincount(some.y, weights=some.w, minlength=width(output)) / some.w.sum()
            heads[output.array] = Neighbours(points=x_RD, y=some.y, w=some.w, k=k, near=near, prior=prior_K)
            notes.append(f"{output.target}: {k} neighbours{', weighed by distance' if near else ''}")
            if len(some) < len(target):
                notes.append(f"{output.target}: {len(some):,} of {len(target):,} rows are kept, for the size and the speed of the bundle")
            if losses:
                x = [float(tried) for tried, _ in losses]
                curves.append(Curve(name=f"{output.target}: validation loss", x=x, y=[loss for _, loss in losses], unit="neighbours"))
        learned = Lookup(outputs=train.outputs, space=space, heads=heads)
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, curves=tuple(curves), notes=tuple(notes))


class Space(Struct, frozen=True, kw_only=True):
    """Where rows are points: the design, with `kept` levels of each code, every level sqrt(1/2) along an axis of its own."""

    design: Design
    kept: tuple[int, ...]

    @property
    def levels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(H,) the code's place and the level that each axis asks for."""
        pairs = [(place, code) for place, size in enumerate(self.kept) for code in range(size)]
        return np.array([place for place, _ in pairs], dtype=np.int64), np.array([code for _, code in pairs], dtype=np.int64)

    def points(self, arrays: Arrays) -> Vector:
        """(N, D) float64."""
        parts: list[NDArray[Any]] = [np.clip(self.design.dense(arrays), -FAR, FAR).astype(np.float64)]
        if self.kept:
            place_H, level_H = self.levels
            codes_NC = np.where(arrays["codes"] < np.array(self.kept), arrays["codes"], UNSEEN)
            parts.append((codes_NC[:, place_H] == level_H) * np.sqrt(0.5))
        return np.concatenate(parts, axis=1)

    def nodes(self, nodes: Nodes) -> str:
        """The same in a graph."""
        dense, _ = self.design.nodes(nodes)
        low, high = nodes.constant(np.float32(-FAR)), nodes.constant(np.float32(FAR))
        parts = [nodes.add("Cast", nodes.add("Clip", dense, low, high), to=11)] if dense else []
        if self.kept:
            place_H, level_H = self.levels
            codes = nodes.add("Less", "codes", nodes.constant(np.array(self.kept, dtype=np.int64)))
            codes = nodes.add("Where", codes, "codes", nodes.constant(np.array(UNSEEN, dtype=np.int64)))
            asked = nodes.add("Equal", nodes.add("Gather", codes, nodes.constant(place_H), axis=1), nodes.constant(level_H))
            parts.append(nodes.add("Mul", nodes.add("Cast", asked, to=11), nodes.constant(np.sqrt(0.5))))
        return nodes.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


class Neighbours(Struct, frozen=True, kw_only=True):
    """One output's rows: points (R, D), targets and weights (R,), and how they are asked. `prior` (K,) is empty for a value."""

    points: Vector
    y: NDArray[Any]
    w: Vector
    k: int
    near: bool
    prior: Vector


class Lookup(Struct, frozen=True, kw_only=True, dict=True):
    """A fitted model of neighbours."""

    outputs: tuple[Output, ...]
    space: Space
    heads: dict[str, Neighbours]

    def run(self, arrays: Arrays) -> Arrays:
        """What the rows that are nearest say."""
        x_ND = self.space.points(arrays)
        made: Arrays = {}
        for output in self.outputs:
            head = self.heads[output.array]
            at_NK, u_NK = nearest(x_ND, head, head.k)
            made[output.array] = said(head, at_NK, u_NK if head.near else np.ones_like(u_NK)).astype(np.float32)
        return made

    def export(self) -> Export:
        """One graph: distances to all rows as one product of matrices, the k least, and the sum of their targets."""
        nodes = Nodes("knn")
        x = self.space.nodes(nodes)
        made: dict[str, str] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for output in self.outputs:
            head = self.heads[output.array]
            made[output.array] = _draw(nodes, x, head)
            shapes[output.array] = (len(head.prior),) if len(head.prior) else ()
        graph = nodes.finish(made, shapes=shapes)
        step = Onnx(graph="knn", inputs={name: name for name in self.space.design.reads}, outputs={name: name for name in made})
        return Export(graphs={"knn": graph}, steps=(step,))


def nearest(x_ND: Vector, head: Neighbours, k: int, *, block: int = 256) -> tuple[NDArray[np.int64], Vector]:
    """(N, k) the nearest rows, the nearest first, and d_1 / d_i of each."""
    k = min(k, len(head.points))
    square_R = (head.points**2).sum(axis=1)
    at_NK, u_NK = np.empty((len(x_ND), k), dtype=np.int64), np.empty((len(x_ND), k))
    for start in range(0, len(x_ND), block):
        x_bD = x_ND[start : start + block]
        far_bR = np.round(((x_bD**2).sum(axis=1)[:, None] + square_R - 2 * (x_bD @ head.points.T)) * STEP)
        part_bK = np.argpartition(far_bR, k - 1, axis=1)[:, :k] if k < len(head.points) else None
        if part_bK is None:
            order_bK = np.argsort(far_bR, axis=1, kind="stable")
        else:
            last_b = np.take_along_axis(far_bR, part_bK, axis=1).max(axis=1)
            inside = [np.flatnonzero(far_R <= last) for far_R, last in zip(far_bR, last_b, strict=True)]  # ties at the end among them
            order_bK = np.stack([at[np.argsort(far_R[at], kind="stable")[:k]] for far_R, at in zip(far_bR, inside, strict=True)])
        d_bK = np.sqrt(np.maximum(np.take_along_axis(far_bR, order_bK, axis=1) / STEP, 0)) + NEAR
        at_NK[start : start + block], u_NK[start : start + block] = order_bK, d_bK[:, :1] / d_bK
    return at_NK, u_NK


def said(head: Neighbours, at_NK: NDArray[np.int64], u_NK: Vector) -> Vector:
    """(N, classes) or (N,) what these rows say, each counting `u_NK` times its weight."""
    v_NK = u_NK * head.w[at_NK]
    if not len(head.prior):
        return (v_NK * head.y[at_NK]).sum(axis=1) / v_NK.sum(axis=1)
    p_NC = np.tile(head.prior, (len(at_NK), 1))
    np.add.at(p_NC, (np.arange(len(at_NK))[:, None], head.y[at_NK]), v_NK)
    return p_NC / (1 + v_NK.sum(axis=1, keepdims=True))


def _draw(nodes: Nodes, x: str, head: Neighbours) -> str:
    """The nodes of one output."""
    last = nodes.constant(np.array([1], dtype=np.int64))
    square = nodes.add("ReduceSum", nodes.add("Mul", x, x), last, keepdims=1)
    product = nodes.add("MatMul", x, nodes.constant(-2 * head.points.T))
    far = nodes.add("Add", nodes.add("Add", square, nodes.constant((head.points**2).sum(axis=1))), product)
    far = nodes.add("Round", nodes.add("Mul", far, nodes.constant(np.float64(STEP))))
    count = nodes.constant(np.array([min(head.k, len(head.points))], dtype=np.int64))
    least, at = nodes.add_many("TopK", far, count, made=("", nodes.fresh("at")), axis=1, largest=0, sorted=1)
    v = nodes.add("Gather", nodes.constant(head.w), at, axis=0)
    if head.near:
        zero, near = nodes.constant(np.float64(0)), nodes.constant(np.float64(NEAR))
        d = nodes.add("Add", nodes.add("Sqrt", nodes.add("Max", nodes.add("Div", least, nodes.constant(np.float64(STEP))), zero)), near)
        first = nodes.add("Gather", d, nodes.constant(np.array([0], dtype=np.int64)), axis=1)
        v = nodes.add("Mul", v, nodes.add("Div", first, d))
    total = nodes.add("ReduceSum", v, last, keepdims=1)
    if not len(head.prior):
        y = nodes.add("Gather", nodes.constant(head.y.astype(np.float64)), at, axis=0)
        y = nodes.add("Div", nodes.add("ReduceSum", nodes.add("Mul", v, y), last, keepdims=1), total)
        return nodes.add("Cast", nodes.add("Squeeze", y, last), to=1)
    rows = nodes.add("Shape", at, start=0, end=1)
    shape = nodes.add("Concat", rows, nodes.constant(np.array([len(head.prior)], dtype=np.int64)), axis=0)
    prior = nodes.add("Expand", nodes.constant(head.prior[None]), shape)
    classes = nodes.add("Gather", nodes.constant(head.y.astype(np.int64)), at, axis=0)
    p = nodes.add("ScatterElements", prior, classes, v, axis=1, reduction="add")
    return nodes.add("Cast", nodes.add("Div", p, nodes.add("Add", total, nodes.constant(np.float64(1)))), to=1)


def _drawn(target: Target, most: int, run: Run) -> Target:
    """At most so many rows, of each class in its share."""
    if len(target) <= most:
        return target
    rng = run.rng(f"knn {target.output.target}")
    order = rng.permutation(len(target))
    if isinstance(target.output, Probability):
        order = order[np.argsort(target.y[order], kind="stable")]
    some = np.sort(order[np.linspace(0, len(order) - 1, most).astype(np.int64)])
    w = target.w[some]
    return Target(output=target.output, at=target.at[some], y=target.y[some], w=w / w.mean())


class _Choice:
    """How many neighbours, and whether near ones count more: what is best on the validation part."""

    def __init__(self, space: Space, x_RD: Vector, train: Target, valid: Target, arrays: Arrays, run: Run) -> None:
        self.head = Neighbours(points=x_RD, y=train.y, w=train.w, k=0, near=False, prior=np.zeros(0))
        self.output, self.run, self.valid = train.output, run, valid
        if isinstance(train.output, Probability):
            shares = np.bincount(train.y, weights=train.w, minlength=width(train.output)) / train.w.sum()
            self.head = Neighbours(points=x_RD, y=train.y, w=train.w, k=0, near=False, prior=shares)
        step = max(1, len(valid) // JUDGED)
        self.at = np.arange(0, len(valid), step)
        self.points = space.points({name: arrays[name][valid.at[self.at]] for name in space.design.reads}) if len(valid) else None

    def best(self, k: int, weights: str) -> tuple[int, bool, list[tuple[int, float]]]:
        """k, whether by distance, and the loss of each k that was tried."""
        most = len(self.head.points)
        if self.points is None or (k and weights != "auto"):
            return min(k or 12, most), weights == "distance", []
        tried = [k] if k else [one for one in TRIED if one <= most]
        at_NK, u_NK = nearest(self.points, self.head, max(tried))
        truth, w = self.valid.y[self.at], self.valid.w[self.at]
        found: list[tuple[float, int, bool]] = []
        for number in tried:
            for near in (False, True) if weights == "auto" else (weights == "distance",):
                u = u_NK[:, :number] if near else np.ones_like(u_NK[:, :number])
                terms = losses_of(self.output, [said(self.head, at_NK[:, :number], u)], truth)
                assert terms is not None
                found.append((mixed_loss(self.output, terms[0], w), number, near))
            text = f"knn for {self.output.target}"
            self.run.emit("progress", "fit", text, done=len(found), total=2 * len(tried), loss=min(found)[0])
        _, number, near = min(found)
        return min(number, most), near, [(one, min(each for each, other, _ in found if other == one)) for one in tried]
