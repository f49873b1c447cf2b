"""Exact and near duplicates: 2 % of each injected into real data, with fixed seeds; how many are found, and what else is.

    python benchmarks/data/duplicates.py [--out benchmarks/data/duplicates.json]

Exact: rows repeated as they are. Near: tables with one value of the row changed (a number by 3 %, any other value to another one of its
column), texts with 10 % of their words replaced (at least one; texts of 10 words and more), pictures shifted by one pixel, or encoded
again as JPEG of quality 75 and 50. Recall is the share of the injected ones that end in a group with their original. Precision is
the share of pairs with an injected row that are a pair with its original or a copy of it. `before` are the pairs in the data as
they are: frames of one film, questions asked twice; they are no false alarms, but nobody knows which are.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fermion.data.duplicates import first_equal
from fermion.data.near import Pairs, near_pictures, near_rows, near_texts
from fermion.data.table import Table

DATA = Path(os.environ.get("FERMION_DATA", "data"))
SHARE = 0.02
Rows = NDArray[np.int64]
SHIFTS = [(0, 1), (1, 0), (0, -1), (-1, 0)]


def frames() -> Iterator[tuple[str, pl.DataFrame]]:
    import pandas as pd

    yield "taiwan_credit_default", pl.from_pandas(pd.read_csv(DATA / "taiwan_credit_default/UCI_Credit_Card.csv.gz"))
    yield "german_credit", pl.read_csv(DATA / "german_credit/germancredit.csv")
    yield "online_retail_ii", pl.read_parquet(DATA / "online_retail_ii/online_retail_ii.parquet")
    yield "support2", pl.read_csv(DATA / "support2/support2.csv.gz", infer_schema_length=None)
    for one in json.loads((DATA / "tabular_suite_A/meta.json").read_text()):
        yield one["name"], pl.read_parquet(DATA / "tabular_suite_A" / f"{one['name']}.parquet")


def perturbed(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Each row with one value changed."""
    hit_N = rng.integers(0, frame.width, frame.height)
    columns: list[pl.Series] = []
    for place, series in enumerate(frame):
        rows = np.flatnonzero(hit_N == place)
        values = series.to_list()
        for row in rows:
            if series.dtype.is_float() and values[row] is not None:
                values[row] = values[row] * 1.03 + 0.01
            else:
                others = series.drop_nulls().unique(maintain_order=True).head(1_000)
                others = others.filter(others != values[row]) if values[row] is not None else others
                values[row] = others[int(rng.integers(len(others)))] if len(others) else values[row]
        columns.append(pl.Series(series.name, values, dtype=series.dtype))
    return pl.DataFrame(columns)


def texts() -> Iterator[tuple[str, list[str]]]:
    for name, column in (("banking77", "text"), ("bitext_customer_support", "utterance")):
        parts = [pl.read_csv(path, columns=[column])[column] for path in sorted((DATA / name).glob("*.csv"))]
        yield name, pl.concat(parts).unique(maintain_order=True).to_list()


def reworded(text: str, vocabulary: list[str], rng: np.random.Generator) -> str:
    """With a tenth of the words replaced."""
    words = text.split()
    for place in rng.choice(len(words), max(1, len(words) // 10), replace=False):
        words[place] = vocabulary[rng.integers(len(vocabulary))]
    return " ".join(words)


def pictures() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    with gzip.open(DATA / "mnist/t10k-images-idx3-ubyte.gz") as file:
        yield "mnist (10,000)", np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    yield "gtsrb32 (4,500)", np.load(DATA / "gtsrb32/gtsrb32.npz")["test_images"]


def shifted(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    dy, dx = SHIFTS[rng.integers(len(SHIFTS))]
    wide = np.pad(picture, [(1, 1), (1, 1)] + [(0, 0)] * (picture.ndim - 2), mode="edge")
    return wide[1 + dy : 1 + dy + picture.shape[0], 1 + dx : 1 + dx + picture.shape[1]]


def encoded(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def exact(frame: pl.DataFrame) -> Pairs:
    first_N, _ = first_equal(frame, np.zeros(frame.height, dtype=np.int8))
    later = np.flatnonzero(first_N != np.arange(len(first_N)))
    return Pairs.of(first_N[later], later, np.ones(len(later)))


def judged(find: Callable[[], Pairs], before: Pairs, clean: int, source_M: Rows) -> dict[str, Any]:
    """How well the injected rows, `clean` and later, are found; `source_M` are their originals."""
    began = time.perf_counter()
    found = find()
    took = time.perf_counter() - began
    total = clean + len(source_M)
    group_N, known_N = found.groups(total), before.groups(clean)
    together = group_N[source_M] == group_N[clean:]
    original_N = np.concatenate([known_N, known_N[source_M]])  # what a row is a copy of, as far as that is known
    new = (found.right >= clean) | (found.left >= clean)
    right = original_N[found.left[new]] == original_N[found.right[new]]
    return {
        "rows": clean, "injected": len(source_M), "recall": round(float(together.mean()), 4),
        "precision": round(float(right.mean()) if right.size else 1.0, 4), "before": len(before), "seconds": round(took, 2),
    }  # fmt: skip


def drawn(rows: int, rng: np.random.Generator) -> Rows:
    return np.sort(rng.choice(rows, max(5, round(SHARE * rows)), replace=False))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    out = options.parse_args().out
    if not DATA.is_dir():
        raise SystemExit(f"no data: FERMION_DATA is {DATA}, which is no folder")
    results: dict[str, Any] = {}

    def tell(name: str, kind: str, result: dict[str, Any]) -> None:
        results[f"{name}: {kind}"] = result
        print(f"{name:24} {kind:16} " + "  ".join(f"{key} {value:,}" for key, value in result.items()), flush=True)

    for name, frame in frames():
        rng = np.random.default_rng(0)
        rows = drawn(frame.height, rng)
        copied, slipped = pl.concat([frame, frame[rows]]), pl.concat([frame, perturbed(frame[rows], rng)])
        tell(name, "exact", judged(lambda frame=copied: exact(frame), exact(frame), frame.height, rows))
        before = near_rows(Table(frame))
        tell(name, "one value", judged(lambda frame=slipped: near_rows(Table(frame)), before, frame.height, rows))
    for name, listed in texts():
        rng = np.random.default_rng(0)
        long = np.array([place for place, text in enumerate(listed) if len(text.split()) >= 10])
        rows = long[drawn(len(long), rng)]
        vocabulary = sorted({word for text in listed for word in text.lower().split()})
        more = listed + [reworded(listed[row], vocabulary, rng) for row in rows]
        tell(name, "10 % of words", judged(lambda more=more: near_texts(more), near_texts(listed), len(listed), rows))
    for name, images in pictures():
        before = near_pictures(images)
        kinds: dict[str, Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]] = {
            "one pixel": shifted,
            "JPEG 75": lambda picture, _: encoded(picture, 75),
            "JPEG 50": lambda picture, _: encoded(picture, 50),
        }
        for kind, change in kinds.items():
            rng = np.random.default_rng(0)
            rows = drawn(len(images), rng)
            more = np.concatenate([images, np.stack([change(images[row], rng) for row in rows])])
            tell(name, kind, judged(lambda more=more: near_pictures(more), before, len(images), rows))
    Path(out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
