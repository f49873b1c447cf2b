"""The preparation of a model's inputs: learned from the training part, carried out by one graph in training and in serving."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.category import MISSING
from fermion.columns.column import Arrays, Slot, Values
from fermion.columns.schema import Field, Ref, Schema
from fermion.core.run import Run
from fermion.research import scaling, targetmeans
from fermion.research.model import Encoded
from fermion.research.nodes import Nodes
from fermion.research.targets import labelled
from fermion.research.treatment import Treatment, encoded

ROWS = 1024  # that are prepared at a time: what stands between two nodes fits the cache


class Group(Struct, frozen=True, kw_only=True):
    """Columns of `numbers` that are scaled alike; by nothing where there is no scaler."""

    columns: NDArray[np.int64]
    scaler: scaling.Scaler | None = None


class Preparation(Struct, frozen=True, kw_only=True, dict=True):
    """What was learned. Prepared numbers are those of the groups, the means of targets, then the indicators.

    F numbers, C codes: `fill` (F,) takes the place of gaps, NaN where they stay; `most` (C,) that of code 0, and is 0 where it stays.
    """

    fill: NDArray[np.float32]
    groups: tuple[Group, ...]
    most: NDArray[np.int64]
    coded: NDArray[np.int64]  # columns of `codes` that become means of targets
    means: targetmeans.TargetMeans | None
    number_flags: NDArray[np.int64]  # columns of `numbers` that get an indicator
    code_flags: NDArray[np.int64]
    prepared: Schema  # what the model is told
    notes: tuple[str, ...]

    @property
    def scaled(self) -> int:
        """How many prepared numbers come from numbers; the means of targets follow."""
        return len(self.fill)

    @functools.cached_property
    def makes(self) -> tuple[str, ...]:
        """The arrays that are made anew; the others pass."""
        added = len(self.coded) + len(self.number_flags) + len(self.code_flags)
        numbers = added or not np.isnan(self.fill).all() or any(group.scaler is not None for group in self.groups)
        codes = (len(self.coded) or self.most.any()) and self.prepared.layout.codes
        return (("numbers",) if numbers else ()) + (("codes",) if codes else ())

    @functools.cached_property
    def reads(self) -> tuple[str, ...]:
        """The arrays that the graph reads."""
        codes = len(self.coded) + len(self.code_flags) or "codes" in self.makes
        return (("numbers",) if len(self.fill) and "numbers" in self.makes else ()) + (("codes",) if codes else ())

    def run(self, arrays: Arrays) -> Arrays:
        """The arrays that the model reads, by the very graph that serves: what rounds there rounds in training."""
        layout, rows = self.prepared.layout, len(next(iter(arrays.values())))
        kept = {name: array for name, array in arrays.items() if name in layout.names}
        made: Arrays = {
            "numbers": np.empty((rows, len(layout.numbers)), dtype=np.float32),
            "codes": np.empty((rows, len(layout.codes)), dtype=np.int64),
        }
        made = {name: array for name, array in made.items() if name in self.makes}
        for at in range(0, rows, ROWS) if made else ():
            some = {name: np.ascontiguousarray(arrays[name][at : at + ROWS]) for name in self.reads}
            for name, array in zip(made, self._session.run([f"prepared_{name}" for name in made], some), strict=True):
                made[name][at : at + ROWS] = array
        return {**kept, **made}

    @functools.cached_property
    def graph(self) -> bytes:
        """`numbers` and `codes` as the encoder makes them -> `prepared_numbers` and `prepared_codes`."""
        nodes, parts = Nodes("prepare"), list[str]()
        flags: list[str] = []
        if "numbers" in self.reads:
            x = nodes.input("numbers", "float32", len(self.fill))
            gaps = nodes.add("IsNaN", x)
            filled = nodes.add("Where", gaps, nodes.constant(self.fill), x)
            parts += [_scaled(nodes, group, nodes.add("Gather", filled, nodes.constant(group.columns), axis=1)) for group in self.groups]
            if len(self.number_flags):
                flags.append(nodes.add("Cast", nodes.add("Gather", gaps, nodes.constant(self.number_flags), axis=1), to=1))
        codes = ""
        if "codes" in self.reads:
            codes = nodes.input("codes", "int64", len(self.most))
            gaps = nodes.add("Equal", codes, nodes.constant(np.int64(MISSING)))
            codes = nodes.add("Where", gaps, nodes.constant(self.most), codes)
            if self.means is not None:
                rows = nodes.add("Add", nodes.add("Gather", codes, nodes.constant(self.coded), axis=1), nodes.constant(self.means.offsets))
                looked_up = nodes.add("Gather", nodes.constant(self.means.table), rows, axis=0)
                parts.append(nodes.add("Reshape", looked_up, nodes.constant(np.array([-1, self._means], dtype=np.int64))))
            if len(self.code_flags):
                flags.append(nodes.add("Cast", nodes.add("Gather", gaps, nodes.constant(self.code_flags), axis=1), to=1))
        made: dict[str, str] = {}
        if "numbers" in self.makes:
            made["prepared_numbers"] = nodes.add("Concat", *parts, *flags, axis=1)
        if "codes" in self.makes:
            left = np.setdiff1d(np.arange(len(self.most)), self.coded)
            made["prepared_codes"] = nodes.add("Gather", codes, nodes.constant(left), axis=1)
        layout = self.prepared.layout
        shapes = {"prepared_numbers": (len(layout.numbers),), "prepared_codes": (len(layout.codes),)}
        return nodes.finish(made, shapes=shapes, dtypes={"prepared_codes": "int64"})

    @property
    def _means(self) -> int:
        return 0 if self.means is None else len(self.coded) * self.means.table.shape[1]

    @functools.cached_property
    def _session(self) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        return ort.InferenceSession(self.graph, options, ["CPUExecutionProvider"])


def _scaled(nodes: Nodes, group: Group, x: str) -> str:
    """Scaled and cut at a million; gaps stay gaps."""
    if group.scaler is None:
        return x
    gaps = nodes.add("IsNaN", x)
    wide = nodes.add("Where", gaps, nodes.constant(np.float64(0)), nodes.add("Cast", x, to=11))
    z = nodes.add(
        "Clip", group.scaler.nodes(nodes, wide), nodes.constant(np.float64(-scaling.FAR)), nodes.constant(np.float64(scaling.FAR))
    )
    return nodes.add("Where", gaps, nodes.constant(np.float32(np.nan)), nodes.add("Cast", z, to=1))


def learn(train: Encoded, plan: Mapping[str, Treatment], run: Run) -> tuple[Preparation, NDArray[np.float32]]:
    """The preparation, and what stands for target-encoded categories in the training rows themselves (out of fold)."""
    layout, rows = train.schema.layout, len(train)
    numbers_NF = train.arrays["numbers"] if layout.numbers else np.zeros((rows, 0), dtype=np.float32)
    codes_NC = train.arrays["codes"] if layout.codes else np.zeros((rows, 0), dtype=np.int64)
    of_number, of_code = ([plan.get(ref.field, Treatment()) for ref in refs] for refs in (layout.numbers, layout.codes))
    columns_of: dict[scaling.Scale | None, list[int]] = {}
    for column, treatment in enumerate(of_number):
        columns_of.setdefault(treatment.scale, []).append(column)
    groups = tuple(
        Group(columns=np.array(columns), scaler=scaling.learn(kind, [_present(numbers_NF[:, one]) for one in columns]) if kind else None)
        for kind, columns in columns_of.items()
    )
    coded = np.array([column for column, one in enumerate(of_code) if one.encode == "target"], dtype=np.int64)
    most_C = np.array([_most(codes_NC[:, column]) if one.impute else MISSING for column, one in enumerate(of_code)], dtype=np.int64)
    means, coded_NK = None, np.zeros((rows, 0), dtype=np.float32)
    if len(coded):
        full_NE = np.where(codes_NC[:, coded] == MISSING, most_C[coded], codes_NC[:, coded])
        targets = [labelled(output, train) for output in train.outputs]
        means, coded_NK = targetmeans.learn(targets, full_NE, [layout.codes[one].size for one in coded], run.rng("prepare: folds"))
    number_flags, flag_refs = list[int](), list[Ref]()
    for column, ref in enumerate(layout.numbers):
        gaps = plan.get(ref.field, Treatment()).indicator and np.isnan(numbers_NF[:, column]).any()
        if gaps and ref.field not in {one.field for one in flag_refs}:  # the slots of one column are missing together
            number_flags.append(column)
            flag_refs.append(ref)
    code_flags = [column for column, one in enumerate(of_code) if one.indicator and (codes_NC[:, column] == MISSING).any()]
    flagged = [ref.field for ref in flag_refs] + [layout.codes[column].field for column in code_flags]
    preparation = Preparation(
        fill=np.array([_fill(train.schema, ref, numbers_NF[:, f], of_number[f]) for f, ref in enumerate(layout.numbers)], dtype=np.float32),
        groups=groups,
        most=most_C,
        coded=coded,
        means=means,
        number_flags=np.array(number_flags, dtype=np.int64),
        code_flags=np.array(code_flags, dtype=np.int64),
        prepared=_prepared(train, groups, coded.tolist(), flagged),
        notes=tuple(
            f"`{name}` has no indicator: no value was missing in training"
            for name, one in plan.items()
            if one.indicator and name not in flagged
        ),
    )
    return preparation, coded_NK


def _present(x_N: NDArray[np.float32]) -> NDArray[np.float64]:
    return x_N[~np.isnan(x_N)].astype(np.float64)


def _fill(schema: Schema, ref: Ref, x_N: NDArray[np.float32], treatment: Treatment) -> float:
    """What stands for a missing number, as the encoder would make it; 0 where training has no value to go by."""
    if treatment.impute is None:
        return np.nan
    if treatment.impute not in ("median", "mean", "most"):
        return encoded(schema, ref.field, treatment.impute)[ref.slot]
    x = _present(x_N)
    if not x.size:
        return 0.0
    if treatment.impute == "most":
        values, counts = np.unique(x, return_counts=True)
        return float(values[counts.argmax()])
    return float(np.median(x) if treatment.impute == "median" else x.mean())


def _most(codes_N: NDArray[np.int64]) -> int:
    counts = np.bincount(codes_N[codes_N != MISSING], minlength=1)
    return int(counts.argmax())


class Given(Struct, frozen=True, kw_only=True, tag_field="type", tag="given"):
    """One array that is encoded already, as a column: how a model is told of prepared arrays."""

    slot: Slot

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (self.slot,)

    @property
    def request(self) -> Any:
        return {"number": float, "code": int}.get(self.slot.role, list)

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Given:
        return self

    def encode(self, values: Values) -> tuple[NDArray[Any]]:
        return (np.asarray(values, dtype=self.slot.dtype),)

    def plain(self, value: object) -> object:
        return value


def _prepared(train: Encoded, groups: tuple[Group, ...], coded: list[int], flagged: list[str]) -> Schema:
    """The schema whose layout is that of the prepared arrays."""
    layout = train.schema.layout
    numbers = [layout.numbers[column] for group in groups for column in group.columns]
    several = {one.field for one in numbers if sum(other.field == one.field for other in numbers) > 1}
    names = [f"{ref.field} {ref.slot}" if ref.field in several else ref.field for ref in numbers]
    called = [name for output in train.outputs for name in targetmeans.called(output)]
    names += [f"{layout.codes[column].field}: mean of {name}" for column in coded for name in called]
    names += [f"{name} missing" for name in flagged]
    slots = [(name, Slot(name="value", dtype="float32")) for name in names]
    slots += [
        (ref.field, Slot(name=ref.slot, dtype="int64", role="code", size=ref.size))
        for column, ref in enumerate(layout.codes)
        if column not in coded
    ]
    slots += [(named.field, named.slot) for named in layout.arrays]
    return Schema(fields=tuple(Field(name=name, column=Given(slot=slot), missing=True) for name, slot in slots))
