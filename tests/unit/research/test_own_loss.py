"""Losses by import path: they are what training makes small, and what is said where they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import FermionError, SpecError
from fermion.core.run import Run
from fermion.research.model import Encoded
from fermion.research.tabular import Mlp
from fermion.research.training import Training

torch = pytest.importorskip("torch", reason="needs the extra train")

SOURCE = """\
import torch
from torch.nn import functional as F

def high(raw, truth):
    \"\"\"The 0.9 quantile.\"\"\"
    error = truth - raw
    return torch.maximum(0.9 * error, -0.1 * error)

def plain(raw, truth):
    return F.cross_entropy(raw, truth, reduction="none")

def mean(raw, truth):
    return F.cross_entropy(raw, truth)

def decided(raw, truth):
    return (raw.argmax(1) != truth).float()

def broken(raw, truth):
    return raw @ truth

def logarithm(raw, truth):
    return torch.log(raw - raw) * truth

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path


def table(*targets: str, rows: int = 300) -> Encoded:
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=rows)
    noisy_N = x_N + rng.normal(size=rows)
    schema = Schema.of({"x": Number()}).fit({"x": x_N.tolist()})
    labels: dict[str, list[Any]] = {"kind": (noisy_N > 0).tolist(), "price": noisy_N.tolist()}
    outputs: list[Output] = [(Probability(target=name) if name == "kind" else Value(target=name)).fit(labels[name]) for name in targets]
    truth = {output.target: output.encode(labels[output.target]) for output in outputs}
    return Encoded(schema=schema, outputs=tuple(outputs), arrays=schema.encode({"x": x_N.tolist()}), targets=truth)


def quick(loss: Any) -> Mlp:
    return Mlp(width=16, blocks=1, steps=150, batch=64, training=Training(loss=loss))


def test_a_loss_of_ones_own_is_what_is_made_small(folder: Path) -> None:
    rows = table("price")
    fitted = quick("mine:high").fit(rows, rows, Run(home=folder))
    below = (rows.targets["price"] < fitted.run(rows.arrays)["value:price"]).mean()
    assert 0.8 < below < 0.98


def test_the_loss_of_classes_written_out_gives_the_same_model(folder: Path) -> None:
    rows = table("kind")
    own, plain = (quick(loss).fit(rows, rows, Run(home=folder)).run(rows.arrays) for loss in ("mine:plain", ""))
    np.testing.assert_allclose(own["probabilities:kind"], plain["probabilities:kind"], atol=1e-5)


def test_several_targets_have_theirs_by_name_and_unlabelled_rows_are_left_out(folder: Path) -> None:
    rows = table("kind", "price")
    rows.targets["kind"][::2], rows.targets["price"][1::2] = -1, np.nan
    fitted = quick({"price": "mine:high"}).fit(rows, rows, Run(home=folder))
    assert all(np.isfinite(made).all() for made in fitted.run(rows.arrays).values())
    with pytest.raises(SpecError, match=r"a mapping by target where there are several, got 'mine:high'. Write one per target: loss: {kind"):
        quick("mine:high").fit(rows, rows, Run(home=folder))
    with pytest.raises(SpecError, match=r"made of the targets kind, price, got 'prize'. Did you mean `price`"):
        quick({"prize": "mine:high"}).fit(rows, rows, Run(home=folder))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine:mean", r"what the loss `mine:mean` returns must be \(64,\), one number per row, got a tensor of shape \(\). Leave the mean"),
        ("mine:decided", "must be differentiable, got a number that does not depend on `raw`. Compute it with torch"),
        ("mine:broken", r"mine.py:19: `mine:broken` must be called without an error, got RuntimeError"),
        ("mine:number", "the loss `mine:number` must be a function, got int"),
        ("mine:plane", "Did you mean `plain`"),
    ],
)
def test_what_is_no_loss_is_refused_with_the_remedy(folder: Path, name: str, said: str) -> None:
    rows = table("kind")
    with pytest.raises(SpecError, match=said):
        quick(name).fit(rows, rows, Run(home=folder))


def test_a_loss_that_is_no_number_is_looked_for_in_the_loss(folder: Path) -> None:
    rows = table("price")
    with pytest.raises(FermionError) as failed:
        quick("mine:logarithm").fit(rows, rows, Run(home=folder))
    assert "the training loss must be finite" in str(failed.value)
    assert failed.value.remedy.startswith("Check your loss `mine:logarithm` for log(0), a division by zero")
    assert "If it is right: look into the net" in failed.value.remedy
