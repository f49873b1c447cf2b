"""XGBoost and CatBoost as one ONNX operator: exact at thresholds, with categories, vectors and gaps; what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import structs

from fermion.bundle.runtime import Runtime
from fermion.columns.category import Category
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import DataError, FermionError
from fermion.core.run import Event, Run
from fermion.research import cat, xgb
from fermion.research.boosting import MOST_LEVELS
from fermion.research.cat import Catboost
from fermion.research.model import Encoded, Fitted
from fermion.research.parity import check_parity
from fermion.research.trees import Trees
from fermion.research.xgb import Xgboost

pytest.importorskip("xgboost", reason="needs the extra boosting")
pytest.importorskip("catboost", reason="needs the extra boosting")

QUICK = [Xgboost(rounds=20, threads=1), Catboost(rounds=20, depth=4, threads=1)]
ALL = [*QUICK, Trees(rounds=20, threads=1)]
each = pytest.mark.parametrize("model", QUICK, ids=["xgboost", "catboost"])
each_of_three = pytest.mark.parametrize("model", ALL, ids=["xgboost", "catboost", "trees"])


def table(batch: dict[str, Any], y: Any, *, value: bool = False) -> Encoded:
    columns = {name: Category() if any(isinstance(one, str) for one in values) else Number() for name, values in batch.items()}
    schema = Schema.of(columns).fit(batch, missing=dict.fromkeys(batch, True))
    output: Output = (Value(target="y") if value else Probability(target="y")).fit(y)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode(y)})


def none_of(part: Encoded) -> Encoded:
    return part.take(np.arange(0))


def differs(fitted: Fitted, batch: dict[str, Any]) -> float:
    """How far the served bundle is from the library."""
    export = fitted.export()
    runtime = Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)
    arrays = fitted.schema.encode(batch)
    return max(float(np.abs(runtime.run(arrays)[name] - made).max()) for name, made in fitted.run(arrays).items())


@each
@pytest.mark.parametrize("value", [False, True], ids=["classes", "value"])
def test_values_next_to_a_threshold_take_the_librarys_branch(model: Any, value: bool) -> None:
    x_N = np.float32(1000) + np.arange(300, dtype=np.float32) * np.float32(2**-13)
    y = np.sin(np.arange(300.0) / 9)
    train = table({"x": x_N.astype(float).tolist()}, y.tolist() if value else (y > 0).tolist(), value=value)
    fitted = model.fit(train, none_of(train), Run())
    around = np.unique(np.concatenate([np.nextafter(x_N, np.float32(0)), x_N, np.nextafter(x_N, np.float32(2000))]))
    arrays = {"numbers": (around - np.float32(1000))[:, None]}
    assert check_parity(fitted.export(), arrays, fitted.run(arrays)) < 1e-5


@each
@pytest.mark.parametrize("levels", [2, 7, 40, MOST_LEVELS + 100])
@pytest.mark.parametrize("classes", [0, 2, 4])
def test_categories_missing_and_unseen_codes(model: Any, levels: int, classes: int) -> None:
    rng = np.random.default_rng(1)
    code_N, x_N = rng.integers(0, levels, 2000), rng.normal(size=2000)
    effect = rng.normal(size=levels)
    names = [None if rng.random() < 0.1 else f"level {code}" for code in code_N]
    signal = effect[code_N] + x_N
    y = signal.tolist() if not classes else np.digitize(signal, np.linspace(-1, 1, classes - 1)).tolist()
    gaps = np.where(rng.random(2000) < 0.1, np.nan, x_N).tolist()
    train = table({"name": names, "x": gaps}, y, value=not classes)
    fitted = model.fit(train, none_of(train), Run())
    held = {"name": [*names[:500], None, "never seen", "level 0"], "x": [*x_N[:500].tolist(), None, 1e30, -1e30]}
    assert differs(fitted, held) < 1e-5


def test_catboost_codes_of_many_levels_do_not_know_their_own_row() -> None:
    """A key of its own for each row: means of the target over all rows would tell every label in training and none later."""
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=600)
    y = (x_N + rng.normal(size=600) > 0).tolist()
    with_key = table({"x": x_N.tolist(), "key": [f"k{row % 300}" for row in rng.permutation(600)]}, y)
    train, valid = with_key.take(np.arange(400)), with_key.take(np.arange(400, 600))
    fitted = Catboost(threads=1, rounds=50).fit(train, valid, Run())
    right = fitted.run(valid.arrays)["probabilities:y"].argmax(axis=1) == valid.targets["y"]
    assert right.mean() > 0.65


@each_of_three
@pytest.mark.parametrize("kind", ["three rows", "a column without a value", "a column of one value"])
def test_little_to_learn_from_is_learned_from(model: Any, kind: str) -> None:
    rows = 3 if kind == "three rows" else 50
    x = {"three rows": [1.0, 2.0, 3.0], "a column without a value": [None] * rows, "a column of one value": [7.0] * rows}[kind]
    batch: dict[str, Any] = {"x": x}
    for value in (False, True):
        y: list[Any] = [float(row % 3) for row in range(rows)] if value else [row % 2 for row in range(rows)]
        train = table(batch, y, value=value)
        fitted = model.fit(train, none_of(train), Run())
        assert np.isfinite(next(iter(fitted.run(train.arrays).values()))).all()
        assert differs(fitted, batch) < 1e-5


@each_of_three
def test_a_hundred_thousand_classes_are_refused(model: Any) -> None:
    names = tuple(f"{code:06d}" for code in range(100_000))
    train = table({"x": [float(row) for row in range(2000)]}, [f"{code % 2}" for code in range(2000)])
    wide = structs.replace(train, outputs=(Probability(target="y", array="probabilities:y", classes=names),))
    with pytest.raises(DataError, match=r"the classes of `y` must be at most 1,000 for \w+, .* got 100,000. Group rare classes"):
        model.fit(wide, none_of(wide), Run())


@each_of_three
def test_balance_weighs_classes_alike(model: Any) -> None:
    rng = np.random.default_rng(0)
    rare = rng.random(1000) < 0.05
    train = table({"x": rng.normal(size=1000).tolist()}, rare.tolist())
    plain, fair = (structs.replace(model, balance=balance).fit(train, none_of(train), Run()) for balance in (False, True))
    mean = [float(fitted.run(train.arrays)["probabilities:y"][:, 1].mean()) for fitted in (plain, fair)]
    assert mean[0] < 0.2 < 0.3 < mean[1]


def test_catboost_takes_as_many_rounds_as_the_time_allows() -> None:
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=3000)
    train = table({"x": x_N.tolist()}, (x_N > 0).tolist())
    events: list[Event] = []
    run = Run(budget=0.2, listeners=(events.append,))
    Catboost(threads=1, patience=0).fit(train, train, run)
    assert run.seconds < 2
    assert 20 <= max(event.total for event in events if event.kind == "progress") <= 1000


def test_other_objectives_and_trees_are_refused() -> None:
    import catboost
    import xgboost

    rng = np.random.default_rng(0)
    x_N2 = rng.normal(size=(100, 2))
    other = xgboost.train({"objective": "reg:logistic"}, xgboost.DMatrix(x_N2, x_N2[:, 0] > 0), 2)
    import json

    with pytest.raises(FermionError, match="the objective of the trees must be one of binary:logistic"):
        xgb.sum_of(json.loads(bytes(other.save_raw("json"))))
    deep = catboost.CatBoost({"grow_policy": "Depthwise", "iterations": 2, "logging_level": "Silent", "allow_writing_files": False})
    deep.fit(x_N2, x_N2[:, 0])
    with pytest.raises(FermionError, match="the trees must be oblivious"):
        cat.sum_of(deep)
