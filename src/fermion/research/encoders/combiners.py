"""How what the encoders say about a row becomes one vector: settings; the modules are in `blocks/combine.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from fermion.core.errors import UsageError
from fermion.research.encoder import width_for

if TYPE_CHECKING:
    from fermion.research.blocks.combine import Combining
    from fermion.research.blocks.encoding import Encoding


class Concat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="concat"):
    """The columns' vectors side by side: loses nothing, and the layers after it may weigh as they like.

    >>> Concat()
    Concat()
    """

    def build(self, encodings: Sequence[Encoding], rows: int) -> Combining:
        """The module (`encoder.Combiner`)."""
        from fermion.research.blocks.combine import Concatenated

        return Concatenated(encodings)


class Gated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="gated"):
    """A mean of the columns with weights that go by the row: where a text is missing, the others count more.

    Args:
        width: features of the mean; 0 chooses by the number of rows, from 32 to 128.

    >>> Gated(width=64).width
    64
    """

    width: Annotated[int, Meta(ge=0)] = 0

    def build(self, encodings: Sequence[Encoding], rows: int) -> Combining:
        """The module (`encoder.Combiner`)."""
        from fermion.research.blocks.combine import Gated as Module

        return Module(encodings, self.width or width_for(rows))


class Attention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="attention"):
    """Learned questions that attend to every column and to each of its steps: a word of a text may answer to a picture.

    Args:
        width: features of a token, a multiple of the heads; 0 chooses by the number of rows, from 32 to 128.
        queries: how many questions are asked.
        heads: of the attention.

    >>> Attention(queries=2).heads
    4
    """

    width: Annotated[int, Meta(ge=0)] = 0
    queries: Annotated[int, Meta(ge=1)] = 4
    heads: Annotated[int, Meta(ge=1)] = 4

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UsageError("the width of an attention combiner", rule=f"a multiple of its {self.heads} heads", given=self.width)

    def build(self, encodings: Sequence[Encoding], rows: int) -> Combining:
        """The module (`encoder.Combiner`)."""
        from fermion.research.blocks.combine import CrossAttention

        width = self.width or -(-width_for(rows) // self.heads) * self.heads
        return CrossAttention(encodings, width, self.queries, self.heads)
