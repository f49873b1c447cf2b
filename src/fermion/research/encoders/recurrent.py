"""Recurrent encoders, and the one that only takes the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from fermion.columns.schema import Named
from fermion.core import lazy
from fermion.core.errors import UsageError
from fermion.research.encoder import width_for
from fermion.research.encoders.entering import STEPS, entry_of
from fermion.research.model import Encoded

if TYPE_CHECKING:
    from fermion.research.blocks.encoding import Encoding


class Recurrent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="recurrent"):
    """A GRU or an LSTM over tokens or steps, read both ways, with attention pooling (`fermion.research.blocks.recurrent`).

    Args:
        cell: gru, or lstm with a third more weights.
        width: features of a step, both ways together, an even number; 0 chooses by the number of rows, from 32 to 128.
        layers: how many, one above the other.
        both_ways: whether rows are read backwards too.
        pooling: how steps become one vector; `last` is what has been read at the end.
        dropout: share of the features that training hides.

    >>> Recurrent(cell="lstm").pooling
    'attention'
    """

    reads: ClassVar[frozenset[str]] = STEPS
    cell: Literal["gru", "lstm"] = "gru"
    width: Annotated[int, Meta(ge=0)] = 0
    layers: Annotated[int, Meta(ge=1)] = 1
    both_ways: bool = True
    pooling: Literal["mean", "max", "both", "last", "attention"] = "attention"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1

    def __post_init__(self) -> None:
        if self.both_ways and self.width % 2:
            raise UsageError("the width of a recurrent encoder", rule="even, half of it for each way", given=self.width)

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        from fermion.research.blocks.recurrent import Recurrent as Layers
        from fermion.research.blocks.steps import Reader

        width = self.width or width_for(len(train))
        entry = entry_of(self, named, train, width)
        return Reader(entry, Layers(width, self.layers, self.cell, self.both_ways, self.dropout), self.pooling, self.dropout)


class Bag(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="bag"):
    """A vector per token or step, and what they come to in all: no order, few weights, quick. Hard to beat on few texts.

    Joulin et al. 2017, "Bag of tricks for efficient text classification".

    Args:
        width: features of a token; 0 chooses by the number of rows, from 32 to 128.
        pooling: how they become one vector.
        dropout: share of the features that training hides.

    >>> Bag().pooling
    'both'
    """

    reads: ClassVar[frozenset[str]] = STEPS
    width: Annotated[int, Meta(ge=0)] = 0
    pooling: Literal["mean", "max", "both", "attention"] = "both"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        from fermion.research.blocks.steps import Reader, Same

        width = self.width or width_for(len(train))
        return Reader(entry_of(self, named, train, width), Same(width), self.pooling, self.dropout)
