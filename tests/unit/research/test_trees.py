"""LightGBM as one ONNX operator: exact at thresholds, with sets of categories, in time."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from fermion.bundle.runtime import Runtime
from fermion.columns.category import Category
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, FermionError, Stopped
from fermion.core.run import Event, Run
from fermion.research.boosting import MOST_LEVELS
from fermion.research.forest import branches_of, float32_at_most
from fermion.research.model import Encoded, Fitted
from fermion.research.parity import check_parity
from fermion.research.trees import Forest, Trees

QUICK = Trees(rounds=30, threads=1)


def table(batch: dict[str, Any], y: Any, *, value: bool = False) -> Encoded:
    columns = {name: Category() if isinstance(values[0], str) else Number() for name, values in batch.items()}
    schema = Schema.of(columns).fit(batch, missing=dict.fromkeys(batch, True))
    output: Output = (Value(target="y") if value else Probability(target="y")).fit(y)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode(y)})


def served(fitted: Fitted) -> Runtime:
    export = fitted.export()
    return Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)


def numbers(rows: int = 400, seed: int = 0) -> tuple[NDArray[np.float64], Encoded]:
    x_N2 = np.random.default_rng(seed).normal(size=(rows, 2))
    return x_N2, table({"a": x_N2[:, 0].tolist(), "b": x_N2[:, 1].tolist()}, (x_N2.sum(axis=1) > 0).tolist())


def test_numbers_alone_are_fed_to_the_one_operator() -> None:
    _, train = numbers()
    export = QUICK.fit(train, train, Run()).export()
    graph = onnx.load_from_string(export.graphs["trees"]).graph
    assert [node.op_type for node in graph.node] == ["TreeEnsembleClassifier"]
    assert [value.name for value in graph.output] == ["y"]  # no label: ONNX Runtime would warn of its shape at every batch


@pytest.mark.parametrize("value", [False, True], ids=["classes", "value"])
def test_values_next_to_a_threshold_take_the_branch_that_lightgbm_takes(value: bool) -> None:
    """Neighbours in float32 around every threshold: rounding to nearest would send some of them the other way."""
    x_N = np.float32(1000) + np.arange(300, dtype=np.float32) * np.float32(2**-13)
    y = np.sin(np.arange(300.0) / 9)
    train = table({"x": x_N.astype(float).tolist()}, y.tolist() if value else (y > 0).tolist(), value=value)
    fitted = Trees(rounds=40, min_leaf=1, threads=1).fit(train, train.take(np.arange(0)), Run())
    around = np.unique(np.concatenate([np.nextafter(x_N, np.float32(0)), x_N, np.nextafter(x_N, np.float32(2000))]))
    arrays = {"numbers": (around - np.float32(1000))[:, None]}
    assert check_parity(fitted.export(), arrays, fitted.run(arrays)) < 1e-5


def test_float32_at_most_never_rises() -> None:
    for x in np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-20, 20).repeat(25):
        single = float32_at_most(float(x))
        assert single <= x < np.nextafter(np.float32(single), np.float32(np.inf))
    assert float32_at_most(1e300) == np.finfo(np.float32).max


@pytest.mark.parametrize("levels", [5, 40, MOST_LEVELS + 100])
def test_categories_missing_and_unseen_codes(levels: int) -> None:
    rng = np.random.default_rng(1)
    code_N, x_N = rng.integers(0, levels, 3000), rng.normal(size=3000)
    effect = rng.normal(size=levels)
    names = [None if rng.random() < 0.1 else f"level {code}" for code in code_N]
    names[0] = "level 0"
    train = table({"c": names, "x": x_N.tolist()}, (effect[code_N] + 0.3 * x_N > 0).tolist())
    fitted = Trees(rounds=60, threads=1).fit(train, train.take(np.arange(0)), Run())
    size = train.schema.layout.codes[0].size
    arrays = {
        "codes": np.arange(size)[:, None].repeat(3, axis=0),
        "numbers": np.tile([[-1.0], [np.nan], [1.0]], (size, 1)).astype(np.float32),
    }
    assert check_parity(fitted.export(), arrays, fitted.run(arrays)) < 1e-5
    right = fitted.run(train.arrays)[train.outputs[0].array].argmax(axis=1) == train.targets["y"]
    assert right.mean() > 0.8


def test_an_unseen_level_of_many_is_read_as_a_rare_one() -> None:
    """Codes are ranks of frequency there: what training did not see must not look like the most frequent level."""
    rng = np.random.default_rng(2)
    code_N = np.minimum(rng.geometric(0.02, 6000), 200)
    train = table({"c": [f"{code:03d}" for code in code_N]}, (code_N < 30).tolist())
    fitted = QUICK.fit(train, train.take(np.arange(0)), Run())
    array = train.outputs[0].array
    unseen, frequent = fitted.run({"codes": np.array([[1], [2]])})[array][:, 1]
    assert unseen < 0.5 < frequent


def test_missing_numbers_where_training_had_none() -> None:
    _, train = numbers()
    fitted = QUICK.fit(train, train, Run())
    arrays = {"numbers": np.array([[np.nan, np.nan], [np.nan, 1], [0, np.nan]], dtype=np.float32)}
    assert check_parity(fitted.export(), arrays, fitted.run(arrays)) < 1e-6


def test_the_validation_part_ends_it() -> None:
    x_N2, train = numbers()
    noise = np.random.default_rng(3).random(400) < 0.5
    noisy = table({"a": x_N2[:, 0].tolist(), "b": x_N2[:, 1].tolist()}, ((x_N2[:, 0] > 0) ^ noise).tolist())
    fitted = Trees(patience=10, threads=1).fit(noisy, noisy.take(np.arange(200)), Run())
    held = Trees(patience=10, threads=1).fit(noisy.take(np.arange(200)), noisy.take(np.arange(200, 400)), Run())
    assert isinstance(fitted.learned, Forest)
    assert isinstance(held.learned, Forest)
    assert held.learned.rounds["y"] < 30 < fitted.learned.rounds["y"]
    curve = held.curves[0]
    assert len(curve.y) == held.learned.rounds["y"] + 10
    assert curve.y[held.learned.rounds["y"] - 1] == min(curve.y)
    assert len(train)


def test_a_budget_ends_it_with_what_there_is() -> None:
    _, train = numbers()
    fitted = Trees(rounds=5000, threads=1).fit(train, train.take(np.arange(0)), Run(budget=0.2))
    assert isinstance(fitted.learned, Forest)
    assert 1 <= fitted.learned.rounds["y"] < 5000
    assert served(fitted).predict({"a": [1.0], "b": [1.0]})["prediction"] == [True]


def test_a_stop_before_the_first_round_says_so() -> None:
    _, train = numbers()
    run = Run()
    run.stop()
    with pytest.raises(Stopped, match="one round"):
        QUICK.fit(train, train, run)


def test_a_stop_during_the_first_target_leaves_a_model_for_every_target() -> None:
    _, train = numbers()
    second = Probability(target="z").fit([True, False])
    both = Encoded(
        schema=train.schema,
        outputs=(*train.outputs, second),
        arrays=train.arrays,
        targets={"y": train.targets["y"], "z": train.targets["y"]},
    )
    run = Run()
    run.listeners.append(lambda event: run.stop() if event.done >= 3 else None)
    fitted = QUICK.fit(both, both, run)
    assert isinstance(fitted.learned, Forest)
    assert fitted.learned.rounds == {"y": 3, "z": 1}


def test_progress_is_told() -> None:
    _, train = numbers()
    heard: list[Event] = []
    QUICK.fit(train, train.take(np.arange(0)), Run(listeners=(heard.append,)))
    assert [event.done for event in heard if event.kind == "progress"] == list(range(1, 31))


def test_the_same_seed_gives_the_same_trees_for_any_number_of_threads() -> None:
    _, train = numbers()
    texts = [Trees(rounds=5, threads=threads).fit(train, train, Run(seed=seed)).learned for threads, seed in ((1, 0), (2, 0), (1, 1))]
    found = [one.run(train.arrays)[train.outputs[0].array] for one in texts]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0


def test_pictures_alone_are_refused_with_the_model_to_take() -> None:
    schema = Schema.of({"image": Image(height=2, width=2, channels=1)}).fit({"image": np.zeros((4, 2, 2), dtype=np.uint8)})
    output = Probability(target="y").fit([0, 1])
    arrays = schema.encode({"image": np.zeros((4, 2, 2), dtype=np.uint8)})
    part = Encoded(schema=schema, outputs=(output,), arrays=arrays, targets={"y": np.array([0, 1, 0, 1])})
    with pytest.raises(DataError, match=r"got image\.pixels.*cnn"):
        Trees().fit(part, part, Run())


def test_a_table_of_three_rows() -> None:
    train = table({"a": [1.0, 2.0, 3.0]}, ["x", "y", "x"])
    fitted = Trees(threads=1).fit(train, train.take(np.arange(0)), Run())
    assert served(fitted).predict({"a": [1.0, None]})["probabilities"][0].keys() == {"x", "y"}


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "gamma"},
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"linear_tree": True},
    ],
    ids=["objective", "forest", "linear"],
)
def test_trees_that_would_not_be_exact_are_refused(settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    data = lgb.Dataset(rng.normal(size=(200, 2)), rng.integers(1, 3, 200), params=settings)
    booster = lgb.train({"objective": "regression", "verbose": -1, **settings}, data, 3)
    with pytest.raises(FermionError):
        branches_of(booster.dump_model())


def test_a_wrong_export_is_refused() -> None:
    _, train = numbers()
    fitted = QUICK.fit(train, train, Run())
    wrong = {name: array + np.float32(0.001) for name, array in fitted.run(train.arrays).items()}
    with pytest.raises(FermionError, match=r"within 0.0001 of the fitted one, got a difference of 0\.001"):
        check_parity(fitted.export(), train.arrays, wrong)
