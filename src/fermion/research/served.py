"""What was learned elsewhere and is there as graphs: it answers through them, and its export is what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.research.model import Export


class Served:
    """Graphs and steps behind the `Learned` contract.

    Args:
        exported: the graphs, each as ONNX, and the steps.
        outputs: whose arrays the steps make.
    """

    def __init__(self, exported: Export, outputs: Sequence[Output]) -> None:
        self.exported, self.outputs = exported, tuple(outputs)
        self._sessions = {name: session(graph) for name, graph in exported.graphs.items()}

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays -> one float32 array per output."""
        rows = len(next(iter(arrays.values())))
        if not rows:  # not every graph takes an empty batch
            one = {name: np.zeros((1, *array.shape[1:]), array.dtype) for name, array in arrays.items()}
            return {name: made[:0] for name, made in self.run(one).items()}
        made = self.arrays(arrays)
        return {output.array: made[output.array] for output in self.outputs}

    def arrays(self, arrays: Arrays) -> Arrays:
        """Everything that was read or made, by name."""
        made = dict(arrays)
        for step in self.exported.steps:
            step.run(made, self._ask)
        return made

    def export(self) -> Export:
        """The graphs themselves."""
        return self.exported

    def _ask(self, graph: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> Sequence[NDArray[Any]]:
        made: list[Any] = list(self._sessions[graph].run(outputs, dict(inputs)))
        return made


def session(graph: bytes) -> Any:
    """An ONNX graph, ready to be asked on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(graph, options, ["CPUExecutionProvider"])
