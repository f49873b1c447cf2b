"""ROC AUC over stratified folds, each through what `fermion run` does: split, checks, fit, export; scored on the exported graphs."""

from __future__ import annotations

import json
import statistics
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from suite import one_core

from fermion.columns.output import Probability
from fermion.core import registry
from fermion.core.run import Run
from fermion.core.spec import Spec
from fermion.data.checks import refuse
from fermion.data.clean import part_digest
from fermion.data.table import Table
from fermion.practice import making
from fermion.practice.preparation import parts

STUDENT_95 = {3: 4.303, 5: 2.776}  # the 97.5 % quantile of Student's t with one degree of freedom less


def auc(truth_N: NDArray[np.bool_], p_N: NDArray[np.float64]) -> float:
    """The area under the ROC curve: the share of pairs in the right order, ties count half."""
    _, inverse, counts = np.unique(p_N, return_inverse=True, return_counts=True)
    rank_N = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(truth_N.sum())
    return float((rank_N[truth_N].sum() - positives * (positives + 1) / 2) / (positives * (len(truth_N) - positives)))


def fold(table: Table, spec: Spec, number: int, positive: str, seconds: float) -> dict[str, Any]:
    """One fold: the area on its validation and its test part, and what the blend was made of."""
    began = time.monotonic()
    spec = structs.replace(spec, split=structs.replace(spec.split, fold=number), budget=f"{seconds:g}s")
    run = Run(seed=spec.seed, budget=seconds)
    marks = making.divide(table, spec, run)
    before = part_digest(marks)
    marks = making.tidy(table, marks, spec, run).marks
    refuse(making.look(table, marks, spec, training=before))
    product = making.fit(table, marks, spec, run)
    output = product.outputs[0]
    assert isinstance(output, Probability)
    runtime, found, blind = product.runtime(), dict[str, float](), making.unpacked(product.out_of_fold)
    for part in ("validation", "test"):
        some = table.take(parts(marks)[part])
        if part == "validation" and blind is not None:  # some members learned from these rows, each in other folds
            p_N = blind[output.array][-len(some) :, [str(one) for one in output.classes].index(positive)]
        else:
            answered = runtime.predict(some.batch(product.schema.names))
            p_N = np.asarray([one[positive] for one in answered["probabilities"]])
        found[part] = round(auc(np.asarray([str(value) == positive for value in some.values(output.target)]), p_N), 5)
    weights = next((note for note in product.notes if note.startswith("blend for")), "")
    return {"fold": number, **found, "seconds": round(time.monotonic() - began, 1), "weights": weights}


def interval(values: Sequence[float]) -> dict[str, float]:
    """The mean with its interval of 95 %."""
    middle = statistics.mean(values)
    half = STUDENT_95[len(values)] * statistics.stdev(values) / len(values) ** 0.5 if len(values) in STUDENT_95 else float("nan")
    return {"mean": round(middle, 5), "low": round(middle - half, 5), "high": round(middle + half, 5)}


def options(about: str, out: str) -> Namespace:
    """What either script is called with; a `model` other than the default one has a file of its own."""
    parser = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--model", help="one kind of model in place of the default blend: trees, realmlp, tabm, ...")
    parser.add_argument("--plain", action="store_true", help="only the columns of the file, without ratios and differences")
    parser.add_argument("--out", type=Path)
    said = parser.parse_args()
    said.out = said.out or Path(out).with_suffix("".join([f".{said.model}" if said.model else "", ".plain" if said.plain else "", ".json"]))
    return said


def measure(name: str, table: Table, spec: Spec, positive: str, said: Namespace) -> None:
    """Every fold of every seed, printed and kept in a file; folds that are there already are not fitted again.

    Seconds are those of the process on one core, so that other work on the machine takes no time away.
    """
    one_core()
    spec = structs.replace(
        spec,
        model=registry.find("models", said.model, where="--model")() if said.model else None,
        data=structs.replace(spec.data, features=()) if said.plain else spec.data,
    )
    out: Path = said.out
    results: dict[str, list[dict[str, Any]]] = json.loads(out.read_text())["folds"] if out.exists() else {}
    for seed in range(said.seeds):
        done = results.setdefault(str(seed), [])
        for number in range(len(done), spec.split.folds or 1):
            made = fold(table, structs.replace(spec, seed=seed), number, positive, said.seconds)
            done.append(made)
            print(
                "seed {seed} fold {fold}  validation {validation:.4f}  test {test:.4f}  {seconds:.0f} s  {weights}".format(
                    seed=seed, **done[-1]
                )
            )
            out.write_text(json.dumps({"folds": results}, indent=1) + "\n")
    by_seed = [statistics.mean(one["test"] for one in done) for done in results.values()]
    total = {
        "test": round(statistics.mean(by_seed), 5),
        "over_folds": interval([one["test"] for one in results["0"]]),
        **({"over_seeds": interval(by_seed)} if len(by_seed) > 2 else {}),
        "validation": round(statistics.mean(one["validation"] for done in results.values() for one in done), 5),
    }
    print(json.dumps({"benchmark": f"quality/{name}", **total}))
    out.write_text(json.dumps({"total": total, "folds": results}, indent=1) + "\n")
