"""What the stages learn, they learn from the training part."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fermion.core import spec as specs
from fermion.core.errors import DataError
from fermion.core.run import Run
from fermion.core.spec import Spec
from fermion.data.table import Table
from fermion.practice import collecting, making

ROWS = 400
DATA = {
    "source": "memory",
    "target": "bad",
    "time": "day",
    "columns": {
        "day": {"type": "time"},
        "pay": {
            "repair": {"strip": ["$"], "thousands": ","},
            "impute": "median",
            "indicator": True,
            "scale": "quantile",
            "missing": "accept",
        },
        "city": {"type": "category", "repair": {"text": ["strip", "lower"]}, "encode": "target"},
        "job": {"type": "category"},
    },
    "features": [{"take": "mean", "of": "size", "by": "city", "window": "30d"}, {"ratio": ["size", "pay"]}],
    "clean": {"duplicates": "exact", "outliers": [{"by": "iqr"}, {"by": "isolation", "columns": ["size"]}]},
    "expect": [{"column": "size", "between": [0, None], "then": "aside"}],
}


def raw(*, changed: bool) -> Table:
    """The same rows; where `changed`, the last fifth of them, the test part, says something else."""
    rng = np.random.default_rng(0)
    pay_N = rng.lognormal(10, 0.4, ROWS)
    bad_N = rng.random(ROWS) < 0.3
    columns: dict[str, list[object]] = {
        "day": list(np.datetime64("2026-01-01") + np.arange(ROWS)),
        "pay": [None if rng.random() < 0.1 else f"${value:,.2f}" for value in pay_N],
        "city": rng.choice(["Bern ", "rome", "OSLO"], ROWS).tolist(),
        "job": rng.choice(["a", "b"], ROWS).tolist(),
        "size": rng.normal(50, 5, ROWS).tolist(),
        "bad": np.where(bad_N, "yes", "no").tolist(),
    }
    if changed:
        for row in range(ROWS * 4 // 5, ROWS):
            columns["pay"][row] = "$9,999,999.00"
            columns["city"][row] = "Lima"
            columns["job"][row] = "c"
            columns["size"][row] = 1e6
            columns["bad"][row] = "no" if columns["bad"][row] == "yes" else "yes"
    return Table.of(columns)


@pytest.mark.parametrize("model", ["linear", "trees"])
def test_changing_test_rows_changes_nothing_that_was_learned(model: str) -> None:
    spec = specs.read({"name": "loans", "data": DATA, "split": {"by": "time", "column": "day"}, "model": model})
    first, second = (fitted(raw(changed=changed), spec) for changed in (False, True))
    assert first.graphs == second.graphs
    assert msgspec.json.encode(first.schema) == msgspec.json.encode(second.schema)
    assert msgspec.json.encode(first.profile) == msgspec.json.encode(second.profile)


def fitted(table: Table, spec: Spec) -> making.Product:
    run = Run(seed=1)
    table = collecting.shaped(table, spec, lambda source: table)
    marks = making.tidy(table, making.divide(table, spec, run), spec, run).marks
    return making.fit(table, marks, spec, run)


@pytest.mark.parametrize(
    ("name", "remedy"), [("thing {}", "Merge rare values"), ("{}", "If it counts something, declare `thing: number` under data.columns")]
)
def test_a_target_of_a_hundred_thousand_classes_is_told_at_once(name: str, remedy: str) -> None:
    kind = int if name == "{}" else str
    names = [kind(name.format(k)) for k in range(100_000)] * 2
    table = Table.of({"x": np.arange(len(names), dtype=np.float64), "thing": names})
    data = {"source": "memory", "target": "thing", "columns": {"thing": "category"}}
    spec = specs.read({"name": "things", "data": data, "split": {"by": "random"}}, name="test")
    with pytest.raises(DataError, match=rf"the target `thing` must be made of at most 10,000 classes, got \d\d,\d\d\d\. {remedy}"):
        making.plan(table, making.divide(table, spec, Run()), spec)
