"""Generated heartbeats: shapes, determinism, and what tells the classes apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.data.heartbeats import UNITS, Heartbeats
from fermion.data.samples import sample
from fermion.data.table import Table


@pytest.fixture(scope="module")
def beats() -> Table:
    return sample("sample://ecg?rows=1500&patients=15")


def array(table: Table, name: str) -> Any:
    return np.asarray(table.values(name))


def test_a_row_is_a_beat_of_a_patient(beats: Table) -> None:
    assert beats.names == ("beat", "rr_prev", "rr_next", "rr_mean", "patient", "label")
    beat = array(beats, "beat")
    assert (beat.shape, beat.dtype) == ((1500, 125), np.int16)
    assert set(array(beats, "label")) == {"N", "S", "V", "F"}
    assert len(set(array(beats, "patient"))) == 15
    assert np.mean(array(beats, "label") == "N") > 0.6


def test_the_same_settings_give_the_same_beats() -> None:
    one, again = (Heartbeats(rows=50, patients=2).table().fingerprint for _ in range(2))
    assert one == again != Heartbeats(rows=50, patients=2, seed=1).table().fingerprint


def test_intervals_follow_each_other(beats: Table) -> None:
    patient, before, after = (array(beats, name) for name in ("patient", "rr_prev", "rr_next"))
    same = patient[1:] == patient[:-1]
    np.testing.assert_array_equal(after[:-1][same], before[1:][same])
    assert before.min() >= 0.3


def test_early_beats_are_early_and_only_ventricular_ones_are_made_up_for(beats: Table) -> None:
    label, before, after, mean = (array(beats, name) for name in ("label", "rr_prev", "rr_next", "rr_mean"))
    early = before / mean
    assert np.median(early[label == "S"]) < 0.85
    assert np.median(early[label == "V"]) < 0.8
    assert np.median(np.abs(early[np.isin(label, ["N", "F"])] - 1)) < 0.1
    alone = np.append(label[1:] == "N", False)
    whole = ((before + after) / mean)[alone]
    assert np.median(whole[label[alone] == "V"]) > np.median(whole[label[alone] == "S"]) + 0.1


def test_ventricular_beats_are_wide_and_have_no_p_wave(beats: Table) -> None:
    label, beat = array(beats, "label"), array(beats, "beat") / UNITS
    level = np.median(beat, axis=1, keepdims=True)
    qrs = np.abs(beat - level)[:, 40:60]
    width = (qrs > qrs.max(axis=1, keepdims=True) / 2).sum(axis=1)
    assert np.median(width[label == "V"]) > 1.7 * np.median(width[label == "N"])
    assert np.median(width[label == "S"]) == pytest.approx(np.median(width[label == "N"]), abs=1)
    assert np.median(width[label == "N"]) < np.mean(width[label == "F"]) < np.median(width[label == "V"])
    p = (beat[:, 20:40].max(axis=1) - beat[:, 38:44].mean(axis=1))[label != "F"]
    others = label[label != "F"]
    steady = np.median(np.abs(beat[:, 47:54] - level).max(axis=1)[label == "N"])
    assert np.median(p[others == "N"]) > 0.05
    assert 0.5 < steady < 2.0


def test_the_r_wave_is_where_it_should_be(beats: Table) -> None:
    label, beat = array(beats, "label"), array(beats, "beat").astype(int)
    peak = beat[label == "N"][:, 45:56].argmax(axis=1) + 45
    assert np.mean(np.abs(peak - 50) <= 1) > 0.95
