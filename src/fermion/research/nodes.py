"""An ONNX graph built node by node, for models that are a few formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.core import lazy

OPSET, ML_OPSET, IR = 20, 3, 10  # what ONNX Runtime 1.18 and later read
_TYPES = {"float32": 1, "uint8": 2, "int64": 7, "bool": 9}  # onnx.TensorProto.DataType


class Nodes:
    """A graph under construction: every method answers the name of the tensor that it made. The batch axis is the first and free.

    >>> from fermion.research.nodes import Nodes
    >>> nodes = Nodes("double")
    >>> x = nodes.input("numbers", "float32", 3)
    >>> graph = nodes.finish({"twice": nodes.add("Mul", x, nodes.constant(np.float32(2)))}, shapes={"twice": (3,)})
    >>> isinstance(graph, bytes)
    True
    """

    def __init__(self, name: str) -> None:
        self._helper = lazy.load("onnx.helper", extra="train")
        self._arrays = lazy.load("onnx.numpy_helper", extra="train")
        self._name = name
        self._inputs: list[Any] = []
        self._constants: list[Any] = []
        self._nodes: list[Any] = []
        self._made = 0

    def input(self, name: str, dtype: str, *shape: int | None) -> str:
        """An input (N, *shape); None is a length that varies."""
        self._inputs.append(self._helper.make_tensor_value_info(name, _TYPES[dtype], ["batch", *shape]))
        return name

    def has(self, name: str) -> bool:
        """Whether it is an input already."""
        return any(one.name == name for one in self._inputs)

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """An array that is part of the graph."""
        name = self.fresh("constant")
        self._constants.append(self._arrays.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output. "" stands for an optional input that is left out."""
        return self.add_many(op, *inputs, made=("",), domain=domain, **attributes)[0]

    def add_many(self, op: str, *inputs: str, made: tuple[str, ...], domain: str = "", **attributes: Any) -> tuple[str, ...]:
        """A node with several outputs; "" in `made` is a name of its own choice."""
        names = tuple(name or self.fresh(op.lower()) for name in made)
        self._nodes.append(self._helper.make_node(op, list(inputs), list(names), domain=domain, **attributes))
        return names

    def finish(self, outputs: dict[str, str], *, shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str] | None = None) -> bytes:
        """The checked graph. `outputs` names tensors for the outside: (N, *shape), float32 unless `dtypes` says otherwise."""
        kinds = dtypes or {}
        declared: list[Any] = []
        for name, made in outputs.items():
            if name != made:
                self._nodes.append(self._helper.make_node("Identity", [made], [name]))
            declared.append(self._helper.make_tensor_value_info(name, _TYPES[kinds.get(name, "float32")], ["batch", *shapes[name]]))
        graph = self._helper.make_graph(self._nodes, self._name, self._inputs, declared, self._constants)
        model = self._helper.make_model(
            graph,
            opset_imports=[self._helper.make_opsetid("", OPSET), self._helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
            ir_version=IR,
            producer_name="fermion",
        )
        lazy.load("onnx.checker", extra="train").check_model(model)
        return bytes(model.SerializeToString())

    def fresh(self, stem: str) -> str:
        """A name that nothing has yet."""
        self._made += 1
        return f"{stem}_{self._made}"
