"""Encoders of what has no steps: numbers and codes, vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.columns.schema import Named
from fermion.core import lazy
from fermion.core.errors import DataError, Told
from fermion.research.encoder import the_array, width_for
from fermion.research.model import Encoded

if TYPE_CHECKING:
    from fermion.research.blocks.encoding import Encoding


class Facts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="facts"):
    """All numbers and categories of the table, embedded as `mlp` does it, then residual layers.

    Args:
        width: features of a layer; 0 chooses by the number of rows, from 32 to 128.
        blocks: residual blocks of two layers.
        dropout: share of the features that training hides in each block.

    >>> Facts().blocks
    1
    """

    reads: ClassVar[frozenset[str]] = frozenset({"number", "code"})
    width: Annotated[int, Meta(ge=0)] = 0
    blocks: Annotated[int, Meta(ge=0)] = 1
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`), for the fused arrays `numbers` and `codes`; `named` is not looked at."""
        lazy.load("torch", extra="train")
        from fermion.research.blocks.plain import FactsReader

        layout = train.schema.layout
        if not layout.numbers and not layout.codes:
            raise DataError(
                "the table of a `facts` encoder",
                rule="one with a number, category, flag or time column",
                given=Told(", ".join(one.name for one in layout.arrays) or "no column"),
                remedy="Leave the encoder out.",
            )
        return FactsReader(
            train.arrays["numbers"] if layout.numbers else None,
            train.arrays["codes"] if layout.codes else None,
            [ref.size for ref in layout.codes],
            width=self.width or width_for(len(train)),
            blocks=self.blocks,
            dropout=self.dropout,
        )


class Vector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="vector"):
    """A vector of the table, standardised, through one linear layer; a missing one is a vector that is learned.

    Args:
        width: features that it becomes; 0 chooses by the number of rows, from 32 to 128.

    >>> Vector(width=16).width
    16
    """

    reads: ClassVar[frozenset[str]] = frozenset({"vector"})
    width: Annotated[int, Meta(ge=0)] = 0

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        from fermion.research.blocks.plain import VectorReader

        array = the_array(self, named)
        return VectorReader(array.name, train.arrays[array.name], self.width or width_for(len(train)))
