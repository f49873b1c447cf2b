"""Texts that are nearly the same: MinHash over their words, buckets of equal bands, and every candidate compared word by word.

Broder 1997, "On the resemblance and containment of documents"; Indyk, Motwani 1998 for the bands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fermion.data.pairs import Pairs, Rows, within_buckets

HASHES = 128
FOUND = 0.99  # the share of pairs at the limit of similarity that the bands find
BUCKET = 8  # pairs of one text within one bucket at the most: larger ones are of one template, which other bands tell apart
CHUNK = 1 << 16  # pairs that are compared at a time
WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{N}']+"  # scripts without spaces go by letters


def near_texts(texts: Sequence[str | None], similarity: float = 0.8) -> Pairs:
    """Pairs of texts that share `similarity` of their words: those of both, counted as often as they come, over those of the longer.

        similarity(a, b) = |words(a) & words(b)| / max(|words(a)|, |words(b)|)

    So of a text with 10 of 100 words replaced 0.9 is left. Case and punctuation do not count; missing texts and texts without words are
    like no other. Every reported pair was compared word by word; of the pairs exactly at the limit about 99 % are found, of closer
    ones more. The same texts give the same pairs.

    >>> pairs = near_texts(["pay my card bill today please", "Pay my card bill today", "where is my card"])
    >>> pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.round(2).tolist()
    ([0], [1], [0.83])

    Args:
        texts: N texts.
        similarity: from above 0 to 1.
    """
    word_T, text_T = _words(texts)
    if not len(word_T):
        return Pairs.of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    starts, length_U, text_U = _runs(text_T)
    feature_T = _with_occurrence(word_T, text_T)
    copies, originals = _equal(feature_T, starts, length_U, text_U)
    gone = np.isin(text_U, copies)
    kept_T = ~np.repeat(gone, length_U)
    feature_T, starts, length_U, text_U = feature_T[kept_T], *_runs(text_T[kept_T])
    signature_UH = _signatures(feature_T, starts)
    left, right = _candidates(signature_UH, similarity)
    enough = np.minimum(length_U[left], length_U[right]) >= similarity * np.maximum(length_U[left], length_U[right])
    left, right = left[enough], right[enough]
    shared = _overlaps(feature_T, starts, length_U, left, right)
    alike = shared / np.maximum(length_U[left], length_U[right])
    good = alike >= similarity - 1e-9
    return Pairs.of(
        np.concatenate([originals, text_U[left[good]]]),
        np.concatenate([copies, text_U[right[good]]]),
        np.concatenate([np.ones(len(copies)), alike[good]]),
    )


def _words(texts: Sequence[str | None]) -> tuple[NDArray[np.uint64], Rows]:
    """The words of all texts one after another, as hashes, and the text that each is from."""
    import polars as pl

    frame = pl.DataFrame({"text": pl.Series("text", texts, dtype=pl.String), "row": np.arange(len(texts))})
    words = frame.lazy().with_columns(pl.col("text").str.to_lowercase().str.extract_all(WORD)).collect()
    words = words.explode("text").drop_nulls("text")
    return words["text"].hash(seed=0).to_numpy(), words["row"].to_numpy().astype(np.int64)


def _runs(text_T: Rows) -> tuple[Rows, Rows, Rows]:
    """Where each text starts, how many words it has, and its number."""
    starts = np.flatnonzero(np.concatenate([[True], text_T[1:] != text_T[:-1]])) if len(text_T) else np.empty(0, dtype=np.int64)
    return starts, np.diff(np.append(starts, len(text_T))), text_T[starts]


def _with_occurrence(word_T: NDArray[np.uint64], text_T: Rows) -> NDArray[np.uint64]:
    """The second "the" of a text as another word than the first; the words of a text in ascending order."""
    order = np.lexsort((word_T, text_T))
    word, text = word_T[order], text_T[order]
    fresh = np.concatenate([[True], (word[1:] != word[:-1]) | (text[1:] != text[:-1])])
    first = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    return _mixed(word + (np.arange(len(word)) - first).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return x ^ (x >> np.uint64(32))


def _equal(feature_T: NDArray[np.uint64], starts: Rows, length_U: Rows, text_U: Rows) -> tuple[Rows, Rows]:
    """Texts with the words of an earlier one, and the first such text; sums of 64-bit hashes stand for the words."""
    whole_U = _mixed(np.add.reduceat(feature_T, starts)) + length_U.astype(np.uint64)
    _, first, inverse = np.unique(whole_U, return_index=True, return_inverse=True)
    copy = first[inverse] != np.arange(len(whole_U))
    return text_U[copy], text_U[first[inverse[copy]]]


def _signatures(feature_T: NDArray[np.uint64], starts: Rows) -> NDArray[np.uint32]:
    """(U, HASHES) the least value of each hash over the words of a text."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**32, HASHES, dtype=np.uint32) | np.uint32(1)
    added = rng.integers(0, 2**32, HASHES, dtype=np.uint32)
    x_T = (feature_T >> np.uint64(32)).astype(np.uint32)
    low_T = feature_T.astype(np.uint32)
    signature_HU = np.empty((HASHES, len(starts)), dtype=np.uint32)
    for h in range(HASHES):
        mixed_T = (x_T ^ added[h]) * factors[h]
        mixed_T ^= mixed_T >> np.uint32(15)
        mixed_T += low_T * factors[HASHES - 1 - h]
        signature_HU[h] = np.minimum.reduceat(mixed_T, starts)
    return np.ascontiguousarray(signature_HU.T)


def _candidates(signature_UH: NDArray[np.uint32], similarity: float) -> tuple[Rows, Rows]:
    """Pairs with an equal band, whose signatures then agree about as much as such texts' do."""
    jaccard = similarity / (2 - similarity)
    width = next((r for r in range(8, 1, -1) if 1 - (1 - jaccard**r) ** (HASHES // r) >= FOUND), 2)
    least = jaccard - 3 * np.sqrt(jaccard * (1 - jaccard) / HASHES)
    texts = len(signature_UH)
    numbers, pairs = np.arange(texts), np.empty(0, dtype=np.int64)
    for band in range(HASHES // width):
        keys = np.zeros(texts, dtype=np.uint64)
        for h in range(band * width, (band + 1) * width):
            keys = _mixed(keys + signature_UH[:, h])
        left, right = within_buckets(keys, numbers, BUCKET)
        pairs = _different(np.concatenate([pairs, np.minimum(left, right) * texts + np.maximum(left, right)]))
    keep = [np.empty(0, dtype=np.bool_)]
    for start in range(0, len(pairs), CHUNK):
        left, right = np.divmod(pairs[start : start + CHUNK], texts)
        keep.append((signature_UH[left] == signature_UH[right]).mean(axis=1) >= least)
    left, right = np.divmod(pairs[np.concatenate(keep)], max(1, texts))
    return left, right


def _different(x: Rows) -> Rows:
    """Each value once, ascending; numpy's own goes by a hash table, which is slower here."""
    x = np.sort(x)
    fresh = np.ones(len(x), dtype=np.bool_)
    fresh[1:] = x[1:] != x[:-1]
    return x[fresh]


def _overlaps(feature_T: NDArray[np.uint64], starts: Rows, length_U: Rows, left: Rows, right: Rows) -> NDArray[np.int64]:
    """(M,) how many words the texts of each pair share."""
    shared = [np.empty(0, dtype=np.int64)]
    size = max(1, min(CHUNK, CHUNK * 64 // max(1, int(length_U.max(initial=1)))))
    low = np.uint64(CHUNK - 1)  # the pair's number stands in the low bits of its words: one sort of numbers finds equal ones
    for start in range(0, len(left), size):
        keys: list[NDArray[np.uint64]] = []
        for texts in (left[start : start + size], right[start : start + size]):
            lengths = length_U[texts]
            ends = np.cumsum(lengths)
            places = np.arange(ends[-1]) - np.repeat(ends - lengths - starts[texts], lengths)
            keys.append((feature_T[places] & ~low) | np.repeat(np.arange(len(texts), dtype=np.uint64), lengths))
        word = np.sort(np.concatenate(keys))
        both = word[1:][word[1:] == word[:-1]] & low
        shared.append(np.bincount(both.astype(np.int64), minlength=len(left[start : start + size])))
    return np.concatenate(shared)
