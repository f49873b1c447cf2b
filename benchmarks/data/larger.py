"""A table larger than memory may be: anonymous memory of a process that reads, profiles, checks, splits and encodes it.

    python benchmarks/data/larger.py [--rows 10000000] [--folder DIR] [--out FILE]

The Parquet file (20 floats, 9 categories, a target) is written in pieces. Then a fresh process maps it (`memory: never`); a thread of
its own samples RssAnon of /proc/self/status, which counts what the system cannot take back: not the pages of mapped files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 2_000_000_000  # bytes
PIECE = 500_000  # rows
NUMBERS, CATEGORIES = 20, 9
TARGET, TIME = "target", "number_0"


def generate(path: Path, rows: int) -> None:
    """The table, piece by piece."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    writer: Any = None
    for start in range(0, rows, PIECE):
        size = min(PIECE, rows - start)
        columns: dict[str, Any] = {f"number_{i}": rng.normal(size=size) for i in range(NUMBERS)}
        columns["number_0"] = 1.7e9 + start + np.arange(size, dtype=np.float64)
        columns["number_1"][rng.random(size) < 0.05] = np.nan
        for i in range(CATEGORIES):
            names = np.array([f"category {i} value {j}" for j in range(4 + 6 * i)], dtype=object)
            columns[f"category_{i}"] = names[rng.integers(0, len(names), size)]
        columns[TARGET] = (columns["number_2"] + rng.normal(size=size) > 1).astype(np.int64)
        piece = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
        writer = writer or pq.ParquetWriter(path, piece.schema)
        writer.write_table(piece)
    writer.close()


class Watch:
    """The peak of RssAnon while something runs."""

    def __init__(self) -> None:
        self.peak, self.stages = 0, dict[str, dict[str, float]]()
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while True:
            self.peak = max(self.peak, anonymous())
            time.sleep(0.005)

    def stage(self, name: str, work: Callable[[], Any]) -> Any:
        self.peak, start = anonymous(), time.perf_counter()
        result = work()
        self.stages[name] = {"peak_mb": round(max(self.peak, anonymous()) / 1e6), "seconds": round(time.perf_counter() - start, 1)}
        print(f"  {name:<28} {self.stages[name]['peak_mb']:>7,.0f} MB {self.stages[name]['seconds']:>8.1f} s", file=sys.stderr, flush=True)
        return result


def anonymous() -> int:
    """RssAnon of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: this benchmark needs Linux")


def work(path: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Every stage once, in this process."""
    from fermion.columns.category import Category
    from fermion.columns.number import Number
    from fermion.columns.schema import Schema
    from fermion.core.declared import Source
    from fermion.core.sections import Split
    from fermion.data.checks import check
    from fermion.data.profile import profile
    from fermion.data.sources import read
    from fermion.data.split import TRAIN, split

    watch = Watch()
    watch.stage("imports", lambda: None)
    table = watch.stage("read", lambda: read(Source(at=str(path), memory="never"), folder=folder, scratch=folder / "scratch"))
    watch.stage("fingerprint", lambda: table.fingerprint)
    by_time = Split(by="time", column=TIME)
    rng = np.random.default_rng
    watch.stage("split by time", lambda: split(table, by_time, target=None, task_is_classification=True, rng=rng(0)))
    target = table.values(TARGET)
    marks = watch.stage("split at random", lambda: split(table, Split(), target=target, task_is_classification=True, rng=rng(0)))
    found = watch.stage("checks", lambda: check(table, targets=(TARGET,), marks=marks, classification={TARGET: True}))
    watch.stage("profile", lambda: profile(table, targets=(TARGET,), marks=marks, findings=found))
    columns = {name: Number() if name.startswith("number") else Category() for name in table.names if name != TARGET}
    train = np.flatnonzero(marks.codes == TRAIN)
    schema = watch.stage("fit columns", lambda: Schema.of(columns).fit(table.part(train, columns)))
    arrays = watch.stage("encode to mapped arrays", lambda: table.encoded(schema, folder / "arrays"))
    watch.stage("a pass over the arrays", lambda: [sums(array) for array in arrays.values()])
    return watch.stages


def sums(array: Any) -> float:
    """What training does to mapped arrays: every row once, batch by batch."""
    return sum(float(np.nansum(array[start : start + 8192])) for start in range(0, len(array), 8192))


def measure(rows: int, folder: Path) -> dict[str, Any]:
    """Write the table and run all stages in a fresh process."""
    path = folder / f"table-{rows}.parquet"
    if not path.exists():
        generate(path, rows)
    command = [sys.executable, __file__, "--work", str(path), "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    stages = json.loads(done.stdout)
    peak = max(stage["peak_mb"] for stage in stages.values())
    return {
        "rows": rows,
        "columns": NUMBERS + CATEGORIES + 1,
        "parquet_mb": round(path.stat().st_size / 1e6),
        "stages": stages,
        "peak_mb": peak,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--folder", type=Path)
    options.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        print(json.dumps(work(given.work, given.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(given.rows, given.folder or Path(temporary))
    print(f"{'stage':<28} {'peak of RssAnon':>18} {'time':>9}")
    for name, stage in result["stages"].items():
        print(f"{name:<28} {stage['peak_mb']:>15,.0f} MB {stage['seconds']:>7.1f} s")
    print(f"peak {result['peak_mb']:,.0f} MB of {LIMIT / 1e6:,.0f} MB allowed")
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    if result["peak_mb"] * 1e6 > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
