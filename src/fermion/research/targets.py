"""What can be learned about one output: the labelled rows of a table, and the error when there is nothing to learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.columns.output import UNLABELLED, Count, Horizon, Labels, Output, Probability, Quantiles, Survival, Tags, Value
from fermion.core.errors import DataError, SpecError, Told
from fermion.research.model import Encoded

TAGGED = (Tags,)  # what needs a net that knows the steps of a column
PLAIN = (Probability, Value)  # what a model learns that does not say more
EVERY = (Probability, Value, Labels, Quantiles, Count, Survival, Horizon)
ROWWISE = tuple(kind for kind in EVERY if kind is not Survival)  # whose loss of a row does not depend on other rows
NETS = ("mlp", "net", "realmlp", "ft", "cnn", "baseline")  # the models that learn every kind of target
OTHERS = ("trees", "xgboost", "catboost", "tabm")  # those that learn most kinds
ABLE = {"tags": ("net",), "survival": NETS}  # where it is not all of these
AT_RISK = 256  # rows in a batch from which the ranks of times in it say enough


class Target(Struct, frozen=True, kw_only=True):
    """The labelled rows of one output: positions `at` (n,) in the table, targets `y` (n,), weights `w` (n,) float64 with mean 1."""

    output: Output
    at: NDArray[np.int64]
    y: NDArray[Any]
    w: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.at)


def labelled(output: Output, encoded: Encoded) -> Target:
    """The rows with a target and a weight above 0. Weights are divided by their mean, so that penalties mean the same at any scale."""
    y_N = encoded.targets[output.target]
    known_N = output.known(y_N)
    if encoded.weights is not None:
        known_N = known_N & (encoded.weights > 0)
    at = np.flatnonzero(known_N)
    w = np.ones(len(at)) if encoded.weights is None else encoded.weights[at].astype(np.float64)
    return Target(output=output, at=at, y=y_N[at], w=w / w.mean() if len(at) else w)


def check_kind(output: Output, *, kinds: tuple[type, ...] = PLAIN, model: str = "") -> None:
    """Refuse a kind of output that the model cannot learn, with the models that can.

    Raises:
        SpecError: it is none of `kinds`.
    """
    if not isinstance(output, kinds):
        what = type(output).__name__.lower()
        raise SpecError(
            f"the target `{output.target}` ({what})",
            rule="one that the model can learn",
            given=Told(f"model.type: {model}" if model else "a model for classes and numbers"),
            remedy=f"These can: {', '.join(ABLE.get(what, (*OTHERS, *NETS)))}.",
            where="model",
        )


def learnable(output: Output, encoded: Encoded, *, kinds: tuple[type, ...] = PLAIN, model: str = "") -> Target:
    """The labelled rows of the training part.

    Args:
        kinds: the kinds of outputs that the model can learn.
        model: its name, for the message.

    Raises:
        SpecError: it cannot learn this one.
        DataError: there is none, or all are of one class.
    """
    check_kind(output, kinds=kinds, model=model)
    target = labelled(output, encoded)
    subject = f"the training part of `{output.target}`"
    if not len(target):
        given = Told("0 rows") if not len(encoded) else Told(f"{len(encoded)} rows, none with a target and a weight")
        raise DataError(subject, rule="at least one labelled row", given=given, remedy="Check data.source, data.target and split.")
    if isinstance(output, Survival) and not (target.y[:, 1] > 0).any():
        given = Told(f"{len(target)} rows, none with an event")
        raise DataError(subject, rule="at least one event", given=given, remedy=f"Check the column `{output.event}`.")
    if isinstance(output, Labels) and not output.classes:
        raise DataError(subject, rule="at least one label", given=Told(f"{len(target)} rows without"), remedy="Check its separator.")
    if isinstance(output, Probability) and len(np.unique(target.y)) < 2:
        raise DataError(
            subject,
            rule="at least two classes",
            given=Told(f"{len(target)} rows of the class {output.classes[int(target.y[0])]!r}"),
            remedy="Add rows of another class, or split so that the training part has both (split.by: stratified).",
        )
    return target


def balanced(target: Target) -> Target:
    """The same rows of classes weighed so that every class counts equally, with mean 1."""
    codes = target.y.astype(np.int64)
    w = target.w / np.bincount(codes, weights=target.w)[codes]
    return structs.replace(target, w=w / w.mean())


def width(output: Output) -> int:
    """How many numbers the answer for one row is: the classes of a probability, 1 for a value."""
    return math.prod(output.tail)


def least_batch(outputs: Sequence[Output]) -> int:
    """How many rows a batch should have at least: many where rows are compared with each other.

    >>> least_batch([Value(target="price")])
    1
    """
    return AT_RISK if any(isinstance(output, Survival) and output.method == "cox" for output in outputs) else 1


def check_steps(output: Output, encoded: Encoded) -> None:
    """Whether every row has as many labels as the column has steps; a column that is cut may have fewer steps.

    Raises:
        DataError: a row has fewer labels.
    """
    if not isinstance(output, Tags):
        return
    mask_NL = encoded.arrays.get(f"{output.steps}.mask")
    y_NL = encoded.targets[output.target]
    if mask_NL is None or not len(y_NL):
        return
    labels_N = y_NL.shape[1] - np.argmax(y_NL[:, ::-1] != UNLABELLED, axis=1)
    short_N = output.known(y_NL) & (labels_N < mask_NL.sum(axis=1))
    if short_N.any():
        row = int(short_N.argmax())
        raise DataError(
            f"the target `{output.target}`",
            rule=f"one label per step of `{output.steps}`",
            given=Told(f"{labels_N[row]} labels for {int(mask_NL[row].sum())} steps in row {row} of the training part"),
            remedy="A text has a step per token: give it a tokeniser that makes what is labelled its tokens.",
        )
