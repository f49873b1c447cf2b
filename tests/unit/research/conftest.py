"""Problems with known answers for what is evaluated: a model that is a formula, its rows and their truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.category import Category
from fermion.columns.column import Arrays
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.run import Run
from fermion.core.spec import read
from fermion.data.table import Table
from fermion.research.evaluate import evaluate
from fermion.research.model import Curve, Encoded
from fermion.research.report import Report


class Formula:
    """A model that is a function of arrays, and remembers how many rows it was given at a time."""

    def __init__(self, of: Callable[[Arrays], Arrays]) -> None:
        self.of, self.batches = of, list[int]()

    def run(self, arrays: Arrays) -> Arrays:
        self.batches.append(len(next(iter(arrays.values()))))
        return self.of(arrays)


class Problem(Struct, frozen=True, kw_only=True):
    """A table, what its columns mean, and a model of it."""

    table: Table
    encoded: Encoded
    model: Formula

    def report(
        self,
        *,
        test: Sequence[int] | NDArray[Any] | slice = slice(None),
        valid: Sequence[int] | NDArray[Any] | slice | None = slice(None),
        weights: NDArray[Any] | None = None,
        groups: Any = None,
        run: Run | None = None,
        **sections: Any,
    ) -> Report:
        """The report on the rows `test`, with sections of the project file."""
        rows = np.arange(len(self.encoded))[test]
        part = weighted(self.encoded.take(rows), weights)
        outputs = self.encoded.outputs
        return evaluate(
            self.model,
            test=part,
            valid=None if valid is None else self.encoded.take(np.arange(len(self.encoded))[valid]),
            raw=self.table.take(rows),
            rows=rows + 1000,
            groups=groups,
            baseline={output.array: guess(output, self.encoded) for output in outputs},
            spec=read({"name": "p", "data": {"source": "sample://p", "target": [one.target for one in outputs]}, **sections}),
            curves=[Curve(name="validation loss", x=[1.0, 2.0, 3.0], y=[0.5, float("nan"), 0.25])],
            notes=["a note"],
            findings=[
                {"kind": "nulls", "column": "<i>c</i>", "severity": "info", "score": 0.1, "rows": [1], "message": "m", "remedy": "r"}
            ],
            split={"by": "time", "sizes": {"train": 10, "validation": 5, "test": len(rows)}, "boundaries": {"test": ("2020", "2021")}},
            run=run or Run(seed=3),
        )


def weighted(encoded: Encoded, weights: NDArray[Any] | None) -> Encoded:
    return Encoded(schema=encoded.schema, outputs=encoded.outputs, arrays=encoded.arrays, targets=encoded.targets, weights=weights)


def guess(output: Output, encoded: Encoded) -> list[float]:
    y_N = encoded.targets[output.target]
    if isinstance(output, Probability):
        return (np.bincount(y_N[y_N >= 0], minlength=len(output.classes)) / (y_N >= 0).sum()).tolist()
    return [float(np.nanmean(y_N))]


def _learned(columns: dict[str, Any], schema: Schema, outputs: Sequence[Output], of: Callable[[Arrays], Arrays]) -> Problem:
    table = Table.of(columns)
    fitted = schema.fit(table.batch(schema.names))
    encoded = Encoded(
        schema=fitted,
        outputs=tuple(outputs),
        arrays=fitted.encode(table.batch(fitted.names)),
        targets={output.target: output.encode(table.values(output.target)) for output in outputs},
    )
    return Problem(table=table, encoded=encoded, model=Formula(of))


@pytest.fixture
def binary() -> Problem:
    """`flag` follows `x`; `noise` and `town` say nothing, but in the town <b>Q</b> the labels are noise."""
    rng, n = np.random.default_rng(0), 600
    x_N, noise_N, town_N = rng.normal(size=n), rng.normal(size=n), rng.choice(["<b>Q</b>", "R", "S"], n)
    chance_N = 1 / (1 + np.exp(-3 * x_N))
    yes_N = np.where(town_N == "<b>Q</b>", rng.random(n) < 0.5, rng.random(n) < chance_N)
    columns = {"x": x_N, "noise": noise_N, "town": town_N.tolist(), "flag": np.where(yes_N, "yes & <no>", "never").tolist()}
    output = Probability(target="flag").fit(columns["flag"])

    def of(arrays: Arrays) -> Arrays:
        p_N = 1 / (1 + np.exp(-3 * arrays["numbers"][:, 0]))
        return {output.array: np.stack([1 - p_N, p_N], 1).astype(np.float32)}

    return _learned(columns, Schema.of({"x": Number(), "noise": Number(), "town": Category()}), [output], of)


@pytest.fixture
def regression() -> Problem:
    """`price` follows `size`, far from 0 and with a unit of its own."""
    rng, n = np.random.default_rng(1), 400
    size_N, other_N = rng.normal(size=n), rng.normal(size=n)
    columns = {"size": size_N, "other": other_N, "price": 1e6 + 5e4 * size_N + 1e4 * rng.normal(size=n)}
    output = Value(target="price").fit(columns["price"])

    def of(arrays: Arrays) -> Arrays:
        return {output.array: ((1e6 + 5e4 * arrays["numbers"][:, 0] - output.offset) / output.scale).astype(np.float32)}

    return _learned(columns, Schema.of({"size": Number(), "other": Number()}), [output], of)


@pytest.fixture
def pictures() -> Problem:
    """Three classes of pictures by brightness."""
    rng, n = np.random.default_rng(2), 300
    y_N = rng.integers(3, size=n)
    pixels = np.clip(rng.normal(60 + 60 * y_N[:, None, None], 90, (n, 4, 4)), 0, 255).astype(np.uint8)
    output = Probability(target="shade").fit(y_N)

    def of(arrays: Arrays) -> Arrays:
        bright_N = arrays["picture.pixels"].mean((1, 2, 3))
        z_NK = -(((bright_N[:, None] - np.array([70, 120, 175])) / 25) ** 2)
        e_NK = np.exp(z_NK - z_NK.max(1, keepdims=True))
        return {output.array: (e_NK / e_NK.sum(1, keepdims=True)).astype(np.float32)}

    return _learned({"picture": pixels, "shade": y_N}, Schema.of({"picture": Image()}), [output], of)


@pytest.fixture
def several() -> Problem:
    """Two targets of one column, each with rows that have no label."""
    rng, n = np.random.default_rng(4), 300
    x_N = rng.normal(size=n)
    kind: list[str | None] = np.where(x_N + 0.5 * rng.normal(size=n) > 0, "up", "down").tolist()
    cost = 10 + x_N + 0.1 * rng.normal(size=n)
    cost[:20], kind[250:] = np.nan, [None] * 50
    of_kind, of_cost = Probability(target="kind").fit(kind), Value(target="cost").fit(cost)

    def of(arrays: Arrays) -> Arrays:
        x_N = arrays["numbers"][:, 0]
        p_N = 1 / (1 + np.exp(-4 * x_N))
        value_N = (10 + x_N - of_cost.offset) / of_cost.scale
        return {of_kind.array: np.stack([1 - p_N, p_N], 1).astype(np.float32), of_cost.array: value_N.astype(np.float32)}

    columns = {"x": x_N, "z": rng.normal(size=n), "kind": kind, "cost": cost}
    return _learned(columns, Schema.of({"x": Number(), "z": Number()}), [of_kind, of_cost], of)
