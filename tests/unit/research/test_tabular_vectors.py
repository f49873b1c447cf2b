"""The net for tables beside vectors and sets."""

from __future__ import annotations

import numpy as np
import pytest

from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.set import Set
from fermion.columns.vector import Vector
from fermion.core.run import Run
from fermion.research.model import Encoded
from fermion.research.tabular import Mlp

torch = pytest.importorskip("torch")


def test_vectors_are_standardised_and_their_gaps_are_zeros_with_a_share() -> None:
    from fermion.research.tablenet import Vectors

    x_ND = np.array([[1.0, 10.0], [3.0, np.nan], [np.nan, np.nan], [5.0, 30.0]], dtype=np.float32)
    made = Vectors({"look": x_ND})({"look": torch.from_numpy(x_ND)}).numpy()
    assert made.shape == (4, 3)
    np.testing.assert_allclose(made[:, 2], [0, 0.5, 1, 0])
    np.testing.assert_allclose(made[2, :2], 0)
    np.testing.assert_allclose(made[[0, 1, 3], 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(made[[0, 3], 1], [-1, 1], atol=1e-6)


def test_a_table_of_vectors_and_sets_alone_is_learned_and_exported() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(240) < 0.5
    batch = {
        "look": [None if rng.random() < 0.05 else (rng.normal(size=3) + 2 * good).tolist() for good in truth],
        "tags": [["nice", "new"] if good and rng.random() < 0.7 else [] for good in truth],
    }
    schema = Schema.of({"look": Vector(), "tags": Set()}).fit(batch)
    output = Probability(target="good").fit(truth.tolist())
    whole = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"good": output.encode(truth.tolist())})
    fitted = Mlp(steps=60, width=32, blocks=1).fit(whole.take(np.arange(160)), whole.take(np.arange(160, 240)), Run(seed=0))
    assert not any("does not read" in note for note in fitted.notes)
    answers = fitted.run({name: array[160:] for name, array in whole.arrays.items()})[output.array]
    assert (answers.argmax(axis=1) == truth[160:]).mean() > 0.85
    assert fitted.export().graphs  # which compares the graph with the net
