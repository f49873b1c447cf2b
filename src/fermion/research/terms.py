"""Terms of a text: runs of tokens and runs of characters, found from its token ids alone, in numpy and in a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Arrays, Column
from fermion.columns.repair import inside
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, Told
from fermion.research.nodes import Nodes

TOKEN_RUNS, CHARACTER_RUNS = (1, 2), (2, 3, 4, 5)
BYTES = 257  # one more than there are bytes: 0 is no byte
BLANK = 33  # the symbol of a blank, with which a word begins
LONGEST_PIECE = 32  # bytes of a token; the rest of a longer one is not looked at

Ints = NDArray[np.int64]


class Reading(Struct, frozen=True, kw_only=True):
    """How one kind of term is read from one text column: runs of so many symbols, each run a whole number of its own.

    A run of symbols s_0 .. s_n-1 is sum_i s_i base^i, with symbols from 1 to base - 1: runs of different lengths differ, so there are
    no collisions. Symbols are the token ids plus 1, or with `pieces` the bytes that the tokens stand for, plus 1; those do not go
    beyond a word, which begins with a blank.

    Args:
        ids: the array of token ids, beside which `mask` lies.
        runs: how many symbols a run has.
        pieces: (V, J) uint8, the bytes of each token, and `lengths` (V,), how many they are; empty for runs of tokens.
    """

    ids: str
    mask: str
    runs: tuple[int, ...]
    base: int
    pieces: NDArray[np.uint8]
    lengths: Ints

    def keys(self, arrays: Arrays) -> Ints:
        """(N, M) the run at every place, 0 where there is none."""
        symbols_NT = self._symbols(arrays[self.ids], arrays[self.mask])
        found: list[Ints] = []
        for run in self.runs:
            last = symbols_NT.shape[1] - run + 1
            parts = [symbols_NT[:, place : place + max(last, 0)] for place in range(run)]
            key_NM = sum((part * self.base**place for place, part in enumerate(parts)), start=np.zeros_like(parts[0]))
            there_NM = parts[-1] > 0
            for part in parts[1:] if self.pieces.size else ():
                there_NM &= part != BLANK
            found.append(np.where(there_NM, key_NM, 0))
        return np.concatenate(found, axis=1)

    def _symbols(self, ids_NL: Ints, mask_NL: NDArray[np.bool_]) -> Ints:
        """(N, T) from 1 up, 0 behind the end."""
        most = max(self.runs)
        if not self.pieces.size:
            symbols_NL = np.where(mask_NL, ids_NL + 1, 0)
            return np.pad(symbols_NL, ((0, 0), (0, most)))
        length_NL = np.where(mask_NL, self.lengths[ids_NL], 0)
        start_NL = np.cumsum(length_NL, axis=1) - length_NL
        last = max(most, int(length_NL.sum(axis=1).max(initial=0)))
        symbols_NT = np.zeros((len(ids_NL), last + 1), dtype=np.int64)
        for place in range(self.pieces.shape[1]):
            row_R, at_R = np.nonzero(place < length_NL)
            symbols_NT[row_R, start_NL[row_R, at_R] + place] = self.pieces[ids_NL[row_R, at_R], place].astype(np.int64) + 1
        return symbols_NT

    def nodes(self, nodes: Nodes, ids: str, mask: str) -> str:
        """(N, M) the same in a graph."""
        symbols = self._symbol_nodes(nodes, ids, mask)
        found: list[str] = []
        zero, blank = _int(nodes, 0), _int(nodes, BLANK)
        for run in self.runs:
            key, outside = "", ""
            for place in range(run):
                end = place - run + 1 or np.iinfo(np.int64).max
                part = nodes.add("Slice", symbols, _ints(nodes, place), _ints(nodes, end), _ints(nodes, 1))
                scaled = nodes.add("Mul", part, _int(nodes, self.base**place))
                key = nodes.add("Add", key, scaled) if key else scaled
                none = nodes.add("Equal", part, zero) if place == run - 1 else ""
                if place and self.pieces.size:
                    begins = nodes.add("Equal", part, blank)
                    none = nodes.add("Or", none, begins) if none else begins
                if none:
                    outside = nodes.add("Or", outside, none) if outside else none
            found.append(nodes.add("Where", outside, zero, key))
        return nodes.add("Concat", *found, axis=1) if len(found) > 1 else found[0]

    def _symbol_nodes(self, nodes: Nodes, ids: str, mask: str) -> str:
        zero, one, most = _int(nodes, 0), _int(nodes, 1), max(self.runs)
        if not self.pieces.size:
            symbols = nodes.add("Where", mask, nodes.add("Add", ids, one), zero)
            return nodes.add("Pad", symbols, _ints(nodes, 0, 0, 0, most))
        longest = self.pieces.shape[1]
        length = nodes.add("Where", mask, nodes.add("Gather", nodes.constant(self.lengths), ids, axis=0), zero)
        start = nodes.add("CumSum", length, nodes.constant(np.array(1, dtype=np.int64)), exclusive=1)
        totals = nodes.add("ReduceSum", length, _ints(nodes, 1), keepdims=0)
        last = nodes.add("ReduceMax", nodes.add("Concat", totals, _ints(nodes, most), axis=0), _ints(nodes, 0), keepdims=1)
        place = nodes.constant(np.arange(longest, dtype=np.int64))
        there = nodes.add("Less", place, nodes.add("Unsqueeze", length, _ints(nodes, 2)))
        position = nodes.add("Where", there, nodes.add("Add", nodes.add("Unsqueeze", start, _ints(nodes, 2)), place), last)
        pieces = nodes.add("Cast", nodes.add("Gather", nodes.constant(self.pieces), ids, axis=0), to=7)
        value = nodes.add("Where", there, nodes.add("Add", pieces, one), zero)
        shape = nodes.add("Concat", nodes.add("Shape", ids, start=0, end=1), nodes.add("Add", last, one), axis=0)
        empty = nodes.add("Expand", zero, shape)
        return nodes.add("ScatterElements", empty, nodes.add("Flatten", position, axis=1), nodes.add("Flatten", value, axis=1), axis=1)


def readings(schema: Schema) -> tuple[Reading, ...]:
    """Runs of tokens of every text column, and runs of characters where the column says what its tokens stand for.

    Raises:
        DataError: there is no text column.
    """
    layout = schema.layout
    found: list[Reading] = []
    for named in layout.arrays:
        if named.slot.role != "tokens":
            continue
        mask, size = f"{named.field}.mask", named.slot.size
        runs = tuple(run for run in TOKEN_RUNS if (size + 1) ** run < 2**62)
        none = np.zeros((0, 0), dtype=np.uint8)
        bare = Reading(ids=named.name, mask=mask, runs=runs, base=size + 1, pieces=none, lengths=np.zeros(0, dtype=np.int64))
        found.append(bare)
        texts = pieces_of(schema.columns[named.field], size)
        if texts:
            longest = max(1, max(map(len, texts)))
            pieces = np.zeros((size, longest), dtype=np.uint8)
            for id, text in enumerate(texts):
                pieces[id, : len(text)] = np.frombuffer(text, dtype=np.uint8)
            lengths = np.array([len(text) for text in texts], dtype=np.int64)
            found.append(Reading(ids=named.name, mask=mask, runs=CHARACTER_RUNS, base=BYTES, pieces=pieces, lengths=lengths))
    if not found:
        raise DataError(
            "the table of model.type tfidf",
            rule="one with a text column",
            given=Told(", ".join(schema.names[:12]) or "no column"),
            remedy="Declare one: data: {columns: {NAME: text}}. Without text, take trees, xgboost, catboost or linear.",
        )
    return tuple(found)


def pieces_of(column: Column, size: int) -> list[bytes]:
    """What each token stands for, as bytes, a blank where a word begins; empty where the column does not say.

    Characters that the tokeniser writes in place of bytes are taken as they are: equal texts have equal runs either way.
    """
    asset: Any = getattr(inside(column), "asset", None)
    if asset is None:
        return []
    from fermion.columns.tokenizer import opened

    made, padding = opened(asset, 1), int(getattr(inside(column), "padding", 0))
    texts: list[bytes] = []
    vocabulary: dict[str, int] = made.get_vocab()
    joined = any(token.startswith("##") for token in vocabulary) or not any(token.startswith(("Ġ", "▁")) for token in vocabulary)
    for id in range(size):
        token = made.id_to_token(id)
        if token is None or id == padding:
            texts.append(b"")
            continue
        text = token.replace("Ġ", " ").replace("▁", " ")
        if joined:  # a tokeniser that marks what goes on in a word, or nothing because tokens are words; not where one begins
            text = text[2:] if text.startswith("##") else f" {text}"
        texts.append(text.encode()[:LONGEST_PIECE])
    return texts


class Vocabulary(Struct, frozen=True, kw_only=True):
    """The terms of one reading that count: `keys` (S,) rising, and `idf` (S + 1,), 0 first, for whatever is no such term.

    idf = 1 + log((1 + N) / (1 + rows with the term)).
    """

    keys: Ints
    idf: NDArray[np.float32]

    @classmethod
    def of(cls, keys_NM: Ints, *, least: int, most: int) -> Vocabulary:
        """The terms in at least `least` rows; of more than `most` the most frequent ones."""
        rows = len(keys_NM)
        sorted_NM = np.sort(keys_NM, axis=1)
        first_NM = np.ones_like(sorted_NM, dtype=np.bool_)
        first_NM[:, 1:] = sorted_NM[:, 1:] != sorted_NM[:, :-1]
        keys_S, count_S = np.unique(sorted_NM[first_NM & (sorted_NM > 0)], return_counts=True)
        kept = np.flatnonzero(count_S >= least)
        if len(kept) > most:
            kept = np.sort(kept[np.argsort(-count_S[kept], kind="stable")[:most]])
        idf_S = 1 + np.log((1 + rows) / (1 + count_S[kept]))
        return cls(keys=keys_S[kept], idf=np.concatenate([[0.0], idf_S]).astype(np.float32))

    def places(self, keys_NM: Ints) -> Ints:
        """(N, M) 1 + the place of each run among the terms, 0 for others."""
        if not len(self.keys):
            return np.zeros_like(keys_NM)
        at_NM = np.minimum(np.searchsorted(self.keys, keys_NM), len(self.keys) - 1)
        return np.where(self.keys[at_NM] == keys_NM, at_NM + 1, 0)

    def nodes(self, nodes: Nodes, keys: str) -> str:
        """The same in a graph."""
        numbers = list(range(1, len(self.keys) + 1))
        attributes: dict[str, Any] = {"keys_int64s": self.keys.tolist() or [0], "values_int64s": numbers or [0], "default_int64": 0}
        return nodes.add("LabelEncoder", keys, domain="ai.onnx.ml", **attributes)


def _int(nodes: Nodes, value: int) -> str:
    return nodes.constant(np.array(value, dtype=np.int64))


def _ints(nodes: Nodes, *values: int) -> str:
    return nodes.constant(np.array(values, dtype=np.int64))
