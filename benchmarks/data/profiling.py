"""The profile beside ydata-profiling's minimal report, on the same csv of a million rows, and on a table that is mapped from the disk.

    python benchmarks/data/profiling.py [--rows 1000000] [--threads 2] [--mapped 10000000]

Both read the file and write their page; each runs in a process of its own. ydata-profiling needs older libraries than this project, so
it lives in an environment of its own: its Python is $YDATA_PYTHON, or one that is made by `venv` and pip in a temporary folder.
(This file is not called profile.py: a script's folder comes first on the path, and Python has a module of that name.)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pipeline_speed import generated

NEEDS = ("ydata-profiling", "setuptools<81")  # it imports pkg_resources
YDATA = """
import json, sys, time
import pandas, ydata_profiling
path, threads = sys.argv[1], int(sys.argv[2])
began = time.perf_counter()
frame = pandas.read_csv(path)
read = time.perf_counter() - began
page = ydata_profiling.ProfileReport(frame, minimal=True, progress_bar=False, pool_size=threads).to_html()
print(json.dumps({"read": read, "profile": time.perf_counter() - began - read, "page bytes": len(page),
    "versions": f"ydata-profiling {ydata_profiling.__version__}, pandas {pandas.__version__}"}))
"""


class Memory:
    """The most anonymous memory of this process while the block ran, beyond what it had before (bytes)."""

    def __enter__(self) -> Memory:
        self.before = self.most = anonymous()
        self.ended = threading.Event()
        self.watch = threading.Thread(target=self._watch)
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.watch.join()

    def _watch(self) -> None:
        while not self.ended.wait(0.005):
            self.most = max(self.most, anonymous())

    @property
    def extra(self) -> int:
        return self.most - self.before


def anonymous() -> int:
    """RssAnon of this process in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def ours(path: Path) -> dict[str, Any]:
    """Read, profile and page of a csv."""
    from fermion.data.profile import profile
    from fermion.data.profile_page import html
    from fermion.data.sources import read
    from fermion.data.table import Table

    html(profile(Table.of({"a": [1.0, 2.0], "b": ["x", "y"]})))  # imports are not what is timed
    began = time.perf_counter()
    table = read(str(path), folder=path.parent)
    reading = time.perf_counter() - began
    with Memory() as memory:
        page = html(profile(table, targets=("target",)))
        profiling = time.perf_counter() - began - reading
    return {"read": reading, "profile": profiling, "page bytes": len(page), "extra memory": memory.extra}


def mapped(rows: int) -> dict[str, Any]:
    """Profile of an Arrow file that is mapped, not read: 30 columns of which 9 are texts."""
    import numpy as np
    import pyarrow as pa

    from fermion.data.profile import profile
    from fermion.data.profile_page import html
    from fermion.data.reading import open_mapped
    from fermion.data.table import Table

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mapped.arrow"
        rng = np.random.default_rng(0)
        writer: Any = None
        for start in range(0, rows, 1_000_000):
            n = min(1_000_000, rows - start)
            columns: dict[str, Any] = {f"number_{i:02}": rng.normal(size=n) for i in range(20)}
            columns |= {f"category_{i}": [f"v{code}" for code in rng.integers(0, 10 * 2**i, n)] for i in range(9)}
            batch = pa.table(columns | {"target": rng.integers(0, 2, n)})
            writer = writer or pa.ipc.new_file(str(path), batch.schema)
            writer.write_table(batch)
        writer.close()
        del columns, batch
        html(profile(Table.of({"a": [1.0, 2.0], "b": ["x", "y"]})))
        table = Table(open_mapped(path))
        with Memory() as memory:
            began = time.perf_counter()
            html(profile(table, targets=("target",)))
            seconds = time.perf_counter() - began
        return {"rows": rows, "file bytes": path.stat().st_size, "profile": seconds, "extra memory": memory.extra}


def ydata(path: Path, threads: int, rounds: int) -> dict[str, Any]:
    """The minimal report, the best of so many rounds, or why there is none."""
    python = os.environ.get("YDATA_PYTHON")
    with tempfile.TemporaryDirectory() as folder:
        if not python:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            python = str(Path(folder) / "bin" / "python")
            made = subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDS], capture_output=True, text=True, check=False)
            if made.returncode:
                return {"failed": made.stderr.strip().splitlines()[-1]}
        env = os.environ | {"YDATA_PROFILING_NO_ANALYTICS": "1", "OMP_NUM_THREADS": str(threads)}
        words, best = [python, "-c", YDATA, str(path), str(threads)], dict[str, Any]()
        for _ in range(rounds):
            ran = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
            if ran.returncode:
                return {"failed": ran.stderr.strip().splitlines()[-1]}
            one = json.loads(ran.stdout.splitlines()[-1])
            best = one if not best or one["profile"] < best["profile"] else best
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mapped", type=int, default=10_000_000, help="rows of the mapped table; 0 for none")
    parser.add_argument("--only", choices=("ours", "mapped"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    path = generated(Path(tempfile.gettempdir()) / f"fermion-speed-{asked.rows}.csv", asked.rows)
    if asked.only:
        print(json.dumps(ours(path) if asked.only == "ours" else mapped(asked.mapped)))
        return
    env = os.environ | {"POLARS_MAX_THREADS": str(asked.threads), "OMP_NUM_THREADS": str(asked.threads)}
    words = [sys.executable, __file__, "--rows", str(asked.rows), "--mapped", str(asked.mapped), "--only"]

    def alone(what: str) -> dict[str, Any]:
        return json.loads(subprocess.run([*words, what], env=env, stdout=subprocess.PIPE, text=True, check=True).stdout)

    results: dict[str, Any] = {"rows": asked.rows, "threads": asked.threads}
    results["fermion"] = min((alone("ours") for _ in range(asked.rounds)), key=lambda one: one["profile"])
    results["ydata-profiling"] = ydata(path, asked.threads, asked.rounds)
    print(f"{'':28s} {'read, s':>9s} {'profile, s':>11s} {'page, MB':>9s} {'extra memory, MB':>17s}")
    for name in ("fermion", "ydata-profiling"):
        one = results[name]
        if "failed" in one:
            print(f"{name:28s} {one['failed']}")
            continue
        extra = f"{one['extra memory'] / 1e6:.0f}" if "extra memory" in one else ""
        print(f"{name:28s} {one['read']:9.2f} {one['profile']:11.2f} {one['page bytes'] / 1e6:9.2f} {extra:>17s}")
    if "failed" not in results["ydata-profiling"]:
        slower = results["ydata-profiling"]["profile"] / results["fermion"]["profile"]
        print(f"\nThe profile is {slower:.0f} times faster than the minimal report ({results['ydata-profiling']['versions']}).")
    if asked.mapped:
        results["mapped"] = one = alone("mapped")
        extra = f"{one['extra memory'] / 1e6:.0f} MB of anonymous memory beyond what the process had"
        print(f"\nMapped: {one['rows']:,} rows, {one['file bytes'] / 1e9:.1f} GB: {one['profile']:.1f} s, {extra}.")
    asked.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
