from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import numpy as np
import pytest

from fermion.columns.features import Stream, check, moment, name_of
from fermion.core.declared import Feature
from fermion.core.errors import DataError, SpecError, UsageError, ValueRejected

MEAN = Feature(take="mean", of="amount", by="card", window="1h", name="usual")


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (Feature(take="count", by="card", window="1 d"), "count_by_card_1d"),
        (Feature(take="since"), "since"),
        (Feature(take="last", of="city", by="card"), "city_last_by_card"),
        (Feature(take="mean", of="fraud", by=("shop", "till"), window="1.5h", delay="7d"), "fraud_mean_by_shop_and_till_1_5h_after_7d"),
        (Feature(take="sum", of="amount", name="spent"), "spent"),
        (Feature(difference=("a", "b")), "a - b"),
    ],
)
def test_names_can_be_read(feature: Feature, name: str) -> None:
    assert name_of(feature) == name
    check([feature])


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (Feature(), r"data\.features\[0\] must be one of take, ratio and difference, got none of them"),
        (Feature(take="ratio", of="a", ratio=("a", "b")), r"got take and ratio\. `take: ratio` is over the entity's past"),
        (Feature(ratio=("a", "b"), window="1d"), r"\.window must be left out: `ratio` is of the row alone"),
        (Feature(take="count", of="a"), r"\.of must be left out: `count` looks at rows.*`distinct` counts different values"),
        (Feature(take="deviation", by="card"), r"\.of must be the column that `deviation` is taken of, got nothing"),
        (Feature(take="count", window="0s"), r"\.window must be longer than 0"),
        (Feature(take="count", delay="0d"), r"\.delay must be longer than 0"),
        (Feature(take="mean", of="a", fill=math.inf), r"\.fill must be a finite number"),
        (Feature(take="mean", of="a", by="kard"), r"\.by must be a column of the table, got 'kard'\. Did you mean `card`\?"),
        (Feature(take="mean", of="fraud", by="card"), r"\.delay must be given: `fraud` is what is to be predicted"),
        (Feature(take="count", name="a"), r"\.name must be a name of its own, got `a`, the name of a column"),
    ],
)
def test_words_that_do_not_belong_together_are_refused(feature: Feature, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        check([feature], known=("a", "b", "card", "fraud"), targets=("fraud",))


def test_two_of_one_name_are_refused_and_a_delayed_or_past_target_is_not() -> None:
    with pytest.raises(SpecError, match=r"features\[1\]\.name must be .*, got `count`, the name of data\.features\[0\]\. Give it another"):
        check([Feature(take="count"), Feature(take="count")])
    check([Feature(take="mean", of="y", delay="1d"), Feature(take="last", of="y")], targets=("y",))


@pytest.mark.parametrize(
    "value",
    [
        "1970-01-02T00:00:01Z",
        "1970-01-02 00:00:01",
        "1970-01-02T02:00:01+02:00",
        dt.datetime(1970, 1, 2, 0, 0, 1),
        dt.datetime(1970, 1, 1, 23, 0, 1, tzinfo=dt.timezone(dt.timedelta(hours=-1))),
        np.datetime64("1970-01-02T00:00:01"),
        86_401,
        86_401.0,
        np.int64(86_401),
        np.float32(86_401),
    ],
)
def test_moments(value: object) -> None:
    assert moment(value) == 86_401_000_000
    assert moment(dt.date(1970, 1, 2)) == 86_400_000_000


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "soon", True, 1e13, [], np.datetime64("NaT")])
def test_no_moments(value: object) -> None:
    with pytest.raises(ValueRejected, match="a row's time must be"):
        moment(value)


def test_ties_come_in_the_order_of_arrival_and_windows_are_open_on_the_left() -> None:
    features = [Feature(take="count", by="card", window="10s", name="n"), Feature(take="since", by="card", name="gap")]
    features += [Feature(take="count", by="card", window="10s", delay="10s", name="before")]
    stream = Stream(features, time="at")
    got = [stream.push({"at": at, "card": "a"})[0] for at in (0, 0, 10, 20, 20)]
    assert [(row["n"], row["gap"], row["before"]) for row in got] == [(1, None, 0), (2, 0.0, 0), (1, 10.0, 2), (1, 10.0, 1), (2, 0.0, 1)]


def test_fill_and_rows_that_are_nobodys() -> None:
    features = [
        Feature(take="count", by="card", delay="1s", name="count"),
        Feature(take="count", by="card", delay="1s", name="filled", fill=-1.0),
        Feature(take="sum", of="x", by="card", name="sum"),
        Feature(take="deviation", of="x", by="card", name="deviation", fill=0.5),
    ]
    stream = Stream(features, time="at")
    first, nobody = stream.push({"at": 0, "card": "a", "x": None})[0], stream.push({"at": 0, "card": None, "x": 1.0})[0]
    assert (first["count"], first["filled"], first["sum"], first["deviation"]) == (0, -1, 0.0, 0.5)
    assert (nobody["count"], nobody["filled"], nobody["sum"], nobody["deviation"]) == (None, -1, None, 0.5)
    assert stream.push({"at": 2, "card": "a", "x": math.nan})[0]["count"] == 1


def test_sums_are_exact_and_what_left_leaves_nothing_behind() -> None:
    features = [Feature(take="sum", of="x", window="3s", name="sum"), Feature(take="deviation", of="x", window="3s", name="deviation")]
    stream = Stream(features, time="at")
    got = [stream.push({"at": at, "x": x})[0] for at, x in enumerate([1e16, 1.0, -1e16, 1e-3, 1e-3, 1e-3, 0.1, 0.2])]
    assert [row["sum"] for row in got][2] == 1.0
    assert got[5]["sum"] == math.fsum([1e-3] * 3)
    assert got[5]["deviation"] == 0.0
    assert got[7]["sum"] == math.fsum([1e-3, 0.1, 0.2])


def test_rows_wait_for_those_before_them() -> None:
    stream = Stream([MEAN], time="at", lateness=60)
    assert stream.push({"at": 100, "card": "a", "amount": 4}) == []
    assert stream.push({"at": 40, "card": "a", "amount": 2}) == [{"at": 40, "card": "a", "amount": 2, "usual": 2.0}]
    with pytest.raises(DataError, match=r"a row's time must be within the allowed lateness, got 1 s before what is finished"):
        stream.push({"at": 39, "card": "a", "amount": 2})
    assert [row["usual"] for row in stream.flush()] == [3.0]
    assert stream.flush() == []
    with pytest.raises(DataError, match="within the allowed lateness"):
        stream.push({"at": 99, "card": "a", "amount": 2})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"amount": "3"}, "the value of `amount` must be a number"),
        ({"amount": math.inf}, "the value of `amount` must be a number"),
        ({"amount": 1e151}, "the value of `amount` must be a number"),
        ({"card": ["a"]}, "the value of `card` must be text, a number or a truth value"),
        ({"at": None}, "a row's time must be"),
        ({"usual": 1}, "the features of a row must be no columns that it has, got 'usual'"),
    ],
)
def test_a_bad_row_is_refused_and_changes_nothing(change: dict[str, Any], told: str) -> None:
    stream = Stream([MEAN], time="at")
    stream.push({"at": 1, "card": "a", "amount": 2.0})
    before = json.dumps(stream.state)
    with pytest.raises(DataError, match=told):
        stream.push({"at": 2, "card": "a", "amount": 2.0} | change)
    with pytest.raises(DataError, match=r"a row must be given with the column `card`, got at, kard, amount\. Did you mean `kard`\?"):
        stream.push({"at": 2, "kard": "a", "amount": 2.0})
    assert json.dumps(stream.state) == before


def test_entities_vanish_and_totals_stay() -> None:
    windowed, total = Stream([MEAN], time="at"), Stream([Feature(take="mean", of="amount", by="card")], time="at")
    for at in range(10_000):
        row = {"at": 60 * at, "card": at % 1_000, "amount": 1.0}
        windowed.push(row)
        total.push(row)
    assert windowed.size == 60 * 2  # an hour of rows, each with its card
    assert total.size == 1_000


def test_wrong_use() -> None:
    with pytest.raises(SpecError, match=r"data\.features\[0\] must be a feature in time, with `take`, got `a / b`"):
        Stream([Feature(ratio=("a", "b"))], time="at")
    with pytest.raises(UsageError, match="lateness must be 0 or a positive number of seconds"):
        Stream([MEAN], time="at", lateness=-1)
    with pytest.raises(UsageError, match="the state must be that of a stream with the same features"):
        Stream([MEAN], time="at").restore(Stream([Feature(take="count")], time="at").state)
    assert Stream([], time="at").push({"at": 1}) == [{"at": 1}]
