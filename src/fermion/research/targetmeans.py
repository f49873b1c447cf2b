"""A category as the mean of the target: out of fold in training, from a table in serving."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.category import FIRST
from fermion.columns.output import Horizon, Labels, Output, Probability, Survival, name_of
from fermion.research.targets import Target

FOLDS = 5
PRIOR_ROWS = 10.0  # how many rows the mean of all counts as, beside a level's own


class TargetMeans(Struct, frozen=True, kw_only=True):
    """Tables for E coded columns, one below the other: (sum of their sizes, K). Column e begins at row `offsets[e]`.

    A level with n rows of mean y stands for (n y + 10 prior) / (n + 10), where prior is the mean of all rows; missing and unseen levels
    stand for the prior. K counts one number per value and per pair of classes, and one per class where there are more, or per label.

    Micci-Barreca: A Preprocessing Scheme for High-Cardinality Categorical Attributes in Classification and Prediction Problems,
    SIGKDD Explorations 2001.
    """

    table: NDArray[np.float32]
    offsets: NDArray[np.int64]


def learn(
    targets: list[Target], codes_NE: NDArray[np.int64], sizes: list[int], rng: np.random.Generator
) -> tuple[TargetMeans, NDArray[np.float32]]:
    """The tables from all rows, and what the training rows themselves get (N, E * K): means over the other four fifths of the rows.

    A row's own target is no part of its code: a model would take it for knowledge. Folds are drawn within classes. Rows without a
    target for one of the outputs get that output's table.
    """
    tables: list[NDArray[np.float64]] = []
    offsets = np.cumsum([0, *sizes])
    out_NEK: list[NDArray[np.float64]] = []
    for target in targets:
        fold_n, numbers = _folds(target, rng), len(called(target.output))
        table_SK, coded_NEK = np.empty((offsets[-1], numbers)), np.empty((*codes_NE.shape, numbers))
        for column, size in enumerate(sizes):
            code_n = codes_NE[target.at, column]
            mine = slice(offsets[column], offsets[column + 1])
            place_n = fold_n * size + code_n
            rows_GS = np.bincount(place_n, target.w, FOLDS * size).reshape(FOLDS, size)
            for k in range(numbers):
                answer_n = _answer(target, k)
                prior = float(np.average(answer_n, weights=target.w)) if len(target) else 0.0
                sums_GS = np.bincount(place_n, target.w * answer_n, FOLDS * size).reshape(FOLDS, size)
                table_SK[mine, k] = _smoothed(sums_GS.sum(axis=0), rows_GS.sum(axis=0), prior)
                others_GS = _smoothed(sums_GS.sum(axis=0) - sums_GS, rows_GS.sum(axis=0) - rows_GS, prior)
                coded_NEK[:, column, k] = table_SK[mine, k][codes_NE[:, column]]
                coded_NEK[target.at, column, k] = others_GS.ravel()[place_n]
        tables.append(table_SK)
        out_NEK.append(coded_NEK)
    means = TargetMeans(table=np.concatenate(tables, axis=1).astype(np.float32), offsets=offsets[:-1].astype(np.int64))
    coded_NEK = np.concatenate(out_NEK, axis=2)
    return means, coded_NEK.reshape(len(codes_NE), coded_NEK.shape[1] * coded_NEK.shape[2]).astype(np.float32)


def called(output: Output) -> list[str]:
    """What the numbers that stand for a level are called, in their order.

    >>> called(Probability(target="paid").fit(["yes", "no"]))
    ['paid = yes']
    """
    if not isinstance(output, Probability | Labels):
        return [output.target]
    names = [f"{output.target} = {name_of(label)}" for label in output.classes]
    return names[1:] if len(names) == 2 and isinstance(output, Probability) else names


def _answer(target: Target, number: int) -> NDArray[Any]:
    """(n,) what the table's number of this position is the mean of."""
    if isinstance(target.output, Horizon):
        return np.nanmean(target.y[:, : target.output.steps], axis=1)
    if isinstance(target.output, Labels):
        return target.y[:, number]
    if isinstance(target.output, Survival):
        return target.y[:, 1]  # whether the event was seen
    if not isinstance(target.output, Probability):
        return target.y
    return target.y == (1 if len(target.output.classes) == 2 else number)


def _folds(target: Target, rng: np.random.Generator) -> NDArray[np.int64]:
    order = rng.permutation(len(target))
    if isinstance(target.output, Probability):
        order = order[np.argsort(target.y[order], kind="stable")]
    fold_n = np.empty(len(target), dtype=np.int64)
    fold_n[order] = np.arange(len(target)) % FOLDS
    return fold_n


def _smoothed(sums: NDArray[np.float64], rows: NDArray[np.float64], prior: float) -> NDArray[np.float64]:
    """(..., S): with the prior for codes 0 (missing) and 1 (unseen)."""
    means = (sums + PRIOR_ROWS * prior) / (rows + PRIOR_ROWS)
    means[..., :FIRST] = prior
    return means
