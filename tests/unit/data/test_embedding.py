from __future__ import annotations

import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.schema import Schema
from fermion.core.errors import DataError
from fermion.data.embedding import embedding


def test_numbers_categories_and_pictures_are_of_one_size() -> None:
    rng = np.random.default_rng(0)
    batch = {"x": np.append(rng.normal(50, 9, 199), np.nan), "c": ["a", "b"] * 100, "p": rng.integers(0, 256, (200, 40, 33), np.uint8)}
    schema = Schema.of({"x": Number(), "c": Category(), "p": Image()}).fit(batch)
    points = embedding(schema.encode(batch), schema.layout)
    assert points.dtype == np.float32
    assert np.isfinite(points).all()
    assert points[:, 0].std() == pytest.approx(1, abs=0.05)
    assert points[-1, 0] == 0  # missing: at the mean
    levels = points[:, 1 : 1 + schema.layout.codes[0].size]
    assert np.linalg.norm(levels[0] - levels[1]) == pytest.approx(1)
    pixels = points[:, 1 + levels.shape[1] :]
    assert pixels.shape[1] <= 16 * 16
    assert (pixels**2).sum(1).mean() == pytest.approx(16, rel=1e-3)


def test_constants_and_small_pictures_are_no_trouble() -> None:
    batch = {"x": np.ones(4), "p": np.zeros((4, 2, 3, 3), np.uint8)}
    schema = Schema.of({"x": Number(), "p": Image()}).fit(batch)
    assert not embedding(schema.encode(batch), schema.layout).any()


def test_nothing_to_compare_is_told() -> None:
    schema = Schema(fields=())
    with pytest.raises(DataError, match="Use random"):
        embedding({}, schema.layout)
