"""Gradient-boosted trees: LightGBM in training, one ONNX operator in serving."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, structs
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core import lazy
from fermion.core.declared import part
from fermion.core.run import Run
from fermion.research.augment import check_parts, check_roles, read_parts, resample, resampling_notes
from fermion.research.boosting import Inputs, balanced, boost, check_classes, check_running
from fermion.research.forest import ensemble
from fermion.research.model import Curve, Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.parity import ROWS, check_parity
from fermion.research.targets import Target, labelled, learnable, width


class Trees(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="trees"):
    """Gradient boosting: f_m = f_{m-1} + lr * tree_m, where each leaf takes -sum g / (sum h + l2) of the loss's derivatives.

    One ensemble per output. Rounds end when the validation loss has not improved for `patience` rounds and the best is kept;
    without a validation part there are `rounds`, or 200. Missing numbers take the branch that training chose.

    Args:
        lr: the step of one tree.
        leaves: leaves of a tree.
        rounds: the largest number of trees per class; 0 leaves it to the validation part.
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
            Stopped: it was stopped before the first round. Without time there is one round per output.
        """
        inputs = Inputs.of(train.schema, model="trees")
        check_running(run)
        check_roles(self.augment, train, model="trees")
        for output in train.outputs:
            check_classes(learnable(output, train, model="trees"), model="trees")
        read = structs.replace(train, arrays={name: train.arrays[name] for name in inputs.reads})
        train = resample(self.augment, read, run, copies=True)
        x_NF, v_NF = inputs.matrix(train.arrays), inputs.matrix(valid.arrays)
        texts: dict[str, str] = {}
        rounds: dict[str, int] = {}
        curves: list[Curve] = []
        for position, output in enumerate(train.outputs):
            share = run.within(1 / (len(train.outputs) - position))
            grown = self._grow(inputs, x_NF, learnable(output, train), v_NF, labelled(output, valid), share)
            texts[output.array], rounds[output.target] = grown.text, grown.rounds
            curves += grown.curves
        notes = [f"{target}: {count} rounds" for target, count in rounds.items()]
        notes += resampling_notes(self.augment, read, train)
        notes += [f"trees do not read {', '.join(inputs.ignored)}"] if inputs.ignored else []
        probe = np.linspace(0, len(x_NF) - 1, min(ROWS, len(x_NF))).astype(np.int64)
        learned = Forest(
            outputs=train.outputs,
            inputs=inputs,
            texts=texts,
            rounds=rounds,
            threads=self.threads,
            probe={name: train.arrays[name][probe] for name in inputs.reads},
        )
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, curves=tuple(curves), notes=tuple(notes))

    def _grow(self, inputs: Inputs, x_NF: NDArray[Any], train: Target, v_NF: NDArray[Any], valid: Target, run: Run) -> Grown:
        """Rounds of boosting for one output, until the validation loss, the time or a stop says so."""
        lgb = lazy.load("lightgbm", extra="train")
        settings = self._settings(train, run)
        train, valid = (balanced(train), balanced(valid)) if self.balance else (train, valid)
        table = lgb.Dataset(x_NF[train.at], train.y, weight=train.w, params=settings, categorical_feature=inputs.sets)
        booster = lgb.Booster(settings, table)
        if len(valid):
            booster.add_valid(lgb.Dataset(v_NF[valid.at], valid.y, weight=valid.w, params=settings, reference=table), "valid")

        def update() -> tuple[float, bool]:
            ended = bool(booster.update())
            return float((booster.eval_valid() if len(valid) else booster.eval_train())[0][2]), ended

        target = train.output.target
        went = boost(update, run, target=target, rounds=self.rounds, patience=self.patience, validated=len(valid) > 0, name="trees")
        curve = went.curve(target, validated=len(valid) > 0)
        return Grown(text=booster.model_to_string(num_iteration=went.best), rounds=went.best, curves=(curve,))

    def _settings(self, train: Target, run: Run) -> dict[str, Any]:
        classes = width(train.output)
        objective = "regression" if not isinstance(train.output, Probability) else "binary" if classes == 2 else "multiclass"
        return {
            "objective": objective,
            **({"num_class": classes} if objective == "multiclass" else {}),
            "learning_rate": self.lr,
            "num_leaves": self.leaves,
            "min_data_in_leaf": max(1, min(self.min_leaf or int(np.clip(len(train) / 500, 20, 100)), len(train) // 10)),
            "max_bin": self.bins,
            "lambda_l2": self.l2,
            "feature_fraction": self.features,
            "bagging_fraction": min(1.0, max(self.rows, 2 / len(train))),  # LightGBM fails on a bag without a row
            "bagging_freq": 1 if self.rows < 1 else 0,
            "seed": run.seed_for(f"trees {train.output.target}"),
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbose": -1,
        }


class Grown(Struct, frozen=True, kw_only=True):
    """The trees of one output as LightGBM's text, how many rounds they are, and their curves."""

    text: str
    rounds: int
    curves: tuple[Curve, ...]


class Forest(Struct, frozen=True, kw_only=True, dict=True):
    """Fitted trees: LightGBM's own text per output array, and up to 1,000 training rows that the export is compared on."""

    outputs: tuple[Output, ...]
    inputs: Inputs
    texts: dict[str, str]
    rounds: dict[str, int]
    threads: int
    probe: Arrays

    def run(self, arrays: Arrays) -> Arrays:
        """LightGBM's own answer, in float32."""
        x_NF = self.inputs.matrix(arrays)
        made: Arrays = {}
        for output in self.outputs:
            classes = width(output)
            if len(x_NF):
                y = self._boosters[output.array].predict(x_NF, num_threads=self.threads)
            else:
                y = np.zeros((0, classes) if classes > 2 else 0)
            if isinstance(output, Probability) and classes == 2:
                y = np.stack([1 - y, y], axis=1)
            made[output.array] = y.astype(np.float32)
        return made

    def export(self) -> Export:
        """One graph per output.

        Raises:
            FermionError: the graph differs from LightGBM by more than 1e-4 on rows of the training part.
        """
        graphs: dict[str, bytes] = {}
        steps: list[Onnx] = []
        for output in self.outputs:
            name = "trees" if len(self.outputs) == 1 else f"trees-{len(graphs)}"
            made = ensemble(self._boosters[output.array].dump_model())
            nodes = Nodes(name)
            x = self.inputs.nodes(nodes)
            # the label stays inside: its shape would make ONNX Runtime warn at every batch
            names = ("label", "y") if made.has_label else ("",)
            y = nodes.add_many(made.op, x, made=names, domain="ai.onnx.ml", **made.attributes)[-1]
            if not made.has_label:
                y = nodes.add("Squeeze", y, nodes.constant(np.array([1], dtype=np.int64)))
            shape = (width(output),) if isinstance(output, Probability) else ()
            graphs[name] = nodes.finish({"y": y}, shapes={"y": shape})
            steps.append(Onnx(graph=name, inputs={read: read for read in self.inputs.reads}, outputs={"y": output.array}))
        export = Export(graphs=graphs, steps=tuple(steps))
        check_parity(export, self.probe, self.run(self.probe))
        return export

    @functools.cached_property
    def _boosters(self) -> dict[str, Any]:
        lgb = lazy.load("lightgbm", extra="train")
        return {array: lgb.Booster(model_str=text) for array, text in self.texts.items()}
