"""Card fraud by the handbook's protocol: Fermion's trees and net beside a random forest, on the same rows and features.

    python benchmarks/fraud/run.py [--starts 5] [--threads 1] [--out results.json]

For each start day s: 7 days of training from s, 7 days of delay in which frauds are found, 7 days of test. Customers whose fraud is
known by then are left out of the test. Every choice (settings, rounds, steps, trees or net) is made on the same protocol a week
earlier, then the chosen settings are fitted again on the 7 training days of s.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.columns.flag import Flag
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.core.run import Run
from fermion.data.cards import CardTransactions
from fermion.research.model import Encoded, Model
from fermion.research.tabular import Mlp
from fermion.research.trees import Forest, Trees

TRAIN, DELAY, TEST = 7, 7, 7  # days
FIRST, APART = 115, 7  # the handbook trains from 2018-07-25, day 115 of its stream; further start days a week apart
FEATURES = [
    "amount", "during_weekend", "during_night",
    *(f"customer_{what}_{days}d" for days in (1, 7, 30) for what in ("count", "mean_amount")),
    *(f"terminal_{what}_{days}d" for days in (1, 7, 30) for what in ("count", "risk")),
]  # fmt: skip
TREES: dict[str, Trees] = {"defaults": Trees(), "15 leaves": Trees(leaves=15)}
NETS: dict[str, Mlp] = {"500 steps of 1,024": Mlp(steps=500, batch=1_024), "1,000 steps of 512": Mlp(steps=1_000, batch=512)}
FORESTS: dict[str, dict[str, Any]] = {"handbook": {}, "5 rows a leaf": {"min_samples_leaf": 5}}


class Stream(Struct, frozen=True, kw_only=True):
    """All payments: the features by name, and what the protocol needs."""

    batch: dict[str, Any]
    fraud: NDArray[np.bool_]
    day: NDArray[np.int64]
    customer: NDArray[np.int64]


class Scores(Struct, frozen=True, kw_only=True):
    ap: float
    auc: float


def stream() -> Stream:
    """The generator at the handbook's size: 5,000 customers, 10,000 terminals, 183 days."""
    table = CardTransactions(customers=5_000, terminals=10_000, days=183).table()
    moments = np.asarray(table.series("time").to_numpy()).astype("datetime64[D]")
    return Stream(
        batch={name: table.series(name).to_numpy() for name in FEATURES},
        fraud=np.asarray(table.series("is_fraud").to_numpy(), dtype=np.bool_),
        day=(moments - moments.min()).astype(np.int64),
        customer=np.asarray(table.series("customer_id").to_numpy(), dtype=np.int64),
    )


def rows_of(data: Stream, start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and test rows of the protocol that starts on day `start`."""
    train = np.flatnonzero((data.day >= start) & (data.day < start + TRAIN))
    known = set(data.customer[train][data.fraud[train]].tolist())
    test: list[NDArray[np.int64]] = []
    for day in range(TEST):
        found = (data.day == start + TRAIN + day - 1) & data.fraud  # these frauds were found DELAY days later, yesterday
        known |= set(data.customer[found].tolist())
        rows = np.flatnonzero(data.day == start + TRAIN + DELAY + day)
        test.append(rows[~np.isin(data.customer[rows], list(known))])
    return train, np.concatenate(test)


def encoded(data: Stream, start: int) -> tuple[Encoded, Encoded]:
    """The two parts as a model sees them; the schema is fitted on the training days."""
    train, test = rows_of(data, start)
    columns = {name: Flag() if data.batch[name].dtype == np.bool_ else Number() for name in FEATURES}
    schema = Schema.of(columns).fit({name: data.batch[name][train] for name in FEATURES})
    output = Probability(target="is_fraud").fit([False, True])
    parts = [
        Encoded(
            schema=schema,
            outputs=(output,),
            arrays=schema.encode({name: data.batch[name][rows] for name in FEATURES}),
            targets={"is_fraud": data.fraud[rows].astype(np.int64)},
        )
        for rows in (train, test)
    ]
    return parts[0], parts[1]


def scores(p_N: Any, part: Encoded) -> Scores:
    from sklearn.metrics import average_precision_score, roc_auc_score

    y_N = part.targets["is_fraud"]
    return Scores(ap=float(average_precision_score(y_N, p_N)), auc=float(roc_auc_score(y_N, p_N)))


def fitted(model: Model, train: Encoded, valid: Encoded, test: Encoded, seed: int) -> tuple[Scores, Any]:
    made = model.fit(train, valid, Run(seed=seed))
    return scores(made.run(test.arrays)[train.outputs[0].array][:, 1], test), made.learned


def forest(settings: dict[str, Any], train: Encoded, test: Encoded, seed: int, threads: int) -> Scores:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(n_estimators=100, random_state=seed, n_jobs=threads, **settings)
    model.fit(train.arrays["numbers"], train.targets["is_fraud"])
    p_NK = np.asarray(model.predict_proba(test.arrays["numbers"]))
    return scores(p_NK[:, 1], test)


def one_start(data: Stream, start: int, seed: int, threads: int) -> dict[str, Any]:
    """All models at one start day: choices on the week before, then fitted again and tested. More average precision is better."""
    past, valid = encoded(data, start - 7)
    train, test = encoded(data, start)
    none = valid.take(np.arange(0))

    tried: dict[str, tuple[Scores, Trees]] = {}
    for name, model in TREES.items():
        score, learned = fitted(structs.replace(model, threads=threads), past, valid, valid, seed)
        assert isinstance(learned, Forest)
        tried[name] = score, structs.replace(model, threads=threads, rounds=learned.rounds["is_fraud"])
    tree = max(tried, key=lambda name: tried[name][0].ap)
    nets = {name: fitted(model, past, none, valid, seed)[0] for name, model in NETS.items()}
    net = max(nets, key=lambda name: nets[name].ap)
    forests = {name: forest(settings, past, valid, seed, threads) for name, settings in FORESTS.items()}
    grown = max(forests, key=lambda name: forests[name].ap)

    result = {
        "trees": fitted(tried[tree][1], train, none, test, seed)[0],
        "net": fitted(NETS[net], train, none, test, seed)[0],
        "random forest, the handbook's": forest(FORESTS["handbook"], train, test, seed, threads),
    }
    tuned = "random forest, chosen on validation"
    result[tuned] = result["random forest, the handbook's"] if grown == "handbook" else forest(FORESTS[grown], train, test, seed, threads)
    better = "trees" if tried[tree][0].ap >= nets[net].ap else "net"
    result["the better of trees and net on validation"] = result[better]
    return {
        "start": start,
        "frauds": {"train": int(train.targets["is_fraud"].sum()), "test": int(test.targets["is_fraud"].sum())},
        "chosen": {"trees": tree, "rounds": tried[tree][1].rounds, "net": net, "forest": grown, "better": better},
        "validation": {name: structs.asdict(s) for name, s in (("trees", tried[tree][0]), ("net", nets[net]), ("forest", forests[grown]))},
        "test": {name: structs.asdict(s) for name, s in result.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(asked.threads)
    began = time.time()
    data = stream()
    print(f"{len(data.fraud):,} payments, {data.fraud.mean():.2%} frauds, {time.time() - began:.0f} s", flush=True)
    starts: list[dict[str, Any]] = []
    for start in range(FIRST, FIRST + APART * asked.starts, APART):
        starts.append(one_start(data, start, asked.seed, asked.threads))
        print(json.dumps(starts[-1]), flush=True)
    print(f"\n| model | average precision | ROC AUC |\n|---|--:|--:|   ({time.time() - began:.0f} s)")
    for name in starts[0]["test"]:
        ap, auc = (np.mean([each["test"][name][metric] for each in starts]) for metric in ("ap", "auc"))
        print(f"| {name} | {ap:.4f} | {auc:.4f} |")
    if asked.out:
        asked.out.write_text(json.dumps(starts, indent=1))


if __name__ == "__main__":
    main()
