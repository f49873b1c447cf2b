"""15 features in time of 1.76 million payments: Fermion's declarations, Polars and pandas as one writes them by hand.

    python benchmarks/data/features.py [--rounds 5] [--pandas 1] [--core 0] [--out benchmarks/data/features.json]

All run on one core, in turns; processor time is reported beside the clock's, for machines that are shared. The features are the 12 of
the fraud handbook and three more: the deviation of the customer's amounts over 7 days, the terminals that the customer used in 30 days,
and the time since the customer's last payment. Every form starts from the raw table in the order of time and ends with the columns in
that order; their values are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import polars as pl

from fermion.columns.features import Stream, name_of
from fermion.core.declared import Feature
from fermion.data.cards import DELAY, FEATURES, WINDOWS, CardTransactions
from fermion.data.features import add
from fermion.data.table import Table

MORE = (
    Feature(take="deviation", of="amount", by="customer_id", window="7d", name="deviation"),
    Feature(take="distinct", of="terminal_id", by="customer_id", window="30d", name="terminals"),
    Feature(take="since", by="customer_id", name="since"),
)
NAMES = [name_of(feature) for feature in FEATURES + MORE]


def fermion(frame: pl.DataFrame, features: tuple[Feature, ...] = FEATURES + MORE) -> pl.DataFrame:
    return add(Table(frame), features, time="time").frame


def polars(frame: pl.DataFrame, *, more: bool = True, terminals: bool = True) -> pl.DataFrame:
    """Sorted once for each kind of entity, so that Polars' rolling groups take their fastest way; one pass for each window."""
    amount, rows = pl.col("amount"), frame.with_row_index("row")
    customers = rows.select("row", "customer_id", "time", "amount", "terminal_id").sort("customer_id", "time")
    made: list[pl.Series | pl.DataFrame] = []
    for days in WINDOWS:
        wanted = [pl.len().alias(f"customer_count_{days}d"), amount.mean().alias(f"customer_mean_amount_{days}d")]
        if more and days == 7:
            wanted.append(amount.std().alias("deviation"))
        if more and terminals and days == 30:
            wanted.append(pl.col("terminal_id").n_unique().alias("terminals"))
        made.append(customers.rolling("time", period=f"{days}d", group_by="customer_id").agg(wanted).drop("customer_id", "time"))
    if more:
        gap = pl.col("time").diff().over("customer_id").dt.total_microseconds() / 1e6
        made.append(customers.select(gap.alias("since")))
    by_customer = pl.concat([customers.select("row"), *made], how="horizontal").sort("row").drop("row")
    shops = rows.select("row", "terminal_id", "time", "is_fraud").sort("terminal_id", "time")
    late = [
        shops.rolling("time", period=f"{days}d", offset=f"-{DELAY + days}d", group_by="terminal_id")
        .agg(pl.len().alias(f"terminal_count_{days}d"), pl.col("is_fraud").mean().fill_null(0.0).alias(f"terminal_risk_{days}d"))
        .drop("terminal_id", "time")
        for days in WINDOWS
    ]
    by_terminal = pl.concat([shops.select("row"), *late], how="horizontal").sort("row").drop("row")
    return pl.concat([frame, by_customer, by_terminal], how="horizontal")


def pandas(frame: Any) -> Any:
    """Sorted once for each kind of entity; delayed windows as the difference of two, as the handbook writes them."""
    made: dict[str, Any] = {}
    customers = frame.sort_values(["customer_id", "time"], kind="stable")
    for days in WINDOWS:
        rolling = customers.groupby("customer_id", sort=False).rolling(f"{days}D", on="time")
        amounts = rolling["amount"]
        count = amounts.count().to_numpy()
        made[f"customer_count_{days}d"] = count
        made[f"customer_mean_amount_{days}d"] = amounts.sum().to_numpy() / count
        if days == 7:
            made["deviation"] = amounts.std().to_numpy()
        if days == 30:
            made["terminals"] = rolling["terminal_id"].nunique().to_numpy()
    made["since"] = customers.groupby("customer_id", sort=False)["time"].diff().dt.total_seconds().to_numpy()
    result = frame.copy()
    for name, values in made.items():
        result.loc[customers.index, name] = values
    shops = frame.assign(fraud=frame["is_fraud"].astype(float)).sort_values(["terminal_id", "time"], kind="stable")
    groups = shops.groupby("terminal_id", sort=False)

    def until(days: int) -> tuple[Any, Any]:
        fraud = groups.rolling(f"{days}D", on="time")["fraud"]
        return fraud.count().to_numpy(), fraud.sum().to_numpy()

    known = until(DELAY)
    for days in WINDOWS:
        both = until(DELAY + days)
        count, frauds = both[0] - known[0], both[1] - known[1]
        result.loc[shops.index, f"terminal_count_{days}d"] = count
        result.loc[shops.index, f"terminal_risk_{days}d"] = np.where(count > 0, frauds / np.maximum(count, 1), 0.0)
    return result


def timed(make: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock, seconds of the processor, and what was made."""
    began, busy = time.perf_counter(), time.process_time()
    made = make()
    return time.perf_counter() - began, time.process_time() - busy, made


def furthest(left: pl.DataFrame, right: Callable[[str], Any]) -> float:
    """The largest difference of any feature, relative to its magnitude or 1, over rows without ties of the customer's time."""
    tied = left.select(pl.struct("customer_id", "time").is_duplicated() | pl.struct("terminal_id", "time").is_duplicated()).to_series()
    sure = ~tied.to_numpy()
    worst = 0.0
    for name in NAMES:
        a, b = left[name].cast(pl.Float64).to_numpy()[sure], np.asarray(right(name), dtype=np.float64)[sure]
        difference = np.abs(a - b) / np.maximum(1.0, np.abs(a))
        worst = max(worst, float(np.nanmax(difference)))
        assert (np.isnan(a) == np.isnan(b)).all(), name
    return worst


def stream_speed(frame: pl.DataFrame, rows: int) -> dict[str, float]:
    """Rows a second of the row form over the first payments, by the processor's time, and how much it holds at the end."""
    stream = Stream(FEATURES + MORE, time="time")
    part = frame.head(rows).to_dicts()
    _, busy, _ = timed(lambda: [stream.push(row) for row in part])
    return {"rows": rows, "rows_per_second": rows / busy, "held": stream.size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pandas", type=int, default=1, help="rounds of pandas, which takes minutes")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {asked.core})
    frame = CardTransactions(customers=5_000, terminals=10_000, days=183, features=False).table().frame
    few = tuple(feature for feature in FEATURES + MORE if feature.take != "distinct")
    forms: dict[str, tuple[int, Callable[[], Any]]] = {
        "Fermion": (asked.rounds, lambda: fermion(frame)),
        "Polars": (asked.rounds, lambda: polars(frame)),
        "Fermion, without distinct": (asked.rounds, lambda: fermion(frame, few)),
        "Polars, without distinct": (asked.rounds, lambda: polars(frame, terminals=False)),
    }
    if asked.pandas:
        table = frame.to_pandas()
        forms["pandas"] = (asked.pandas, lambda: pandas(table))
    took: dict[str, list[float]] = {name: [] for name in forms}
    busy: dict[str, list[float]] = {name: [] for name in forms}
    last: dict[str, Any] = {}
    for number in range(max(rounds for rounds, _ in forms.values())):
        for name, (rounds, form) in forms.items():
            if number < rounds:
                seconds, processor, last[name] = timed(form)
                took[name].append(seconds)
                busy[name].append(processor)
                print(f"round {number + 1}: {name} {seconds:.2f} s, of the processor {processor:.2f} s", flush=True)
    clock, processor = ({name: statistics.median(spent) for name, spent in each.items()} for each in (took, busy))
    print(
        f"\n| {frame.height:,} rows, one core | s | s of the processor | times Fermion | times, of the processor |\n|---|--:|--:|--:|--:|"
    )
    times: dict[str, dict[str, float]] = {}
    for name in forms:
        ours = "Fermion, without distinct" if "without" in name else "Fermion"
        times[name] = {"clock": clock[name] / clock[ours], "processor": processor[name] / processor[ours]}
        shown = (clock[name], processor[name], times[name]["clock"], times[name]["processor"])
        print(f"| {name} | {shown[0]:.2f} | {shown[1]:.2f} | {shown[2]:.1f} | {shown[3]:.1f} |")
    result: dict[str, Any] = {
        "benchmark": "data/features",
        "rows": frame.height,
        "features": len(NAMES),
        "median_seconds": clock,
        "median_processor_seconds": processor,
        "in_times_of_fermion": times,
        "furthest_from_polars": furthest(last["Fermion"], lambda name: last["Polars"][name].cast(pl.Float64).to_numpy()),
        "stream": stream_speed(frame, 50_000),
    }
    if asked.pandas:
        result["furthest_from_pandas"] = furthest(last["Fermion"], lambda name: last["pandas"][name].to_numpy())
    print(json.dumps({name: result[name] for name in ("stream", "furthest_from_polars") if name in result}))
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
