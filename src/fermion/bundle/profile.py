"""What the data looked like in training: sketches of every input and output, to compare the service's rows with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.columns.column import Arrays, Values
from fermion.columns.labels import LIKELY
from fermion.columns.missing import missing_rows
from fermion.columns.output import Argmax, Labels, Output, Probability, Tags, Value, name_of
from fermion.columns.private import read, within
from fermion.columns.repair import meant
from fermion.columns.schema import Field, Schema
from fermion.columns.text import Text
from fermion.measure.sketches import CategorySketch, NumberSketch, Sketch

NAME = "profile.json"


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sketches by name: inputs on the training part, outputs on validation. Their counts add up over workers.

    An output with classes has one sketch of the most probable class, `target`, and one of its probability, `target.confidence`;
    one with several labels has one of how many there are.
    Of a text there are two: how many tokens it has, and `column.rare`, the share of them that its tokeniser has no piece for.
    What private inputs looked like is told without their values: counts between rounded numbers, or of levels by their codes.
    """

    inputs: dict[str, Sketch]
    outputs: dict[str, Sketch]

    @classmethod
    def of(cls, schema: Schema, batch: Mapping[str, Values], outputs: Sequence[Output], arrays: Arrays) -> Profile:
        """The profile of N raw training rows and M answers of the model on validation."""
        inputs: dict[str, Sketch] = {}
        for field in schema.fields:
            values = batch[field.name]
            inputs[field.name] = _sketch(field, sketched(field, values))
            text = within(field.column)
            if isinstance(text, Text):
                inputs[f"{field.name}.rare"] = _sketch(field, text.rare(read(field.column, values)))
        answered: dict[str, Sketch] = {}
        for output in outputs:
            array = arrays[output.array]
            if isinstance(output, Probability):
                names = np.array([name_of(label) for label in output.classes])
                answered[output.target] = CategorySketch.fit(names[array.argmax(axis=1)].tolist())
                answered[f"{output.target}.confidence"] = NumberSketch.fit(array.max(axis=1).astype(np.float64))
            elif isinstance(output, Value):
                answered[output.target] = NumberSketch.fit(output.restore(array))
            elif isinstance(output, Tags):
                answered[output.target] = CategorySketch.fit([name_of(label) for row in output.labels(array) for label in row])
            elif isinstance(output, Labels):
                answered[output.target] = NumberSketch.fit((array >= LIKELY).sum(1).astype(np.float64))
            else:
                said = output.decode({output.array: array}, Argmax())["prediction"]
                said_N = np.asarray(said, np.float64).reshape(len(array), -1).mean(axis=1)  # of several steps their mean
                answered[output.target] = NumberSketch.fit(said_N)
        return cls(inputs=inputs, outputs=answered)


def sketched(field: Field, values: Values) -> Sequence[str | None] | NDArray[np.float64]:
    """What a sketch of an input counts, one per row: names where it is a category, a number otherwise; in training and in serving.

    >>> from fermion.columns.category import Category
    >>> sketched(Field(name="city", column=Category(levels=("Bern",)), private=True), ["Bern", None, "Oslo"])
    ['code 2', None, 'code 1']
    """
    slots = field.column.slots
    if slots[0].role == "code":
        if field.private:
            return [f"code {code}" if code else None for code in field.column.encode(values)[0].tolist()]
        return [None if value is None else str(value) for value in _listed(meant(field.column, values))]
    arrays = field.column.encode(values)
    array: NDArray[Any] = arrays[0].astype(np.float64)
    if slots[0].role == "series":
        return _level(array, arrays[1])
    if slots[0].role == "wave":
        return np.sqrt(_level(array[..., None] ** 2, arrays[1]))
    if slots[0].role == "tokens":  # how many there are; what is missing has no length
        return np.where(missing_rows(meant(field.column, values)), np.nan, arrays[1].sum(axis=1))
    if slots[0].role == "vector":
        return np.sqrt(np.square(array).sum(axis=1))
    return array if slots[0].role == "number" else array.reshape(len(array), -1).mean(axis=1)  # of a picture, its brightness


def _level(x_NTC: NDArray[np.float64], mask_NT: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) the mean of each series over what is there, NaN where nothing is."""
    there_NTC = mask_NT[..., None] & ~np.isnan(x_NTC)
    count_N = there_NTC.sum(axis=(1, 2))
    total_N = np.where(there_NTC, x_NTC, 0.0).sum(axis=(1, 2))
    return np.where(count_N > 0, total_N / np.maximum(count_N, 1), np.nan)


def _sketch(field: Field, counted: Sequence[str | None] | NDArray[np.float64]) -> Sketch:
    if not isinstance(counted, np.ndarray):
        return CategorySketch.fit(counted)
    return _coarse(counted) if field.private else NumberSketch.fit(counted)


def _coarse(x_N: NDArray[np.float64]) -> NumberSketch:
    """A sketch with edges, range and moments rounded to two digits, so that none of them is a value of the data."""
    whole, known = NumberSketch.fit(x_N), set(x_N.tolist())
    if not whole.edges:
        return whole
    largest, spread = max(abs(edge) for edge in whole.edges), whole.edges[-1] - whole.edges[0]
    least = 10.0 ** (math.floor(math.log10(spread if spread > 1e-9 * largest + 1e-99 else largest if largest > 1e-99 else 1.0)) - 4)
    raised = {_beside(edge, least, known, up=True) for edge in whole.edges[1:]}
    edges = tuple(sorted({_beside(whole.edges[0], least, known, up=False), *raised}))
    bare = NumberSketch(edges=edges, counts=(0,) * (len(edges) + 1), centre=edges[len(edges) // 2]).add(x_N)
    present, mean, std = bare.n - bare.missing, _beside(whole.mean, least, known, up=True), float(f"{whole.std:.1e}")
    total = (mean - bare.centre) * present
    squares = (std**2 + (mean - bare.centre) ** 2) * present
    return structs.replace(bare, low=edges[0], high=edges[-1], total=total, squares=squares)


def _beside(edge: float, least: float, known: set[float], *, up: bool) -> float:
    """The nearest number of two digits and a half above (or below) an edge that is no value of the data."""
    step = max(10.0 ** (math.floor(math.log10(abs(edge) or least)) - 1), least)
    share = 0.5
    while (beside := float(f"{(math.ceil(edge / step) + share if up else math.floor(edge / step) - share) * step:.12g}")) in known:
        share /= 2
    return beside


def _listed(values: Values) -> Sequence[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else values
