"""A graph of plain layers, read from an ONNX file, as a torch module: frozen backbones that come in that form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.core import lazy
from fermion.core.errors import DataError, Told


class OnnxNet(nn.Module):
    """The nodes of a graph in their order, with its weights as parameters that do not learn: one input, one output.

    Only the operators of `OPERATORS` are known; each is what the ONNX specification says of it.

    Args:
        data: the bytes of the file.
        name: what the backbone is called in an error.

    Raises:
        DataError: the graph is not readable, or has an operator that is not known here.
    """

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__()
        onnx: Any = lazy.load("onnx", extra="train")
        try:
            graph = onnx.load_model_from_string(data).graph
        except Exception as bad:  # protobuf raises errors of its own, of several kinds
            raise DataError(f"the graph of `{name}`", rule="an ONNX file", given=Told(str(bad)[:160]), remedy="Fetch it again.") from None
        strange = sorted({node.op_type for node in graph.node} - OPERATORS.keys())
        if strange:
            remedy = "Give a folder of the `transformers` library instead."
            raise DataError(f"the graph of `{name}`", rule=f"made of {', '.join(OPERATORS)}", given=Told(", ".join(strange)), remedy=remedy)
        self._weights: dict[str, str] = {}
        sizes: dict[str, list[int]] = {}  # whole numbers: shapes and widths, which are no tensors here
        for position, tensor in enumerate(graph.initializer):
            array = onnx.numpy_helper.to_array(tensor)
            if array.dtype.kind == "i":
                sizes[tensor.name] = array.ravel().tolist()
                continue
            self._weights[tensor.name] = f"weight_{position}"
            self.register_buffer(f"weight_{position}", torch.from_numpy(array.copy()))
        self._nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        for node in graph.node:
            said = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            for name in node.input:
                if name in sizes:
                    said["sizes"] = sizes[name]
            self._nodes.append((node.op_type, [name for name in node.input if name not in sizes], node.output[0], said))
        self._input = next(one.name for one in graph.input if one.name not in self._weights and one.name not in sizes)
        self._output = graph.output[0].name

    def forward(self, x: Tensor) -> Tensor:
        known: dict[str, Tensor] = {self._input: x, **{name: getattr(self, place) for name, place in self._weights.items()}}
        for operator, inputs, made, said in self._nodes:
            known[made] = OPERATORS[operator]([known[name] for name in inputs], said)
        return known[self._output]

    def weight(self, name: str) -> Tensor:
        """One of the graph's weights by its name there."""
        return getattr(self, self._weights[name])


Operator = Callable[[list[Tensor], dict[str, Any]], Tensor]


def _conv(inputs: list[Tensor], said: dict[str, Any]) -> Tensor:
    x, weight, *bias = inputs
    flat = weight.ndim - 2
    pads = said.get("pads", [0] * 2 * flat)
    sides = [side for axis in reversed(range(flat)) for side in (pads[axis], pads[axis + flat])]
    convolve = F.conv1d if flat == 1 else F.conv2d
    padded = F.pad(x, sides) if any(sides) else x
    return convolve(padded, weight, bias[0] if bias else None, said.get("strides", 1), 0, said.get("dilations", 1), said.get("group", 1))


def _pool(inputs: list[Tensor], said: dict[str, Any]) -> Tensor:
    kernel = said["kernel_shape"]
    pads = said.get("pads", [0] * 2 * len(kernel))
    sides = [side for axis in reversed(range(len(kernel))) for side in (pads[axis], pads[axis + len(kernel)])]
    padded = F.pad(inputs[0], sides, value=float("-inf")) if any(sides) else inputs[0]
    return F.max_pool2d(padded, kernel, said.get("strides", 1))


def _pad(inputs: list[Tensor], said: dict[str, Any]) -> Tensor:
    pads = said["sizes"]
    axes = len(pads) // 2
    return F.pad(inputs[0], [side for axis in reversed(range(axes)) for side in (pads[axis], pads[axis + axes])])


def _reshape(inputs: list[Tensor], said: dict[str, Any]) -> Tensor:
    return inputs[0].reshape(said["sizes"])


def _norm(inputs: list[Tensor], said: dict[str, Any]) -> Tensor:
    x, scale, shift, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, shift, eps=said.get("epsilon", 1e-5))


OPERATORS: dict[str, Operator] = {
    "Conv": _conv,
    "MaxPool": _pool,
    "Pad": _pad,
    "Reshape": _reshape,
    "BatchNormalization": _norm,
    "Relu": lambda inputs, said: F.relu(inputs[0]),
    "LeakyRelu": lambda inputs, said: F.leaky_relu(inputs[0], said.get("alpha", 0.01)),
    "Max": lambda inputs, said: torch.maximum(*inputs),
}
