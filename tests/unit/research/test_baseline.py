"""Shares and means, weighted."""

from __future__ import annotations

import numpy as np
import pytest

from fermion.bundle.runtime import Runtime
from fermion.columns.category import Category
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError
from fermion.core.run import Run
from fermion.research.baseline import Baseline
from fermion.research.model import Encoded


def part(schema: Schema, arrays: dict[str, np.ndarray], weights: list[float] | None = None) -> Encoded:
    outputs: tuple[Output, ...] = (
        Probability(target="kind").fit(["a", "b", "c"]),
        Value(target="price").fit([0.0, 2.0]),
    )
    return Encoded(
        schema=schema,
        outputs=outputs,
        arrays=arrays,
        targets={"kind": np.array([0, 0, 1, -1]), "price": np.array([1.0, 2.0, 3.0, np.nan])},
        weights=None if weights is None else np.array(weights),
    )


def of_numbers(weights: list[float] | None = None) -> Encoded:
    schema = Schema.of({"x": Number()}).fit({"x": [1.0, 2.0, 3.0, 4.0]})
    return part(schema, schema.encode({"x": [1.0, 2.0, 3.0, 4.0]}), weights)


def test_shares_and_means() -> None:
    train = of_numbers()
    made = Baseline().fit(train, train, Run()).run(train.arrays)
    np.testing.assert_allclose(made["probabilities:kind"], np.tile([2 / 3, 1 / 3, 0], (4, 1)), rtol=1e-6)
    np.testing.assert_allclose(made["value:price"], [2, 2, 2, 2], rtol=1e-6)


def test_weights_count() -> None:
    train = of_numbers([1.0, 0.0, 3.0, 5.0])
    made = Baseline().fit(train, train, Run()).run(train.arrays)
    np.testing.assert_allclose(made["probabilities:kind"][0], [0.25, 0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(made["value:price"][0], 2.5, rtol=1e-6)


@pytest.mark.parametrize("kind", ["numbers", "codes", "pixels"])
def test_the_graph_counts_rows_by_whatever_input_there_is(kind: str) -> None:
    values = {"numbers": [1.0, 2.0, 3.0, 4.0], "codes": ["a", "b", "c", "d"], "pixels": np.zeros((4, 2, 2), dtype=np.uint8)}[kind]
    schema = Schema.of({"x": {"numbers": Number(), "codes": Category(), "pixels": Image()}[kind]}).fit({"x": values})
    fitted = Baseline().fit(part(schema, schema.encode({"x": values})), part(schema, schema.encode({"x": values})), Run())
    export = fitted.export()
    runtime = Runtime(schema=schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)
    answer = runtime.predict({"x": values[:3]})
    assert answer == fitted.predict({"x": values[:3]})
    assert answer["prediction"] == [{"kind": "a", "price": 3.0}] * 3


def test_a_table_of_a_target_alone_has_no_graph() -> None:
    train = of_numbers()
    bare = Encoded(schema=Schema(fields=()), outputs=train.outputs, arrays={}, targets=train.targets)
    with pytest.raises(DataError, match="at least one input column"):
        Baseline().fit(bare, bare, Run()).export()
