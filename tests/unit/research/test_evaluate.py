from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn import metrics as sk

from fermion.bundle.manifest import Score
from fermion.columns.output import Probability, Threshold, Value
from fermion.core.errors import DataError, NotReached, SpecError
from fermion.core.run import Event, Run
from fermion.measure.metrics import for_task
from fermion.research.evaluate import check, evaluate, missed
from fermion.research.report import Report
from fermion.research.scoring import answers


def truth_and_answer(problem: Any) -> tuple[Any, Any]:
    (output,) = problem.encoded.outputs
    return problem.encoded.targets[output.target], problem.model.of(problem.encoded.arrays)[output.array]


def test_metrics_are_those_of_scikit_learn_with_the_primary_one_first(binary: Any) -> None:
    y_N, p_NK = truth_and_answer(binary)
    found = binary.report().metrics
    assert list(found) == [metric.name for metric in for_task("binary")]
    assert found["roc_auc"].value == pytest.approx(sk.roc_auc_score(y_N, p_NK[:, 1]))
    assert found["average_precision"].value == pytest.approx(sk.average_precision_score(y_N, p_NK[:, 1]))
    assert found["accuracy"].value == pytest.approx(sk.accuracy_score(y_N, p_NK.argmax(1)))
    assert found["f1"].value == pytest.approx(sk.f1_score(y_N, p_NK.argmax(1)))
    for name in ("roc_auc", "accuracy"):
        score = found[name]
        assert score.low < score.value < score.high


def test_a_regression_is_scored_in_its_own_unit(regression: Any) -> None:
    report = regression.report()
    truth = np.asarray(regression.table.values("price"))
    answer = 1e6 + 5e4 * np.asarray(regression.table.values("size"))
    assert report.metrics["rmse"].value == pytest.approx(sk.root_mean_squared_error(truth, answer), rel=1e-4)
    assert report.metrics["r2"].value == pytest.approx(sk.r2_score(truth, answer), rel=1e-4)
    assert report.metrics["rmse"].baseline == pytest.approx(truth.std())
    detail = report.details["price"]
    assert detail.scatter is not None
    assert len(detail.scatter.truth) == 400
    assert detail.histogram is not None
    assert sum(detail.histogram.counts["rows"]) == 400


def test_weights_count_in_every_metric_and_figure(binary: Any) -> None:
    y_N, p_NK = truth_and_answer(binary)
    weights = np.random.default_rng(5).integers(0, 4, len(y_N)).astype(np.float64)
    report = binary.report(weights=weights)
    assert report.weighted
    assert report.metrics["roc_auc"].value == pytest.approx(sk.roc_auc_score(y_N, p_NK[:, 1], sample_weight=weights))
    assert report.metrics["brier"].value == pytest.approx(sk.brier_score_loss(y_N, p_NK[:, 1], sample_weight=weights))
    detail = report.details["flag"]
    assert detail.rows == int((weights > 0).sum())
    assert detail.confusion is not None
    np.testing.assert_allclose(detail.confusion.matrix, sk.confusion_matrix(y_N, p_NK.argmax(1), sample_weight=weights))
    assert all(weights[mistake.row - 1000] > 0 for mistake in detail.mistakes)


def test_the_baseline_stands_beside_each_metric(binary: Any) -> None:
    y_N, _ = truth_and_answer(binary)
    found = binary.report().metrics
    assert found["roc_auc"].baseline == 0.5
    assert found["accuracy"].baseline == pytest.approx(max(y_N.mean(), 1 - y_N.mean()))
    assert found["average_precision"].baseline == pytest.approx(y_N.mean())
    assert all(score.baseline is not None for score in found.values())


def test_a_report_survives_json_and_is_the_same_for_the_same_seed(binary: Any, pictures: Any, regression: Any, several: Any) -> None:
    for problem in (binary, pictures, regression, several):
        report = problem.report()
        data = msgspec.json.encode(report)
        assert msgspec.json.decode(data, type=Report) == report
        again = msgspec.structs.replace(problem.report(), seconds=report.seconds)
        assert msgspec.json.encode(again) == data


def test_several_targets_have_names_of_their_own_and_leave_unlabelled_rows_out(several: Any) -> None:
    report = several.report()
    assert report.task == "several"
    assert next(iter(report.metrics)) == "kind.roc_auc"
    assert {"kind.f1", "cost.rmse", "cost.r2"} <= set(report.metrics)
    assert (report.details["kind"].rows, report.details["cost"].rows) == (250, 280)
    y_N, said = several.encoded.targets["kind"][:250], several.model.of(several.encoded.arrays)
    p_N = said[several.encoded.outputs[0].array][:250, 1]
    assert report.metrics["kind.roc_auc"].value == pytest.approx(sk.roc_auc_score(y_N, p_N))
    assert {mistake.row for mistake in report.details["cost"].mistakes}.isdisjoint(range(1000, 1020))


def test_a_test_part_of_one_class_has_undefined_metrics(binary: Any) -> None:
    y_N, _ = truth_and_answer(binary)
    report = binary.report(test=np.flatnonzero(y_N == 0))
    assert report.metrics["roc_auc"] == Score(value=None, low=None, high=None, baseline=None)
    assert report.metrics["accuracy"].value is not None
    assert report.details["flag"].importance == ()
    assert any("undefined" in note for note in report.notes)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_test_part_without_labels_or_weights_is_scored_as_nothing(several: Any, binary: Any) -> None:
    report = several.report(test=slice(260, 300))
    assert report.metrics["kind.accuracy"].value is None
    assert report.metrics["cost.rmse"].value is not None
    nothing = binary.report(weights=np.zeros(600))
    assert all(score.value is None for score in nothing.metrics.values())
    assert nothing.details["flag"].mistakes == ()


def test_no_test_rows_are_refused(binary: Any) -> None:
    with pytest.raises(DataError, match="a part of the split must be not empty"):
        binary.report(test=slice(0, 0))


def test_no_draws_give_no_interval(binary: Any) -> None:
    score = binary.report(evaluate={"draws": 0}).metrics["accuracy"]
    assert (score.low, score.high) == (None, None)


def test_groups_are_drawn_whole(binary: Any) -> None:
    groups: list[Any] = [row // 60 for row in range(600)]
    alone, grouped = binary.report(), binary.report(groups=groups)
    assert grouped.grouped
    assert grouped.metrics["accuracy"].value == alone.metrics["accuracy"].value
    assert grouped.metrics["accuracy"].low != alone.metrics["accuracy"].low
    assert binary.report(groups=[None] * 600).metrics == alone.metrics  # a row without a group is a unit of its own
    assert binary.report(groups=["one"] * 600).metrics["accuracy"].low is None


def test_answers_come_in_batches(binary: Any) -> None:
    answers(binary.model, binary.encoded.arrays, batch=256)
    assert binary.model.batches == [256, 256, 88]


def test_progress_and_what_is_passed_on(binary: Any) -> None:
    heard: list[Event] = []
    report = binary.report(run=Run(seed=3, listeners=(heard.append,)))
    assert {event.kind for event in heard} == {"progress"}
    assert heard[-1].done == heard[-1].total
    assert report.curves[0].y == [0.5, 0.25]  # NaN is left out
    assert report.notes[0] == "a note"
    assert report.findings[0]["kind"] == "nulls"
    assert report.split["sizes"]["test"] == 600
    assert report.settings["name"] == "p"
    assert report.seconds > 0


def test_figures_of_a_binary_problem(binary: Any) -> None:
    detail = binary.report().details["flag"]
    assert [line.name for line in detail.roc] == ["yes & <no>"]
    assert (detail.roc[0].x[0], detail.roc[0].y[-1]) == (0.0, 1.0)
    assert detail.roc[0].area == pytest.approx(binary.report().metrics["roc_auc"].value)
    assert detail.reliability is not None
    assert 0 < detail.reliability.error < 0.3
    assert sum(detail.reliability.count) == pytest.approx(600)
    recall = next(line for line in detail.thresholds if line.name == "recall")
    y_N, p_NK = truth_and_answer(binary)
    assert recall.y[50] == pytest.approx((p_NK[y_N == 1, 1] >= 0.5).mean(), abs=1e-5)
    assert (recall.y[0], recall.x[-1]) == (1.0, 1.0)


def test_figures_of_several_classes(pictures: Any) -> None:
    detail = pictures.report().details["shade"]
    assert detail.classes == ("0", "1", "2")
    assert [line.name for line in detail.roc] == ["0", "1", "2"]
    assert detail.histogram is not None
    assert set(detail.histogram.counts) == {"right", "wrong"}
    assert detail.thresholds == ()
    assert all(mistake.picture is not None and mistake.picture.startswith(b"\x89PNG") for mistake in detail.mistakes)


def test_requirements_by_direction() -> None:
    metrics = {"rmse": Score(value=2.0, low=1.5, high=2.5), "r2": Score(value=0.5), "kind.f1": Score(value=None)}
    assert missed(metrics, {}) is None
    assert missed(metrics, {"rmse": 2.0, "r2": 0.5}) is None
    found = missed(metrics, {"rmse": 1.9, "r2": 0.6})
    assert isinstance(found, NotReached)
    assert found.message == (
        "`rmse` must be at most 1.9000 on the test part, got 2.0000 (95 % interval 1.5000 to 2.5000); "
        "`r2` must be at least 0.6000 on the test part, got 0.5000."
    )
    assert found.remedy
    undefined = missed(metrics, {"kind.f1": 0.5})
    assert undefined is not None
    assert "undefined" in undefined.message


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"evaluate": {"require": {"acuracy": 0.9}}}, "Did you mean `accuracy`"),
        ({"evaluate": {"require": {"rmse": 0.9}}}, "made of this task's metrics"),
        ({"evaluate": {"slices": ["twon"]}}, "Did you mean `town`"),
        ({"decide": {"type": "threshold", "of": "nevr"}}, "Did you mean `never`"),
        ({"decide": {"type": "threshold", "metric": "roc_auc"}}, "one that a threshold changes"),
    ],
)
def test_a_word_that_means_nothing_here_is_a_spec_error(binary: Any, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        binary.report(**sections)


def test_a_required_metric_that_is_not_there_is_a_spec_error() -> None:
    with pytest.raises(SpecError, match="Did you mean `rmse`"):
        missed({"rmse": Score(value=1.0)}, {"rsme": 1.0})


def test_what_can_be_known_before_the_fit_is_checked_without_one(regression: Any) -> None:
    from fermion.core.spec import read

    spec = read({"name": "p", "data": {"source": "s", "target": "y"}, "decide": {"type": "threshold"}})
    with pytest.raises(SpecError, match="left out for a target with numbers"):
        check(spec, [Value(target="y")], ["a"])
    check(spec, [Probability(target="y", classes=("a", "b"))], ["a"])


def test_a_threshold_is_reported_and_used(binary: Any) -> None:
    y_N, p_NK = truth_and_answer(binary)
    report = binary.report(decide={"type": "threshold", "at": 0.3})
    assert report.decisions == {"flag": Threshold(code=1, at=0.3)}
    assert report.metrics["recall"].value == pytest.approx(sk.recall_score(y_N, p_NK[:, 1] >= 0.3))
    assert binary.report().decisions == {}


def test_a_fitted_model_is_evaluated_as_a_runtime_is(binary: Any) -> None:
    from fermion.core.spec import read
    from fermion.research.model import Fitted

    fitted = Fitted(schema=binary.encoded.schema, outputs=binary.encoded.outputs, learned=binary.model)
    spec = read({"name": "p", "data": {"source": "sample://p", "target": "flag"}})
    shared: dict[str, Any] = {"test": binary.encoded, "valid": None, "raw": binary.table, "rows": np.arange(600), "spec": spec}
    baseline = {binary.encoded.outputs[0].array: [0.5, 0.5]}
    report = evaluate(fitted, baseline=baseline, run=Run(seed=3), **shared)
    assert report.metrics["accuracy"].value == binary.report().metrics["accuracy"].value
