from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from fermion.columns.output import Threshold
from fermion.core.errors import DataError

BEST = {"type": "threshold"}


def test_the_best_threshold_is_chosen_on_the_validation_part_alone(binary: Any) -> None:
    chosen = binary.report(test=slice(0, 300), valid=slice(300, 600), decide=BEST).decisions
    assert binary.report(test=slice(50, 120), valid=slice(300, 600), decide=BEST).decisions == chosen
    assert binary.report(test=slice(0, 300), valid=slice(0, 300), decide=BEST).decisions != chosen


@pytest.mark.parametrize("metric", ["f1", "accuracy", "balanced_accuracy"])
def test_no_threshold_is_better_on_the_validation_part(binary: Any, metric: str) -> None:
    (output,) = binary.encoded.outputs
    y_N, p_N = binary.encoded.targets["flag"][300:], binary.model.of(binary.encoded.arrays)[output.array][300:, 1]
    score = {"f1": sk.f1_score, "accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}[metric]
    decision = binary.report(test=slice(0, 300), valid=slice(300, 600), decide={**BEST, "metric": metric}).decisions["flag"]
    assert score(y_N, p_N >= decision.at) == pytest.approx(max(score(y_N, p_N >= at) for at in [*p_N, 1.0]))


def test_weights_of_the_validation_part_count(binary: Any) -> None:
    from fermion.core.sections import Choice
    from fermion.research.deciding import decisions

    def at(weights: Any) -> float:
        part = binary.encoded
        heavy = type(part)(schema=part.schema, outputs=part.outputs, arrays=part.arrays, targets=part.targets, weights=weights)
        decision = decisions(Choice(type="threshold", metric="accuracy"), part.outputs, binary.model, heavy)["flag"]
        assert isinstance(decision, Threshold)
        return decision.at

    y_N = binary.encoded.targets["flag"]
    assert at(np.where(y_N == 1, 20.0, 1.0)) < at(None) < at(np.where(y_N == 1, 0.05, 1.0))


def test_the_threshold_may_be_of_another_class_and_of_many(binary: Any, pictures: Any) -> None:
    assert binary.report(decide={**BEST, "of": "never", "at": 0.25}).decisions["flag"] == Threshold(code=0, at=0.25)
    report = pictures.report(decide={**BEST, "of": "0", "metric": "accuracy"})
    assert report.decisions["shade"].code == 0
    assert report.metrics["accuracy"].value >= pictures.report().metrics["accuracy"].value


def test_of_several_targets_only_those_with_classes_are_decided(several: Any) -> None:
    assert set(several.report(decide=BEST).decisions) == {"kind"}


def test_there_must_be_something_to_choose_on(binary: Any) -> None:
    for valid in (None, slice(0, 0)):
        with pytest.raises(DataError, match="the validation part must be there") as missing:
            binary.report(valid=valid, decide=BEST)
        assert "decide: {at: 0.5}" in missing.value.remedy
    never = np.flatnonzero(binary.encoded.targets["flag"] == 0)
    with pytest.raises(DataError, match="with rows of the class yes & <no>"):
        binary.report(valid=never, decide=BEST)
    assert binary.report(valid=None, decide={**BEST, "at": 0.4}).decisions["flag"].at == 0.4
