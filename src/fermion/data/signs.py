"""Traffic signs as a camera behind a windscreen sees them while the car drives past. No road is behind them.

A sign is drawn once, flat, from signed distances: a point p is inside a shape where d(p) < 0, with d = |p| - r for a disc,
max_i (n_i p - r) for a convex polygon with the normals n_i, and the distance to the nearest stroke for digits, letters and arrows. A
frame reads that drawing through the camera. What is at u in the picture, from -1 to 1, comes from

    p = A (u - t) / (1 + g u),   A = (roll, then 1 / (scale cos yaw), 1 / (scale cos pitch))

of the sign's plane, averaged over 3 x 3 points of each pixel, and lies before a background of soft noise, which may hide some of it. Then
come fading, shadow, haze and light, an optical blur, and the noise of the sensor. Hartley, Zisserman: Multiple View Geometry in
Computer Vision, 2004, chapter 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.data.table import Table

FLAT, FINE = 160, 3  # pixels of a flat drawing's side; points of a pixel's side
BLOCK = 256  # pictures made at a time
Floats = NDArray[np.float64]
Line = tuple[tuple[float, float], ...]

WHITE, BLACK, RED, BLUE, YELLOW = (0.93, 0.93, 0.92), (0.06, 0.06, 0.07), (0.75, 0.08, 0.1), (0.05, 0.25, 0.6), (0.95, 0.72, 0.1)
SIGNS = (
    "limit 30", "limit 50", "limit 80", "no entry", "end of limits", "ahead", "turn left", "keep right", "yield", "danger", "stop",
    "priority road",
)  # fmt: skip
# Polylines in a box from -1 to 1, y downwards.
STROKES: dict[str, tuple[Line, ...]] = {
    "0": (((0, -1), (0.6, -0.6), (0.6, 0.6), (0, 1), (-0.6, 0.6), (-0.6, -0.6), (0, -1)),),
    "3": (((-0.6, -0.8), (0, -1), (0.5, -0.7), (0.4, -0.2), (-0.1, 0), (0.5, 0.2), (0.6, 0.6), (0.1, 1), (-0.6, 0.8)),),
    "5": (((0.5, -1), (-0.5, -1), (-0.6, -0.1), (0.1, -0.2), (0.6, 0.2), (0.5, 0.7), (0, 1), (-0.6, 0.8)),),
    "8": (
        ((0, 0), (0.5, -0.3), (0.4, -0.8), (0, -1), (-0.4, -0.8), (-0.5, -0.3), (0, 0)),
        ((0, 0), (0.6, 0.3), (0.5, 0.8), (0, 1), (-0.5, 0.8), (-0.6, 0.3), (0, 0)),
    ),
    "S": (((0.6, -0.8), (0, -1), (-0.6, -0.6), (0.5, 0.3), (0.5, 0.8), (0, 1), (-0.6, 0.8)),),
    "T": (((-0.6, -1), (0.6, -1)), ((0, -1), (0, 1))),
    "P": (((-0.5, 1), (-0.5, -1), (0.3, -1), (0.6, -0.5), (0.3, 0), (-0.5, 0)),),
    "!": (((0, -1), (0, 0.35)), ((0, 0.85), (0, 0.9))),
    "ahead": (((0, 0.9), (0, -0.8)), ((-0.5, -0.3), (0, -0.9), (0.5, -0.3))),
    "left": (((0.4, 0.9), (0.4, 0), (-0.8, 0)), ((-0.3, -0.5), (-0.9, 0), (-0.3, 0.5))),
    "right": (((-0.7, -0.7), (0.6, 0.6)), ((-0.1, 0.7), (0.7, 0.7), (0.7, -0.1))),
}  # fmt: skip


class TrafficSigns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pictures of 12 kinds of traffic signs: `picture` (32, 32, 3) uint8, `sign`, and `track`, the physical sign on a pole.

    A track is `frames` pictures of one sign, taken while the car comes nearer, before one background, in one light: nearly the same
    picture several times. Split by `track`, or the test part is known by heart. Kinds are equally frequent among the tracks.

    >>> table = TrafficSigns(rows=24, frames=2).table()
    >>> table.names, table.values("picture").shape
    (('picture', 'sign', 'track'), (24, 32, 32, 3))
    """

    rows: Annotated[int, Meta(ge=2, le=1_000_000)] = 6_000
    frames: Annotated[int, Meta(ge=1, le=1_000)] = 5
    side: Annotated[int, Meta(ge=8, le=256)] = 32
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0

    def table(self) -> Table:
        """Generate it: the same settings give the same table."""
        flat_KSS4 = np.stack([_drawn(name) for name in SIGNS])
        kind_N = np.arange(self.rows) // self.frames % len(SIGNS)
        tracks = [
            _track(np.random.default_rng([self.seed, 0x516E, number]), min(self.frames, self.rows - number * self.frames), self.side)
            for number in range(-(-self.rows // self.frames))
        ]
        seen = {name: np.concatenate([track[name] for track in tracks]) for name in tracks[0]}
        pictures: list[NDArray[np.uint8]] = []
        for start in range(0, self.rows, BLOCK):
            some = {name: array[start : start + BLOCK] for name, array in seen.items()}
            pictures.append(_seen(flat_KSS4, kind_N[start : start + BLOCK], some, self.side, (self.seed, 0x5E45, start)))
        return Table.of(
            {
                "picture": np.concatenate(pictures),
                "sign": [SIGNS[kind] for kind in kind_N],
                "track": [f"t{number // self.frames + 1:05d}" for number in range(self.rows)],
            }
        )


def _track(rng: np.random.Generator, frames: int, side: int) -> dict[str, Floats]:
    """What is known of the frames of one sign, each (frames, ...)."""
    near_F = np.linspace(0, 1, frames) if frames > 1 else rng.uniform(size=1)

    def kept(low: float, high: float, wobble: float) -> Floats:
        """A value of the whole track, a little different in each frame."""
        return rng.uniform(low, high) + wobble * rng.normal(size=frames)

    light = float(np.exp(rng.uniform(np.log(0.4), np.log(1.2))))
    return {
        "scale": (rng.uniform(0.42, 0.68) + 0.24 * near_F) * np.exp(0.03 * rng.normal(size=frames)),
        "roll": kept(-0.2, 0.2, 0.02),
        "yaw": kept(-0.7, 0.7, 0.05) + 0.15 * near_F,
        "pitch": kept(-0.3, 0.3, 0.04),
        "shift": np.stack([kept(-0.12, 0.12, 0.04), kept(-0.12, 0.12, 0.04)], axis=1),
        "blur": np.maximum(0.25, rng.uniform(0.3, 1.5) * (1.2 - 0.5 * near_F) * np.exp(0.15 * rng.normal(size=frames))),
        "light": light * np.exp(0.08 * rng.normal(size=(frames, 1))) * np.exp(0.08 * rng.normal(size=3)),
        "haze": np.clip(kept(-0.2, 0.4, 0.02), 0, 1),
        "fading": np.full(frames, max(0.0, rng.uniform(-0.3, 0.5))),
        "grain": np.full(frames, rng.uniform(0.005, 0.03)),
        "shadow": np.tile([rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6), rng.choice([0.0, 0.0, 0.55])], (frames, 1)),
        "branch": np.tile([*rng.uniform(-0.5, 0.5, 2), rng.choice([-1.0, -1.0, -1.0, rng.uniform(0.2, 0.4)])], (frames, 1)),
        "background": _background(rng, near_F, side),
    }


def _background(rng: np.random.Generator, near_F: Floats, side: int) -> Floats:
    """(F, side, side, 3) soft noise that grows as the car comes nearer: leaves, walls, and a sky above some of it."""
    coarse = rng.uniform(0.1, 0.55) * np.exp(rng.normal(0, 0.2, 3)) + rng.normal(0, 0.16, (7, 7, 1)) + rng.normal(0, 0.05, (7, 7, 3))
    if rng.random() < 0.5:
        coarse[: rng.integers(2, 5)] = rng.uniform(0.6, 0.95) * np.array([0.93, 0.97, 1.0]) + rng.normal(0, 0.02, (1, 7, 3))
    places_FS = 3 + (np.arange(side) / side * 2 - 1) * (2.9 - 0.6 * near_F[:, None])
    low_FS = np.clip(np.floor(places_FS).astype(np.int64), 0, 5)
    part_FS = places_FS - low_FS
    rows_FS73 = coarse[low_FS] * (1 - part_FS)[..., None, None] + coarse[low_FS + 1] * part_FS[..., None, None]
    left_FSS3 = np.take_along_axis(rows_FS73, low_FS[:, None, :, None], axis=2)
    right_FSS3 = np.take_along_axis(rows_FS73, low_FS[:, None, :, None] + 1, axis=2)
    return left_FSS3 + (right_FSS3 - left_FSS3) * part_FS[:, None, :, None]


def _seen(flat_KSS4: Floats, kind_B: NDArray[np.int64], frame: dict[str, Floats], side: int, seed: Sequence[int]) -> NDArray[np.uint8]:
    """(B, side, side, 3) the pictures of some frames."""
    points = (np.arange(side * FINE) + 0.5) / (side * FINE) * 2 - 1
    x_BPP = points[None, None, :] - frame["shift"][:, 0, None, None]
    y_BPP = points[None, :, None] - frame["shift"][:, 1, None, None]
    cos, sin = (f(frame["roll"])[:, None, None] for f in (np.cos, np.sin))
    far_BPP = 1 + 0.35 * (np.sin(frame["yaw"])[:, None, None] * x_BPP + np.sin(frame["pitch"])[:, None, None] * y_BPP)
    across_BPP = (cos * x_BPP + sin * y_BPP) / (far_BPP * (frame["scale"] * np.cos(frame["yaw"]))[:, None, None])
    down_BPP = (cos * y_BPP - sin * x_BPP) / (far_BPP * (frame["scale"] * np.cos(frame["pitch"]))[:, None, None])
    column_BPP, row_BPP = (np.clip(((one + 1) / 2 * FLAT).astype(np.int64), 0, FLAT - 1) for one in (across_BPP, down_BPP))
    fine_BPP4 = flat_KSS4[kind_B[:, None, None], row_BPP, column_BPP]
    sign_BSS4 = fine_BPP4.reshape(len(kind_B), side, FINE, side, FINE, 4).mean(axis=(2, 4))
    middle = (np.arange(side) + 0.5) / side * 2 - 1
    right_B11, low_B11, radius_B11 = (frame["branch"][:, i, None, None] for i in range(3))
    away_BSS = np.hypot(middle[None, None, :] - right_B11, middle[None, :, None] - low_B11)
    sign_BSS4 /= 1 + np.exp(30 * (radius_B11 - away_BSS))[..., None]
    paint_BSS3, alpha_BSS1 = sign_BSS4[..., :3], sign_BSS4[..., 3:]
    fading_B111 = frame["fading"][:, None, None, None]
    paint_BSS3 = paint_BSS3 * (1 - fading_B111) + fading_B111 * (0.5 * alpha_BSS1 + 0.3 * (paint_BSS3 - 0.5 * alpha_BSS1))
    x_BSS3 = paint_BSS3 + (1 - alpha_BSS1) * np.clip(frame["background"], 0, 1)
    angle_B11, edge_B11, dark_B11 = (frame["shadow"][:, i, None, None] for i in range(3))
    beyond_BSS = np.cos(angle_B11) * middle[None, None, :] + np.sin(angle_B11) * middle[None, :, None] - edge_B11
    x_BSS3 = x_BSS3 * (1 - dark_B11 / (1 + np.exp(-12 * beyond_BSS)))[..., None]
    haze_B111 = frame["haze"][:, None, None, None]
    x_BSS3 = (x_BSS3 * (1 - haze_B111) + 0.75 * haze_B111) * frame["light"][:, None, None, :]
    x_BSS3 = _blurred(_blurred(x_BSS3, frame["blur"], 1), frame["blur"], 2)
    x_BSS3 += frame["grain"][:, None, None, None] * np.random.default_rng(list(seed)).normal(size=x_BSS3.shape)
    return np.rint(np.clip(x_BSS3, 0, 1) * 255).astype(np.uint8)


def _blurred(x_BSS3: Floats, sigma_B: Floats, axis: int) -> Floats:
    """Each picture behind a Gaussian of its own along one axis; beyond an edge is the edge."""
    reach = np.arange(-4, 5)
    share_BR = np.exp(-(reach**2) / (2 * sigma_B[:, None] ** 2))
    share_BR /= share_BR.sum(axis=1, keepdims=True)
    side = x_BSS3.shape[axis]
    blurred = np.zeros_like(x_BSS3)
    for place, offset in enumerate(reach):
        moved = np.take(x_BSS3, np.clip(np.arange(side) + offset, 0, side - 1), axis=axis)
        blurred += share_BR[:, place, None, None, None] * moved
    return blurred


class _Sheet:
    """A flat drawing in the making: (FLAT, FLAT, 4) colours, already multiplied by how opaque they are, and that."""

    def __init__(self) -> None:
        axis = (np.arange(FLAT) + 0.5) / FLAT * 2 - 1
        self.x, self.y = np.meshgrid(axis, axis)
        self.sheet = np.zeros((FLAT, FLAT, 4))

    def paint(self, distance_SS: Floats, colour: tuple[float, float, float]) -> None:
        """Cover what is inside a shape; its edge is one pixel wide."""
        cover_SS1 = np.clip(0.5 - distance_SS * FLAT / 2, 0, 1)[..., None]
        self.sheet = self.sheet * (1 - cover_SS1) + cover_SS1 * np.array([*colour, 1.0])

    def disc(self, radius: float) -> Floats:
        return np.hypot(self.x, self.y) - radius

    def polygon(self, corners: int, radius: float, turn: float, *, down: float = 0.0) -> Floats:
        """A regular one: `radius` is that of the circle inside, `turn` the direction of one of its normals, in shares of a turn."""
        angles = 2 * np.pi * (turn + np.arange(corners) / corners)
        sides = [np.cos(angle) * self.x + np.sin(angle) * (self.y - down) - radius for angle in angles]
        return np.max(sides, axis=0)

    def strokes(self, name: str, width: float, *, at: tuple[float, float] = (0, 0), size: tuple[float, float] = (0.5, 0.5)) -> Floats:
        nearest = np.full_like(self.x, np.inf)
        for line in STROKES[name]:
            bent = np.array(line) * size + at
            for (x0, y0), (x1, y1) in pairwise(bent):
                length = (x1 - x0) ** 2 + (y1 - y0) ** 2
                along = np.clip(((self.x - x0) * (x1 - x0) + (self.y - y0) * (y1 - y0)) / length, 0, 1)
                nearest = np.minimum(nearest, np.hypot(self.x - x0 - along * (x1 - x0), self.y - y0 - along * (y1 - y0)))
        return nearest - width


def _drawn(name: str) -> Floats:
    """(FLAT, FLAT, 4) one kind of sign, seen from the front."""
    sheet = _Sheet()
    if name.startswith("limit"):
        sheet.paint(sheet.disc(0.96), RED)
        sheet.paint(sheet.disc(0.74), WHITE)
        for digit, across in zip(name.removeprefix("limit "), (-0.29, 0.29), strict=True):
            sheet.paint(sheet.strokes(digit, 0.075, at=(across, 0), size=(0.3, 0.38)), BLACK)
    elif name == "no entry":
        sheet.paint(sheet.disc(0.96), WHITE)
        sheet.paint(sheet.disc(0.92), RED)
        sheet.paint(np.maximum(np.abs(sheet.x) - 0.68, np.abs(sheet.y) - 0.16), WHITE)
    elif name == "end of limits":
        sheet.paint(sheet.disc(0.96), BLACK)
        sheet.paint(sheet.disc(0.9), WHITE)
        for offset in (-0.24, -0.12, 0.0, 0.12, 0.24):
            sheet.paint(np.maximum(np.abs(sheet.x + sheet.y - offset * 2**0.5) / 2**0.5 - 0.03, sheet.disc(0.88)), BLACK)
    elif name in ("ahead", "turn left", "keep right"):
        sheet.paint(sheet.disc(0.96), WHITE)
        sheet.paint(sheet.disc(0.92), BLUE)
        sheet.paint(sheet.strokes(name.split()[-1], 0.11, size=(0.6, 0.6)), WHITE)
    elif name in ("yield", "danger"):
        upward, down = (0.25, 0.28) if name == "danger" else (0.75, -0.28)
        sheet.paint(sheet.polygon(3, 0.5, upward, down=down), RED)
        sheet.paint(sheet.polygon(3, 0.31, upward, down=down), WHITE)
        if name == "danger":
            sheet.paint(sheet.strokes("!", 0.085, at=(0, 0.25), size=(1, 0.32)), BLACK)
    elif name == "stop":
        sheet.paint(sheet.polygon(8, 0.92, 0.0), WHITE)
        sheet.paint(sheet.polygon(8, 0.86, 0.0), RED)
        for letter, across in zip("STOP", (-0.6, -0.2, 0.2, 0.6), strict=True):
            sheet.paint(sheet.strokes(letter.replace("O", "0"), 0.055, at=(across, 0), size=(0.2, 0.3)), WHITE)
    else:
        sheet.paint(sheet.polygon(4, 0.68, 0.125), WHITE)
        sheet.paint(sheet.polygon(4, 0.62, 0.125), BLACK)
        sheet.paint(sheet.polygon(4, 0.59, 0.125), WHITE)
        sheet.paint(sheet.polygon(4, 0.42, 0.125), YELLOW)
    return sheet.sheet
