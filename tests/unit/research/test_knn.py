"""Nearest neighbours: known answers, ties, the number of rows, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import structs

from fermion.bundle.runtime import Runtime
from fermion.columns.category import Category
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import SpecError
from fermion.core.run import Run
from fermion.research.knn import Knn, Lookup
from fermion.research.model import Encoded, Fitted


def table(batch: dict[str, Any], y: list[Any], *, value: bool = False) -> Encoded:
    columns = {name: Category() if any(isinstance(one, str) for one in values) else Number() for name, values in batch.items()}
    schema = Schema.of(columns).fit(batch, missing=dict.fromkeys(batch, True))
    output: Output = (Value(target="y") if value else Probability(target="y")).fit(y)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode(y)})


def none_of(part: Encoded) -> Encoded:
    return part.take(np.arange(0))


def served(fitted: Fitted) -> Runtime:
    export = fitted.export()
    return Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)


def test_the_answer_is_the_mean_of_the_nearest() -> None:
    train = table({"x": [0.0, 1.0, 2.0, 10.0]}, [0.0, 2.0, 4.0, 100.0], value=True)
    fitted = Knn(k=2, weights="uniform").fit(train, none_of(train), Run())
    assert fitted.predict({"x": [0.2, 1.6]})["prediction"] == pytest.approx([1.0, 3.0], rel=1e-5)


def test_probabilities_count_one_row_of_prior_knowledge() -> None:
    train = table({"x": [0.0, 1.0, 5.0, 6.0]}, ["a", "a", "b", "b"])
    fitted = Knn(k=2, weights="uniform").fit(train, none_of(train), Run())
    assert fitted.predict({"x": [0.5]})["probabilities"][0] == pytest.approx({"a": 2.5 / 3, "b": 0.5 / 3})


def test_near_rows_count_more_where_asked() -> None:
    train = table({"x": [0.0, 3.0]}, [0.0, 1.0], value=True)
    fitted = Knn(k=2, weights="distance").fit(train, none_of(train), Run())
    assert fitted.predict({"x": [1.0, 0.0]})["prediction"] == pytest.approx([1 / 3, 0.0], abs=2e-3)


def test_equal_rows_are_equally_far_for_the_export_too() -> None:
    """Rows that repeat with labels by lot: the order among ties decides the answer."""
    rng = np.random.default_rng(0)
    point_N = rng.integers(0, 12, 600)
    x, name = rng.normal(size=12)[point_N], np.array(list("abcdefghijkl"))[point_N]
    train = table({"x": x.tolist(), "z": (x * 3.3).tolist(), "name": name.tolist()}, rng.integers(0, 3, 600).tolist())
    for near in ("uniform", "distance"):
        fitted = Knn(k=7, weights=near).fit(train, none_of(train), Run())
        runtime = served(fitted)
        for size in (1, 7, 600):
            some = {name: array[:size] for name, array in train.arrays.items()}
            np.testing.assert_allclose(runtime.run(some)["probabilities:y"], fitted.run(some)["probabilities:y"], atol=1e-5)


def test_far_and_missing_values_are_answered_alike() -> None:
    rng = np.random.default_rng(0)
    x = [None if rng.random() < 0.2 else float(one) for one in rng.normal(size=200)]
    train = table({"x": x, "all": [None] * 200}, [row % 2 for row in range(200)])
    fitted = Knn().fit(train, train, Run())
    arrays = fitted.schema.encode({"x": [1e30, -1e30, None, 5.0], "all": [None, 1.0, 1e30, None]})
    np.testing.assert_allclose(served(fitted).run(arrays)["probabilities:y"], fitted.run(arrays)["probabilities:y"], atol=1e-5)


def test_the_validation_part_chooses_the_number() -> None:
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=900)
    train = table({"x": x_N.tolist()}, (x_N + rng.normal(size=900) > 0).tolist())
    fitted = Knn().fit(train.take(np.arange(600)), train.take(np.arange(600, 900)), Run())
    assert int(fitted.notes[0].split()[1]) >= 12  # labels are noisy: few neighbours know little
    assert fitted.curves[0].unit == "neighbours"


def test_more_rows_than_are_kept_are_drawn_by_class() -> None:
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=1000)
    train = table({"x": x_N.tolist()}, (x_N > 1.3).tolist())
    fitted = Knn(rows=100).fit(train, none_of(train), Run())
    assert fitted.notes[1] == "y: 100 of 1,000 rows are kept, for the size and the speed of the bundle"
    assert isinstance(fitted.learned, Lookup)
    (head,) = fitted.learned.heads.values()
    assert abs(head.y.mean() - (x_N > 1.3).mean()) < 0.02


def test_private_columns_are_refused() -> None:
    train = table({"x": [0.0, 1.0], "salary": [1.0, 2.0]}, ["a", "b"])
    fields = tuple(structs.replace(field, private=field.name == "salary") for field in train.schema.fields)
    hidden = structs.replace(train, schema=structs.replace(train.schema, fields=fields))
    with pytest.raises(SpecError, match="not private: the bundle would carry the training rows themselves, got salary"):
        Knn().fit(hidden, none_of(hidden), Run())


def test_a_hundred_thousand_classes_fit_the_memory() -> None:
    names = tuple(f"{code:06d}" for code in range(100_000))
    train = table({"x": [float(row) for row in range(300)]}, [f"{row % 2}" for row in range(300)])
    wide = structs.replace(
        train, outputs=(Probability(target="y", array="probabilities:y", classes=names),), targets={"y": np.arange(300) * 300}
    )
    fitted = Knn(k=1).fit(wide, none_of(wide), Run())
    some = {"numbers": wide.arrays["numbers"][:4]}
    made = served(fitted).run(some)["probabilities:y"]
    assert made.shape == (4, 100_000)
    assert made.argmax(axis=1).tolist() == [0, 300, 600, 900]


def test_three_rows_are_enough() -> None:
    train = table({"x": [0.0, 1.0, 2.0]}, ["a", "b", "b"])
    assert Knn().fit(train, none_of(train), Run()).predict({"x": [1.5]})["prediction"] == ["b"]
