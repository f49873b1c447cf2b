"""What every model promises, as tests. Third parties run them over their own:

class TestForest(ModelContract):
    model = Forest(trees=50)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.bundle.runtime import Runtime
from fermion.columns.category import Category
from fermion.columns.column import Arrays, Batch, Column
from fermion.columns.number import Number
from fermion.columns.output import Count, Horizon, Labels, Output, Probability, Quantiles, Survival, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, SpecError, Stopped
from fermion.core.run import Run
from fermion.research.model import Encoded, Fitted, Model
from fermion.research.rowloss import losses_of, mixed_loss

ROWS, VALID, HELD = 600, 150, 150  # of the tables that the contract makes
TOLERANCE = 1e-4  # between a model and its export
KINDS: dict[str, Output] = {
    "labels": Labels(target="labels"),
    "quantiles": Quantiles(target="quantiles"),
    "count": Count(target="count"),
    "horizon": Horizon(target="horizon"),
    "survival": Survival(target="survival", event="seen", method="hazard"),
}


class ModelContract:
    """Set `model` and, beside classes and numbers, the `kinds` of targets that it learns: the others in `KINDS` it has to refuse.

    None leaves both out, where another model's tests say it of the same code.
    Override `columns` and `batch` for a model that reads other columns, `learns` for one that does not look, `dear` for one whose fit takes
    long: then one fit with three targets has to tell it all.
    """

    model: Any  # a Model that is a msgspec Struct
    kinds: tuple[str, ...] | None = ()
    learns = True
    dear = False
    rows = ROWS

    def columns(self) -> dict[str, Column]:
        """The input columns, not fitted."""
        return {"size": Number(), "noise": Number(), "colour": Category()}

    def batch(self, signal_N: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        """Raw input values whose rows carry `signal_N`, numbers from a normal distribution."""
        missing_N = rng.random(len(signal_N)) < 0.05
        return {
            "size": [None if missing else float(x) for x, missing in zip(signal_N, missing_N, strict=True)],
            "noise": rng.normal(size=len(signal_N)).tolist(),
            "colour": [None if rng.random() < 0.05 else "red" if x > rng.normal() else "blue" for x in signal_N],
        }

    def strange(self) -> Batch:
        """Three rows of values that are allowed and were not in training: levels, missing values, far numbers."""
        return {"size": [None, 1e30, -1e30], "noise": [None, None, 0.0], "colour": ["green", None, "violet"]}

    def table(self, *, targets: Sequence[str] = ("kind",), weights: bool = False, rows: int = 0) -> tuple[Encoded, Encoded, Batch]:
        """Training and validation part and a raw batch that was held out."""
        rng = np.random.default_rng(5)
        count = rows or self.rows
        signal_N = rng.normal(size=count + VALID + HELD)
        noisy_N = signal_N + 0.2 * rng.normal(size=len(signal_N))
        labels: dict[str, list[Any]] = {
            "kind": np.array(["high", "low"])[(noisy_N < 0).astype(int)].tolist(),
            "band": np.digitize(noisy_N, [-0.6, 0.6]).tolist(),
            "price": (1000 + 50 * noisy_N).tolist(),
            "labels": [[name for name, edge in (("up", 0.5), ("down", -0.5)) if x > edge] for x in noisy_N],
            "quantiles": (1000 + 50 * noisy_N).tolist(),
            "count": np.random.default_rng(6).poisson(np.exp(0.5 + noisy_N)).tolist(),
            "horizon": [[x, None if x > 2 else 2 * x] for x in noisy_N.tolist()],
            "survival": [(float(np.exp(x)), x < 1) for x in noisy_N],
        }
        batch = self.batch(signal_N, rng)
        learn, held = slice(0, count), slice(count + VALID, None)
        schema = Schema.of(self.columns()).fit({name: values[learn] for name, values in batch.items()}, missing=self.accepting())
        outputs: list[Output] = []
        for target in targets:
            output = KINDS.get(target) or (Value(target=target) if target == "price" else Probability(target=target))
            outputs.append(output.fit(labels[target][learn]))
        whole = Encoded(
            schema=schema,
            outputs=tuple(outputs),
            arrays=schema.encode(batch),
            targets={output.target: output.encode(labels[output.target]) for output in outputs},
            weights=rng.uniform(0.5, 2.0, len(signal_N)) if weights else None,
        )
        rows_N = np.arange(len(signal_N))
        return whole.take(rows_N[learn]), whole.take(rows_N[count : count + VALID]), {name: values[held] for name, values in batch.items()}

    def accepting(self) -> dict[str, bool]:
        """Missing values are accepted everywhere."""
        return dict.fromkeys(self.columns(), True)

    def fit(self, *, targets: Sequence[str] = ("kind",), seed: int = 0) -> tuple[Fitted, Batch]:
        """Fitted once per class, set of targets and seed: models are values, so the tests may share them."""
        key = (type(self), tuple(targets), seed)
        if key not in _FITTED:
            train, valid, held = self.table(targets=targets)
            _FITTED[key] = (self.model.fit(train, valid, Run(seed=seed)), held)
        return _FITTED[key]

    def again(self) -> None:
        """Skip a test that fits anew, where a fit is dear."""
        if self.dear:
            pytest.skip("a fit of this model takes long, and this takes another one")

    def runtime(self, *targets: str) -> Runtime:
        """The export of `fit(targets)` as it is served, made once: a torch graph takes seconds."""
        key = (type(self), targets)
        if key not in _SERVED:
            fitted, _ = self.fit(targets=targets)
            export = fitted.export()
            _SERVED[key] = Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)
            assert export.tolerance <= TOLERANCE
        return _SERVED[key]

    def test_settings_survive_json_and_name_their_type(self) -> None:
        text = msgspec.json.encode(self.model)
        assert isinstance(msgspec.json.decode(text)["type"], str)
        assert msgspec.json.decode(text, type=type(self.model)) == self.model

    def test_unknown_settings_are_refused(self) -> None:
        settings = msgspec.to_builtins(self.model) | {"no_such_setting": 1}
        with pytest.raises(msgspec.ValidationError, match="no_such_setting"):
            msgspec.convert(settings, type(self.model))

    def test_it_learns(self) -> None:
        """At most three quarters of the squared error and of the mistakes that shares and means make."""
        if not self.learns:
            pytest.skip("this model does not look at its inputs")
        train, valid, _ = self.table(targets=("kind", "band", "price"))
        made = self.fit(targets=("kind", "band", "price"))[0].run(valid.arrays)
        for output in train.outputs:
            y_N, got = valid.targets[output.target], made[output.array]
            if isinstance(output, Value):
                assert np.mean((got - y_N) ** 2) < 0.75 * np.mean(y_N**2)
            else:
                majority = np.bincount(train.targets[output.target]).argmax()
                assert np.mean(got.argmax(axis=1) != y_N) < 0.75 * np.mean(majority != y_N)

    def test_same_seed_same_result(self) -> None:
        self.again()
        train, valid, _ = self.table()
        _close(self.model.fit(train, valid, Run(seed=0)).run(valid.arrays), self.fit()[0].run(valid.arrays), 0.0)

    def test_fitting_and_predicting_change_nothing(self) -> None:
        self.again()
        train, valid, held = self.table()
        before = msgspec.json.encode(self.model)
        copies = [{name: array.copy() for name, array in part.items()} for part in (train.arrays, train.targets, valid.arrays)]
        fitted = self.model.fit(train, valid, Run())
        rows = {name: list(values) for name, values in held.items()}
        first, second = fitted.predict(held), fitted.predict(held)
        assert first == second
        assert all(len(held[name]) == len(rows[name]) and all(map(_same, held[name], rows[name])) for name in rows)
        assert msgspec.json.encode(self.model) == before
        for part, copy in zip((train.arrays, train.targets, valid.arrays), copies, strict=True):
            for name, array in part.items():
                np.testing.assert_array_equal(array, copy[name])

    def test_answers_are_as_long_as_the_batch(self) -> None:
        fitted, held = self.fit(targets=("kind", "band", "price"))
        answer = fitted.predict(held)
        assert {len(values) for values in answer.values()} == {HELD}
        assert set(answer["prediction"][0]) == {"kind", "band", "price"}
        assert all(isinstance(values, list) for values in answer.values())

    def test_arrays_are_what_the_contract_says(self) -> None:
        fitted, held = self.fit(targets=("kind", "band", "price"))
        made = fitted.run(fitted.schema.encode(held))
        for output in fitted.outputs:
            want = (HELD, *output.tail)
            assert made[output.array].shape == want
            assert made[output.array].dtype == np.float32
            if isinstance(output, Probability):
                assert made[output.array].min() >= 0
                np.testing.assert_allclose(made[output.array].sum(axis=1), 1, atol=1e-5)

    def test_rows_do_not_see_each_other(self) -> None:
        fitted, held = self.fit(targets=("kind", "band", "price"))
        arrays = fitted.schema.encode(held)
        together = fitted.run(arrays)
        for row in (0, 1, HELD - 1):
            alone = fitted.run({name: array[row : row + 1] for name, array in arrays.items()})
            _close(alone, {name: array[row : row + 1] for name, array in together.items()}, 1e-5)

    def test_a_batch_may_be_empty(self) -> None:
        fitted, held = self.fit(targets=("kind", "band", "price"))
        arrays = {name: array[:0] for name, array in fitted.schema.encode(held).items()}
        for output in fitted.outputs:
            want = (0, *output.tail)
            assert fitted.run(arrays)[output.array].shape == want
        assert self.runtime("kind", "band", "price").predict({name: values[:0] for name, values in held.items()})["prediction"] == []

    @pytest.mark.parametrize("targets", [("kind",), ("price",), ("kind", "band", "price")], ids="+".join)
    def test_the_export_is_the_model(self, targets: tuple[str, ...]) -> None:
        """On held-out rows and on strange ones, all together and one alone."""
        if len(targets) == 1:
            self.again()
        fitted, held = self.fit(targets=targets)
        arrays = fitted.schema.encode(held)
        one = {name: array[:1] for name, array in arrays.items()}
        for some in (arrays, one, fitted.schema.encode(self.strange())):
            _close(self.runtime(*targets).run(some), fitted.run(some), TOLERANCE)

    def test_further_kinds_of_targets_are_learned_beside_each_other(self) -> None:
        """Each better than its prior where there is a loss by row, and exported as it is."""
        if not self.kinds:
            pytest.skip("this model learns classes and numbers alone, or it is not asked")
        train, valid, held = self.table(targets=self.kinds)
        fitted, _ = self.fit(targets=self.kinds)
        made = fitted.run(valid.arrays)
        for output in fitted.outputs:
            said, y_N = made[output.array], valid.targets[output.target]
            assert said.shape == (VALID, *output.tail)
            assert np.isfinite(said).all()
            if isinstance(output, Quantiles | Horizon):
                assert (np.diff(said, axis=-1) >= 0).all()
            prior = np.broadcast_to(output.prior(train.targets[output.target]), said.shape)
            if self.learns and (terms := losses_of(output, [said, prior], y_N)) is not None:
                model, priors = (mixed_loss(output, one, np.ones(VALID)) for one in terms)
                assert model < priors - 0.1 * abs(priors), output.target
        for batch in (held, {name: values[:1] for name, values in held.items()}, self.strange()):
            arrays = fitted.schema.encode(batch)
            _close(self.runtime(*self.kinds).run(arrays), fitted.run(arrays), TOLERANCE)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_kind_of_target_that_it_does_not_learn_is_refused_with_the_models_that_do(self, kind: str) -> None:
        if self.kinds is None or kind in self.kinds:
            pytest.skip("it learns this kind, or it is not asked")
        train, valid, _ = self.table(targets=(kind,), rows=60)
        with pytest.raises(SpecError, match=rf"the target `{kind}` \({kind}\) must be one that the model can learn.*These can: \w+"):
            self.model.fit(train, valid, Run())

    def test_missing_and_unseen_values_get_finite_answers(self) -> None:
        fitted, _ = self.fit(targets=("kind", "band", "price"))
        for made in fitted.run(fitted.schema.encode(self.strange())).values():
            assert np.isfinite(made).all()

    def test_weights_count(self) -> None:
        """Where labels are drawn by lot, rows of one class with a thousandth of the weight make that class improbable."""
        self.again()
        train, valid, _ = self.table()
        lot_N = np.random.default_rng(1).integers(0, 2, len(train))
        even = msgspec.structs.replace(train, targets={"kind": lot_N})
        light = msgspec.structs.replace(even, weights=np.where(lot_N == 1, 1e-3, 1.0))
        array, none = train.outputs[0].array, valid.take(np.arange(0))
        shares = [self.model.fit(part, none, Run()).run(valid.arrays)[array][:, 1].mean() for part in (even, light)]
        assert shares[1] < 0.5 * shares[0]

    def test_unlabelled_rows_count_for_their_other_target(self) -> None:
        self.again()
        if not self.learns:
            pytest.skip("this model does not look at its inputs")
        train, valid, _ = self.table(targets=("kind", "price"))
        half_N = np.arange(len(train)) % 2 == 0
        kind, price = train.targets["kind"].copy(), train.targets["price"].copy()
        kind[half_N], price[~half_N] = -1, np.nan
        made = self.model.fit(msgspec.structs.replace(train, targets={"kind": kind, "price": price}), valid, Run()).run(valid.arrays)
        y_N, v_N = valid.targets["kind"], valid.targets["price"]
        assert np.mean(made[train.outputs[0].array].argmax(axis=1) == y_N) > 0.7
        assert np.mean((made[train.outputs[1].array] - v_N) ** 2) < 0.75 * np.mean(v_N**2)

    def test_weights_of_rows_are_accepted_with_every_target(self) -> None:
        self.again()
        train, valid, _ = self.table(targets=("kind", "band", "price"), weights=True)
        for made in self.model.fit(train, valid, Run()).run(valid.arrays).values():
            assert np.isfinite(made).all()

    def test_no_time_and_a_stop_give_a_model_or_a_clear_error(self) -> None:
        self.again()
        train, valid, _ = self.table()
        stopped = Run()
        stopped.stop()
        for run in (Run(budget=1e-6), stopped):
            try:
                fitted = self.model.fit(train, valid, run)
            except Stopped:
                continue
            np.testing.assert_allclose(fitted.run(valid.arrays)[train.outputs[0].array].sum(axis=1), 1, atol=1e-5)

    def test_a_stop_from_a_listener_ends_the_fit_with_a_usable_model(self) -> None:
        train, valid, _ = self.table()
        run = Run()
        run.listeners.append(lambda event: run.stop() if event.kind == "progress" else None)
        fitted = self.model.fit(train, valid, run)
        assert np.isfinite(fitted.run(valid.arrays)[train.outputs[0].array]).all()

    def test_nothing_to_learn_from_is_a_data_error_with_a_remedy(self) -> None:
        train, valid, _ = self.table()
        empty = train.take(np.arange(0))
        one_class = train.take(train.targets["kind"] == 0)
        unlabelled = msgspec.structs.replace(train, targets={"kind": np.full(len(train), -1)})
        weightless = msgspec.structs.replace(train, weights=np.zeros(len(train)))
        for hopeless in (empty, one_class, unlabelled, weightless):
            with pytest.raises(DataError) as told:
                self.model.fit(hopeless, valid, Run())
            assert told.value.remedy

    def test_a_table_without_a_validation_part_is_enough(self) -> None:
        train, valid, _ = self.table(rows=60)
        fitted = self.model.fit(train, valid.take(np.arange(0)), Run())
        assert np.isfinite(fitted.run(valid.arrays)[train.outputs[0].array]).all()


_FITTED: dict[Any, tuple[Fitted, Batch]] = {}
_SERVED: dict[Any, Runtime] = {}


def accepts(model: Model) -> Model:
    """A model as its type says: for static checks of third parties.

    >>> from fermion.research.baseline import Baseline
    >>> accepts(Baseline())
    Baseline()
    """
    return model


def _same(left: object, right: object) -> bool:
    return bool(np.array_equal(np.asarray(left), np.asarray(right)))


def _close(left: Arrays, right: Arrays, tolerance: float) -> None:
    """Within `tolerance`, of the value where that is larger than 1."""
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_allclose(array, right[name], rtol=tolerance, atol=tolerance, err_msg=name)
