"""The Transformer as an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from fermion.columns.schema import Named
from fermion.core import lazy
from fermion.core.errors import UsageError
from fermion.research.encoder import width_for
from fermion.research.encoders.entering import STEPS, entry_of, longest
from fermion.research.model import Encoded

if TYPE_CHECKING:
    from fermion.research.blocks.encoding import Encoding


class Transformer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="transformer"):
    """Attention over the tokens of a text or the steps of a series: what a word means goes by the others.

    Args:
        width: features of a step, a multiple of twice the heads; 0 chooses by the number of rows, from 32 to 128.
        layers: how many; 0 is 1 below 2,000 rows and 2 from there on.
        heads: of the attention in each layer.
        inner: width of the layers between; 0 is twice the width.
        positions: rotary knows distances, learned has a vector per position, none takes steps as a set.
        feed: gelu has two matrices per layer, swiglu a gate beside them.
        pooling: how steps become one vector.
        dropout: share of the features that training hides.

    >>> Transformer(layers=1).positions
    'rotary'
    """

    reads: ClassVar[frozenset[str]] = STEPS
    width: Annotated[int, Meta(ge=0)] = 0
    layers: Annotated[int, Meta(ge=0)] = 0
    heads: Annotated[int, Meta(ge=1)] = 4
    inner: Annotated[int, Meta(ge=0)] = 0
    positions: Literal["rotary", "learned", "none"] = "rotary"
    feed: Literal["gelu", "swiglu"] = "gelu"
    pooling: Literal["mean", "max", "both", "attention"] = "both"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            rule = f"a multiple of twice the heads, {2 * self.heads}"
            raise UsageError("the width of a transformer", rule=rule, given=self.width, remedy="Or leave it out.")

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        from fermion.research.blocks.attention import Transformer as Layers
        from fermion.research.blocks.steps import Reader

        width = self.width or -(-width_for(len(train)) // (2 * self.heads)) * 2 * self.heads
        entry = entry_of(self, named, train, width)
        body = Layers(
            width,
            self.layers or (1 if len(train) < 2_000 else 2),
            self.heads,
            self.inner or 2 * width,
            positions=self.positions,
            longest=longest(named, train),
            feed=self.feed,
            dropout=self.dropout,
        )
        return Reader(entry, body, self.pooling, self.dropout)
