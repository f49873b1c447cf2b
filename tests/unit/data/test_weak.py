from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.core.errors import DataError, FermionError, UsageError
from fermion.data.rules import Rule, cast_votes
from fermion.data.table import Table
from fermion.data.weak import combine

RIGHT = (0.9, 0.55, 0.6, 0.75, 0.5, 0.52)
VOTES = (0.6, 0.9, 0.9, 0.5, 0.9, 0.9)


def simulated(classes: int = 3, rows: int = 5000, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, rows, p=[0.5, 0.3, 0.2])
    votes = np.full((rows, len(RIGHT)), -1)
    for place, (right, share) in enumerate(zip(RIGHT, VOTES, strict=True)):
        other = (truth + rng.integers(1, classes, rows)) % classes
        said = np.where(rng.random(rows) < right, truth, other)
        votes[:, place] = np.where(rng.random(rows) < share, said, -1)
    return votes, truth


@pytest.mark.parametrize("method", ["accuracy", "confusion"])
def test_planted_accuracies_are_recovered_and_majority_is_beaten(method: str) -> None:
    votes, truth = simulated()
    found, plain = combine(votes, 3, method=method), combine(votes, 3, method="majority")  # type: ignore[arg-type]
    np.testing.assert_allclose(found.accuracies, RIGHT, atol=0.03)
    np.testing.assert_allclose(found.shares, [0.5, 0.3, 0.2], atol=0.03)
    np.testing.assert_allclose(found.coverage, VOTES, atol=0.03)
    right = {one.method: (one.probabilities.argmax(1) == truth)[one.covered].mean() for one in (found, plain)}
    assert right[method] > right["majority"] + 0.03
    sure = found.probabilities.max(1)
    assert abs((found.probabilities.argmax(1) == truth).mean() - sure.mean()) < 0.02  # its certainty is about right
    np.testing.assert_allclose(found.probabilities.sum(1), 1)


def test_a_confusion_table_learns_who_confuses_what() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=4000)
    blind = np.where(truth == 2, 1, truth)  # cannot tell 2 from 1
    votes = np.stack([np.where(rng.random(4000) < right, of, rng.integers(3, size=4000)) for of, right in
                      ((blind, 0.95), (blind, 0.95), (truth, 0.8), (truth, 0.7))], axis=1)  # fmt: skip
    by = {m: (combine(votes, 3, method=m).probabilities.argmax(1) == truth).mean() for m in ("accuracy", "confusion", "majority")}  # type: ignore[arg-type]
    assert by["confusion"] > by["accuracy"] + 0.05
    assert by["confusion"] > by["majority"] + 0.05


def test_few_functions_fall_back_to_the_majority() -> None:
    found = combine(np.array([[0, 0], [1, 0], [-1, -1], [1, -1]]), 2)
    assert found.method == "majority"
    assert found.covered.tolist() == [True, True, False, True]
    assert found.coverage == (0.75, 0.5)
    assert found.overlaps == (0.5, 0.5)
    assert found.conflicts == (0.25, 0.25)
    np.testing.assert_allclose(found.probabilities[1], [0.5, 0.5])
    np.testing.assert_allclose(found.probabilities[2], found.shares)


@pytest.mark.parametrize(
    ("votes", "classes", "said"),
    [
        ([[0]], 1, "at least two"),
        ([[0, 5]], 2, "row 0: the vote of function 1"),
        ([[-1, -1]], 2, "at least one that does not abstain"),
        ([[0.5]], 2, "whole numbers"),
    ],
)
def test_bad_votes_are_told(votes: list[list[float]], classes: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        combine(np.array(votes), classes)


TABLE = Table.of(
    {"text": ["Free money", "hello there", None, "FREE!"], "links": [3.0, float("nan"), 0.0, 9.0], "kind": ["a", "b", "a", None]}
)


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        (Rule(label="spam", column="text", contains="free"), [1, -1, -1, 1]),
        (Rule(label="spam", column="text", matches=r"^[A-Z]+!$"), [-1, -1, -1, 1]),
        (Rule(label="ham", column="links", compares="<= 3"), [0, -1, 0, -1]),
        (Rule(label="ham", column="links", compares="!= 3"), [-1, -1, 0, 0]),
        (Rule(label="ham", column="kind", compares="== a"), [0, -1, 0, -1]),
        (Rule(label="ham", column="kind", compares="!= a"), [-1, 0, -1, -1]),
    ],
)
def test_rules(rule: Rule, want: list[int]) -> None:
    assert cast_votes(TABLE, [rule], ["ham", "spam"]).votes[:, 0].tolist() == want


def many_links(row: dict[str, object]) -> str | None:
    links = row["links"]
    return "spam" if isinstance(links, float) and links > 5 else None


def test_functions_of_python() -> None:
    found = cast_votes(TABLE, [many_links, Rule(label="spam", column="text", contains="free")], ["ham", "spam"])
    assert found.votes.tolist() == [[-1, 1], [-1, -1], [-1, -1], [1, 1]]
    assert found.names == ("many_links", "text contains free")
    assert cast_votes(TABLE, ["builtins:len"], [3]).votes.ravel().tolist() == [0] * 4  # a row has three columns


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ([], "at least one"),
        ([many_links, many_links], "named differently"),
        (["nothing.here:f"], "can be imported"),
        (["builtins:nothing"], "can be imported"),
        ([lambda row: row["gone"]], "row 0: the labelling function `<lambda>`"),
        ([lambda row: "jam"], "Did you mean `ham`"),
        ([Rule(label="spam", column="txt", contains="x")], "Did you mean `text`"),
        ([Rule(label="spam", column="links", contains="x")], "text"),
        ([Rule(label="spam", column="text", compares="> 3")], "a comparison of numbers"),
        ([Rule(label="spam", column="text", matches="(")], "a regular expression"),
    ],
)
def test_bad_functions_are_told(functions: list[object], said: str) -> None:
    with pytest.raises(FermionError, match=said):
        cast_votes(TABLE, functions, ["ham", "spam"])  # type: ignore[arg-type]


def test_a_rule_says_one_thing() -> None:
    with pytest.raises(UsageError, match="one of contains, matches and compares"):
        Rule(label="a", column="x", contains="b", compares="> 1")
    with pytest.raises(UsageError, match="a sign"):
        Rule(label="a", column="x", compares="3")
