from __future__ import annotations

import io
import random
import subprocess
import sys
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image as Picture

from fermion.columns.image import Image, Pixels
from fermion.core.errors import ValueRejected

rng = np.random.default_rng(0)


def noise(*shape: int) -> Any:
    return rng.integers(0, 256, shape, dtype=np.uint8)


def saved(pixels: Any, form: str = "png") -> bytes:
    stream = io.BytesIO()
    Picture.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def test_the_size_is_learned() -> None:
    assert Image().fit(noise(5, 8, 9)) == Image(height=8, width=9, channels=1)
    assert Image().fit(noise(5, 8, 9, 3)) == Image(height=8, width=9, channels=3)
    assert Image().fit([saved(noise(8, 9, 3))]) == Image(height=8, width=9, channels=3, files=True)
    mixed = Image().fit([noise(4, 4), noise(6, 6), noise(8, 8, 3)])
    assert mixed == Image(height=6, width=6, channels=3, resize=True)
    assert Image(height=4).fit(noise(2, 8, 8)) == Image(height=4, width=8, channels=1, resize=True)


def test_only_files_and_other_sizes_need_a_codec() -> None:
    assert Image().fit(noise(2, 8, 8)).needs == ()
    assert Image().fit(noise(2, 8, 8).tolist()).needs == ()
    assert Image().fit([saved(noise(8, 8))]).needs == ("media",)
    assert Image().fit([noise(4, 4), noise(6, 6)]).needs == ("media",)


def test_arrays_and_json_pixels_do_not_import_the_codec() -> None:
    code = """
import sys
import numpy as np
from fermion.columns.image import Image, Pixels
column = Image().fit(np.zeros((2, 4, 4), np.uint8))
column.encode([np.zeros((4, 4), np.uint8), [[0] * 4] * 4, Pixels(shape=(4, 4, 1), uint8=bytes(16)), None])
assert "PIL" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_whole_array_is_not_copied() -> None:
    whole = noise(3, 4, 4, 3)
    assert np.shares_memory(Image().fit(whole).encode(whole)[0], whole)


def test_every_form_of_a_picture_gives_the_same_pixels() -> None:
    pixels = noise(5, 6, 3)
    fitted = Image().fit([pixels])
    request = msgspec.json.Decoder(fitted.request)
    forms = [pixels, pixels.tolist(), saved(pixels), Pixels(shape=(5, 6, 3), uint8=pixels.tobytes())]
    forms += [request.decode(msgspec.json.encode(value)) for value in (pixels.tolist(), saved(pixels), fitted.plain(pixels))]
    for form in forms:
        np.testing.assert_array_equal(fitted.encode([form])[0][0], pixels)


def test_grey_becomes_colour_and_alpha_is_dropped() -> None:
    grey = noise(4, 4)
    fitted = Image(height=4, width=4, channels=3)
    np.testing.assert_array_equal(fitted.encode([grey])[0][0], np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(fitted.encode([saved(grey)])[0], fitted.encode([grey])[0])
    rgba = noise(4, 4, 4)
    np.testing.assert_array_equal(fitted.encode([rgba])[0][0], rgba[..., :3])
    np.testing.assert_array_equal(fitted.encode([saved(rgba)])[0], fitted.encode([rgba])[0])


def test_a_missing_picture_is_black() -> None:
    assert not Image(height=2, width=2, channels=3).encode([None])[0].any()


def test_another_size_is_told() -> None:
    with pytest.raises(ValueRejected) as raised:
        Image().fit(noise(2, 8, 8)).encode([noise(8, 8), noise(8, 9)])
    assert str(raised.value) == "row 1: value must be an image of 8x8x1, got 8x9x1 pixels."


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((-1, 2, 1), "an image whose shape is [height, width, channels], whole numbers from 1, got shape [-1, 2, 1] and 4 bytes."),
        ((2, 3, 1), "an image of height x width x channels = 6 bytes, as its shape says, got shape [2, 3, 1] and 4 bytes."),
    ],
)
def test_pixels_that_do_not_fit_their_shape(shape: tuple[int, int, int], told: str) -> None:
    with pytest.raises(ValueRejected) as raised:
        Image(height=2, width=2, channels=1).encode([Pixels(shape=shape, uint8=bytes(4))])
    assert str(raised.value) == f"row 0: value must be {told}"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A picture of a billion pixels in a few bytes."""
    header = saved(np.zeros((1, 1), np.uint8), "bmp")
    bomb = header[:18] + (20_000).to_bytes(4, "little") + (4_000).to_bytes(4, "little") + header[26:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueRejected, match="an image of at most 64 million pixels"):
            Image(height=1, width=1, channels=1).encode([bomb])


def test_a_format_that_runs_a_program_is_refused() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    with pytest.raises(ValueRejected, match="a readable image file"):
        Image(height=8, width=8, channels=1).encode([eps])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "bmp", "webp"])
def test_damaged_files_are_read_or_refused(form: str) -> None:
    chance = random.Random(3)
    column = Image(height=9, width=9, channels=3, resize=True)
    whole = saved(noise(9, 9, 3), form)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            (array,) = column.encode([bytes(damaged[: chance.randrange(len(damaged))] if chance.random() < 0.2 else damaged)])
        except ValueRejected:
            continue
        assert array.shape == (1, 9, 9, 3)
