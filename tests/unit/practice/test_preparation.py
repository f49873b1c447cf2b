"""Columns and targets of some rows of a table: the same arrays whichever way they are made, and errors that name the table's row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.output import Probability, Value
from fermion.core.declared import Declared
from fermion.core.errors import DataError
from fermion.core.sections import Data, Weight
from fermion.core.spec import Spec
from fermion.data.split import TEST, TRAIN, VALIDATION, Marks
from fermion.data.table import Table
from fermion.practice.preparation import codes_of, encode, learn, parts, row_weights, taught

ROWS = 60
SPEC = Spec(name="parts", data=Data(source="memory", target="bad"))
MARKS = Marks(codes=np.array([TRAIN, TRAIN, TEST, VALIDATION] * (ROWS // 4), dtype=np.int8), by="random")


def table(**changed: list[object]) -> Table:
    rng = np.random.default_rng(0)
    columns = {
        "size": rng.normal(size=ROWS).tolist(),
        "city": rng.choice(["Bern", "Rome", "Oslo"], ROWS).tolist(),
        "note": [f"{row % 20}, {row} " for row in range(ROWS)],
        "bad": rng.choice(["no", "yes"], ROWS).tolist(),
    }
    return Table.of({**columns, **changed})


def test_parts_of_a_table_are_encoded_as_the_tables_of_these_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table()
    learnt = learn(rows, MARKS, SPEC)
    weights_N = np.arange(ROWS, dtype=np.float64)
    for some in parts(MARKS).values():
        expected = encode(rows.take(some), learnt.schema, learnt.outputs, weights_N[some])
        for kept, block in ((1 << 22, 1 << 16), (1 << 22, 4), (3, 4)):
            monkeypatch.setattr("fermion.practice.preparation.KEPT", kept)
            monkeypatch.setattr("fermion.data.table.KEPT", kept)
            monkeypatch.setattr("fermion.data.mapped.ROWS", block)
            made = encode(rows, learnt.schema, learnt.outputs, weights_N, rows=some, scratch=tmp_path)
            assert list(made.arrays) == list(expected.arrays)
            for name, array in made.arrays.items():
                np.testing.assert_array_equal(array, expected.arrays[name], strict=True)
                assert isinstance(array, np.memmap) == (kept == 3)
            np.testing.assert_array_equal(made.targets["bad"], expected.targets["bad"], strict=True)
            np.testing.assert_array_equal(made.weights, weights_N[some])
    assert not list(tmp_path.iterdir())


def test_what_is_refused_is_told_by_its_row_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table()
    learnt = learn(rows, MARKS, SPEC)
    test = MARKS.rows(TEST)
    monkeypatch.setattr("fermion.data.mapped.ROWS", 4)
    gap = table(size=[None if row == test[9] else 1.5 for row in range(ROWS)])
    with pytest.raises(DataError, match=rf"^row {test[9]}: `size` must be present"):
        encode(gap, learnt.schema, learnt.outputs, rows=test)
    with pytest.raises(DataError, match=rf"^row {test[9]}: `size` must be present"):
        encode(gap, learnt.schema, learnt.outputs)
    new = table(bad=["perhaps" if row == test[9] else "yes" for row in range(ROWS)])
    with pytest.raises(DataError, match=rf"^row {test[9]}: the target `bad` must be a class"):
        encode(new, learnt.schema, learnt.outputs, rows=test)
    train = MARKS.rows(TRAIN)
    mixed = table(bad=[0.5 if row == train[9] else row % 2 * 1.0 for row in range(ROWS)])
    spec = Spec(name="parts", data=Data(source="memory", target="bad", columns={"bad": Declared(column=Category())}))
    with pytest.raises(DataError, match=rf"^row {train[9]}: the target `bad` must be a class"):
        learn(mixed, MARKS, spec)


@pytest.mark.parametrize(
    "values", [[True, False, None] * 20, [3, 1, 1] * 20, ["a", None, "b"] * 20, [0.5, 2.0, None] * 20, list(range(60))]
)
def test_targets_are_learned_from_distinct_values_as_from_all(values: list[object]) -> None:
    rows = table(bad=values)
    for output in (Probability(target="bad"), Value(target="bad")):
        try:
            fitted = output.fit(rows.values("bad"))
        except DataError:
            with pytest.raises(DataError):
                taught(output, rows, slice(None))
            continue
        assert taught(output, rows, slice(None)) == fitted
        np.testing.assert_array_equal(codes_of(fitted, rows, slice(None)), fitted.encode(rows.values("bad")))
        some = MARKS.rows(TRAIN)
        assert taught(output, rows, some) == output.fit(rows.take(some).values("bad"))


def test_weights_by_class() -> None:
    rows = table(bad=["yes", "no", "no"] * 20)
    weights_N = row_weights(rows, Data(source="memory", target="bad", weight=Weight(classes={"yes": 3.0})), "fit")
    assert weights_N is not None
    assert weights_N.tolist() == [3.0, 1.0, 1.0] * 20
