"""Augmentations of time series, spectrograms and waves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fermion.columns.audio import Audio
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.sequence import Sequence
from fermion.core import registry
from fermion.core.run import Run
from fermion.research.augment import Frame, Labels, Rows, augmenting
from fermion.research.mixing import Mixup
from fermion.research.model import Encoded
from fermion.research.series import series_of
from fermion.research.series_augment import Jitter, Scaling, Shift, Slice, Speed, Warp
from fermion.research.sound_augment import Background, FrequencyMask, Pitch, TimeMask

NAMES = [name for name in registry.names("augments") if registry.find("augments", name).reads & {"series", "wave"}]
COUNT = 40


def table() -> Encoded:
    """Ramps of two variables of 5 to 20 steps, one step missing; the same at times; tones as spectrograms and as samples."""
    rng = np.random.default_rng(0)
    ramps: list[Any] = [np.stack([np.arange(n), 100 + 5.0 * np.arange(n)], axis=1).tolist() for n in rng.integers(5, 21, COUNT)]
    ramps[0][2] = None
    timed = [{"times": np.cumsum(rng.exponential(size=len(one))).tolist(), "values": one} for one in ramps]
    tones = [np.sin(np.arange(n) * 0.3).astype(np.float32) * 0.3 for n in rng.integers(300, 900, COUNT)]
    batch: dict[str, Any] = {"ramp": ramps, "timed": timed, "clip": tones, "wave": tones}
    columns = {
        "ramp": Sequence(),
        "timed": Sequence(times=True),
        "clip": Audio(rate=2000, mels=12),
        "wave": Audio(rate=2000, features="wave"),
    }
    schema = Schema.of(columns).fit(batch)
    kind = rng.integers(0, 2, COUNT)
    output = Probability(target="kind").fit(kind)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"kind": output.encode(kind)})


TABLE = table()


def rows() -> Rows:
    arrays = {name: torch.from_numpy(array.copy()) for name, array in TABLE.arrays.items()}
    labels = Labels(targets={"kind": torch.from_numpy(TABLE.targets["kind"])})
    return Rows(frame=Frame(outputs=TABLE.outputs, series=series_of(TABLE)), arrays=arrays, labels=(labels,))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(part: Any, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    before = rows()
    return before.arrays, part.apply(before, draw(seed)).arrays


def test_the_frame_knows_each_variable_of_the_training_part() -> None:
    about = series_of(TABLE)
    assert {name: (one.mask, one.times, one.wave, one.spectrum) for name, one in about.items()} == {
        "ramp.values": ("ramp.mask", None, False, False),
        "timed.values": ("timed.mask", "timed.times", False, False),
        "clip.mel": ("clip.mask", None, False, True),
        "wave.wave": ("wave.mask", None, True, False),
    }
    x, mask = TABLE.arrays["ramp.values"], TABLE.arrays["ramp.mask"]
    np.testing.assert_allclose(about["ramp.values"].mean, np.nanmean(x[mask], axis=0), rtol=1e-6)
    np.testing.assert_allclose(about["ramp.values"].spread, np.nanstd(x[mask], axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_respects_masks_gaps_shapes_and_chance(name: str) -> None:
    part = registry.find("augments", name)()
    before, after = made(part)
    again, other = made(part)[1], made(part, seed=1)[1]
    assert before.keys() == after.keys()
    assert any(not torch.equal(after[one].nan_to_num(), other[one].nan_to_num()) for one in after)
    for array, x in after.items():
        assert torch.equal(x.nan_to_num(), again[array].nan_to_num())
        assert x.shape == before[array].shape
        assert x.dtype == before[array].dtype
        np.testing.assert_array_equal(before[array], TABLE.arrays[array])  # nothing is written into
    for field, slot in (("ramp", "values"), ("timed", "values"), ("clip", "mel"), ("wave", "wave")):
        mask = after[f"{field}.mask"]
        assert mask[:, 0].all()
        assert (mask.int().diff(dim=1) <= 0).all()
        assert (after[f"{field}.{slot}"][~mask] == 0).all()
    assert after["clip.mel"].isfinite().all()
    assert after["timed.times"].isfinite().all()
    assert (after["timed.times"][~after["timed.mask"]] == 0).all()


def test_jitter_is_as_strong_as_it_says() -> None:
    before, after = made(Jitter(deviation=0.1))
    moved = (after["clip.mel"] - before["clip.mel"])[before["clip.mask"]]
    spread = series_of(TABLE)["clip.mel"].spread
    np.testing.assert_allclose((moved / spread).std(), 0.1, rtol=0.1)
    assert torch.equal(after["ramp.values"].isnan(), before["ramp.values"].isnan())


def test_scaling_multiplies_a_series_and_lifts_a_spectrogram() -> None:
    before, after = made(Scaling(deviation=0.2))
    factor = (after["ramp.values"] / before["ramp.values"])[1]
    factor = factor[before["ramp.mask"][1] & (before["ramp.values"][1, :, 0] != 0)]
    assert factor.std(0).max() < 1e-5
    assert abs(float(factor[0, 0] - factor[0, 1])) > 1e-4
    lifted = (after["clip.mel"] - before["clip.mel"])[0][before["clip.mask"][0]]
    assert float(lifted.std()) < 1e-5


def test_warping_keeps_the_ends_and_the_order() -> None:
    before, after = made(Warp(factor=2.0, chance=1.0))
    length = before["ramp.mask"].sum(1)
    for row in range(1, COUNT):
        x = after["ramp.values"][row, : length[row], 0]
        assert x[0] == 0
        np.testing.assert_allclose(x[-1], length[row] - 1, rtol=1e-5)
        steps = x.diff()
        assert (steps > 0).all()
        assert float(steps.min()) < 0.9
        assert float(steps.max()) > 1.05
        t, was = (arrays["timed.times"][row, : length[row]] for arrays in (after, before))
        np.testing.assert_allclose(t[[0, -1]], was[[0, -1]], atol=1e-4)
        assert (t.diff() >= 0).all()
    assert torch.equal(before["timed.values"].nan_to_num(), after["timed.values"].nan_to_num())
    same = made(Warp(chance=1e-9))
    assert torch.allclose(same[0]["ramp.values"], same[1]["ramp.values"], atol=1e-4, equal_nan=True)


def test_a_slice_is_a_window_of_the_row() -> None:
    before, after = made(Slice(share=0.5))
    for row in range(1, COUNT):
        length = int(before["ramp.mask"][row].sum())
        kept = math.ceil(length / 2)
        assert int(after["ramp.mask"][row].sum()) == kept
        x = after["ramp.values"][row, :kept, 0]
        assert (x.diff() == 1).all()
        t = after["timed.times"][row, :kept]
        assert t[-1] == 0
        assert (t.diff() >= 0).all()


def test_a_shift_moves_and_repeats_the_end() -> None:
    before, after = made(Shift(most=0.5))
    x, length = after["ramp.values"][:, :, 0], before["ramp.mask"].sum(1)
    moved = [x[row, : length[row]] for row in range(1, COUNT)]
    assert all(set(one.diff().tolist()) <= {0.0, 1.0} for one in moved)
    assert any(one[0] > 0 for one in moved)
    assert any(one[-1] < len(one) - 1 for one in moved)


def test_speed_changes_lengths_and_slopes_alike() -> None:
    before, after = made(Speed(most=0.5))
    old, new = before["ramp.mask"].sum(1), after["ramp.mask"].sum(1)
    assert (old != new).any()
    for row in range(1, COUNT):
        steps = after["ramp.values"][row, : int(new[row]), 0].diff()
        pace = float(steps[0])
        np.testing.assert_allclose(steps[:-1], pace, rtol=1e-4)
        assert int(new[row]) == min(20, max(1, round(float(old[row]) / pace))) or abs(float(old[row]) / pace % 1 - 0.5) < 1e-3


def test_masks_over_time_and_frequency_hold_the_mean() -> None:
    mean = series_of(TABLE)["clip.mel"].mean
    before, after = made(TimeMask(spans=1, most=0.3))
    blank = (after["clip.mel"] == mean).all(2) & before["clip.mask"]
    length = before["clip.mask"].sum(1)
    assert blank.any()
    assert (blank.sum(1) <= (0.3 * length + 1)).all()
    assert torch.equal(after["clip.mel"][~blank], before["clip.mel"][~blank])
    before, after = made(FrequencyMask(spans=1, most=0.3))
    for row in range(COUNT):
        mask = before["clip.mask"][row]
        lost = (after["clip.mel"][row] == mean)[mask].all(0)
        assert lost.sum() <= 4
        assert torch.equal(after["clip.mel"][row][:, ~lost], before["clip.mel"][row][:, ~lost])


def test_background_noise_adds_power_and_leaves_other_series_alone() -> None:
    before, after = made(Background(loud=0.0, quiet=0.0))
    assert (after["clip.mel"] >= before["clip.mel"] - 1e-6).all()
    assert torch.equal(after["ramp.values"].nan_to_num(), before["ramp.values"].nan_to_num())
    noise = (after["wave.wave"] - before["wave.wave"])[before["wave.mask"]]
    np.testing.assert_allclose(noise.std(), series_of(TABLE)["wave.wave"].spread[0], rtol=0.05)


def test_mixup_mixes_steps_as_far_as_both_rows_reach() -> None:
    before = rows()
    after = Mixup(alpha=1.0).apply(before, draw())
    share = after.labels[0].weights
    assert share is not None
    x, was, mask = after.arrays["ramp.values"], before.arrays["ramp.values"], before.arrays["ramp.mask"]
    assert torch.equal(after.arrays["ramp.mask"], mask)
    assert (x[~mask] == 0).all()
    np.testing.assert_allclose(x[1:, 4, 0], 4.0, rtol=1e-5)  # every ramp is at 4 there, so all means are
    mixed = (after.arrays["clip.mel"] != before.arrays["clip.mel"]).any(2)
    assert mixed.any()
    assert not mixed[~before.arrays["clip.mask"]].any()
    assert torch.equal(x.isnan(), was.isnan())


def test_batches_are_augmented_through_the_loops_own_door() -> None:
    parts = (Speed(), Slice(), Warp(), TimeMask())
    augment = augmenting(parts, TABLE, Run(seed=3))
    assert augment is not None
    before = rows()
    arrays, labels = augment(before.arrays, before.labels)
    assert arrays.keys() == before.arrays.keys()
    assert len(labels) == 1
    assert (arrays["clip.mask"].sum(1) < before.arrays["clip.mask"].sum(1)).any()


def test_another_voice_moves_the_bands_of_a_clip_together() -> None:
    before, after = made(Pitch(most=0.3))
    assert torch.equal(before["ramp.values"].nan_to_num(), after["ramp.values"].nan_to_num())
    mask = before["clip.mask"]
    assert torch.equal(before["clip.mel"][~mask], after["clip.mel"][~mask])
    torch.testing.assert_close(before["clip.mel"][:, :, 0], after["clip.mel"][:, :, 0])  # c = 0 is read at 0
    assert (before["clip.mel"] - after["clip.mel"])[mask].abs().mean() > 0.1
