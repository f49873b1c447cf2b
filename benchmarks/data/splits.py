"""Seconds and memory of splitting a table of ten million rows, each way in a process of its own.

    python benchmarks/data/splits.py [--rows 10000000] [--out benchmarks/data/splits.json]

Memory is the largest anonymous memory (RssAnon) during the split, less that before it; the table itself is not counted. The bare
permutation of the rows by numpy, in the same process, is what a random split costs at the least.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fermion.core.sections import Split
from fermion.data.split import split
from fermion.data.table import Table

OUT = Path(__file__).with_suffix(".json")
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "random": ({}, ""),
    "stratified": ({}, "label"),
    "several targets": ({}, "labels"),
    "group": ({"by": "group", "column": "group"}, ""),
    "time": ({"by": "time", "column": "time", "gap": "1d"}, ""),
    "5 folds, stratified": ({"folds": 5}, "label"),
    "5 x 3 folds, stratified": ({"folds": 5, "inner": 3}, "label"),
    "5 folds, several targets": ({"folds": 5}, "labels"),
    "5 folds of groups": ({"by": "group", "column": "group", "folds": 5}, ""),
    "5 blocks": ({"by": "blocks", "column": "time", "folds": 5, "gap": "1d"}, ""),
    "5 steps forward": ({"by": "walk", "column": "time", "folds": 5, "gap": "1d"}, ""),
}


def anonymous() -> float:
    """Anonymous memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measure(way: str, rows: int) -> dict[str, float]:
    """One split, in this process."""
    spec, kind = WAYS[way]
    rng = np.random.default_rng(0)
    label = pl.Series("label", rng.integers(0, 2, rows)).replace_strict({0: "no", 1: "yes"}, return_dtype=pl.String)
    group, moment = rng.integers(0, rows // 8, rows).astype(np.int32), rng.integers(0, 365 * 86400, rows)
    table = Table(pl.DataFrame({"label": label, "group": group, "time": moment}))
    target: Any = {"": None, "label": label, "labels": {"label": label, "a": group % 5, "b": group % 11}}[kind]
    began = time.perf_counter()
    rng.permutation(rows)
    permuted, before, stop = time.perf_counter() - began, anonymous(), threading.Event()
    peak = [before]

    def watch() -> None:
        while not stop.wait(0.002):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    split(table, Split(**spec), target=target, task_is_classification=target is not None, rng=np.random.default_rng(0))
    took = time.perf_counter() - began
    stop.set()
    watcher.join()
    return {"seconds": round(took, 2), "permutations": round(took / permuted, 1), "megabytes": round(peak[0] - before)}


def main() -> None:
    """Measure all ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(measure(asked.way, asked.rows)))
        return
    found: dict[str, dict[str, float]] = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--rows", str(asked.rows), "--way", way]
        found[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        one = found[way]
        print(f"{way:26} {one['seconds']:6.2f} s  {one['permutations']:5.1f} permutations  {one['megabytes']:5.0f} MB", flush=True)
    asked.out.write_text(json.dumps({"rows": asked.rows, "ways": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
