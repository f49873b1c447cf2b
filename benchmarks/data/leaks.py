"""The leakage doctor: leaks injected into clean tables, false alarms on the tables as they are, and SUPPORT2, which leaks by itself.

    python benchmarks/data/leaks.py [--out benchmarks/data/leaks.json]

Into each table one column is injected at a time, with a fixed seed: a copy of the target, a copy with 5 % of it wrong (classes) or with
noise of a tenth of its deviation (numbers), a monotone function of it, a number that is missing in 90 % of the rows of one class and in
10 % of the others (or above and below the median), and the mean of the target over random groups of four rows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fermion.core.sections import Split
from fermion.data.checks import check
from fermion.data.findings import Finding
from fermion.data.samples import sample
from fermion.data.split import split
from fermion.data.table import Table

DATA = Path(os.environ.get("FERMION_DATA", "data"))
SAMPLES = {"iris": "species", "wine": "cultivar", "breast-cancer": "diagnosis", "diabetes": "progression", "card-transactions": "is_fraud"}
KINDS = ("leak", "predicts-alone", "known-after", "estimate", "missing-tells")
LEAKY = [
    "d.time", "sfdm2", "surv2m", "surv6m", "prg2m", "prg6m", "avtisst", "dnr",
    "death", "slos", "hday", "charges", "totcst", "totmcst", "aps", "sps", "dnrday",
]  # fmt: skip


def tables() -> Iterator[tuple[str, pl.DataFrame, str, bool]]:
    """Name, rows, target and whether it is classes."""
    for name, target in SAMPLES.items():
        yield name, sample(f"sample://{name}").frame, target, target != "progression"
    if not DATA.is_dir():
        print(f"FERMION_DATA is {DATA}, which is no folder: only the samples are looked at")
        return
    import pandas as pd

    credit = pd.read_csv(DATA / "taiwan_credit_default/UCI_Credit_Card.csv.gz")
    yield "taiwan_credit_default", pl.from_pandas(credit), "default.payment.next.month", True
    yield "german_credit", pl.read_csv(DATA / "german_credit/germancredit.csv"), "creditability", True
    for one in json.loads((DATA / "tabular_suite_A/meta.json").read_text()):
        frame = pl.read_parquet(DATA / "tabular_suite_A" / f"{one['name']}.parquet")
        yield one["name"], frame, one["target"], frame[one["target"]].n_unique() < 100


def look(frame: pl.DataFrame, target: str, classes: bool) -> list[Finding]:
    table = Table(frame)
    marks = split(table, Split(), target=table.values(target), task_is_classification=classes, rng=np.random.default_rng(0))
    return check(table, targets=(target,), marks=marks, classification={target: classes})


def injected(truth: pl.Series, classes: bool) -> dict[str, pl.Series]:
    """The leaks by name."""
    rng = np.random.default_rng(0)
    n = len(truth)
    codes_N = truth.rank("dense").to_numpy().astype(np.int64) - 1
    y_N = codes_N.astype(float) if classes else truth.cast(pl.Float64).to_numpy().copy()
    rarest = int(np.argmin(np.bincount(codes_N)))
    high_N = codes_N == rarest if classes else y_N > np.median(y_N)
    means_N = high_N.astype(float) if classes else y_N
    return {
        "copy": truth,
        "noisy copy": pl.Series(_wrong(codes_N, rng) if classes else y_N + 0.1 * y_N.std() * rng.normal(size=n)),
        "monotone": pl.Series(np.exp((y_N - y_N.mean()) / (y_N.std() or 1.0))),
        "missing": pl.Series(np.where(rng.random(n) < np.where(high_N, 0.9, 0.1), np.nan, rng.normal(size=n))),
        "mean of groups": pl.Series(_means(means_N, rng)),
    }


def _wrong(codes_N: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    classes = int(codes_N.max()) + 1
    return np.where(rng.random(len(codes_N)) < 0.05, (codes_N + rng.integers(1, classes, len(codes_N))) % classes, codes_N)


def _means(y_N: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    group_N = rng.permutation(len(y_N)) // 4
    return (np.bincount(group_N, y_N) / np.bincount(group_N))[group_N]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    out = options.parse_args().out
    results: dict[str, Any] = {"injected": {}, "alarms": {}}
    print(f"{'table':24} {'rows':>8} {'columns':>8} {'ms':>6}  alarms on the table as it is; leaks found")
    for name, frame, target, classes in tables():
        began = time.perf_counter()
        alarms = [one for one in look(frame, target, classes) if one.kind in KINDS]
        took = time.perf_counter() - began
        found: dict[str, str] = {}
        for leak, column in injected(frame[target], classes).items():
            findings = look(frame.with_columns(column.alias("injected")), target, classes)
            severities = [one.severity for one in findings if one.kind in KINDS and one.column == "injected"]
            found[leak] = "error" if "error" in severities else severities[0] if severities else "missed"
        results["injected"][name] = found
        results["alarms"][name] = [f"{one.severity}: {one.kind} {one.column}" for one in alarms]
        told = "; ".join(f"{leak} {what}" for leak, what in found.items())
        print(f"{name:24} {frame.height:8,} {frame.width:8} {took * 1e3:6.0f}  {results['alarms'][name]} | {told}")
    if DATA.is_dir():
        results["support2"] = _support2()
    outcomes = [what for found in results["injected"].values() for what in found.values()]
    results["found"] = sum(what != "missed" for what in outcomes)
    results["stopped"] = sum(what == "error" for what in outcomes)
    results["of"] = len(outcomes)
    results["false errors"] = sum(alarm.startswith("error") for alarms in results["alarms"].values() for alarm in alarms)
    results["false warnings"] = sum(alarm.startswith("warning") for alarms in results["alarms"].values() for alarm in alarms)
    print({name: results[name] for name in ("found", "stopped", "of", "false errors", "false warnings")})
    Path(out).write_text(json.dumps(results, indent=1) + "\n")


def _support2() -> dict[str, Any]:
    frame = pl.read_csv(DATA / "support2/support2.csv.gz", infer_schema_length=None)
    found = {one.column: f"{one.severity}: {one.kind}" for one in look(frame, "hospdead", True) if one.kind in KINDS}
    after = look(frame.drop(LEAKY), "hospdead", True)
    told = {name: found.get(name, "missed") for name in LEAKY}
    others = {name: what for name, what in found.items() if name not in LEAKY}
    errors = [one.kind for one in after if one.severity == "error"]
    print("support2:", told, "| others:", others, "| errors once these are dropped:", errors)
    return {"leaky": told, "others": others, "errors once dropped": errors}


if __name__ == "__main__":
    main()
