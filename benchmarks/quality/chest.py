"""Chest x-rays (PneumoniaMNIST) with the settings of `chest.yaml`: ROC AUC and accuracy on the official test part, and minutes.

    FERMION_DATA=/path/to/data python benchmarks/quality/chest.py [--seeds 3] [--write] [--cache FOLDER] [model.members=[...] ...]

The official validation part chooses the blend's weights, the net's checkpoint and the threshold; the test part, whose mix of classes is
another, is read once per seed. Beside the blend stands each member alone, with its own threshold.
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
from folds import auc
from msgspec import structs
from parts import encoded, spread

from fermion.columns.column import Arrays
from fermion.core.run import Run
from fermion.practice.pipeline import Pipeline
from fermion.practice.project import Project
from fermion.practice.scoring import Folds
from fermion.research.deciding import decisions
from fermion.research.mixture import Mixture, mean_of
from fermion.research.model import Encoded, Fitted

SPEC, OUT = Path(__file__).with_suffix(".yaml"), Path(__file__).with_suffix(".json")


def measured(said: dict[str, Arrays], project: Project, rows: dict[str, Encoded]) -> dict[str, float]:
    """AUC and accuracy of the answers to each part: accuracy at one half, and at the threshold that validation chose."""
    output, found = rows["test"].outputs[0], dict[str, float]()
    numbered = structs.replace(rows["validation"], arrays={"row": np.arange(len(rows["validation"]))})
    (chosen,) = decisions(project.spec.decide, rows["test"].outputs, Folds(said=said["validation"]), numbered).values()
    for part in ("validation", "test"):
        p_NK, truth_N = said[part][output.array], rows[part].targets[output.target]
        found |= {
            f"{part}_auc": round(auc(truth_N == 1, p_NK[:, 1].astype(np.float64)), 5),
            f"{part}_accuracy": round(float((np.asarray(chosen.decide(p_NK)) == truth_N).mean()), 5),
            f"{part}_at_one_half": round(float((p_NK.argmax(1) == truth_N).mean()), 5),
        }
    return found


def answers(fitted: Fitted, rows: dict[str, Encoded]) -> dict[str, dict[str, Arrays]]:
    """What the model says of validation and test, and each member of a blend alone: backbones are run once."""
    learned = fitted.learned
    held = {part: rows[part].arrays for part in ("validation", "test")}
    if not isinstance(learned, Mixture):
        return {"model": {part: learned.run(arrays) for part, arrays in held.items()}}
    alone = [{part: member.run(arrays) for part, arrays in held.items()} for member in learned.members]
    whole = {part: mean_of([one[part] for one in alone], learned.weights) for part in held}
    return {"model": whole} | {f"member {place + 1}": one for place, one in enumerate(alone)}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--write", action="store_true", help=f"write {OUT.name} beside this script")
    parser.add_argument("--cache", type=Path, help="where the backbone's vectors are kept")
    parser.add_argument("settings", nargs="*", help="of the project file")
    words = parser.parse_args()
    if not (Path(os.environ.get("FERMION_DATA", "")) / "pneumoniamnist").is_dir():
        sys.exit("Set FERMION_DATA to a folder that holds pneumoniamnist/pneumoniamnist.npz.")
    torch.set_num_threads(1)
    project = Project.load(SPEC, words.settings)
    table = Pipeline(project, Run(), fresh=True).table()
    results: list[dict[str, Any]] = []
    for seed in range(words.first, words.first + words.seeds):
        rows, model = encoded(table, project, seed)
        began, cpu = time.perf_counter(), time.process_time()
        fitted = model.fit(rows["train"], rows["validation"], Run(seed=seed, cache=words.cache))
        spent = {"seconds": round(time.perf_counter() - began, 1), "cpu": round(time.process_time() - cpu, 1)}
        found = {name: measured(said, project, rows) for name, said in answers(fitted, rows).items()}
        results.append({"seed": seed, **found.pop("model"), "alone": found, **spent, "notes": fitted.notes})
        print(json.dumps(results[-1]), flush=True)
    told: dict[str, Any] = {"benchmark": "quality/chest"}
    for name in ("test_auc", "test_accuracy"):
        values = [float(one[name]) for one in results]
        told |= {name: round(statistics.mean(values), 5), f"{name}_interval": spread(values)}
    told["runs"] = results
    print(json.dumps(told))
    if words.write:
        OUT.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
