"""What every net is asked beside its own settings."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.columns.column import Batch, Column
from fermion.columns.image import Image
from fermion.core.run import Run
from fermion.research.fttransformer import FtTransformer
from fermion.research.net import Network
from fermion.research.realmlp import RealMlp
from fermion.research.tabm import TabM
from fermion.research.tabular import Mlp
from fermion.research.training import Learner
from fermion.research.vision import Cnn
from fermion.testing.models import ModelContract


class Pictured(ModelContract):
    """Pictures of a grey that is the signal."""

    def columns(self) -> dict[str, Column]:
        return {"picture": Image(height=4, width=4, channels=1)}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        return {"picture": list(np.clip(128 + 40 * signal_N[:, None, None] + np.zeros((4, 4)), 0, 255).astype(np.uint8))}


MODELS: list[Any] = [
    Mlp(width=8, blocks=0, steps=20),
    Network(width=8, blocks=0, steps=20),
    Cnn(widths=(4, 4), steps=20, batch=64, size=8, augment=0.0, precision="float32"),
    RealMlp(width=8, layers=1, epochs=1, batch=64),
    TabM(members=2, width=8, layers=1, epochs=1, batch=64, precision="float32"),
    FtTransformer(width=4, layers=1, heads=1, epochs=1, batch=64, precision="float32"),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__struct_config__.tag)
def test_every_net_learns_how_much_each_of_several_losses_counts(model: Any) -> None:
    assert isinstance(model, Learner)
    contract = Pictured() if isinstance(model, Cnn) else ModelContract()
    train, valid, _ = contract.table(targets=("kind", "price"), rows=100)
    fits = [msgspec.structs.replace(model, weigh=weigh).fit(train, valid, Run()) for weigh in ("equal", "learned")]
    equal, learned = (fitted.run(valid.arrays) for fitted in fits)
    assert all(np.isfinite(made).all() for made in learned.values())
    assert any(np.abs(made - equal[name]).max() > 1e-6 for name, made in learned.items())
