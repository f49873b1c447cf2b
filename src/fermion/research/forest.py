"""LightGBM's trees as one ONNX operator, exactly.

LightGBM compares float64 thresholds. ONNX holds float32: a threshold t becomes the largest float32 at most t, and for every float32
x the answer to x <= t stays the same. A set of categories becomes a chain of equalities with one common branch, which ONNX Runtime
turns back into a set. Only the objectives in `OBJECTIVES` are known to be exact; others are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct, field

from fermion.core.errors import FermionError, Told

OBJECTIVES = {"binary": "LOGISTIC", "multiclass": "SOFTMAX", "regression": "NONE"}


class Branches(Struct, kw_only=True):
    """The attributes of a tree ensemble in ONNX, one entry per node or leaf."""

    tree: list[int] = field(default_factory=list[int])
    node: list[int] = field(default_factory=list[int])
    feature: list[int] = field(default_factory=list[int])
    mode: list[str] = field(default_factory=list[str])
    value: list[float] = field(default_factory=list[float])
    true: list[int] = field(default_factory=list[int])
    false: list[int] = field(default_factory=list[int])
    missing_is_true: list[int] = field(default_factory=list[int])
    leaf_tree: list[int] = field(default_factory=list[int])
    leaf_node: list[int] = field(default_factory=list[int])
    leaf_class: list[int] = field(default_factory=list[int])
    leaf_value: list[float] = field(default_factory=list[float])

    def tree_of(self, number: int, root: dict[str, Any], class_: int) -> None:
        """Add one tree of LightGBM's dump, nodes before their children."""
        todo: list[tuple[dict[str, Any], int]] = [(root, 0)]
        free = 1
        while todo:
            node, here = todo.pop()
            if "split_feature" not in node:
                if "leaf_coeff" in node:
                    raise FermionError("a leaf", rule="a constant", given=Told("a linear model (linear_tree)"))
                self._add(number, here, "LEAF")
                self.leaf_tree.append(number)
                self.leaf_node.append(here)
                self.leaf_class.append(class_)
                self.leaf_value.append(float(node["leaf_value"]))
                continue
            left, right, free = free, free + 1, free + 2
            if node["decision_type"] == "==":
                free = self._any_of(number, here, node, left, right, free)
            else:
                missing_is_true = bool(node["default_left"]) if node["missing_type"] == "NaN" else node["threshold"] >= 0
                value = float32_at_most(float(node["threshold"]))
                self._add(number, here, "BRANCH_LEQ", int(node["split_feature"]), value, left, right, int(missing_is_true))
            todo += [(node["left_child"], left), (node["right_child"], right)]

    def _any_of(self, number: int, here: int, node: dict[str, Any], left: int, right: int, free: int) -> int:
        """x in {a, b, c} as x == a, else x == b, else x == c; all true branches meet in `left`."""
        members = [float(member) for member in str(node["threshold"]).split("||")]
        for position, member in enumerate(members):
            last = position == len(members) - 1
            after = right if last else free
            self._add(number, here, "BRANCH_EQ", int(node["split_feature"]), member, left, after)
            if not last:
                here, free = free, free + 1
        return free

    def _add(
        self, tree: int, node: int, mode: str, feature: int = 0, value: float = 0.0, true: int = 0, false: int = 0, missing: int = 0
    ) -> None:
        self.tree.append(tree)
        self.node.append(node)
        self.mode.append(mode)
        self.feature.append(feature)
        self.value.append(value)
        self.true.append(true)
        self.false.append(false)
        self.missing_is_true.append(missing)


class Ensemble(Struct, frozen=True, kw_only=True):
    """An operator of the domain ai.onnx.ml: its name, its attributes, and whether its first output is a label to be dropped."""

    op: str
    attributes: dict[str, Any]
    has_label: bool


def ensemble(dump: dict[str, Any]) -> Ensemble:
    """`Booster.dump_model()` -> an ensemble: (N, K) probabilities for a classifier, (N, 1) values for a regression.

    Raises:
        FermionError: an objective or a kind of tree that ONNX does not compute exactly.
    """
    objective = str(dump["objective"]).split()[0]
    if objective not in OBJECTIVES:
        raise FermionError("the objective of the trees", rule=f"one of {', '.join(OBJECTIVES)}", given=objective)
    if dump.get("average_output"):
        raise FermionError("the trees", rule="summed", given=Told("an averaged ensemble (boosting=rf)"))
    branches = Branches()
    per_round = int(dump["num_tree_per_iteration"])
    classes = int(dump["num_class"]) if objective == "multiclass" else 2
    for number, tree in enumerate(dump["tree_info"]):
        branches.tree_of(number, tree["tree_structure"], number % per_round)
    common = {
        "nodes_treeids": branches.tree,
        "nodes_nodeids": branches.node,
        "nodes_featureids": branches.feature,
        "nodes_modes": branches.mode,
        "nodes_values": branches.value,
        "nodes_truenodeids": branches.true,
        "nodes_falsenodeids": branches.false,
        "nodes_missing_value_tracks_true": branches.missing_is_true,
        "post_transform": OBJECTIVES[objective],
    }
    leaves = {"treeids": branches.leaf_tree, "nodeids": branches.leaf_node, "ids": branches.leaf_class, "weights": branches.leaf_value}
    if objective == "regression":
        targets = {f"target_{key}": value for key, value in leaves.items()}
        return Ensemble(op="TreeEnsembleRegressor", attributes={**common, **targets, "n_targets": 1}, has_label=False)
    weights = {f"class_{key}": value for key, value in leaves.items()}
    labels = {"classlabels_int64s": list(range(classes))}
    return Ensemble(op="TreeEnsembleClassifier", attributes={**common, **weights, **labels}, has_label=True)


def float32_at_most(x: float) -> float:
    """The largest float32 that is not above x.

    >>> float32_at_most(0.1) <= 0.1 < float(np.nextafter(np.float32(float32_at_most(0.1)), np.float32(1)))
    True
    """
    limit = float(np.finfo(np.float32).max)
    single = np.float32(min(max(x, -limit), limit))
    return float(np.nextafter(single, np.float32(-np.inf))) if float(single) > x else float(single)
