"""German traffic signs with the settings of `projects/traffic-signs/real.yaml`: accuracy on the official test part, and minutes.

    FERMION_DATA=/path/to/data python benchmarks/quality/signs.py [--seeds 3] [--write] [model.steps=300 ...]

A tenth of the training tracks, whole ones, chooses checkpoint, temperature and views. The test part is read once per seed, after the
fit; the figure with one look at each picture is that of the same net.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from msgspec import structs

from fermion.core.run import Run
from fermion.data.table import Table
from fermion.practice import making
from fermion.practice.pipeline import Pipeline
from fermion.practice.preparation import encode, parts, units_of
from fermion.practice.project import Project
from fermion.research.graphs import Net
from fermion.research.model import Encoded, Fitted

SPEC = Path(__file__).resolve().parents[2] / "projects" / "traffic-signs" / "real.yaml"
OUT = Path(__file__).with_suffix(".json")
STUDENT_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # the 97.5 % quantile of Student's t with one degree of freedom less than seeds


def encoded(table: Table, project: Project, seed: int) -> tuple[dict[str, Encoded], Any]:
    """The parts as a model sees them, and the model."""
    spec = structs.replace(project.spec, seed=seed)
    marks = making.divide(table, spec, Run(seed=seed))
    learnt, made = making.plan(table, marks, spec), dict[str, Encoded]()
    for name, rows in parts(marks).items():
        one = encode(table, learnt.schema, learnt.outputs, None, rows=rows)
        made[name] = structs.replace(one, units=units_of(table, spec, rows))
    return made, making.model_of(spec, learnt.schema)


def accuracy(fitted: Fitted, rows: Encoded) -> float:
    """The share of rows whose most probable class is theirs."""
    output = rows.outputs[0]
    return float((fitted.run(rows.arrays)[output.array].argmax(1) == rows.targets[output.target]).mean())


def once(fitted: Fitted, rows: Encoded) -> float:
    """The accuracy of the same net with one look at each picture; NaN for a model of several."""
    net = fitted.learned.answer.net if isinstance(fitted.learned, Net) else None
    if net is None:
        return float("nan")
    shifts, net.shifts = net.shifts, False
    found = accuracy(fitted, rows)
    net.shifts = shifts
    return found


def spread(values: list[float]) -> list[float]:
    """The interval of 95 % of the mean over seeds; of one seed, that seed."""
    half = STUDENT_95[len(values)] * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return [round(statistics.mean(values) - half, 4), round(statistics.mean(values) + half, 4)]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--write", action="store_true", help=f"write {OUT.name} beside this script")
    parser.add_argument("settings", nargs="*", help="of the project file")
    words = parser.parse_args()
    if not (Path(os.environ.get("FERMION_DATA", "")) / "gtsrb32").is_dir():
        sys.exit("Set FERMION_DATA to a folder that holds gtsrb32/gtsrb32.npz.")
    torch.set_num_threads(1)
    project = Project.load(SPEC, words.settings)
    table = Pipeline(project, Run(), fresh=True).table()
    results: list[dict[str, Any]] = []
    for seed in range(words.first, words.first + words.seeds):
        rows, model = encoded(table, project, seed)
        began, cpu = time.perf_counter(), time.process_time()
        fitted = model.fit(rows["train"], rows["validation"], Run(seed=seed))
        spent = {"seconds": round(time.perf_counter() - began, 1), "cpu": round(time.process_time() - cpu, 1)}
        found = {name: round(accuracy(fitted, rows[name]), 5) for name in ("validation", "test")}
        results.append({"seed": seed, **found, "one_look": round(once(fitted, rows["test"]), 5), **spent, "notes": fitted.notes})
        told = "seed {seed}: validation {validation:.4f}, test {test:.4f} (one look {one_look:.4f}), {cpu:.0f} s of CPU in {seconds:.0f} s"
        print(told.format(**results[-1]), *fitted.notes, sep="\n  ", flush=True)
    tests = [float(one["test"]) for one in results]
    told = {"benchmark": "quality/signs", "test_accuracy": round(statistics.mean(tests), 5), "interval": spread(tests), "runs": results}
    print(json.dumps(told))
    if words.write:
        OUT.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
