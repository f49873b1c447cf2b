"""Tables at the edge, for every model of tables: three rows, one class, a column without a value, more classes than anyone has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import structs

from fermion.columns.category import Category
from fermion.columns.count import Count
from fermion.columns.labels import Labels
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.quantiles import Quantiles
from fermion.columns.schema import Schema
from fermion.columns.vector import Vector
from fermion.core.errors import DataError, SpecError
from fermion.core.run import Run
from fermion.research.baseline import Baseline
from fermion.research.blend import Blend, greedy
from fermion.research.cat import Catboost
from fermion.research.folded import Folded
from fermion.research.knn import Knn
from fermion.research.linear import Linear
from fermion.research.model import Encoded
from fermion.research.rowloss import losses_of, mixed_loss
from fermion.research.trees import Trees
from fermion.research.xgb import Xgboost

pytest.importorskip("xgboost", reason="needs the extra boosting")
pytest.importorskip("catboost", reason="needs the extra boosting")

MODELS = {
    "linear": Linear(steps=20),
    "trees": Trees(threads=1, rounds=5),
    "xgboost": Xgboost(threads=1, rounds=5),
    "catboost": Catboost(threads=1, rounds=5, depth=2),
    "knn": Knn(),
    "folded": Folded(model=Linear(steps=20), folds=2),
    "blend": Blend(members=(Linear(steps=20), Trees(threads=1, rounds=5), Knn())),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def table(y: list[Any], *, value: bool = False, **columns: list[Any]) -> Encoded:
    def kind(values: list[Any]) -> Any:
        first = next((one for one in values if one is not None), 0.0)
        return Category() if isinstance(first, str) else Vector() if isinstance(first, list) else Number()

    schema = Schema.of({name: kind(values) for name, values in columns.items()}).fit(columns, missing=dict.fromkeys(columns, True))
    output: Output = (Value(target="y") if value else Probability(target="y")).fit(y)
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode(columns), targets={"y": output.encode(y)})


def none_of(part: Encoded) -> Encoded:
    return part.take(np.arange(0))


@every_model
@pytest.mark.parametrize("value", [False, True], ids=["classes", "value"])
def test_three_rows_and_a_column_without_a_value(model: Any, value: bool) -> None:
    rows = table([0.5, 1.5, 2.5] if value else ["a", "b", "b"], value=value, x=[1.0, 2.0, 3.0], none=[None] * 3, word=["p", "q", None])
    fitted = model.fit(rows, none_of(rows), Run())
    made = fitted.run(rows.arrays)[rows.outputs[0].array]
    assert np.isfinite(made).all()
    export = fitted.export()
    assert export.graphs


@every_model
def test_one_class_is_told_with_its_name(model: Any) -> None:
    rows = table(["a"] * 8, x=[float(row) for row in range(8)])
    with pytest.raises(DataError, match=r"at least two classes, got 8 rows of the class 'a'. Add rows of another class"):
        model.fit(rows, rows, Run())


@pytest.mark.parametrize("name", ["linear", "trees", "xgboost", "catboost", "folded"])
def test_a_hundred_thousand_classes_are_refused_before_memory_is_taken(name: str) -> None:
    rows = table([f"{row % 2}" for row in range(40)], x=[float(row) for row in range(40)])
    names = tuple(f"{code:06d}" for code in range(100_000))
    wide = structs.replace(rows, outputs=(Probability(target="y", array="probabilities:y", classes=names),))
    with pytest.raises(DataError, match=r"the classes of `y` must be at most [\d,]+ for \w+, .*, got 100,000. Group rare classes"):
        MODELS[name].fit(wide, none_of(wide), Run())


@every_model
def test_vectors_are_numbers_beside_the_others(model: Any) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 3))
    y = np.where(points[:, 1] > 0, "up", "down").tolist()
    rows = table(y, point=points.tolist(), noise=rng.normal(size=300).tolist())
    longer = structs.replace(model, rounds=30) if isinstance(model, Trees | Xgboost | Catboost) else model
    fitted = longer.fit(rows.take(np.arange(200)), rows.take(np.arange(200, 300)), Run())
    held = rows.take(np.arange(200, 300))
    assert (fitted.run(held.arrays)["probabilities:y"].argmax(axis=1) == held.targets["y"]).mean() > 0.75
    assert fitted.export().graphs


@pytest.mark.parametrize("name", ["linear", "knn"])
def test_targets_that_it_does_not_learn_are_refused(name: str) -> None:
    rows = table(["a", "b"], x=[0.0, 1.0])
    output = Count(target="y").fit([1, 2])
    counts = structs.replace(rows, outputs=(output,), targets={"y": output.encode([1, 2])})
    with pytest.raises(
        SpecError, match=rf"the target `y` \(count\) must be one that the model can learn, got model.type: {name}. These can: trees"
    ):
        MODELS[name].fit(counts, none_of(counts), Run())


def test_blends_choose_for_targets_of_other_kinds() -> None:
    """Of two answers the better one, and of errors that cancel the mean."""
    rng = np.random.default_rng(0)
    y_N, ones = rng.poisson(3.0, 200).astype(np.float64), np.ones(200)
    count = Count(target="y")
    terms = losses_of(count, [np.full(200, 9.0), np.full(200, 3.0)], y_N)
    assert terms is not None
    assert greedy(terms, ones, count, rounds=10).tolist() == [0, 10]
    levels = Quantiles(target="y", levels=(0.1, 0.9))
    said = [np.tile([-1.0, 4.0], (200, 1)), np.tile([3.0, 8.0], (200, 1))]
    terms = losses_of(levels, said, np.full(200, 3.5))
    assert terms is not None
    single = [mixed_loss(levels, term, ones) for term in terms]
    assert mixed_loss(levels, terms.mean(axis=0), ones) < max(single)
    labels = Labels(target="y", classes=("a", "b"))
    terms = losses_of(labels, [np.tile([0.9, 0.1], (50, 1)), np.tile([0.2, 0.6], (50, 1))], np.tile([1.0, 0.0], (50, 1)))
    assert terms is not None
    assert greedy(terms, np.ones(50), labels, rounds=5).tolist() == [5, 0]
    rows = structs.replace(table(["a", "b"] * 20, x=np.arange(40.0).tolist()), outputs=(count.fit(y_N[:40].tolist()),))
    rows = structs.replace(rows, targets={"y": rows.outputs[0].encode(y_N[:40].tolist())})
    fitted = Blend(members=(Baseline(), Linear(), Trees(threads=1))).fit(rows, rows, Run())
    assert fitted.notes[0].startswith("linear is left out: model: the target `y` (count) must be one that the model can learn")
    assert "trees" in fitted.notes[1]
