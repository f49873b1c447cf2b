"""XGBoost: gradient-boosted trees with a second-order gain, in training; one ONNX operator in serving."""

from __future__ import annotations

import functools
import json
import math
from typing import Annotated, Any

from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.core import lazy
from fermion.core.errors import FermionError
from fermion.core.run import Run
from fermion.research.boosting import (
    Inputs,
    Rounds,
    Sum,
    answers_of,
    boost,
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
from fermion.research.targets import width

OBJECTIVES: dict[Loss, str] = {
    "binary": "binary:logistic",
    "classes": "multi:softprob",
    "squares": "reg:squarederror",
    "pinball": "reg:quantileerror",
    "poisson": "count:poisson",
}


class Xgboost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="xgboost"):
    """Gradient boosting by second derivatives: a split is worth 1/2 (G_l^2/(H_l + l2) + G_r^2/(H_r + l2) - G^2/(H + l2)).

    G and H are the sums of the loss's first and second derivatives; a leaf takes -G/(H + l2). One ensemble per output, label and quantile
    (`fermion.research.goals`), grown level by level. Rounds end when the validation loss has not improved for `patience` rounds and the
    best is kept; without a validation part there are `rounds`, or 200. Missing numbers take the branch that training chose; categories of
    up to 64 levels are split by sets of levels, others by rank of frequency.

    Args:
        lr: the step of one tree.
        depth: levels of a tree.
        rounds: the largest number of trees per class, label or quantile; 0 leaves it to the validation part.
        patience: rounds without improvement before it stops; 0 never stops early.
        min_weight: the least sum of second derivatives in a leaf.
        bins: different values of a number that a split can tell apart.
        l2: penalty on the leaves' values.
        features: share of the columns that a tree may use.
        rows: share of the rows that a tree is grown on.
        balance: weighs rows so that every class counts equally.
        threads: 0 for all cores.

    >>> Xgboost(depth=4).lr
    0.05

    Chen, Guestrin: XGBoost, KDD 2016.
    """

    lr: Annotated[float, Meta(gt=0)] = 0.05
    depth: Annotated[int, Meta(ge=1, le=16)] = 6
    rounds: Annotated[int, Meta(ge=0)] = 0
    patience: Annotated[int, Meta(ge=0)] = 50
    min_weight: Annotated[float, Meta(ge=0)] = 1.0
    bins: Annotated[int, Meta(ge=2, le=65535)] = 256
    l2: Annotated[float, Meta(ge=0)] = 1.0
    features: Annotated[float, Meta(gt=0, le=1)] = 0.8
    rows: Annotated[float, Meta(gt=0, le=1)] = 0.8
    balance: bool = False
    threads: Annotated[int, Meta(ge=0)] = 0

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Grow one ensemble per output.

        Raises:
            DataError: no labelled row, one class, more than 1,000, or neither numbers nor categories.
            SpecError: a kind of target that trees cannot learn.
            Stopped: it was stopped before the first round. Without time there is one round per output.
        """
        inputs = Inputs.of(train.schema, model="xgboost")
        check_running(run)
        check_goals(train, model="xgboost")
        x_NF, v_NF = inputs.matrix(train.arrays), inputs.matrix(valid.arrays)

        def grow(goal: Goal, held: Goal, share: Run) -> tuple[bytes, Rounds]:
            return self._grow(inputs, x_NF, goal, v_NF, held, share)

        grown = grow_all(train, valid, run, grow, balance=self.balance)
        notes = told(grown.rounds)
        notes += [f"xgboost does not read {', '.join(inputs.ignored)}"] if inputs.ignored else []
        learned = XgboostForest(
            outputs=train.outputs,
            inputs=inputs,
            models=grown.models,
            threads=self.threads,
            probe=probe_of(train.arrays, inputs.reads),
        )
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, curves=grown.curves, notes=tuple(notes))

    def _grow(self, inputs: Inputs, x_NF: NDArray[Any], goal: Goal, v_NF: NDArray[Any], held: Goal, run: Run) -> tuple[bytes, Rounds]:
        """Rounds of boosting for one goal, until the validation loss, the time or a stop says so."""
        xgb = lazy.load("xgboost", extra="boosting")
        train, valid = goal.target, held.target
        kinds = _kinds(inputs)
        table = xgb.QuantileDMatrix(
            x_NF[train.at], train.y, weight=train.w, feature_types=kinds, enable_categorical=True, max_bin=self.bins, nthread=self.threads
        )
        watched, name = (table, "train")
        if len(valid):
            watched = xgb.DMatrix(
                v_NF[valid.at], valid.y, weight=valid.w, feature_types=kinds, enable_categorical=True, nthread=self.threads
            )
            name = "valid"
        booster = xgb.Booster(self._settings(goal, run), [table])
        done = 0

        def update() -> tuple[float, bool]:
            nonlocal done
            booster.update(table, done)
            done += 1
            return float(booster.eval_set([(watched, name)], done).rpartition(":")[2]), False

        went = boost(update, run, target=goal.name, rounds=self.rounds, patience=self.patience, validated=len(valid) > 0, name="xgboost")
        return bytes(booster[: went.best].save_raw("json")), went

    def _settings(self, goal: Goal, run: Run) -> dict[str, Any]:
        return {
            "objective": OBJECTIVES[goal.loss],
            **({"num_class": width(goal.target.output)} if goal.loss == "classes" else {}),
            **({"quantile_alpha": goal.level} if goal.loss == "pinball" else {}),
            "tree_method": "hist",
            "learning_rate": self.lr,
            "max_depth": self.depth,
            "min_child_weight": self.min_weight,
            "max_bin": self.bins,
            "reg_lambda": self.l2,
            "colsample_bytree": self.features,
            "subsample": min(1.0, max(self.rows, 2 / len(goal))),
            "seed": run.seed_for(f"xgboost {goal.name}"),
            "nthread": self.threads,
            "verbosity": 0,
        }


class XgboostForest(Struct, frozen=True, kw_only=True, dict=True):
    """Fitted trees: by output array XGBoost's JSON of each ensemble, or a constant; up to 1,000 training rows to compare the export on."""

    outputs: tuple[Output, ...]
    inputs: Inputs
    models: dict[str, tuple[bytes | float, ...]]
    threads: int
    probe: Arrays

    def run(self, arrays: Arrays) -> Arrays:
        """XGBoost's own raw scores, and what they mean."""
        xgb = lazy.load("xgboost", extra="boosting")
        x_NF = self.inputs.matrix(arrays)
        rows = xgb.DMatrix(x_NF, feature_types=_kinds(self.inputs), enable_categorical=True, nthread=self.threads) if len(x_NF) else None

        def predict(_: Output, booster: Any) -> Any:
            return booster.predict(rows, output_margin=True)

        return answers_of(self.outputs, self._boosters, len(x_NF), predict)

    def export(self) -> Export:
        """One graph per output.

        Raises:
            FermionError: the graph differs from XGBoost by more than 1e-4 on rows of the training part.
        """

        def draw(nodes: Nodes, output: Output) -> str:
            models = self.models[output.array]
            parts = [constant(model) if not isinstance(model, bytes) else sum_of(json.loads(model)) for model in models]
            return sum_nodes(nodes, self.inputs.nodes(nodes), parts, output)

        export = graphs_of(self.outputs, name="xgboost", reads=self.inputs.reads, draw=draw)
        check_parity(export, self.probe, self.run(self.probe))
        return export

    @functools.cached_property
    def _boosters(self) -> dict[str, list[Any]]:
        xgb = lazy.load("xgboost", extra="boosting")

        def read(model: bytes | float) -> Any:
            return model if isinstance(model, float) else xgb.Booster({"nthread": self.threads}, model_file=bytearray(model))

        return {array: [read(model) for model in models] for array, models in self.models.items()}


def sum_of(model: dict[str, Any]) -> Sum:
    """XGBoost's JSON -> an ensemble of raw scores.

    Raises:
        FermionError: an objective or a kind of tree that ONNX does not compute exactly.
    """
    learner = model["learner"]
    objective, booster = str(learner["objective"]["name"]), learner["gradient_booster"]
    if objective not in OBJECTIVES.values():
        raise FermionError("the objective of the trees", rule=f"one of {', '.join(OBJECTIVES.values())}", given=objective)
    if booster.get("name", "gbtree") != "gbtree":
        raise FermionError("the trees", rule="summed (booster gbtree)", given=str(booster["name"]))
    base = [float(value) for value in str(learner["learner_model_param"]["base_score"]).strip("[]").split(",")]
    classes = int(learner["learner_model_param"]["num_class"])
    if objective == OBJECTIVES["binary"]:
        base = [math.log(base[0] / (1 - base[0]))]  # it is kept as a probability
    elif objective == OBJECTIVES["poisson"]:
        base = [math.log(base[0])]  # and here as a count
    elif len(base) < classes:
        base = base * classes
    branches = Branches()
    trees = booster["model"]
    for number, (tree, class_) in enumerate(zip(trees["trees"], trees["tree_info"], strict=True)):
        branches.grow(number, tree, int(class_))
    return Sum(branches=branches, base=base)


def _kinds(inputs: Inputs) -> list[str]:
    return ["c" if column in inputs.sets else "q" for column in range(inputs.width)]
