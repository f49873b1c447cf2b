"""Every model keeps the contract of models."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.category import Category
from fermion.columns.column import Batch, Column
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.sequence import Sequence as Series
from fermion.columns.text import Text
from fermion.research.baseline import Baseline
from fermion.research.encoders.attentive import Transformer
from fermion.research.encoders.combiners import Attention, Gated
from fermion.research.encoders.convolutional import Cnn as Picture
from fermion.research.encoders.convolutional import ResNet
from fermion.research.encoders.plain import Facts
from fermion.research.fttransformer import FtTransformer
from fermion.research.linear import Linear
from fermion.research.net import Network
from fermion.research.realmlp import RealMlp
from fermion.research.tabm import TabM
from fermion.research.tabular import Mlp
from fermion.research.trees import Trees
from fermion.research.vision import Cnn
from fermion.testing.models import KINDS, ModelContract

EVERY = tuple(KINDS)
ROWWISE = tuple(kind for kind in KINDS if kind != "survival")


class TestBaseline(ModelContract):
    model = Baseline()
    kinds = EVERY
    learns = False


class TestLinear(ModelContract):
    model = Linear()


class TestTrees(ModelContract):
    model = Trees(threads=1)
    kinds = ROWWISE


class TestMlp(ModelContract):
    model = Mlp(width=32, blocks=1, steps=120, batch=64)
    kinds = EVERY


class TestRealMlp(ModelContract):
    model = RealMlp(width=32, layers=2, epochs=15, batch=64)
    kinds = EVERY


class TestTabM(ModelContract):
    model = TabM(members=3, width=16, layers=2, epochs=15, batch=64, precision="float32")
    kinds = ROWWISE


class TestFtTransformer(ModelContract):
    model = FtTransformer(width=16, layers=2, heads=2, epochs=10, batch=64, lr=0.01, precision="float32")
    kinds = EVERY


class TestCnn(ModelContract):
    """Pictures of a grey that is the signal, with a number beside them."""

    model = Cnn(widths=(8, 8, 16), steps=60, batch=64, size=8, augment=0.0, precision="float32")
    kinds = EVERY
    rows = 200

    def columns(self) -> dict[str, Column]:
        return {"picture": Image(height=8, width=8, channels=1), "noise": Number()}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        grey_N = np.clip(128 + 40 * signal_N, 0, 255)[:, None, None]
        pictures = np.clip(grey_N + rng.normal(0, 10, (len(signal_N), 8, 8)), 0, 255).astype(np.uint8)
        return {"picture": list(pictures), "noise": rng.normal(size=len(signal_N)).tolist()}

    def strange(self) -> Batch:
        picture: Any = {"shape": [8, 8, 1], "uint8": base64.b64encode(bytes(64)).decode()}
        assert picture
        return {"picture": [None, np.zeros((8, 8), dtype=np.uint8), np.full((8, 8), 255, dtype=np.uint8)], "noise": [None, 1e30, -1e30]}


class TestNet(ModelContract):
    """Numbers, a category, pictures and series of any length in one table."""

    model = Network(
        encoders={"picture": Picture(widths=(4, 8), size=8), "pulse": ResNet(widths=(8, 8))},
        facts=Facts(width=16, blocks=0),
        combine=Gated(width=16),
        width=16,
        steps=60,
        batch=32,
        lr=0.005,
    )
    kinds = None
    rows = 200

    def columns(self) -> dict[str, Column]:
        return {"noise": Number(), "colour": Category(), "picture": Image(height=8, width=8, channels=1), "pulse": Series()}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        grey_N = np.clip(128 + 40 * signal_N, 0, 255)[:, None, None]
        pictures = np.clip(grey_N + rng.normal(0, 10, (len(signal_N), 8, 8)), 0, 255).astype(np.uint8)
        return {
            "noise": rng.normal(size=len(signal_N)).tolist(),
            "colour": ["red" if x > rng.normal() else "blue" for x in signal_N],
            "picture": list(pictures),
            "pulse": [(x + rng.normal(0, 0.5, rng.integers(1, 9))).tolist() for x in signal_N],
        }

    def strange(self) -> Batch:
        return {
            "noise": [None, 1e30, -1e30],
            "colour": ["green", None, "red"],
            "picture": [None, np.zeros((8, 8), dtype=np.uint8), None],
            "pulse": [None, [], [None, 1e30, *([0.0] * 30)]],
        }


class TestNetOnTexts(ModelContract):
    """Texts whose words tell the signal, read by a Transformer whose steps a combiner attends to."""

    model = Network(
        encoders={"note": Transformer(width=16, heads=2, layers=1)},
        facts=Facts(width=8, blocks=0),
        combine=Attention(width=16, heads=2, queries=2),
        width=16,
        steps=80,
        batch=32,
        lr=0.01,
    )
    kinds = None
    rows = 200

    def columns(self) -> dict[str, Column]:
        return {"noise": Number(), "note": Text(vocabulary=300)}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        words = ("terrible", "bad", "poor", "fair", "good", "great", "superb")
        told = [words[int(np.clip(round(2 * x) + 3, 0, 6))] for x in signal_N]
        return {
            "noise": rng.normal(size=len(signal_N)).tolist(),
            "note": [f"it was {'very ' * int(rng.integers(0, 3))}{word} today" for word in told],
        }

    def strange(self) -> Batch:
        return {"noise": [None, 1e30, -1e30], "note": [None, "", "ungewöhnlich " * 9]}
