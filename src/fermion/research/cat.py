"""CatBoost: boosted trees that ask one question per level, in training; one ONNX operator in serving."""

from __future__ import annotations

import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.category import FIRST, UNSEEN
from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.core import lazy
from fermion.core.errors import FermionError, Stopped, Told
from fermion.core.run import Run
from fermion.research.boosting import (
    Inputs,
    Rounds,
    Sum,
    answers_of,
    check_running,
    constant,
    graphs_of,
    grow_all,
    probe_of,
    sum_nodes,
)
from fermion.research.forest import Branches
from fermion.research.goals import Goal, Loss, check_goals, told
from fermion.research.model import Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.parity import check_parity
from fermion.research.targetmeans import TargetMeans, learn
from fermion.research.targets import Target, labelled, width

OBJECTIVES: dict[Loss, str] = {
    "binary": "Logloss",
    "classes": "MultiClass",
    "squares": "RMSE",
    "pinball": "Quantile",
    "poisson": "Poisson",
}
L2 = 3.0
ONE_HOT = 8  # levels up to which a category is one question per level
PROBED, LEAST = 10, 20  # rounds that the pace is measured on where time is short, and the fewest that are grown


class Catboost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="catboost"):
    """Gradient boosting with oblivious trees: all nodes of a level ask the same question, so that a tree is a table of 2^depth leaves.

    One ensemble per output, label and quantile (`fermion.research.goals`). Rounds end when the validation loss has not improved for
    `patience` rounds and the best is kept; without a validation part there are `rounds`, or 200. Missing numbers lie below all others.
    Categories of up to 8 levels are one question per level. Others stand as means of the target over their level's rows and as the number
    of those rows: out of fold in training, so that no row's code knows its own target, from all rows in serving
    (`fermion.research.targetmeans`).

    Args:
        lr: the step of one tree; 0 lets CatBoost choose by rows and rounds.
        depth: levels of a tree.
        rounds: the largest number of trees; 0 takes 1,000, or fewer where the time budget is too short for them.
        patience: rounds without improvement before it stops; 0 never stops early.
        bins: different values of a number that a split can tell apart.
        l2: penalty on the leaves' values.
        balance: weighs rows so that every class counts equally.
        threads: 0 for all cores.

    >>> Catboost(depth=4).bins
    128

    Prokhorenkova et al.: CatBoost: unbiased boosting with categorical features, NeurIPS 2018.
    """

    lr: Annotated[float, Meta(ge=0)] = 0.0
    depth: Annotated[int, Meta(ge=1, le=10)] = 6
    rounds: Annotated[int, Meta(ge=0)] = 0
    patience: Annotated[int, Meta(ge=0)] = 50
    bins: Annotated[int, Meta(ge=2, le=65535)] = 128
    l2: Annotated[float, Meta(ge=0)] = L2
    balance: bool = False
    threads: Annotated[int, Meta(ge=0)] = 0

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Grow one ensemble per output.

        Raises:
            DataError: no labelled row, one class, more than 1,000, or neither numbers nor categories.
            SpecError: a kind of target that trees cannot learn.
            Stopped: it was stopped before the first round. Without time there are a few rounds per output.
        """
        inputs = Inputs.of(train.schema, model="catboost")
        check_running(run)
        check_goals(train, model="catboost")
        sizes = [ref.size for ref in train.schema.layout.codes]
        coded = {out.array: Coding.of(inputs, sizes, labelled(out, train), train.arrays, run) for out in train.outputs}
        codings = {array: coding for array, (coding, _) in coded.items()}
        v_NF = {array: coding.matrix(valid.arrays) for array, coding in codings.items()}

        def grow(goal: Goal, held: Goal, share: Run) -> tuple[bytes, Rounds]:
            array = goal.target.output.array
            return self._grow(coded[array][1], goal, v_NF[array], held, share)

        grown = grow_all(train, valid, run, grow, balance=self.balance)
        notes = told(grown.rounds)
        notes += [f"catboost does not read {', '.join(inputs.ignored)}"] if inputs.ignored else []
        learned = CatboostForest(
            outputs=train.outputs,
            codings=codings,
            models=grown.models,
            threads=self.threads or -1,
            probe=probe_of(train.arrays, inputs.reads),
        )
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, curves=grown.curves, notes=tuple(notes))

    def _grow(self, x_NF: NDArray[Any], goal: Goal, v_NF: NDArray[Any], held: Goal, run: Run) -> tuple[bytes, Rounds]:
        """Rounds of boosting for one goal, until the validation loss, the time or a stop says so."""
        cat = lazy.load("catboost", extra="boosting")
        train, valid = goal.target, held.target
        table = cat.Pool(x_NF[train.at], train.y, weight=train.w)
        looked = cat.Pool(v_NF[valid.at], valid.y, weight=valid.w) if len(valid) else None
        rounds = self.rounds or (1000 if len(valid) and self.patience else 200)
        if np.isfinite(run.left()) and not self.rounds:
            rounds = self._affordable(table, goal, rounds, run)
        watch = Watch(run, goal.name, rounds, "validation" if len(valid) else "learn")
        model = cat.CatBoost(self._settings(goal, rounds, run, early=len(valid) > 0))
        try:
            model.fit(table, eval_set=looked, callbacks=[watch], use_best_model=bool(len(valid) and self.patience))
        except cat.CatBoostError as bad:
            if "constant" in str(bad) or "ignored" in str(bad):
                model = _constant(cat, x_NF, train, self._settings(goal, 1, run, early=False))
            else:
                raise FermionError("the training of `catboost`", rule="finished", given=Told(str(bad).splitlines()[0])) from bad
        best = max(1, int(model.tree_count_))
        return _blob(model), Rounds(best=best, losses=watch.losses or [float("nan")])

    def _affordable(self, table: Any, goal: Goal, rounds: int, run: Run) -> int:
        """How many rounds the time allows, by the pace of the first few: CatBoost's own step size depends on it."""
        cat = lazy.load("catboost", extra="boosting")
        began = time.monotonic()
        probe = cat.CatBoost(self._settings(goal, PROBED, run, early=False))
        try:
            probe.fit(table, callbacks=[Watch(run, goal.name, rounds, "learn")])
        except cat.CatBoostError:
            return rounds
        if run.stopped:
            raise Stopped("the training", rule="given time for a few rounds of boosting", given=Told("a stop before them"))
        pace = (time.monotonic() - began) / PROBED
        return int(np.clip(0.9 * run.left() / max(pace, 1e-6), LEAST, rounds))

    def _settings(self, goal: Goal, rounds: int, run: Run, *, early: bool) -> dict[str, Any]:
        return {
            "loss_function": OBJECTIVES[goal.loss] + (f":alpha={goal.level}" if goal.loss == "pinball" else ""),
            **({"classes_count": width(goal.target.output)} if goal.loss == "classes" else {}),
            **({"learning_rate": self.lr} if self.lr else {}),
            **({"od_type": "Iter", "od_wait": self.patience} if early and self.patience else {}),
            "iterations": rounds,
            "depth": self.depth,
            **({"l2_leaf_reg": self.l2} if self.l2 != L2 else {}),  # CatBoost chooses no step where this is given
            "border_count": self.bins,
            "random_seed": run.seed_for(f"catboost {goal.name}"),
            "thread_count": self.threads or -1,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }


class Watch:
    """CatBoost's callback: hears the loss of every round and ends the fit when time is over."""

    def __init__(self, run: Run, target: str, rounds: int, part: str) -> None:
        self.run, self.target, self.rounds, self.part = run, target, rounds, part
        self.losses: list[float] = []

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on; called by CatBoost."""
        of_part = info.metrics.get(self.part) or next(iter(info.metrics.values()))
        self.losses.append(float(next(iter(of_part.values()))[-1]))
        text = f"catboost for {self.target}"
        self.run.emit("progress", "fit", text, done=len(self.losses), total=self.rounds, loss=self.losses[-1])
        return self.run.left() > 0


class Coding(Struct, frozen=True, kw_only=True):
    """The matrix of one output: numbers, vectors, one column per level of small categories, means and counts of large ones.

    `small` and `large` are places among the codes. A level of `shown` (H,) is asked for in column `at` (H,) of the codes. `counts` holds
    log(1 + rows) of every level beside `means.table`.
    """

    inputs: Inputs
    at: NDArray[np.int64]
    shown: NDArray[np.int64]
    large: NDArray[np.int64]
    means: TargetMeans | None
    counts: NDArray[np.float32]

    @classmethod
    def of(cls, inputs: Inputs, sizes: list[int], target: Target, arrays: Arrays, run: Run) -> tuple[Coding, NDArray[np.float32]]:
        """What the training part teaches, and the matrix of its own rows, whose means are out of fold."""
        small = [place for place, size in enumerate(sizes) if size - FIRST <= ONE_HOT]
        large = np.array([place for place, size in enumerate(sizes) if size - FIRST > ONE_HOT], dtype=np.int64)
        pairs = [(place, code) for place in small for code in range(sizes[place]) if code != UNSEEN]
        means, coded_NE = None, np.zeros((0, 0), dtype=np.float32)
        counts = np.zeros((0, 1), dtype=np.float32)
        if len(large):
            codes_NE = arrays["codes"][:, large]
            kept = [sizes[place] for place in large]
            means, coded_NE = learn([target], codes_NE, kept, run.rng(f"catboost means {target.output.target}"))
            rows_S = [np.bincount(codes_NE[:, place], minlength=size) for place, size in enumerate(kept)]
            counts = np.log1p(np.concatenate(rows_S)).astype(np.float32)[:, None]
        coding = cls(
            inputs=inputs,
            at=np.array([place for place, _ in pairs], dtype=np.int64),
            shown=np.array([code for _, code in pairs], dtype=np.int64),
            large=large,
            means=means,
            counts=counts,
        )
        return coding, coding.matrix(arrays, coded_NE if len(large) else None)

    def matrix(self, arrays: Arrays, coded_NE: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(N, F + V + H + E K + E) float32; `coded_NE` stands for the means where they are given."""
        parts = self.inputs.dense(arrays)
        if len(self.at):
            parts.append(arrays["codes"][:, self.at] == self.shown)
        if self.means is not None:
            row_NE = arrays["codes"][:, self.large] + self.means.offsets
            parts.append(self.means.table[row_NE].reshape(len(row_NE), self._means) if coded_NE is None else coded_NE)
            parts.append(self.counts[row_NE, 0])
        return np.concatenate(parts, axis=1, dtype=np.float32)

    @property
    def _means(self) -> int:
        return 0 if self.means is None else len(self.large) * self.means.table.shape[1]

    def nodes(self, nodes: Nodes) -> str:
        """The same in a graph."""
        parts = self.inputs.dense_nodes(nodes)
        codes = nodes.input("codes", "int64", self.inputs.codes) if self.inputs.codes else ""
        if len(self.at):
            asked = nodes.add("Equal", nodes.add("Gather", codes, nodes.constant(self.at), axis=1), nodes.constant(self.shown))
            parts.append(nodes.add("Cast", asked, to=1))
        if self.means is not None:
            row = nodes.add("Add", nodes.add("Gather", codes, nodes.constant(self.large), axis=1), nodes.constant(self.means.offsets))
            for table in (self.means.table, self.counts):
                flat = nodes.constant(np.array([-1, len(self.large) * table.shape[1]], dtype=np.int64))
                parts.append(nodes.add("Reshape", nodes.add("Gather", nodes.constant(table), row, axis=0), flat))
        return nodes.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


class CatboostForest(Struct, frozen=True, kw_only=True, dict=True):
    """Fitted trees: by output array CatBoost's file of each ensemble, or a constant; up to 1,000 training rows to compare the export on."""

    outputs: tuple[Output, ...]
    codings: dict[str, Coding]
    models: dict[str, tuple[bytes | float, ...]]
    threads: int
    probe: Arrays

    def run(self, arrays: Arrays) -> Arrays:
        """CatBoost's own raw scores, and what they mean."""
        x_NF = {array: coding.matrix(arrays) for array, coding in self.codings.items()}

        def predict(output: Output, booster: Any) -> Any:
            return booster.predict(x_NF[output.array], prediction_type="RawFormulaVal", thread_count=self.threads)

        return answers_of(self.outputs, self._boosters, len(next(iter(x_NF.values()))), predict)

    def export(self) -> Export:
        """One graph per output.

        Raises:
            FermionError: the graph differs from CatBoost by more than 1e-4 on rows of the training part.
        """

        def draw(nodes: Nodes, output: Output) -> str:
            parts = [constant(one) if isinstance(one, float) else sum_of(one) for one in self._boosters[output.array]]
            return sum_nodes(nodes, self.codings[output.array].nodes(nodes), parts, output)

        reads = next(iter(self.codings.values())).inputs.reads
        export = graphs_of(self.outputs, name="catboost", reads=reads, draw=draw)
        check_parity(export, self.probe, self.run(self.probe))
        return export

    @functools.cached_property
    def _boosters(self) -> dict[str, list[Any]]:
        cat = lazy.load("catboost", extra="boosting")

        def read(model: bytes | float) -> Any:
            return model if isinstance(model, float) else cat.CatBoost().load_model(blob=model)

        return {array: [read(model) for model in models] for array, models in self.models.items()}


def sum_of(model: Any) -> Sum:
    """A CatBoost model -> an ensemble of raw scores.

    Raises:
        FermionError: trees or splits that ONNX does not compute exactly.
    """
    dump = json.loads(_saved(model, "json"))
    if "oblivious_trees" not in dump:
        raise FermionError("the trees", rule="oblivious (grow_policy SymmetricTree)", given=Told("another kind"))
    missing_exceeds = [feature["nan_value_treatment"] == "AsTrue" for feature in dump["features_info"]["float_features"]]
    scale, bias = dump["scale_and_bias"]
    branches = Branches()
    for number, tree in enumerate(dump["oblivious_trees"]):
        splits: list[tuple[int, float, bool]] = []
        for split in tree["splits"] or ():
            if split["split_type"] != "FloatFeature":
                raise FermionError("a split of the trees", rule="about a number", given=str(split["split_type"]))
            feature = int(split["float_feature_index"])
            splits.append((feature, float(split["border"]), missing_exceeds[feature]))
        branches.unroll(number, splits, scale * np.array(tree["leaf_values"], dtype=np.float64).reshape(2 ** len(splits), -1))
    return Sum(branches=branches, base=[float(value) for value in bias])


def _saved(model: Any, form: str) -> bytes:
    """CatBoost writes models to files only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{form}"
        model.save_model(str(path), format=form)
        return path.read_bytes()


def _blob(model: Any) -> bytes:
    return _saved(model, "cbm")


def _constant(cat: Any, x_NF: NDArray[Any], train: Target, settings: dict[str, Any]) -> Any:
    """A model of columns that never change: CatBoost refuses them all, so one is made to change by lot and carries no weight."""
    x_nF = np.zeros((len(train), x_NF.shape[1]), dtype=np.float32)
    x_nF[::2, 0] = 1.0
    centred = settings["loss_function"].startswith((OBJECTIVES["squares"], OBJECTIVES["pinball"]))
    return cat.CatBoost(settings | ({"boost_from_average": True} if centred else {})).fit(cat.Pool(x_nF, train.y, weight=train.w))
