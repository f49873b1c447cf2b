"""Default of credit card clients in Taiwan by the default blend: ROC AUC of five stratified folds.

    FERMION_DATA=/path/to/data python benchmarks/quality/taiwan.py [--seeds 1] [--seconds 120]

Columns, ratios and differences are those of `projects/credit-risk/real.yaml`; the model is `blend` as it comes. Nothing is chosen by the
test parts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from folds import measure
from msgspec import structs

from fermion.core.run import Run
from fermion.practice.pipeline import Pipeline
from fermion.practice.project import Project

PROJECT = Path(__file__).resolve().parents[2] / "projects" / "credit-risk" / "real.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    options = parser.parse_args()
    project = Project.load(PROJECT)
    table = Pipeline(project, Run(seed=project.spec.seed), fresh=True).table()
    spec = structs.replace(project.spec, model=None)  # the default
    measure("taiwan", table, spec, "1", seeds=options.seeds, seconds=options.seconds, out=Path(options.out))


if __name__ == "__main__":
    main()
