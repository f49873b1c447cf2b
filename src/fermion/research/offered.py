"""What a net of the user's gets and what it has to give, in words that need no library."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from msgspec import Struct

from fermion.columns.output import Output
from fermion.columns.schema import Schema
from fermion.research.targets import check_kind


class Input(Struct, frozen=True, kw_only=True):
    """One array as a net gets it: (B, *shape), None where a length varies; `sizes` are the codes that there are in each column of codes."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    role: str
    sizes: tuple[int, ...] = ()

    @property
    def word(self) -> str:
        """The name as Python and graphs take it: `picture.pixels` is `picture_pixels`."""
        return word_of(self.name)


class Answered(Struct, frozen=True, kw_only=True):
    """One output as a net has to give it: (B, *shape) raw numbers under the name `array`; `size` is their product."""

    array: str
    target: str
    shape: tuple[int, ...]
    size: int


def inputs_of(schema: Schema) -> tuple[Input, ...]:
    """The arrays of a schema; pictures come as shares of 255.

    >>> from fermion.columns.number import Number
    >>> inputs_of(Schema.of({"age": Number()}).fit({"age": [1.0]}))[0].shape
    (1,)
    """
    layout = schema.layout
    found = [Input(name="numbers", dtype="float32", shape=(len(layout.numbers),), role="numbers")] if layout.numbers else []
    if layout.codes:
        sizes = tuple(ref.size for ref in layout.codes)
        found.append(Input(name="codes", dtype="int64", shape=(len(sizes),), role="codes", sizes=sizes))
    for named in layout.arrays:
        dtype = "float32" if named.slot.role == "image" else named.slot.dtype
        sizes = (named.slot.size,) if named.slot.size else ()
        found.append(Input(name=named.name, dtype=dtype, shape=named.slot.shape, role=named.slot.role, sizes=sizes))
    return tuple(found)


def plain(outputs: Sequence[Output], model: str) -> tuple[Answered, ...]:
    """What a model that knows classes and single numbers alone has to give.

    Raises:
        SpecError: an output is of another kind.
    """
    made: list[Answered] = []
    for output in outputs:
        check_kind(output, model=model)
        made.append(Answered(array=output.array, target=output.target, shape=output.tail, size=math.prod(output.tail)))
    return tuple(made)


def word_of(name: str) -> str:
    """A name of an array as Python and graphs take it.

    >>> word_of("picture.pixels")
    'picture_pixels'
    """
    return re.sub(r"\W", "_", name)
