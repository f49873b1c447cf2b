"""What a bundle computes, as an ordered list from a closed set. Data, never code.

Arrays have names. A step reads arrays that the encoder or an earlier step made and writes new ones, so that the list is acyclic by
construction. `check_order` proves it before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Decision
from fermion.core.errors import BundleError


class Graphs(Protocol):
    """Runs a graph by its name: arrays by the graph's own input names -> its outputs by name."""

    def __call__(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays: ...


class Onnx(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="onnx"):
    """One graph: `inputs` maps the graph's inputs to arrays, `outputs` maps its outputs to the names they get."""

    graph: str
    inputs: dict[str, str]
    outputs: dict[str, str]

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.inputs.values())

    @property
    def writes(self) -> tuple[str, ...]:
        return tuple(self.outputs.values())

    def run(self, arrays: Arrays, graphs: Graphs) -> None:
        made = graphs(self.graph, {there: arrays[here] for there, here in self.inputs.items()})
        for there, here in self.outputs.items():
            arrays[here] = made[there]


class Blend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="blend"):
    """The weighted mean of arrays of one shape, sum(w_i x_i) / sum(w_i)."""

    inputs: tuple[str, ...]
    weights: tuple[float, ...]
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        return self.inputs

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def run(self, arrays: Arrays, graphs: Graphs) -> None:
        total = sum(self.weights)
        arrays[self.output] = np.asarray(
            sum(arrays[name] * np.float32(weight / total) for name, weight in zip(self.inputs, self.weights, strict=True))
        )


class TopK(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="topk"):
    """The k largest of (N, M) scores, best first: values (N, k) and int64 positions (N, k). Ties go to the lower position."""

    input: str
    k: int
    values: str
    positions: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.values, self.positions)

    def run(self, arrays: Arrays, graphs: Graphs) -> None:
        scores_NM = arrays[self.input]
        best_NK = np.argsort(-scores_NM, axis=1, kind="stable")[:, : self.k]
        arrays[self.positions] = best_NK
        arrays[self.values] = np.take_along_axis(scores_NM, best_NK, axis=1)


class Calibrate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="calibrate"):
    """Temperature scaling of (N, K) probabilities: p_k^(1/T) / sum_j p_j^(1/T), which is the softmax of logits / T.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017.
    """

    input: str
    temperature: float
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def run(self, arrays: Arrays, graphs: Graphs) -> None:
        logits_NK = np.log(np.maximum(arrays[self.input].astype(np.float64), 1e-12)) / self.temperature
        p_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        arrays[self.output] = (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)


class Mask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="mask"):
    """Scores (N, K) where `allowed` (N, K) is true, else `fill`: a safety shield is a graph that computes `allowed`."""

    input: str
    allowed: str
    output: str
    fill: float = 0.0

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.input, self.allowed)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def run(self, arrays: Arrays, graphs: Graphs) -> None:
        scores = arrays[self.input]
        arrays[self.output] = np.where(arrays[self.allowed].astype(bool), scores, np.asarray(self.fill, dtype=scores.dtype))


class Decide(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="decide"):
    """The decided class codes (N,) int64 of (N, K) probabilities as an array, for steps that follow."""

    input: str
    output: str
    decision: Decision

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.output,)

    def run(self, arrays: Arrays, graphs: Graphs) -> None:
        arrays[self.output] = self.decision.decide(arrays[self.input])


Step = Onnx | Blend | TopK | Calibrate | Mask | Decide


def check_order(steps: Iterable[Step], given: Iterable[str], wanted: Iterable[str]) -> None:
    """Every step reads what is there before it and writes something new; what the outputs want is there at the end.

    >>> check_order([Blend(inputs=("a", "b"), weights=(1, 1), output="c")], given=["a", "b"], wanted=["c"])

    Raises:
        BundleError: a name that is read too early, written twice, or never made.
    """
    known = set(given)
    for position, step in enumerate(steps):
        where = f"manifest.json: step {position} ({step.__struct_config__.tag})"
        for name in step.reads:
            if name not in known:
                raise BundleError("an array that a step reads", rule="made by the encoder or an earlier step", given=name, where=where)
        for name in step.writes:
            if name in known:
                raise BundleError("an array that a step writes", rule="new", given=name, where=where)
            known.add(name)
    for name in wanted:
        if name not in known:
            raise BundleError("an array that an output names", rule="made by a step", given=name, where="manifest.json")
