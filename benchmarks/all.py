"""Every benchmark, one after another, each in a process of its own: `make bench`. One whose data are not there says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DATA = ("reading", "pipeline_speed", "profiling", "features", "splits", "larger", "leaks", "duplicates", "near_texts", "damage", "personal")
SCRIPTS = [
    *(["import/run.py"], ["serving/run.py"], ["training/run.py"], ["quality/digits.py"], ["quality/mnist.py"], ["fraud/run.py"]),
    *(
        ["training/loop.py"],
        ["quality/signs.py"],
        ["quality/chest.py"],
        ["quality/heartbeats.py"],
        ["quality/spoken.py"],
        ["quality/intents.py"],
        ["quality/intents.py", "--shots", "10", "--names", "--members", "linear", "nearest"],
    ),
    *(["quality/tables.py"], ["quality/taiwan.py"], ["quality/support2.py"]),
    *([f"data/{name}.py"] for name in (*DATA, "labels", "augment", "augment_ablation", "augment_texts", "credit")),
]


def main() -> None:
    failed: list[str] = []
    for name, *words in SCRIPTS:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / name), *words], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
