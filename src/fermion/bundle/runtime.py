"""Runs a bundle: raw values to answers, with ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.bundle import scan
from fermion.bundle.steps import Onnx, Step, check_parts
from fermion.columns.column import Arrays, Batch, Values
from fermion.columns.output import Decision, Output, decode
from fermion.columns.request import Requests
from fermion.columns.schema import Schema
from fermion.core.errors import BundleError, Told

_AGAIN = "Export the model again; `fermion verify` shows what else is wrong."
# How ONNX Runtime calls what the encoder makes.
_DTYPES = {
    "float32": "tensor(float)",
    "int64": "tensor(int64)",
    "uint8": "tensor(uint8)",
    "bool": "tensor(bool)",
    "float64": "tensor(double)",
}


class Runtime:
    """Answers rows. Thread-safe: it changes nothing after it is made, and ONNX Runtime takes calls from several threads at once.

    Args:
        schema: the fitted inputs.
        steps: what to compute, in order.
        graphs: ONNX graphs as bytes, by the names that the steps use; each is looked up once and not kept.
        outputs: what the arrays at the end mean.
        decisions: by target; the most probable class where there is none.
        threads: of one model call.

    Raises:
        BundleError: a graph that ONNX Runtime refuses, a step that reads what is not there.
    """

    def __init__(
        self,
        *,
        schema: Schema,
        steps: tuple[Step, ...],
        graphs: Mapping[str, bytes],
        outputs: tuple[Output, ...],
        decisions: Mapping[str, Decision] | None = None,
        threads: int = 1,
    ) -> None:
        self.schema, self.steps, self.outputs, self.decisions = schema, steps, outputs, dict(decisions or {})
        check_parts(schema, steps, outputs, self.decisions)
        dtypes = {"numbers": "float32", "codes": "int64"} | {named.name: named.slot.dtype for named in schema.layout.arrays}
        self._sessions: dict[str, Any] = {}
        for step in steps:
            if isinstance(step, Onnx):
                if step.graph not in self._sessions:
                    self._sessions[step.graph] = _session(step.graph, graphs, threads)
                _check_names(step, self._sessions[step.graph], dtypes)
        self._tails = [(output.array, output.tail) for output in outputs]
        self.encode = schema.encoder()

    @functools.cached_property
    def requests(self) -> Requests:
        """Reads JSON bodies for this schema."""
        return Requests(self.schema)

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays of N >= 1 rows -> one array per output, by `output.array`: (N, K) or (N,), the batch axis first.

        Raises:
            BundleError: a step cannot take what it is given, or an output has another shape than its rows and classes.
        """
        known = dict(arrays)
        rows = len(next(iter(arrays.values())))
        for position, step in enumerate(self.steps):
            try:
                step.run(known, self._graph)
            except (ValueError, TypeError, IndexError) as bad:  # arrays that do not fit each other, told by numpy
                name = f"step {position} ({step.__struct_config__.tag})"
                raise BundleError(name, rule="able to take its arrays", given=Told(str(bad)), remedy=_AGAIN) from None
        for name, tail in self._tails:
            if not fits(known[name].shape, (rows, *tail)):
                rule = f"of the shape {(rows, *tail)}: rows{' x classes' if tail else ''}"
                raise BundleError(f"the output array `{name}`", rule=rule, given=Told(str(known[name].shape)), remedy=_AGAIN)
        return {name: known[name] for name, _ in self._tails}

    def arrays(self, batch: Mapping[str, Values]) -> Arrays:
        """Raw values -> one array per output; no rows give empty arrays.

        Raises:
            DataError: a column is not there, or a value does not fit it.
        """
        encoded = self.encode(batch)
        if len(next(iter(encoded.values()))) == 0:
            return {name: np.zeros((0, *(max(size, 0) for size in tail)), dtype=np.float32) for name, tail in self._tails}
        return self.run(encoded)

    def decode(self, arrays: Arrays) -> Batch:
        """Output arrays -> `prediction` and `probabilities`.

        Raises:
            BundleError: an output is not a finite number, which no decision can read.
        """
        for name, _ in self._tails:
            if not np.isfinite(arrays[name]).all():
                row = int(np.argwhere(~np.isfinite(arrays[name]))[0][0])
                raise BundleError(
                    f"the output array `{name}`",
                    rule="finite",
                    given=arrays[name][row].tolist(),
                    remedy="The graph divides by zero or overflows for this row: train again, or bound the inputs.",
                    where=f"row {row}",
                )
        return decode(self.outputs, arrays, self.decisions)

    def predict(self, batch: Mapping[str, Values]) -> Batch:
        """Raw values -> `prediction` and `probabilities`, equally long lists. Names that are no inputs are ignored."""
        return self.decode(self.arrays(batch))

    def _graph(self, graph: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> Sequence[NDArray[Any]]:
        try:
            return self._sessions[graph].run(outputs, inputs)
        except Exception as bad:  # ONNX Runtime raises a dozen classes of its own
            raise BundleError(f"the graph `{graph}`", rule="able to answer its arrays", given=Told(_first(bad)), remedy=_AGAIN) from None


def fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an array has the shape that is wanted, in which -1 is any length.

    >>> fits((2, 5, 3), (2, -1, 3)), fits((2, 3), (2, 4))
    (True, False)
    """
    return len(shape) == len(wanted) and all(size in (-1, there) for there, size in zip(shape, wanted, strict=True))


def _session(name: str, graphs: Mapping[str, bytes], threads: int) -> Any:
    import onnxruntime as ort

    try:
        graph = graphs[name]
    except KeyError:
        raise BundleError("a graph that a step names", rule="in the bundle", given=name, remedy=_AGAIN) from None
    scan.check(name, graph)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised; a log on standard error would say it twice
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle workers must not burn the core of their neighbours
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never ONNX Runtime's own flat format, which was not looked at
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as bad:  # ONNX Runtime raises a dozen classes of its own for a bad graph
        raise BundleError(f"the graph `{name}`", rule="one that ONNX Runtime can load", given=Told(_first(bad)), remedy=_AGAIN) from None


def _check_names(step: Onnx, session: Any, dtypes: Mapping[str, str]) -> None:
    """What a graph wants is what the step gives: names, and for the encoder's arrays the type and a free batch axis."""
    has = {one.name: one for one in session.get_inputs()}
    if set(step.inputs) != set(has):
        raise BundleError(f"the inputs of the graph `{step.graph}`", rule=f"{sorted(has)}", given=sorted(step.inputs), remedy=_AGAIN)
    makes = {one.name: one for one in session.get_outputs()}
    if not set(step.outputs) <= set(makes):
        raise BundleError(
            f"the outputs of the graph `{step.graph}`", rule=f"among {sorted(makes)}", given=sorted(step.outputs), remedy=_AGAIN
        )
    for name in step.outputs:
        if not makes[name].type.startswith("tensor("):
            raise BundleError(
                f"the output `{name}` of the graph `{step.graph}`", rule="a tensor", given=Told(makes[name].type), remedy=_AGAIN
            )
    for there, here in step.inputs.items():
        subject, shape = f"the input `{there}` of the graph `{step.graph}`", has[there].shape
        if shape and isinstance(shape[0], int):
            raise BundleError(
                subject,
                rule="free in its first axis, the batch",
                given=Told(f"the shape {shape}"),
                remedy="Export the model with a dynamic batch axis.",
            )
        kind = _DTYPES.get(dtypes.get(here, ""), has[there].type)
        if kind != has[there].type:
            raise BundleError(subject, rule=f"{kind}, as the encoder makes `{here}`", given=Told(has[there].type), remedy=_AGAIN)


def _first(bad: Exception) -> str:
    return next(iter(str(bad).splitlines()), "") or type(bad).__name__
