"""Augmentations of texts: tokens left out and swapped, synonyms from a table, and slips of the keyboard.

The first two read tokens alone. The others tell the text in other words: the ids of a batch become its texts, words are changed, and
the column's own tokeniser cuts them again. Special tokens such as [CLS] and [SEP] stay where they are, masks follow.

Legend of shapes: B rows, L tokens.
"""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from msgspec import Meta, Struct

from fermion.columns.text import Text
from fermion.columns.tokenizer import written
from fermion.core.errors import DataError, SpecError, Told
from fermion.research.augment import Kind, Rows
from fermion.research.wording import free, movable, retold

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_TOKENS = frozenset({"tokens"})
_Share = Annotated[float, Meta(gt=0.0, le=1.0)]
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # rows of a keyboard, each half a key further to the right
SHORTEST = 4  # letters of a word in which a slip is still read


class TokenDropout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tokendropout"):
    """Tokens left out: each with the chance `share`, but never all of a text, which becomes that much shorter.

    Args:
        share: of the tokens, in the mean.

    >>> TokenDropout(share=0.2).share
    0.2

    Iyyer, Manjunatha, Boyd-Graber, Daumé: Deep Unordered Composition Rivals Syntactic Methods for Text Classification, ACL 2015.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _TOKENS
    share: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Shorter rows."""
        import torch

        arrays: dict[str, Tensor] = {}
        for name, about in movable(rows, "tokendropout").items():
            ids_BL, mask_BL = rows.arrays[name], rows.arrays[about.mask]
            free_BL = free(ids_BL, mask_BL, about)
            u_BL = torch.rand(ids_BL.shape, generator=draw).to(ids_BL.device)
            last_BL = torch.zeros_like(free_BL).scatter_(1, torch.where(free_BL, u_BL, -1.0).argmax(1, keepdim=True), value=True)
            kept_BL = mask_BL & ~(free_BL & (u_BL < self.share) & ~last_BL)
            order_BL = torch.sort((~kept_BL).to(torch.uint8), dim=1, stable=True).indices
            there_BL = kept_BL.gather(1, order_BL)
            arrays[name] = torch.where(there_BL, ids_BL.gather(1, order_BL), about.padding)
            arrays[about.mask] = there_BL
        return rows.put(**arrays)


class TokenSwap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tokenswap"):
    """Neighbours swapped: a text is cut into pairs of neighbouring tokens, beginning at its first or second, and each pair swaps places
    with the chance `share`.

    Args:
        share: of the tokens that move, in the mean.

    >>> TokenSwap().share
    0.1

    Wei, Zou: EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks, EMNLP 2019; neighbours only:
    Artetxe, Labaka, Agirre, Cho: Unsupervised Neural Machine Translation, ICLR 2018.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _TOKENS
    share: _Share = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows in another order."""
        import torch

        arrays: dict[str, Tensor] = {}
        for name, about in movable(rows, "tokenswap").items():
            ids_BL = rows.arrays[name]
            free_BL = free(ids_BL, rows.arrays[about.mask], about)
            u_BL = torch.rand(ids_BL.shape, generator=draw).to(ids_BL.device)
            second_B1 = torch.randint(2, (len(ids_BL), 1), generator=draw).to(ids_BL.device)
            place_L = torch.arange(ids_BL.shape[1], device=ids_BL.device)
            left_BL = free_BL & (u_BL < self.share) & (place_L % 2 == second_B1)
            left_BL[:, :-1] &= free_BL[:, 1:]
            left_BL[:, -1] = False
            right_BL = torch.zeros_like(left_BL)
            right_BL[:, 1:] = left_BL[:, :-1]
            arrays[name] = ids_BL.gather(1, place_L + left_BL.long() - right_BL.long())
        return rows.put(**arrays)


class Synonyms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="synonyms"):
    """Words in other words: each word that stands in a table is replaced with the chance `share` by one of its synonyms.

    The table is a file of comma-separated values with the columns `word` and `synonym`, a line per pair; a synonym may be several words.
    Capitals do not matter to what is found. A pair counts in one direction.

    Args:
        table: its path, from the project's folder.
        words: synonyms by word, in the place of a table.
        share: of the words that the table has.

    >>> Synonyms(words={"cost": ("price", "charge")}).share
    0.2

    Zhang, Zhao, LeCun: Character-level Convolutional Networks for Text Classification, NeurIPS 2015; Wei, Zou: EDA, EMNLP 2019.

    Raises:
        SpecError: a word without a synonym.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _TOKENS
    table: str = "synonyms.csv"
    words: dict[str, tuple[str, ...]] = {}
    share: _Share = 0.2

    def __post_init__(self) -> None:
        for word, synonyms in self.words.items():
            if not synonyms or not all(one.strip() for one in synonyms):
                raise SpecError("the augmentation `synonyms`", rule="words with a synonym at least", given=Told(f"`{word}` without one"))

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows in other words.

        Raises:
            DataError: the table is not there, or is no such table.
        """
        pairs = _read((rows.frame.home or Path()) / self.table) if not self.words else tuple(self.words.items())
        columns = [about.column for about in rows.frame.texts.values() if about.column is not None]
        known = {key: told for column in columns for key, told in _as_read(column, pairs).items()}

        def tell(text: str, rng: np.random.Generator) -> str:
            def other(found: re.Match[str]) -> str:
                word = found[0]
                options = known.get(word.casefold())
                if options is None or rng.random() >= self.share:
                    return word
                new = options[int(rng.integers(len(options)))]
                return new[:1].upper() + new[1:] if word[:1].isupper() else new

            return WORD.sub(other, text)

        return retold(rows, tell, draw, part="synonyms")


class Typos(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="typos"):
    """Slips of the keyboard: each word of four letters or more has one with the chance `share`, never at its first or last letter.

    A slip is one of four, each as likely: two letters change places, a letter is left out, doubled, or the one on the key beside it.
    Letters that are not on an English keyboard are doubled instead.

    Args:
        share: of the words.

    >>> Typos(share=0.2).share
    0.2

    Belinkov, Bisk: Synthetic and Natural Noise Both Break Neural Machine Translation, ICLR 2018.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _TOKENS
    share: _Share = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows as they are typed in haste."""

        def tell(text: str, rng: np.random.Generator) -> str:
            def slipped(found: re.Match[str]) -> str:
                word = found[0]
                return word if len(word) < SHORTEST or rng.random() >= self.share else slip(word, rng)

            return WORD.sub(slipped, text)

        return retold(rows, tell, draw, part="typos")


def slip(word: str, rng: np.random.Generator) -> str:
    """A word of at least four letters with one slip inside.

    >>> slip("letter", np.random.default_rng(4))
    'letger'
    """
    at, kind = int(rng.integers(1, len(word) - 2)), int(rng.integers(4))
    letter, beside = word[at], _beside().get(word[at].lower(), "")
    if kind == 0:
        return word[:at] + word[at + 1] + letter + word[at + 2 :]
    typed = "" if kind == 1 else letter * 2 if kind == 2 or not beside else beside[int(rng.integers(len(beside)))]
    return word[:at] + typed + word[at + 1 :]


@functools.cache
def _beside() -> dict[str, str]:
    """The keys that touch a letter's."""
    spots = {letter: (row, column + row / 2) for row, keys in enumerate(KEYS) for column, letter in enumerate(keys)}
    return {
        letter: "".join(other for other, (y, x) in spots.items() if other != letter and abs(y - row) <= 1 and abs(x - column) <= 1)
        for letter, (row, column) in spots.items()
    }


@functools.lru_cache(maxsize=8)
def _read(path: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Synonyms by word, as a file tells them."""
    subject, remedy = f"the table of synonyms {path}", "Write a line `word,synonym`, and a line for each pair below it."
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            lines, header = list(reader), reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as bad:
        given = Told(getattr(bad, "strerror", None) or str(bad))
        raise DataError(subject, rule="a file of text that can be read", given=given, remedy=remedy) from None
    if not {"word", "synonym"} <= set(header):
        given = Told(", ".join(header) or "nothing")
        raise DataError(subject, rule="a table with the columns word and synonym", given=given, remedy=remedy)
    found: dict[str, list[str]] = {}
    for line in lines:
        word, synonym = (str(line[name] or "").strip() for name in ("word", "synonym"))
        if word and synonym:
            found.setdefault(word, []).append(synonym)
    if not found:
        raise DataError(subject, rule="made of at least one pair", given=Told("none"), remedy=remedy)
    return tuple((word, tuple(synonyms)) for word, synonyms in found.items())


@functools.lru_cache(maxsize=8)
def _as_read(column: Text, pairs: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, tuple[str, ...]]:
    """The table with its words as the column's tokeniser writes them: some leave accents out."""
    assert column.asset is not None
    keys = written(column.asset, column.tokens([word for word, _ in pairs]))
    found: dict[str, tuple[str, ...]] = {}
    for key, (_, synonyms) in zip(keys, pairs, strict=True):
        name = key.strip().casefold()
        found[name] = (*found.get(name, ()), *synonyms)
    return found
