"""Targets of every kind from a table to a bundle that answers, and what is said where one does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import fermion
from fermion.bundle.verify import verify
from fermion.cloud.answer import Answers
from fermion.cloud.describe import openapi
from fermion.columns.output import Labels, Survival, Thresholds
from fermion.core.errors import DataError, SpecError
from fermion.practice.easy import Trained

RNG = np.random.default_rng(0)
N = 240
X = RNG.normal(size=(N, 2))
INPUTS: dict[str, list[Any]] = {"x": X[:, 0].tolist(), "z": X[:, 1].tolist()}
DAYS = RNG.exponential(10 * np.exp(-1.2 * X[:, 0])) + 0.01
SEEN = RNG.exponential(20, size=N) + 0.01
TRUTH: dict[str, list[Any]] = {
    "topics": [[name for name, score in zip(("art", "law"), row, strict=True) if score > 0.2] for row in X],
    "risk": np.array(["low", "middle", "high"])[np.digitize(X[:, 0] + 0.2 * RNG.normal(size=N), [-0.6, 0.6])].tolist(),
    "delay": (100 + 5 * X[:, 0] + RNG.normal(size=N)).tolist(),
    "claims": RNG.poisson(np.exp(0.5 + 0.8 * X[:, 0])).tolist(),
    "days": np.minimum(DAYS, SEEN).tolist(),
    "died": (DAYS <= SEEN).tolist(),
}
KINDS: dict[str, Any] = {
    "topics": "labels",
    "risk": {"type": "ordinal", "order": ["low", "middle", "high"]},
    "delay": {"type": "quantiles", "levels": [0.1, 0.5, 0.9]},
    "claims": {"type": "count", "family": "negative_binomial"},
    "days": {"type": "survival", "event": "died"},
}
MODEL = {"type": "mlp", "width": 24, "blocks": 1, "steps": 250, "batch": 64, "lr": 0.005}
SCORED = {"draws": 30}


def fit(target: Any, kinds: dict[str, Any], model: Any = MODEL, **more: Any) -> Trained:
    truth = {name: TRUTH[name] for name in (TRUTH if "days" in kinds else kinds)}
    truth = {name: values for name, values in truth.items() if name in kinds or name == "died"}
    return fermion.fit({**INPUTS, **truth}, target=target, data={"columns": kinds}, model=model, evaluate=SCORED, **more)


class TestAllAtOnce:
    """One net with a head for each, whose losses are weighed by what is learned."""

    @pytest.fixture(scope="class")
    def trained(self) -> Trained:
        return fit(tuple(KINDS), KINDS, {**MODEL, "weigh": "learned"})

    def test_every_target_beats_its_baseline(self, trained: Trained) -> None:
        metrics = trained.evaluate().metrics
        for name in ("topics.macro_f1", "topics.mean_average_precision", "risk.quadratic_kappa", "days.concordance"):
            score = metrics[name]
            assert score.value is not None
            assert score.baseline is not None
            assert score.low is not None
            assert score.value > score.baseline
            assert score.low <= score.value
        for name in ("topics.hamming_loss", "risk.rank_mae", "delay.pinball", "claims.poisson_deviance", "days.integrated_brier"):
            score = metrics[name]
            assert score.value is not None
            assert score.baseline is not None
            assert score.value < score.baseline, name

    def test_the_bundle_is_verified_and_answers_what_its_description_says(self, trained: Trained, tmp_path: Path) -> None:
        bundle = trained.save(tmp_path / "bundle")
        assert [check for check in verify(bundle.path) if not check.ok] == []
        loaded = fermion.load(bundle.path)
        rows = {name: values[:3] for name, values in INPUTS.items()}
        answer = loaded.predict(rows)
        assert set(answer) == {"prediction", "probabilities", "quantiles", "risk", "survival"}
        first = answer["prediction"][0]
        assert isinstance(first["topics"], list)
        assert first["risk"] in ("low", "middle", "high")
        assert first["claims"] > 0
        quantiles = answer["quantiles"][0]["delay"]
        assert quantiles["0.1"] <= quantiles["0.5"] == first["delay"] <= quantiles["0.9"]
        survival = list(answer["survival"][0]["days"].values())
        assert survival == sorted(survival, reverse=True)
        assert answer["risk"][0]["days"] > 0
        runtime = loaded.runtime
        answers = Answers(runtime.outputs, runtime.decisions, bundle.id)
        body = answers.encode(answers.rows(runtime.arrays(rows)), columnar=False)
        document = openapi(runtime.requests, runtime.outputs, bundle=bundle.id, name="all", example=None)
        schema = {"$ref": "#/components/schemas/Answer", "components": document["components"]}
        jsonschema.validate(json.loads(body), schema)

    def test_more_risk_means_an_earlier_event(self, trained: Trained) -> None:
        answer = trained.predict({"x": [-1.5, 1.5], "z": [0.0, 0.0]})
        assert answer["risk"][0]["days"] < answer["risk"][1]["days"]
        assert answer["prediction"][0]["days"] > answer["prediction"][1]["days"]


def test_thresholds_of_labels_are_chosen_one_by_one(tmp_path: Path) -> None:
    trained = fit("topics", {"topics": "labels"}, "baseline", decide={"type": "threshold", "at": "best"})
    decision = trained.evaluate().decisions["topics"]
    assert isinstance(decision, Thresholds)
    assert len(decision.at) == 2
    bundle = trained.save(tmp_path / "bundle")
    assert bundle.manifest.decisions["topics"] == decision
    assert trained.predict({"x": [0.0], "z": [0.0]})["prediction"] == [["art", "law"]]


def test_hazards_by_interval(tmp_path: Path) -> None:
    kinds = {"days": {"type": "survival", "event": "died", "method": "hazard", "times": [2, 5, 10, 20]}}
    trained = fit("days", kinds)
    metrics = trained.evaluate().metrics
    assert metrics["concordance"].value is not None
    assert metrics["concordance"].value > 0.6
    assert trained.runtime.schema.names == ("x", "z")
    assert list(trained.predict({"x": [0.0], "z": [0.0]})["survival"][0]) == ["2", "5", "10", "20"]


def test_a_model_for_classes_and_numbers_names_those_that_can() -> None:
    with pytest.raises(SpecError) as told:
        fit("topics", {"topics": "labels"}, "linear")
    assert "the target `topics` (labels) must be one that the model can learn" in str(told.value)
    assert "mlp" in str(told.value)


def test_ranks_are_classes_to_every_model() -> None:
    kappa = fit("risk", {"risk": KINDS["risk"]}, "linear").evaluate().metrics["quadratic_kappa"].value
    assert kappa is not None
    assert kappa > 0.6


def test_the_type_of_a_target_is_not_for_inputs() -> None:
    with pytest.raises(SpecError, match=r"the column `x` of data.columns must be a target, to be of this type, got 'labels'"):
        fermion.fit({**INPUTS, "y": TRUTH["claims"]}, target="y", data={"columns": {"x": "labels"}}, model="linear")


def test_the_column_of_the_event_must_be_there() -> None:
    with pytest.raises(DataError, match=r"data.columns.days.event must be a column of the data \(.+\), got 'dead'. Did you mean `died`\?"):
        fit("days", {"days": {"type": "survival", "event": "dead"}})


@pytest.mark.parametrize(
    ("output", "values", "told"),
    [
        (Labels(target="y", classes=("a",)), [["a"], ["b"]], "value must be made of labels of `y` that the training part has: a"),
        (Labels(target="y"), [3], "value must be a list of labels, or text with a separator between them, got 3"),
        (Survival(event="died", target="y"), [(0.0, True)], "value must be a time above 0, beside whether the event happened"),
        (Survival(event="died", target="y"), [(1.0, "yes")], "whether the event of `died` happened"),
    ],
)
def test_values_that_do_not_fit(output: Any, values: list[Any], told: str) -> None:
    with pytest.raises(DataError) as raised:
        output.encode(values)
    assert told in str(raised.value)
