from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.expect import Relation, about_rows, broken, parse, reads, rules, said
from fermion.columns.infer import infer
from fermion.columns.number import Number
from fermion.columns.repair import Repaired
from fermion.columns.schema import Schema
from fermion.columns.time import Time
from fermion.core.declared import Declared, Expectation, Repair
from fermion.core.errors import SpecError, ValueRejected

E = Expectation


def rows(expectation: Expectation, batch: Any, columns: Any = None) -> list[bool]:
    ((_, found_N),) = broken([expectation], batch, columns)
    return found_N.tolist()


def test_ranges() -> None:
    assert rows(E(column="x", between=(0, 10)), {"x": [0, 10, -1, 10.5, None]}) == [False, False, True, True, False]
    assert rows(E(column="x", between=(None, 1)), {"x": np.array([-1e9, 2, np.nan])}) == [False, True, False]


def test_sets() -> None:
    assert rows(E(column="x", among=("a", 3)), {"x": ["a", "b", "3", 3, None]}) == [False, True, True, False, False]
    assert rows(E(column="x", among=(1, 2)), {"x": np.array([1.0, 2.0, 3.0, np.nan])}) == [False, False, True, False]
    assert rows(E(column="x", among=(True,)), {"x": [True, False, 1]}) == [False, True, True]


def test_patterns() -> None:
    assert rows(E(column="x", matches="[A-Z]{2}"), {"x": ["AB", "ABC", "xAB", "", None]}) == [False, True, True, True, False]
    assert rows(E(column="x", matches=r"\d{4}"), {"x": np.array([8000.0, 12.0])}) == [False, True]
    assert rows(E(column="x", matches=".*"), {"x": ["a" * 1000, "a" * 1001]}) == [False, True]


def test_relations() -> None:
    assert rows(E(relation="a <= b"), {"a": [1, 2, None, 3.0], "b": [1, 1, 0, None]}) == [False, True, False, False]
    days = np.array(["2026-01-01", "2026-01-03", "NaT"], "datetime64[D]")
    assert rows(E(relation="a < b"), {"a": days, "b": days[::-1]}) == [False, True, False]
    assert rows(E(relation="a != b"), {"a": ["x", "y", None], "b": ["x", "z", "q"]}) == [True, False, False]


def test_values_are_read_through_the_repair() -> None:
    columns = {
        "paid": Repaired(column=Number(), repair=Repair(thousands=",", missing=("NA",))),
        "due": Number(),
        "day": Repaired(column=Time(), repair=Repair(dates=("%d.%m.%Y",))),
        "end": Time(),
        "city": Repaired(column=Category(), repair=Repair(text=("lower",))),
    }
    batch = {
        "paid": ["1,000", "2,000", "NA"],
        "due": [1500, 1500, 1500],
        "day": ["1.2.2026", "3.2.2026", None],
        "end": ["2026-02-02"] * 3,
        "city": ["BERN", "Rome", None],
    }
    expected = [
        (E(relation="paid <= due"), [False, True, False]),
        (E(column="paid", between=(1500, None)), [True, False, False]),
        (E(relation="day <= end"), [False, True, False]),
        (E(column="city", among=("bern",)), [False, True, False]),
        (E(column="city", matches="[a-z]+"), [False, False, False]),
    ]
    assert [(one, found.tolist()) for one, found in broken([one for one, _ in expected], batch, columns)] == expected
    with pytest.raises(ValueRejected, match=r"^row 1: `paid` must be a number"):
        broken([E(column="paid", between=(0, 1))], {"paid": ["1", "x"]}, columns)


def test_a_row_alone_is_judged_as_in_a_column() -> None:
    chance = random.Random(0)
    columns = {"a": Number(), "b": Repaired(column=Number(), repair=Repair(missing=("NA",))), "c": Category(), "t": Time(), "u": Time()}
    batch: dict[str, list[Any]] = {
        "a": [chance.choice([None, chance.randint(-3, 3), chance.uniform(-3, 3)]) for _ in range(300)],
        "b": [chance.choice([None, "NA", str(chance.randint(-3, 3)), 1.5]) for _ in range(300)],
        "c": [chance.choice([None, "x", "yy", 3]) for _ in range(300)],
        "t": [chance.choice([None, f"2026-01-0{chance.randint(1, 9)}"]) for _ in range(300)],
        "u": [f"2026-01-0{chance.randint(1, 9)}T05:00:00" for _ in range(300)],
    }
    expectations = [
        *(E(relation=f"a {sign} b") for sign in ("<", "<=", ">", ">=", "==", "!=")),
        *(E(relation=f"t {sign} u") for sign in ("<", ">=", "==")),
        E(column="a", between=(-1, 2)),
        E(column="b", between=(None, 1)),
        E(column="c", among=("x", 3)),
        E(column="c", matches="y+"),
    ]
    ready = rules(expectations, columns)
    for (_, found_N), rule in zip(broken(expectations, batch, columns), ready, strict=True):
        alone = [rule.breaks(*(batch[name][row] for name in rule.reads)) for row in range(300)]
        assert alone == found_N.tolist(), said(rule.expectation)
        assert 0 < sum(alone) < 300


def test_relations_are_read_strictly() -> None:
    assert parse("a<=b") == Relation("a", "<=", "b")
    assert parse("amount paid == `amount billed`") == Relation("amount paid", "==", "amount billed")
    assert parse("`a<b` > c") == Relation("a<b", ">", "c")
    assert parse("a<b > c", ["a<b", "c"]) == Relation("a<b", ">", "c")
    for wrong in ("", "a", "a <= ", "a <= b <= c", "a <=> b", "a = b", "`a <= b", "a + 1 <= b <"):
        with pytest.raises(SpecError, match="a relation must be two columns"):
            parse(wrong)


@pytest.mark.parametrize(
    ("expectation", "says"),
    [
        (E(column="a"), "got none of them"),
        (E(column="a", between=(0, 1), among=("x",)), "got between and among"),
        (E(between=(0, 1)), "between without a column"),
        (E(column="a", relation="a <= b"), "a relation alone"),
        (E(column="aa", between=(0, 1)), "Did you mean `a`?"),
        (E(relation="a <= nowhere"), "a column of data.expect must be among"),
        (E(column="c", between=(0, 1)), "about a number, got `c`, a category"),
        (E(column="a", between=(2, 1)), "from a smaller to a larger value"),
        (E(relation="a <= c"), "between two numbers or two times"),
        (E(relation="c < c"), "between two numbers or two times"),
        (E(column="c", matches="("), "a regular expression"),
        (E(column="c", matches="(a+)+b"), "without a repeat of a repeat"),
        (E(column="c", matches="((ab)*c|d){2,}"), "without a repeat of a repeat"),
    ],
)
def test_what_cannot_be_expected(expectation: Expectation, says: str) -> None:
    with pytest.raises(SpecError) as raised:
        rules([expectation], {"a": Number(), "b": Number(), "c": Category()})
    assert says in str(raised.value)


@pytest.mark.parametrize("pattern", ["(a++)+b", "(ab)+", r"(\+\d)+", "([+*]x)+", "(?>a+)+", "(a{1,3}b)+", "a+b*"])
def test_patterns_that_are_harmless(pattern: str) -> None:
    assert len(rules([E(column="c", matches=pattern)], {"c": Category()})) == 1


def test_what_travels_in_the_schema() -> None:
    batch = {"a": [1.0], "b": [2.0]}
    expect = [E(relation="a <= b"), E(column="a", unique=True), E(column="target", between=(0, 1)), E(column="b", among=(2,))]
    schema = infer(batch, {"a": Declared()}, expect=expect).schema.fit(batch)
    assert schema.expect == (expect[0], expect[3]) == about_rows(expect, ["a", "b"])
    assert msgspec.json.decode(msgspec.json.encode(schema), type=Schema) == schema
    with pytest.raises(SpecError, match="about a number"):
        infer({"a": ["x"]}, {}, expect=[E(column="a", between=(0, 1))])
    assert reads(expect[2]) == ("target",)
