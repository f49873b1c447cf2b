"""`tfidf` beside scikit-learn's TfidfVectorizer and LogisticRegression, on 2,000 questions held out of banking77's training file.

    FERMION_DATA=/path/to/data python benchmarks/quality/tfidf.py

The test file is not read: this compares ways of making a model.
"""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.text import Text
from fermion.core.run import Run
from fermion.research.model import Encoded
from fermion.research.tfidf import Tfidf

HELD = 2000


def told(name: str, p_NK: Any, truth_N: Any, began: float) -> None:
    """One line: accuracy, log loss, seconds."""
    loss = -np.log(np.maximum(p_NK[np.arange(len(truth_N)), truth_N], 1e-12)).mean()
    print(
        f"{name:<14} accuracy {(p_NK.argmax(1) == truth_N).mean():.4f}  log loss {loss:.4f}  {time.perf_counter() - began:.1f} s",
        flush=True,
    )


def main() -> None:
    """Both, with all other training questions to learn from."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    file = Path(os.environ.get("FERMION_DATA", "../shared/data")) / "banking77" / "train.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    held, kept = ([rows[row] for row in part] for part in (order[:HELD], order[HELD:]))
    output = Probability(target="category").fit([row["category"] for row in rows])
    truth_N = output.encode([row["category"] for row in held])

    began = time.perf_counter()
    texts = [row["text"] for row in kept]
    schema = Schema.of({"text": Text()}).fit({"text": texts})
    y_N = output.encode([row["category"] for row in kept])
    train = Encoded(schema=schema, outputs=(output,), arrays=schema.encode({"text": texts}), targets={"category": y_N})
    fitted = Tfidf().fit(train, train.take(np.arange(0)), Run())
    asked = [row["text"] for row in held]
    told("fermion", fitted.run(schema.encode({"text": asked}))[output.array], truth_N, began)

    began = time.perf_counter()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=10, max_iter=60)).fit(texts, y_N)
    told("scikit-learn", model.predict_proba(asked), truth_N, began)


if __name__ == "__main__":
    main()
