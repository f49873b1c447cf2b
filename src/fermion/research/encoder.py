"""The idea of an encoder: how a net reads one column. Settings here, modules in `blocks`; which encoder a column gets when none is named.

    table -> columns -> arrays by name -> one encoder per column -> combiner -> shared layers -> one head per output

The encoders themselves are in `encoders/`; a plugin adds its own in the entry point group `fermion.encoders`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from msgspec import Struct

from fermion.columns.schema import Layout, Named
from fermion.core import registry
from fermion.core.errors import DataError, Told
from fermion.research.model import Encoded

if TYPE_CHECKING:  # naming an encoder in a project file costs no torch
    from fermion.research.blocks.combine import Combining
    from fermion.research.blocks.encoding import Encoding

# The encoder of a column whose settings name none, by the role of its array.
USUAL = {"image": "cnn", "tokens": "transformer", "series": "resnet", "wave": "resnet", "vector": "vector"}


class Encoder(Protocol):
    """A frozen msgspec struct, `tag_field="type"`, whose fields are its settings. Contract: `fermion.testing.encoders`.

    `reads`: the roles of the arrays that it can start from ("tokens", "series", "wave", "image", "vector", "number", "code"). Zeros in its
    sizes are chosen by `build` from the training part, small for few rows.
    """

    reads: ClassVar[frozenset[str]]

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module that reads one column, with new weights from torch's own random numbers, which the caller has seeded.

        What it has to know about the values (means, spreads, vocabularies) it learns here, from the training part.

        Args:
            named: the arrays of the column, its mask among them; empty for the numbers and codes of all columns, which are fused.
            train: the training part, N >= 1 rows.

        Raises:
            DataError: the column has no array that this encoder reads.
        """
        ...


class Combiner(Protocol):
    """How what the encoders say about a row becomes one vector: a frozen struct as encoders are, in the group `fermion.combiners`."""

    def build(self, encodings: Sequence[Encoding], rows: int) -> Combining:
        """The module, for these encodings in their order and so many training rows."""
        ...


def columns_of(layout: Layout) -> dict[str, tuple[Named, ...]]:
    """The arrays of each column that has any of its own, in the order of the schema."""
    found: dict[str, list[Named]] = {}
    for named in layout.arrays:
        found.setdefault(named.field, []).append(named)
    return {field: tuple(arrays) for field, arrays in found.items()}


def array_of(named: Sequence[Named], roles: frozenset[str] | set[str]) -> Named | None:
    """The first array with one of these roles."""
    return next((one for one in named if one.slot.role in roles), None)


def the_array(encoder: Encoder, named: Sequence[Named]) -> Named:
    """The array that an encoder starts from.

    Raises:
        DataError: it reads none of the column's.
    """
    found = array_of(named, encoder.reads)
    if found is None:
        roles = {one.slot.role for one in named} - {"mask"}
        works = [name for name in registry.names("encoders") if registry.find("encoders", name).reads & roles]
        raise DataError(
            f"the encoder `{name_of(encoder)}` of `{named[0].field}`" if named else f"the encoder `{name_of(encoder)}`",
            rule=f"one for {', '.join(sorted(roles)) or 'numbers and codes'}",
            given=Told(f"one for {', '.join(sorted(encoder.reads))}"),
            remedy=f"These would work: {', '.join(works)}." if works else "",
        )
    return found


def usual(named: Sequence[Named]) -> Encoder | None:
    """The encoder of a column whose settings name none: by the role of its array, else the first registered one that reads it."""
    for one in named:
        name = USUAL.get(one.slot.role)
        if name is not None:
            return cast("Encoder", registry.find("encoders", name)())
    roles = {one.slot.role for one in named} - {"mask"}
    for name in registry.names("encoders"):
        found = registry.find("encoders", name)
        if found.reads & roles:
            return cast("Encoder", found())
    return None


def name_of(encoder: Encoder | Combiner) -> str:
    """The `type` of an encoder or a combiner."""
    return str(cast("Struct", encoder).__struct_config__.tag)


def width_for(rows: int, *, least: int = 32, most: int = 128) -> int:
    """How many features a step gets: a power of 2 that grows with the rows, because wide nets learn few rows by heart.

    >>> width_for(300), width_for(5_000), width_for(100_000)
    (32, 64, 128)
    """
    return min(most, max(least, least * 2 ** sum(rows >= bound for bound in (2_000, 20_000))))
