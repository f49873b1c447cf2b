"""Serving, measured: Fermion beside a hand-written FastAPI server, one core each in turn, in interleaved rounds.

    python benchmarks/serving/run.py [--rounds 3] [--seconds 3] [--layers] [--json FILE]

Needs `pip install 'fermion[bench]'` and wrk (apt install wrk, brew install wrk). See README.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(HERE))
import subjects  # noqa: E402

PORT = 9640
SERVER_CORE, CLIENT_CORE = 0, 1
SERVE = """
import sys
from fermion.cloud.server import serve
from fermion.core.sections import Serve
serve(sys.argv[1], Serve(port=int(sys.argv[2])))
"""

Cell = dict[str, float]


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core, where the system can do that."""
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *command] if shutil.which("taskset") else command


class Server:
    """One server process under test."""

    def __init__(self, name: str, command: list[str], port: int, body: str) -> None:
        self.name, self.command, self.port, self.body = name, [*command, str(port)], port, body
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds from the start of the process to its first answered prediction."""
        began = time.perf_counter()
        self.process = subprocess.Popen(pinned(SERVER_CORE, self.command), stdout=subprocess.DEVNULL, cwd=HERE)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/predict", self.body.encode(), {"content-type": "application/json"}
        )
        while time.perf_counter() - began < 60:
            try:
                with urllib.request.urlopen(request, timeout=30) as reply:
                    if reply.status == 200:
                        return time.perf_counter() - began
            except OSError:
                time.sleep(0.002)
        raise SystemExit(f"{self.name} does not answer: {' '.join(self.command)}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=20)
            self.process = None

    def _family(self) -> list[psutil.Process]:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self._family()))

    def memory(self) -> float:
        """Resident memory in MB."""
        return sum(one.memory_info().rss for one in self._family()) / 1e6

    def batches(self) -> tuple[float, float]:
        """Rows and model calls so far, as the service counts them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as reply:
            lines = dict(line.rsplit(" ", 1) for line in reply.read().decode().splitlines() if not line.startswith("#"))
        return float(lines["fermion_batch_rows_sum"]), float(lines["fermion_batch_rows_count"])

    def load(self, connections: int, seconds: int, bodies: Path) -> Cell:
        """One cell: rows/s, milliseconds, and microseconds of processor time per row."""
        before = self.cpu()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "bodies.lua"), f"http://127.0.0.1:{self.port}"]
        done = subprocess.run(pinned(CLIENT_CORE, [*command, "--", str(bodies)]), capture_output=True, text=True, check=True, timeout=60)
        told = json.loads(done.stdout.split("RESULT ")[1])
        if told["failed"]:
            raise SystemExit(f"{self.name}: {told['failed']:g} requests failed")
        spent = self.cpu() - before
        return {
            "rows_per_s": told["requests"] / told["seconds"],
            "p50_ms": told["p50"],
            "p99_ms": told["p99"],
            "cpu_us": spent / told["requests"] * 1e6,
        }


@contextlib.contextmanager
def running(servers: list[Server]) -> Iterator[None]:
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.stop()


def medians(cells: list[Cell]) -> Cell:
    return {key: statistics.median(cell[key] for cell in cells) for key in cells[0]}


def first_answers(servers: list[Server], rounds: int) -> dict[str, Cell]:
    """Seconds and processor time to the first answer, and memory after it: medians of interleaved starts."""
    cells: dict[str, list[Cell]] = {server.name: [] for server in servers}
    for turn in range(rounds + 1):
        for server in servers:
            cell = {"first_answer_s": server.start(), "first_answer_cpu_s": server.cpu(), "memory_mb": server.memory()}
            server.stop()
            if turn:  # the first start only fills the caches of pages and bytecode
                cells[server.name].append(cell)
    return {name: medians(taken) for name, taken in cells.items()}


def table(folder: Path, rounds: int, seconds: int, *, layers: bool) -> dict[str, Any]:
    """Trees on 30 named numbers: Fermion beside FastAPI at 1 and 64 connections."""
    bundle = subjects.trees(folder / "trees")
    bodies = folder / "table.txt"
    lines = subjects.table_bodies()
    bodies.write_text("\n".join(lines) + "\n")
    python = sys.executable
    servers = [
        Server("fermion", [python, "-c", SERVE, str(bundle.path)], PORT, lines[0]),
        Server("fastapi", [python, str(HERE / "fastapi_server.py"), str(bundle.path / "graphs" / "main.onnx")], PORT + 1, lines[0]),
    ]
    starts = first_answers(servers, 2 * rounds + 1)
    if layers:
        for position, kind in enumerate(("uvicorn", "asgi", "rsgi"), 2):
            name = "the same service on " + (kind if kind == "uvicorn" else f"granian ({kind.upper()})")
            servers.append(Server(name, [python, str(HERE / "stock_server.py"), kind, str(bundle.path)], PORT + position, lines[0]))
    cells: dict[tuple[str, int], list[Cell]] = {}
    with running(servers):
        for server in servers:
            server.load(8, 1, bodies)
        for _ in range(rounds):
            for connections in (1, 64):
                for server in servers:
                    cells.setdefault((server.name, connections), []).append(server.load(connections, seconds, bodies))
        peaks = {server.name: server.memory() for server in servers}
    found: dict[str, Any] = {
        server.name: {
            "1": medians(cells[server.name, 1]),
            "64": medians(cells[server.name, 64]),
            "memory_under_load_mb": peaks[server.name],
            **starts.get(server.name, {}),
        }
        for server in servers
    }

    def ratio(connections: int, key: str) -> float:
        """The median of the rounds' own ratios: neighbours on the machine slow both sides of a round alike."""
        pairs = zip(cells["fermion", connections], cells["fastapi", connections], strict=True)
        return statistics.median(ours[key] / theirs[key] for ours, theirs in pairs)

    found["ratios"] = {
        "rows_per_s, 64 connections (at least 4.5)": ratio(64, "rows_per_s"),
        "p99, 64 connections (at most 0.33)": ratio(64, "p99_ms"),
        "rows_per_s, 1 connection (at least 1.5)": ratio(1, "rows_per_s"),
        "first answer (at most 0.5)": starts["fermion"]["first_answer_s"] / starts["fastapi"]["first_answer_s"],
        "processor time until the first answer": starts["fermion"]["first_answer_cpu_s"] / starts["fastapi"]["first_answer_cpu_s"],
        "memory (at most 1)": peaks["fermion"] / peaks["fastapi"],
        "processor time per row, 64 connections": ratio(64, "cpu_us"),
        "processor time per row, 1 connection": ratio(1, "cpu_us"),
    }
    return found


def picture(folder: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """The default CNN on base64 pictures: time per row beside ONNX Runtime's own plus an empty handler's."""
    bundle = subjects.net(folder / "net")
    bodies = folder / "pictures.txt"
    lines = subjects.picture_bodies()
    bodies.write_text("\n".join(lines) + "\n")
    ours = Server("fermion", [sys.executable, "-c", SERVE, str(bundle.path)], PORT + 8, lines[0])
    empty = Server("empty handler", [sys.executable, str(HERE / "empty_server.py")], PORT + 9, lines[0])
    graph = next((bundle.path / "graphs").glob("*.onnx"))
    cells: list[Cell] = []
    with running([ours, empty]):
        ours.load(8, 1, bodies)
        for _ in range(rounds):
            rows, calls = ours.batches()
            served = ours.load(64, seconds, bodies)
            more_rows, more_calls = ours.batches()
            batch = (more_rows - rows) / (more_calls - calls)
            floor = empty.load(64, seconds, bodies)
            command = pinned(
                SERVER_CORE, [sys.executable, str(HERE / "model_alone.py"), str(graph), str(round(batch)), str(min(seconds, 2))]
            )
            model = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            sums = {"us": model["us_per_row"] + 1e6 / floor["rows_per_s"], "cpu_us": model["cpu_us_per_row"] + floor["cpu_us"]}
            cells.append(
                {
                    **served,
                    "us_per_row": 1e6 / served["rows_per_s"],
                    "mean_batch": batch,
                    "model_us_per_row": model["us_per_row"],
                    "empty_us_per_row": 1e6 / floor["rows_per_s"],
                    "ratio": 1e6 / served["rows_per_s"] / sums["us"],
                    "cpu_ratio": served["cpu_us"] / sums["cpu_us"],
                }
            )
    return medians(cells)


def shown(found: dict[str, Any]) -> str:
    """The results as the tables of the README."""
    lines = [
        "| server | 1 connection: rows/s | p50 / p99 ms | cpu us/row | 64: rows/s | p50 / p99 ms | cpu us/row | first answer s | MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, server in found["table"].items():
        if name == "ratios":
            continue
        cells = [f"{c['rows_per_s']:,.0f} | {c['p50_ms']:.2f} / {c['p99_ms']:.2f} | {c['cpu_us']:.0f}" for c in (server["1"], server["64"])]
        first = f"{server['first_answer_s']:.2f}" if "first_answer_s" in server else ""
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {first} | {server['memory_under_load_mb']:.0f} |")
    lines += ["", "| fermion / fastapi (target) | measured |", "|---|--:|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in found["table"]["ratios"].items()]
    net = found["picture"]
    lines += [
        "",
        f"CNN, base64 pictures, 64 connections: {net['rows_per_s']:,.0f} rows/s (p50 {net['p50_ms']:.1f} ms, p99 {net['p99_ms']:.1f} ms), "
        f"{net['us_per_row']:.0f} us per row at a mean batch of {net['mean_batch']:.1f};",
        f"ONNX Runtime alone {net['model_us_per_row']:.0f} us + an empty handler {net['empty_us_per_row']:.0f} us; "
        f"ratio {net['ratio']:.2f} (at most 1.25), of processor time {net['cpu_ratio']:.2f}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="per cell")
    parser.add_argument("--layers", action="store_true", help="also the same service on uvicorn and granian")
    parser.add_argument("--json", type=Path, help="write the results here too")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing. Install it: apt install wrk, or brew install wrk.")
    with tempfile.TemporaryDirectory() as name:
        # A package that pip installed comes with its bytecode, a checkout may not: both servers get theirs from a cache that the first,
        # uncounted start fills.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(name) / "bytecode")
        found = {
            "table": table(Path(name), asked.rounds, asked.seconds, layers=asked.layers),
            "picture": picture(Path(name), asked.rounds, asked.seconds),
        }
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    print(shown(found))


if __name__ == "__main__":
    main()
