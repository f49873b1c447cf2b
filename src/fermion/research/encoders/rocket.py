"""MiniRocket as an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.columns.schema import Named
from fermion.core import lazy
from fermion.research.encoder import array_of, the_array, width_for
from fermion.research.model import Encoded

if TYPE_CHECKING:
    from fermion.research.blocks.encoding import Encoding


class Rocket(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="rocket"):
    """Random convolutions of a series that are not trained, and one layer that is (`fermion.research.blocks.rocket`): strong on few rows.

    Args:
        thresholds: features of each of the 84 kernels at each dilation.
        width: features that they become; 0 chooses by the number of rows, from 32 to 128.
        dropout: share of the features that training hides.

    >>> Rocket().thresholds
    4
    """

    reads: ClassVar[frozenset[str]] = frozenset({"series"})
    thresholds: Annotated[int, Meta(ge=1, le=64)] = 4
    width: Annotated[int, Meta(ge=0)] = 0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        import torch

        from fermion.research.blocks.rocket import RocketReader
        from fermion.research.blocks.steps import SeriesEntry

        array = the_array(self, named)
        mask, times = (array_of(named, {role}) for role in ("mask", "times"))
        entry = SeriesEntry(array.name, mask.name if mask else None, times.name if times else None, train.arrays, 1)
        seed = int(torch.randint(2**62, ()))  # of torch's own numbers, which the caller has seeded
        draw = torch.Generator().manual_seed(seed)
        width = self.width or width_for(len(train))
        return RocketReader(entry, train.arrays, thresholds=self.thresholds, width=width, dropout=self.dropout, draw=draw)
