"""Whether an exported model computes what the fitted one does, on rows that are real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.core.errors import FermionError, Told
from fermion.research.model import Export

ROWS = 1000  # enough to meet the branches where converters go wrong


def run_export(export: Export, arrays: Arrays) -> Arrays:
    """Run the steps of an export on encoded arrays, one thread: everything that was read or made, by name."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    sessions = {name: ort.InferenceSession(graph, options, ["CPUExecutionProvider"]) for name, graph in export.graphs.items()}

    def graphs(graph: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        wanted = [output.name for output in sessions[graph].get_outputs()]
        made: list[Any] = list(sessions[graph].run(wanted, dict(inputs)))
        return dict(zip(wanted, made, strict=True))

    made = dict(arrays)
    for step in export.steps:
        step.run(made, graphs)
    return made


def check_parity(export: Export, arrays: Arrays, expected: Arrays) -> float:
    """The largest difference between the export's arrays and `expected`, relative to values above 1: at most the export's tolerance.

    Raises:
        FermionError: it is larger, or a shape differs.
    """
    made = run_export(export, arrays)
    worst = 0.0
    for name, want in expected.items():
        if made[name].shape != want.shape:
            raise FermionError(f"the exported `{name}`", rule=f"of shape {want.shape}", given=made[name].shape)
        difference = (np.abs(made[name].astype(np.float64) - want) / np.maximum(np.abs(want), 1)).max(initial=0.0)
        worst = max(worst, np.inf if np.isnan(difference) else float(difference))
    if worst > export.tolerance:
        raise FermionError(
            "the exported model",
            rule=f"within {export.tolerance:g} of the fitted one",
            given=Told(f"a difference of {worst:.3g}"),
            remedy="It is not packaged. Please report this with the versions of the libraries that `fermion show` lists.",
        )
    return worst
