from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fermion.columns import assets
from fermion.columns.assets import Asset
from fermion.columns.text import CHARACTERS, LONGEST, Text, read_texts
from fermion.columns.tokenizer import opened, rare_ids
from fermion.core.errors import BundleError, DataError, SpecError, ValueRejected

tokenizers = pytest.importorskip("tokenizers")
NOTES = ["good food and good wine", "bad food", "the wine was good", "the food was bad, the wine was bad"] * 5


def word_level(path: Path, *, padding: bool = True) -> Path:
    """A small tokenizer.json with special tokens of its own, as models in the wild have it: padding to 8 and truncation at 6 are on."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "food", "wine"]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    if padding:
        made.enable_padding(pad_id=0, pad_token="[PAD]", length=8)
        made.enable_truncation(6)
    made.save(str(path))
    return path


@pytest.mark.parametrize("algorithm", ["bpe", "unigram", "words"])
def test_training_gives_the_same_file_in_another_process(algorithm: str) -> None:
    code = (
        "from fermion.columns.text import Text; from tests.unit.columns.test_text import NOTES;"
        f"print(Text(algorithm={algorithm!r}, vocabulary=290).fit(NOTES).asset.sha256)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True, text=True)
    here = Text(algorithm=algorithm, vocabulary=290).fit(NOTES).asset  # pyright: ignore[reportArgumentType]
    assert here is not None
    assert done.stdout.strip() == here.sha256


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_nothing_that_can_be_written_is_unknown(algorithm: str) -> None:
    column = Text(algorithm=algorithm, vocabulary=290, lower=False, unicode=False).fit(NOTES)  # pyright: ignore[reportArgumentType]
    assert column.asset is not None
    text = "Käse 日本 \x00 😀 <pad> <the padding> <the unknown>"
    ids = column.tokens([text])[0]
    assert min(ids) >= (1 if algorithm == "bpe" else 2)
    assert opened(column.asset, 1000).decode(list(opened(column.asset, 1000).encode(text).ids)) == " " + text


def test_words_are_tokens_and_those_seen_once_are_unknown() -> None:
    texts = ["Where is order 12.50 now?", "where is my order, please?", "the  order: 77.10?"]
    column = Text(algorithm="words").fit(texts)
    assert column.asset is not None
    cut = opened(column.asset, 100)
    assert cut.encode("WHERE is\tthe order 99.99?!").tokens == ["where", "is", "<the unknown>", "order", "00.00", "<the unknown>"]
    assert cut.encode("order?").tokens == ["order", "?"]
    spaced = Text(algorithm="blanks").fit(texts)
    assert [len(ids) for ids in spaced.tokens(["order, please? \n now", "  a  b "])] == [4, 2]
    assert Text(algorithm="words", vocabulary=4).fit(texts).size == 4
    assert Text(algorithm="words").fit([]).size == 2


def test_the_length_is_what_most_training_texts_need() -> None:
    short = Text(vocabulary=300).fit(NOTES)
    assert short.length == max(len(ids) for ids in short.tokens(NOTES)) < LONGEST
    assert Text(vocabulary=300).fit(["a b c d e f g h " * 100] * 3).length == LONGEST
    assert Text(vocabulary=300, length=2).fit(NOTES).encode(NOTES)[0].shape[1] == 2


def test_a_batch_is_as_long_as_its_longest_text_and_never_masked_whole() -> None:
    column = Text(vocabulary=300).fit(NOTES)
    ids, mask = column.encode(["bad", None, "", "bad food"])
    assert ids.shape == mask.shape
    assert mask.any(axis=1).all()
    assert mask.sum(axis=1).tolist()[1:3] == [1, 1]
    assert (ids[~mask] == 0).all()
    assert column.encode([None])[0].tolist() == [[0]]


def test_what_is_cut_off_is_not_looked_at() -> None:
    column = Text(vocabulary=300, length=4).fit(NOTES)
    text = "good wine " * (CHARACTERS * 4)
    assert column.tokens([text]) == column.tokens([text[: CHARACTERS * 4]])


def test_capitals_and_characters_that_look_alike() -> None:
    read = Text(vocabulary=300).fit(NOTES)
    assert read.tokens(["GOOD ｆood"]) == read.tokens(["good food"])
    strict = Text(vocabulary=300, lower=False, unicode=False).fit(NOTES)
    assert strict.tokens(["GOOD"]) != strict.tokens(["good"])
    assert strict.tokens(["ｆood"]) != strict.tokens(["food"])


def test_rare_is_the_share_of_single_bytes() -> None:
    column = Text(vocabulary=400).fit(NOTES)
    usual, foreign, nothing = column.rare(["good food and good wine", "日本語", None])
    assert usual < 0.2 < 0.99 < foreign
    assert np.isnan(nothing)


class TestAPretrainedTokenizer:
    def test_it_is_used_as_it_is_without_its_padding(self, tmp_path: Path) -> None:
        column = Text(tokenizer=str(word_level(tmp_path / "tokenizer.json"))).fit(NOTES)
        assert column.size == 8
        assert column.tokens(["Good wine", "good [SEP] nonsense", ""]) == [[2, 4, 7, 3], [2, 4, 1, 1, 1, 1, 3], [2, 3]]
        assert column.asset is not None
        written = json.loads(column.asset.read())
        assert written["padding"] is None
        assert written["truncation"] is None
        assert rare_ids(column.asset) == {1}

    def test_its_special_tokens_stay_when_a_text_is_cut(self, tmp_path: Path) -> None:
        column = Text(tokenizer=str(word_level(tmp_path / "tokenizer.json")), length=4).fit(NOTES)
        assert column.tokens(["good good good good bad"]) == [[2, 4, 4, 3]]

    def test_padding_of_its_own(self, tmp_path: Path) -> None:
        made = tokenizers.Tokenizer.from_file(str(word_level(tmp_path / "a.json", padding=False)))
        made.enable_padding(pad_id=5, pad_token="bad")
        made.save(str(tmp_path / "b.json"))
        column = Text(tokenizer=str(tmp_path / "b.json")).fit(NOTES)
        assert column.padding == column.slots[0].padding == 5
        assert column.encode([None, "good"])[0].tolist() == [[5, 5, 5], [2, 4, 3]]

    def test_what_is_no_tokenizer_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "broken.json").write_bytes(word_level(tmp_path / "tokenizer.json").read_bytes()[:-20])
        for name, rule in {"broken.json": "a tokenizer.json", "nowhere.json": "a file that can be read"}.items():
            with pytest.raises(DataError, match=f"the tokeniser .*{name} must be {rule}, got .*Give the path of a tokenizer.json"):
                Text(tokenizer=str(tmp_path / name)).fit(NOTES)

    def test_it_is_declared_alone(self) -> None:
        with pytest.raises(SpecError, match=r"a text column with `tokenizer` must be declared without vocabulary"):
            Text(tokenizer="a.json", vocabulary=300)


def test_an_asset_with_other_bytes_is_told() -> None:
    bad = assets.keep("tokenizer.json", b'{"version": "1.0"}')
    with pytest.raises(BundleError, match=r"the asset tokenizer-.*json must be a tokenizer.json, got .*The bundle was made with"):
        Text(asset=bad, size=10, length=5).encode(["a"])
    with pytest.raises(BundleError, match=r"the asset gone.json must be in memory before its column is used"):
        Text(asset=Asset(name="gone.json", sha256="0" * 64), size=10, length=5).encode(["a"])


def test_a_text_is_never_made_of_something_else() -> None:
    for value in (3, b"a", ["a"]):
        with pytest.raises(ValueRejected, match="row 1: value must be text or null"):
            read_texts(["a", value])


def test_a_tokeniser_inside_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "some_package_with_a_tokeniser"
    folder.mkdir()
    (folder / "__init__.py").touch()
    asset = Text(vocabulary=300).fit(["good food", "bad food"]).asset
    assert asset is not None
    (folder / "tokenizer.json").write_bytes(asset.read())
    monkeypatch.syspath_prepend(tmp_path)
    inside = Text(tokenizer=f"package://{folder.name}/tokenizer.json")
    assert inside.fit(["good food"]).asset == asset
    assert inside.placed(tmp_path).asset == asset
