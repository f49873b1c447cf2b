from __future__ import annotations

import gc
import weakref
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Blend, Calibrate, Decide, Mask, Onnx, TopK
from fermion.columns.number import Number
from fermion.columns.output import Argmax, Probability, Threshold, Value
from fermion.core.errors import DataError, ValueRejected
from fermion.testing.handmade import Parts, graph, parts

onnx = pytest.importorskip("onnx")
FLOAT, DOUBLE, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64
info = onnx.helper.make_tensor_value_info


@pytest.fixture(scope="module")
def small() -> Parts:
    return parts({"x": Number(), "z": Number()}, {"x": [0.0, 1.0], "z": [1.0, 2.0]}, {Value(target="y", array="y"): [1.0, 3.0]})


def exchanged(small: Parts, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any] = []) -> Runtime:  # noqa: B006
    return msgspec.structs.replace(small, graphs={"model": graph(nodes, inputs, outputs, constants)}).runtime()


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return onnx.helper.make_node(op, inputs, outputs, **attributes)


def test_no_rows_give_no_answers(made: Parts) -> None:
    runtime = made.runtime()
    arrays = runtime.arrays({"age": [], "city": []})
    assert {name: array.shape for name, array in arrays.items()} == {"probabilities:kind": (0, 3)}
    assert runtime.decode(arrays) == runtime.predict({"age": [], "city": []}) == {"prediction": [], "probabilities": []}


def test_no_rows_and_two_outputs() -> None:
    targets = {Probability(target="good"): [True, False], Value(target="price"): [1.0, 2.0]}
    runtime = parts({"x": Number()}, {"x": [0.0, 1.0]}, targets).runtime()
    assert runtime.predict({"x": []}) == {"prediction": [], "probabilities": []}
    (prediction,) = runtime.predict({"x": [0.5]})["prediction"]
    assert set(prediction) == {"good", "price"}


def test_decisions_decide(made: Parts) -> None:
    rows = {"age": [30.0], "city": ["Bern"]}
    for code, label in enumerate("abc"):
        decided = msgspec.structs.replace(made, decisions={"kind": Threshold(code=code, at=0.0)})
        assert decided.runtime().predict(rows)["prediction"] == [label]


def test_values_that_do_not_fit_are_the_senders(made: Parts) -> None:
    with pytest.raises(ValueRejected, match="row 1: `age` must be a finite number or null, got 'old'"):
        made.runtime().predict({"age": [1.0, "old"], "city": ["Bern", "Bern"]})
    with pytest.raises(DataError, match="equally long"):
        made.runtime().predict({"age": [1.0, 2.0], "city": ["Bern"]})


def test_a_runtime_ends_with_its_last_user(made: Parts) -> None:
    runtime = made.runtime()
    (session,) = runtime._sessions.values()
    gone = weakref.ref(session)
    del session, runtime
    gc.collect()
    assert gone() is None


def test_a_graph_that_is_not_there(made: Parts, told: Any) -> None:
    with told("a graph that a step names must be in the bundle, got 'model'"):
        msgspec.structs.replace(made, graphs={}).runtime()


def test_inputs_that_the_step_lacks(small: Parts, told: Any) -> None:
    two = [info("numbers", FLOAT, ["N", 2]), info("more", FLOAT, ["N", 2])]
    with told("the inputs of the graph `model` must be ['more', 'numbers'], got ['numbers']"):
        exchanged(small, [node("Add", ["numbers", "more"], ["y"])], two, [info("y", FLOAT, ["N", 2])])


def test_outputs_that_the_graph_lacks(small: Parts, told: Any) -> None:
    with told("the outputs of the graph `model` must be among ['other'], got ['y']"):
        exchanged(small, [node("Identity", ["numbers"], ["other"])], [info("numbers", FLOAT, ["N", 2])], [info("other", FLOAT, ["N", 2])])


def test_another_type_than_the_encoder_makes(small: Parts, told: Any) -> None:
    with told("the input `numbers` of the graph `model` must be tensor(float), as the encoder makes `numbers`, got tensor(double)"):
        exchanged(small, [node("Identity", ["numbers"], ["y"])], [info("numbers", DOUBLE, ["N", 2])], [info("y", DOUBLE, ["N", 2])])


def test_a_batch_of_one_only(small: Parts, told: Any) -> None:
    with told("the input `numbers` of the graph `model` must be free in its first axis, the batch, got the shape [1, 2]"):
        exchanged(small, [node("Identity", ["numbers"], ["y"])], [info("numbers", FLOAT, [1, 2])], [info("y", FLOAT, [1, 2])])


def test_another_width_than_the_encoder_makes(small: Parts, told: Any) -> None:
    runtime = exchanged(small, [node("Identity", ["numbers"], ["y"])], [info("numbers", FLOAT, ["N", 3])], [info("y", FLOAT, ["N", 3])])
    with told("the graph `model` must be able to answer its arrays", "numbers"):
        runtime.arrays({"x": [1.0], "z": [1.0]})


def test_an_output_of_another_shape(small: Parts, told: Any) -> None:
    runtime = exchanged(small, [node("Identity", ["numbers"], ["y"])], [info("numbers", FLOAT, ["N", 2])], [info("y", FLOAT, ["N", 2])])
    with told("the output array `y` must be of the shape (3,): rows, got (3, 2)"):
        runtime.arrays({"x": [1.0] * 3, "z": [1.0] * 3})


def test_outputs_that_are_no_tensors(small: Parts, told: Any) -> None:
    sequence = onnx.helper.make_tensor_sequence_value_info("y", FLOAT, None)
    with told("the output `y` of the graph `model` must be a tensor, got seq(tensor(float))"):
        exchanged(small, [node("SequenceConstruct", ["numbers"], ["y"])], [info("numbers", FLOAT, ["N", 2])], [sequence])


def test_answers_that_are_no_numbers(small: Parts, told: Any) -> None:
    """One row's NaN names the row; its neighbours, asked without it, are answered."""
    runtime = exchanged(
        small,
        [node("Log", ["numbers"], ["logs"]), node("ReduceSum", ["logs", "axis"], ["y"], keepdims=0)],
        [info("numbers", FLOAT, ["N", 2])],
        [info("y", FLOAT, ["N"])],
        [onnx.numpy_helper.from_array(np.array([1]), "axis")],
    )
    with told("row 1: the output array `y` must be finite, got nan", "train again"):
        runtime.predict({"x": [1.0, -1.0], "z": [1.0, 1.0]})
    with told("row 0: the output array `y` must be finite, got -inf"):
        runtime.predict({"x": [0.0], "z": [1.0]})
    assert len(runtime.predict({"x": [1.0], "z": [1.0]})["prediction"]) == 1


P = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2]], dtype=np.float32)


def none(graph: str, inputs: Any, outputs: Any) -> list[Any]:
    raise AssertionError("no graph is asked")


def test_blend_is_the_weighted_mean() -> None:
    arrays = {"a": P, "b": 1 - P}
    Blend(inputs=("a", "b"), weights=(3, 1), output="c").run(arrays, none)
    np.testing.assert_allclose(arrays["c"], 0.75 * P + 0.25 * (1 - P), rtol=1e-6)
    assert arrays["c"].dtype == np.float32


def test_topk_gives_ties_to_the_lower_position_and_stops_at_the_width() -> None:
    arrays = {"p": P}
    TopK(input="p", k=2, values="v", positions="i").run(arrays, none)
    TopK(input="p", k=9, values="all", positions="order").run(arrays, none)
    assert arrays["i"].tolist() == [[1, 2], [0, 1]]
    np.testing.assert_array_equal(arrays["v"], np.take_along_axis(P, arrays["i"], axis=1))
    assert arrays["order"].shape == (2, 3)


def test_calibrate_is_the_softmax_of_tempered_logits() -> None:
    arrays = {"p": P, "sure": np.array([[1.0, 0.0]], dtype=np.float32)}
    Calibrate(input="p", temperature=2.0, output="q").run(arrays, none)
    want = np.exp(np.log(P) / 2)
    np.testing.assert_allclose(arrays["q"], want / want.sum(axis=1, keepdims=True), rtol=1e-6)
    Calibrate(input="sure", temperature=0.01, output="r").run(arrays, none)
    assert arrays["r"].tolist() == [[1.0, 0.0]]
    Calibrate(input="p", temperature=1.0, output="same").run(arrays, none)
    np.testing.assert_allclose(arrays["same"], P, rtol=1e-6)


def test_mask_and_decide() -> None:
    arrays = {"p": P, "allowed": np.array([[1, 0, 1], [0, 0, 0]])}
    Mask(input="p", allowed="allowed", output="m").run(arrays, none)
    np.testing.assert_array_equal(arrays["m"], P * arrays["allowed"])
    assert arrays["m"].dtype == np.float32
    Decide(input="m", output="d", decision=Argmax()).run(arrays, none)
    Decide(input="p", output="t", decision=Threshold(code=2, at=0.2)).run(arrays, none)
    assert arrays["d"].tolist() == [2, 0]
    assert arrays["t"].tolist() == [2, 2]


def test_a_step_that_cannot_take_its_arrays(small: Parts, told: Any) -> None:
    steps = (*small.steps, Decide(input="y", output="d", decision=Argmax()))
    with told("step 1 (decide) must be able to take its arrays"):
        msgspec.structs.replace(small, steps=steps).runtime().arrays({"x": [1.0], "z": [1.0]})


def test_one_graph_may_serve_several_steps(small: Parts) -> None:
    first = small.steps[0]
    assert isinstance(first, Onnx)
    steps = (
        first,
        Onnx(graph="model", inputs=first.inputs, outputs={"y": "again"}),
        Blend(inputs=("y", "again"), weights=(1, 1), output="m"),
    )
    outputs = (Value(target="y", array="m"),)
    runtime = msgspec.structs.replace(small, steps=steps, outputs=outputs).runtime()
    batch = {"x": [0.3], "z": [1.2]}
    np.testing.assert_allclose(runtime.arrays(batch)["m"], small.runtime().arrays(batch)["y"], rtol=1e-6)
    assert len(runtime._sessions) == 1
