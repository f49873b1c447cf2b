"""How long reading a csv takes beside a bare `polars.read_csv` of it, with one and with two threads.

    python benchmarks/data/reading.py [--rows 1000000] [--rounds 5] [--out FILE]

The file has 20 numbers, 9 categories and a target: a million rows are about 200 MB. Both read it in turns in one process, after one
round that is not counted; the best and the median of the rounds are shown. What Fermion does besides: it refuses short rows (Polars
fills them with nulls), names twice and other separators, and looks at 10,000 rows instead of 100 for the types. `empty fields` is the
same file with gaps in the last column, where the separators have to be counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = (1, 2)


def generate(path: Path, rows: int, *, gaps: bool) -> None:
    """The file; with `gaps` the last field of every tenth row is empty."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"number_{i}": rng.normal(size=rows).round(5) for i in range(20)}
    for i in range(9):
        columns[f"category_{i}"] = rng.choice([f"cat{j}" for j in range(5 + 3 * i)], rows)
    columns["target"] = rng.integers(0, 2, rows)
    frame = pl.DataFrame(columns)
    if gaps:
        frame = frame.with_columns(pl.when(pl.int_range(pl.len()) % 10 > 0).then(pl.col("target")).alias("target"))
    frame.write_csv(path)


def work(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Both readers on both files, in turns."""
    import polars as pl

    from fermion.data.sources import read

    measured: dict[str, dict[str, float]] = {}
    for name in ("full.csv", "gaps.csv"):
        path = folder / name
        readers: dict[str, Callable[[], Any]] = {
            "polars": lambda path=path: pl.read_csv(path),
            "fermion": lambda path=path: read(str(path), folder=folder),
        }
        seconds: dict[str, list[float]] = {reader: [] for reader in readers}
        for turn in range(rounds + 1):
            for reader, run in readers.items():
                start = time.perf_counter()
                rows = run()
                if turn:
                    seconds[reader].append(time.perf_counter() - start)
                del rows
        best = {reader: min(all_) for reader, all_ in seconds.items()}
        median = {reader: statistics.median(all_) for reader, all_ in seconds.items()}
        measured[name] = {
            "polars_s": round(best["polars"], 3),
            "fermion_s": round(best["fermion"], 3),
            "ratio_of_bests": round(best["fermion"] / best["polars"], 2),
            "ratio_of_medians": round(median["fermion"] / median["polars"], 2),
        }
    return measured


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        print(json.dumps(work(given.work, given.rounds)))
        return
    result: dict[str, Any] = {"rows": given.rows, "threads": {}}
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("full.csv", "gaps.csv"):
            generate(Path(temporary) / name, given.rows, gaps=name == "gaps.csv")
        result["mb"] = round((Path(temporary) / "full.csv").stat().st_size / 1e6)
        for threads in THREADS:
            command = [sys.executable, __file__, "--work", temporary, "--rounds", str(given.rounds)]
            environment = os.environ | {"POLARS_MAX_THREADS": str(threads)}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
            result["threads"][str(threads)] = json.loads(done.stdout)
    print(f"{result['mb']} MB, {given.rows:,} rows")
    print(f"{'threads':<8} {'file':<14} {'polars':>9} {'fermion':>9} {'ratio':>7} {'of medians':>11}")
    for threads, files in result["threads"].items():
        for name, one in files.items():
            label = "empty fields" if name == "gaps.csv" else "full"
            times = f"{one['polars_s']:>7.2f} s {one['fermion_s']:>7.2f} s"
            print(f"{threads:<8} {label:<14} {times} {one['ratio_of_bests']:>7.2f} {one['ratio_of_medians']:>11.2f}")
    given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
