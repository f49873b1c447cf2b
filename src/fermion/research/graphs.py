"""A trained torch net as something that answers arrays, and as an ONNX graph that is proved to answer the same."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.columns.schema import Layout, Named
from fermion.core import lazy
from fermion.core.errors import FermionError, Told
from fermion.research.blocks import ConvNormAct
from fermion.research.heads import head_of
from fermion.research.model import Export
from fermion.research.parity import ROWS, batch_for, check_parity

OPSET = 20
NO_END = 1 << 30  # steps of a net that takes any number
LONG, SHORT = 131, 19  # steps of the rows that an export is traced with; recurrent layers are traced step by step


class Net:
    """A trained net behind the `Learned` contract: arrays -> arrays, and its export.

    Args:
        module: encoded arrays by name -> raw outputs by `output.array`, as `loop.train` leaves it.
        outputs: what the raw outputs mean; probabilities get their softmax here.
        examples: real encoded rows (validation), at most the first 1,000 of which prove the export.
        layout: what the schema says of the arrays, for nets that read arrays whose length varies.
        tolerance: the largest difference between graph and net.
    """

    def __init__(
        self, module: nn.Module, outputs: Sequence[Output], examples: Arrays, *, layout: Layout | None = None, tolerance: float = 1e-4
    ) -> None:
        self.outputs, self.tolerance = tuple(outputs), tolerance
        self.named = {named.name: named for named in layout.arrays} if layout else {}
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
            batch = batch_for(arrays)
            for at in range(0, rows, batch):
                some = [torch.from_numpy(np.ascontiguousarray(arrays[name][at : at + batch])) for name in self.examples]
                parts.append(self.answer(*some))
        return {output.array: torch.cat(made).numpy() for output, made in zip(self.outputs, zip(*parts, strict=True), strict=True)}

    def export(self) -> Export:
        """One ONNX graph with preprocessing and softmax inside, its inputs and outputs named as the arrays are.

        Raises:
            FermionError: ONNX Runtime's answers differ from torch's by more than the tolerance.
        """
        names = tuple(self.examples)
        graph = to_onnx(self.answer, self.examples, [output.array for output in self.outputs], varying(self.named.values()))
        step = Onnx(graph="model", inputs={name: name for name in names}, outputs={output.array: output.array for output in self.outputs})
        export = Export(graphs={"model": graph}, steps=(step,), tolerance=self.tolerance)
        check_parity(export, self.examples, self.run(self.examples))
        for some in relengthened(self.examples, self.named, most=most_steps(self.answer)):
            check_parity(export, some, self.run(some))
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


def varying(named: Iterable[Named]) -> dict[str, dict[int, str]]:
    """By array the axes whose length varies and a name for each length: the arrays of one column share their first.

    >>> from fermion.columns.column import Slot
    >>> ids, mask = (Named(name=f"t.{one}", field="t", slot=Slot(name=one, dtype="int64", shape=(None,))) for one in ("ids", "mask"))
    >>> varying([ids, mask])
    {'t.ids': {1: 'length0'}, 't.mask': {1: 'length0'}}
    """
    listed = list(named)
    fields = list(dict.fromkeys(one.field for one in listed))
    found: dict[str, dict[int, str]] = {}
    for one in listed:
        axes = [axis for axis, size in enumerate(one.slot.shape, 1) if size is None]
        first = f"length{fields.index(one.field)}"
        found[one.name] = {axis: first if axis == axes[0] else f"{first}_{axis}" for axis in axes}
    return {name: axes for name, axes in found.items() if axes}


def most_steps(module: nn.Module) -> int:
    """How many steps a net can take at the most, by what its parts say of themselves under `most_steps`."""
    said: list[int] = [getattr(part, "most_steps", NO_END) for part in module.modules()]
    return min(said)


def relengthened(examples: Arrays, named: Mapping[str, Named], *, most: int = NO_END) -> list[Arrays]:
    """Rows of other lengths than the examples', where lengths vary: one step only, a few, and padded to twice the length and more, or
    to as many as `most`."""
    axes = varying(named[name] for name in examples if name in named)
    if not axes:
        return []
    made: list[Arrays] = []
    for length in (lambda _: 1, lambda whole: max(1, whole // 2), lambda whole: min(2 * whole + 3, max(whole, most))):
        some = {name: array[:16] for name, array in examples.items()}
        for name, names in axes.items():
            for axis in names:
                want, have, slot = length(some[name].shape[axis]), some[name].shape[axis], named[name].slot
                room = [(0, max(0, want - have) if place == axis else 0) for place in range(some[name].ndim)]
                longer = np.pad(some[name], room, constant_values=0 if slot.padding is None else slot.padding)
                some[name] = np.ascontiguousarray(longer.take(np.arange(want), axis))
        made.append(some)
    return made


def to_onnx(module: nn.Module, examples: Arrays, outputs: Sequence[str], varies: Mapping[str, Mapping[int, str]] | None = None) -> bytes:
    """A module of positional tensors as one ONNX file: any number of rows, weights inside, without the paths of this machine.

    Args:
        module: takes the arrays of `examples` in their order, in evaluation mode.
        examples: at least one row each; only their shapes and dtypes matter.
        outputs: the names of what it returns.
        varies: by array the axes whose length varies, each with a name; equal names are equal lengths.

    Raises:
        FermionError: such a length got stuck in the net.
    """
    onnx: Any = lazy.load("onnx", extra="train")
    lazy.load("onnxscript", extra="train")
    free = varies or {}
    names = list(dict.fromkeys(name for axes in free.values() for name in axes.values()))
    lengths = {name: torch.export.Dim(name) for name in names}
    rows = torch.export.Dim("batch")
    dynamic = tuple({0: rows, **{axis: lengths[length] for axis, length in free.get(name, {}).items()}} for name in examples)
    # Lengths of different columns differ, so that none is taken for another.
    steps = SHORT if any(isinstance(part, nn.RNNBase) for part in module.modules()) else LONG
    steps = max(2, min(steps, most_steps(module) - 7 * max(0, len(names) - 1)))
    traced = {name: steps + 7 * position for position, name in enumerate(names)}
    shapes = [
        (2, *(traced[free[name][axis]] if axis in free.get(name, {}) else size for axis, size in enumerate(array.shape[1:], 1)))
        for name, array in examples.items()
    ]
    model = _exported(
        module, [np.zeros(shape, one.dtype) for shape, one in zip(shapes, examples.values(), strict=True)], examples, outputs, dynamic
    )
    stuck = [
        (one, axis) for one in model.graph.input for axis in free.get(one.name, {}) if not one.type.tensor_type.shape.dim[axis].dim_param
    ]
    if stuck:  # torch found a reason in the net and went on without saying so
        given, axis = stuck[0]
        raise FermionError(
            f"the array `{given.name}` of the exported net",
            rule="of any length",
            given=Told(f"{given.type.tensor_type.shape.dim[axis].dim_value} steps, the length that it was traced with"),
            remedy="Something in the net depends on the number of steps: a view, a loop, or lengths computed in two ways.",
        )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _exported(
    module: nn.Module, given: Sequence[NDArray[Any]], names: Iterable[str], outputs: Sequence[str], dynamic: tuple[Any, ...]
) -> Any:
    for looped in (torch.ops.aten.gru.input, torch.ops.aten.lstm.input):
        # While it captures, the exporter puts a loop in the place of these, which any length goes through. It writes that into the
        # table of kernels, past what torch remembers of the last look there; from the second export in a process on, the steps would
        # be written out one by one, as many as the example has.
        getattr(looped, "_dispatch_cache", {}).clear()
    with quiet():
        program = torch.onnx.export(
            module,
            tuple(map(torch.from_numpy, given)),
            input_names=list(names),
            output_names=list(outputs),
            dynamic_shapes=(dynamic,),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto  # made anew each time it is asked for
    _strip(model)
    return model


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
def quiet() -> Generator[None]:
    """The exporter prints, warns and logs about its own progress; none of it is for the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
