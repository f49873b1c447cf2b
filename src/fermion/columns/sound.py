"""Sound as numbers: resampling and log-mel spectrograms in numpy, the same in training and in serving.

Legend of shapes: S samples, T frames, W samples of a window, K frequencies, M mel bands.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scale = Literal["slaney", "htk"]

CROSSINGS = 24  # of zero on each side of the resampling kernel
BETA = 9.0  # of its Kaiser window: about 90 dB down
ROLLOFF = 0.94  # of the lower Nyquist frequency is kept
COMMON = 1_000  # phases up to which weights are kept: 640 at the most between rates in use; of others no more are made than are needed
FLOOR = 1e-8  # added to a band's power before its logarithm: about 20 dB above the rounding noise of 16 bits


def resampled(x_S: NDArray[np.floating], rate: int, to: int) -> Floats:
    """(S,) samples at `rate` Hz -> (ceil(S to / rate),) samples at `to` Hz.

    With up/down = to/rate in lowest terms, y[n] = sum_k x[k] h(n down - k up), where h is a sinc that ends at 0.94 of the lower of the
    two Nyquist frequencies, under a Kaiser window. Outputs of one phase n mod up share their weights (a polyphase filter), which are
    scaled to add up to 1.

    >>> resampled(np.ones(100), 8_000, 16_000)[50:54].round(3).tolist()
    [1.0, 1.0, 1.0, 1.0]

    Smith: Digital Audio Resampling, CCRMA, Stanford, 2002.
    """
    signal_S = x_S.astype(np.float64)
    if rate == to or not len(signal_S):
        return signal_S
    up, down = to // math.gcd(rate, to), rate // math.gcd(rate, to)
    out = -(-len(signal_S) * up // down)
    weights_PW, reach = _common(up, down, up) if up <= COMMON else _phases(up, down, min(up, out))
    padded = np.pad(signal_S, (reach, reach + down))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights_PW.shape[1])
    y = np.empty(out)
    for first in range(min(up, out)):  # outputs first, first + up, ... read every `down`-th window with one set of weights
        count = -(-(out - first) // up)
        start = first * down // up
        y[first::up] = windows[start : start + (count - 1) * down + 1 : down] @ weights_PW[first]
    return y


def _phases(up: int, down: int, phases: int) -> tuple[Floats, int]:
    """(P, W) the weights of the W inputs around each output, by n mod up for the first phases, and how many of them lie before it."""
    cut = ROLLOFF * min(1.0, up / down)  # in shares of the input's Nyquist frequency
    reach = math.ceil(CROSSINGS / cut)
    offset_P = (np.arange(phases) * down % up) / up  # where the output lies behind input floor(n down / up)
    t_PW = np.arange(-reach, reach + 1)[None] - offset_P[:, None]
    inside_PW = np.clip(1 - (t_PW / (reach + 1)) ** 2, 0, None)
    weights_PW = np.sinc(cut * t_PW) * np.i0(BETA * np.sqrt(inside_PW))
    return weights_PW / weights_PW.sum(axis=1, keepdims=True), reach


_common = functools.lru_cache(maxsize=16)(_phases)


def hertz_to_mel(hertz: Floats, scale: Scale) -> Floats:
    """Frequencies on a scale of equally heard steps.

    - "slaney": 3 f / 200 below 1,000 Hz, above 15 + 27 log(f / 1000) / log 6.4 (Slaney, Auditory Toolbox, 1998)
    - "htk": 2595 log10(1 + f / 700) (Young et al., The HTK Book, 2006)

    >>> hertz_to_mel(np.array([200.0, 6400.0]), "slaney").round(6).tolist(), hertz_to_mel(np.array([700.0]), "htk").round(2).tolist()
    ([3.0, 42.0], [781.17])
    """
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    return np.where(hertz < 1000.0, 3.0 * hertz / 200.0, 15.0 + 27.0 * np.log(np.maximum(hertz, 1.0) / 1000.0) / math.log(6.4))


def mel_to_hertz(mel: Floats, scale: Scale) -> Floats:
    """The inverse of `hertz_to_mel`.

    >>> mel_to_hertz(np.array([42.0]), "slaney").round(3).tolist()
    [6400.0]
    """
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return np.where(mel < 15.0, 200.0 * mel / 3.0, 1000.0 * np.exp((mel - 15.0) * math.log(6.4) / 27.0))


def band_edges(mels: int, low: float, high: float, scale: Scale) -> Floats:
    """(M + 2,) frequencies from `low` to `high` Hz, equally far apart on the mel scale: band m lies between edges m and m + 2.

    >>> band_edges(2, 0.0, 600.0, "slaney").tolist()
    [0.0, 200.0, 400.0, 600.0]
    """
    first, last = hertz_to_mel(np.array([low, high]), scale).tolist()
    return mel_to_hertz(np.linspace(first, last, mels + 2), scale)


@functools.lru_cache(maxsize=32)
def filters(rate: int, size: int, mels: int, low: float, high: float, scale: Scale) -> Floats:
    """(K, M) triangles over K = size/2 + 1 frequencies: band m rises from edge m to edge m + 1 and falls to edge m + 2.

    Slaney's triangles have an area of 1, HTK's a height of 1.
    """
    edges = band_edges(mels, low, high, scale)
    f_K1 = np.fft.rfftfreq(size, 1 / rate)[:, None]
    rise_KM = (f_K1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall_KM = (edges[2:] - f_K1) / (edges[2:] - edges[1:-1])
    weights_KM = np.maximum(0.0, np.minimum(rise_KM, fall_KM))
    return weights_KM * (2.0 / (edges[2:] - edges[:-2])) if scale == "slaney" else weights_KM


def transform_size(rate: int, window: int, mels: int, low: float, high: float, scale: Scale) -> int:
    """The length of the Fourier transform: a power of two of at least a window, and so long that no band falls between two frequencies.

    >>> transform_size(16_000, 400, 64, 20.0, 8_000.0, "slaney"), transform_size(8_000, 200, 128, 20.0, 4_000.0, "slaney")
    (512, 512)
    """
    edges = band_edges(mels, low, high, scale)
    narrowest = float(np.diff(edges).min())
    return 1 << max(1, math.ceil(math.log2(max(window, rate / narrowest))))


def log_mel(x_S: NDArray[np.floating], rate: int, *, window: int, hop: int, mels: int, low: float, high: float, scale: Scale) -> Floats:
    """(S,) samples -> (T, M) log-mel spectrogram with T = 1 + ceil(max(0, S - window) / hop).

    Frame t holds samples t hop .. t hop + window - 1, zeros where the clip has ended. With w the periodic Hann window,

        p_tk = |sum_s w_s x_{t hop + s} exp(-2 pi i k s / size)|^2 / sum_s w_s^2,    y_tm = log(sum_k p_tk f_km + 1e-8)

    so the power does not depend on the length of the window. Nothing is looked at before or beyond the clip.

    Args:
        window, hop: in samples.
        low, high: the outer edges of the first and the last band, Hz.
    """
    frames = 1 + -(-max(0, len(x_S) - window) // hop)
    padded = np.zeros((frames - 1) * hop + window)
    padded[: len(x_S)] = x_S
    w_W = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    size = transform_size(rate, window, mels, low, high, scale)
    filters_KM = filters(rate, size, mels, low, high, scale)
    frames_TW = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * w_W
    spectrum_TK = np.fft.rfft(frames_TW, size)
    power_TK = (spectrum_TK.real**2 + spectrum_TK.imag**2) / (w_W @ w_W)
    return np.log(power_TK @ filters_KM + FLOOR)
