"""German traffic signs with the settings of `projects/traffic-signs/real.yaml`: accuracy on the official test part, and minutes.

    FERMION_DATA=/path/to/data python benchmarks/quality/signs.py [--seeds 3] [--write] [--choose] [model.steps=300 ...]

A tenth of the training tracks, whole ones, chooses checkpoint, temperature and views. The test part is read once per seed, after the
fit; the figure with one look at each picture is that of the same net.

`--choose` compares settings without the test part: learned from half of the training tracks, with checkpoints chosen on a tenth of them
and accuracy measured on the others, in two cuts. So few tracks are not known by heart at the end, and others not nearly all right.
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

import numpy as np
from parts import accuracy, encoded, spread

from fermion.core.run import Run
from fermion.data.table import Table
from fermion.practice import making
from fermion.practice.pipeline import Pipeline
from fermion.practice.preparation import encode, parts
from fermion.practice.project import Project
from fermion.research.graphs import Net
from fermion.research.model import Encoded, Fitted

SPEC = Path(__file__).resolve().parents[2] / "projects" / "traffic-signs" / "real.yaml"
OUT = Path(__file__).with_suffix(".json")


def once(fitted: Fitted, rows: Encoded) -> float:
    """The accuracy of the same net with one look at each picture; NaN for a model of several."""
    net = fitted.learned.answer.net if isinstance(fitted.learned, Net) else None
    if net is None:
        return float("nan")
    shifts, net.shifts = net.shifts, False
    found = accuracy(fitted, rows)
    net.shifts = shifts
    return found


def unseen(table: Table, project: Project, cut: int) -> float:
    """The accuracy on 40 % of the training tracks of a net that learned from half of them."""
    spec = project.spec
    marks = making.divide(table, spec, Run())
    learnt, given = making.plan(table, marks, spec), parts(marks)
    at_N = np.sort(np.concatenate([given["train"], given["validation"]]))
    rows = encode(table, learnt.schema, learnt.outputs, None, rows=at_N)
    signs, sign_N = np.unique(
        np.stack([np.asarray(table.values(name))[at_N].astype(int) for name in ("labels", "tracks")]), axis=1, return_inverse=True
    )
    order = np.random.default_rng(100 + cut).permutation(signs.shape[1])
    place_N = np.argsort(order)[sign_N.reshape(-1)] / signs.shape[1]
    learned, checked, judged = (np.flatnonzero((place_N >= low) & (place_N < high)) for low, high in ((0, 0.5), (0.5, 0.6), (0.6, 1)))
    fitted = making.model_of(spec, learnt.schema).fit(rows.take(learned), rows.take(checked), Run(seed=cut))
    return accuracy(fitted, rows.take(judged))


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--choose", action="store_true", help="compare settings on training tracks that were left out")
    parser.add_argument("--write", action="store_true", help=f"write {OUT.name} beside this script")
    parser.add_argument("settings", nargs="*", help="of the project file")
    words = parser.parse_args()
    if not (Path(os.environ.get("FERMION_DATA", "")) / "gtsrb32").is_dir():
        sys.exit("Set FERMION_DATA to a folder that holds gtsrb32/gtsrb32.npz.")
    torch.set_num_threads(1)
    project = Project.load(SPEC, words.settings)
    table = Pipeline(project, Run(), fresh=True).table()
    if words.choose:
        found = [unseen(table, project, cut) for cut in (0, 1)]
        print(json.dumps({"benchmark": "quality/signs", "settings": words.settings, "unseen_tracks": [round(one, 4) for one in found]}))
        return
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
