"""Several fitted models as one: the weighted mean of their answers, in Python and as steps of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.bundle.steps import Blend, Onnx, Step
from fermion.columns.column import Arrays
from fermion.columns.output import UNLABELLED, Output
from fermion.core.errors import FermionError
from fermion.research.model import Encoded, Export, Learned


class Mixture(Struct, frozen=True, kw_only=True):
    """What several models learned. `weights` (M,) by output array, not negative with a positive sum; `given` are the encoder's arrays."""

    outputs: tuple[Output, ...]
    members: tuple[Learned, ...]
    weights: dict[str, tuple[float, ...]]
    given: tuple[str, ...]

    def run(self, arrays: Arrays) -> Arrays:
        """The weighted mean of the answers of the members that count."""
        counts = [any(weights[place] > 0 for weights in self.weights.values()) for place in range(len(self.members))]
        made = [member.run(arrays) if count else {} for member, count in zip(self.members, counts, strict=True)]
        return mean_of(made, self.weights)

    def export(self) -> Export:
        """The members' graphs and steps under names of their own, then one `blend` step per output. Members that do not count stay behind.

        Raises:
            FermionError: a member cannot be exported exactly.
        """
        graphs: dict[str, bytes] = {}
        steps: list[Step] = []
        inputs: dict[str, list[tuple[str, float]]] = {output.array: [] for output in self.outputs}
        tolerance = 0.0
        for place, member in enumerate(self.members):
            mine = {array: weights[place] for array, weights in self.weights.items() if weights[place] > 0}
            if not mine:
                continue
            export = member.export()
            tolerance = max(tolerance, export.tolerance)
            graphs |= {f"m{place}-{name}": graph for name, graph in export.graphs.items()}
            named = _naming(place, self.given)
            steps += [_renamed(step, place, named) for step in export.steps]
            for array, weight in mine.items():
                inputs[array].append((named(array), weight))
        for array, pairs in inputs.items():
            steps.append(Blend(inputs=tuple(name for name, _ in pairs), weights=tuple(weight for _, weight in pairs), output=array))
        return Export(graphs=graphs, steps=tuple(steps), tolerance=tolerance)


def mean_of(made: Sequence[Arrays], weights: dict[str, tuple[float, ...]]) -> Arrays:
    """The weighted mean of several answers, by array, as the step `blend` computes it.

    >>> mean_of([{"y": np.float32([1.0])}, {"y": np.float32([4.0])}], {"y": (2.0, 1.0)})["y"].tolist()
    [2.0]
    """
    mixed: Arrays = {}
    for array, shares in weights.items():
        counting = {str(place): share for place, share in enumerate(shares) if share > 0}
        scratch: Arrays = {place: made[int(place)][array] for place in counting}
        Blend(inputs=tuple(counting), weights=tuple(counting.values()), output="mean").run(scratch, _no_graph)
        mixed[array] = scratch["mean"].astype(np.float32, copy=False)
    return mixed


def called(models: Sequence[Any]) -> tuple[str, ...]:
    """What the members of a mixture are called: their types, numbered where there are several of one.

    >>> from fermion.research.linear import Linear
    >>> called([Linear(), Linear(l2=2.0)])
    ('linear', 'linear 2')
    """
    seen: dict[str, int] = {}
    names: list[str] = []
    for model in models:
        tag = str(model.__struct_config__.tag)
        seen[tag] = seen.get(tag, 0) + 1
        names.append(tag if seen[tag] == 1 else f"{tag} {seen[tag]}")
    return tuple(names)


def answered(learned: Learned, rows: Encoded, *, batch: int = 4096) -> Arrays:
    """The answers to all rows, some at a time so that they fit the memory; of no row as well."""
    starts = range(0, max(len(rows), 1), batch)
    made = [learned.run({name: array[start : start + batch] for name, array in rows.arrays.items()}) for start in starts]
    return made[0] if len(made) == 1 else {name: np.concatenate([one[name] for one in made]) for name in made[0]}


def joined(first: Encoded, second: Encoded) -> Encoded:
    """The rows of two parts of one table, one below the other; arrays of varying length are filled up to the longer."""
    padding = {named.name: named.slot.padding for named in first.schema.layout.arrays}

    def both(one: NDArray[Any], other: NDArray[Any], padding: float) -> NDArray[Any]:
        if one.shape[1:] == other.shape[1:]:
            return np.concatenate([one, other])
        shape = tuple(map(max, one.shape[1:], other.shape[1:]))
        whole = np.full((len(one) + len(other), *shape), padding, dtype=one.dtype)
        whole[(slice(0, len(one)), *(slice(0, size) for size in one.shape[1:]))] = one
        whole[(slice(len(one), None), *(slice(0, size) for size in other.shape[1:]))] = other
        return whole

    return structs.replace(
        first,
        arrays={name: both(array, second.arrays[name], padding.get(name) or 0) for name, array in first.arrays.items()},
        targets={name: both(target, second.targets[name], UNLABELLED) for name, target in first.targets.items()},
        weights=None if first.weights is None or second.weights is None else np.concatenate([first.weights, second.weights]),
        units=None if first.units is None or second.units is None else np.concatenate([first.units, second.units]),
    )


def _naming(place: int, given: Sequence[str]) -> Callable[[str], str]:
    return lambda name: name if name in given else f"m{place}:{name}"


def _renamed(step: Step, place: int, named: Callable[[str], str]) -> Step:
    """The same step between arrays and graphs of other names. Everything that a step calls an array is text or a list of texts."""
    if isinstance(step, Onnx):
        inputs = {there: named(here) for there, here in step.inputs.items()}
        outputs = {there: named(here) for there, here in step.outputs.items()}
        return Onnx(graph=f"m{place}-{step.graph}", inputs=inputs, outputs=outputs)
    known = {*step.reads, *step.writes}
    changes: dict[str, Any] = {}
    for field in step.__struct_fields__:
        value = getattr(step, field)
        if isinstance(value, str) and value in known:
            changes[field] = named(value)
        elif isinstance(value, tuple) and value and all(isinstance(one, str) and one in known for one in value):
            changes[field] = tuple(named(one) for one in value)
    return structs.replace(step, **changes)


def _no_graph(graph: str, inputs: Any, outputs: Any) -> Sequence[NDArray[Any]]:
    raise FermionError("a mean", rule="made without a graph", given=graph)
