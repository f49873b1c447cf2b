"""What boosted trees learn of a target: one ensemble per goal, and the answer that their sums stand for.

Every ensemble sums raw scores; what the scores of all ensembles of an output mean, side by side, is the same whatever library grew them:

    classes     K scores of one ensemble, or one for two classes     softmax, sigmoid
    value       one score                                             itself
    count       the logarithm of the expected count over the mean     exp
    labels      one score per label, each with an ensemble            sigmoid
    quantiles   one score per level, each with an ensemble            themselves, sorted
    horizon     one score per step and level, each with an ensemble   themselves, sorted by level

Levels that are learned one by one may cross; sorting mends that and never makes the pinball loss worse (Chernozhukov, Fernández-Val,
Galichon: Quantile and Probability Curves Without Crossing, Econometrica 2010).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.columns.output import Count, Horizon, Labels, Output, Probability, Quantiles, name_of
from fermion.core.errors import DataError, Told
from fermion.research.model import Encoded
from fermion.research.nodes import Nodes
from fermion.research.targets import ROWWISE, Target, balanced, labelled, learnable, width

MOST_CLASSES = 1000  # every round grows a tree for each class
FEW = 12  # goals that are told of one by one
RAREST = 1e-7  # of the mean of a count that never happened

Loss = Literal["binary", "classes", "squares", "pinball", "poisson"]


class Goal(Struct, frozen=True, kw_only=True):
    """What one ensemble learns: the rows and numbers of `target`, by a loss. `name` is for notes and curves; `level` is of a quantile."""

    name: str
    loss: Loss
    target: Target
    level: float = 0.5

    def __len__(self) -> int:
        return len(self.target)

    @property
    def constant(self) -> float | None:
        """The raw score of every row where there is nothing to grow trees on: no row, numbers or labels that never vary, a count of 0."""
        y, w = self.target.y, self.target.w
        if not len(y):
            return 0.0
        if self.loss == "poisson" and not float(w @ y) > 0:
            return math.log(RAREST)
        if self.loss == "binary" and (y == y[0]).all():
            return math.log(2 * len(y) + 1) * (1.0 if y[0] else -1.0)  # half a row of the other kind
        if self.loss == "pinball" and (y == y[0]).all():
            return float(y[0])
        return None

    def balanced(self) -> Goal:
        """The same rows weighed so that every class counts equally, with mean 1; rows of numbers stay as they are."""
        if self.loss not in ("binary", "classes") or not len(self):
            return self
        return structs.replace(self, target=balanced(self.target))


def goals_of(target: Target) -> list[Goal]:
    """The goals of an output with its labelled rows, in the order of the answer's numbers.

    >>> delay = Quantiles(target="delay").fit([1.0, 2.0])
    >>> none = Target(output=delay, at=np.zeros(0, np.int64), y=np.zeros(0), w=np.zeros(0))
    >>> [goal.name for goal in goals_of(none)]
    ['delay at 0.1', 'delay at 0.5', 'delay at 0.9']
    """
    output, name = target.output, target.output.target
    match output:
        case Probability():
            return [Goal(name=name, loss="binary" if len(output.classes) == 2 else "classes", target=target)]
        case Count():
            return [Goal(name=name, loss="poisson", target=target)]
        case Labels():
            return [
                Goal(
                    name=f"{name} = {name_of(label)}",
                    loss="binary",
                    target=structs.replace(target, y=np.ascontiguousarray(target.y[:, place])),
                )
                for place, label in enumerate(output.classes)
            ]
        case Quantiles():
            return [Goal(name=f"{name} at {level:g}", loss="pinball", target=target, level=level) for level in output.levels]
        case Horizon():
            steps = [_step(target, step) for step in range(output.steps)]
            return [
                Goal(name=f"{name} {step + 1} at {level:g}", loss="pinball", target=steps[step], level=level)
                for step, level in itertools.product(range(output.steps), output.levels)
            ]
        case _:
            return [Goal(name=name, loss="squares", target=target)]


def _step(target: Target, step: int) -> Target:
    """The rows of which this step ahead is known."""
    there = ~np.isnan(target.y[:, step])
    return structs.replace(target, at=target.at[there], y=target.y[there, step], w=target.w[there])


def to_learn(train: Encoded, valid: Encoded) -> list[tuple[Output, Goal, Goal]]:
    """Every goal of every output, with its training and its validation rows."""
    return [
        (output, goal, held)
        for output in train.outputs
        for goal, held in zip(goals_of(labelled(output, train)), goals_of(labelled(output, valid)), strict=True)
    ]


def check_goals(train: Encoded, *, model: str) -> None:
    """Whether boosting can learn what is asked.

    Raises:
        SpecError: a kind of target that it cannot learn.
        DataError: no labelled row, one class, or an answer of more than 1,000 numbers.
    """
    for output in train.outputs:
        learnable(output, train, kinds=ROWWISE, model=model)
        if width(output) > MOST_CLASSES:
            raise DataError(
                f"the {'classes' if isinstance(output, Probability) else 'numbers of an answer'} of `{output.target}`",
                rule=f"at most {MOST_CLASSES:,} for {model}, which grows a tree for each in every round",
                given=Told(f"{width(output):,}"),
                remedy="Group rare classes, or set model.type to knn or mlp.",
            )


def answer_of(raw_NK: NDArray[Any], output: Output) -> NDArray[np.float32]:
    """Raw scores, side by side -> the output's array, (N, *tail) float32, computed in float64."""
    z_NK = raw_NK.astype(np.float64)
    match output:
        case Probability():
            z_NK = np.concatenate([np.zeros_like(z_NK), z_NK], axis=1) if z_NK.shape[1] == 1 else z_NK
            p_NK = np.exp(z_NK - z_NK.max(axis=1, keepdims=True))
            made = p_NK / p_NK.sum(axis=1, keepdims=True)
        case Labels():
            made = 1 / (1 + np.exp(-z_NK))
        case Quantiles() | Horizon():
            made = np.sort(z_NK.reshape(len(z_NK), *output.tail), axis=-1)
        case _:
            made = np.exp(z_NK[:, 0]) if isinstance(output, Count) else z_NK[:, 0]
    return made.astype(np.float32)


def answer_nodes(nodes: Nodes, z: str, output: Output) -> str:
    """The same in a graph."""
    match output:
        case Probability() if len(output.classes) == 2:
            p = nodes.add("Sigmoid", z)
            return nodes.add("Concat", nodes.add("Sub", nodes.constant(np.float32(1)), p), p, axis=1)
        case Probability():
            return nodes.add("Softmax", z, axis=1)
        case Labels():
            return nodes.add("Sigmoid", z)
        case Quantiles() | Horizon():
            if isinstance(output, Horizon):
                z = nodes.add("Reshape", z, nodes.constant(np.array([-1, *output.tail], dtype=np.int64)))
            count = nodes.constant(np.array([len(output.levels)], dtype=np.int64))
            return nodes.add_many("TopK", z, count, made=("", ""), axis=-1, largest=0, sorted=1)[0]
        case _:
            y = nodes.add("Squeeze", z, nodes.constant(np.array([1], dtype=np.int64)))
            return nodes.add("Exp", y) if isinstance(output, Count) else y


def scores(output: Output) -> int:
    """How many raw scores an answer is made of.

    >>> scores(Probability(target="paid", classes=("no", "yes"))), scores(Quantiles(target="delay"))
    (1, 3)
    """
    return 1 if isinstance(output, Probability) and len(output.classes) == 2 else width(output)


def told(rounds: Mapping[str, int]) -> list[str]:
    """What there is to say about how many rounds each goal took: a line each, or their range where there are many.

    >>> told({"price": 31})
    ['price: 31 rounds']
    """
    if len(rounds) <= FEW:
        return [f"{name}: {count} rounds" for name, count in rounds.items()]
    return [f"{len(rounds)} ensembles of {min(rounds.values())} to {max(rounds.values())} rounds"]
