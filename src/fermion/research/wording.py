"""Texts in training: what the arrays of tokens mean, and how rows are told in other words and cut into tokens again.

Legend of shapes: B rows, L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from fermion.columns.text import Text
from fermion.columns.tokenizer import special_ids, written
from fermion.core.errors import DataError, Told
from fermion.research.model import Encoded

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fermion.research.augment import Rows

Teller = Callable[[str, np.random.Generator], str]


class Wording(Struct, frozen=True, kw_only=True):
    """One array of tokens: the name of its mask, the id that fills rows, and the ids that are no piece of a text.

    `column` cuts texts into these tokens, and is None where they come from a column of another kind. `labelled`: a target has a label
    for every token.
    """

    mask: str
    padding: int
    special: tuple[int, ...]
    column: Text | None = None
    labelled: bool = False


def wordings_of(train: Encoded) -> dict[str, Wording]:
    """The arrays of tokens of the training part by name."""
    found: dict[str, Wording] = {}
    layout = train.schema.layout
    stepwise = {getattr(output, "steps", None) for output in train.outputs}
    for named in layout.arrays:
        masks = [other.name for other in layout.arrays if other.field == named.field and other.slot.role == "mask"]
        if named.slot.role != "tokens" or named.name not in train.arrays or not masks:
            continue
        column: Any = train.schema.columns[named.field]
        while hasattr(column, "column"):  # repaired or redacted
            column = column.column
        text = column if isinstance(column, Text) and column.asset is not None else None
        padding = int(named.slot.padding or 0)
        special = {padding} if text is None or text.asset is None else {padding, *special_ids(text.asset)}
        found[named.name] = Wording(
            mask=masks[0], padding=padding, special=tuple(sorted(special)), column=text, labelled=named.field in stepwise
        )
    return found


def movable(rows: Rows, part: str) -> dict[str, Wording]:
    """The arrays of tokens, none of which has labels: these would no longer stand where the tokens do.

    Raises:
        DataError: one has.
    """
    for name, about in rows.frame.texts.items():
        if about.labelled:
            column = name.rpartition(".")[0]
            raise DataError(
                f"`{part}` in model.augment",
                rule="for texts whose tokens have no labels",
                given=Told(f"`{column}`, whose tokens a target labels"),
                remedy=f"Leave `{part}` out: it would move tokens away from their labels.",
            )
    return rows.frame.texts


def free(ids_BL: Tensor, mask_BL: Tensor, about: Wording) -> Tensor:
    """(B, L) which tokens are pieces of a text."""
    import torch

    return mask_BL & ~torch.isin(ids_BL, torch.tensor(about.special, dtype=ids_BL.dtype, device=ids_BL.device))


def retold(rows: Rows, tell: Teller, draw: torch.Generator, *, part: str) -> Rows:
    """The same rows with texts in other words: ids become the text that they were cut from, `tell` changes it, and it is cut again.

    A row that `tell` leaves alone keeps its ids, as does one with a token that the tokeniser does not know. The text is as the column
    normalised it. A longer text is cut where the column cuts.

    Raises:
        DataError: no array comes from a column of texts, or a target labels tokens.
    """
    import torch

    texts = {name: about for name, about in movable(rows, part).items() if about.column is not None}
    if not texts:
        remedy = "Use `tokendropout` or `tokenswap`, which need the tokens alone."
        raise DataError(f"`{part}` in model.augment", rule="for columns of the type text", given=Told("tokens of another"), remedy=remedy)
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=draw)))
    arrays: dict[str, Tensor] = {}
    for name, about in texts.items():
        ids_BL, mask_BL = rows.arrays[name], rows.arrays[about.mask]
        lists = [ids_L[mask_L].tolist() for ids_L, mask_L in zip(ids_BL.cpu(), mask_BL.cpu(), strict=True)]
        told = _told(lists, about, tell, rng)
        if not told:
            continue
        assert about.column is not None
        made = about.column.tokens(list(told.values()))
        for row, ids in zip(told, made, strict=True):
            lists[row] = list(ids)
        longest = ids_BL.shape[1]
        ids_NL, mask_NL = about.column.filled(lists)
        if ids_NL.shape[1] < longest:  # as wide as it was at the least, so that parts can be put together
            gap = ((0, 0), (0, longest - ids_NL.shape[1]))
            ids_NL, mask_NL = np.pad(ids_NL, gap, constant_values=about.padding), np.pad(mask_NL, gap)
        arrays[name], arrays[about.mask] = torch.from_numpy(ids_NL).to(ids_BL.device), torch.from_numpy(mask_NL).to(ids_BL.device)
    return rows.put(**arrays)


def _told(lists: Sequence[Sequence[int]], about: Wording, tell: Teller, rng: np.random.Generator) -> dict[int, str]:
    """The new texts of the rows that have one."""
    assert about.column is not None
    assert about.column.asset is not None
    frame = {about.padding, *about.column.tokens([""])[0]}  # what stands around every text
    unknown = set(about.special) - frame
    before = written(about.column.asset, lists)
    after = [text if not text.strip() or not unknown.isdisjoint(ids) else tell(text, rng) for ids, text in zip(lists, before, strict=True)]
    return {row: new for row, (old, new) in enumerate(zip(before, after, strict=True)) if new != old}
