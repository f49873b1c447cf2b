"""Small bundles made by hand: columns, one linear graph with fixed weights, golden rows. For tests that need a bundle and no training.

Needs the package onnx (extra `train`) to make them, nothing to use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.bundle.golden import MOST, Golden
from fermion.bundle.manifest import Manifest, Provenance
from fermion.bundle.profile import Profile
from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Onnx, Step
from fermion.columns.column import Column, Values
from fermion.columns.output import Decision, Output, Probability
from fermion.columns.schema import Schema
from fermion.core import lazy

OPSET, IR = 20, 10  # what ONNX Runtime 1.18 and later read
_TYPES = {"float32": 1, "uint8": 2, "int64": 7, "bool": 9}


class Parts(Struct, frozen=True, kw_only=True):
    """Everything that a bundle is written from, so that a test can exchange one part and keep the others."""

    schema: Schema
    outputs: tuple[Output, ...]
    steps: tuple[Step, ...]
    graphs: dict[str, bytes]
    rows: dict[str, Any]  # raw values by column: what it was fitted on, and its golden rows
    decisions: dict[str, Decision] = field(default_factory=dict[str, Decision])

    def runtime(self) -> Runtime:
        """What answers rows."""
        return Runtime(schema=self.schema, steps=self.steps, graphs=self.graphs, outputs=self.outputs, decisions=self.decisions)

    def manifest(self) -> Manifest:
        """The manifest, without the files that `write` fills in."""
        kinds = {isinstance(output, Probability) for output in self.outputs}
        task = "several" if len(self.outputs) > 1 else "multiclass" if kinds == {True} else "regression"
        return Manifest(
            name="handmade",
            task=task,
            schema=self.schema,
            steps=self.steps,
            outputs=self.outputs,
            files={},
            decisions=self.decisions,
            provenance=Provenance(fermion="0"),
        )

    def write(self, folder: Path) -> Bundle:
        """The bundle in a folder, its rows as golden rows and profile."""
        runtime = self.runtime()
        golden = Golden.of(runtime, {name: values[:MOST] for name, values in self.rows.items()})
        profile = Profile.of(self.schema, self.rows, self.outputs, runtime.arrays(self.rows))
        return bundles.write(folder, self.manifest(), graphs=self.graphs, golden=golden, profile=msgspec.json.encode(profile))


def parts(columns: Mapping[str, Column], rows: Mapping[str, Values], targets: Mapping[Output, Values], *, seed: int = 0) -> Parts:
    """Columns fitted on rows, outputs fitted on their values, and a linear graph `model` with weights drawn from the seed.

    >>> from fermion.columns.number import Number
    >>> from fermion.columns.output import Value
    >>> made = parts({"x": Number()}, {"x": [0.0, 1.0]}, {Value(target="y"): [1.0, 3.0]})
    >>> len(made.runtime().predict({"x": [0.5]})["prediction"])
    1
    """
    schema = Schema.of(columns).fit(rows)
    outputs = tuple(output.fit(values) for output, values in targets.items())
    inputs = {name: name for name in schema.layout.names}
    step = Onnx(graph="model", inputs=inputs, outputs={output.array: output.array for output in outputs})
    return Parts(schema=schema, outputs=outputs, steps=(step,), graphs={"model": linear(schema, outputs, seed=seed)}, rows=dict(rows))


def linear(schema: Schema, outputs: Sequence[Output], *, seed: int = 0) -> bytes:
    """y = W x + b over all inputs as one float32 vector, missing numbers as 0; a softmax where the output has classes."""
    helper, arrays = lazy.load("onnx.helper", extra="train"), lazy.load("onnx.numpy_helper", extra="train")
    rng, layout = np.random.default_rng(seed), schema.layout
    inputs: list[Any] = []
    nodes: list[Any] = []
    constants: list[Any] = [
        arrays.from_array(np.float32(0), "zero"),
        arrays.from_array(np.array([0, -1]), "flat"),
        arrays.from_array(np.array([1]), "steps"),
    ]
    flat: list[tuple[str, int]] = []

    def take(name: str, dtype: str, shape: Sequence[int | None]) -> None:
        free = [f"{name}:{axis}" if size is None else size for axis, size in enumerate(shape)]
        inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], ["batch", *free]))
        if None in shape:  # what varies in length is added up; its padding is 0 here
            nodes.append(helper.make_node("Cast", [name], [f"{name}:steps"], to=_TYPES["float32"]))
            nodes.append(helper.make_node("ReduceSum", [f"{name}:steps", "steps"], [f"{name}:float"], keepdims=0))
            shape = shape[1:]
        else:
            nodes.append(helper.make_node("Cast", [name], [f"{name}:float"], to=_TYPES["float32"]))
        nodes.append(helper.make_node("Reshape", [f"{name}:float", "flat"], [f"{name}:flat"]))
        nodes.append(helper.make_node("IsNaN", [f"{name}:flat"], [f"{name}:missing"]))
        nodes.append(helper.make_node("Where", [f"{name}:missing", "zero", f"{name}:flat"], [f"{name}:filled"]))
        flat.append((f"{name}:filled", int(np.prod([size or 1 for size in shape]))))

    if layout.numbers:
        take("numbers", "float32", [len(layout.numbers)])
    if layout.codes:
        take("codes", "int64", [len(layout.codes)])
    for named in layout.arrays:
        take(named.name, named.slot.dtype, named.slot.shape)
    nodes.append(helper.make_node("Concat", [name for name, _ in flat], ["x"], axis=1))
    width, made = sum(size for _, size in flat), list[Any]()
    for number, output in enumerate(outputs):
        classes = len(output.classes) if isinstance(output, Probability) else 1
        weights_FK: NDArray[np.float32] = (rng.normal(size=(width, classes)) / (10 * np.sqrt(width))).astype(np.float32)
        constants.append(arrays.from_array(weights_FK, f"w{number}"))
        constants.append(arrays.from_array(rng.normal(size=classes).astype(np.float32), f"b{number}"))
        nodes.append(helper.make_node("Gemm", ["x", f"w{number}", f"b{number}"], [f"scores{number}"]))
        if isinstance(output, Probability):
            nodes.append(helper.make_node("Softmax", [f"scores{number}"], [output.array], axis=1))
            made.append(helper.make_tensor_value_info(output.array, _TYPES["float32"], ["batch", classes]))
        else:
            constants.append(arrays.from_array(np.array([-1]), f"row{number}"))
            nodes.append(helper.make_node("Reshape", [f"scores{number}", f"row{number}"], [output.array]))
            made.append(helper.make_tensor_value_info(output.array, _TYPES["float32"], ["batch"]))
    return graph(nodes, inputs, made, constants)


def graph(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: Sequence[Any] = ()) -> bytes:
    """ONNX nodes as the bytes of one file."""
    helper = lazy.load("onnx.helper", extra="train")
    made = helper.make_graph(list(nodes), "handmade", list(inputs), list(outputs), list(constants))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="fermion")
    return bytes(model.SerializeToString(deterministic=True))
