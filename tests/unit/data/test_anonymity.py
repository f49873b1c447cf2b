"""k-anonymity: what is reached, who is alone, how to get further, and no value told."""

from __future__ import annotations

import numpy as np
import pytest

from fermion.core.errors import DataError, SpecError
from fermion.data.anonymity import anonymity
from fermion.data.table import Table


def people(n: int = 2_000) -> Table:
    rng = np.random.default_rng(0)
    return Table.of({
        "age": rng.integers(18, 90, n), "zip": [f"zipsecret{i:04d}" for i in rng.zipf(1.6, n) % 500],
        "gender": rng.choice(["f", "m"], n), "ill": rng.choice(["yes", "no"], n, p=[0.1, 0.9]),
    })  # fmt: skip


def test_k_by_hand() -> None:
    table = Table.of({"a": [1, 1, 1, 2, 2, None], "b": ["x", "x", "x", "y", "y", "y"], "t": [0, 0, 1, 1, 1, 0]})
    report = anonymity(table, ("a", "b"), k=2, targets=("t",))
    assert (report.reached, report.groups, report.share, report.holds) == (1, 3, pytest.approx(1 / 6), False)
    assert report.sizes[1] == 1
    assert report.sizes[2] == 5
    assert report.diversity == {"t": 1}
    assert report.unique == {"a": pytest.approx(1 / 6), "b": 0.0}


def test_missing_is_a_value_and_nan_is_missing() -> None:
    assert anonymity(Table.of({"a": [float("nan"), None, 1.0, 1.0]}), ("a",), k=2).reached == 2


def test_groups_are_those_of_a_plain_group_by() -> None:
    table = people()
    report = anonymity(table, ("age", "zip", "gender"), k=5)
    sizes = table.frame.group_by("age", "zip", "gender").len()["len"].to_numpy()
    assert (report.groups, report.reached) == (len(sizes), sizes.min())
    assert report.share == pytest.approx(sizes[sizes < 5].sum() / 2_000)
    assert sum(report.sizes.values()) == 2_000


def test_the_steps_lead_to_k() -> None:
    report = anonymity(people(), ("age", "zip", "gender"), k=5)
    assert [step.share for step in report.steps] == sorted((step.share for step in report.steps), reverse=True)
    assert report.steps[-1].share == 0
    assert report.steps[0].column in ("age", "zip")


def test_bins_hide_numbers() -> None:
    table = people()
    assert anonymity(table, ("age",), k=5, bins={"age": 4}).reached > 300
    assert anonymity(table, ("age", "gender"), k=5, bins={"age": 4}).steps == ()


def test_no_value_is_told() -> None:
    report = anonymity(people(), ("age", "zip"), k=5, targets=("ill",))
    assert "zipsecret" not in repr(report) + "\n".join(report.lines())
    assert report.lines()[0].startswith("5-anonymity over age, zip does not hold: the smallest of")


def test_bad_input() -> None:
    table = Table.of({"age": [1], "city": ["x"]})
    with pytest.raises(SpecError, match="at least one column"):
        anonymity(table, ())
    with pytest.raises(SpecError, match="Did you mean `city`"):
        anonymity(table, ("citty",))
    with pytest.raises(SpecError, match="a column of numbers"):
        anonymity(table, ("city",), bins={"city": 3})
    with pytest.raises(DataError, match="not empty"):
        anonymity(Table.of({"age": []}), ("age",))
