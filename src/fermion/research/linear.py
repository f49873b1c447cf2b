"""Logistic and ridge regression in numpy. The simplest model that learns: read this one first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core.errors import DataError, Told
from fermion.core.run import Run
from fermion.research.design import Design
from fermion.research.model import Curve, Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.targets import Target, learnable, width

MOST_CLASSES = 10_000
Vector = NDArray[np.float64]


class Linear(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="linear"):
    """Probabilities softmax(x W + b), values x w + b, where x is the prepared row (`fermion.research.design`).

    Both minimise a loss with a penalty on the weights, never on the intercept b:

        classes   min_W,b  sum_n w_n (log sum_k exp(z_nk) - z_n,y_n) + l2/2 |W|^2,   z = x W + b
        values    min_w,b  sum_n w_n/2 (x_n w + b - y_n)^2           + l2/2 |w|^2

    The first is convex and is solved by L-BFGS, the second has a closed form. Two classes share one vector: z_n0 = 0.

    Args:
        l2: the strength of the penalty; 1/C of scikit-learn's LogisticRegression, alpha of its Ridge.
        steps: iterations of L-BFGS, at most.

    >>> Linear(l2=10.0)
    Linear(l2=10.0, steps=1000)

    Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, chapters 3 and 4.
    """

    l2: Annotated[float, Meta(gt=0)] = 1.0
    steps: Annotated[int, Meta(ge=1)] = 1000

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Solve for every output. The validation part is not used.

        Raises:
            DataError: no labelled row, one class or over 10,000, nothing to read, or pictures that are too large.
            SpecError: a target that is neither classes nor a number.
        """
        targets = [_few(learnable(output, train, model="linear")) for output in train.outputs]
        design = Design.of(train)
        x_ND = design.matrix(train.arrays)
        heads: dict[str, Head] = {}
        curves: list[Curve] = []
        for target in targets:
            x_nD = x_ND if len(target) == len(x_ND) else x_ND[target.at]
            if isinstance(target.output, Probability):
                w_DK, b_K, losses = self._logistic(x_nD, target, run)
                steps = [float(step) for step in range(len(losses))]
                curves.append(Curve(name=f"{target.output.target}: training loss", x=steps, y=losses))
            else:
                w_DK, b_K = ridge(x_nD, target.y, target.w, self.l2)
            dense_DK, table_SK = design.split(w_DK)
            heads[target.output.array] = Head(dense=dense_DK, table=table_SK, intercept=b_K.astype(np.float32))
        learned = Formula(outputs=train.outputs, design=design, heads=heads)
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, curves=tuple(curves))

    def _logistic(self, x_ND: NDArray[Any], target: Target, run: Run) -> tuple[Vector, Vector, list[float]]:
        """Weights (D, K), intercepts (K,) and the loss after every step. The loss is divided by N, for steps of one size."""
        classes, (rows, columns) = width(target.output), x_ND.shape
        free = 1 if classes == 2 else classes  # vectors that are learned
        y_NK = np.zeros((rows, classes))
        y_NK[np.arange(rows), target.y] = 1
        losses: list[float] = []

        def loss(flat: Vector) -> tuple[float, Vector]:
            w_DK, b_K = flat[:-free].reshape(columns, free), flat[-free:]
            z_NK = x_ND @ w_DK.astype(x_ND.dtype) + b_K
            z_NK = np.concatenate([np.zeros((rows, 1)), z_NK], axis=1) if classes == 2 else z_NK
            log_p_NK = _log_softmax(z_NK)
            g_NK = (target.w[:, None] * (np.exp(log_p_NK) - y_NK))[:, -free:]
            value = -(target.w * log_p_NK[np.arange(rows), target.y]).sum() + self.l2 / 2 * (w_DK**2).sum()
            slope = np.concatenate([(x_ND.T @ g_NK.astype(x_ND.dtype) + self.l2 * w_DK).ravel(), g_NK.sum(axis=0)])
            return float(value) / rows, slope / rows

        def told(step: int, value: float) -> bool:
            losses.append(value)
            run.emit("progress", "fit", f"linear for {target.output.target}", done=step, total=self.steps, loss=value)
            return run.left() > 0

        flat = lbfgs(loss, np.zeros((columns + 1) * free), steps=self.steps, told=told)
        w_DK, b_K = flat[:-free].reshape(columns, free), flat[-free:]
        if classes == 2:
            return np.concatenate([np.zeros_like(w_DK), w_DK], axis=1), np.concatenate([[0.0], b_K]), losses
        return w_DK, b_K, losses


class Head(Struct, frozen=True, kw_only=True):
    """The weights of one output: `dense` (F + F + P, K), `table` one row (K,) per code, `intercept` (K,)."""

    dense: NDArray[np.float32]
    table: NDArray[np.float32]
    intercept: NDArray[np.float32]


class Formula(Struct, frozen=True, kw_only=True):
    """A fitted linear model: the preparation and one head per output's array."""

    outputs: tuple[Output, ...]
    design: Design
    heads: dict[str, Head]

    def run(self, arrays: Arrays) -> Arrays:
        """softmax(x W + b) or x w + b. One-hot columns times their weights are rows of a table."""
        x_ND = self.design.dense(arrays)
        made: Arrays = {}
        for output in self.outputs:
            head = self.heads[output.array]
            z_NK = x_ND.astype(np.float64) @ head.dense + head.intercept
            if self.design.sizes:
                z_NK += head.table[arrays["codes"] + self.design.offsets].sum(axis=1)
            y = np.exp(_log_softmax(z_NK)) if isinstance(output, Probability) else z_NK[:, 0]
            made[output.array] = y.astype(np.float32)
        return made

    def export(self) -> Export:
        """One graph that holds the preparation and all heads."""
        nodes = Nodes("linear")
        dense, rows = self.design.nodes(nodes)
        made: dict[str, str] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for output in self.outputs:
            head = self.heads[output.array]
            z = nodes.constant(head.intercept)
            if dense:
                z = nodes.add("Gemm", dense, nodes.constant(head.dense), z)
            if rows:
                looked_up = nodes.add("Gather", nodes.constant(head.table), rows, axis=0)
                z = nodes.add("Add", nodes.add("ReduceSum", looked_up, nodes.constant(np.array([1], dtype=np.int64)), keepdims=0), z)
            if isinstance(output, Probability):
                made[output.array], shapes[output.array] = nodes.add("Softmax", z, axis=1), (width(output),)
            else:
                made[output.array], shapes[output.array] = nodes.add("Squeeze", z, nodes.constant(np.array([1], dtype=np.int64))), ()
        graph = nodes.finish(made, shapes=shapes)
        step = Onnx(graph="linear", inputs={name: name for name in self.design.reads}, outputs={name: name for name in made})
        return Export(graphs={"linear": graph}, steps=(step,))


def _few(target: Target) -> Target:
    """The same target, where there are not too many classes.

    Raises:
        DataError: there are more than 10,000.
    """
    if width(target.output) > MOST_CLASSES:
        raise DataError(
            f"the classes of `{target.output.target}`",
            rule=f"at most {MOST_CLASSES:,} for linear, which learns weights of its own for each",
            given=Told(f"{width(target.output):,}"),
            remedy="Group rare classes, or set model.type to knn.",
        )
    return target


def ridge(x_ND: NDArray[Any], y_N: Vector, w_N: Vector, l2: float) -> tuple[Vector, Vector]:
    """Weights (D, 1) and intercept (1,): w = (X'WX + l2 I)^-1 X'Wy with X and y centred by their weighted means, b = mean(y) - mean(x) w.

    Hoerl, Kennard: Ridge regression, Technometrics 1970.
    """
    mean_D, mean = np.average(x_ND, axis=0, weights=w_N), np.average(y_N, weights=w_N)
    root_N1 = np.sqrt(w_N)[:, None]
    x_ND = (x_ND - mean_D) * root_N1
    gram_DD = x_ND.T @ x_ND
    gram_DD[np.diag_indices_from(gram_DD)] += l2
    w_D = np.linalg.solve(gram_DD, x_ND.T @ ((y_N - mean) * root_N1[:, 0]))
    return w_D[:, None].astype(np.float64), np.array([mean - mean_D @ w_D])


def lbfgs(
    loss: Callable[[Vector], tuple[float, Vector]], x: Vector, *, steps: int, told: Callable[[int, float], bool], memory: int = 10
) -> Vector:
    """A minimum of a smooth convex function from its values and gradients, by limited-memory BFGS.

    The direction is -H g, where H is the inverse Hessian that the last `memory` steps s and changes of gradient y imply (two-loop
    recursion); its length is halved until the loss falls by 1e-4 of what the slope promises (Armijo). Ends where no component of the
    gradient exceeds 1e-7, where the loss no longer falls, or when `told` answers False.

    >>> lbfgs(lambda x: (float(((x - 3) ** 2).sum()), 2 * (x - 3)), np.zeros(2), steps=50, told=lambda step, value: True).round(6).tolist()
    [3.0, 3.0]

    Nocedal, Wright: Numerical Optimization, algorithm 7.4.
    """
    value, slope = loss(x)
    pairs: list[tuple[Vector, Vector]] = []
    for step in range(1, steps + 1):
        if np.abs(slope).max(initial=0.0) <= 1e-7:
            break
        direction = -_inverse_hessian_times(slope, pairs)
        length = 1.0 if pairs else 1.0 / max(1.0, float(np.linalg.norm(slope)))
        while True:
            moved = x + length * direction
            new_value, new_slope = loss(moved)
            if new_value <= value + 1e-4 * length * float(slope @ direction):
                break
            length /= 2
            if length < 1e-10:  # the loss is as low as rounding lets it be seen
                return x
        s, y = moved - x, new_slope - slope
        if s @ y > 1e-12 * (y @ y):
            pairs = [*pairs, (s, y)][-memory:]
        x, value, slope = moved, new_value, new_slope
        if not told(step, value):
            break
    return x


def _inverse_hessian_times(slope: Vector, pairs: list[tuple[Vector, Vector]]) -> Vector:
    q = slope.copy()
    shares: list[float] = []
    for s, y in reversed(pairs):
        shares.append(float(s @ q) / float(s @ y))
        q -= shares[-1] * y
    if pairs:
        s, y = pairs[-1]
        q *= float(s @ y) / float(y @ y)
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        q += s * (share - float(y @ q) / float(s @ y))
    return q


def _log_softmax(z_NK: NDArray[Any]) -> Vector:
    z_NK = z_NK - z_NK.max(axis=1, keepdims=True)
    return z_NK - np.log(np.exp(z_NK).sum(axis=1, keepdims=True))
