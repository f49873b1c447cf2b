"""What a bundle computes, as an ordered list from a closed set. Data, never code.

Arrays have names. A step reads arrays that the encoder or an earlier step made and writes new ones, so that the list is acyclic by
construction. `check_order` proves it before anything runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Decision, Labels, Output, Probability, Threshold, Thresholds
from fermion.columns.schema import Schema
from fermion.core.errors import BundleError, Told

_ALTERED = "The manifest was altered or made by another program: write the bundle again."


class Graphs(Protocol):
    """Runs a graph by its name: arrays by the graph's own input names -> the outputs that are asked for, in their order."""

    def __call__(self, graph: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> Sequence[NDArray[Any]]: ...


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
        made = graphs(self.graph, {there: arrays[here] for there, here in self.inputs.items()}, list(self.outputs))
        arrays.update(zip(self.outputs.values(), made, strict=True))


class Blend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="blend"):
    """The weighted mean of arrays of one shape, sum(w_i x_i) / sum(w_i)."""

    inputs: tuple[str, ...]
    weights: tuple[float, ...]
    output: str

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.inputs) or not self.inputs or min(self.weights) < 0 or not sum(self.weights) > 0:
            rule = f"{len(self.inputs)} numbers from 0 up with a positive sum, one per input"
            raise BundleError("the weights of a blend", rule=rule, given=self.weights, remedy=_ALTERED)

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

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BundleError("k of a topk", rule="at least 1", given=self.k, remedy=_ALTERED)

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

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise BundleError("the temperature of a calibration", rule="positive", given=self.temperature, remedy=_ALTERED)

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
                rule = "made by the encoder or an earlier step"
                raise BundleError("an array that a step reads", rule=rule, given=name, remedy=_ALTERED, where=where)
        for name in step.writes:
            if name in known:
                raise BundleError("an array that a step writes", rule="new", given=name, remedy=_ALTERED, where=where)
            known.add(name)
    for name in wanted:
        if name not in known:
            rule = "made by the encoder or a step"
            raise BundleError("an array that an output names", rule=rule, given=name, remedy=_ALTERED, where="manifest.json")


def check_parts(schema: Schema, steps: Iterable[Step], outputs: Sequence[Output], decisions: Mapping[str, Decision]) -> None:
    """Everything about a model that can be known before its graphs are opened.

    Raises:
        BundleError: no inputs or outputs, a name that stands twice, steps out of order, a decision about what is not there.
    """
    for what, names in (("the inputs", schema.names), ("the targets", [output.target for output in outputs])):
        if not names or len(set(names)) < len(names):
            raise BundleError(what, rule="at least one, each named once", given=list(names), remedy=_ALTERED, where="manifest.json")
    if not schema.layout.names:
        raise BundleError("the columns", rule="fitted, with at least one slot", given=list(schema.names), remedy=_ALTERED)
    check_order(steps, schema.layout.names, [output.array for output in outputs])
    classes = {output.target: len(output.classes) for output in outputs if isinstance(output, Probability | Labels)}
    several = {output.target for output in outputs if isinstance(output, Labels)}
    for output in outputs:
        if isinstance(output, Probability | Labels) and len(set(map(repr, output.classes))) != max(len(output.classes), 1):
            raise BundleError(
                f"the classes of `{output.target}`", rule="at least one, each named once", given=list(output.classes), remedy=_ALTERED
            )
    for target, decision in decisions.items():
        if target not in classes:
            rule = f"about a target with classes: {', '.join(classes) or 'there is none'}"
            raise BundleError("a decision", rule=rule, given=target, remedy=_ALTERED, where="manifest.json")
        if isinstance(decision, Thresholds) != (target in several) or (
            isinstance(decision, Thresholds) and len(decision.at) != classes[target]
        ):
            given = Told(f"`{decision.__struct_config__.tag}`")
            rule = f"one threshold for each of {classes[target]} labels" if target in several else "about one class"
            raise BundleError(f"the decision about `{target}`", rule=rule, given=given, remedy=_ALTERED)
        if isinstance(decision, Threshold) and not 0 <= decision.code < classes[target]:
            given = Told(f"class {decision.code} of {classes[target]}")
            raise BundleError(f"the decision about `{target}`", rule="about one of its classes", given=given, remedy=_ALTERED)
