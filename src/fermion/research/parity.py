"""Whether an exported model computes what the fitted one does, on rows that are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.core.errors import FermionError, Told
from fermion.research.model import Export

ROWS = 1000  # enough to meet the branches where converters go wrong
BATCH = 512


def check_parity(export: Export, arrays: Arrays, expected: Arrays) -> float:
    """The largest difference between the export's answers on encoded rows and `expected`, relative where that is above 1.

    Raises:
        FermionError: it is larger than the export's tolerance, or an array has another shape.
    """
    rows, batch = len(next(iter(arrays.values()))), batch_for(arrays)
    sessions = _sessions(export)
    parts = [
        _run(export, sessions, {name: array[at : at + batch] for name, array in arrays.items()}) for at in range(0, max(rows, 1), batch)
    ]
    made = {name: np.concatenate([part[name] for part in parts]) for name in expected}
    worst = 0.0
    for name, want in expected.items():
        if made[name].shape != want.shape:
            raise FermionError(f"the exported `{name}`", rule=f"of the shape {want.shape}", given=made[name].shape, remedy=_REMEDY)
        lost_N = ~np.isfinite(want).reshape(len(want), -1).all(axis=1)
        if lost_N.any():
            raise FermionError(
                f"the answers `{name}`",
                rule="finite for every row",
                given=Told(
                    f"NaN or infinity in {int((~np.isfinite(want)).any(axis=tuple(range(1, want.ndim))).sum())} of {len(want)} rows"
                ),
                remedy="The model is not packaged. Look for damaged weights or a function of your own that divides by zero.",
            )
        difference = float((np.abs(made[name].astype(np.float64) - want) / np.maximum(np.abs(want), 1)).max(initial=0.0))
        worst = max(worst, np.inf if np.isnan(difference) else difference)
    if worst > export.tolerance:
        raise FermionError(
            "the exported model",
            rule=f"within {export.tolerance:g} of the fitted one",
            given=Told(f"a difference of {worst:.3g}"),
            remedy=_REMEDY,
        )
    return worst


def batch_for(arrays: Arrays) -> int:
    """How many rows are computed at a time: fewer the longer they are, because attention holds a number for each pair of steps.

    >>> batch_for({"numbers": np.zeros((9, 30))}), batch_for({"text.ids": np.zeros((9, 512))})
    (512, 64)
    """
    longest = max((array.shape[1] for array in arrays.values() if array.ndim > 1 and array.dtype != np.uint8), default=1)
    return max(8, min(BATCH, 32_768 // max(longest, 1)))


_REMEDY = "It is not packaged. Please report this with the versions of fermion, onnxruntime and the library that trained the model."


def _sessions(export: Export) -> dict[str, Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return {name: ort.InferenceSession(graph, options, ["CPUExecutionProvider"]) for name, graph in export.graphs.items()}


def _run(export: Export, sessions: Mapping[str, Any], arrays: Arrays) -> Arrays:
    """Everything that was read or made, by name. Graphs and steps only: whether they make a bundle is the Runtime's business."""

    def graphs(graph: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> Sequence[NDArray[Any]]:
        made: list[Any] = list(sessions[graph].run(outputs, dict(inputs)))
        return made

    made = dict(arrays)
    for step in export.steps:
        step.run(made, graphs)
    return made
