"""A clip of sound."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, structs
from numpy.typing import NDArray

from fermion.columns import sound
from fermion.columns.column import Slot, Values, is_missing, rejected
from fermion.core import lazy
from fermion.core.errors import Told, ValueRejected

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".au")
LONGEST = 30.0  # s, the most that is learned; more is declared
MOST = 64_000_000  # samples that are decoded of one file
RULE = "a readable sound file (wav, flac, ogg, ...)"
Samples = NDArray[np.float32]


class Clip(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A clip in JSON without a codec: base64 of little-endian float32 samples from -1 to 1, `rate` of them per second."""

    rate: Annotated[int, Meta(ge=1, le=1_000_000)]
    samples: bytes


class Audio(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="audio"):
    """A clip as a log-mel spectrogram (N, T, mels) float32 with a mask (N, T), or as samples (N, S) with a mask (N, S).

    A value is a sound file as bytes or a path, an array of samples (S,) or (S, channels) at `rate`, or {"rate": r, "samples": ...} with
    an array, or in JSON base64 of float32. Channels are averaged, other rates are resampled. Zeros in `rate` and `seconds` are
    learned: the most frequent rate of the training clips, and the length of the longest, at most 30 s; of longer clips the beginning
    is kept. Shorter ones are filled with zeros, where the mask is false; a missing clip and one without a sample are one missing step.

    How the spectrogram is made stands in `fermion.columns.sound.log_mel`. Files need the extra `media`; arrays need nothing.

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32)
    >>> fitted = Audio(rate=8000, mels=40).fit([tone])
    >>> mel, mask = fitted.encode([tone, tone[:4000]])
    >>> mel.shape, mask.sum(axis=1).tolist()
    ((2, 99, 40), [99, 49])
    """

    rate: Annotated[int, Meta(ge=0, le=1_000_000, description="Samples per second that clips are brought to; 0 to learn it.")] = 0
    seconds: Annotated[float, Meta(ge=0.0, le=3600.0, description="How much of a clip is kept; 0 to learn it.")] = 0.0
    features: Annotated[Literal["mel", "wave"], Meta(description="A log-mel spectrogram, or the samples for a pretrained net.")] = "mel"
    mels: Annotated[int, Meta(ge=1, le=512, description="Bands of the spectrogram.")] = 64
    window: Annotated[float, Meta(gt=0.0, le=1.0, description="Seconds that one frame looks at.")] = 0.025
    hop: Annotated[float, Meta(gt=0.0, le=1.0, description="Seconds from one frame to the next.")] = 0.010
    low: Annotated[float, Meta(ge=0.0, description="The lowest frequency, Hz.")] = 20.0
    high: Annotated[float, Meta(ge=0.0, description="The highest frequency, Hz; 0 for half of the rate.")] = 0.0
    scale: Annotated[sound.Scale, Meta(description="The mel scale: Slaney's (as librosa) or HTK's.")] = "slaney"
    files: Annotated[bool, Meta(description="Learned: whether the training values were sound files.")] = False

    @property
    def slots(self) -> tuple[Slot, ...]:
        mask = Slot(name="mask", dtype="bool", shape=(None,), padding=0.0, role="mask")
        if self.features == "wave":
            return Slot(name="wave", dtype="float32", shape=(None,), padding=0.0, role="wave"), mask
        return Slot(name="mel", dtype="float32", shape=(None, self.mels), padding=0.0, role="series"), mask

    @property
    def request(self) -> Any:
        return bytes | Clip

    @property
    def needs(self) -> tuple[str, ...]:
        return ("media",) if self.files else ()

    def fit(self, values: Values) -> Audio:
        rates, seconds, files = Counter[int](), 0.0, False
        for row, value in enumerate(values):
            if not is_missing(value):
                rate, length = self._measured(value, values, row)
                if length:
                    rates[rate] += 1
                seconds = max(seconds, length / rate)
                files = files or isinstance(value, bytes | str | Path)
        learned = min(rates, key=lambda rate: (-rates[rate], -rate)) if rates else 16_000
        return structs.replace(
            self, rate=self.rate or learned, seconds=self.seconds or min(max(seconds, self.window), LONGEST), files=self.files or files
        )

    def encode(self, values: Values) -> tuple[NDArray[Any], ...]:
        read = [self._features(value, values, row) for row, value in enumerate(values)]
        longest = max((len(one) for one in read), default=1)
        x_NT = np.zeros((len(read), longest, *((self.mels,) if self.features == "mel" else ())), dtype=np.float32)
        mask_NT = np.zeros((len(read), longest), dtype=np.bool_)
        for row, one in enumerate(read):
            x_NT[row, : len(one)] = one
            mask_NT[row, : len(one)] = True
        return x_NT, mask_NT

    def blank(self, values: Values) -> NDArray[np.bool_]:
        """(N,) whether a clip has no samples; of a file only its head is read."""
        return np.fromiter((_is_empty(value) for value in values), np.bool_, len(values))

    def plain(self, value: object) -> object:
        if is_missing(value):
            return None
        samples = self.samples(value, [value], 0)
        return {"rate": self.rate, "samples": base64.b64encode(samples.astype("<f4").tobytes()).decode()}

    def samples(self, value: Any, values: Values, row: int) -> Samples:
        """A value that is not missing -> (S,) float32, one channel at `rate`, no more than `seconds`.

        Raises:
            ValueRejected: it is no clip, with its row.
        """
        rate, x_SC = self._decoded(value, values, row)
        x_SC = x_SC[: self._enough(rate)]  # before it is resampled: a low rate would make many samples of few
        x_S = x_SC.mean(axis=1, dtype=np.float64) if x_SC.shape[1] > 1 else x_SC[:, 0]
        most = round(self.seconds * self.rate)
        return sound.resampled(x_S, rate, self.rate)[:most].astype(np.float32)

    def _enough(self, rate: int) -> int:
        """The samples at this rate that decide what is kept, with those that the filter reaches beyond it."""
        return math.ceil(self.seconds * rate) + max(rate // 4, 64)

    def _features(self, value: Any, values: Values, row: int) -> NDArray[Any]:
        x_S = np.empty(0, dtype=np.float32) if is_missing(value) else self.samples(value, values, row)
        if self.features == "wave":
            return x_S if len(x_S) else np.zeros(1, dtype=np.float32)
        if not len(x_S):
            return np.full((1, self.mels), np.nan)
        return sound.log_mel(
            x_S,
            self.rate,
            window=max(1, round(self.window * self.rate)),
            hop=max(1, round(self.hop * self.rate)),
            mels=self.mels,
            low=min(self.low, 0.25 * self.rate),
            high=min(self.high or math.inf, 0.5 * self.rate),
            scale=self.scale,
        )

    def _measured(self, value: Any, values: Values, row: int) -> tuple[int, int]:
        """The rate of a clip and its number of samples; of a file only its head is read."""
        if isinstance(value, bytes | str | Path):
            with _opened(value, values, row) as file:
                return file.samplerate, file.frames
        rate, x_SC = self._decoded(value, values, row)
        return rate, len(x_SC)

    def _decoded(self, value: Any, values: Values, row: int) -> tuple[int, NDArray[np.floating]]:
        """The rate of a clip and its samples (S, channels), of a file as many as are kept."""
        if isinstance(value, bytes | str | Path):
            return self._of_file(value, values, row)
        if isinstance(value, dict) and set(value) == {"rate", "samples"}:  # pyright: ignore[reportUnknownArgumentType]
            given, rate = value["samples"], value["rate"]  # pyright: ignore[reportUnknownVariableType]
        else:
            given, rate = (value.samples, value.rate) if isinstance(value, Clip) else (value, self.rate)
        if not isinstance(rate, int | np.integer) or isinstance(rate, bool) or not 0 <= rate <= 1_000_000:
            raise rejected(values, row, "a clip whose rate is a whole number of samples per second up to 1,000,000")
        if not rate:
            rule = "a clip that says its rate, where the column does not: declare `columns: {NAME: {type: audio, rate: 16000}}`"
            raise ValueRejected("value", rule=rule, given=Told("bare samples"), where=f"row {row}")
        return int(rate), _samples(given, values, row)

    def _of_file(self, value: bytes | str | Path, values: Values, row: int) -> tuple[int, NDArray[np.floating]]:
        with _opened(value, values, row) as file:
            wanted = file.frames if not self.seconds else min(file.frames, self._enough(file.samplerate))
            if wanted * file.channels > MOST:
                told = Told(f"{wanted:,} samples of {file.channels} channels")
                raise ValueRejected("value", rule=f"a clip of at most {MOST:,} samples", given=told, where=f"row {row}")
            try:
                x_SC: NDArray[np.float32] = file.read(wanted, dtype="float32", always_2d=True)
            except (RuntimeError, ValueError, MemoryError):
                raise rejected(values, row, RULE) from None
            if (len(x_SC) < wanted and file.format in ("WAV", "FLAC", "AIFF")) or not np.isfinite(x_SC).all():
                raise rejected(values, row, f"{RULE} that is whole")
            return file.samplerate, x_SC


def _is_empty(value: Any) -> bool:
    if isinstance(value, bytes | str | Path):
        try:
            with _opened(value, [value], 0) as file:
                return not file.frames
        except ValueRejected:
            return False
    held = value.get("samples") if isinstance(value, dict) else value.samples if isinstance(value, Clip) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return isinstance(held, bytes | list | tuple | np.ndarray) and not len(held)  # pyright: ignore[reportUnknownArgumentType]


def _samples(given: Any, values: Values, row: int) -> NDArray[np.floating]:
    """Samples without a file -> (S, channels), from -1 to 1 as they are, whole numbers of 16 bits in units of 2^-15."""
    rule = "samples as a float array (S,) or (S, channels), a list of numbers, or base64 of float32"
    if isinstance(given, bytes):
        if len(given) % 4:
            raise rejected(values, row, rule)
        given = np.frombuffer(given, dtype="<f4")
    try:
        x: NDArray[Any] = np.asarray(given) if isinstance(given, list | tuple | np.ndarray) and len(given) else np.empty(0, np.float32)  # pyright: ignore[reportUnknownArgumentType]
    except ValueError:
        raise rejected(values, row, rule) from None
    bare = not isinstance(given, list | tuple | np.ndarray)
    if x.dtype == np.int16:
        x = x / np.float32(1 << 15)
    if bare or x.ndim not in (1, 2) or x.dtype.kind not in ("f" if isinstance(given, np.ndarray) else "iuf"):
        raise rejected(values, row, rule)
    if not np.isfinite(x).all() or (x.size and np.abs(x).max() > 1e6):
        raise rejected(values, row, "samples that are finite numbers from about -1 to 1")
    return (x if x.ndim == 2 else x[:, None]).astype(np.float32)


def _opened(value: bytes | str | Path, values: Values, row: int) -> Any:
    """The sound file, with libsndfile, which tells the format by its first bytes."""
    soundfile = lazy.load("soundfile", extra="media")
    try:
        if isinstance(value, bytes):
            head, size = value[:8], len(value)
        else:
            with Path(value).open("rb") as file:
                head, size = file.read(8), file.seek(0, 2)
        if is_cut_off(head, size):
            raise rejected(values, row, f"{RULE} that is whole")
        return soundfile.SoundFile(io.BytesIO(value) if isinstance(value, bytes) else str(value))
    except (OSError, RuntimeError, ValueError):
        raise rejected(values, row, RULE) from None


def is_cut_off(head: bytes, size: int) -> bool:
    """Whether a wav file says that it is longer than it is; one that was written as a stream does not know its length.

    >>> is_cut_off(b"RIFF" + (100).to_bytes(4, "little"), 50)
    True
    """
    said = int.from_bytes(head[4:8], "little")
    return head.startswith(b"RIFF") and said < 0xFFFFFF00 and said + 8 > size


def is_sound(head: bytes) -> bool:
    """Whether these are the first bytes of a sound file.

    >>> is_sound(b"RIFF\\0\\0\\0\\0WAVE"), is_sound(b"RIFF\\0\\0\\0\\0WEBP")
    (True, False)
    """
    return head.startswith((b"fLaC", b"OggS", b"ID3", b".snd")) or (head[:4] in (b"RIFF", b"FORM", b"RF64") and head[8:12] in _KINDS)


_KINDS = (b"WAVE", b"AIFF", b"AIFC")
