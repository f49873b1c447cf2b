"""Default of credit card clients in Taiwan by the default blend: ROC AUC of five stratified folds.

    FERMION_DATA=/path/to/data python benchmarks/quality/taiwan.py [--seeds 3] [--seconds 120] [--model tabm] [--plain]

Columns, ratios and differences are those of `projects/credit-risk/real.yaml`; the model is `blend` as it comes. Nothing is chosen by the
test parts.
"""

from __future__ import annotations

from pathlib import Path

from folds import measure, options

from fermion.core.run import Run
from fermion.practice.pipeline import Pipeline
from fermion.practice.project import Project

PROJECT = Path(__file__).resolve().parents[2] / "projects" / "credit-risk" / "real.yaml"


def main() -> None:
    said = options(__doc__ or "", __file__)
    project = Project.load(PROJECT)
    table = Pipeline(project, Run(seed=project.spec.seed), fresh=True).table()
    measure("taiwan", table, project.spec, "1", said)


if __name__ == "__main__":
    main()
