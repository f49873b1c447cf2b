"""A picture."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.column import Slot, Values, is_missing, rejected
from fermion.core import lazy
from fermion.core.errors import Told, ValueRejected

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")  # Pillow's others include one that runs a program (EPS)


class Pixels(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image in JSON without a codec: base64 of the uint8 bytes in the order height, width, channel."""

    shape: tuple[int, int, int]
    uint8: bytes


class Image(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="image"):
    """A picture as (N, height, width, channels) uint8. Values are encoded bytes, paths, or uint8 arrays (H, W[, C]).

    Zeros in `height`, `width` and `channels` are learned: the size of the training pictures where they agree, else the median,
    to which others are then resized. Scaling to floats happens in the model's graph; a missing picture is black.
    JSON carries base64 of a file, nested lists, or {"shape": [h, w, c], "uint8": base64}; paths never come over HTTP.

    >>> small = Image().fit(np.zeros((2, 8, 8), dtype=np.uint8))
    >>> small.encode([np.full((8, 8), 255, dtype=np.uint8)])[0].shape
    (1, 8, 8, 1)
    """

    height: Annotated[int, Meta(ge=0, le=65535, description="Pixels; 0 to learn it.")] = 0
    width: Annotated[int, Meta(ge=0, le=65535, description="Pixels; 0 to learn it.")] = 0
    channels: Annotated[Literal[0, 1, 3, 4], Meta(description="1 for grey, 3 for RGB, 4 for RGBA; 0 to learn it.")] = 0
    resize: Annotated[bool, Meta(description="Whether pictures of other sizes are resized.")] = False
    files: Annotated[bool, Meta(description="Learned: whether the training values were encoded files.")] = False

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (Slot(name="pixels", dtype="uint8", shape=(self.height, self.width, self.channels), role="image"),)

    @property
    def request(self) -> Any:
        return bytes | Pixels | list[list[int | list[int]]]

    @property
    def needs(self) -> tuple[str, ...]:
        return ("media",) if self.files or self.resize else ()

    def fit(self, values: Values) -> Image:
        sizes, channels, files = Counter[tuple[int, int]](), 1, False
        for row, value in enumerate(values):
            if is_missing(value):
                continue
            height, width, depth = _shape(value, values, row)
            sizes[height, width] += 1
            channels = max(channels, depth)
            files = files or isinstance(value, bytes | str | Path)
        pairs = sorted(sizes.elements())
        height, width = pairs[len(pairs) // 2] if pairs else (1, 1)
        return Image(
            height=self.height or height,
            width=self.width or width,
            channels=self.channels or (1 if channels == 1 else 3),
            resize=self.resize or any(size != (self.height or height, self.width or width) for size in sizes),
            files=files,
        )

    def encode(self, values: Values) -> tuple[NDArray[np.uint8]]:
        shape = (self.height, self.width, self.channels)
        if isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.ndim in (3, 4):
            whole = values if values.ndim == 4 else values[..., None]
            if whole.shape[1:] == shape:
                return (np.ascontiguousarray(whole),)
        x_NHWC = np.zeros((len(values), *shape), dtype=np.uint8)
        for row, value in enumerate(values):
            if not is_missing(value):
                x_NHWC[row] = self._pixels(value, values, row)
        return (x_NHWC,)

    def plain(self, value: object) -> object:
        if is_missing(value):
            return None
        pixels = self.encode([value])[0][0]
        return {"shape": list(pixels.shape), "uint8": base64.b64encode(pixels.tobytes()).decode()}

    def _pixels(self, value: Any, values: Values, row: int) -> NDArray[np.uint8]:
        pixels = self._decoded(value, values, row) if isinstance(value, bytes | str | Path) else _array(value, values, row)
        if pixels.shape[2] != self.channels and pixels.shape[2] == 1:
            pixels = np.repeat(pixels, self.channels, axis=2)
        elif pixels.shape[2] == 4 and self.channels == 3:  # as Pillow turns RGBA into RGB
            pixels = pixels[..., :3]
        if pixels.shape[2] == self.channels and pixels.shape[:2] != (self.height, self.width) and self.resize:
            pixels = self._resized(pixels)
        if pixels.shape != (self.height, self.width, self.channels):
            rule = f"an image of {self.height}x{self.width}x{self.channels}"
            raise ValueRejected("value", rule=rule, given=Told("x".join(map(str, pixels.shape)) + " pixels"), where=f"row {row}")
        return pixels

    def _decoded(self, value: bytes | str | Path, values: Values, row: int) -> NDArray[np.uint8]:
        with _opened(value, values, row) as picture:
            mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(self.channels, "RGB")
            if self.resize:
                picture = picture.convert(mode).resize((self.width, self.height), resample=2)
            pixels = np.asarray(picture.convert(mode), dtype=np.uint8)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def _resized(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = lazy.load("PIL.Image", extra="media")
        planes = [np.asarray(image.fromarray(pixels[..., c]).resize((self.width, self.height), resample=2)) for c in range(pixels.shape[2])]
        return np.stack(planes, axis=-1)


def _array(value: Any, values: Values, row: int) -> NDArray[np.uint8]:
    """An array, nested lists or `Pixels` -> (H, W, C) uint8."""
    if isinstance(value, Pixels):
        told = f"shape {list(value.shape)} and {len(value.uint8):,} bytes"
        if min(value.shape) < 1:
            rule = "an image whose shape is [height, width, channels], whole numbers from 1"
            raise ValueRejected("value", rule=rule, given=Told(told), where=f"row {row}")
        if len(value.uint8) != math.prod(value.shape):
            rule = f"an image of height x width x channels = {math.prod(value.shape):,} bytes, as its shape says"
            raise ValueRejected("value", rule=rule, given=Told(told), where=f"row {row}")
        value = np.frombuffer(value.uint8, dtype=np.uint8).reshape(value.shape)
    rule = "a uint8 array of height x width (x channels), numbers from 0 to 255"
    try:
        pixels = np.asarray(value)
    except ValueError:
        raise rejected(values, row, rule) from None
    if pixels.dtype != np.uint8:
        if isinstance(value, np.ndarray) or pixels.dtype.kind not in "iu" or pixels.size == 0 or pixels.min() < 0 or pixels.max() > 255:
            raise rejected(values, row, rule)
        pixels = pixels.astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise rejected(values, row, rule)
    return pixels


def _shape(value: Any, values: Values, row: int) -> tuple[int, int, int]:
    if isinstance(value, bytes | str | Path):
        with _opened(value, values, row) as picture:
            return picture.height, picture.width, 1 if picture.mode in ("L", "1", "I;16", "LA") else 3
    height, width, channels = _array(value, values, row).shape
    return height, width, channels


def _opened(value: bytes | str | Path, values: Values, row: int) -> Any:
    """The picture of an encoded file, with Pillow. Pictures of more than 64 million pixels are refused before they are decoded."""
    image = lazy.load("PIL.Image", extra="media")
    try:
        picture = image.open(io.BytesIO(value) if isinstance(value, bytes) else value, formats=FORMATS)
        if picture.width * picture.height <= 64_000_000:
            picture.load()
            return picture
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError):
        picture = None
    raise rejected(values, row, "a readable image file (png, jpeg, ...)" if picture is None else "an image of at most 64 million pixels")
