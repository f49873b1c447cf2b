from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.core.errors import DataError
from fermion.data.labels import find_errors


def planted(rows: int = 3000, classes: int = 4, share: float = 0.05, seed: int = 0) -> tuple[NDArray[np.int64], ...]:
    """Sure probabilities of the true classes, labels of which a share is flipped to another class, and which those are."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=rows)
    flipped = np.zeros(rows, dtype=bool)
    flipped[rng.permutation(rows)[: round(share * rows)]] = True
    labels = np.where(flipped, (truth + rng.integers(1, classes, rows)) % classes, truth)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), truth] += 6
    p = np.exp(logits)
    return labels, p / p.sum(1, keepdims=True), truth, flipped


def test_planted_errors_are_found_and_mended() -> None:
    labels, p, truth, flipped = planted()
    found = find_errors(labels, p)
    hit = flipped[found.rows]
    assert hit.mean() >= 0.95
    assert hit.sum() / flipped.sum() >= 0.95
    assert (found.suggestions == truth[found.rows])[hit].mean() >= 0.98
    assert (np.diff(found.scores) <= 0).all()
    assert (found.suggestions != labels[found.rows]).all()
    assert found.estimated == pytest.approx(flipped.sum(), rel=0.1)
    assert found.joint.sum() == pytest.approx(1)


def test_clean_labels_raise_few_alarms() -> None:
    labels, p, _, _ = planted(share=0.0)
    assert len(find_errors(labels, p)) <= 0.01 * len(labels)


def test_unlabelled_rows_are_never_listed_and_most_is_a_limit() -> None:
    labels, p, _, flipped = planted()
    labels[np.flatnonzero(flipped)[:50]] = -1
    found = find_errors(labels, p, most=20)
    assert len(found) == 20
    assert (labels[found.rows] >= 0).all()


def test_a_class_without_a_label_is_no_obstacle() -> None:
    labels, p, _, _ = planted(classes=3)
    wide = np.concatenate([p, np.zeros((len(p), 1))], axis=1)
    found, narrow = find_errors(labels, wide), find_errors(labels, p)
    np.testing.assert_array_equal(found.rows, narrow.rows)
    assert found.joint.shape == (4, 4)


@pytest.mark.parametrize(
    ("labels", "p", "said"),
    [
        ([0, 1], [[0.5, 0.5]], "as many rows as labels"),
        ([0, 1], [[1.0], [1.0]], "at least two classes"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "row 1: a label must be a position among the 2 classes"),
        ([0, 1], [[0.5, float("nan")], [0.5, 0.5]], "row 0: the probabilities must be numbers, not NaN"),
        ([0, 1], [[0.5, 0.5], [0.9, 0.9]], "row 1: the probabilities must be from 0 and together 1"),
        ([0, 0], [[0.5, 0.5], [0.5, 0.5]], "of at least two classes"),
        ([0.5, 1.5], [[0.5, 0.5], [0.5, 0.5]], "no wrong classes"),
        ([0, 1], [0.5, 0.5], "rows and classes"),
    ],
)
def test_bad_input_is_told(labels: list[float], p: list[list[float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        find_errors(np.array(labels), np.array(p))
