"""Wrong labels, found by confident learning: what models that did not see a row say against the label that it has.

Northcutt, Jiang, Chuang: "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.output import UNLABELLED
from fermion.core.errors import DataError, Told
from fermion.core.lazy import load


class Suspects(Struct, frozen=True, kw_only=True, eq=False):
    """Rows whose label is probably wrong, the most suspicious first.

    `rows` (M,) row numbers; `scores` (M,) in 0..1, one less the out-of-sample probability of the row's own label; `suggestions` (M,)
    the most probable other class; `estimated` how many labels are wrong, which may be more than are listed; `joint` (K, K) the
    estimated share of rows with label j (first axis) that truly are k.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    suggestions: NDArray[np.int64]
    estimated: int
    joint: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


def find_errors(labels_N: NDArray[Any], probabilities_NK: NDArray[Any], *, most: int | None = None) -> Suspects:
    """Which labels are probably wrong, and what they should be.

    With t_k the mean probability of k among the rows labelled k, a row labelled j counts as a confident k where p_k >= t_k (the most
    probable such k). The counts C[j, k], calibrated so that their rows add up to the rows of each label, estimate the joint
    distribution of given and true labels; what lies off its diagonal is the number n of wrong labels. Listed are those of the n rows
    with the least probability of their own label in which another class is more probable.

    n and the order are computed by cleanlab. Its `find_label_issues` counts only rows that are above some threshold, which is a lower
    bound: a label that is shown in vain costs a look, a label that is not shown stays wrong.

    >>> p = np.full((40, 2), 0.1)
    >>> p[:20, 0] = p[20:, 1] = 0.9
    >>> labels = np.repeat([0, 1], 20)
    >>> labels[3] = 1
    >>> found = find_errors(labels, p)
    >>> found.rows.tolist(), found.suggestions.tolist(), found.scores.tolist()
    ([3], [0], [0.9])

    Args:
        labels_N: (N,) positions of classes, -1 where a row has no label; those are never listed.
        probabilities_NK: (N, K) what models said that did not learn from the row; rows add up to one.
        most: list no more than these.

    Raises:
        DataError: fewer than two classes, another number of rows or classes than labels say, or values that are no probabilities.
    """
    known, labels_M, p_MK = _labelled(labels_N, probabilities_NK)
    load("cleanlab", extra="data")
    from cleanlab.count import compute_confident_joint, num_label_issues
    from cleanlab.rank import get_self_confidence_for_each_label

    present_K, compact_M = np.unique(labels_M, return_inverse=True)  # cleanlab asks for a row of every class
    p_MP = p_MK[:, present_K]
    share_M1 = p_MP.sum(1, keepdims=True)
    p_MP = np.where(share_M1 > 0, p_MP / np.maximum(share_M1, 1e-300), 1 / len(present_K))
    joint_PP: NDArray[Any] = np.asarray(compute_confident_joint(compact_M, p_MP, calibrate=True), dtype=np.float64)
    estimated = int(num_label_issues(compact_M, p_MP, estimation_method="off_diagonal_calibrated"))
    own_M: NDArray[Any] = get_self_confidence_for_each_label(labels_M, p_MK)
    listed = np.argsort(own_M, kind="stable")[:estimated]
    others_LK = p_MK[listed].copy()
    others_LK[np.arange(len(listed)), labels_M[listed]] = -1.0
    best_L = others_LK.argmax(1)
    contradicted_L = others_LK.max(1) > own_M[listed]
    listed, best_L = listed[contradicted_L][:most], best_L[contradicted_L][:most]
    joint_KK = np.zeros((p_MK.shape[1],) * 2)
    joint_KK[np.ix_(present_K, present_K)] = joint_PP / max(joint_PP.sum(), 1e-300)
    return Suspects(rows=known[listed], scores=1 - own_M[listed], suggestions=best_L.astype(np.int64), estimated=estimated, joint=joint_KK)


def read_probabilities(probabilities_NK: NDArray[Any]) -> NDArray[np.float64]:
    """(N, K) probabilities in float64, rows scaled to add up to exactly one.

    Raises:
        DataError: they are not of two dimensions, fewer than two classes, missing, outside 0..1, or rows that do not add up to one.
    """
    p_NK = np.asarray(probabilities_NK, dtype=np.float64)
    if p_NK.ndim != 2:
        raise DataError("the probabilities", rule="an array of rows and classes", given=Told(f"{p_NK.ndim} dimensions"))
    if p_NK.shape[1] < 2:
        raise DataError("the probabilities", rule="of at least two classes", given=Told(f"{p_NK.shape[1]}"))
    wrong_N = ~np.isfinite(p_NK).all(1)
    if wrong_N.any():
        row = int(wrong_N.argmax())
        remedy = "Every row needs a prediction of a model that did not learn from it: give all folds."
        raise DataError("the probabilities", rule="numbers, not NaN", given=p_NK[row].tolist(), remedy=remedy, where=f"row {row}")
    wrong_N = (p_NK < -1e-6).any(1) | (np.abs(p_NK.sum(1) - 1) > 1e-3)
    if wrong_N.any():
        row = int(wrong_N.argmax())
        given = Told(f"{np.round(p_NK[row], 4).tolist()}, together {p_NK[row].sum():.4g}")
        raise DataError("the probabilities", rule="from 0 and together 1 in each row", given=given, where=f"row {row}")
    p_NK = np.maximum(p_NK, 0)
    return p_NK / p_NK.sum(1, keepdims=True)


def _labelled(labels_N: NDArray[Any], probabilities_NK: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The rows with a label, their labels and probabilities, checked."""
    labels_N = np.asarray(labels_N)
    if labels_N.ndim != 1 or labels_N.dtype.kind not in "iu":
        rule = "whole numbers that name classes: 0.. and -1 for none"
        given = Told(f"{labels_N.dtype} of shape {labels_N.shape}")
        raise DataError("the labels", rule=rule, given=given, remedy="For a target of numbers there are no wrong classes to find.")
    if len(labels_N) != len(probabilities_NK):
        raise DataError("the probabilities", rule=f"as many rows as labels ({len(labels_N)})", given=Told(f"{len(probabilities_NK)} rows"))
    known = np.flatnonzero(labels_N != UNLABELLED)
    labels_M = labels_N[known].astype(np.int64)
    p_NK = read_probabilities(probabilities_NK)
    if len(known) and (labels_M.min() < 0 or labels_M.max() >= p_NK.shape[1]):
        row = int(known[(labels_M < 0) | (labels_M >= p_NK.shape[1])][0])
        rule = f"a position among the {p_NK.shape[1]} classes of the probabilities"
        raise DataError("a label", rule=rule, given=int(labels_N[row]), where=f"row {row}")
    if len(np.unique(labels_M)) < 2:
        given = Told(f"{len(known)} labelled rows of {len(np.unique(labels_M))}")
        raise DataError("the labels", rule="of at least two classes", given=given, remedy="Label some rows of another class first.")
    return known, labels_M, p_NK[known]
