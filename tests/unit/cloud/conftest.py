"""A hand-made model: who joins, and what they spend, from age, membership and city."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fermion.bundle.golden import Golden
from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Onnx
from fermion.cloud.service import Service
from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.number import Number
from fermion.columns.output import Probability, Value
from fermion.columns.schema import Field, Schema
from fermion.core.sections import Serve

SCHEMA = Schema(
    fields=(
        Field(name="age", column=Number()),
        Field(name="member", column=Flag(), missing=True),
        Field(name="city", column=Category(levels=("Bern", "Rome")), missing=True),
    )
)
JOINS = Probability(target="joins", array="joins", classes=("no", "yes"))
SPEND = Value(target="spend", array="spend", offset=100.0, scale=10.0)


def graph() -> bytes:
    weights = np.array([[-0.05, 0.05], [0.0, 1.0], [0.0, 0.3]], dtype=np.float32)
    nodes = [
        helper.make_node("IsNaN", ["numbers"], ["lacks"]),
        helper.make_node("Where", ["lacks", "zero", "numbers"], ["x"]),
        helper.make_node("Cast", ["codes"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["x", "c"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["joins"], axis=1),
        helper.make_node("ReduceSum", ["scores", "last"], ["spend"], keepdims=0),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        numpy_helper.from_array(np.array([1], np.int64), "last"),
    ]
    inputs = [
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("codes", TensorProto.INT64, [None, 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("joins", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("spend", TensorProto.FLOAT, [None]),
    ]
    made = helper.make_graph(nodes, "small", inputs, outputs, constants)
    return onnx.ModelProto(
        ir_version=9, opset_import=[helper.make_opsetid("", 18)], graph=made
    ).SerializeToString()  # the versions of onnx and onnxruntime need not match


def runtime_of(*outputs: Any) -> Runtime:
    step = Onnx(graph="main", inputs={"numbers": "numbers", "codes": "codes"}, outputs={"joins": "joins", "spend": "spend"})
    return Runtime(schema=SCHEMA, steps=(step,), graphs={"main": graph()}, outputs=outputs)


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    return runtime_of(JOINS)


@pytest.fixture(scope="session")
def two_targets() -> Runtime:
    return runtime_of(JOINS, SPEND)


@pytest.fixture(scope="session")
def one_value() -> Runtime:
    return runtime_of(SPEND)


@pytest.fixture
def make() -> Callable[..., Service]:
    def made(runtime: Runtime, **settings: Any) -> Service:
        rows = {"age": [20.0, 30.0], "member": [True, None], "city": ["Rome", None]}
        return Service(runtime, Golden.of(runtime, rows), Serve(**settings), bundle="0" * 64, name="club")

    return made
