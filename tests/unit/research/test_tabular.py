"""The net for tables and its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fermion.columns.category import Category
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError
from fermion.core.run import Run
from fermion.research.model import Encoded
from fermion.research.tablenet import Codes, Numbers
from fermion.research.tabular import Mlp

QUICK = Mlp(width=32, blocks=1, steps=200, batch=64)


def table(batch: dict[str, Any], y: Any, output: Output) -> Encoded:
    columns = {name: Category() if isinstance(values[0], str) else Number() for name, values in batch.items()}
    schema = Schema.of(columns).fit(batch, missing=dict.fromkeys(batch, True))
    output = output.fit(y)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode(y)})


def test_numbers_are_piecewise_linear_and_bounded() -> None:
    x_N1 = np.linspace(0, 1, 1001, dtype=np.float32)[:, None]
    embed = Numbers(x_N1)
    with torch.no_grad():
        edges = (1 - np.cos(np.pi * np.arange(3) / 32)) / 2
        inside = embed(torch.tensor([[edges[1] / 2], [(edges[1] + edges[2]) / 2]], dtype=torch.float32))[:, :8]
        vectors = embed.bins.weight
        np.testing.assert_allclose(inside[0], 0.5 * vectors[0], atol=1e-3)
        np.testing.assert_allclose(inside[1], vectors[0] + 0.5 * vectors[1], atol=1e-3)
        far = embed(torch.tensor([[1e38], [-1e38], [float("nan")]]))
    assert far.isfinite().all()
    assert far[:, 8].abs().max() <= 3.01  # squashed: z / sqrt(1 + (z/3)^2) < 3
    np.testing.assert_allclose(far[0, :8], vectors.detach().sum(0), atol=1e-4)


def test_flags_count_only_where_training_had_missing_values() -> None:
    x_N2 = np.array([[1.0, 1.0], [2.0, np.nan], [3.0, 3.0]], dtype=np.float32)
    flags = Numbers(x_N2)(torch.full((1, 2), float("nan")))[0, -2:]
    assert flags.tolist() == [0.0, 1.0]


def test_constant_and_empty_columns_are_finite() -> None:
    x_N2 = np.array([[7.0, np.nan]] * 5, dtype=np.float32)
    assert Numbers(x_N2)(torch.tensor([[7.0, float("nan")], [8.0, 1.0]])).isfinite().all()


def test_a_code_that_training_never_had_is_read_as_unseen() -> None:
    never, had = Codes(np.array([[2], [3]]), [4]).eval(), Codes(np.array([[2], [0]]), [4]).eval()
    missing, unseen = torch.tensor([[0]]), torch.tensor([[1]])
    assert torch.equal(never(missing), never(unseen))
    assert not torch.equal(had(missing), had(unseen))


def test_some_codes_are_hidden_in_training_only() -> None:
    codes = Codes(np.full((10, 1), 2), [3])
    with torch.no_grad():
        trained = codes.train()(torch.full((5000, 1), 2))
        kinds = torch.unique(trained, dim=0)
        assert len(kinds) == 2
        assert 0.005 < (trained != trained.median(0).values).any(1).double().mean() < 0.05
        assert len(torch.unique(codes.eval()(torch.full((5000, 1), 2)), dim=0)) == 1


def test_it_learns_a_curve_that_no_line_follows() -> None:
    x_N = np.random.default_rng(0).uniform(-3, 3, 1200)
    whole = table({"x": x_N.tolist()}, np.sin(3 * x_N).tolist(), Value(target="y"))
    train, valid = whole.take(np.arange(1000)), whole.take(np.arange(1000, 1200))
    fitted = Mlp(width=64, blocks=1, steps=400, batch=64).fit(train, valid, Run())
    error = np.mean((fitted.run(valid.arrays)["value:y"] - valid.targets["y"]) ** 2)
    assert error < 0.05
    assert {curve.name for curve in fitted.curves} >= {"training loss", "validation loss"}


def test_pictures_beside_a_table_are_not_read_and_the_notes_say_so() -> None:
    batch = {"x": [1.0, 2.0, 3.0, 4.0] * 10, "image": np.zeros((40, 2, 2), dtype=np.uint8)}
    schema = Schema.of({"x": Number(), "image": Image()}).fit(batch)
    output = Probability(target="y").fit([0, 1])
    part = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": np.array([0, 0, 1, 1] * 10)})
    fitted = Mlp(width=8, blocks=0, steps=10, batch=8).fit(part, part, Run())
    assert "the net does not read image.pixels" in fitted.notes
    assert list(fitted.export().steps[0].reads) == ["numbers"]


def test_pictures_alone_are_refused() -> None:
    batch = {"image": np.zeros((4, 2, 2), dtype=np.uint8)}
    schema = Schema.of({"image": Image()}).fit(batch)
    output = Probability(target="y").fit([0, 1])
    part = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": np.array([0, 1, 0, 1])})
    with pytest.raises(DataError, match=r"image\.pixels.*cnn"):
        QUICK.fit(part, part, Run())


def test_one_row_of_each_class_is_enough() -> None:
    train = table({"x": [0.0, 1.0], "c": ["a", "b"]}, [True, False], Probability(target="y"))
    fitted = Mlp(width=8, blocks=1, steps=5, batch=0).fit(train, train.take(np.arange(0)), Run())
    assert np.isfinite(fitted.run(train.arrays)["probabilities:y"]).all()
