"""Ten spoken words by several speakers, synthesised: what recognising speech is like, without a recording of anyone.

A word is a few sounds one after the other. Voiced ones are sums of the harmonics of a falling pitch f0(t), each as strong as the
resonances of the vocal tract make it, with formants (F_i, B_i) from Peterson and Barney, "Control Methods Used in a Study of the
Vowels", JASA 24, 1952, as a product of second-order resonances (Klatt: "Software for a Cascade/Parallel Formant Synthesizer",
JASA 67, 1980):

    x(t) = sum_k A(k f0(t), t) sin(2 pi k int f0 dt),   A(f) = f^-0.6 prod_i F_i^2 / sqrt((F_i^2 - f^2)^2 + (B_i f)^2)

Fricatives are noise in a band, stops a silence and a short noise. Formants glide from one sound to the next.
"""

from __future__ import annotations

import io
import wave
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.data.table import Table

RATE = 8_000
GLIDE = 40  # samples
# Formants in Hz, length in s, loudness.
VOICED: dict[str, tuple[tuple[float, float, float], float, float]] = {
    "iy": ((270, 2290, 3010), 0.14, 1.0), "ih": ((390, 1990, 2550), 0.09, 1.0), "eh": ((530, 1840, 2480), 0.11, 1.0),
    "ey": ((460, 2000, 2600), 0.10, 1.0), "ah": ((640, 1190, 2390), 0.12, 1.0), "aa": ((730, 1090, 2440), 0.12, 1.0),
    "ao": ((570, 840, 2410), 0.15, 1.0), "uw": ((300, 870, 2240), 0.16, 1.0), "ow": ((450, 900, 2300), 0.14, 1.0),
    "r": ((420, 1300, 1600), 0.08, 0.7), "w": ((300, 610, 2200), 0.07, 0.6), "n": ((280, 1300, 2500), 0.10, 0.35),
    "v": ((320, 1200, 2300), 0.07, 0.3), "z": ((300, 1700, 2600), 0.10, 0.25),
}  # fmt: skip
# The band in Hz, length in s, loudness.
NOISY: dict[str, tuple[tuple[float, float], float, float]] = {
    "s": ((2600, 3900), 0.13, 0.30), "f": ((1200, 3800), 0.11, 0.08), "th": ((1600, 3900), 0.09, 0.07), "z": ((2600, 3900), 0.10, 0.15),
    "v": ((1200, 3800), 0.07, 0.04), "k": ((1200, 2600), 0.05, 0.35), "t": ((2200, 3900), 0.05, 0.35),
}  # fmt: skip
STOPS = {"k", "t"}
WORDS: dict[str, tuple[str, ...]] = {
    "zero": ("z", "ih", "r", "ow"), "one": ("w", "ah", "n"), "two": ("t", "uw"), "three": ("th", "r", "iy"), "four": ("f", "ao", "r"),
    "five": ("f", "aa", "ih", "v"), "six": ("s", "ih", "k", "s"), "seven": ("s", "eh", "v", "ah", "n"), "eight": ("ey", "ih", "t"),
    "nine": ("n", "aa", "ih", "n"),
}  # fmt: skip

Floats = NDArray[np.float64]


class SpokenDigits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clips of the words zero to nine: `clip` (a wav file of 16 bits at 8 kHz), `word` and `speaker`; every word as often as any other.

    Each speaker has a pitch, a length of the vocal tract, a tempo, an accent and a room's noise of their own: split by `speaker`
    to know what a stranger's voice will be like.

    >>> table = SpokenDigits(rows=20, speakers=2).table()
    >>> table.names, table.values("clip")[0][:4]
    (('clip', 'word', 'speaker'), b'RIFF')
    """

    rows: Annotated[int, Meta(ge=10, le=1_000_000)] = 600
    speakers: Annotated[int, Meta(ge=2, le=10_000)] = 6
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0

    def table(self) -> Table:
        """Generate it: the same settings give the same table."""
        words = list(WORDS)
        voices = [_Voice.drawn(np.random.default_rng([self.seed, 0x50EA, number])) for number in range(self.speakers)]
        columns: dict[str, list[Any]] = {"clip": [], "word": [], "speaker": []}
        for row in range(self.rows):
            word, speaker = words[row % len(words)], row // len(words) % self.speakers
            said = _said(WORDS[word], voices[speaker], np.random.default_rng([self.seed, 0x5A1D, row]))
            columns["clip"].append(_wav(said))
            columns["word"].append(word)
            columns["speaker"].append(f"speaker {speaker + 1}")
        return Table.of(columns)


class _Voice(Struct, frozen=True):
    pitch: float  # Hz
    tract: float  # what formants are multiplied by: the inverse of its length
    tempo: float
    breath: float
    noise: float
    tilt: float
    accent: dict[str, Floats]  # by sound, what its formants are multiplied by

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> _Voice:
        pitch = float(np.exp(rng.uniform(np.log(90), np.log(240))))
        return cls(
            pitch=pitch,
            tract=float(np.clip(0.85 + 0.28 * np.log(pitch / 90) / np.log(240 / 90) + rng.normal(0, 0.04), 0.8, 1.25)),
            tempo=float(np.exp(rng.normal(0, 0.15))),
            breath=float(rng.uniform(0.01, 0.06)),
            noise=float(np.exp(rng.uniform(np.log(0.001), np.log(0.01)))),
            tilt=float(rng.uniform(0.4, 0.9)),
            accent={sound: np.exp(rng.normal(0, 0.05, 3)) for sound in VOICED},
        )


def _said(sounds: tuple[str, ...], voice: _Voice, rng: np.random.Generator) -> Floats:
    """(S,) one word, from -1 to 1, with a little silence around it."""
    spans: list[tuple[str, int]] = []
    for sound in sounds:
        seconds = (VOICED[sound] if sound in VOICED else NOISY[sound])[1] * voice.tempo * float(np.exp(rng.normal(0, 0.12)))
        spans.append((sound, max(80, round(seconds * RATE))))
    total = sum(length for _, length in spans)
    loud_S, noise_S, formants_S3 = np.zeros(total), np.zeros(total), np.full((total, 3), np.nan)
    start = 0
    for sound, length in spans:
        middle = start + length // 2
        if sound in VOICED:
            shape, _, loudness = VOICED[sound]
            loud_S[start : start + length] = loudness
            formants_S3[middle] = np.array(shape) * voice.tract * voice.accent[sound] * np.exp(rng.normal(0, 0.03, 3))
        if sound in NOISY:
            begin = start + length * 3 // 5 if sound in STOPS else start
            noise_S[begin : start + length] += NOISY[sound][2] * _band(rng, start + length - begin, *NOISY[sound][0])
        start += length
    known = np.flatnonzero(~np.isnan(formants_S3[:, 0]))
    for i in range(3):
        formants_S3[:, i] = np.interp(np.arange(total), known, formants_S3[known, i])
    voiced_S = _voiced(_smooth(formants_S3, 0.03), voice, rng) * _smooth(loud_S[:, None], 0.012)[:, 0]
    voiced_S += voice.breath * rng.normal(size=total) * _smooth(loud_S[:, None], 0.012)[:, 0]
    clip = np.concatenate([np.zeros(rng.integers(100, 800)), voiced_S + _smooth_ends(noise_S), np.zeros(rng.integers(100, 800))])
    clip = clip / np.abs(clip).max() * rng.uniform(0.3, 0.9)
    return clip + voice.noise * rng.normal(size=len(clip))


def _voiced(formants_S3: Floats, voice: _Voice, rng: np.random.Generator) -> Floats:
    """(S,) harmonics of the pitch under the resonances of the tract."""
    s = np.arange(len(formants_S3))
    fall = np.linspace(1.08, 0.85, len(s)) * (1 + 0.01 * np.sin(2 * np.pi * 5 * s / RATE + rng.uniform(0, 6)))
    pitch_S = voice.pitch * fall * float(np.exp(rng.normal(0, 0.06)))
    turn_S = 2 * np.pi * np.cumsum(pitch_S) / RATE
    k = np.arange(1, int(0.48 * RATE / pitch_S.max()) + 1)
    f_TK = pitch_S[::GLIDE, None] * k  # strengths change slowly: they are worked out every few samples
    strength_TK = f_TK**-voice.tilt
    for i, width in enumerate((80.0, 110.0, 160.0)):
        peak_T1 = formants_S3[::GLIDE, i : i + 1]
        strength_TK *= peak_T1**2 / np.sqrt((peak_T1**2 - f_TK**2) ** 2 + (width * f_TK) ** 2)
    once_S = np.exp(1j * turn_S)
    wave_S, x_S = np.ones(len(s), dtype=np.complex128), np.zeros(len(s))
    for harmonic, phase in enumerate(rng.uniform(0, 2 * np.pi, len(k))):
        wave_S = wave_S * once_S
        x_S += np.interp(s, s[::GLIDE], strength_TK[:, harmonic]) * (wave_S * np.exp(1j * phase)).imag
    return x_S / np.sqrt(np.mean(x_S**2))


def _band(rng: np.random.Generator, length: int, low: float, high: float) -> Floats:
    """(length,) noise in a band, with a standard deviation of 1."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    f = np.fft.rfftfreq(length, 1 / RATE)
    x = np.fft.irfft(spectrum * np.exp(-(np.clip(np.maximum(low - f, f - high), 0, None) ** 2) / (2 * 250.0**2)), length)
    return x / max(float(x.std()), 1e-9)


def _smooth(x_SC: Floats, seconds: float) -> Floats:
    """Running means over so many seconds, the ends held."""
    width = max(1, round(seconds * RATE)) | 1
    padded = np.pad(x_SC, ((width // 2 + 1, width // 2), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0)
    return (sums[width:] - sums[:-width]) / width


def _smooth_ends(x_S: Floats) -> Floats:
    """Noise that sets in and ends within 5 ms."""
    return x_S * _smooth((x_S != 0).astype(np.float64)[:, None], 0.005)[:, 0]


def _wav(x_S: Floats) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(np.clip(x_S, -1, 1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()
