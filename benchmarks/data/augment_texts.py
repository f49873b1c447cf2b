"""What augmentations of texts gain on real questions, or that they gain nothing: the same net with and without each, on the same rows.

    FERMION_DATA=/path/to/data python benchmarks/data/augment_texts.py [--shots 10 0] [--seeds 3] [--steps 0] [--encoder bag]

banking77's training file alone: 2,000 questions are held out and measured, 800 choose the weights, and the rest are learned from, all of
them (`--shots 0`) or so many of each intent. The tokeniser is trained on what is learned from. A difference is against no augmentation
with the same seed; its 95 % interval is a bootstrap over seeds and questions. The table of synonyms is the one below, of everyday words.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from augment_ablation import DRAWS, data, show, told
from numpy.typing import NDArray

from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.text import Text
from fermion.core.run import Run
from fermion.research.model import Encoded
from fermion.research.net import Network

OUT = Path(__file__).with_suffix(".json")
HELD, CHOSEN = 2_000, 800
SYNONYMS = {
    "account": ["bank account"], "arrived": ["come", "been delivered"], "buy": ["purchase"], "card": ["bank card"], "cash": ["money"],
    "change": ["edit", "update"], "charge": ["fee"], "charged": ["billed"], "check": ["verify", "see"], "cost": ["price"],
    "country": ["place"], "declined": ["rejected", "refused"], "error": ["mistake"], "fee": ["charge"], "find": ["locate"],
    "get": ["receive", "obtain"], "got": ["received"], "help": ["assist"], "identity": ["identification"], "lost": ["missing"],
    "money": ["funds", "cash"], "my": ["the"], "need": ["want", "require"], "new": ["another"], "order": ["request"], "pay": ["spend"],
    "payment": ["purchase"], "problem": ["issue"], "purchase": ["payment"], "received": ["got"], "refund": ["reimbursement"],
    "send": ["transfer"], "show": ["display"], "stolen": ["taken"], "stop": ["cancel"], "tell": ["inform"], "transaction": ["payment"],
    "use": ["employ"], "waiting": ["expecting"], "want": ["need", "would like"], "working": ["functioning"], "wrong": ["incorrect"],
}  # fmt: skip
ARMS: dict[str, list[Any]] = {
    "nothing": [],
    "token dropout": [{"type": "tokendropout", "share": 0.15}],
    "token swap": [{"type": "tokenswap", "share": 0.15}],
    "synonyms": [{"type": "synonyms", "words": SYNONYMS}],
    "typos": [{"type": "typos", "share": 0.15}],
    "all four": [{"type": "synonyms", "words": SYNONYMS}, {"type": "typos", "share": 0.1}, "tokendropout", "tokenswap"],
}


def parts(shots: int, seed: int) -> tuple[Encoded, Encoded, Encoded]:
    """What is learned from, what is chosen by, and what is measured."""
    table = pl.read_csv(data("banking77") / "train.csv")
    texts, intents = table["text"].to_numpy(), table["category"].to_numpy()
    order = np.random.default_rng(0).permutation(len(table))
    test, valid, rest = order[:HELD], order[HELD : HELD + CHOSEN], order[HELD + CHOSEN :]
    if shots:
        rest = np.random.default_rng([1, seed]).permutation(rest)
        rest = np.concatenate([rest[intents[rest] == intent][:shots] for intent in np.unique(intents)])
    schema = Schema.of({"text": Text()}).fit({"text": texts[rest].tolist()})
    output = Probability(target="intent").fit(intents.tolist())

    def encoded(rows: NDArray[np.int64]) -> Encoded:
        arrays = schema.encode({"text": texts[rows].tolist()})
        return Encoded(schema=schema, outputs=(output,), arrays=arrays, targets={"intent": output.encode(intents[rows].tolist())})

    return encoded(rest), encoded(valid), encoded(test)


def measured(shots: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every augmentation on so many questions per intent."""
    right: dict[str, list[NDArray[np.bool_]]] = {arm: [] for arm in ARMS}
    seconds = dict.fromkeys(ARMS, 0.0)
    steps = options.steps or (400 if shots else 1_000)
    for seed in range(options.seeds):
        train, valid, test = parts(shots, seed)
        for arm, augment in ARMS.items():
            began = time.perf_counter()
            model = Network(encoders={"text": options.encoder}, steps=steps, batch=64, augment=tuple(augment))
            fitted = model.fit(train, valid, Run(seed=seed))
            right[arm].append(fitted.run(test.arrays)["probabilities:intent"].argmax(1) == test.targets["intent"])
            seconds[arm] += time.perf_counter() - began
            print(f"  {shots or 'all'} shots, seed {seed}, {arm}: {right[arm][-1].mean():.4f}", flush=True)
    at_DS = np.random.default_rng(1).integers(0, options.seeds, (DRAWS, options.seeds))
    rows: list[dict[str, Any]] = []
    plain_SN = np.stack(right["nothing"]).astype(np.float64)
    for arm, by_seed in right.items():
        right_SN, picked = np.stack(by_seed).astype(np.float64), np.random.default_rng(2)
        values, plain = [right_SN.mean()], [plain_SN.mean()]
        for chosen in at_DS:
            questions = picked.integers(0, HELD, HELD)
            values.append(right_SN[chosen][:, questions].mean())
            plain.append(plain_SN[chosen][:, questions].mean())
        row = {"data": "banking77", "model": f"net, {options.encoder}, {shots or 'all'} shots", "augment": arm, "seconds": seconds[arm]}
        row |= {"accuracy": told(np.array(values), np.array(plain), larger_is_better=True), "by seed": right_SN.mean(1).tolist()}
        rows.append(row)
        show(row)
    return rows


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, nargs="+", default=[10, 0], help="questions of each intent; 0 for all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="0 for 400 with shots, 1,000 without")
    parser.add_argument("--encoder", default="bag")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for shots in options.shots for row in measured(shots, options)]
    settings = {"seeds": options.seeds, "draws": DRAWS}
    options.out.write_text(json.dumps({"benchmark": "data/augment_texts", **settings, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
