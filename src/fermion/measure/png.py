"""Pictures for a page: arrays as PNG, without an image library."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import Told, UsageError

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels to PNG's code: grey, grey + alpha, RGB, RGBA
_MAGIC = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"RIFF", "image/webp"))


def png(picture: NDArray[Any]) -> bytes:
    """A (H, W) or (H, W, C) uint8 array with 1 to 4 channels as a PNG file (RFC 2083).

    >>> png(np.zeros((2, 3), np.uint8))[:4]
    b'\\x89PNG'

    Raises:
        UsageError: another shape or type.
    """
    pixels = picture[..., None] if picture.ndim == 2 else picture
    if pixels.ndim != 3 or pixels.dtype != np.uint8 or pixels.shape[2] not in _COLOUR_TYPES or 0 in pixels.shape:
        raise UsageError("a picture", rule="uint8 of shape (H, W) or (H, W, 1 to 4)", given=Told(f"{picture.dtype} {picture.shape}"))
    height, width, channels = pixels.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each line begins with its filter, 0 for none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def data_uri(picture: bytes | NDArray[Any]) -> str:
    """A picture as text that a page can hold: encoded bytes (PNG, JPEG, GIF, WebP) as they are, an array as PNG.

    Raises:
        UsageError: bytes of another format, or an array that is no picture.
    """
    encoded = picture if isinstance(picture, bytes) else png(picture)
    kind = next((kind for magic, kind in _MAGIC if encoded.startswith(magic)), None)
    if kind is None:
        raise UsageError("a picture", rule="PNG, JPEG, GIF or WebP bytes, or an array", given=encoded[:12])
    return f"data:{kind};base64,{base64.b64encode(encoded).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
