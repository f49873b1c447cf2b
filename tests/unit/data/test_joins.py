from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core.declared import Join
from fermion.core.errors import DataError, SpecError
from fermion.data.joins import join
from fermion.data.table import Table

SALES = Table.of({"at": [20, 5, 20, 30, 2], "shop": ["a", "a", "b", None, "a"], "n": [1, 2, 3, 4, 5]})
PRICES = Table.of({"since": [10, 0, 5, 3], "shop": ["a", "a", "b", None], "price": [2.0, 1.0, 9.0, 7.0], "unit": ["kg", "g", "l", "m"]})


def joined(one: Join, table: Table = SALES, other: Table = PRICES, time: str | None = "at") -> Table:
    return join(table, [one], time=time, read=lambda _: other)


def test_what_was_known_at_the_time() -> None:
    got = joined(Join(source="prices", by="shop", time="since"))
    assert got.names == ("at", "shop", "n", "price", "unit")
    assert got.frame.select("at", "shop", "n").equals(SALES.frame)
    assert got.frame["price"].to_list() == [2.0, 1.0, 9.0, None, 1.0]
    assert got.frame["unit"].to_list() == ["kg", "g", "l", None, "g"]


def test_within_and_chosen_columns() -> None:
    got = joined(Join(source="prices", by="shop", time="since", within="10s", columns=("price",)))
    assert got.names == ("at", "shop", "n", "price")
    assert got.frame["price"].to_list() == [2.0, 1.0, None, None, 1.0]  # 15 s are too old, 10 s are not


def test_it_is_the_naive_loop() -> None:
    rng = np.random.default_rng(0)
    sales = Table.of({"at": rng.integers(0, 300, 400), "a": rng.integers(0, 4, 400), "b": rng.integers(0, 3, 400)})
    other = pl.DataFrame({"u": rng.integers(0, 300, 200), "a": rng.integers(0, 4, 200), "b": rng.integers(0, 3, 200)}).unique()
    other = Table(other.sample(fraction=1, shuffle=True, seed=1).with_row_index("v"))
    got = joined(Join(source="x", by=("a", "b"), time="u", within="40s"), sales, other).frame["v"].to_list()
    rows = other.frame.rows(named=True)
    for at, row in enumerate(sales.frame.rows(named=True)):
        mine = [one for one in rows if (one["a"], one["b"]) == (row["a"], row["b"]) and 0 <= row["at"] - one["u"] <= 40]
        assert got[at] == (max(mine, key=lambda one: one["u"])["v"] if mine else None)


def test_plain_join_and_several() -> None:
    shops = Table.of({"shop": ["b", "a", "a"], "city": ["Rome", "Bern", "Bern"]})  # a row that stands twice says nothing new
    read = {"shops": shops, "prices": PRICES}
    both = [Join(source="shops", by="shop"), Join(source="prices", by="shop", time="since", columns=("price",))]
    got = join(SALES, both, time="at", read=lambda source: read[source])
    assert got.frame["city"].to_list() == ["Bern", "Bern", "Rome", None, "Bern"]
    assert got.frame["price"].to_list() == [2.0, 1.0, 9.0, None, 1.0]
    assert join(SALES, both[:1], time=None, read=lambda source: read[source]).names[-1] == "city"


def test_kinds_of_keys_and_times_may_differ_in_width() -> None:
    day = dt.date(2026, 3, 1)
    sales = Table.of({"at": pl.Series([dt.datetime(2026, 3, 1, 12)]), "k": pl.Series([3], dtype=pl.Int8), "c": pl.Series(["x"])})
    other = Table.of({"u": pl.Series([day]), "k": np.array([3.0]), "c": pl.Series(["x"], dtype=pl.Categorical), "v": [1]})
    assert joined(Join(source="o", by=("k", "c"), time="u"), sales, other).frame["v"].to_list() == [1]
    assert len(joined(Join(source="o", by="shop", time="since"), SALES.take(slice(0, 0)))) == 0
    assert joined(Join(source="o", by="shop", time="since"), other=PRICES.take(slice(0, 0))).frame["price"].null_count() == 5


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (Join(source="p", by="shop"), PRICES, r"p must be one row for each key, got several for shop 'a', and 2 .*Say with `time`"),
        (
            Join(source="p", by="shop", time="since"),
            Table.of({"since": [1, 1], "shop": ["a", "a"], "price": [1.0, 2.0]}),
            r"p must be one row for each key and time, got several for shop 'a'",
        ),
        (Join(source="p", by="shopp"), PRICES, r"data\.joins\[0\]\.by must be one of the columns at, shop, n.*Did you mean `shop`"),
        (Join(source="p", by="shop", columns=("prize",)), PRICES, r"^p: data\.joins\[0\] must be one of .*Did you mean `price`"),
        (Join(source="p", by="shop", time="sinc"), PRICES, r"Did you mean `since`"),
        (Join(source="p", by="shop", columns=("n",)), Table.of({"shop": ["a"], "n": [1]}), r"none that the table has already, got 'n'"),
        (Join(source="p", by="shop"), Table.of({"shop": [1], "v": [1]}), r"of one kind in both tables, got text in the table and numbers"),
        (
            Join(source="p", by="shop", time="since"),
            Table.of({"since": [None, 1], "shop": ["a", "b"], "v": [1, 2]}),
            r"^row 0: column `since`.* must be given in every row",
        ),
    ],
)
def test_bad_tables(one: Join, other: Table, told: str) -> None:
    with pytest.raises(DataError, match=told):
        joined(one, other=other)


@pytest.mark.parametrize(
    ("one", "time", "told"),
    [
        (Join(source="p", by="shop", within="1d"), "at", r"data\.joins\[0\]\.within must be given together with `time`"),
        (Join(source="p", by="shop", time="since"), None, r"data\.time must be the column that says when a row happened"),
        (Join(source="p", by=()), "at", r"data\.joins\[0\]\.by must be a column, or columns"),
    ],
)
def test_bad_declarations(one: Join, time: Any, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        joined(one, time=time)
