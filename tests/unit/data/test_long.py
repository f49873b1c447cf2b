"""A long table joined as series: what each row could know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.columns.infer import guess
from fermion.columns.sequence import Sequence
from fermion.core.declared import Join, Long
from fermion.core.errors import DataError, FermionError, SpecError
from fermion.core.spec import read as read_spec
from fermion.data.joins import join
from fermion.data.table import Table
from fermion.practice.collecting import collect

STAYS = Table.of({"patient": ["a", "b", "c", None, "a"], "at": [100, 50, 10, 10, 15], "died": [0, 1, 0, 0, 1]})
EVENTS = Table.of(
    {
        "patient": ["a", "a", "b", "a", "a", "a", "b", None],
        "t": [20, 10, 5, 10, 200, 10, 60, 1],
        "name": ["hr", "hr", "bp", "bp", "hr", "hr", "hr", "hr"],
        "value": [60.0, 50.0, 7.0, None, 99.0, 54.0, 80.0, 1.0],
    }
)
LONG = Long(time="t", variable="name", value="value")


def vitals(one: Join, *, time: str | None = "at", other: Table = EVENTS) -> list[Any]:
    made = join(STAYS, [one], time=time, read=lambda _: other)
    assert made.frame.select(STAYS.names).equals(STAYS.frame)
    assert made.names == (*STAYS.names, one.name)
    return [made.row(row)[one.name or ""] for row in range(len(made))]


def test_a_row_gets_what_was_known_at_its_time() -> None:
    rows = vitals(Join(source="e", by="patient", series=LONG, name="vitals"))
    nan = pytest.approx(float("nan"), nan_ok=True)
    assert rows[0] == {"times": [-90.0, -80.0], "values": [[nan, 52.0], [nan, 60.0]]}  # two values at one time are averaged
    assert rows[1] == {"times": [-45.0], "values": [[7.0, nan]]}
    assert rows[2] == rows[3] == {"times": [], "values": []}
    assert rows[4] == {"times": [-5.0], "values": [[nan, 52.0]]}


def test_without_a_time_of_rows_all_steps_are_taken() -> None:
    rows = vitals(Join(source="e", by="patient", series=LONG, name="vitals"), time=None)
    assert rows[0]["times"] == rows[4]["times"] == [10.0, 20.0, 200.0]
    assert rows[1]["times"] == [5.0, 60.0]


def test_within_length_and_chosen_variables() -> None:
    assert vitals(Join(source="e", by="patient", series=LONG, name="v", within="80s"))[0]["times"] == [-80.0]
    assert vitals(Join(source="e", by="patient", series=LONG, name="v", within="79s"))[0]["times"] == []
    assert vitals(Join(source="e", by="patient", series=Long(time="t", variable="name", value="value", length=1), name="v"))[0][
        "times"
    ] == [-80.0]
    only = Long(time="t", variable="name", value="value", variables=("hr",))
    assert vitals(Join(source="e", by="patient", series=only, name="v"))[0] == {"times": [-90.0, -80.0], "values": [52.0, 60.0]}
    assert vitals(Join(source="e", by="patient", series=only, name="v"))[1] == {"times": [], "values": []}


def test_values_may_lie_side_by_side() -> None:
    wide = Table.of({"patient": ["a", "a"], "t": [10, 5], "x": [1.0, 2.0], "y": [None, 4.0]})
    rows = vitals(Join(source="e", by="patient", series=Long(time="t", value=("x", "y")), name="v"), other=wide)
    nan = pytest.approx(float("nan"), nan_ok=True)
    assert rows[0] == {"times": [-95.0, -90.0], "values": [[2.0, 4.0], [1.0, nan]]}


def test_it_is_the_naive_loop() -> None:
    rng = np.random.default_rng(0)
    stays = Table.of({"p": rng.integers(0, 5, 60), "q": rng.integers(0, 3, 60), "at": rng.integers(0, 90, 60)})
    events = Table.of(
        {"p": rng.integers(0, 5, 300), "q": rng.integers(0, 3, 300), "t": rng.integers(0, 90, 300), "v": rng.normal(size=300)}
    )
    one = Join(source="e", by=("p", "q"), series=Long(time="t", value="v"), name="s", within="30s")
    made = join(stays, [one], time="at", read=lambda _: events)
    for number, row in enumerate(stays.frame.rows(named=True)):
        mine = events.frame.filter(
            (pl.col("p") == row["p"]) & (pl.col("q") == row["q"]) & (pl.col("t") <= row["at"]) & (pl.col("t") >= row["at"] - 30)
        )
        steps = mine.group_by("t").agg(pl.col("v").mean()).sort("t")
        got: Any = made.row(number)["s"]
        assert got["times"] == [t - row["at"] for t in steps["t"]]
        np.testing.assert_allclose(got["values"], steps["v"].to_list())


def test_the_column_reads_what_the_join_made() -> None:
    made = join(STAYS, [Join(source="e", by="patient", series=LONG, name="vitals")], time="at", read=lambda _: EVENTS)
    values = made.values("vitals")
    assert guess(values) == Sequence(times=True)
    fitted = Sequence(times=True, since="given").fit(values)
    x, mask, t = made.encode(fitted, "vitals")
    assert x.shape == (5, 2, 2)
    assert mask.sum(axis=1).tolist() == [2, 1, 1, 1, 1]
    assert t[0].tolist() == [-90.0, -80.0]
    assert made.take([1, 0]).fingerprint != made.take([0, 1]).fingerprint


@pytest.mark.parametrize(
    ("one", "error", "told"),
    [
        (Join(source="e", by="patient", series=LONG), SpecError, r"data\.joins\[0\]\.name must be the name of the new column"),
        (Join(source="e", by="patient", series=LONG, name="died"), DataError, "none that the table has already, got 'died'"),
        (
            Join(source="e", by="patient", series=LONG, name="v", time="t"),
            SpecError,
            r"data\.joins\[0\] must be without `time` and `columns`",
        ),
        (Join(source="e", by="patient", series=Long(time="when", value="value"), name="v"), DataError, "got 'when'"),
        (Join(source="e", by="patient", series=Long(time="t", value="valu"), name="v"), DataError, "Did you mean `value`"),
        (Join(source="e", by="patient", series=Long(time="t", value="name"), name="v"), DataError, "column `name` must be numbers"),
        (Join(source="e", by="patient", name="v"), SpecError, r"data\.joins\[0\]\.name must be given together with `series`"),
        (
            Join(source="e", by="patient", series=Long(time="t", variable="name", value="value", variables=("hx",)), name="v"),
            DataError,
            "a variable of a long table .* got 'hx'",
        ),
    ],
)
def test_what_does_not_fit_is_told(one: Join, error: type[FermionError], told: str) -> None:
    with pytest.raises(error, match=told):
        join(STAYS, [one], time="at", read=lambda _: EVENTS)


def test_within_needs_the_rows_time() -> None:
    with pytest.raises(SpecError, match=r"data\.time must be the column that says when a row happened"):
        join(STAYS, [Join(source="e", by="patient", series=LONG, name="v", within="1h")], time=None, read=lambda _: EVENTS)


def test_a_project_file_joins_it(tmp_path: Path) -> None:
    STAYS.frame.write_csv(tmp_path / "stays.csv")
    EVENTS.frame.write_csv(tmp_path / "events.csv")
    series = {"time": "t", "variable": "name", "value": "value"}
    joins = [{"source": "events.csv", "by": "patient", "series": series, "name": "vitals"}]
    spec = read_spec({"name": "icu", "data": {"source": "stays.csv", "target": "died", "time": "at", "joins": joins}})
    table = collect(spec, folder=tmp_path, place=lambda word: word)
    assert table.row(1)["vitals"]["times"] == [-45.0]  # type: ignore[index]
