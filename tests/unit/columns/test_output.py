from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.columns.output import Argmax, Decision, Output, Probability, Threshold, Value, decode, infer_output, name_of
from fermion.core.errors import DataError, SpecError, ValueRejected


class TestProbability:
    @pytest.mark.parametrize(
        ("values", "classes"),
        [
            (["b", "a", None, "B"], ("B", "a", "b")),
            ([True, False], (False, True)),
            ([3, 1, 2], (1, 2, 3)),
            ([10, 9], (9, 10)),
            ([2.0, 1.0, float("nan")], (1, 2)),
            (np.array([1, 0]), (0, 1)),
            ([np.int64(1), np.str_("a")], (1, "a")),
            (np.array(["b", "a"]), ("a", "b")),
            (["a", 1, True], (True, 1, "a")),
            ([], ()),
        ],
    )
    def test_classes_are_sorted_and_frozen(self, values: Any, classes: tuple[Any, ...]) -> None:
        fitted = Probability(target="y").fit(values)
        assert fitted.classes == classes
        assert [type(label) for label in fitted.classes] == [type(label) for label in classes]
        assert fitted.array == "probabilities:y"
        assert Probability(target="y").fit(list(values)[::-1]) == fitted

    def test_labels_become_positions(self) -> None:
        fitted = Probability(target="y").fit(["no", "yes"])
        assert fitted.encode(["yes", None, "no", float("nan")]).tolist() == [1, -1, 0, -1]
        whole = Probability(target="y").fit([0, 1])
        assert whole.encode([1.0, 0, np.int8(1)]).tolist() == whole.encode(np.array([1.0, 0.0, 1.0])).tolist() == [1, 0, 1]

    @pytest.mark.parametrize(("classes", "value"), [(["a", "b"], "c"), ([0, 1], True), ([False, True], 1), ([0, 1], "1"), (["1", "2"], 1)])
    def test_a_class_that_training_did_not_have(self, classes: list[Any], value: object) -> None:
        fitted = Probability(target="y").fit(classes)
        with pytest.raises(ValueRejected) as raised:
            fitted.encode([classes[0], value])
        told = ", ".join(name_of(label) for label in fitted.classes)
        assert str(raised.value) == f"row 1: value must be a class of `y` that the training part has: {told}, got {value!r}."

    @pytest.mark.parametrize("value", [1.5, float("inf"), [], b"a", {}])
    def test_what_names_no_class(self, value: object) -> None:
        with pytest.raises(ValueRejected, match=r"^row 1: value must be a class: text, a whole number or a truth value, got "):
            Probability(target="y").fit(["a", value])

    @pytest.mark.parametrize("values", [[1, "1"], [True, "true"]])
    def test_classes_that_json_cannot_tell_apart(self, values: list[Any]) -> None:
        with pytest.raises(DataError, match=r"the classes of `y` must be told apart by their names"):
            Probability(target="y").fit(values)

    def test_an_answer(self) -> None:
        output = Probability(target="y").fit([True, False])
        arrays = {"probabilities:y": np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32)}
        assert decode([output], arrays, {}) == {
            "prediction": [True, False],
            "probabilities": [{"false": 0.25, "true": 0.75}, {"false": 0.5, "true": 0.5}],
        }

    def test_a_class_by_its_name_in_the_project_file(self) -> None:
        output = Probability(target="y").fit([False, True])
        assert (output.index("false"), output.index(None)) == (0, 1)
        assert Probability(target="y").fit([3, 5]).index("3") == 0
        with pytest.raises(SpecError, match=r"the class must be one of false, true, got 'tru'. Did you mean `true`\?"):
            output.index("tru")


class TestValue:
    def test_the_target_is_standardised_and_restored(self) -> None:
        values = [1e9 + 1, 1e9 + 2, None, 1e9 + 6]
        output = Value(target="price").fit(values)
        encoded = output.encode(values)
        assert np.nanmean(encoded) == pytest.approx(0)
        assert np.nanstd(encoded) == pytest.approx(1)
        assert np.isnan(encoded[2])
        answer = decode([output], {"value:price": encoded.astype(np.float32)}, {})["prediction"]
        assert [answer[0], answer[1], answer[3]] == pytest.approx([1e9 + 1, 1e9 + 2, 1e9 + 6], abs=1e-3)

    @pytest.mark.parametrize("values", [[5.0, 5.0], [5.0], [], [None]])
    def test_nothing_varies(self, values: list[Any]) -> None:
        output = Value(target="y").fit(values)
        assert output.scale == 1.0
        assert not np.isnan(output.encode([5.0])).any()

    @pytest.mark.parametrize("value", ["5", True, float("inf")])
    def test_what_is_no_number(self, value: object) -> None:
        with pytest.raises(ValueRejected, match=r"^row 1: value must be a finite number or null"):
            Value(target="y").fit([1.0, value])


class TestDecision:
    scores = np.array([[0.6, 0.4], [0.7, 0.3], [0.71, 0.29]], dtype=np.float32)

    def test_the_first_of_equals(self) -> None:
        assert Argmax().decide(np.array([[0.5, 0.5], [0.2, 0.8]])).tolist() == [0, 1]

    def test_a_threshold_holds_where_it_is_met(self) -> None:
        assert Threshold(code=1, at=0.3).decide(self.scores).tolist() == [1, 1, 0]
        assert Threshold(code=0, at=0.7).decide(self.scores).tolist() == [1, 0, 0]
        assert Threshold(code=1, at=0.0).decide(self.scores).tolist() == [1, 1, 1]
        assert Threshold(code=1, at=1.0).decide(self.scores).tolist() == [0, 0, 0]

    def test_below_the_threshold_the_best_of_the_others(self) -> None:
        p_NK = np.array([[0.1, 0.8, 0.1], [0.3, 0.5, 0.2], [0.2, 0.5, 0.3]])
        assert Threshold(code=1, at=0.6).decide(p_NK).tolist() == [1, 0, 2]

    def test_one_class_leaves_no_choice(self) -> None:
        assert Threshold(code=0, at=0.9).decide(np.array([[0.1]])).tolist() == [0]

    def test_the_probabilities_are_left_alone(self) -> None:
        before = self.scores.copy()
        Threshold(code=1, at=0.3).decide(self.scores)
        np.testing.assert_array_equal(self.scores, before)

    def test_no_rows(self) -> None:
        for decision in (Argmax(), Threshold(code=1, at=0.5)):
            assert decision.decide(np.zeros((0, 2))).tolist() == []


def test_several_targets_answer_by_name() -> None:
    outputs: list[Output] = [Probability(target="fraud").fit(["no", "yes"]), Value(target="loss", array="v", offset=1.0, scale=2.0)]
    arrays = {"probabilities:fraud": np.array([[0.6, 0.4]]), "v": np.array([3.0], dtype=np.float32)}
    decisions: dict[str, Decision] = {"fraud": Threshold(code=1, at=0.4)}
    assert decode(outputs, arrays, decisions) == {
        "prediction": [{"fraud": "yes", "loss": 7.0}],
        "probabilities": [{"fraud": {"no": 0.6, "yes": 0.4}}],
    }


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b"], Probability),
        ([True, False, None], Probability),
        ([0, 1, 1], Probability),
        (np.array([0.0, 1.0, np.nan]), Probability),
        (list(range(20)), Probability),
        (list(range(21)), Value),
        ([1.5, 2.0], Value),
        ([np.int64(0), np.int64(1)], Probability),
        ([np.float32(0.5)], Value),
        (["a", 1, True], Probability),
    ],
)
def test_a_target_is_classes_or_a_value(values: Any, kind: type[Any]) -> None:
    assert type(infer_output("y", values)) is kind


@pytest.mark.parametrize(
    ("values", "given"),
    [([[1], [2]], "list"), ([1.5, "a"], "float, str"), ([b"a"], "bytes"), ([{}, 1], "dict, int"), ([1.5, True], "bool, float")],
)
def test_a_target_that_is_neither(values: Any, given: str) -> None:
    with pytest.raises(DataError) as raised:
        infer_output("y", values)
    assert str(raised.value) == (
        f"the target `y` must be text, truth values or numbers, got values of type {given}. Choose another column as data.target."
    )


@pytest.mark.parametrize("values", [[], [None, float("nan")], np.array([np.nan])])
def test_a_target_without_a_value(values: Any) -> None:
    with pytest.raises(DataError, match=r"the target `y` must be present in some rows, got no value"):
        infer_output("y", values)


@pytest.mark.parametrize("value", [Probability(target="y").fit([True, 3, "a"]), Value(target="y", offset=0.1, scale=3.0)])
def test_outputs_survive_json(value: Output) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=Output) == value


@pytest.mark.parametrize("value", [Argmax(), Threshold(code=1, at=0.1)])
def test_decisions_survive_json(value: Decision) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=Decision) == value
