"""A trained torch net as something that answers arrays, and as an ONNX graph that is proved to answer the same."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.core import lazy
from fermion.research.blocks import ConvNormAct
from fermion.research.heads import head_of
from fermion.research.model import Export
from fermion.research.parity import ROWS, check_parity

OPSET = 20
BATCH = 512


class Net:
    """A trained net behind the `Learned` contract: arrays -> arrays, and its export.

    Args:
        module: encoded arrays by name -> raw outputs by `output.array`, as `loop.train` leaves it.
        outputs: what the raw outputs mean; probabilities get their softmax here.
        examples: real encoded rows (validation), at most the first 1,000 of which prove the export.
        tolerance: the largest difference between graph and net.
    """

    def __init__(self, module: nn.Module, outputs: Sequence[Output], examples: Arrays, *, tolerance: float = 1e-4) -> None:
        self.outputs, self.tolerance = tuple(outputs), tolerance
        self.examples = {name: np.ascontiguousarray(array[:ROWS]) for name, array in examples.items()}
        self.answer = Answer(folded(module.cpu().eval()), self.outputs, tuple(self.examples)).eval()

    @torch.no_grad()
    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays of N rows -> (N, K) float32 probabilities or (N,) float32 values by `output.array`."""
        rows = len(next(iter(arrays.values())))
        if not rows:  # some of torch's layers cannot take an empty batch
            one = {name: np.zeros((1, *arrays[name].shape[1:]), arrays[name].dtype) for name in self.examples}
            return {name: made[:0] for name, made in self.run(one).items()}
        parts: list[tuple[Tensor, ...]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of read-only arrays; nothing writes to them
            for at in range(0, rows, BATCH):
                some = [torch.from_numpy(np.ascontiguousarray(arrays[name][at : at + BATCH])) for name in self.examples]
                parts.append(self.answer(*some))
        return {output.array: torch.cat(made).numpy() for output, made in zip(self.outputs, zip(*parts, strict=True), strict=True)}

    def export(self) -> Export:
        """One ONNX graph with preprocessing and softmax inside, its inputs and outputs named as the arrays are.

        Raises:
            FermionError: ONNX Runtime's answers differ from torch's by more than the tolerance.
        """
        names = tuple(self.examples)
        graph = to_onnx(self.answer, self.examples, [output.array for output in self.outputs])
        step = Onnx(graph="model", inputs={name: name for name in names}, outputs={output.array: output.array for output in self.outputs})
        export = Export(graphs={"model": graph}, steps=(step,), tolerance=self.tolerance)
        check_parity(export, self.examples, self.run(self.examples))
        return export


class Answer(nn.Module):
    """Arrays in a fixed order -> answers in the order of the outputs: what is exported."""

    def __init__(self, net: nn.Module, outputs: Sequence[Output], names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)
        self.heads = [(output.array, head_of(output)) for output in outputs]

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        raw = self.net(dict(zip(self.names, arrays, strict=True)))
        return tuple(head.answer(raw[array]) for array, head in self.heads)


def folded(net: nn.Module) -> nn.Module:
    """A copy whose normalisations have become part of the convolutions before them: W' = W g / s, b' = b_n - m g / s."""
    copied = copy.deepcopy(net)
    for part in copied.modules():
        if isinstance(part, ConvNormAct) and isinstance(part.norm, nn.BatchNorm2d):
            part.conv, part.norm = fuse_conv_bn_eval(part.conv, part.norm), nn.Identity()
    return copied


def to_onnx(module: nn.Module, examples: Arrays, outputs: Sequence[str]) -> bytes:
    """A module of positional tensors as one ONNX file: any number of rows, weights inside, without the paths of this machine.

    Args:
        module: takes the arrays of `examples` in their order, in evaluation mode.
        examples: at least one row each; only their shapes and dtypes matter.
        outputs: the names of what it returns.
    """
    onnx: Any = lazy.load("onnx", extra="train")
    lazy.load("onnxscript", extra="train")
    rows = torch.export.Dim("batch")
    inputs = tuple(torch.from_numpy(np.zeros((2, *array.shape[1:]), array.dtype)) for array in examples.values())
    with _quiet():
        program = torch.onnx.export(
            module,
            inputs,
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_shapes=(tuple({0: rows} for _ in inputs),),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _strip(model: Any) -> None:
    """Nodes and values keep stack traces with the lines and paths of the machine that exported: out with them."""
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    for function in model.functions:
        function.ClearField("metadata_props")
        for node in function.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """The exporter prints, warns and logs about its own progress; none of it is for the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
