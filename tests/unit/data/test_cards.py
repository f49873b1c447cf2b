from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from fermion.data.cards import DAY, DELAY, FEATURES, WINDOWS, CardTransactions
from fermion.data.features import add
from fermion.data.samples import sample
from fermion.data.table import Table

SMALL = CardTransactions(customers=150, terminals=300, days=50, seed=3)


def features_of(time: Any, customer: Any, terminal: Any, cents: Any, fraud: Any) -> dict[str, NDArray[Any]]:
    columns = {"time": time, "customer_id": customer, "terminal_id": terminal, "amount": cents / 100, "is_fraud": fraud}
    table = add(Table.of(columns), FEATURES, time="time")
    return {name: np.asarray(table.values(name)) for name in table.names if name not in columns}


def test_features_are_those_of_a_naive_loop() -> None:
    stream = SMALL.payments()
    rng = np.random.default_rng(0)
    picked = np.sort(rng.choice(len(stream["time"]), 2500, replace=False))
    time, customer, terminal, cents = (stream[name][picked] for name in ("time", "customer", "terminal", "cents"))
    customer, terminal = customer % 12, terminal % 9
    time[100:110] = time[100]  # ties
    fraud = rng.random(len(time)) < 0.2
    got = features_of(time, customer, terminal, cents, fraud)
    for row in range(len(time)):
        for days in WINDOWS:
            mine = [i for i in range(row + 1) if customer[i] == customer[row] and time[row] - days * DAY < time[i]]
            assert got[f"customer_count_{days}d"][row] == len(mine)
            assert got[f"customer_mean_amount_{days}d"][row] == pytest.approx(cents[mine].sum() / 100 / len(mine), rel=1e-12)
            until = time[row] - DELAY * DAY
            seen = np.flatnonzero((terminal == terminal[row]) & (time <= until) & (time > until - days * DAY))
            assert got[f"terminal_count_{days}d"][row] == len(seen)
            assert got[f"terminal_risk_{days}d"][row] == pytest.approx(fraud[seen].mean() if len(seen) else 0.0, rel=1e-12)


def test_what_comes_later_changes_nothing() -> None:
    stream = SMALL.payments()
    arrays = (stream["time"], stream["customer"], stream["terminal"], stream["cents"], stream["scenario"] > 0)
    whole = features_of(*arrays)
    for cut in (1, 777, len(arrays[0]) // 2):
        part = features_of(*(array[:cut] for array in arrays))
        for name, values in part.items():
            np.testing.assert_array_equal(values, whole[name][:cut])


def test_labels_younger_than_the_delay_change_nothing() -> None:
    stream = SMALL.payments()
    time, fraud = stream["time"], stream["scenario"] > 0
    other = np.where(time > time[-1] - DELAY * DAY, ~fraud, fraud)
    rest = (time, stream["customer"], stream["terminal"], stream["cents"])
    for name, values in features_of(*rest, fraud).items():
        np.testing.assert_array_equal(values, features_of(*rest, other)[name])


def test_the_world_is_the_handbooks() -> None:
    stream = CardTransactions(seed=1).payments()
    cents, scenario, day = stream["cents"], stream["scenario"], stream["time"] // DAY
    assert 165_000 < len(cents) < 185_000  # 1,000 customers x 90 days x 2 x P(within the day) = 174,000
    assert 0.005 < (scenario > 0).mean() < 0.012  # the handbook's: 0.0084
    assert np.all(np.diff(stream["time"]) >= 0)
    assert cents.min() >= 0
    assert np.all(scenario[cents > 220_00] > 0)
    assert np.all(cents[scenario == 1] > 220_00)
    assert 50 < cents.mean() / 100 < 58  # the handbook's: 53.6
    for terminal in np.unique(stream["terminal"][scenario == 2]):
        bad = day[(stream["terminal"] == terminal) & (scenario == 2)]
        good = day[(stream["terminal"] == terminal) & (scenario == 0)]
        assert bad.max() - bad.min() < 28 or len(set(good) & set(range(bad.min(), bad.max()))) > 0
        assert not set(bad) & set(good)
    second = stream["time"] % DAY
    assert abs(second.mean() - DAY / 2) < 300


def test_the_table() -> None:
    table = SMALL.table()
    assert table.names[:7] == ("transaction_id", "time", "customer_id", "terminal_id", "amount", "during_weekend", "during_night")
    assert table.names[-1] == "is_fraud"
    assert len(table.names) == 7 + 12 + 1
    time = np.asarray(table.values("time"))
    moments = [moment.item() for moment in time[::97]]
    weekend, night = np.asarray(table.values("during_weekend"))[::97], np.asarray(table.values("during_night"))[::97]
    assert [moment.weekday() >= 5 for moment in moments] == weekend.tolist()
    assert [moment.hour <= 6 for moment in moments] == night.tolist()
    assert min(moments).date() == dt.date(2018, 4, 1)


def test_the_features_are_the_declared_ones_and_can_be_left_out() -> None:
    raw = CardTransactions(customers=150, terminals=300, days=50, seed=3, features=False, scenario=True).table()
    assert raw.names == (*SMALL.table().names[:7], "is_fraud", "scenario")
    made = add(raw.drop(["scenario"]), FEATURES, time="time").select(SMALL.table().names)
    assert made.fingerprint == SMALL.table().fingerprint
    types = made.frame.schema
    assert all(types[f"{whose}_count_{days}d"] == pl.Int64 for whose in ("customer", "terminal") for days in WINDOWS)
    assert made.frame.null_count().transpose().to_series().sum() == 0
    assert "amount" in sample("sample://card-transactions?customers=60&terminals=200&days=9&features=false").names


def test_same_seed_same_table_and_options() -> None:
    address = "sample://card-transactions?customers=60&terminals=200&days=9&seed=5&start=2020-02-03"
    one, same, other = sample(address), sample(address), sample(address.replace("seed=5", "seed=6"))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    with_scenario = sample(address + "&scenario=1")
    assert with_scenario.drop(["scenario"]).fingerprint == one.fingerprint
    scenario = np.asarray(with_scenario.values("scenario"))
    np.testing.assert_array_equal(scenario > 0, one.values("is_fraud"))
    assert str(np.asarray(one.values("time"))[0])[:10] == "2020-02-03"
