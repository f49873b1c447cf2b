"""Resampling against scipy's and against tones that are known, and the spectrogram against its formula."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

from fermion.columns import sound

RATES = [(44_100, 16_000), (16_000, 8_000), (8_000, 16_000), (11_025, 16_000), (22_050, 44_100)]


def error(made: Any, want: Any, edge: int) -> float:
    """The power of the difference to that of the tone, in dB, without the ends."""
    inner = slice(edge, -edge)
    return 10 * math.log10(float(np.mean((made[inner] - want[inner]) ** 2)) / 0.5)


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_tones_survive_resampling_better_than_scipys(rate: int, to: int) -> None:
    t = np.arange(rate // 2) / rate
    for hertz in (100.0, 1000.0, 0.4 * min(rate, to)):
        x = np.sin(2 * np.pi * hertz * t)
        made = sound.resampled(x, rate, to)
        theirs = resample_poly(x, to // math.gcd(rate, to), rate // math.gcd(rate, to))
        assert len(made) == len(theirs)
        want = np.sin(2 * np.pi * hertz * np.arange(len(made)) / to)
        ours = error(made, want, to // 10)
        assert ours < -85
        assert ours < error(theirs, want, to // 10)


@pytest.mark.parametrize(("rate", "to"), [pair for pair in RATES if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_hold_is_gone(rate: int, to: int) -> None:
    x = np.sin(2 * np.pi * 0.56 * to * np.arange(rate // 2) / rate)
    assert error(sound.resampled(x, rate, to), np.zeros(-(-rate // 2 * to // rate)), to // 10) < -85


def test_a_resampled_beginning_does_not_depend_on_the_end() -> None:
    x = np.random.default_rng(0).normal(size=20_000)
    np.testing.assert_array_equal(sound.resampled(x[:10_000], 44_100, 16_000)[:3000], sound.resampled(x, 44_100, 16_000)[:3000])


@pytest.mark.parametrize("samples", [0, 1, 2, 7])
def test_clips_of_a_few_samples_are_resampled(samples: int) -> None:
    assert len(sound.resampled(np.ones(samples), 44_100, 16_000)) == math.ceil(samples * 16_000 / 44_100)


def test_a_few_samples_of_a_strange_rate_cost_little() -> None:
    began = time.process_time()
    whole = sound.resampled(np.ones(2_000), 999_983, 16_000)
    assert (len(whole), time.process_time() - began < 2.0) == (33, True)
    np.testing.assert_array_equal(sound.resampled(np.ones(1_999), 999_983, 16_000)[:5], whole[:5])


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_the_spectrogram_is_its_formula(scale: sound.Scale) -> None:
    """Sums written out, sample by sample, beside the strided Fourier transform."""
    rate, window, hop, mels, low, high = 2_000, 50, 20, 6, 50.0, 1_000.0
    x = np.random.default_rng(1).normal(size=130)
    size = sound.transform_size(rate, window, mels, low, high, scale)
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * s / window) for s in range(window)]
    edges = sound.band_edges(mels, low, high, scale).tolist()
    want = []
    for start in range(0, len(x) - window + hop, hop):
        frame = [x[start + s] * hann[s] if start + s < len(x) else 0.0 for s in range(window)]
        row = []
        for m in range(mels):
            power = 0.0
            for k in range(size // 2 + 1):
                f = k * rate / size
                weight = max(0.0, min((f - edges[m]) / (edges[m + 1] - edges[m]), (edges[m + 2] - f) / (edges[m + 2] - edges[m + 1])))
                if scale == "slaney":
                    weight *= 2 / (edges[m + 2] - edges[m])
                if weight:
                    real = sum(v * math.cos(2 * math.pi * k * s / size) for s, v in enumerate(frame))
                    imaginary = sum(v * math.sin(2 * math.pi * k * s / size) for s, v in enumerate(frame))
                    power += weight * (real**2 + imaginary**2) / sum(w * w for w in hann)
            row.append(math.log(power + 1e-8))
        want.append(row)
    made = sound.log_mel(x, rate, window=window, hop=hop, mels=mels, low=low, high=high, scale=scale)
    np.testing.assert_allclose(made, want, rtol=1e-9)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(("rate", "mels"), [(8_000, 40), (8_000, 128), (16_000, 64), (44_100, 128)])
def test_no_band_is_empty_and_a_tone_lands_in_its_own(rate: int, mels: int, scale: sound.Scale) -> None:
    setting: dict[str, Any] = {"mels": mels, "low": 20.0, "high": rate / 2, "scale": scale}
    size = sound.transform_size(rate, rate // 40, **setting)
    assert (sound.filters(rate, size, **setting).sum(axis=0) > 0).all()
    edges = sound.band_edges(mels, 20.0, rate / 2, scale)
    band = mels * 3 // 4
    tone = np.sin(2 * np.pi * edges[band + 1] * np.arange(rate) / rate)
    mel = sound.log_mel(tone, rate, window=rate // 40, hop=rate // 100, **setting)
    assert abs(int(mel[10].argmax()) - band) <= 1


def test_the_scales_go_there_and_back() -> None:
    hertz = np.array([0.0, 20.0, 440.0, 999.0, 1000.0, 4000.0, 20_000.0])
    for scale in ("slaney", "htk"):
        np.testing.assert_allclose(sound.mel_to_hertz(sound.hertz_to_mel(hertz, scale), scale), hertz, atol=1e-9)


def test_ten_seconds_take_less_than_a_second() -> None:
    x = np.random.default_rng(0).normal(size=441_000)
    began = time.process_time()
    y = sound.resampled(x, 44_100, 16_000)
    sound.log_mel(y, 16_000, window=400, hop=160, mels=64, low=20.0, high=8_000.0, scale="slaney")
    assert time.process_time() - began < 1.0
