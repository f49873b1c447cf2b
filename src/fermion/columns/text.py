"""Words in a row: what somebody wrote."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.assets import Asset
from fermion.columns.column import Coded, Slot, Values, is_missing, rejected
from fermion.columns.tokenizer import MOST, Trained, default_vocabulary, opened, rare_ids, read_tokenizer, train_tokenizer
from fermion.core.characters import has_half
from fermion.core.errors import SpecError, Told

RULE = "text or null"
LONGEST = 128  # tokens that are read of a text where the project file does not say
COVERED = 0.99  # share of the training texts that are read whole, where that needs fewer
CHARACTERS = 64  # of a text that are looked at for each token that is kept: no sender makes the tokeniser work for what is cut off
TOGETHER = 2_048  # texts that are cut into tokens at a time


class Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Text as tokens: `ids` (N, L) int64 with `mask` (N, L), L the length of the batch's longest text, filled on the right.

    Without `tokenizer` one is trained on the training part, over bytes, so that nothing that can be written is unknown to it. With
    `tokenizer`, the path of a tokenizer.json, that one is used as it is, with its own normalisation and special tokens; a special
    token that stands in a text is text. Either becomes a file of the bundle. Longer texts are cut after `length` tokens.

    `algorithm: words` makes one token of each word and one of the signs behind it, for a target that labels words (`tags`); `blanks` cuts
    at spaces alone. Words that the training part does not have twice are one unknown word to it.

    A missing or empty text is one token of padding, which the mask calls real: a row without any would have no mean. An empty text
    counts as missing, also one of nothing but white space.

    >>> note = Text(vocabulary=300).fit(["good food", "bad food", "good wine"])
    >>> ids_NL, mask_NL = note.encode(["good wine", None, "Käse"])
    >>> ids_NL.shape, ids_NL[1].tolist()[:2], mask_NL.sum(axis=1).tolist()
    ((3, 6), [0, 0], [6, 1, 6])

    Raises:
        SpecError: settings for training a tokeniser beside one that is given.
    """

    tokenizer: Annotated[
        str,
        Meta(
            description="The path of a tokenizer.json, package://MODULE/PATH, or owner/model/tokenizer.json of a hub; trained on the "
            "training part when left out."
        ),
    ] = ""
    algorithm: Annotated[
        Literal["bpe", "unigram", "words", "blanks"],
        Meta(description="How a tokeniser is trained: byte-level BPE, unigram, or a token per word, with or without the signs behind it."),
    ] = "bpe"
    vocabulary: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Tokens to train, 256 at least; 0 for one per 40 words, from 512 to 16,384, or all words."),
    ] = 0
    length: Annotated[
        int,
        Meta(ge=0, le=65_536, description="Tokens that are read of a text; 0 for what 99 % of the training texts need, at most 128."),
    ] = 0
    lower: Annotated[bool, Meta(description="Whether capitals are read as small letters.")] = True
    unicode: Annotated[bool, Meta(description="Whether characters that look alike are read alike (Unicode NFKC).")] = True
    asset: Annotated[Asset | None, Meta(description="Learned: the tokeniser's file in the bundle.")] = None
    size: Annotated[int, Meta(ge=0, description="Learned: how many ids there are.")] = 0
    padding: Annotated[int, Meta(ge=0, description="Learned: the id that fills.")] = 0

    def __post_init__(self) -> None:
        if self.tokenizer and (self.vocabulary or self.algorithm != "bpe" or not (self.lower and self.unicode)):
            raise SpecError(
                "a text column with `tokenizer`",
                rule="declared without vocabulary, algorithm, lower and unicode",
                given=Told("one of them"),
                remedy="The file says how it cuts and normalises; leave `tokenizer` out to train one.",
            )

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (
            Slot(name="ids", dtype="int64", shape=(None,), padding=self.padding, role="tokens", size=self.size),
            Slot(name="mask", dtype="bool", shape=(None,), padding=0, role="mask"),
        )

    @property
    def request(self) -> Any:
        return str

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def fit(self, values: Values) -> Text:
        texts = [text for text in read_texts(values) if text is not None]
        given = self.placed(Path())
        if given.tokenizer and given.asset is not None:
            made = Trained(asset=given.asset, size=given.size, padding=given.padding)
        else:
            short = [text[: CHARACTERS * (self.length or LONGEST)] for text in texts]
            made = train_tokenizer(
                short,
                kind=self.algorithm,
                vocabulary=self.vocabulary or (MOST if self.algorithm in ("words", "blanks") else default_vocabulary(short)),
                lower=self.lower,
                unicode=self.unicode,
            )
        length = self.length
        if not length:
            counts = [len(ids) for ids in _ids(texts, made.asset, LONGEST)]
            length = max(1, int(np.quantile(counts, COVERED, method="higher"))) if counts else LONGEST
        return Text(
            tokenizer=self.tokenizer,
            algorithm=self.algorithm,
            vocabulary=self.vocabulary,
            length=length,
            lower=self.lower,
            unicode=self.unicode,
            asset=made.asset,
            size=made.size,
            padding=made.padding,
        )

    def placed(self, folder: Path) -> Text:
        """The same column with its tokeniser read, whose path is within `folder` where it is no absolute one.

        Raises:
            DataError: the file is not there, or no tokeniser.
        """
        if not self.tokenizer or self.asset is not None:
            return self
        made = read_tokenizer(self.tokenizer, folder)
        return msgspec.structs.replace(self, asset=made.asset, size=made.size, padding=made.padding)

    def encode(self, values: Values) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if isinstance(values, Coded):
            ids_DL, mask_DL = values.mended(self.encode)
            return ids_DL[values.codes], mask_DL[values.codes]
        return self.filled(self.tokens(values))

    def filled(self, lists: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Lists of ids as `ids` (N, L) and `mask` (N, L), L the length of the longest and 1 at least."""
        counts_N = np.fromiter(map(len, lists), np.int64, len(lists))
        longest = max(1, int(counts_N.max(initial=1)))
        mask_NL = np.arange(longest) < np.maximum(counts_N, 1)[:, None]
        ids_NL = np.full((len(lists), longest), self.padding, dtype=np.int64)
        total = int(counts_N.sum())
        ids_NL[np.arange(longest) < counts_N[:, None]] = np.fromiter(itertools.chain.from_iterable(lists), np.int64, total)
        return ids_NL, mask_NL

    def tokens(self, values: Values) -> list[Sequence[int]]:
        """The ids of each text, at most `length`, none where it is missing.

        Raises:
            ValueRejected: a value is no text, with its row. BundleError: the tokeniser's bytes are not in this process.
        """
        texts = read_texts(values)
        if self.asset is None:
            raise SpecError("a text column", rule="fitted before it encodes", given=Told("one without a tokeniser"))
        there = [text for text in texts if text is not None]
        found = iter(_ids(there, self.asset, self.length)) if there else iter(())
        return [() if text is None else next(found) for text in texts]

    def rare(self, values: Values) -> NDArray[np.float64]:
        """(N,) the share of each text's tokens that its tokeniser has no piece for: unknown ones and single bytes; NaN without a token."""
        if self.asset is None:
            return np.full(len(values), np.nan)
        rare = rare_ids(self.asset)
        return np.array([sum(id in rare for id in ids) / len(ids) if ids else np.nan for ids in self.tokens(values)], dtype=np.float64)

    def blank(self, values: Values) -> NDArray[np.bool_]:
        """(N,) whether a text is empty or all white space."""
        return np.fromiter((isinstance(value, str) and not value.strip() for value in values), np.bool_, len(values))

    def plain(self, value: object) -> object:
        return read_texts([value])[0]


def read_texts(values: Values) -> list[str | None]:
    """Values as texts, None where missing.

    >>> read_texts(["a", float("nan")])
    ['a', None]

    Raises:
        ValueRejected: a value is no text, or half a character (a lone surrogate).
    """
    listed: Any = values.tolist() if isinstance(values, np.ndarray) else values
    texts: list[str | None] = []
    for row, value in enumerate(listed):
        if isinstance(value, str):
            if has_half(value):
                raise rejected(values, row, "text of whole characters or null")
            texts.append(value if type(value) is str else str(value))
        elif is_missing(value):
            texts.append(None)
        else:
            raise rejected(values, row, RULE)
    return texts


def _ids(texts: Sequence[str], asset: Asset, length: int) -> list[Sequence[int]]:
    cut = opened(asset, length)
    found: list[Sequence[int]] = []
    for start in range(0, len(texts), TOGETHER):
        found += [one.ids for one in cut.encode_batch_fast([text[: CHARACTERS * length] for text in texts[start : start + TOGETHER]])]
    return found
