"""Trees of LightGBM, XGBoost and CatBoost as one ONNX operator, exactly.

LightGBM compares float64 thresholds. ONNX holds float32: a threshold t becomes the largest float32 at most t, and for every float32
x the answer to x <= t stays the same. A set of categories becomes a chain of equalities with one common branch, which ONNX Runtime
turns back into a set. XGBoost and CatBoost compare float32 themselves; CatBoost's trees, which ask one question per level, are unrolled.
Only objectives that are known to be exact are taken; others are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from fermion.core.errors import FermionError, Told

CLASSIFIERS = {"binary": "LOGISTIC", "multiclass": "SOFTMAX"}
EXACT = (*CLASSIFIERS, "regression", "quantile", "poisson")


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
                self.leaf(number, here, [float(node["leaf_value"])], class_)
                continue
            left, right, free = free, free + 1, free + 2
            if node["decision_type"] == "==":
                members = [float(member) for member in str(node["threshold"]).split("||")]
                free = self._any_of(number, here, int(node["split_feature"]), members, left, right, free)
            else:
                missing_is_true = bool(node["default_left"]) if node["missing_type"] == "NaN" else node["threshold"] >= 0
                value = float32_at_most(float(node["threshold"]))
                self.add(number, here, "BRANCH_LEQ", int(node["split_feature"]), value, left, right, int(missing_is_true))
            todo += [(node["left_child"], left), (node["right_child"], right)]

    def unroll(self, number: int, splits: Sequence[tuple[int, float, bool]], values_LK: NDArray[Any]) -> None:
        """Add one of CatBoost's trees: bit i of a leaf's position is whether the feature of split i exceeds its border.

        Args:
            splits: feature, border and whether a missing number exceeds it.
            values_LK: (2^splits, K) what the leaves say.
        """
        depth = len(splits)
        for level in range(depth):
            feature, border, missing_exceeds = splits[level]
            first = 2**level - 1
            for path in range(2**level):  # bit i of the path: the answer to split i
                here, below = first + path, 2 ** (level + 1) - 1
                self.add(number, here, "BRANCH_LEQ", feature, border, below + path, below + path + 2**level, int(not missing_exceeds))
        for leaf, values in enumerate(values_LK.tolist()):
            self.leaf(number, 2**depth - 1 + leaf, values)

    def grow(self, number: int, tree: Mapping[str, Any], class_: int) -> None:
        """Add one of XGBoost's trees: a number below the condition goes left, a category of the node's set goes right."""
        sets: dict[int, list[int]] = {}
        for node, start, size in zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True):
            sets[node] = tree["categories"][start : start + size]
        free = len(tree["left_children"])
        for node, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
            feature, condition = tree["split_indices"][node], tree["split_conditions"][node]
            missing_left = int(tree["default_left"][node])
            if left < 0:
                self.leaf(number, node, [condition], class_)
            elif node in sets:
                free = self._any_of(number, node, feature, sets[node], right, left, free)
            else:
                self.add(number, node, "BRANCH_LT", feature, condition, left, right, missing_left)

    def append(self, other: Branches, classes: int) -> None:
        """Add the trees of another ensemble, whose classes come after the first `classes`."""
        trees = max(self.tree, default=-1) + 1
        shifts = {"tree": trees, "leaf_tree": trees, "leaf_class": classes}
        for name in self.__struct_fields__:
            shift = shifts.get(name, 0)
            getattr(self, name).extend([value + shift for value in getattr(other, name)] if shift else getattr(other, name))

    def leaf(self, tree: int, node: int, values: Sequence[float], class_: int = 0) -> None:
        """Add a leaf that says one number for each class from `class_` on."""
        self.add(tree, node, "LEAF")
        for position, value in enumerate(values):
            if value or not position:  # what adds nothing need not be stored; a leaf needs an entry
                self.leaf_tree.append(tree)
                self.leaf_node.append(node)
                self.leaf_class.append(class_ + position)
                self.leaf_value.append(value)

    def attributes(self, base: Sequence[float]) -> dict[str, Any]:
        """As a TreeEnsembleRegressor: the sums of the leaves' numbers by class, which start from `base` (K,)."""
        return {
            **self.nodes(),
            "target_treeids": self.leaf_tree,
            "target_nodeids": self.leaf_node,
            "target_ids": self.leaf_class,
            "target_weights": self.leaf_value,
            "n_targets": len(base),
            "base_values": list(base),
            "post_transform": "NONE",
        }

    def nodes(self) -> dict[str, Any]:
        """The branches as attributes, without the leaves' numbers."""
        return {
            "nodes_treeids": self.tree,
            "nodes_nodeids": self.node,
            "nodes_featureids": self.feature,
            "nodes_modes": self.mode,
            "nodes_values": self.value,
            "nodes_truenodeids": self.true,
            "nodes_falsenodeids": self.false,
            "nodes_missing_value_tracks_true": self.missing_is_true,
        }

    def _any_of(self, number: int, here: int, feature: int, members: Sequence[float], true: int, false: int, free: int) -> int:
        """x in {a, b, c} as x == a, else x == b, else x == c; all true branches meet in `true`. The next free number of a node."""
        for position, member in enumerate(members):
            last = position == len(members) - 1
            after = false if last else free
            self.add(number, here, "BRANCH_EQ", feature, float(member), true, after)
            if not last:
                here, free = free, free + 1
        return free

    def add(
        self, tree: int, node: int, mode: str, feature: int = 0, value: float = 0.0, true: int = 0, false: int = 0, missing: int = 0
    ) -> None:
        """Add one node: `mode` compares the feature with the value, and a missing number goes to `true` where `missing` is 1."""
        self.tree.append(tree)
        self.node.append(node)
        self.mode.append(mode)
        self.feature.append(feature)
        self.value.append(value)
        self.true.append(true)
        self.false.append(false)
        self.missing_is_true.append(missing)


def branches_of(dump: dict[str, Any]) -> Branches:
    """`Booster.dump_model()` of LightGBM -> its branches.

    Raises:
        FermionError: an objective or a kind of tree that ONNX does not compute exactly.
    """
    if objective_of(dump) not in EXACT:
        raise FermionError("the objective of the trees", rule=f"one of {', '.join(EXACT)}", given=objective_of(dump))
    if dump.get("average_output"):
        raise FermionError("the trees", rule="summed", given=Told("an averaged ensemble (boosting=rf)"))
    branches = Branches()
    per_round = int(dump["num_tree_per_iteration"])
    for number, tree in enumerate(dump["tree_info"]):
        branches.tree_of(number, tree["tree_structure"], number % per_round)
    return branches


def classifier(dump: dict[str, Any]) -> dict[str, Any]:
    """`Booster.dump_model()` of a classifier -> a TreeEnsembleClassifier, whose second output are (N, K) probabilities.

    Raises:
        FermionError: an objective or a kind of tree that ONNX does not compute exactly.
    """
    branches, objective = branches_of(dump), objective_of(dump)
    return {
        **branches.nodes(),
        "class_treeids": branches.leaf_tree,
        "class_nodeids": branches.leaf_node,
        "class_ids": branches.leaf_class,
        "class_weights": branches.leaf_value,
        "classlabels_int64s": list(range(int(dump["num_class"]) if objective == "multiclass" else 2)),
        "post_transform": CLASSIFIERS[objective],
    }


def objective_of(dump: dict[str, Any]) -> str:
    """What LightGBM's trees were grown for."""
    return str(dump["objective"]).split()[0]


def float32_at_most(x: float) -> float:
    """The largest float32 that is not above x.

    >>> float32_at_most(0.1) <= 0.1 < float(np.nextafter(np.float32(float32_at_most(0.1)), np.float32(1)))
    True
    """
    limit = float(np.finfo(np.float32).max)
    single = np.float32(min(max(x, -limit), limit))
    return float(np.nextafter(single, np.float32(-np.inf))) if float(single) > x else float(single)
