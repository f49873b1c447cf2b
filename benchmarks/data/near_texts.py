"""Near duplicates among 100,000 texts: time, and how many of the injected ones are found.

    python benchmarks/data/near_texts.py [--texts 100000] [--out benchmarks/data/near_texts.json]

Three sets: short questions (banking77 and bitext_customer_support, multiplied by replacing 60 % of the words), one template with random
fillings (the hard case: every text is half like every other), and articles of 200 random words. 2 % are copies with 10 % of their
words replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fermion.data.near import near_texts

DATA = Path(os.environ.get("FERMION_DATA", "data"))
TEMPLATE = "hello i would like to ask about my order number {} from {} which i placed on {} {} and please answer to {}"


def replaced(text: str, share: float, words: list[str], rng: np.random.Generator) -> str:
    own = text.split()
    for place in rng.choice(len(own), max(1, int(share * len(own))), replace=False):
        own[place] = words[rng.integers(len(words))]
    return " ".join(own)


def questions(count: int, words: list[str], rng: np.random.Generator) -> list[str]:
    known: list[str] = []
    if DATA.is_dir():
        for name, column in (("banking77", "text"), ("bitext_customer_support", "utterance")):
            for path in sorted((DATA / name).glob("*.csv")):
                known += pl.read_csv(path, columns=[column])[column].to_list()
    known = known or [" ".join(rng.choice(words, 12)) for _ in range(1_000)]
    words = sorted({word for text in known for word in text.lower().split()})
    return known[:count] + [replaced(known[rng.integers(len(known))], 0.6, words, rng) for _ in range(count - len(known))]


def templates(count: int, words: list[str], rng: np.random.Generator) -> list[str]:
    return [TEMPLATE.format(rng.integers(10**6), *(words[place] for place in rng.integers(0, len(words), 4))) for _ in range(count)]


def articles(count: int, words: list[str], rng: np.random.Generator) -> list[str]:
    shares = 1 / (np.arange(len(words)) + 2.7)  # Zipf, Mandelbrot: the most frequent word is one of twenty
    places = np.searchsorted(np.cumsum(shares / shares.sum()), rng.random((count, 200)))
    return [" ".join(words[place] for place in row) for row in np.minimum(places, len(words) - 1).tolist()]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--texts", type=int, default=100_000)
    options.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    chosen = options.parse_args()
    words = [f"w{number}" for number in range(20_000)]
    results: dict[str, Any] = {}
    kinds: dict[str, Callable[[int, list[str], np.random.Generator], list[str]]] = {
        "questions": questions,
        "one template": templates,
        "articles": articles,
    }
    for kind, make in kinds.items():
        rng = np.random.default_rng(0)
        copies = chosen.texts // 50
        texts = make(chosen.texts - copies, words, rng)
        long = np.array([place for place, text in enumerate(texts) if len(text.split()) >= 10])
        source = rng.choice(long, copies, replace=False)
        texts += [replaced(texts[row], 0.1, words, rng) for row in source]
        began = time.perf_counter()
        found = near_texts(texts)
        took = time.perf_counter() - began
        pairs = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
        hit = sum((int(row), len(texts) - copies + place) in pairs for place, row in enumerate(source))
        results[kind] = {"texts": len(texts), "seconds": round(took, 2), "pairs": len(found), "injected": copies, "recall": hit / copies}
        print(kind, results[kind], flush=True)
    Path(chosen.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
