"""What the data looked like in training: sketches of every input and output, to compare the service's rows with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Arrays, Values
from fermion.columns.output import Output, Probability, name_of
from fermion.columns.schema import Field, Schema
from fermion.measure.sketches import CategorySketch, NumberSketch, Sketch

NAME = "profile.json"


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sketches by name: inputs on the training part, outputs on validation. Their counts add up over workers.

    An output with classes has one sketch of the most probable class, `target`, and one of its probability, `target.confidence`.
    """

    inputs: dict[str, Sketch]
    outputs: dict[str, Sketch]

    @classmethod
    def of(cls, schema: Schema, batch: Mapping[str, Values], outputs: Sequence[Output], arrays: Arrays) -> Profile:
        """The profile of N raw training rows and M answers of the model on validation."""
        inputs = {field.name: _sketch(field, batch[field.name]) for field in schema.fields}
        answered: dict[str, Sketch] = {}
        for output in outputs:
            array = arrays[output.array]
            if isinstance(output, Probability):
                names = np.array([name_of(label) for label in output.classes])
                answered[output.target] = CategorySketch.fit(names[array.argmax(axis=1)].tolist())
                answered[f"{output.target}.confidence"] = NumberSketch.fit(array.max(axis=1).astype(np.float64))
            else:
                answered[output.target] = NumberSketch.fit(output.restore(array))
        return cls(inputs=inputs, outputs=answered)


def _sketch(field: Field, values: Values) -> Sketch:
    """One sketch per input: of its codes' names where it is a category, of one number per row otherwise."""
    slots = field.column.slots
    if slots[0].role == "code":
        return CategorySketch.fit([None if value is None else str(value) for value in _listed(values)])
    array: NDArray[Any] = field.column.encode(values)[0].astype(np.float64)
    if slots[0].role != "number":
        array = array.reshape(len(array), -1).mean(axis=1)  # of a picture, its brightness
    return NumberSketch.fit(array)


def _listed(values: Values) -> Sequence[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else values
