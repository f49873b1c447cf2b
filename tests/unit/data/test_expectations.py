from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.core.declared import Expectation
from fermion.core.errors import SpecError
from fermion.data.checks import Finding, check
from fermion.data.expectations import aside, breaking
from fermion.data.marks import Marks
from fermion.data.table import Table

CODES = np.array([0, 0, 0, 0, 1, 2, -1, 0], np.int8)
TABLE = Table.of(
    {
        "age": [30, -1, 40, 200, 50, None, -5, 20],
        "paid": [1.0, 5.0, 3.0, 2.0, 9.0, 1.0, 9.0, 1.0],
        "billed": [2.0, 5.0, 3.0, 1.0, 9.0, None, 1.0, 1.5],
        "code": ["a1", "b2", "c3", "a1", "zz", "d4", "a1", None],
        "y": [0, 1, 0, 1, 0, 1, 0, 1],
    }
)


def found(*expect: Expectation, **more: Any) -> list[Finding]:
    marks = Marks(codes=CODES, by="random")
    every = check(TABLE, targets=("y",), marks=marks, classification={"y": True}, expect=expect, **more)
    return [one for one in every if one.kind == "expectation"]


@pytest.mark.parametrize(
    ("expectation", "rows"),
    [
        (Expectation(column="age", between=(0, 120)), [1, 3, 6]),
        (Expectation(column="age", between=(0, None)), [1, 6]),
        (Expectation(relation="paid <= billed"), [3, 6]),
        (Expectation(column="code", matches=r"[a-d]\d"), [4]),
        (Expectation(column="code", unique=True), [3, 6]),
        (Expectation(column="code", among=("a1", "b2", "c3", "d4")), [4]),
    ],
)
def test_rows_that_break_an_expectation(expectation: Expectation, rows: list[int]) -> None:
    assert np.flatnonzero(breaking(TABLE, expectation)).tolist() == rows
    kept = [row for row in rows if row != 6]  # that one is left out of the split
    (one,) = found(expectation)
    assert (list(one.rows), one.severity, one.score) == (kept, "error", round(len(kept) / 7, 6))


def test_what_happens_then_and_how_many_are_tolerated() -> None:
    severities = {then: found(Expectation(column="age", between=(0, 120), then=then))[0].severity for then in ("stop", "warn", "aside")}
    assert severities == {"stop": "error", "warn": "warning", "aside": "info"}
    assert found(Expectation(column="age", between=(0, 120), tolerate=0.3)) == []
    assert found(Expectation(column="age", between=(-9, 900))) == []
    (accepted,) = found(Expectation(column="age", between=(0, 120)), accept=("expectation:age",))
    assert accepted.severity == "warning"


def test_rows_to_set_aside_with_their_reason() -> None:
    ages, codes = Expectation(column="age", between=(0, None), then="aside"), Expectation(column="code", unique=True, then="aside")
    assert aside(TABLE, [ages, codes, Expectation(column="age", between=(0, 10))]) == {
        1: "not age from 0",
        3: "not code unique",
        6: "not age from 0",
    }
    assert aside(TABLE, [Expectation(column="age", between=(0, None), then="aside", tolerate=0.5)]) == {}


def test_private_values_and_columns_that_are_not_there() -> None:
    (shown,) = found(Expectation(column="age", between=(0, 120)))
    (hidden,) = found(Expectation(column="age", between=(0, 120)), private=frozenset({"age"}))
    assert "`age` -1" in shown.message
    assert "-1" not in hidden.message
    with pytest.raises(SpecError, match="`age`"):
        found(Expectation(column="aeg", between=(0, 120)))
    with pytest.raises(SpecError, match="`paid`"):
        found(Expectation(relation="pai < billed"))
