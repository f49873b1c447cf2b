"""Graphs that want more than a graph may: other files, other code, or a reader that does not look."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.bundle import scan
from fermion.bundle.runtime import Runtime
from fermion.columns.number import Number
from fermion.columns.output import Value
from fermion.core.errors import BundleError
from fermion.testing.handmade import Parts, graph, parts

onnx = pytest.importorskip("onnx")
FLOAT = onnx.TensorProto.FLOAT


@pytest.fixture(scope="module")
def small() -> Parts:
    return parts({"x": Number()}, {"x": [0.0, 1.0]}, {Value(target="y", array="y"): [1.0, 3.0]})


def runtime(small: Parts, data: bytes) -> Runtime:
    return msgspec.structs.replace(small, graphs={"model": data}).runtime()


def adding(weight: Any, *, domain: str = "", op: str = "Add", functions: Any = ()) -> bytes:
    """y = numbers + weight, squeezed to (N,)."""
    helper = onnx.helper
    made = helper.make_graph(
        [helper.make_node(op, ["numbers", "w"], ["s"], domain=domain), helper.make_node("Reshape", ["s", "flat"], ["y"])],
        "g",
        [helper.make_tensor_value_info("numbers", FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("y", FLOAT, ["N"])],
        [weight, onnx.numpy_helper.from_array(np.array([-1]), "flat")],
    )
    opsets = [helper.make_opsetid("", 20), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=10, functions=functions).SerializeToString()


def tensor(location: str | None = None) -> Any:
    if location is None:
        return onnx.numpy_helper.from_array(np.float32([2]), "w")
    made = onnx.TensorProto(name="w", data_type=FLOAT, dims=[1], data_location=1)
    for key, value in {"location": location, "offset": "0", "length": "4"}.items():
        made.external_data.add(key=key, value=value)
    return made


def test_a_graph_that_is_whole_in_itself(small: Parts) -> None:
    assert runtime(small, adding(tensor())).arrays({"x": [1.0]})["y"].tolist() == [3.0]


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "weights.bin", "*/_ORT_MEM_ADDR_/*"])
def test_weights_in_another_file(small: Parts, told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.bin").write_bytes(np.float32([2]).tobytes())
    with told("the graph `model` must be one file with its weights inside", "location", location, "external_data=False"):
        runtime(small, adding(tensor(location)))


def test_weights_in_another_file_wherever_they_hide(told: Any) -> None:
    """In an attribute, in the branch of an if, in a sparse tensor, in a function, in a second graph that is merged with the first."""
    helper, hidden = onnx.helper, tensor("weights.bin")
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("w", FLOAT, [1])], [hidden])
    constant = helper.make_node("Constant", [], ["c"], value=hidden)
    sparse = onnx.SparseTensorProto(values=hidden, dims=[1])
    inside = [
        helper.make_graph([constant], "g", [], []),
        helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], "g", [], []),
        helper.make_graph([], "g", [], [], sparse_initializer=[sparse]),
        helper.make_graph([helper.make_node("X", [], ["y"], many=[branch, branch])], "g", [], []),
    ]
    for one in inside:
        with told("one file with its weights inside", "weights.bin"):
            scan.check("model", helper.make_model(one).SerializeToString())
    harmless = helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString()
    function = helper.make_function("own", "F", [], ["c"], [constant], [helper.make_opsetid("", 20)])
    for data in (
        helper.make_model(helper.make_graph([], "g", [], []), functions=[function]).SerializeToString(),
        harmless + helper.make_model(inside[0]).SerializeToString(),
    ):
        with told("one file with its weights inside", "weights.bin"):
            scan.check("model", data)


@pytest.mark.parametrize("domain", ["evil", "ai.onnx.contrib", "com.microsoft.extensions"])
def test_operators_of_strangers(small: Parts, told: Any, domain: str) -> None:
    with told("the graph `model` must be made of operators that ONNX Runtime brings", f"the domain {domain}", "standard operators"):
        runtime(small, adding(tensor(), domain=domain))


def test_operators_that_nobody_knows(small: Parts, told: Any) -> None:
    with told("the graph `model` must be one that ONNX Runtime can load", "com.microsoft:Nothing"):
        runtime(small, adding(tensor(), domain="com.microsoft", op="Nothing"))


def test_functions_of_the_graph_itself_are_graphs(small: Parts) -> None:
    helper = onnx.helper
    body = [helper.make_node("Add", ["a", "b"], ["c"])]
    function = helper.make_function("own", "Plus", ["a", "b"], ["c"], body, [helper.make_opsetid("", 20)])
    data = adding(tensor(), domain="own", op="Plus", functions=[function])
    assert runtime(small, data).arrays({"x": [1.0]})["y"].tolist() == [3.0]


def test_every_cut_of_a_graph(small: Parts, told: Any) -> None:
    data = adding(tensor())
    for cut in range(0, len(data), 3):
        with told("the graph `model` must be"):
            runtime(small, data[:cut])


def test_flipped_bytes_never_break_the_reader(small: Parts) -> None:
    """Digests catch them first; without digests a graph may change its meaning, never escape a BundleError."""
    data, rng, told = adding(tensor()), np.random.default_rng(0), list[BundleError]()
    for at in rng.integers(0, len(data), 200).tolist():
        try:
            runtime(small, data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]).arrays({"x": [1.0]})
        except BundleError as bad:
            told.append(bad)
    assert len(told) > 20
    assert all(bad.remedy for bad in told)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"MZ" * 50, b"\x08\x00\x00\x00ORTM" + bytes(100), b"\x80" * 50])
def test_what_is_no_graph(small: Parts, told: Any, data: bytes) -> None:
    with told("the graph `model` must be a whole ONNX file", "Export the model again."):
        runtime(small, data)


def test_large_graphs_cost_little() -> None:
    """Weights are skipped; the numbers of a forest of 200 trees are passed over in a moment, packed or not."""
    helper = onnx.helper
    many = helper.make_node("T", ["x"], ["y"], ints=list(range(-100_000, 100_000)), floats=[0.5] * 200_000, domain="ai.onnx.ml")
    weights = onnx.numpy_helper.from_array(np.zeros(5_000_000, dtype=np.float32), "w")
    data = helper.make_model(helper.make_graph([many], "g", [], [], [weights])).SerializeToString()
    began = time.perf_counter()
    scan.check("model", data)
    assert time.perf_counter() - began < 1.0


def test_a_graph_of_our_own_has_one_file() -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    scan.check("model", graph([node], [value("x", FLOAT, ["N"])], [value("y", FLOAT, ["N"])]))
