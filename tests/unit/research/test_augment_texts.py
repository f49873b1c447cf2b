"""Augmentations of texts: what is changed, what stays, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs

from fermion.columns.output import Output, Probability
from fermion.columns.schema import Schema
from fermion.columns.text import Text
from fermion.columns.tokenizer import written
from fermion.core import registry
from fermion.core.errors import DataError, SpecError
from fermion.core.run import Run
from fermion.research.augment import augmenting
from fermion.research.model import Encoded
from fermion.research.net import Network
from fermion.research.text_augment import Synonyms, TokenDropout, TokenSwap, Typos, slip

pytest.importorskip("tokenizers", reason="the extra `text` is not installed")
NAMES = [name for name in registry.names("augments") if "tokens" in registry.find("augments", name).reads]
TEXTS: list[str | None] = [
    "where is my parcel",
    "please send back my money",
    "I cannot pay for the order with my card",
    "refund",
    None,
    "",
] * 20
WORDS = {"parcel": ("package", "small box"), "money": ("cash",), "refund": ("repayment",)}


def bert(folder: Path) -> str:
    """A tokeniser with [CLS], [SEP] and an unknown token, as BERT's."""
    import tokenizers as tk

    words = sorted({word for text in TEXTS for word in (text or "").lower().split() if word != "card"})
    vocabulary = {
        token: id for id, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, "package", "small", "box", "cash", "##s"])
    }
    made = tk.Tokenizer(tk.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tk.normalizers.BertNormalizer()
    made.pre_tokenizer = tk.pre_tokenizers.BertPreTokenizer()
    made.decoder = tk.decoders.WordPiece()
    made.post_processor = tk.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    path = folder / "tokenizer.json"
    made.save(str(path))
    return str(path)


def table(column: Text, outputs: tuple[Output, ...] = ()) -> Encoded:
    batch: dict[str, Any] = {"note": TEXTS}
    schema = Schema.of({"note": column}).fit(batch)
    kinds = ["a", "b"] * (len(TEXTS) // 2)
    output = Probability(target="kind").fit(kinds)
    return Encoded(schema=schema, outputs=(output, *outputs), arrays=schema.encode(batch), targets={"kind": output.encode(kinds)})


OWN = table(Text(vocabulary=400))


def made(part: Any, rows: Encoded = OWN, seed: int = 0, home: Path | None = None) -> dict[str, np.ndarray[Any, Any]]:
    change = augmenting([part], rows, Run(seed=seed, home=home))
    assert change is not None
    given = {name: torch.from_numpy(array.copy()) for name, array in rows.arrays.items()}
    arrays, _ = change(given, ())
    for name, array in rows.arrays.items():
        np.testing.assert_array_equal(given[name].numpy(), array)  # nothing was changed in place
    return {name: array.numpy() for name, array in arrays.items()}


def texts(arrays: dict[str, Any], rows: Encoded = OWN) -> list[str]:
    column: Any = rows.schema.columns["note"]
    lists = [ids[mask].tolist() for ids, mask in zip(arrays["note.ids"], arrays["note.mask"], strict=True)]
    return [text.strip() for text in written(column.asset, lists)]


def example(name: str) -> Any:
    return Synonyms(words=WORDS, share=1.0) if name == "synonyms" else registry.find("augments", name)(share=0.5)


@pytest.mark.parametrize("name", NAMES)
class TestEveryPart:
    def test_masks_and_padding_stay_right_and_no_row_is_empty(self, name: str) -> None:
        arrays = made(example(name))
        ids, mask = arrays["note.ids"], arrays["note.mask"]
        assert ids.dtype == np.int64
        assert mask.dtype == np.bool_
        assert mask.any(axis=1).all()
        assert (np.diff(mask.astype(int), axis=1) <= 0).all()  # real tokens on the left
        assert (ids[~mask] == 0).all()
        nothing = [row for row, text in enumerate(TEXTS) if not text]
        assert mask[nothing].sum(axis=1).tolist() == [1] * len(nothing)
        assert not ids[nothing].any()

    def test_it_draws_from_the_seed_alone(self, name: str) -> None:
        part = example(name)
        first = made(part)
        assert texts(first) != texts(OWN.arrays)
        for array in first:
            np.testing.assert_array_equal(first[array], made(part)[array])
        assert texts(made(part, seed=1)) != texts(first)

    def test_special_tokens_stay_where_they_are(self, name: str, tmp_path: Path) -> None:
        rows = table(Text(tokenizer=bert(tmp_path)))
        arrays = made(example(name), rows)
        for ids, mask in zip(arrays["note.ids"], arrays["note.mask"], strict=True):
            real = ids[mask].tolist()
            if real != [0]:
                assert (real[0], real[-1], real.count(2), real.count(3)) == (2, 3, 1, 1)

    def test_a_net_learns_with_it(self, name: str) -> None:
        model = Network(width=8, steps=4, batch=16, augment=(example(name),))
        first = model.fit(OWN, OWN, Run()).run(OWN.arrays)["probabilities:kind"]
        np.testing.assert_array_equal(first, model.fit(OWN, OWN, Run()).run(OWN.arrays)["probabilities:kind"])
        assert not np.array_equal(first, structs.replace(model, augment=()).fit(OWN, OWN, Run()).run(OWN.arrays)["probabilities:kind"])

    def test_tokens_with_labels_are_left_where_they_are(self, name: str) -> None:
        class Stepwise(Probability, frozen=True, kw_only=True, tag="of the test"):
            steps: str = "note"

        rows = structs.replace(OWN, outputs=(*OWN.outputs, Stepwise(target="tags", classes=("x", "y"))))
        with pytest.raises(DataError, match=f"`{name}` in model.augment must be for texts whose tokens have no labels, got `note`, whose"):
            made(example(name), rows)


def test_about_the_share_is_left_out_and_the_rest_keeps_its_order() -> None:
    share = 0.3
    before, after = OWN.arrays, made(TokenDropout(share=share))
    real = before["note.ids"] > 0
    assert 0.2 < 1 - (after["note.ids"] > 0).sum() / real.sum() < 0.35
    for old, new in zip(before["note.ids"].tolist(), after["note.ids"].tolist(), strict=True):
        rest = iter(old)
        assert all(token in rest for token in new if token)


def test_one_token_is_always_left() -> None:
    kept = made(TokenDropout(share=0.999))
    lengths = kept["note.mask"].sum(axis=1)
    assert set(lengths.tolist()) == {1}
    assert all(text for text, given in zip(texts(kept), TEXTS, strict=True) if given)


def test_neighbours_swap_in_pairs() -> None:
    column: Any = OWN.schema.columns["note"]
    after = made(TokenSwap(share=1.0))
    np.testing.assert_array_equal(after["note.mask"], OWN.arrays["note.mask"])
    for old, new, mask in zip(OWN.arrays["note.ids"], after["note.ids"], OWN.arrays["note.mask"], strict=True):
        one, two = old[mask].tolist(), new[mask].tolist()
        pairs = [[x for start in range(first, len(one), 2) for x in one[start : start + 2][::-1]] for first in (0, 1)]
        assert two in (pairs[0], one[:1] + pairs[1])
    assert column.size > 256


def test_synonyms_come_from_the_table_whatever_the_tokens(tmp_path: Path) -> None:
    lines = ["word,synonym", "Parcel,package", "parcel,small box", "money,cash", "refund,repayment"]
    (tmp_path / "shop.csv").write_text("\n".join(lines), encoding="utf-8")
    wanted = {
        "where is my parcel": {"where is my package", "where is my small box"},
        "please send back my money": {"please send back my cash"},
    }
    for column in (
        Text(vocabulary=400, length=32),
        Text(algorithm="unigram", vocabulary=400, length=32),
        Text(tokenizer=bert(tmp_path), length=32),
    ):
        rows = table(column)
        told = texts(made(Synonyms(table="shop.csv", share=1.0), rows, home=tmp_path), rows)
        for given, options in wanted.items():
            assert {new for old, new in zip(TEXTS, told, strict=True) if old == given} <= options
        assert len({new for old, new in zip(TEXTS, told, strict=True) if old == "where is my parcel"}) > 1


def test_capitals_are_kept_where_the_column_keeps_them() -> None:
    rows = table(Text(vocabulary=400, lower=False, length=32))
    told = texts(made(Synonyms(words={"i": ("we",)}, share=1.0), rows), rows)
    assert told[2] == "We cannot pay for the order with my card"


def test_a_row_with_an_unknown_token_keeps_its_ids(tmp_path: Path) -> None:
    rows = table(Text(tokenizer=bert(tmp_path)))
    after = made(Typos(share=1.0), rows)
    np.testing.assert_array_equal(after["note.ids"][2, : rows.arrays["note.ids"].shape[1]], rows.arrays["note.ids"][2])  # "card" is unknown


def test_slips_stay_inside_words_of_four_letters_and_more() -> None:
    rng = np.random.default_rng(0)
    slips = {slip("parcel", rng) for _ in range(300)}
    assert {"pracel", "pacel", "paarcel", "psrcel"} <= slips
    assert all(word[0] == "p" and word[-1] == "l" and abs(len(word) - 6) <= 1 for word in slips)
    assert slip("счёт", np.random.default_rng(3)).startswith("с")
    told = texts(made(Typos(share=1.0)))
    assert told[0].split()[1:3] == ["is", "my"]
    assert told[0].split()[0] != "where"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "must be a file of text that can be read, got No such file"),
        ("a,b\nx,y\n", "must be a table with the columns word and synonym, got a, b"),
        ("word,synonym\nx,\n", "must be made of at least one pair, got none"),
    ],
)
def test_a_table_that_is_none_says_what_it_should_be(content: str | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "synonyms.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        made(Synonyms(), home=tmp_path)
    with pytest.raises(SpecError, match="words with a synonym at least, got `cost` without one"):
        Synonyms(words={"cost": ()})
