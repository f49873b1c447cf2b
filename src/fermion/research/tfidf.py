"""TF-IDF and a linear model: the first thing to try on texts, and often hard to beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core import lazy
from fermion.core.errors import DataError, Stopped, Told
from fermion.core.run import Run
from fermion.research.design import Design
from fermion.research.linear import lbfgs
from fermion.research.model import Curve, Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.targets import Target, balanced, labelled, learnable, width
from fermion.research.terms import Reading, Vocabulary, readings

MOST_WEIGHTS = 8_000_000  # of one reading: the terms times what is computed for a row
MOST_CLASSES = 5_000
LOOKS = 5  # steps between two looks at the validation part
PATIENCE = 4  # looks without a better one
TINY = 1e-12

Vector = NDArray[np.float64]


class Tfidf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tfidf"):
    """Each text as the mean direction of its terms, then softmax(x W + b) or x w + b, with the table's numbers and categories beside it.

    Terms are runs of 1 and 2 tokens and runs of 2 to 5 characters. With t over all terms of a text, each as often as it occurs:

        x = sum_t idf_t e_t / sqrt(sum_t idf_t^2),    idf_t = 1 + log((1 + rows) / (1 + rows with t))

    once for the runs of tokens and once for those of characters of every text column. Terms are found from the column's token ids, in
    the graph too, by exact look-up: nothing is hashed. The loss is that of `linear`, by L-BFGS on sparse rows; it ends where the
    validation loss no longer falls, with the best weights.

    Args:
        l2: the strength of the penalty on the weights.
        steps: iterations of L-BFGS, at most.
        least: rows that a term occurs in, at least; 0 takes 2, or 1 of fewer than 1,000 rows.
        balance: weighs rows so that every class counts equally.

    >>> Tfidf(l2=1.0).steps
    100

    Salton, Buckley: Term-weighting approaches in automatic text retrieval, 1988; Joulin et al.: Bag of Tricks for Efficient Text
    Classification, EACL 2017.
    """

    l2: Annotated[float, Meta(gt=0)] = 0.01
    steps: Annotated[int, Meta(ge=1)] = 100
    least: Annotated[int, Meta(ge=0)] = 0
    balance: bool = False

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Find the terms, then solve for every output.

        Raises:
            DataError: no labelled row, one class, more than 5,000, or no text column.
            SpecError: a target that is neither classes nor a number.
            Stopped: it was stopped before the first step.
        """
        targets = [_few(learnable(output, train, model="tfidf")) for output in train.outputs]
        if self.balance:
            targets = [balanced(target) if isinstance(target.output, Probability) else target for target in targets]
        if run.stopped:
            raise Stopped("the training", rule="given time for one step", given=Told("a stop before the first"))
        found = readings(train.schema)
        design = Design.of(train, model="tfidf", bare=True)
        most = MOST_WEIGHTS // max(width(output) for output in train.outputs)
        least = self.least or (2 if len(train) >= 1000 else 1)
        run.emit("progress", "fit", "terms of the texts", done=0, total=self.steps)
        words = tuple(Vocabulary.of(reading.keys(train.arrays), least=least, most=most) for reading in found)
        bag = Bag(readings=found, words=words, design=design)
        x, held = bag.rows(train.arrays), bag.rows(valid.arrays)
        heads: dict[str, Head] = {}
        curves: list[Curve] = []
        for position, target in enumerate(targets):
            share = run.within(1 / (len(targets) - position))
            weights, curve = self._solve(x, target, held, labelled(target.output, valid), share)
            curves.append(curve)
            heads[target.output.array] = bag.head(*weights)
        notes = [f"{sum(len(one.keys) for one in words):,} terms"]
        learned = Formula(outputs=train.outputs, bag=bag, heads=heads)
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, curves=tuple(curves), notes=tuple(notes))

    def _solve(self, x: Any, train: Target, held: Any, valid: Target, run: Run) -> tuple[tuple[Vector, Vector], Curve]:
        """Weights (D, K) and intercepts (K,) of one output."""
        x_n, v_n = x[train.at], held[valid.at] if len(valid) else None
        turned = x_n.T.tocsr()  # rows of the transpose lie together: products with it take a third of the time
        classes, columns = width(train.output), x_n.shape[1]
        loss_of = _softmax_loss if isinstance(train.output, Probability) else _square_loss
        rows, last = len(train), np.zeros(0)

        def loss(flat: Vector) -> tuple[float, Vector]:
            nonlocal last
            last = flat
            w_DK = flat[:-classes].reshape(columns, classes).astype(np.float32)
            value, g_NK = loss_of(x_n @ w_DK + flat[-classes:], train)
            slope = (turned @ g_NK.astype(np.float32)).ravel() + self.l2 * flat[:-classes]
            penalty = self.l2 / 2 * float(flat[:-classes] @ flat[:-classes])
            return (value + penalty) / rows, np.concatenate([slope, g_NK.sum(axis=0)]) / rows

        best, best_loss, since = np.zeros((columns + 1) * classes), np.inf, 0
        points: list[tuple[int, float]] = []
        before = np.inf

        def told(step: int, value: float) -> bool:
            nonlocal best, best_loss, since, before
            if step % LOOKS == 0 or step == 1 or step == self.steps or run.left() <= 0:
                seen = value
                if v_n is not None:
                    z_VK = v_n @ last[:-classes].reshape(columns, classes).astype(np.float32) + last[-classes:]
                    seen = loss_of(z_VK, valid)[0] / len(valid)
                points.append((step, seen))
                since = 0 if seen < best_loss - 1e-5 * abs(best_loss) or not np.isfinite(best_loss) else since + 1
                if seen < best_loss:
                    best, best_loss = last, seen
                settled = before - value < 1e-4 * abs(value)
                before = value
                if since >= PATIENCE or settled:
                    return False
            run.emit("progress", "fit", f"tfidf for {train.output.target}", done=step, total=self.steps, loss=value)
            return run.left() > 0

        final = lbfgs(loss, best, steps=self.steps, told=told, memory=5)
        flat = best if np.isfinite(best_loss) else final
        name = f"{train.output.target}: {'validation' if v_n is not None else 'training'} loss"
        curve = Curve(name=name, x=[float(step) for step, _ in points], y=[seen for _, seen in points])
        return (flat[:-classes].reshape(columns, classes), flat[-classes:]), curve


class Head(Struct, frozen=True, kw_only=True):
    """One output's weights: `terms` (S + 1, K) per reading with the idf in them, `dense` and `table` as `Design.split` gives them."""

    terms: tuple[NDArray[np.float32], ...]
    dense: NDArray[np.float32]
    table: NDArray[np.float32]
    intercept: NDArray[np.float32]


class Bag(Struct, frozen=True, kw_only=True):
    """Rows as terms: what is read, which terms count, and the design of what stands beside the texts."""

    readings: tuple[Reading, ...]
    words: tuple[Vocabulary, ...]
    design: Design

    @property
    def reads(self) -> tuple[str, ...]:
        texts = [name for reading in self.readings for name in (reading.ids, reading.mask)]
        return (*dict.fromkeys(texts), *self.design.reads)

    def rows(self, arrays: Arrays) -> Any:
        """The sparse design (N, S of all readings + D) float32, as scipy.sparse.csr_array."""
        sparse = lazy.load("scipy.sparse", extra="train")
        parts: list[Any] = []
        for reading, words in zip(self.readings, self.words, strict=True):
            place_NM = words.places(reading.keys(arrays))
            counted = place_NM > 0
            idf_NM = words.idf[place_NM]
            value_NM = idf_NM / np.sqrt(np.maximum((idf_NM**2).sum(axis=1, keepdims=True), TINY))
            ends = np.concatenate([[0], np.cumsum(counted.sum(axis=1))])
            shape = (len(place_NM), len(words.keys))
            part = sparse.csr_array((value_NM[counted], place_NM[counted] - 1, ends), shape=shape)
            part.sum_duplicates()
            parts.append(part)
        beside_ND = self.design.matrix(arrays).astype(np.float32)
        if beside_ND.shape[1]:
            parts.append(sparse.csr_array(beside_ND))
        return sparse.hstack(parts, format="csr", dtype=np.float32)

    def head(self, w_DK: Vector, b_K: Vector) -> Head:
        """Weights of the sparse design as tables."""
        terms: list[NDArray[np.float32]] = []
        start = 0
        for words in self.words:
            mine = w_DK[start : start + len(words.keys)]
            start += len(words.keys)
            none = np.zeros((1, w_DK.shape[1]))
            terms.append((np.concatenate([none, mine]) * words.idf[:, None]).astype(np.float32))
        dense, table = self.design.split(w_DK[start:])
        return Head(terms=tuple(terms), dense=dense, table=table, intercept=b_K.astype(np.float32))


class Formula(Struct, frozen=True, kw_only=True):
    """A fitted model of terms."""

    outputs: tuple[Output, ...]
    bag: Bag
    heads: dict[str, Head]

    def run(self, arrays: Arrays) -> Arrays:
        """softmax(x W + b) or x w + b."""
        bag = self.bag
        looked = [words.places(reading.keys(arrays)) for reading, words in zip(bag.readings, bag.words, strict=True)]
        dense_ND = bag.design.dense(arrays)
        made: Arrays = {}
        for output in self.outputs:
            head = self.heads[output.array]
            z_NK = dense_ND.astype(np.float64) @ head.dense + head.intercept
            if bag.design.sizes:
                z_NK = z_NK + head.table[arrays["codes"] + bag.design.offsets].sum(axis=1)
            for place_NM, words, table in zip(looked, bag.words, head.terms, strict=True):
                norm_N1 = np.sqrt(np.maximum((words.idf[place_NM] ** 2).sum(axis=1, keepdims=True), TINY))
                sums_NK = np.stack([table[place_M].sum(axis=0) for place_M in place_NM]) if len(place_NM) else np.zeros_like(z_NK)
                z_NK = z_NK + sums_NK / norm_N1
            if isinstance(output, Probability):
                z_NK = np.exp(z_NK - z_NK.max(axis=1, keepdims=True))
                made[output.array] = (z_NK / z_NK.sum(axis=1, keepdims=True)).astype(np.float32)
            else:
                made[output.array] = z_NK[:, 0].astype(np.float32)
        return made

    def export(self) -> Export:
        """One graph from token ids, numbers and codes to all outputs."""
        nodes, bag = Nodes("tfidf"), self.bag
        kinds = {name: kind for reading in bag.readings for name, kind in ((reading.ids, "int64"), (reading.mask, "bool"))}
        names = {name: nodes.input(name, kind, None) for name, kind in kinds.items()}
        dense, rows = bag.design.nodes(nodes)
        one = nodes.constant(np.array([1], dtype=np.int64))
        looked: list[tuple[str, str]] = []
        for reading, words in zip(bag.readings, bag.words, strict=True):
            place = words.nodes(nodes, reading.nodes(nodes, names[reading.ids], names[reading.mask]))
            square = nodes.add("ReduceSum", nodes.add("Gather", nodes.constant(words.idf**2), place, axis=0), one, keepdims=1)
            looked.append((place, nodes.add("Sqrt", nodes.add("Max", square, nodes.constant(np.float32(TINY))))))
        made: dict[str, str] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for output in self.outputs:
            head = self.heads[output.array]
            z = nodes.constant(head.intercept)
            if dense:
                z = nodes.add("Gemm", dense, nodes.constant(head.dense), z)
            tables = [(rows, nodes.constant(head.table), "")] if rows else []
            tables += [(place, nodes.constant(table), norm) for (place, norm), table in zip(looked, head.terms, strict=True)]
            for place, table, norm in tables:
                sums = nodes.add("ReduceSum", nodes.add("Gather", table, place, axis=0), one, keepdims=0)
                z = nodes.add("Add", nodes.add("Div", sums, norm) if norm else sums, z)
            if isinstance(output, Probability):
                made[output.array], shapes[output.array] = nodes.add("Softmax", z, axis=1), (width(output),)
            else:
                made[output.array], shapes[output.array] = nodes.add("Squeeze", z, one), ()
        graph = nodes.finish(made, shapes=shapes)
        step = Onnx(graph="tfidf", inputs={name: name for name in bag.reads}, outputs={name: name for name in made})
        return Export(graphs={"tfidf": graph}, steps=(step,))


Loss = Callable[[NDArray[Any], Target], tuple[float, Vector]]


def _softmax_loss(z_NK: NDArray[Any], target: Target) -> tuple[float, Vector]:
    """The sum of w_n (log sum_k exp(z_nk) - z_n,y_n), and its derivatives by z."""
    z_NK = z_NK.astype(np.float64)
    z_NK -= z_NK.max(axis=1, keepdims=True)
    p_NK = np.exp(z_NK)
    total_N = p_NK.sum(axis=1)
    at = np.arange(len(target))
    value = float(target.w @ (np.log(total_N) - z_NK[at, target.y]))
    p_NK /= total_N[:, None]
    p_NK[at, target.y] -= 1
    return value, p_NK * target.w[:, None]


def _square_loss(z_NK: NDArray[Any], target: Target) -> tuple[float, Vector]:
    """The sum of w_n/2 (z_n - y_n)^2, and its derivatives by z."""
    error_N = z_NK[:, 0].astype(np.float64) - target.y
    return float(target.w @ error_N**2) / 2, (target.w * error_N)[:, None]


def _few(target: Target) -> Target:
    if width(target.output) > MOST_CLASSES:
        raise DataError(
            f"the classes of `{target.output.target}`",
            rule=f"at most {MOST_CLASSES:,} for tfidf, which keeps a weight of each for every term",
            given=Told(f"{width(target.output):,}"),
            remedy="Group rare classes, or set model.type to net.",
        )
    return target
