from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from fermion.bundle.steps import Blend, Calibrate, Decide, Mask, Onnx, TopK
from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.geo import Geo
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Argmax, Probability, Threshold, Value
from fermion.columns.schema import Schema
from fermion.columns.set import Set
from fermion.columns.text import Text
from fermion.columns.time import Time
from fermion.columns.vector import Vector
from fermion.testing.bundles import BundleContract
from fermion.testing.handmade import Parts, graph, linear, parts

onnx = pytest.importorskip("onnx")
MIXED: Mapping[str, Any] = {
    "age": [20.0, None, 44.5, 61.0],
    "city": ["Bern", "Rome", None, "Bern"],
    "member": [True, False, True, None],
    "since": ["2026-03-01T06:00:00", "2026-03-02T18:30:00", "2026-04-01T00:00:00", "2026-05-11T12:00:00"],
}
COLUMNS = {"age": Number(), "city": Category(), "member": Flag(), "since": Time()}


class TestClasses(BundleContract):
    rows = MIXED

    def make(self, folder: Path) -> Path:
        made = parts(COLUMNS, MIXED, {Probability(target="kind"): ["a", "b", "c", "a"]})
        return msgspec.structs.replace(made, decisions={"kind": Threshold(code=1, at=0.2)}).write(folder).path


class TestValue(BundleContract):
    rows: ClassVar[Mapping[str, Any]] = {
        "a very long name, with ünïcode": np.linspace(-1, 1, 8),
        "day": np.arange(8).astype("datetime64[D]"),
    }

    def make(self, folder: Path) -> Path:
        columns = dict(zip(self.rows, (Number(), Time()), strict=True))
        return parts(columns, self.rows, {Value(target="price"): np.linspace(1e6, 2e6, 8)}).write(folder).path


class TestTwoOutputs(BundleContract):
    rows = MIXED

    def make(self, folder: Path) -> Path:
        targets = {Probability(target="good"): [True, False, True, True], Value(target="price"): [1.0, 2.0, 4.0, 8.0]}
        return parts(COLUMNS, MIXED, targets).write(folder).path


class TestTexts(BundleContract):
    rows: ClassVar[Mapping[str, Any]] = {"note": ["good food", None, "", "bad wine, bad food", "日本"], "grade": [1.0, 2.0, None, 3.0, 4.0]}

    def make(self, folder: Path) -> Path:
        outputs = {Probability(target="y"): ["no", "yes", "no", "yes", "no"]}
        return parts({"note": Text(vocabulary=300), "grade": Number()}, self.rows, outputs).write(folder).path


class TestListsAndPlaces(BundleContract):
    rows: ClassVar[Mapping[str, Any]] = {
        "tags": [["new", "red"], [], None, ["old"], ["new", "unheard of"]],
        "look": [[0.5, -1.0], None, [None, 2.0], [1e3, 0.0], [0, 1]],
        "place": [[46.9, 7.4], {"lat": -10.0, "lon": 179.5}, None, (0.0, 0.0), [89.9, -180.0]],
    }

    def make(self, folder: Path) -> Path:
        return (
            parts({"tags": Set(), "look": Vector(), "place": Geo()}, self.rows, {Value(target="y"): [1.0, 2.0, 3.0, 4.0, 5.0]})
            .write(folder)
            .path
        )


class TestPictures(BundleContract):
    rows: ClassVar[Mapping[str, Any]] = {"picture": np.random.default_rng(0).integers(0, 255, (5, 6, 4, 3)).astype(np.uint8)}

    def make(self, folder: Path) -> Path:
        return parts({"picture": Image()}, self.rows, {Probability(target="digit"): [3, 1, 4, 1, 5]}).write(folder).path


class TestEveryStep(BundleContract):
    """Two nets blended and calibrated, a shield that forbids classes, the best two and the decision read by one more graph."""

    rows = MIXED

    def make(self, folder: Path) -> Path:
        return every_step().write(folder).path


def every_step() -> Parts:
    schema = Schema.of(COLUMNS).fit(MIXED)
    kind = Probability(target="kind", array="masked").fit(["a", "b", "c", "a"])
    raw = Probability(target="kind", array="p", classes=kind.classes)
    helper, inputs = onnx.helper, {name: name for name in schema.layout.names}
    floats, integers = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    shield = graph(
        [helper.make_node("Greater", ["p", "floor"], ["allowed"])],
        [helper.make_tensor_value_info("p", floats, ["batch", 3])],
        [helper.make_tensor_value_info("allowed", onnx.TensorProto.BOOL, ["batch", 3])],
        [onnx.numpy_helper.from_array(np.float32(0.05), "floor")],
    )
    summed = graph(
        [
            helper.make_node("Cast", ["code"], ["code:float"], to=floats),
            helper.make_node("Cast", ["positions"], ["positions:float"], to=floats),
            helper.make_node("Mul", ["values", "positions:float"], ["products"]),
            helper.make_node("ReduceSum", ["products", "axis"], ["sum"], keepdims=0),
            helper.make_node("Add", ["sum", "code:float"], ["total"]),
        ],
        [
            helper.make_tensor_value_info("values", floats, ["batch", 2]),
            helper.make_tensor_value_info("positions", integers, ["batch", 2]),
            helper.make_tensor_value_info("code", integers, ["batch"]),
        ],
        [helper.make_tensor_value_info("total", floats, ["batch"])],
        [onnx.numpy_helper.from_array(np.array([1]), "axis")],
    )
    return Parts(
        schema=schema,
        outputs=(kind, Value(target="total", array="total")),
        steps=(
            Onnx(graph="one", inputs=inputs, outputs={"p": "p1"}),
            Onnx(graph="two", inputs=inputs, outputs={"p": "p2"}),
            Blend(inputs=("p1", "p2"), weights=(1.0, 3.0), output="blended"),
            Calibrate(input="blended", temperature=0.8, output="calibrated"),
            Onnx(graph="shield", inputs={"p": "calibrated"}, outputs={"allowed": "allowed"}),
            Mask(input="calibrated", allowed="allowed", output="masked"),
            TopK(input="masked", k=2, values="values", positions="positions"),
            Decide(input="masked", output="code", decision=Argmax()),
            Onnx(graph="sum", inputs={"values": "values", "positions": "positions", "code": "code"}, outputs={"total": "total"}),
        ),
        graphs={"one": linear(schema, [raw], seed=1), "two": linear(schema, [raw], seed=2), "shield": shield, "sum": summed},
        rows=MIXED,
    )
