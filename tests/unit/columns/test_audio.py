"""Clips of sound: formats, rates, channels, lengths, and what is refused."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from fermion.bundle.profile import sketched
from fermion.columns import audio as module
from fermion.columns import sound
from fermion.columns.audio import Audio, Clip
from fermion.columns.image import Image
from fermion.columns.infer import guess
from fermion.columns.private import invented
from fermion.columns.schema import Field
from fermion.core.errors import ValueRejected

RATE = 8_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def file(x: Any = TONE, rate: int = RATE, form: str = "WAV", kind: str = "PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, x, rate, format=form, subtype=kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("form", "kind", "off"),
    [("WAV", "PCM_U8", 8e-3), ("WAV", "PCM_16", 4e-5), ("WAV", "PCM_24", 2e-7), ("WAV", "FLOAT", 1e-7), ("FLAC", "PCM_16", 4e-5)],
)
def test_every_format_is_the_same_sound(form: str, kind: str, off: float) -> None:
    fitted = Audio(features="wave").fit([file(form=form, kind=kind)])
    wave, mask = fitted.encode([file(form=form, kind=kind)])
    assert (fitted.rate, fitted.seconds, fitted.needs) == (RATE, 1.0, ("media",))
    assert mask.all()
    np.testing.assert_allclose(wave[0], TONE, atol=off)


def test_channels_are_averaged() -> None:
    two = np.stack([TONE, -TONE / 2], axis=1)
    wave, _ = Audio(features="wave", rate=RATE).fit([two]).encode([two])
    np.testing.assert_allclose(wave[0], TONE / 4, atol=1e-7)


def test_the_most_frequent_rate_is_learned_and_others_are_brought_to_it() -> None:
    fitted = Audio(features="wave").fit([file(), file(), file(rate=16_000)])
    assert fitted.rate == RATE
    twice = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / (2 * RATE))
    wave, _ = fitted.encode([file(twice, rate=16_000, kind="FLOAT")])
    np.testing.assert_allclose(wave[0, 500:-500], TONE[500:-500], atol=1e-4)


def test_the_beginning_of_long_clips_is_kept() -> None:
    fitted = Audio(features="wave", seconds=0.25, rate=4_000).fit([file()])
    wave, mask = fitted.encode([file(), file(TONE[:800])])
    assert wave.shape == (2, 1000)
    assert mask.sum(axis=1).tolist() == [1000, 400]
    assert Audio(rate=10).fit([np.zeros(1000)]).seconds == module.LONGEST


def test_a_clip_without_a_sample_is_one_missing_step() -> None:
    mel, mask = Audio(rate=RATE, mels=4).fit([TONE]).encode([np.empty(0), None, TONE])
    assert mask[:2, 0].all()
    assert mask[:2].sum() == 2
    assert np.isnan(mel[:2, 0]).all()
    assert not np.isnan(mel[2]).any()


def test_a_path_means_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(file())
    (tmp_path / "b.flac").write_bytes(file(form="FLAC"))
    paths = [tmp_path / "a.wav", str(tmp_path / "b.flac")]
    fitted = Audio().fit(paths)
    assert fitted == Audio().fit([file(), file(form="FLAC")])
    np.testing.assert_array_equal(fitted.encode(paths)[0], fitted.encode([file(), file(form="FLAC")])[0])
    assert guess(list(map(str, paths))) == Audio()


def test_sound_and_pictures_that_begin_alike_are_told_apart() -> None:
    assert guess([file(), file(form="FLAC")]) == Audio()
    assert guess([b"RIFF\0\0\0\0WEBPVP8 "]) == Image()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "row 1: value must be a readable sound file (wav, flac, ogg, ...), got b''."),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "row 1: value must be a readable sound file (wav, flac, ogg, ...), got "),
        (file()[:5000], "row 1: value must be a readable sound file (wav, flac, ogg, ...) that is whole, got "),
        (file(form="FLAC")[:3000], "row 1: value must be a readable sound file (wav, flac, ogg, ...)"),
        ("no/such/file.wav", "row 1: value must be a readable sound file (wav, flac, ogg, ...), got 'no/such/file.wav'."),
        ([float("inf")], "row 1: value must be samples that are finite numbers from about -1 to 1, got [inf]."),
        ({"rate": 0.5, "samples": []}, "row 1: value must be a clip whose rate is a whole number of samples per second up to 1,000,000"),
    ],
)
def test_what_is_no_clip_is_told_with_its_row(value: Any, told: str) -> None:
    with pytest.raises(ValueRejected) as error:
        Audio(rate=RATE).fit([TONE]).encode([TONE, value])
    assert str(error.value).startswith(told)


def test_samples_without_a_rate_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueRejected, match=r"a clip that says its rate, .* \{type: audio, rate: 16000\}"):
        Audio().fit([TONE])
    assert Audio().fit([{"rate": RATE, "samples": TONE}]).rate == RATE


def test_a_file_of_hours_is_refused_unless_its_beginning_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 4_000)
    fitted = Audio().fit([file()])
    with pytest.raises(ValueRejected, match=r"row 0: value must be a clip of at most 4,000 samples, got 8,000 samples of 1 channels"):
        fitted.encode([file()])
    assert Audio(seconds=0.1).fit([file()]).encode([file()])[1].sum() == 9


def test_json_carries_samples_without_a_codec() -> None:
    fitted = Audio(rate=RATE, mels=4).fit([TONE])
    sent = msgspec.json.encode({"rate": RATE, "samples": base64.b64encode(TONE.astype("<f4").tobytes()).decode()})
    clip = msgspec.json.decode(sent, type=fitted.request)
    assert isinstance(clip, Clip)
    np.testing.assert_array_equal(fitted.encode([clip])[0], fitted.encode([TONE])[0])
    assert msgspec.json.decode(msgspec.json.encode(file()), type=fitted.request) == file()


def test_a_profile_counts_loudness_and_nothing_of_a_private_clip_is_shown() -> None:
    for column in (Audio(rate=RATE), Audio(rate=RATE, features="wave")):
        fitted = column.fit([TONE, TONE[:4000]])
        level = sketched(Field(name="x", column=fitted), [TONE, None, TONE / 10])
        assert level[0] > level[2]  # type: ignore[operator]
        (made, gap) = invented(fitted, [TONE, None], np.random.default_rng(0))
        assert gap is None
        assert len(made) == len(TONE)  # type: ignore[arg-type]
        assert not np.allclose(made, TONE)  # type: ignore[arg-type]


def test_of_a_clip_no_more_is_resampled_than_is_kept() -> None:
    column, x = Audio(rate=16_000, seconds=1.0), np.random.default_rng(0).normal(size=30_000).astype(np.float32)
    for rate in (1, 100, 8_000):
        whole = sound.resampled(x[: 3 * rate + 200], rate, 16_000)[:16_000].astype(np.float32)
        kept = column.samples({"rate": rate, "samples": x}, [x], 0)
        np.testing.assert_array_equal(kept, whole)
