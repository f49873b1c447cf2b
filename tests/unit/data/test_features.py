from __future__ import annotations

import datetime as dt
import math
import statistics
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.columns.panes import span_of
from fermion.core.declared import Feature
from fermion.core.errors import DataError, SpecError, ValueRejected
from fermion.data import windows
from fermion.data.features import add
from fermion.data.table import Table
from fermion.data.windows import ExactSums, stable_order


def naive(rows: list[dict[str, Any]], feature: Feature) -> list[Any]:
    """The definitions as they are written, row by row."""
    window, delay = span_of(feature)
    order = sorted(range(len(rows)), key=lambda at: rows[at]["at"])
    place = {at: number for number, at in enumerate(order)}
    taken: list[Any] = []
    for here, row in enumerate(rows):
        mine = [j for j in order if rows[j]["card"] == row["card"]]
        until = row["at"] - delay / 1e6
        after = -math.inf if window is None else until - window / 1e6
        own = feature.take in ("count", "sum", "mean", "deviation", "distinct")
        counted = [j for j in mine if after < rows[j]["at"] <= until and (delay or place[j] < place[here] or (own and j == here))]
        x = [rows[j][feature.of] for j in counted if feature.of and rows[j][feature.of] is not None]
        match feature.take:
            case "count":
                taken.append(len(counted))
            case "sum":
                taken.append(math.fsum(x))
            case "mean":
                taken.append(math.fsum(x) / len(x) if x else None)
            case "deviation":
                taken.append(statistics.stdev(x) if len(x) > 1 else None)
            case "distinct":
                taken.append(len(set(x)))
            case "last":
                taken.append(x[-1] if x else None)
            case "since":
                taken.append(row["at"] - rows[counted[-1]]["at"] if counted else None)
            case _:
                mean = math.fsum(x) / len(x) if x else 0
                taken.append(row[str(feature.of)] / mean if mean and row[str(feature.of)] is not None else None)
    return taken


@pytest.mark.parametrize("delay", [None, "30s"])
@pytest.mark.parametrize("window", [None, "40s", "200s"])
@pytest.mark.parametrize("take", ["count", "sum", "mean", "deviation", "distinct", "last", "since", "ratio"])
def test_features_are_those_of_a_naive_loop(take: Any, window: str | None, delay: str | None) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"at": int(at), "card": "abc"[rng.integers(3)], "x": None if rng.random() < 0.2 else float(rng.integers(-3, 9)) / 10}
        for at in rng.integers(0, 600, 150)
    ]
    feature = Feature(take=take, of=None if take in ("count", "since") else "x", by="card", window=window, delay=delay, name="f")
    table = Table.of({name: [row[name] for row in rows] for name in rows[0]})
    got = add(table, [feature], time="at")
    assert got.names == ("at", "card", "x", "f")
    assert got.frame.drop("f").equals(table.frame)
    if take == "deviation":
        expected = [math.nan if value is None else value for value in naive(rows, feature)]
        np.testing.assert_allclose(got.frame["f"].fill_null(math.nan).to_numpy(), expected, rtol=1e-12, atol=1e-15)
    else:
        assert got.frame["f"].to_list() == naive(rows, feature)


def test_types_and_times_of_every_kind() -> None:
    day = dt.datetime(2026, 3, 1)
    features = [
        Feature(take="count", by="who", window="1d", name="n"),
        Feature(take="sum", of="flag", by="who", window="1d", name="sum"),
        Feature(take="last", of="city", by="who", name="city_before"),
        Feature(take="last", of="flag", by="who", name="flag_before"),
        Feature(take="last", of="on", by="who", name="on_before"),
        Feature(take="since", by="who", name="gap"),
    ]
    columns = {"who": [7, 7, 8], "flag": [True, False, True], "city": ["Bern", None, "Rome"], "on": [day.date()] * 3}
    moments = [day, day + dt.timedelta(hours=1), day]
    expected = {
        "n": [1, 2, 1],
        "sum": [1.0, 1.0, 1.0],
        "city_before": [None, "Bern", None],
        "flag_before": [None, True, None],
        "on_before": [None, day.date(), None],
        "gap": [None, 3600.0, None],
    }
    stamps = [moment.replace(tzinfo=dt.UTC).timestamp() for moment in moments]
    for times in (moments, [moment.replace(tzinfo=dt.UTC) for moment in moments], stamps, [int(stamp) for stamp in stamps]):
        frame = add(Table.of(columns | {"at": times}), features, time="at").frame
        assert {name: frame[name].to_list() for name in expected} == expected
        assert frame.schema["n"] == pl.Int64


def test_rows_without_an_entity_and_fills() -> None:
    table = Table.of({"at": [3, 2, 1], "a": ["x", None, "x"], "b": [1.0, 1.0, math.nan], "v": [1.0, 5.0, None]})
    features = [
        Feature(take="count", by="a", name="n"),
        Feature(take="count", by=("a", "b"), name="both"),
        Feature(take="mean", of="v", by="a", fill=-1.0, name="mean"),
        Feature(take="count", by="a", delay="1s", fill=-1.0, name="earlier"),
        Feature(take="last", of="v", by="a", fill=0.0, name="last"),
        Feature(take="sum", of="v", name="all"),
    ]
    frame = add(table, features, time="at").frame
    assert frame.select("n", "both", "mean", "earlier", "last", "all").to_dict(as_series=False) == {
        "n": [2, None, 1],
        "both": [1, None, None],
        "mean": [1.0, -1.0, -1.0],
        "earlier": [1, -1, -1],
        "last": [0.0, 0.0, 0.0],
        "all": [6.0, 5.0, 0.0],
    }


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_and_single(rows: int) -> None:
    table = Table.of({"at": np.zeros(rows), "c": pl.Series(["a"] * rows, dtype=pl.String), "x": np.ones(rows)})
    features = [Feature(take=take, of=of, by="c", window="1d") for take, of in TAKEN]  # type: ignore[arg-type]
    assert len(add(table, features, time="at")) == rows
    nobody = table.with_column("c", pl.Series([None] * rows, dtype=pl.String))
    assert add(nobody, features, time="at").frame["count_by_c_1d"].to_list() == [None] * rows


TAKEN = [("count", None), ("since", None), *((take, "x") for take in ("sum", "mean", "deviation", "distinct", "last", "ratio"))]


def test_row_wise_features_are_left_to_the_schema() -> None:
    table = Table.of({"at": [1], "x": [1.0]})
    assert add(table, [Feature(ratio=("x", "x"))], time="at") is table


@pytest.mark.parametrize(
    ("columns", "feature", "told"),
    [
        ({"at": [1, None]}, Feature(take="count"), r"^row 1: column `at`, which says when a row happened, must be given in every row"),
        ({"at": [1.0, math.nan]}, Feature(take="count"), r"^row 1: column `at`"),
        ({"at": ["a", "b"]}, Feature(take="count"), r"must be dates, times or numbers of seconds, got values of type String"),
        ({"at": [0.0, 1e300]}, Feature(take="count"), r"^row 1: .* must be seconds since 1970, got 1e\+300"),
        ({"at": [0, 1], "v": ["a", "b"]}, Feature(take="sum", of="v"), r"column `v` must be numbers, to be aggregated"),
        ({"at": [0, 1], "v": ["a", "b"]}, Feature(take="last", of="v", fill=0.0), r"column `v` must be numbers, to be aggregated"),
        ({"at": [0, 1], "v": [0.0, math.inf]}, Feature(take="mean", of="v"), r"^row 1: the value of `v` must be a number between -1e\+150"),
        ({"at": [0, 1]}, Feature(take="mean", of="amout"), r"must be one of the columns at, amount, got 'amout'\. Did you mean `amount`\?"),
        ({"at": [0, 1]}, Feature(take="count", name="amount"), r"a feature's name must be none of the table's columns"),
    ],
)
def test_bad_input(columns: dict[str, Any], feature: Feature, told: str) -> None:
    with pytest.raises(DataError, match=told):
        add(Table.of(columns | {"amount": [1.0, 2.0]}), [feature], time="at")


def test_bad_declarations() -> None:
    with pytest.raises(SpecError, match="looks at rows"):
        add(Table.of({"at": [1]}), [Feature(take="count", of="at")], time="at")
    assert issubclass(ValueRejected, DataError)


def test_many_entities_over_many_years_in_microseconds() -> None:
    """Entities times microseconds are more than 64 bits hold: they are searched in several parts."""
    rng = np.random.default_rng(0)
    who, at = rng.integers(0, 150_000, 300_000), rng.integers(0, 3_000 * 10**6, 300_000)  # a century, in seconds
    table = Table.of({"who": who, "at": at})
    got = np.asarray(add(table, [Feature(take="count", by="who", window="5000d", name="n")], time="at").values("n"))
    order = np.lexsort((np.arange(len(who)), at, who))
    for row in order[:4_000]:
        mine = np.flatnonzero((who == who[row]) & (at > at[row] - 5000 * 86_400))
        assert got[row] == sum((at[j], j) <= (at[row], row) for j in mine)


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    columns = {"at": rng.integers(0, 500, 900), "c": rng.integers(0, 60, 900), "x": rng.integers(0, 9, 900) / 7}
    features = [
        Feature(take=take, of=of, by="c", window="200s", delay=delay)  # type: ignore[arg-type]
        for take, of in TAKEN
        for delay in (None, "50s")
    ]
    whole = add(Table.of(columns), features, time="at")
    for rows in (1, 20, 300):
        monkeypatch.setattr(windows, "ROWS", rows)
        in_parts = add(Table.of(columns), features, time="at")
        assert in_parts.frame.equals(whole.frame)
    assert whole.frame.width == 3 + len(features)


def test_sums_are_those_of_fsum_however_uneven_the_values() -> None:
    rng = np.random.default_rng(1)
    for scale in (0, 3, 12, 140):
        x = rng.normal(size=400) * 10.0 ** rng.integers(-scale, scale + 1, 400)
        begin = np.sort(rng.integers(0, 400, 300))
        end = np.minimum(400, begin + rng.integers(0, 40, 300))
        got = ExactSums([x], longest=400).over(begin, end)[0]
        expected = [math.fsum(x[a:b]) for a, b in zip(begin, end, strict=True)]
        if scale < 100:
            assert got.tolist() == expected
        np.testing.assert_array_max_ulp(got, np.array(expected), maxulp=1)


def test_the_order_is_stable_whatever_the_codes() -> None:
    rng = np.random.default_rng(2)
    for most in (1, 2**16, 2**16 + 1, 2**31, 2**50):
        codes = rng.integers(0, most, 5_000) // max(1, most // 300)
        np.testing.assert_array_equal(stable_order(codes), np.argsort(codes, kind="stable"))
        np.testing.assert_array_equal(stable_order(codes * 7), np.argsort(codes, kind="stable"))
