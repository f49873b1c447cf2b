"""Tokenisers: trained on texts, read from a `tokenizer.json`, and run. The library `tokenizers` is imported here alone."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from fermion.columns.assets import LARGEST, Asset, keep
from fermion.core import hub, lazy, packaged
from fermion.core.errors import BundleError, DataError, Told

PADDING, UNKNOWN = "<the padding>", "<the unknown>"  # ids 0 and, of unigram, 1; with a space, which no token of a text has
LONGEST_PIECE = 32  # bytes of one token
MOST_CHARACTERS = 30_000_000  # of texts that a tokeniser is trained on; of more, every second, third, ... is read
SMALLEST, MOST = 512, 16_384  # tokens of a vocabulary whose size is not given
WORDS_PER_TOKEN = 40
PASSES = 4  # of re-estimating the pieces of a unigram tokeniser
RESCORED = 20_000  # texts


class Trained(Struct, frozen=True, kw_only=True):
    """A tokeniser's asset, how many ids it has, and the id that fills."""

    asset: Asset
    size: int
    padding: int = 0


def default_vocabulary(texts: Sequence[str]) -> int:
    """One token per 40 words of the training texts, from 512 to 16,384: a token that occurs a few times can be learned.

    >>> default_vocabulary(["a b c"] * 10), default_vocabulary(["a b c d"] * 10_000)
    (512, 1000)
    """
    return int(np.clip(sum(len(text.split()) for text in texts) // WORDS_PER_TOKEN, SMALLEST, MOST))


def train_tokenizer(
    texts: Sequence[str], *, kind: Literal["bpe", "unigram", "words", "blanks"], vocabulary: int, lower: bool, unicode: bool
) -> Trained:
    """A tokeniser over the bytes of the texts, to which no byte is unknown, or over their words. The same texts give the same file.

    - bpe: the most frequent pair of neighbouring tokens becomes a token, until there are enough (Sennrich, Haddow, Birch: Neural
      Machine Translation of Rare Words with Subword Units, ACL 2016; over bytes: Radford et al., GPT-2, 2019).
    - unigram: of many candidate pieces those that the likelihood of the texts misses least are dropped, until few are left (Kudo:
      Subword Regularization, ACL 2018). The library adds floats in an order that changes from run to run, so its scores are only a
      choice of pieces here; the score of a piece, log(n / N), is counted on the best segmentations, starting from those of fewest pieces.
    - words: what stands between blanks is a token, and signs at its end are another; digits are read as 0; those seen twice are known,
      the most frequent first. A label per word is then a label per token.
    - blanks: the same for what stands between single spaces, whatever it is.
    """
    tokenizers = lazy.load("tokenizers", extra="text")
    rarely = max(1, -(-sum(map(len, texts)) // MOST_CHARACTERS))
    read = texts[::rarely]
    if kind in ("words", "blanks"):
        return trained(_of_words(read, vocabulary, lower=lower, unicode=unicode, signs=kind == "words"))
    model = tokenizers.models.BPE() if kind == "bpe" else tokenizers.models.Unigram()
    made = _around(model, lower=lower, unicode=unicode)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    if kind == "bpe":
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=max(vocabulary, len(alphabet) + 1),
            special_tokens=[PADDING],
            initial_alphabet=alphabet,
            min_frequency=2,
            max_token_length=LONGEST_PIECE,
            show_progress=False,
        )
    else:
        trainer = tokenizers.trainers.UnigramTrainer(
            vocab_size=max(vocabulary, len(alphabet) + 2),
            special_tokens=[PADDING, UNKNOWN],
            unk_token=UNKNOWN,
            initial_alphabet=alphabet,
            max_piece_length=LONGEST_PIECE,
            show_progress=False,
        )
    if any(text.strip() for text in read):
        made.train_from_iterator(read, trainer, length=len(read))
    else:  # nothing to learn from: bytes alone, since the library's trainers want a text
        made.train_from_iterator(["a"], trainer)
    if kind == "unigram":
        made = _rescored(made, read[:: max(1, len(read) // RESCORED)], lower=lower, unicode=unicode)
    return trained(made)


def read_tokenizer(path: str, folder: Path) -> Trained:
    """A `tokenizer.json` of somebody else's. Padding and truncation that it asks for are taken out.

    Args:
        path: absolute or within `folder`, `package://MODULE/PATH`, or `owner/model/tokenizer.json` of a model on a hub.
        folder: that of the project file.

    Raises:
        DataError: it is not there, or no tokeniser.
    """
    subject, remedy = f"the tokeniser {path}", "Give the path of a tokenizer.json as the library `tokenizers` writes it."
    try:
        with _located(path, folder, subject).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as bad:
        raise DataError(subject, rule="a file that can be read", given=Told(bad.strerror or str(bad)), remedy=remedy) from None
    if len(data) > LARGEST:
        raise DataError(subject, rule=f"at most {LARGEST} bytes", given=Told("more"), remedy=remedy)
    return trained(_parsed(data, DataError, subject, remedy))


def _located(path: str, folder: Path, subject: str) -> Path:
    if path.startswith(packaged.PREFIX):
        return packaged.inside(path, subject=subject)
    at, (model, _, file) = folder / path, path.rpartition("/")
    if model.count("/") == 1 and hub.is_id(model) and not (folder / model.split("/")[0]).exists():
        return hub.fetched(model, [file], subject=subject) / file
    return at


def trained(made: Any) -> Trained:
    """A tokeniser of the library as an asset, written without padding and truncation."""
    padding = made.padding["pad_id"] if made.padding else next((made.token_to_id(name) for name in _FILLS if made.token_to_id(name)), 0)
    made.no_padding()
    made.no_truncation()
    asset = keep("tokenizer.json", made.to_str().encode())
    return Trained(asset=asset, size=1 + max(made.get_vocab(with_added_tokens=True).values(), default=0), padding=padding)


@functools.lru_cache(maxsize=64)
def opened(asset: Asset, length: int) -> Any:
    """The tokeniser of an asset, which cuts after `length` tokens; its special tokens, written in a text, are text.

    Raises:
        BundleError: the bytes are not there, or are no tokeniser.
    """
    remedy = "The bundle was made with other bytes, or by a later version of the library `tokenizers`."
    made = _parsed(asset.read(), BundleError, f"the asset {asset.name}", remedy)
    made.encode_special_tokens = True
    made.no_padding()
    made.enable_truncation(length)
    return made


def rare_ids(asset: Asset) -> frozenset[int]:
    """The ids that stand for what a tokeniser does not know: its unknown token, and single bytes where it has all of them."""
    tokenizers = lazy.load("tokenizers", extra="text")
    vocabulary: dict[str, int] = opened(asset, 1).get_vocab(with_added_tokens=True)
    alphabet = set(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    unknown = {UNKNOWN, "[UNK]", "unk"}
    single = alphabet if alphabet <= set(vocabulary) else set[str]()
    return frozenset(id for token, id in vocabulary.items() if token in unknown or token in single)


def special_ids(asset: Asset) -> frozenset[int]:
    """The ids that stand for no piece of a text: beginning, end, padding, unknown, and whatever else the file calls special."""
    return frozenset(id for id, token in opened(asset, 1).get_added_tokens_decoder().items() if token.special)


def written(asset: Asset, lists: Sequence[Sequence[int]]) -> list[str]:
    """Ids as texts again, as they were normalised and with special tokens left out; cut anew, such a text has the same ids."""
    return _writer(asset).decode_batch([list(ids) for ids in lists], skip_special_tokens=True)


@functools.lru_cache(maxsize=64)
def _writer(asset: Asset) -> Any:
    """A tokeniser that writes what it reads: without the contractions and spaces that a WordPiece decoder mends for the eye."""
    tokenizers = lazy.load("tokenizers", extra="text")
    made = _parsed(asset.read(), BundleError, f"the asset {asset.name}", "")
    if isinstance(made.decoder, tokenizers.decoders.WordPiece):
        made.decoder = tokenizers.decoders.WordPiece(prefix=made.decoder.prefix, cleanup=False)
    return made


_FILLS = ("[PAD]", "<pad>", "<|endoftext|>")


def _around(model: Any, *, lower: bool, unicode: bool) -> Any:
    """A tokeniser that normalises, cuts at words and turns bytes into letters before its model."""
    tokenizers = lazy.load("tokenizers", extra="text")
    made = tokenizers.Tokenizer(model)
    steps = [tokenizers.normalizers.NFKC()] * unicode + [tokenizers.normalizers.Lowercase()] * lower
    if steps:
        made.normalizer = tokenizers.normalizers.Sequence(steps)
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = tokenizers.decoders.ByteLevel()
    return made


def _of_words(texts: Sequence[str], vocabulary: int, *, lower: bool, unicode: bool, signs: bool) -> Any:
    """A tokeniser whose tokens are words, and with `signs` the signs at their end."""
    tokenizers = lazy.load("tokenizers", extra="text")
    normalizers, cuts = tokenizers.normalizers, tokenizers.pre_tokenizers
    steps = [normalizers.NFKC()] * unicode + [normalizers.Lowercase()] * lower
    normalizer = normalizers.Sequence([*steps, normalizers.Replace(tokenizers.Regex(r"\d"), "0")])
    ends = cuts.Split(tokenizers.Regex(r"[,.?!;:]+$"), "isolated")
    cut = cuts.Sequence([cuts.WhitespaceSplit(), ends]) if signs else cuts.Split(" ", "removed")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text)))
    known = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
    pieces = [PADDING, UNKNOWN, *known[: max(0, vocabulary - 2)]]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: id for id, word in enumerate(pieces)}, unk_token=UNKNOWN))
    made.normalizer, made.pre_tokenizer = normalizer, cut
    made.add_special_tokens([PADDING, UNKNOWN])
    return made


def _rescored(made: Any, texts: Sequence[str], *, lower: bool, unicode: bool) -> Any:
    tokenizers = lazy.load("tokenizers", extra="text")
    special = [PADDING, UNKNOWN]
    pieces = [*special, *sorted(set(made.get_vocab()) - set(special))]
    scores_V = np.full(len(pieces), -10.0)
    for _ in range(PASSES):
        scores_V[: len(special)] = -1e6
        model = tokenizers.models.Unigram(list(zip(pieces, scores_V.round(6).tolist(), strict=True)), unk_id=1)
        made = _around(model, lower=lower, unicode=unicode)
        made.add_special_tokens(special)
        made.encode_special_tokens = True
        counts_V = np.zeros(len(pieces))
        for start in range(0, len(texts), 4096):
            lists = [one.ids for one in made.encode_batch_fast(texts[start : start + 4096], add_special_tokens=False)]
            counts_V += np.bincount(np.fromiter(itertools.chain.from_iterable(lists), np.int64), minlength=len(pieces))
        counts_V[len(special) :] += 0.1
        scores_V = np.log(np.maximum(counts_V, 0.1) / counts_V.sum())
    return made


def _parsed(data: bytes, kind: type[BundleError] | type[DataError], subject: str, remedy: str) -> Any:
    tokenizers = lazy.load("tokenizers", extra="text")
    try:
        return tokenizers.Tokenizer.from_str(data.decode())
    except Exception as bad:  # the library raises bare Exceptions for files that it cannot read
        raise kind(subject, rule="a tokenizer.json", given=Told(str(bad).splitlines()[0][:200]), remedy=remedy) from None
