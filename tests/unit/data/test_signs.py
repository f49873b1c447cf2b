"""Rendered traffic signs: shapes, determinism, tracks, and that the kinds look as they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.data.samples import sample
from fermion.data.signs import SIGNS, TrafficSigns
from fermion.data.table import Table


@pytest.fixture(scope="module")
def signs() -> Table:
    return sample("sample://signs?rows=720&frames=3")


def array(table: Table, name: str) -> Any:
    return np.asarray(table.values(name))


def test_a_row_is_a_picture_of_a_sign_on_a_pole(signs: Table) -> None:
    assert signs.names == ("picture", "sign", "track")
    picture = array(signs, "picture")
    assert (picture.shape, picture.dtype) == ((720, 32, 32, 3), np.uint8)
    kind, track = array(signs, "sign"), array(signs, "track")
    assert {name: int((kind == name).sum()) for name in SIGNS} == dict.fromkeys(SIGNS, 60)
    assert len(set(track)) == 240
    assert all(len(set(kind[track == one])) == 1 for one in set(track))


def test_the_same_settings_give_the_same_signs() -> None:
    one, again = (TrafficSigns(rows=24).table().fingerprint for _ in range(2))
    assert one == again != TrafficSigns(rows=24, seed=1).table().fingerprint
    assert TrafficSigns(rows=5, frames=5, side=16).table().values("picture").shape == (5, 16, 16, 3)  # type: ignore[union-attr]


def test_frames_of_a_track_are_alike_and_tracks_of_a_kind_are_not(signs: Table) -> None:
    picture = array(signs, "picture").astype(float).mean(axis=3).reshape(240, 3, 32 * 32)
    picture -= picture.mean(axis=2, keepdims=True)
    picture /= np.linalg.norm(picture, axis=2, keepdims=True)
    within = (picture[:, 1] * picture[:, 2]).sum(axis=1)
    between = (picture[:-12, 2] * picture[12:, 2]).sum(axis=1)  # every twelfth track is of the same kind
    assert np.median(within) > np.median(between) + 0.15


def test_signs_have_their_colours(signs: Table) -> None:
    picture, kind = array(signs, "picture").astype(float), array(signs, "sign")
    middle = picture[:, 14:18, 14:18].mean(axis=(1, 2))
    share = middle / middle.sum(axis=1, keepdims=True)
    red, green, blue = (share[:, channel] for channel in range(3))
    assert np.median(blue[kind == "ahead"]) > np.median(blue[kind == "limit 30"])
    assert np.median(blue[kind == "priority road"]) < 0.27 < np.median(green[kind == "priority road"])
    around = picture[:, 8:11, 12:20].mean(axis=(1, 2))
    assert np.median((around[:, 0] / around.sum(axis=1))[kind == "stop"]) > 0.45 > np.median(red[kind == "limit 80"])


def test_the_last_frame_is_the_nearest() -> None:
    far, near = (TrafficSigns(rows=240, frames=2).table().take(np.arange(first, 240, 2)) for first in (0, 1))
    red = [array(table, "picture").astype(float)[array(table, "sign") == "no entry"] for table in (far, near)]
    share = [np.median(((x[..., 0] > 1.4 * x[..., 1]) & (x[..., 0] > 1.4 * x[..., 2])).mean(axis=(1, 2))) for x in red]
    assert share[1] > share[0] + 0.1
