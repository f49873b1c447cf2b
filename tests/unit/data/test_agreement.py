from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from fermion.core.errors import DataError
from fermion.data.agreement import cohen, fleiss, tally

# Fleiss (1971), table 1: 30 patients, 6 psychiatrists; depression, personality disorder, schizophrenia, neurosis, other
DIAGNOSES = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""


def test_the_example_of_fleiss() -> None:
    counts = np.array([[int(digit) for digit in row] for row in DIAGNOSES.split()])
    assert counts.sum(0).tolist() == [26, 26, 30, 55, 43]
    found = fleiss(counts)
    assert found.value == pytest.approx(0.430, abs=5e-4)
    assert found.low < found.value < found.high
    assert found == fleiss(counts)
    assert found.high - found.low < 0.4


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_cohen_is_scikit_learns(weights: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        a = rng.integers(5, size=80)
        b = np.where(rng.random(80) < 0.6, a, rng.integers(5, size=80))
        want = cohen_kappa_score(a, b, weights=None if weights == "none" else weights)
        assert cohen(a, b, weights=weights, draws=0).value == pytest.approx(want, abs=1e-12)  # type: ignore[arg-type]


def test_the_interval_covers_the_truth() -> None:
    """Two annotators who are right 9 times in 10 on two equal classes agree with kappa 0.64; 40 intervals of 95 % miss it rarely."""
    missed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.integers(2, size=200)
        a, b = (np.where(rng.random(200) < 0.9, truth, 1 - truth) for _ in range(2))
        found = cohen(a, b, draws=300, seed=seed)
        missed += not found.low <= 0.64 <= found.high
    assert missed <= 6


def test_gaps_are_left_out_and_one_class_is_undefined() -> None:
    assert cohen(["a", None, "b", "b"], ["a", "b", None, "b"], draws=0).value == 1
    assert np.isnan(cohen(["a", "a"], ["a", "a"]).value)
    assert np.isnan(fleiss(np.array([[3, 0], [3, 0]])).value)
    assert fleiss(tally([["x", "y"], ["x"], ["y", "y", "y"]]), draws=0).value == pytest.approx(1 - 0.5 / (1 - (0.04 + 0.64)))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cohen([1], [1, 2]), "equally long"),
        (lambda: cohen([None], [1]), "at least one item in common"),
        (lambda: cohen(["a"], ["z"], classes=["a", "b"]), "one of the classes a, b"),
        (lambda: fleiss(np.array([[1, 0]])), "one at least has two answers"),
        (lambda: fleiss(np.array([[-1, 2]])), "counts from 0"),
    ],
)
def test_bad_input_is_told(call: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        call()  # type: ignore[operator]
