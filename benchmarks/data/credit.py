"""Credit risk on public data: `projects/credit-risk/real.yaml` over five folds and `german.yaml` over ten.

    FERMION_DATA=/path/to/data python benchmarks/data/credit.py [model.lr=0.05 ...]

Every fold goes through what `fermion run` does: split, clean, checks, fit, export; its scores are those of the exported graphs. The
settings in the project files were chosen by the validation parts, whose mean is printed beside the test's; the interval of a mean over
folds is Student's t, which is a little too narrow, for folds share training rows (Nadeau, Bengio: Inference for the generalization
error, 2003).

The cost of German credit follows its cost matrix: a bad applicant who is taken for a good one costs 5, the reverse 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from fermion.columns.output import Probability
from fermion.core.run import Run
from fermion.data.checks import refuse
from fermion.data.clean import part_digest
from fermion.data.table import Table
from fermion.practice import making
from fermion.practice.pipeline import Pipeline
from fermion.practice.preparation import parts
from fermion.practice.project import Project

PROJECTS = Path(__file__).resolve().parents[2] / "projects" / "credit-risk"
OUT = Path(__file__).with_suffix(".json")
BAD_FOR_GOOD, GOOD_FOR_BAD = 5.0, 1.0
STUDENT_95 = {5: 2.776, 10: 2.262}  # the 97.5 % quantile of Student's t with one degree of freedom less than folds


def auc(truth_N: NDArray[np.bool_], p_N: NDArray[np.float64]) -> float:
    """The area under the ROC curve: the share of pairs in the right order, ties count half."""
    _, inverse, counts = np.unique(p_N, return_inverse=True, return_counts=True)
    rank_N = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(truth_N.sum())
    return float((rank_N[truth_N].sum() - positives * (positives + 1) / 2) / (positives * (len(truth_N) - positives)))


class Fold:
    """One fold of a project: the probabilities of the class `positive` on its parts."""

    def __init__(self, project: Project, table: Table, fold: int, positive: str) -> None:
        spec = structs.replace(project.spec, split=structs.replace(project.spec.split, fold=fold))
        run = Run(seed=spec.seed)
        marks = making.divide(table, spec, run)
        before = part_digest(marks)
        marks = making.tidy(table, marks, spec, run).marks
        refuse(making.look(table, marks, spec, training=before))
        product = making.fit(table, marks, spec, run)
        self.rounds = next((note for note in product.notes if "rounds" in note), "")
        output = product.outputs[0]
        assert isinstance(output, Probability)
        runtime = product.runtime()
        self.truth: dict[str, NDArray[np.bool_]] = {}
        self.p: dict[str, NDArray[np.float64]] = {}
        for part in ("validation", "test"):
            rows = parts(marks)[part]
            some = table.take(rows)
            answered = runtime.predict(some.batch(product.schema.names))
            self.p[part] = np.asarray([one[positive] for one in answered["probabilities"]])
            self.truth[part] = np.asarray([str(value) == positive for value in some.values(output.target)])

    def auc(self, part: str) -> float:
        return auc(self.truth[part], self.p[part])


def folds(name: str, positive: str, settings: Sequence[str] = ()) -> list[Fold]:
    """Every fold of a project of `projects/credit-risk`."""
    project = Project.load(PROJECTS / name, settings)
    table = Pipeline(project, Run(seed=project.spec.seed), fresh=True).table()
    return [Fold(project, table, fold, positive) for fold in range(project.spec.split.folds or 1)]


def mean(values: Sequence[float]) -> dict[str, float]:
    """The mean with its interval of 95 % over folds."""
    middle, half = float(np.mean(values)), STUDENT_95[len(values)] * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return {"mean": round(middle, 5), "low": round(middle - half, 5), "high": round(middle + half, 5)}


def told(one: dict[str, float]) -> str:
    return f"{one['mean']:.4f} ({one['low']:.4f} .. {one['high']:.4f})"


def taiwan(settings: Sequence[str] = ()) -> dict[str, Any]:
    """ROC AUC of five folds, on the validation parts and on the test parts."""
    found = folds("real.yaml", "1", settings)
    for number, fold in enumerate(found):
        print(f"taiwan  fold {number}  validation {fold.auc('validation'):.4f}  test {fold.auc('test'):.4f}  ({fold.rounds})")
    validation, test = ([round(fold.auc(part), 5) for fold in found] for part in ("validation", "test"))
    return {"validation": mean(validation), "test": mean(test), "folds": test}


def cost(truth_N: NDArray[np.bool_], refused_N: NDArray[np.bool_]) -> float:
    """The mean cost per applicant: 5 for a bad one who is accepted, 1 for a good one who is refused."""
    return float(np.where(truth_N, BAD_FOR_GOOD * ~refused_N, GOOD_FOR_BAD * refused_N).mean())


def german(settings: Sequence[str] = ()) -> dict[str, Any]:
    """ROC AUC and the mean cost of ten folds, beside those of whoever refuses or accepts all."""
    found = folds("german.yaml", "bad", settings)
    at = BAD_FOR_GOOD / (BAD_FOR_GOOD + GOOD_FOR_BAD)
    aucs = [fold.auc("test") for fold in found]
    costs = [cost(fold.truth["test"], fold.p["test"] > 1 - at) for fold in found]
    halves = [cost(fold.truth["test"], fold.p["test"] > 0.5) for fold in found]
    for number, fold in enumerate(found):
        print(f"german  fold {number}  validation {fold.auc('validation'):.4f}  test {aucs[number]:.4f}  cost {costs[number]:.3f}")
    all_N = np.concatenate([fold.truth["test"] for fold in found])
    none_N, whole_N = np.zeros(len(all_N), dtype=np.bool_), np.ones(len(all_N), dtype=np.bool_)
    return {
        "validation": mean([fold.auc("validation") for fold in found]),
        "test": mean(aucs),
        "folds": [round(one, 5) for one in aucs],
        "cost": mean(costs),
        "cost_at_one_half": mean(halves),
        "cost_all_accepted": cost(all_N, none_N),
        "cost_all_refused": cost(all_N, whole_N),
    }


def main() -> None:
    settings = sys.argv[1:]
    results = {"taiwan": taiwan(settings), "german": german()}
    for name, one in results.items():
        print(f"{name:<8} ROC AUC {told(one['test'])} over {len(one['folds'])} folds")
    bad = results["german"]
    print(f"german   cost per applicant {told(bad['cost'])}, at one half {told(bad['cost_at_one_half'])}")
    print(f"german   all refused {bad['cost_all_refused']:.3f}, all accepted {bad['cost_all_accepted']:.3f}")
    if not settings:
        OUT.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
