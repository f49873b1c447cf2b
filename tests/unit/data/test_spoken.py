"""Generated words: that they are sound files, the same each time, and that the sounds are what they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.columns.audio import Audio
from fermion.columns.infer import guess
from fermion.data.samples import sample
from fermion.data.spoken import RATE, WORDS, SpokenDigits
from fermion.data.table import Table


@pytest.fixture(scope="module")
def words() -> Table:
    return sample("sample://spoken?rows=120&speakers=6")


def test_a_row_is_a_sound_file_of_a_word(words: Table) -> None:
    clips, spoken = words.values("clip"), words.values("word")
    assert guess(clips) == Audio()
    fitted = Audio().fit(clips)
    assert fitted.rate == RATE
    assert 0.2 < fitted.seconds < 2
    assert [spoken.count(word) for word in WORDS] == [12] * 10  # type: ignore[union-attr]
    assert len(set(words.values("speaker"))) == 6


def test_the_same_settings_give_the_same_words() -> None:
    one, again = (SpokenDigits(rows=10).table().fingerprint for _ in range(2))
    assert one == again != SpokenDigits(rows=10, seed=1).table().fingerprint


def test_more_rows_begin_like_fewer() -> None:
    assert SpokenDigits(rows=12).table().take(range(10)).fingerprint == SpokenDigits(rows=10).table().fingerprint  # type: ignore[arg-type]


def test_fricatives_hiss_and_vowels_do_not(words: Table) -> None:
    clips: Any = words.values("clip")
    mel, mask = Audio(mels=40).fit(clips).encode(clips)
    spoken = np.array(words.values("word"))
    high = np.array(
        [one[there][:, 34:].max(axis=1) - one[there][:, :20].max(axis=1) for one, there in zip(mel, mask, strict=True)], dtype=object
    )
    hiss = np.array([(one > 0).mean() for one in high])
    assert hiss[spoken == "six"].mean() > 0.15 > hiss[spoken == "one"].mean() + 0.1
