"""TF-IDF keeps the contract of models, on words that carry the signal and numbers beside them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.columns.category import Category
from fermion.columns.column import Batch, Column
from fermion.columns.number import Number
from fermion.research.tfidf import Tfidf
from fermion.testing.models import ModelContract

text = pytest.importorskip("fermion.columns.text", reason="needs text columns")
WORDS = ("terrible", "poor", "plain", "decent", "wonderful")


class TestTfidf(ModelContract):
    model = Tfidf(steps=30)

    def columns(self) -> dict[str, Column]:
        return {"note": text.Text(), "size": Number(), "colour": Category()}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        notes: list[str | None] = []
        for x in signal_N:
            words = rng.choice(["the", "house", "garden", "with", "rooms"], size=rng.integers(2, 7)).tolist()
            words.insert(int(rng.integers(len(words))), WORDS[int(np.clip(np.floor(2.5 + 1.2 * x), 0, 4))])
            notes.append(None if rng.random() < 0.02 else " ".join(words))
        return {"note": notes, "size": signal_N.tolist(), "colour": ["red" if x > rng.normal() else "blue" for x in signal_N]}

    def strange(self) -> Batch:
        return {"note": ["", None, "ünseen 🙂 wonderful wonderful"], "size": [None, 1e30, -1e30], "colour": ["green", None, "red"]}
