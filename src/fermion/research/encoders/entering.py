"""The first layer of an encoder of steps, by the role of the column's array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fermion.columns.schema import Named
from fermion.research.encoder import Encoder, array_of, the_array
from fermion.research.model import Encoded

if TYPE_CHECKING:
    from fermion.research.blocks.steps import Entry

STEPS = frozenset({"tokens", "series", "wave"})


def entry_of(encoder: Encoder, named: Sequence[Named], train: Encoded, width: int) -> Entry:
    """Tokens, series or samples of a sound as steps of `width` features.

    Raises:
        DataError: the column has none of them.
    """
    from fermion.research.blocks import steps

    array = the_array(encoder, named)
    mask, times = (array_of(named, {role}) for role in ("mask", "times"))
    masked = mask.name if mask else None
    if array.slot.role == "tokens":
        return steps.TokenEntry(array.name, masked, max(1, array.slot.size), width)
    if array.slot.role == "wave":
        return steps.WaveEntry(array.name, masked, width)
    return steps.SeriesEntry(array.name, masked, times.name if times else None, train.arrays, width)


def longest(named: Sequence[Named], train: Encoded) -> int:
    """The most steps that a row of the training part has."""
    return max(int(train.arrays[one.name].shape[1]) for one in named if one.slot.shape[:1] == (None,))
