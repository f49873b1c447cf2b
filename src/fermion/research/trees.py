"""Gradient-boosted trees: LightGBM in training, one ONNX operator in serving."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, structs
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core import lazy
from fermion.core.declared import part
from fermion.core.run import Run
from fermion.research.augment import check_parts, check_roles, read_parts, resample, resampling_notes
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
from fermion.research.forest import branches_of, classifier
from fermion.research.goals import Goal, Loss, check_goals, told
from fermion.research.model import Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.parity import check_parity
from fermion.research.targets import width

OBJECTIVES: dict[Loss, str] = {
    "binary": "binary",
    "classes": "multiclass",
    "squares": "regression",
    "pinball": "quantile",
    "poisson": "poisson",
}


class Trees(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="trees"):
    """Gradient boosting: f_m = f_{m-1} + lr * tree_m, where each leaf takes -sum g / (sum h + l2) of the loss's derivatives.

    One ensemble per output, label and quantile (`fermion.research.goals`). Rounds end when the validation loss has not improved for
    `patience` rounds and the best is kept; without a validation part there are `rounds`, or 200. Missing numbers take the branch that
    training chose.

    Args:
        lr: the step of one tree.
        leaves: leaves of a tree.
        rounds: the largest number of trees per class, label or quantile; 0 leaves it to the validation part.
        patience: rounds without improvement before it stops; 0 never stops early.
        min_leaf: rows in a leaf, at least (a tenth of a small table at most); 0 takes a five-hundredth of the rows, from 20 to 100.
        bins: different values of a number that a split can tell apart. Rare events live in the tails, where few bins are.
        l2: penalty on the leaves' values.
        features: share of the columns that a tree may use.
        rows: share of the rows that a tree is grown on.
        balance: weighs rows so that every class counts equally.
        threads: 0 for all cores. The result does not depend on it.
        augment: what the training rows go through, once: smote, oversample and undersample; noise adds a noisy copy of each row.

    >>> Trees(leaves=15).lr
    0.05

    Ke et al.: LightGBM, NeurIPS 2017.
    """

    lr: Annotated[float, Meta(gt=0)] = 0.05
    leaves: Annotated[int, Meta(ge=2)] = 31
    rounds: Annotated[int, Meta(ge=0)] = 0
    patience: Annotated[int, Meta(ge=0)] = 50
    min_leaf: Annotated[int, Meta(ge=0)] = 0
    bins: Annotated[int, Meta(ge=2, le=65535)] = 4095
    l2: Annotated[float, Meta(ge=0)] = 0.0
    features: Annotated[float, Meta(gt=0, le=1)] = 0.8
    rows: Annotated[float, Meta(gt=0, le=1)] = 0.8
    balance: bool = False
    threads: Annotated[int, Meta(ge=0)] = 0
    augment: tuple[Annotated[Any, part("augments")], ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "augment", read_parts(self.augment))
        why = "A mixed row has shares of two labels, which boosting cannot learn from; model.type: mlp can."
        check_parts(self.augment, model="trees", kinds=("resampling", "row"), roles=("numbers", "codes"), why=why)

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Grow one ensemble per output.

        Raises:
            DataError: no labelled row, one class, too many, neither numbers nor categories, or an augmentation for other data.
            SpecError: a kind of target that trees cannot learn.
            Stopped: it was stopped before the first round. Without time there is one round per output.
        """
        inputs = Inputs.of(train.schema, model="trees")
        check_running(run)
        check_roles(self.augment, train, model="trees")
        check_goals(train, model="trees")
        read = structs.replace(train, arrays={name: train.arrays[name] for name in inputs.reads})
        train = resample(self.augment, read, run, copies=True)
        x_NF, v_NF = inputs.matrix(train.arrays), inputs.matrix(valid.arrays)

        def grow(goal: Goal, held: Goal, share: Run) -> tuple[str, Rounds]:
            return self._grow(inputs, x_NF, goal, v_NF, held, share)

        grown = grow_all(train, valid, run, grow, balance=self.balance)
        notes = [*told(grown.rounds), *resampling_notes(self.augment, read, train)]
        notes += [f"trees do not read {', '.join(inputs.ignored)}"] if inputs.ignored else []
        learned = Forest(
            outputs=train.outputs,
            inputs=inputs,
            models=grown.models,
            rounds=grown.rounds,
            threads=self.threads,
            probe=probe_of(train.arrays, inputs.reads),
        )
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, curves=grown.curves, notes=tuple(notes))

    def _grow(self, inputs: Inputs, x_NF: NDArray[Any], goal: Goal, v_NF: NDArray[Any], held: Goal, run: Run) -> tuple[str, Rounds]:
        """Rounds of boosting for one goal, until the validation loss, the time or a stop says so."""
        lgb = lazy.load("lightgbm", extra="train")
        settings, train, valid = self._settings(goal, run), goal.target, held.target
        table = lgb.Dataset(x_NF[train.at], train.y, weight=train.w, params=settings, categorical_feature=inputs.sets)
        booster = lgb.Booster(settings, table)
        if len(valid):
            booster.add_valid(lgb.Dataset(v_NF[valid.at], valid.y, weight=valid.w, params=settings, reference=table), "valid")

        def update() -> tuple[float, bool]:
            ended = bool(booster.update())
            return float((booster.eval_valid() if len(valid) else booster.eval_train())[0][2]), ended

        went = boost(update, run, target=goal.name, rounds=self.rounds, patience=self.patience, validated=len(valid) > 0, name="trees")
        return booster.model_to_string(num_iteration=went.best), went

    def _settings(self, goal: Goal, run: Run) -> dict[str, Any]:
        rows = len(goal)
        return {
            "objective": OBJECTIVES[goal.loss],
            **({"num_class": width(goal.target.output)} if goal.loss == "classes" else {}),
            **({"alpha": goal.level} if goal.loss == "pinball" else {}),
            "learning_rate": self.lr,
            "num_leaves": self.leaves,
            "min_data_in_leaf": max(1, min(self.min_leaf or int(np.clip(rows / 500, 20, 100)), rows // 10)),
            "max_bin": self.bins,
            "lambda_l2": self.l2,
            "feature_fraction": self.features,
            "bagging_fraction": min(1.0, max(self.rows, 2 / rows)),  # LightGBM fails on a bag without a row
            "bagging_freq": 1 if self.rows < 1 else 0,
            "seed": run.seed_for(f"trees {goal.name}"),
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbose": -1,
        }


class Forest(Struct, frozen=True, kw_only=True, dict=True):
    """Fitted trees: by output array LightGBM's text of each ensemble, or a constant; up to 1,000 training rows to compare the export on."""

    outputs: tuple[Output, ...]
    inputs: Inputs
    models: dict[str, tuple[str | float, ...]]
    rounds: dict[str, int]
    threads: int
    probe: Arrays

    def run(self, arrays: Arrays) -> Arrays:
        """LightGBM's own raw scores, and what they mean."""
        x_NF = self.inputs.matrix(arrays)

        def predict(_: Output, booster: Any) -> Any:
            return booster.predict(x_NF, num_threads=self.threads, raw_score=True)

        return answers_of(self.outputs, self._boosters, len(x_NF), predict)

    def export(self) -> Export:
        """One graph per output.

        Raises:
            FermionError: the graph differs from LightGBM by more than 1e-4 on rows of the training part.
        """

        def draw(nodes: Nodes, output: Output) -> str:
            x, boosters = self.inputs.nodes(nodes), self._boosters[output.array]
            if isinstance(output, Probability):
                # the label stays inside: its shape would make ONNX Runtime warn at every batch
                made = classifier(boosters[0].dump_model())
                return nodes.add_many("TreeEnsembleClassifier", x, made=("label", "y"), domain="ai.onnx.ml", **made)[1]
            return sum_nodes(nodes, x, [constant(one) if isinstance(one, float) else sum_of(one.dump_model()) for one in boosters], output)

        export = graphs_of(self.outputs, name="trees", reads=self.inputs.reads, draw=draw)
        check_parity(export, self.probe, self.run(self.probe))
        return export

    @functools.cached_property
    def _boosters(self) -> dict[str, list[Any]]:
        lgb = lazy.load("lightgbm", extra="train")
        return {
            array: [model if isinstance(model, float) else lgb.Booster(model_str=model) for model in models]
            for array, models in self.models.items()
        }


def sum_of(dump: dict[str, Any]) -> Sum:
    """`Booster.dump_model()` -> an ensemble of raw scores.

    Raises:
        FermionError: an objective or a kind of tree that ONNX does not compute exactly.
    """
    return Sum(branches=branches_of(dump), base=[0.0] * int(dump["num_tree_per_iteration"]))
