"""Blends and folds: weights, members that fail, rows that nobody learned from, and what the export contains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import Struct, structs

from fermion.bundle.runtime import Runtime
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Threshold, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, SpecError, Stopped, Told
from fermion.core.run import Run
from fermion.core.spec import document, read
from fermion.data.table import Table
from fermion.practice import making
from fermion.practice.scoring import score
from fermion.research.baseline import Baseline
from fermion.research.blend import Blend, greedy
from fermion.research.folded import Folded, dealt
from fermion.research.linear import Linear
from fermion.research.mixture import Mixture, joined
from fermion.research.model import Encoded, Fitted
from fermion.research.rowloss import losses_of, mixed_loss
from fermion.research.trees import Trees

KIND = Probability(target="y", array="probabilities:y", classes=("a", "b"))


class Failing(Struct, frozen=True, kw_only=True, tag_field="type", tag="failing"):
    """A model that cannot learn from any table."""

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        raise DataError("the table", rule="another one", given=Told("this one"), remedy="Take another.")


def table(rows: int = 300, *, value: bool = False, seed: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    x_N = rng.normal(size=rows)
    y: list[Any] = (2 * x_N + 1).tolist() if value else np.where(x_N + 0.5 * rng.normal(size=rows) > 0, "b", "a").tolist()
    batch = {"x": x_N.tolist()}
    output: Output = (Value(target="y") if value else Probability(target="y")).fit(y)
    schema = Schema.of({"x": Number()}).fit(batch)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode(y)})


def halves(whole: Encoded) -> tuple[Encoded, Encoded]:
    rows_N = np.arange(len(whole))
    return whole.take(rows_N % 3 > 0), whole.take(rows_N % 3 == 0)


def test_greedy_selection_is_with_replacement_and_finds_the_best_mix() -> None:
    """Errors +1 and -2: the mean is without error where the first is taken twice as often."""
    errors = np.stack([np.full(10, 1.0), np.full(10, -2.0), np.full(10, 3.0)])
    assert greedy(errors, np.ones(10), Value(target="y"), rounds=24).tolist() == [16, 8, 0]


def test_losses_are_those_of_the_mean_answer() -> None:
    said = [np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.4, 0.6], [0.1, 0.9]])]
    truth = np.array([1, 0])
    terms = losses_of(KIND, said, truth)
    assert terms is not None
    mean = (said[0] + said[1]) / 2
    expected = -(3 * np.log(mean[0, 1]) + np.log(mean[1, 0])) / 4
    assert mixed_loss(KIND, terms.mean(axis=0), np.array([3.0, 1.0])) == pytest.approx(expected)


def test_what_does_not_help_is_not_exported() -> None:
    train, valid = halves(table(value=True))
    fitted = Blend(members=(Baseline(), Linear(l2=0.01))).fit(train, valid, Run())
    assert fitted.notes[0] == "blend for y: linear 1.00"
    export = fitted.export()
    assert list(export.graphs) == ["m1-linear"]
    assert [step.__struct_config__.tag for step in export.steps] == ["onnx", "blend"]
    served = Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)
    np.testing.assert_allclose(served.run(valid.arrays)["value:y"], fitted.run(valid.arrays)["value:y"], atol=1e-5)


def test_it_is_at_least_as_good_as_its_best_member_on_the_validation_part() -> None:
    train, valid = halves(table(3 * 2100))  # enough validation rows for one selection over all of them
    members = (Linear(), Trees(threads=1, rounds=20), Baseline())

    def loss(fitted: Fitted) -> float:
        return float(-np.log(fitted.run(valid.arrays)["probabilities:y"][np.arange(len(valid)), valid.targets["y"]]).mean())

    alone = [loss(member.fit(train, valid, Run())) for member in members]
    assert loss(Blend(members=members).fit(train, valid, Run())) <= min(alone) + 1e-6


def test_a_member_that_fails_is_left_out_with_a_note() -> None:
    train, valid = halves(table())
    fitted = Blend(members=(Failing(), Linear())).fit(train, valid, Run())
    assert fitted.notes[0] == "failing is left out: the table must be another one, got this one. Take another."
    assert "linear 1.00" in fitted.notes[1]
    with pytest.raises(DataError, match="the table must be another one"):
        Blend(members=(Failing(), Failing())).fit(train, valid, Run())


def test_without_rows_to_choose_on_all_count_alike() -> None:
    train, _ = halves(table())
    fitted = Blend(members=(Linear(), Baseline())).fit(train, train.take(np.arange(0)), Run())
    assert fitted.notes[0].endswith("all alike: there was no row to choose the weights on")


def test_a_blend_of_nothing_is_refused_and_one_that_does_not_say_takes_the_default() -> None:
    spec = {"name": "a", "data": {"source": "s", "target": "y"}, "model": {"type": "blend"}}
    whole = read(spec).model
    assert whole == Blend() == read(document(read(spec))).model
    with pytest.raises(SpecError, match=r"`members` of `model` must be a list with a model, got an empty one\. Leave it out"):
        read(spec, ("model.members=[]",))
    assert read(spec, ("model.members=[linear]", "model.members=null")).model == whole


def test_time_that_is_over_leaves_members_out() -> None:
    train, valid = halves(table())
    fitted = Blend(members=(Linear(), Baseline(), "trees")).fit(train, valid, Run(budget=1e-6))
    assert "no time was left for trees" in fitted.notes
    stopped = Run()
    stopped.stop()
    with pytest.raises(Stopped):
        Blend(members=("trees",)).fit(train, valid, stopped)


def test_members_without_names_are_refused_for_what_they_do_not_read() -> None:
    train, valid = halves(table())
    bare = structs.replace(train, schema=Schema.of({}).fit({}))
    with pytest.raises(DataError, match="Name the members: "):
        Blend().fit(bare, valid, Run())


def test_folds_belong_to_the_blend() -> None:
    for member in (Folded(model=Linear()), Blend(members=(Linear(),), folds=3)):
        with pytest.raises(SpecError, match="Write `folds` on the blend"):
            Blend(members=(member,))
    assert Blend(members=(Blend(),)).members[0].folds == 0
    with pytest.raises(SpecError, match=r"`folds` must be 0, or 2 and more, got 1"):
        Blend(folds=1)
    with pytest.raises(SpecError, match=r"a setting of the model `linear`.*unknown field `nothing`"):
        Folded(model={"type": "linear", "nothing": 1})


def test_every_row_is_answered_by_a_model_that_did_not_learn_from_it() -> None:
    """Labels by lot and a key for each row: whoever saw the row knows its label, whoever did not knows nothing."""
    rng = np.random.default_rng(0)
    whole = table(400)
    by_lot = structs.replace(whole, targets={"y": rng.integers(0, 2, 400)})
    train, valid = halves(by_lot)
    model = Trees(threads=1, min_leaf=1, leaves=200, rounds=30, lr=0.5, patience=0)
    fitted = Folded(model=model, folds=4).fit(train, valid, Run())
    both = joined(train, valid)
    assert fitted.out_of_fold is not None
    known = fitted.run(both.arrays)["probabilities:y"].argmax(axis=1) == both.targets["y"]
    unseen = fitted.out_of_fold["probabilities:y"].argmax(axis=1) == both.targets["y"]
    assert known.mean() > 0.65
    assert unseen.mean() < 0.58


def test_a_blend_of_folds_chooses_on_all_rows() -> None:
    train, valid = halves(table(60))
    fitted = Blend(members=(Linear(), Baseline()), folds=3).fit(train, valid, Run())
    assert fitted.out_of_fold is not None
    assert len(fitted.out_of_fold["probabilities:y"]) == 60
    assert isinstance(fitted.learned, Mixture)
    assert len(fitted.export().graphs) == 3  # the baseline does not help


def test_members_of_folds_and_members_fitted_once_are_weighed_where_both_are_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `members` a large table has its trees folded and its nets fitted once; nobody is judged by rows that he learned from."""
    rng = np.random.default_rng(0)
    whole = table(400)
    train, valid = halves(structs.replace(whole, targets={"y": rng.integers(0, 2, 400)}))
    by_heart = Trees(threads=1, min_leaf=1, leaves=200, rounds=30, lr=0.5, patience=0)
    monkeypatch.setattr("fermion.research.blend._default", lambda _: (by_heart, Linear(), Baseline()))
    monkeypatch.setattr("fermion.research.blend.SMALL", 10)
    fitted = Blend().fit(train, valid, Run())
    assert fitted.out_of_fold is not None
    said_NK = fitted.out_of_fold["probabilities:y"]
    assert np.isnan(said_NK[: len(train)]).all()
    assert np.isfinite(said_NK[len(train) :]).all()
    assert isinstance(fitted.learned, Mixture)
    assert fitted.learned.weights["probabilities:y"][0] < 0.3  # who knows the labels by heart is of no use
    assert fitted.notes[0].startswith("blend for y: ")


def test_groups_stay_together_and_classes_are_shared_out() -> None:
    whole = structs.replace(table(90), units=np.arange(90) // 9)
    fold_N = dealt(whole, 3, Run())
    assert all(len(set(fold_N[whole.units == unit])) == 1 for unit in range(10))
    loose = dealt(table(90), 3, Run())
    shares = [np.bincount(loose[table(90).targets["y"] == code], minlength=3) for code in (0, 1)]
    assert all(np.ptp(share) <= 1 for share in shares)


@pytest.mark.parametrize("value", [False, True])
def test_three_rows_are_folded_as_far_as_they_go(value: bool) -> None:
    whole = table(40, value=value)
    rows = whole.take(np.array([0, 1, 2]) if value else np.argsort(whole.targets["y"])[[0, 1, -1]])
    fitted = Folded(model=Linear()).fit(rows, rows.take(np.arange(0)), Run())
    assert np.isfinite(fitted.run(rows.arrays)[rows.outputs[0].array]).all()
    if not value:  # one fold holds the only row of its class
        assert fitted.out_of_fold is not None
        assert np.isnan(fitted.out_of_fold["probabilities:y"]).any(axis=1).sum() == 1
        assert any("is left out" in note for note in fitted.notes)
    with pytest.raises(DataError, match="at least two, so that each can be left out"):
        Folded(model=Baseline()).fit(table(5, value=True).take(np.array([0])), rows.take(np.arange(0)), Run())


def test_parts_of_other_lengths_are_joined() -> None:
    train, valid = halves(table(9))
    longer = structs.replace(train, arrays={**train.arrays, "s.values": np.ones((len(train), 4))})
    shorter = structs.replace(valid, arrays={**valid.arrays, "s.values": np.ones((len(valid), 2))})
    whole = joined(longer, shorter).arrays["s.values"]
    assert whole.shape == (9, 4)
    assert whole.sum() == len(train) * 4 + len(valid) * 2


def test_the_threshold_of_folds_is_chosen_on_all_rows_out_of_fold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=240)
    rows = Table.of({"x": x_N.tolist(), "y": np.where(x_N + rng.normal(size=240) > 1, "yes", "no").tolist()})
    spec = read(
        {
            "name": "folds",
            "data": {"source": "none.csv", "target": "y"},
            "model": {"type": "folded", "folds": 3, "model": {"type": "trees", "threads": 1, "rounds": 20}},
            "decide": {"type": "threshold", "of": "yes", "metric": "f1"},
            "evaluate": {"draws": 0},
        }
    )
    run = Run(folder=tmp_path)
    marks = making.divide(rows, spec, run)
    product = making.fit(rows, marks, spec, run)
    kept = making.unpacked(product.out_of_fold)
    assert kept is not None
    assert len(kept["probabilities:y"]) == len(marks.train) + len(marks.validation)
    report = score(rows, marks, product, [], spec, run)
    decision = report.decisions["y"]
    assert isinstance(decision, Threshold)
    assert 0 < decision.at < 0.9


def test_folds_are_refused_where_rows_follow_each_other() -> None:
    data = {"source": "none.csv", "target": "y"}
    for model in ({"type": "folded", "model": "linear"}, {"type": "blend", "members": ["linear"], "folds": 3}):
        spec = read({"name": "folds", "data": data, "split": {"by": "time", "column": "when"}, "model": model})
        with pytest.raises(SpecError, match="its folds would learn from the future"):
            making.model_of(spec, table().schema)


def test_the_default_for_tables_is_a_blend_where_a_budget_leaves_time() -> None:
    def model(**settings: Any) -> Any:
        spec = read({"name": "default", "data": {"source": "none.csv", "target": "y"}, **settings})
        return making.model_of(spec, table().schema)

    assert isinstance(model(), Trees)
    assert isinstance(model(budget="20s"), Trees)
    assert model(budget="1m") == Blend()
    # the folds of a small table would learn from the future
    assert model(budget="1m", split={"by": "time", "column": "when"}) == Blend(folds=0)


def test_the_default_members_have_folds_on_small_tables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(budget: float = 60.0, **settings: Any) -> set[str]:
        train, valid = halves(table(120))
        fitted = Blend(**settings).fit(train, valid, Run(budget=budget))
        return {note.split(":")[0] for note in fitted.notes if "each without one of 5 folds" in note}

    monkeypatch.setattr("fermion.research.blend._default", lambda _: (Baseline(), Linear()))
    assert told() == {"baseline", "linear"}
    assert told(folds=0) == told(budget=20.0) == set()
    assert told(members=(Baseline(), Linear())) == set()
    monkeypatch.setattr("fermion.research.blend.SMALL", 100)
    assert told() == set()


def test_equal_weights_are_a_plain_mean() -> None:
    train, valid = halves(table(value=True))
    fitted = Blend(members=(Baseline(), Linear(l2=0.01)), weights="equal").fit(train, valid, Run())
    assert fitted.notes[0] == "blend for y: baseline 1.00, linear 1.00, all alike, as `weights` says"
    alone = [member.fit(train, valid, Run()).run(valid.arrays)["value:y"] for member in (Baseline(), Linear(l2=0.01))]
    np.testing.assert_allclose(fitted.run(valid.arrays)["value:y"], np.mean(alone, axis=0), rtol=1e-5)
