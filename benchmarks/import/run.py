"""Seconds that `import fermion`, `fermion --help` and a service's first answer cost over bare Python's own start.

python benchmarks/import/run.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python": ["-c", ""],
    "import fermion": ["-c", "import fermion"],
    "fermion --help": ["-m", "fermion", "--help"],
    "from fermion import load": ["-c", "from fermion import load"],
    "import the server": ["-c", "import fermion.cloud.server"],
}
TARGETS = {"import fermion": 0.1, "fermion --help": 0.3}


def seconds(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):  # in turn, so that a busy moment hits all
        for name, words in COMMANDS.items():
            times[name].append(seconds(words))
    bare = statistics.median(times["python"])
    found = {name: round(statistics.median(values) - bare, 4) for name, values in times.items() if name != "python"}
    print(f"bare Python starts in {bare:.3f} s; medians of {rounds} over that:")
    for name, value in found.items():
        target = f"  (at most {TARGETS[name]:g})" if name in TARGETS else ""
        print(f"  {name:<26} {value:.3f} s{target}")
    print(json.dumps({"bare": round(bare, 4), "over": found}))


if __name__ == "__main__":
    main()
