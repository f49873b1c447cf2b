"""Runs a bundle: raw values to answers, with ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx, Step, check_order
from fermion.columns.column import Arrays, Batch, Values
from fermion.columns.output import Decision, Output, Probability, decode
from fermion.columns.request import Requests
from fermion.columns.schema import Schema
from fermion.core.errors import BundleError, Told


class Runtime:
    """Answers rows. Thread-safe: sessions of ONNX Runtime may be called from several threads at once.

    Args:
        schema: the fitted inputs.
        steps: what to compute, in order.
        graphs: ONNX graphs as bytes, by the names that the steps use.
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
        check_order(steps, schema.layout.names, [output.array for output in outputs])
        used = {step.graph for step in steps if isinstance(step, Onnx)}
        for name in used - set(graphs):
            raise BundleError("a graph that a step names", rule="in the bundle", given=name)
        self._sessions = {name: _session(name, graphs[name], threads) for name in used}
        for step in steps:
            if isinstance(step, Onnx):
                _check_names(step, self._sessions[step.graph])
        self.encode = schema.encoder()

    @functools.cached_property
    def requests(self) -> Requests:
        """Reads JSON bodies for this schema."""
        return Requests(self.schema)

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays of N >= 1 rows -> one array per output, by `output.array`."""
        known = dict(arrays)
        for step in self.steps:
            step.run(known, self._graph)
        return {output.array: known[output.array] for output in self.outputs}

    def arrays(self, batch: Mapping[str, Values]) -> Arrays:
        """Raw values -> one array per output; no rows give empty arrays.

        Raises:
            DataError: a column is not there, or a value does not fit it.
        """
        encoded = self.encode(batch)
        if encoded and len(next(iter(encoded.values()))) == 0:
            return {
                output.array: np.zeros((0, len(output.classes)) if isinstance(output, Probability) else 0, dtype=np.float32)
                for output in self.outputs
            }
        return self.run(encoded)

    def decode(self, arrays: Arrays) -> Batch:
        """Output arrays -> `prediction` and `probabilities`."""
        return decode(self.outputs, arrays, self.decisions)

    def predict(self, batch: Mapping[str, Values]) -> Batch:
        """Raw values -> `prediction` and `probabilities`, equally long lists. Names that are no inputs are ignored."""
        return self.decode(self.arrays(batch))

    def _graph(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        session = self._sessions[graph]
        return dict(zip(_outputs(session), session.run(None, dict(inputs)), strict=True))


def _session(name: str, graph: bytes, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle workers must not burn the core of their neighbours
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as bad:  # ONNX Runtime raises a dozen classes of its own for a bad graph
        first = str(bad).splitlines()[0] if str(bad) else type(bad).__name__
        raise BundleError(f"the graph `{name}`", rule="one that ONNX Runtime can load", given=Told(first)) from None


@functools.lru_cache(maxsize=256)
def _outputs(session: Any) -> tuple[str, ...]:
    return tuple(output.name for output in session.get_outputs())


def _check_names(step: Onnx, session: Any) -> None:
    has = {one.name for one in session.get_inputs()}
    if set(step.inputs) != has:
        raise BundleError(f"the inputs of the graph `{step.graph}`", rule=f"{sorted(has)}", given=sorted(step.inputs))
    if not set(step.outputs) <= set(_outputs(session)):
        raise BundleError(f"the outputs of the graph `{step.graph}`", rule=f"among {_outputs(session)}", given=sorted(step.outputs))
