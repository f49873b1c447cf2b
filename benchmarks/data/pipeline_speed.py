"""From a csv file to arrays: reading, profile, checks, split and encoding of a million rows, beside a bare read by Polars and pandas.

    python benchmarks/data/pipeline_speed.py [--rows 1000000] [--threads 2] [--rounds 3]

The file has 20 columns of numbers, 9 of categories and a target, about 200 MB, made by a seeded generator. Every round runs each of the
three in a process of its own, with the same number of threads; the table shows the best round of each stage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEVELS = (2, 5, 12, 30, 60, 100, 300, 1_000, 5_000)


def generated(path: Path, rows: int, seed: int = 0) -> Path:
    """The csv file; it is written once."""
    import numpy as np
    import polars as pl

    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    hidden_N = rng.normal(size=rows)
    columns: dict[str, Any] = {}
    for i in range(20):
        x_N = 0.3 * hidden_N + rng.normal(size=rows)
        kinds: list[Callable[[], Any]] = [
            lambda x_N=x_N: np.round(x_N, 4),
            lambda x_N=x_N: np.round(100 * np.exp(x_N), 2),
            lambda: rng.integers(0, 1_000_000, rows),
            lambda x_N=x_N: pl.Series(np.round(1_000 * x_N, 1)).set(pl.Series(rng.random(rows) < 0.05), None),
            lambda: np.round(rng.random(rows), 6),
        ]
        columns[f"number_{i:02}"] = kinds[i % 5]()
    for i, levels in enumerate(LEVELS):
        words = np.array([f"v{i}_{level}" for level in range(levels)])
        columns[f"category_{i}"] = words[np.minimum((rng.pareto(1.2, rows) * levels / 6).astype(np.int64), levels - 1)]
    columns["target"] = (hidden_N + rng.normal(size=rows) > 1).astype(np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_csv(path)
    return path


def bare(path: Path) -> dict[str, float]:
    """One `polars.read_csv`."""
    import polars as pl

    began = time.perf_counter()
    pl.read_csv(path)
    return {"read": time.perf_counter() - began}


def fermion(path: Path) -> dict[str, float]:
    """What a run does before a model is fitted."""
    import numpy as np

    from fermion.core.sections import Data, Split
    from fermion.core.spec import Spec
    from fermion.data.checks import check
    from fermion.data.profile import profile
    from fermion.data.profile_page import html
    from fermion.data.sources import read
    from fermion.data.split import split
    from fermion.data.table import Table
    from fermion.practice.preparation import encode, learn, parts

    profile(Table.of({"a": [1.0, 2.0], "b": ["x", "y"]}))  # imports are not what is timed
    spec = Spec(name="speed", data=Data(source=str(path), target="target"))
    laps = _Laps()
    table = read(str(path), folder=path.parent)
    laps.end("read")
    y_N = table.values("target")
    marks = split(table, Split(), target=y_N, task_is_classification=True, rng=np.random.default_rng(0))
    laps.end("split")
    found = check(table, targets=("target",), marks=marks, classification={"target": True})
    laps.end("checks")
    seen = profile(table, targets=("target",), marks=marks, findings=found, personal=None)
    laps.end("profile")
    html(seen)
    laps.end("page")
    learnt = learn(table, marks, spec)
    laps.end("fit columns")
    encoded = [encode(table, learnt.schema, learnt.outputs, rows=rows) for rows in parts(marks).values()]
    laps.end("encode")
    assert sum(map(len, encoded)) == len(table)
    return laps.seconds


def pandas(path: Path) -> dict[str, float]:
    """The same steps as one writes them with pandas: describe, counts, correlations and duplicates; codes by `factorize`."""
    import numpy as np
    import pandas as pd

    laps = _Laps()
    frame = pd.read_csv(path)
    laps.end("read")
    rng = np.random.default_rng(0)
    marks = pd.Series(0, index=frame.index)
    for rows in frame.groupby("target").groups.values():
        order = rng.permutation(np.asarray(rows))
        marks[order[: len(order) // 5]] = 2
    laps.end("split")
    _ = frame.isna().sum(), frame.nunique(), frame.duplicated().sum()
    laps.end("checks")
    numbers = frame.select_dtypes("number")
    _ = numbers.describe(), numbers.corr(), [frame[name].value_counts() for name in frame.columns if name not in numbers]
    _ = [np.histogram(numbers[name].dropna(), 30) for name in numbers]
    laps.end("profile")
    train = frame[marks == 0]
    maps = {name: {value: code for code, value in enumerate(train[name].value_counts().index, 2)} for name in frame if name not in numbers}
    laps.end("fit columns")
    _ = numbers.to_numpy(np.float32), [frame[name].map(codes).fillna(1).to_numpy(np.int64) for name, codes in maps.items()]
    laps.end("encode")
    return laps.seconds


class _Laps:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.began = time.perf_counter()

    def end(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self.began = now - self.began, now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("bare", "fermion", "pandas"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    path = generated(Path(tempfile.gettempdir()) / f"fermion-speed-{asked.rows}.csv", asked.rows)
    ways = {"bare": bare, "fermion": fermion, "pandas": pandas}
    if asked.only:
        print(json.dumps(ways[asked.only](path)))
        return
    best: dict[str, dict[str, float]] = {way: {} for way in ways}
    threads = {name: str(asked.threads) for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    words = [sys.executable, __file__, "--rows", str(asked.rows)]
    for _ in range(asked.rounds):
        for way, stages in best.items():
            ran = subprocess.run([*words, "--only", way], env=os.environ | threads, capture_output=True, text=True, check=True)
            for stage, seconds in json.loads(ran.stdout).items():
                stages[stage] = min(seconds, stages.get(stage, seconds))
    reading = best["bare"]["read"]
    size = path.stat().st_size
    print(f"{size / 1e6:.0f} MB, {asked.rows:,} rows, {asked.threads} threads; a bare polars.read_csv takes {reading:.2f} s\n")
    print(f"{'stage':14s} {'fermion, s':>10s} {'of a read':>10s} {'pandas, s':>10s}")
    totals = {way: sum(best[way].values()) for way in best}
    for stage, seconds in [*best["fermion"].items(), ("all", totals["fermion"])]:
        beside = totals["pandas"] if stage == "all" else best["pandas"].get(stage)
        print(f"{stage:14s} {seconds:10.3f} {seconds / reading:10.2f} {'' if beside is None else f'{beside:.3f}':>10s}")
    asked.out.write_text(json.dumps({"rows": asked.rows, "threads": asked.threads, "bytes": size, "seconds": best}, indent=1))


if __name__ == "__main__":
    main()
