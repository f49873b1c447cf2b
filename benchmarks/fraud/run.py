"""Card fraud by the handbook's protocol: Fermion's trees and net beside a random forest, on the same rows and features.

    python benchmarks/fraud/run.py [--starts 5] [--threads 1] [--out results.json]

For each start day s: 7 days of training from s, 7 days of delay in which frauds are found, 7 days of test. Customers whose fraud is
known by then are left out of the test. Every choice (settings, rounds, steps, trees or net) is made on the same protocol a week
earlier, then the chosen settings are fitted again on the 7 training days of s.
"""

from __future__ import annotations

import argparse
import functools
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
from fermion.research.model import Encoded
from fermion.research.tabular import Mlp
from fermion.research.trees import Forest, Trees

TRAIN, DELAY, TEST = 7, 7, 7  # days
FIRST, APART = 115, 7  # the handbook trains from 2018-07-25, day 115 of its stream; further start days a week apart
FEATURES = [
    "amount", "during_weekend", "during_night",
    *(f"customer_{what}_{days}d" for days in (1, 7, 30) for what in ("count", "mean_amount")),
    *(f"terminal_{what}_{days}d" for days in (1, 7, 30) for what in ("count", "risk")),
]  # fmt: skip
TREES: dict[str, Trees] = {
    "small and slow": Trees(lr=0.02, leaves=15),
    "half of the columns": Trees(lr=0.02, leaves=15, features=0.5, min_leaf=200),
}
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

    @property
    def both(self) -> float:
        """What choices are made by: both are to be reached."""
        return self.ap + self.auc


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


class Bench:
    """Fits and scores; what was fitted on a week before stays, since the test of one start day is the validation of the next."""

    def __init__(self, data: Stream, seed: int, threads: int) -> None:
        self.data, self.seed, self.threads = data, seed, threads
        self.parts = functools.cache(functools.partial(encoded, data))
        self.net = functools.cache(self._net)
        self.forest = functools.cache(self._forest)

    def trees(self, name: str, start: int, rounds: int = 0) -> tuple[Scores, int]:
        """Trained on the week of `start`, scored two weeks later; without `rounds` that part also says when to stop."""
        train, test = self.parts(start)
        model = structs.replace(TREES[name], threads=self.threads, rounds=rounds)
        made = model.fit(train, test.take(np.arange(0)) if rounds else test, Run(seed=self.seed))
        assert isinstance(made.learned, Forest)
        return scores(made.run(test.arrays)[test.outputs[0].array][:, 1], test), made.learned.rounds["is_fraud"]

    def _net(self, name: str, start: int) -> Scores:
        train, test = self.parts(start)
        made = NETS[name].fit(train, test.take(np.arange(0)), Run(seed=self.seed))
        return scores(made.run(test.arrays)[test.outputs[0].array][:, 1], test)

    def _forest(self, name: str, start: int) -> Scores:
        from sklearn.ensemble import RandomForestClassifier

        train, test = self.parts(start)
        model = RandomForestClassifier(n_estimators=100, random_state=self.seed, n_jobs=self.threads, **FORESTS[name])
        model.fit(train.arrays["numbers"], train.targets["is_fraud"])
        return scores(np.asarray(model.predict_proba(test.arrays["numbers"]))[:, 1], test)

    def one_start(self, start: int) -> dict[str, Any]:
        """All models at one start day: choices on the week before, then fitted again and tested."""
        past = start - 7
        tried = {name: self.trees(name, past) for name in TREES}
        tree = max(tried, key=lambda name: tried[name][0].both)
        net = max(NETS, key=lambda name: self.net(name, past).both)
        forest = max(FORESTS, key=lambda name: self.forest(name, past).both)
        valid = {"trees": tried[tree][0], "net": self.net(net, past), "forest": self.forest(forest, past)}
        better = "trees" if valid["trees"].both >= valid["net"].both else "net"
        test = {
            "trees": self.trees(tree, start, rounds=tried[tree][1])[0],
            "net": self.net(net, start),
            "random forest, the handbook's": self.forest("handbook", start),
            "random forest, chosen on validation": self.forest(forest, start),
        }
        test["the better of trees and net on validation"] = test[better]
        return {
            "start": start,
            "chosen": {"trees": tree, "rounds": tried[tree][1], "net": net, "forest": forest, "better": better},
            "validation": {name: structs.asdict(score) for name, score in valid.items()},
            "test": {name: structs.asdict(score) for name, score in test.items()},
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
    bench = Bench(data, asked.seed, asked.threads)
    starts: list[dict[str, Any]] = []
    for start in range(FIRST, FIRST + APART * asked.starts, APART):
        starts.append(bench.one_start(start))
        print(json.dumps(starts[-1]), flush=True)
    print(f"\n| model | average precision | ROC AUC |\n|---|--:|--:|   ({time.time() - began:.0f} s)")
    for name in starts[0]["test"]:
        ap, auc = (np.mean([each["test"][name][metric] for each in starts]) for metric in ("ap", "auc"))
        print(f"| {name} | {ap:.4f} | {auc:.4f} |")
    if asked.out:
        asked.out.write_text(json.dumps(starts, indent=1))


if __name__ == "__main__":
    main()
