"""Heartbeats as a Holter recorder cuts them: normal ones, those that come too early, and fusions of both. No patient is behind them.

The electrocardiogram follows McSharry, Clifford, Tarassenko, Smith: "A Dynamical Model for Generating Synthetic Electrocardiogram
Signals", IEEE Transactions on Biomedical Engineering 50(3), 2003. A point goes round a limit cycle, once per beat, at the angular speed
w = 2 pi / RR, and each of the waves P, Q, R, S, T pulls it up or down as it passes the angle of that wave:

    dx/dt = a x - w y,   dy/dt = a y + w x,   a = 1 - sqrt(x^2 + y^2)
    dz/dt = - sum_i a_i d_i exp(- d_i^2 / (2 b_i^2)) - (z - z0(t)),   d_i = (theta - theta_i) mod 2 pi,   z0 = A sin(2 pi f t)

A point that starts on the cycle stays there, so theta is known: 2 pi t / RR from one R wave to the next. What is left, z, is
integrated by the fourth-order Runge-Kutta method. Two things are added to the paper's model: a_i = h_i w / b_i^2, so that h_i is about
the height of a wave in millivolts whatever its width; and angles and widths grow with 1 / sqrt(RR), so that waves last as long as they do
in hearts (ECGSYN does the same). What each class of the AAMI standard looks like is in `Heartbeats`.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.data.table import Table

RATE, BEFORE, AFTER = 125, 0.4, 0.6  # samples per second, and seconds before and after the R wave
SETTLE = 0.4  # s that z is given to forget where it began
STEP = 0.004  # s
UNITS = 200.0  # of a converter per millivolt
SHARES = {"N": 0.80, "S": 0.07, "V": 0.10, "F": 0.03}
ANGLE_W = np.array([-np.pi / 3, -np.pi / 12, 0.0, np.pi / 12, np.pi / 2])  # of P, Q, R, S, T at one beat per second
WIDTH_W = np.array([0.25, 0.1, 0.1, 0.1, 0.4])
HEIGHT_W = np.array([0.15, -0.12, 1.1, -0.25, 0.3])  # mV
BLOCK = 2_048  # beats integrated at a time

Floats = NDArray[np.float64]


class Waves(Struct, frozen=True):
    """Angle, width and height of the five waves, each (..., 5)."""

    angle: Floats
    width: Floats
    height: Floats

    def mixed(self, other: Waves, share: float) -> Waves:
        """Some of these and the rest of others."""
        return Waves(
            share * self.angle + (1 - share) * other.angle,
            share * self.width + (1 - share) * other.width,
            share * self.height + (1 - share) * other.height,
        )


class Heartbeats(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beats of some patients in their order: `beat` (125 samples at 125 Hz, int16, 200 per mV, the R wave at sample 50), `label`,
    `patient`, and in seconds the intervals to the beats before and after, `rr_prev` and `rr_next`, and `rr_mean` of the last ten.

    - N, normal: P, narrow QRS, T. Some patients have a wide one all the time (a bundle branch block), some an irregular rhythm.
    - S, supraventricular: early, with the patient's own narrow QRS and another P; the rhythm starts anew from it.
    - V, ventricular: early, without P, wide and tall, its T against its R, followed by a pause that makes up for what was early.
    - F, fusion: both at once, at about its normal time.

    Each patient has waves, a focus of ventricular beats, a rhythm, noise and shares of the classes of his own: split by `patient`.

    >>> table = Heartbeats(rows=60, patients=3).table()
    >>> table.names, table.values("beat").shape
    (('beat', 'rr_prev', 'rr_next', 'rr_mean', 'patient', 'label'), (60, 125))
    """

    rows: Annotated[int, Meta(ge=20, le=1_000_000)] = 4_000
    patients: Annotated[int, Meta(ge=2, le=100_000)] = 40
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0

    def table(self) -> Table:
        """Generate it: the same settings give the same table."""
        counts = np.diff(np.linspace(0, self.rows, min(self.patients, self.rows) + 1).astype(int)).tolist()
        parts = [
            _patient(np.random.default_rng([self.seed, 0xEC6, number]), count, f"p{number + 1:03d}") for number, count in enumerate(counts)
        ]
        whole: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        blocks = [{name: array[start : start + BLOCK] for name, array in whole.items()} for start in range(0, self.rows, BLOCK)]
        millivolts_NT = np.concatenate([_integrated(block) for block in blocks]) + whole["noise"]
        units_NT = np.clip(np.rint(millivolts_NT * UNITS), -1024, 1023).astype(np.int16)  # a converter of 11 bits
        kept = ("rr_prev", "rr_next", "rr_mean", "patient", "label")
        return Table.of({"beat": units_NT} | {name: whole[name] for name in kept})


def _patient(rng: np.random.Generator, count: int, name: str) -> dict[str, NDArray[Any]]:
    """One recording of `count` beats: what is known of each, and the waves around it (N, 3, 5) of the beats before, now and after."""
    labels = _labels(rng, count + 2)  # the beats before the first and after the last are seen in part
    rr = _intervals(rng, labels)
    own, focus = _own(rng), _focus(rng)
    kinds = {"N": own, "S": _supraventricular(own, rng), "V": focus}
    every = [kinds[label] if label in kinds else own.mixed(focus, rng.uniform(0.35, 0.65)) for label in labels]
    angle, width, height = (np.stack([getattr(one, part) for one in every]) for part in ("angle", "width", "height"))
    height *= rng.normal(1.0, 0.04, height.shape)
    around_N3 = np.arange(count)[:, None] + np.arange(3)
    return {
        "angle": angle[around_N3],
        "width": width[around_N3],
        "height": height[around_N3],
        "rr_prev": rr[1 : count + 1].astype(np.float32),
        "rr_next": rr[2 : count + 2].astype(np.float32),
        "rr_mean": np.array([rr[max(0, place - 9) : place + 1].mean() for place in range(1, count + 1)], dtype=np.float32),
        "patient": np.array([name] * count),
        "label": np.array(labels[1 : count + 1]),
        "wander": rng.uniform(0.05, 0.5) * rng.uniform(0.5, 1.5, count),
        "phase": rng.uniform(0, 2 * np.pi, count),
        "breath": np.full(count, rng.uniform(0.2, 0.35)),
        "noise": _noise(rng, count),
    }


def _labels(rng: np.random.Generator, count: int) -> list[str]:
    """Classes in order; how often each comes differs from patient to patient."""
    shares = np.array(list(SHARES.values())) * np.array([1.0, *rng.gamma(0.7, 1 / 0.7, 3)])
    return rng.choice(list(SHARES), count, p=shares / shares.sum()).tolist()


def _intervals(rng: np.random.Generator, labels: list[str]) -> Floats:
    """(n + 1,) seconds from the beat before to each beat, and one more."""
    mean, irregular = float(np.clip(rng.normal(0.82, 0.12), 0.55, 1.2)), 0.14 if rng.random() < 0.1 else 0.0
    breath, slow = rng.uniform(3.0, 5.0), 0.0
    rr = np.empty(len(labels) + 1)
    for place, label in enumerate([*labels, "N"]):
        slow = 0.9 * slow + rng.normal(0, 0.012)
        usual = mean * max(0.6, 1 + 0.03 * np.sin(2 * np.pi * place / breath) + slow + irregular * rng.normal())
        before = labels[place - 1] if place else "N"
        if label == "S":
            rr[place] = usual * rng.uniform(0.6, 0.82)
        elif label == "V":
            rr[place] = usual * rng.uniform(0.52, 0.78)
        elif before == "V":
            rr[place] = np.clip(2 * usual - rr[place - 1], usual, 1.6 * usual)
        elif before == "S":
            rr[place] = usual * rng.uniform(1.0, 1.12)
        else:
            rr[place] = usual * (rng.uniform(0.9, 1.0) if label == "F" else 1.0)
    return np.clip(rr, 0.3, 2.2)


def _own(rng: np.random.Generator) -> Waves:
    height_W = HEIGHT_W * np.exp(rng.normal(0, 0.25, 5)) * np.exp(rng.normal(0, 0.15))
    width_W = WIDTH_W * np.exp(rng.normal(0, 0.1, 5))
    if rng.random() < 0.12:
        height_W[4] *= -0.7  # an inverted T
    if rng.random() < 0.15:
        width_W[1:4] *= 1.5  # a bundle branch block
    return Waves(ANGLE_W + rng.normal(0, 0.04, 5) * (np.arange(5) != 2), width_W, height_W)


def _supraventricular(own: Waves, rng: np.random.Generator) -> Waves:
    angle_W, height_W = own.angle.copy(), own.height.copy()
    angle_W[0] += rng.uniform(-0.05, 0.35)
    height_W[0] *= rng.choice([-0.7, 0.3, 0.6])
    return Waves(angle_W, own.width, height_W)


def _focus(rng: np.random.Generator) -> Waves:
    up = 1.0 if rng.random() < 0.75 else -1.0
    height_W = np.array([0.0, -0.1, 1.5, -0.5, -0.45]) * np.exp(rng.normal(0, 0.2, 5)) * up
    width_W = np.array([0.25, 0.18, 0.24, 0.26, 0.5]) * np.exp(rng.normal(0, 0.1, 5))
    return Waves(np.array([-np.pi / 3, -0.5, 0.0, 0.6, 1.9]) + rng.normal(0, 0.05, 5) * (np.arange(5) != 2), width_W, height_W)


def _noise(rng: np.random.Generator, count: int) -> Floats:
    samples = round((BEFORE + AFTER) * RATE)
    level, mains = rng.uniform(0.005, 0.03), rng.uniform(0.0, 0.015)
    phase_N1 = rng.uniform(0, 2 * np.pi, (count, 1))
    return level * rng.normal(size=(count, samples)) + mains * np.sin(2 * np.pi * 50 * np.arange(samples) / RATE + phase_N1)


def _integrated(beats: dict[str, NDArray[Any]]) -> Floats:
    """(N, T) z of the model, in millivolts, sampled around the R wave of each beat."""
    rows_N = np.arange(len(beats["angle"]))
    previous_N, next_N = beats["rr_prev"].astype(np.float64), beats["rr_next"].astype(np.float64)

    def rest(t: float) -> Floats:
        return beats["wander"] * np.sin(2 * np.pi * beats["breath"] * t + beats["phase"])

    def pull(t: float) -> Floats:
        rr_N = previous_N if t < 0 else next_N
        theta_N = 2 * np.pi * t / rr_N
        beat_N = np.clip(np.floor((theta_N + np.pi) / (2 * np.pi)), -1, 1).astype(np.int64)
        stretch_N1 = 1 / np.sqrt(rr_N)[:, None]
        angle_NW, width_NW, height_NW = (beats[part][rows_N, beat_N + 1] for part in ("angle", "width", "height"))
        d_NW = (theta_N - 2 * np.pi * beat_N)[:, None] - angle_NW * stretch_N1
        b2_NW = (width_NW * stretch_N1) ** 2
        a_NW = height_NW * (2 * np.pi / rr_N)[:, None] / b2_NW
        return -(a_NW * d_NW * np.exp(-(d_NW**2) / (2 * b2_NW))).sum(axis=1) + rest(t)

    every = round(1 / RATE / STEP)
    steps = round((SETTLE + BEFORE + AFTER) / STEP)
    z_N, now = rest(-SETTLE - BEFORE), pull(-SETTLE - BEFORE)
    sampled: list[Floats] = []
    for step in range(steps):
        t = step * STEP - SETTLE - BEFORE
        if t > -BEFORE - STEP / 2 and round((t + BEFORE) / STEP) % every == 0:
            sampled.append(z_N)
        half, end = pull(t + STEP / 2), pull(t + STEP)
        k1 = now - z_N
        k2 = half - (z_N + STEP / 2 * k1)
        k3 = half - (z_N + STEP / 2 * k2)
        k4 = end - (z_N + STEP * k3)
        z_N, now = z_N + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4), end
    return np.stack(sampled, axis=1)
