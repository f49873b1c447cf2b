from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.columns.infer import infer
from fermion.columns.output import Value
from fermion.core.declared import Feature
from fermion.core.run import Run
from fermion.research import importance
from fermion.research.importance import importances
from fermion.research.model import Encoded


def test_the_column_that_says_something_is_found(binary: Any) -> None:
    found, notes = importances(binary.model, binary.encoded, {}, Run(seed=1))
    assert notes == ()
    first, *others = found["flag"]
    assert first.column == "x"
    assert first.low <= first.drop <= first.high
    assert first.drop > 0.2
    assert {one.column: one.drop for one in others} == {"noise": 0, "town": 0}


def test_worse_is_above_zero_where_less_is_better(regression: Any) -> None:
    found, _ = importances(regression.model, regression.encoded, {}, Run(seed=1))
    assert [one.column for one in found["price"]] == ["size", "other"]
    assert found["price"][0].drop > 1e4


def test_same_seed_same_importance(binary: Any) -> None:
    again = [importances(binary.model, binary.encoded, {}, Run(seed=seed))[0]["flag"][0] for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_nothing_is_changed_in_place(binary: Any) -> None:
    before = {name: array.copy() for name, array in binary.encoded.arrays.items()}
    importances(binary.model, binary.encoded, {}, Run(seed=1))
    for name, array in before.items():
        np.testing.assert_array_equal(binary.encoded.arrays[name], array)


def test_each_target_has_its_own(several: Any) -> None:
    found, _ = importances(several.model, several.encoded, {}, Run(seed=1))
    assert found["kind"][0].column == found["cost"][0].column == "x"


def test_a_single_picture_is_skipped_with_a_note(pictures: Any) -> None:
    found, notes = importances(pictures.model, pictures.encoded, {}, Run(seed=1))
    assert found == {}
    assert notes == ("No permutation importance: `picture` is the only input.",)


def test_it_stops_when_the_time_is_over(binary: Any) -> None:
    run = Run(seed=1)
    run.stop()
    found, notes = importances(binary.model, binary.encoded, {}, run)
    assert found["flag"] == ()
    assert notes == ("Permutation importance of 0 of 3 columns: the time was over.",)


def test_a_large_part_is_sampled_so_that_a_rare_class_stays_and_the_metric_too(binary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "ROWS", 120)
    y_N = binary.encoded.targets["flag"]
    rare = np.flatnonzero(y_N == 1)[:20]
    part: Encoded = binary.encoded.take(np.sort(np.concatenate([rare, np.flatnonzero(y_N == 0)])))
    some = importance._sample(part, np.random.default_rng(0))
    assert len(some) == 120
    assert int((some.targets["flag"] == 1).sum()) == 20
    assert some.weights is not None
    assert some.weights.sum() == pytest.approx(len(part))
    assert some.weights[some.targets["flag"] == 1].tolist() == [1.0] * 20
    binary.model.batches.clear()
    importances(binary.model, part, {}, Run(seed=1))
    assert max(binary.model.batches) == 120


def test_a_derived_number_moves_with_its_sources() -> None:
    """A model that sees only paid / billed: both columns matter, the third does not, and the ratio itself is no column."""
    rng = np.random.default_rng(0)
    batch = {"paid": rng.uniform(0, 100, 400), "billed": rng.uniform(50, 100, 400), "other": rng.normal(size=400)}
    schema = infer(batch, {}, features=[Feature(ratio=("paid", "billed"))]).schema.fit(batch)
    output = Value(target="share", array="share")
    arrays = schema.encode(batch)

    class Share:
        def run(self, arrays: Any) -> Any:
            return {"share": arrays["numbers"][:, 3]}

    truth = {"share": batch["paid"] / batch["billed"]}
    found, _ = importances(Share(), Encoded(schema=schema, outputs=(output,), arrays=arrays, targets=truth), {}, Run(seed=1))
    drops = {one.column: one.drop for one in found["share"]}
    assert set(drops) == {"paid", "billed", "other"}
    assert drops["paid"] > drops["billed"] > 0.01
    assert drops["other"] == 0
