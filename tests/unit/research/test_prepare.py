"""Preparation: what each treatment learns, that the graph does it, that nothing leaks, and that every model stays a model behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.bundle.runtime import Runtime
from fermion.columns.category import Category
from fermion.columns.column import Arrays, Batch, Column
from fermion.columns.derive import derived_of
from fermion.columns.flag import Flag
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.repair import Repaired
from fermion.columns.schema import Field, Schema
from fermion.columns.time import Time
from fermion.core.declared import Declared, Feature, Repair
from fermion.core.errors import SpecError
from fermion.core.run import Run
from fermion.core.sections import Split
from fermion.data.split import split
from fermion.data.table import Table
from fermion.research import scaling
from fermion.research.baseline import Baseline
from fermion.research.linear import Linear
from fermion.research.model import Encoded, Fitted
from fermion.research.preparation import learn
from fermion.research.prepare import Prepared, Treatment, plan_of
from fermion.research.tabular import Mlp
from fermion.research.trees import Trees
from fermion.research.vision import Cnn
from fermion.testing.models import ModelContract

PLAN = {
    "size": Treatment(impute="median", indicator=True, scale="power"),
    "noise": Treatment(scale="quantile", impute="mean"),
    "colour": Treatment(encode="target", indicator=True),
}


class TestPreparedLinear(ModelContract):
    model = Prepared(model=Linear(), plan=PLAN)
    kinds = ()


class TestPreparedTrees(ModelContract):
    kinds = None  # they are the model's own
    model = Prepared(
        model=Trees(threads=1),
        plan={"size": Treatment(scale="robust"), "noise": Treatment(scale="standard"), "colour": Treatment(impute="most")},
    )


class TestPreparedMlp(ModelContract):
    """Of all targets there are means; those of times until an event are of whether it was seen."""

    kinds = ("labels", "quantiles", "count", "horizon", "survival")
    model = Prepared(model=Mlp(width=32, blocks=1, steps=120, batch=64), plan={"colour": Treatment(encode="target"), **PLAN})


def part(columns: Mapping[str, Column], batch: Batch, *targets: tuple[Output, Any], weights: Any = None) -> Encoded:
    schema = Schema.of(columns).fit(batch, missing=dict.fromkeys(columns, True))
    outputs = tuple(output.fit(values) for output, values in targets)
    return Encoded(
        schema=schema,
        outputs=outputs,
        arrays=schema.encode(batch),
        targets={output.target: output.encode(values) for output, (_, values) in zip(outputs, targets, strict=True)},
        weights=weights,
    )


def prepared(train: Encoded, plan: Mapping[str, Treatment], batch: Batch | None = None) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The prepared arrays of a batch (the training rows when left out) and what its numbers are called."""
    preparation, _ = learn(train, plan, Run())
    arrays = preparation.run(train.arrays if batch is None else train.schema.encode(batch))
    return arrays, [ref.field for ref in preparation.prepared.layout.numbers]


def numbers(x: Any, treatment: Treatment, batch: Any = None, column: Column | None = None) -> NDArray[Any]:
    train = part({"x": column or Number()}, {"x": x}, (Probability(target="y"), [0, 1] * (len(x) // 2) + [0] * (len(x) % 2)))
    return prepared(train, {"x": treatment}, None if batch is None else {"x": batch})[0]["numbers"]


rng = np.random.default_rng(0)
LOGNORMAL = np.exp(rng.normal(3, 1, 3000))
SIGNED = np.concatenate([rng.normal(-3, 1, 1000), rng.exponential(5, 2000)])
TIED = np.where(rng.random(3000) < 0.4, 0.0, rng.exponential(2, 3000))


@pytest.mark.parametrize("x", [LOGNORMAL, SIGNED, TIED, 1e6 * SIGNED], ids=["lognormal", "signed", "tied", "large"])
@pytest.mark.parametrize("kind", ["standard", "robust", "power"])
def test_scales_are_those_of_scikit_learn(kind: scaling.Scale, x: NDArray[Any]) -> None:
    other = pytest.importorskip("sklearn.preprocessing")
    reference = {"standard": other.StandardScaler, "robust": other.RobustScaler, "power": other.PowerTransformer}[kind]()
    single = x.astype(np.float32).astype(np.float64)[:, None]
    tolerance = 2e-3 if kind == "power" else 1e-5  # both search the exponent to a tolerance of their own
    np.testing.assert_allclose(numbers(x, Treatment(scale=kind)), reference.fit_transform(single), atol=tolerance, rtol=tolerance)


def test_quantiles_make_any_shape_normal_and_share_ranks_among_equals() -> None:
    z = numbers(LOGNORMAL, Treatment(scale="quantile"))[:, 0]
    ranks = (np.argsort(np.argsort(LOGNORMAL)) + 0.5) / len(LOGNORMAL)
    exact = np.array([scaling.NormalDist().inv_cdf(rank) for rank in ranks])
    assert np.abs(z - exact).max() < 0.12  # 64 pieces
    assert np.abs(z - exact).mean() < 0.01
    tied = numbers(TIED, Treatment(scale="quantile"))[:, 0]
    share = float((TIED == 0).mean())
    np.testing.assert_allclose(tied[TIED == 0], scaling.NormalDist().inv_cdf(share / 2), atol=1e-5)
    far = numbers(LOGNORMAL, Treatment(scale="quantile"), [-1e30, 1e30])[:, 0]
    np.testing.assert_allclose(far, [z.min(), z.max()], atol=1e-6)


@pytest.mark.parametrize("kind", ["standard", "robust", "quantile", "power"])
def test_columns_of_one_value_or_none_become_finite(kind: scaling.Scale) -> None:
    assert numbers([7.3] * 6, Treatment(scale=kind)).tolist() == [[0.0]] * 6
    assert np.isfinite(numbers([7.3] * 6, Treatment(scale=kind), [1e30, -1e30, 0.0])).all()
    assert np.isnan(numbers([None] * 4, Treatment(scale=kind))).all()
    assert np.isfinite(numbers([None] * 4, Treatment(scale=kind, impute="mean"))).all()
    assert np.abs(numbers(LOGNORMAL, Treatment(scale=kind), [3e38, -3e38])).max() <= 1e6


def test_a_robust_scale_survives_equal_quartiles() -> None:
    x = [0.0] * 90 + [1.0] * 10
    z = numbers(x, Treatment(scale="robust"))[:, 0]
    np.testing.assert_allclose(z[[0, -1]], np.array([0, 1 / np.std(x)]), rtol=1e-6)


def test_gaps_stay_gaps_unless_something_fills_them() -> None:
    x = [1.0, 2.0, 2.0, None, 9.0, 11.0]
    assert np.isnan(numbers(x, Treatment(scale="standard"))[3, 0])
    filled: list[tuple[Any, float]] = [("median", 2.0), ("mean", 5.0), ("most", 2.0), ("zero", 0.0), (4.5, 4.5)]
    for impute, value in filled:
        assert numbers(x, Treatment(impute=impute))[:, 0].tolist() == [1, 2, 2, value, 9, 11]
    z = numbers(x, Treatment(impute="zero", scale="standard"))[:, 0]
    np.testing.assert_allclose(z[3], (0 - 5) / np.std([1, 2, 2, 9, 11]), rtol=1e-6)  # filled first, then scaled by what was there


def test_values_to_impute_are_in_the_unit_of_the_column() -> None:
    x = [1e9, 1e9 + 1, None, 1e9 + 8]  # the encoder takes 1e9 off
    assert numbers(x, Treatment(impute=1e9 + 3))[:, 0].tolist() == [0, 1, 3, 8]
    assert numbers(x, Treatment(impute="zero"))[2, 0] == np.float32(-1e9)
    assert numbers([True, None, False, True], Treatment(impute="zero"), column=Flag())[:, 0].tolist() == [1, 0, 0, 1]


def test_mended_and_derived_numbers_are_treated_like_any() -> None:
    mended = Repaired(column=Number(), repair=Repair(thousands=","))
    schema = Schema(
        fields=(Field(name="a", column=mended), Field(name="b", column=Number())), derived=derived_of([Feature(ratio=("a", "b"), name="r")])
    )
    batch: Batch = {"a": ["1,200", None, "3", "9"], "b": [1.0, 2.0, 3.0, 0.0]}
    schema = schema.fit(batch)
    plan = plan_of(schema, {"a": Declared(impute=7.0, indicator=True), "r": Declared(impute=-2.0)})
    output = Probability(target="y").fit([0, 1])
    train = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode([0, 1, 1, 0])})
    arrays, names = prepared(train, plan or {})
    assert names == ["a", "b", "r", "a missing"]
    assert arrays["numbers"].tolist() == [[1200, 1, 1200, 0], [7, 2, -2, 1], [3, 3, 1, 0], [9, 0, -2, 0]]


def test_all_slots_of_a_time_are_treated_and_get_one_indicator() -> None:
    moments: Any = ["2026-03-01T06:00:00", None, "2026-03-02T18:00:00", "2026-04-03T09:00:00"]
    train = part({"at": Time(), "x": Number()}, {"at": moments, "x": [1.0, 2.0, 3.0, 4.0]}, (Value(target="y"), [1.0, 2.0, 3.0, 4.0]))
    arrays, names = prepared(train, {"at": Treatment(impute="median", indicator=True, scale="standard")})
    slots = [f"at {slot.name}" for slot in train.schema.fields[0].column.slots]
    assert sorted(names) == sorted([*slots, "x", "at missing"])
    assert not np.isnan(arrays["numbers"]).any()
    assert arrays["numbers"][:, names.index("at missing")].tolist() == [0, 1, 0, 0]


def test_an_indicator_needs_a_missing_value_in_training() -> None:
    train = part({"x": Number(), "c": Category()}, {"x": [1.0, 2.0], "c": ["a", None]}, (Probability(target="y"), [0, 1]))
    preparation, _ = learn(train, {"x": Treatment(indicator=True), "c": Treatment(indicator=True)}, Run())
    assert [ref.field for ref in preparation.prepared.layout.numbers] == ["x", "c missing"]
    assert "`x` has no indicator" in preparation.notes[0]
    assert preparation.run(train.schema.encode({"x": [None, 1.0], "c": [None, "z"]}))["numbers"][:, 1].tolist() == [1, 0]


def test_a_category_takes_its_most_frequent_level_and_what_is_not_named_passes() -> None:
    train = part(
        {"c": Category(), "d": Category(), "x": Number()},
        {"c": ["a", "a", "b", None], "d": ["p", None, "q", "q"], "x": [1.0, None, 3.0, 4.0]},
        (Probability(target="y"), [0, 1, 0, 1]),
    )
    arrays, _ = prepared(train, {"c": Treatment(impute="most")})
    assert arrays["codes"][:, 0].tolist() == [2, 2, 3, 2]
    np.testing.assert_array_equal(arrays["codes"][:, 1], train.arrays["codes"][:, 1])
    assert arrays["numbers"] is train.arrays["numbers"]


def test_target_means_at_serving_are_smoothed_and_fall_back_to_the_prior() -> None:
    c = ["a"] * 30 + ["b"] * 10 + [None] * 10
    y = ["no"] * 24 + ["yes"] * 6 + ["yes"] * 10 + ["no"] * 10
    arrays, names = prepared(
        part({"c": Category()}, {"c": c}, (Probability(target="y"), y)), {"c": Treatment(encode="target")}, {"c": ["a", "b", None, "new"]}
    )
    prior = 16 / 50
    want = [(6 + 10 * prior) / 40, (10 + 10 * prior) / 20, prior, prior]
    np.testing.assert_allclose(arrays["numbers"][:, 0], want, rtol=1e-6)
    assert names == ["c: mean of y = yes"]
    assert "codes" not in arrays


def test_target_means_of_weighted_rows_of_several_outputs() -> None:
    c, y = ["a", "a", "b", "b", "b", "a"], ["u", "v", "w", "u", None, "w"]
    price = [1.0, 2.0, 3.0, None, 5.0, 6.0]
    weights = np.array([1.0, 3.0, 1.0, 1.0, 2.0, 4.0])
    train = part({"c": Category()}, {"c": c}, (Probability(target="y"), y), (Value(target="price"), price), weights=weights)
    arrays, names = prepared(train, {"c": Treatment(encode="target")}, {"c": ["a"]})
    assert names == ["c: mean of y = u", "c: mean of y = v", "c: mean of y = w", "c: mean of price"]
    w = weights[[0, 1, 2, 3, 5]] / weights[[0, 1, 2, 3, 5]].mean()
    prior = w[[0, 3]].sum() / w.sum()
    np.testing.assert_allclose(arrays["numbers"][0, 0], (w[0] + 10 * prior) / (w[0] + w[1] + w[4] + 10), rtol=1e-5)
    standard = train.targets["price"]
    v = weights[[0, 1, 2, 4, 5]] / weights[[0, 1, 2, 4, 5]].mean()
    seen = standard[[0, 1, 2, 4, 5]]
    total = v[0] * seen[0] + v[1] * seen[1] + v[4] * seen[4]
    want = (total + 10 * np.average(seen, weights=v)) / (v[0] + v[1] + v[4] + 10)
    np.testing.assert_allclose(arrays["numbers"][0, 3], want, rtol=1e-5, atol=1e-6)


def test_a_training_rows_own_target_is_no_part_of_its_code() -> None:
    """Names that are all different, and answers by lot: seen by its own code every row would be solved."""
    y_N = np.random.default_rng(1).integers(0, 2, 2000)
    train = part({"c": Category()}, {"c": [f"c{k % 700}" for k in range(2000)]}, (Probability(target="y"), y_N))
    _, out = learn(train, {"c": Treatment(encode="target")}, Run())
    inside = prepared(train, {"c": Treatment(encode="target")})[0]["numbers"]
    assert np.corrcoef(inside[:, 0], y_N)[0, 1] > 0.4
    assert abs(np.corrcoef(out[:, 0], y_N)[0, 1]) < 0.06
    for row in (0, 7):  # the other label changes the code of its level elsewhere, not its own
        flipped = part({"c": Category()}, {"c": [f"c{k % 700}" for k in range(2000)]}, (Probability(target="y"), y_N))
        flipped.targets["y"][row] ^= 1
        again = learn(flipped, {"c": Treatment(encode="target")}, Run())[1]
        assert abs(again[row, 0] - out[row, 0]) < 1e-3


def test_out_of_fold_codes_are_close_to_served_ones_where_levels_are_large() -> None:
    other = pytest.importorskip("sklearn.preprocessing")
    levels = np.random.default_rng(2).integers(0, 8, 4000)
    y_N = (np.random.default_rng(3).random(4000) < 0.1 + 0.1 * levels).astype(int)
    train = part({"c": Category()}, {"c": [f"c{k}" for k in levels]}, (Probability(target="y"), y_N))
    _, out = learn(train, {"c": Treatment(encode="target")}, Run())
    theirs = other.TargetEncoder(smooth=10.0, target_type="binary").fit_transform(levels[:, None], y_N)
    assert np.abs(out[:, 0] - prepared(train, {"c": Treatment(encode="target")})[0]["numbers"][:, 0]).max() < 0.05
    assert np.abs(out - theirs).max() < 0.06


def served(fitted: Fitted) -> Runtime:
    export = fitted.export()
    return Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)


def close(left: Arrays, right: Arrays, tolerance: float = 1e-5) -> None:
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_allclose(array, right[name], atol=tolerance)


def mixed(n: int = 400, seed: int = 0) -> Batch:
    r = np.random.default_rng(seed)
    x = r.normal(size=n)
    return {
        "x": np.where(r.random(n) < 0.1, np.nan, np.exp(x)),
        "z": r.normal(size=n) * 1e-3,
        "city": [f"city {k}" if k < 9 else None for k in r.integers(0, 10, n)],
        "kind": np.where(r.random(n) < 0.3, "q", "r").tolist(),
        "at": [f"2026-03-{1 + day:02}T0{day % 10}:00:00" for day in r.integers(0, 28, n)],
        "y": np.where(x + 0.3 * r.normal(size=n) > 0, "up", "down").tolist(),
    }


COLUMNS: dict[str, Column] = {"x": Number(), "z": Number(), "city": Category(), "kind": Category(), "at": Time()}
WHOLE = {
    "x": Treatment(impute="median", indicator=True, scale="power"),
    "z": Treatment(scale="quantile"),
    "city": Treatment(encode="target", indicator=True, impute="most"),
    "at": Treatment(scale="robust"),
}


@pytest.mark.parametrize("model", [Baseline(), Linear(), Trees(threads=1), Mlp(width=16, blocks=1, steps=30, batch=64)], ids=str)
def test_the_bundle_computes_the_preparation(model: Any) -> None:
    batch = mixed()
    train = part(COLUMNS, batch, (Probability(target="y"), batch["y"]))
    fitted = Prepared(model=model, plan=WHOLE).fit(train.take(np.arange(300)), train.take(np.arange(300, 400)), Run())
    runtime = served(fitted)
    assert runtime.steps[0].writes == ("prepare:numbers", "prepare:codes")
    assert fitted.schema is train.schema
    for rows in (np.arange(400), np.array([17])):
        some = {name: array[rows] for name, array in train.arrays.items()}
        close(runtime.run(some), fitted.run(some))
    assert runtime.predict({name: values[:3] for name, values in mixed(seed=9).items()}).keys() == {"prediction", "probabilities"}


def test_a_preparation_behind_a_preparation_keeps_its_names() -> None:
    batch = mixed()
    train = part(COLUMNS, batch, (Probability(target="y"), batch["y"]))
    inner = Prepared(model=Linear(), plan={"x": Treatment(scale="standard")})
    fitted = Prepared(model=inner, plan={"x": Treatment(impute="mean"), "z": Treatment(scale="robust")}).fit(train, train, Run())
    close(served(fitted).run(train.arrays), fitted.run(train.arrays))


def test_pictures_go_past_it() -> None:
    r = np.random.default_rng(0)
    y_N = r.integers(0, 2, 80)
    pictures = np.clip(r.normal(80 + 90 * y_N[:, None, None], 20, (80, 8, 8)), 0, 255).astype(np.uint8)
    columns = {"picture": Image(height=8, width=8, channels=1), "x": Number()}
    train = part(columns, {"picture": list(pictures), "x": r.normal(size=80)}, (Probability(target="y"), y_N))
    model = Cnn(widths=(4, 4, 4), steps=3, batch=16, size=8, augment=0.0, precision="float32")
    fitted = Prepared(model=model, plan={"x": Treatment(scale="standard")}).fit(train, train, Run())
    close(served(fitted).run(train.arrays), fitted.run(train.arrays), 1e-4)


def test_what_is_not_training_teaches_nothing() -> None:
    """Other validation and test rows, the same marks: the graphs are equal to the byte."""
    batch = mixed(600)
    table = Table.of(batch)
    marks = split(table, Split(), target=batch["y"], task_is_classification=True, rng=np.random.default_rng(0))
    graphs: list[dict[str, bytes]] = []
    for seed in (1, 2):
        other = mixed(600, seed)
        seen = {
            name: [here if code == 0 else there for here, there, code in zip(values, other[name], marks.codes, strict=True)]
            for name, values in batch.items()
        }
        schema = Schema.of(COLUMNS).fit({name: [values[row] for row in marks.train] for name, values in seen.items()})
        output = Probability(target="y").fit(["up", "down"])
        encoded = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(seen), targets={"y": output.encode(seen["y"])})
        fitted = Prepared(model=Linear(), plan=WHOLE).fit(encoded.take(marks.train), encoded.take(marks.validation), Run(seed=3))
        graphs.append(fitted.export().graphs)
    assert set(graphs[0]) == {"prepare", "linear"}
    assert graphs[0] == graphs[1]


def test_declared_treatments_become_a_plan() -> None:
    schema = part(COLUMNS, mixed(), (Probability(target="y"), mixed()["y"])).schema
    assert plan_of(schema, {}) is None
    assert plan_of(schema, {"x": Declared(missing="accept")}) is None
    said = {"x": Declared(impute="zero", scale="power"), "city": Declared(encode="target"), "z": Declared(missing="accept")}
    assert plan_of(schema, said) == {"x": Treatment(impute="zero", scale="power"), "city": Treatment(encode="target")}


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("city", Declared(scale="standard"), "the scale of `city` must be left out of a category.+encode: target"),
        ("x", Declared(encode="target"), "`x` must be a category for `encode: target`.+type: category"),
        ("city", Declared(impute="median"), "`most` in a category, got 'median'"),
        ("city", Declared(impute=3.0), "`most` in a category, got 3.0"),
        ("cty", Declared(indicator=True), "an input of the model .+ got 'cty'. Did you mean `city`?"),
        ("y", Declared(impute="mean"), "an input of the model"),
        ("at", Declared(impute="zero"), "a value that the column can have, got 'zero'. Write `impute: median`"),
        ("x", Declared(impute=1e300), "a value that the column can have"),
    ],
)
def test_treatments_that_a_column_cannot_have(name: str, said: Declared, message: str) -> None:
    schema = part(COLUMNS, mixed(), (Probability(target="y"), mixed()["y"])).schema
    with pytest.raises(SpecError, match=message) as told:
        plan_of(schema, {name: said})
    assert told.value.where == f"data.columns.{name}"
    assert told.value.remedy


def test_pictures_cannot_be_treated() -> None:
    schema = Schema.of({"picture": Image(height=2, width=2, channels=1)})
    with pytest.raises(SpecError, match="numbers or a category"):
        plan_of(schema, {"picture": Declared(scale="standard")})
