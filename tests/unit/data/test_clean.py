"""The cleaning plan: rows of the training part, each set aside with its reason."""

from __future__ import annotations

import numpy as np
import pytest

from fermion.core.declared import Clean, Outliers
from fermion.core.errors import DataError, SpecError
from fermion.data.clean import clean, kept_aside, part_digest
from fermion.data.split import OUT, TEST, TRAIN, Marks
from fermion.data.table import Table


def marks(*codes: int) -> Marks:
    return Marks(codes=np.array(codes, dtype=np.int8), by="random")


def all_train(n: int) -> Marks:
    return Marks(codes=np.zeros(n, dtype=np.int8), by="random")


def test_only_the_training_part_is_touched() -> None:
    table = Table.of({"x": [1, 1, 1, 2], "y": [0, 0, 0, 1]})
    found = clean(table, marks(TRAIN, TRAIN, TEST, TRAIN), Clean(duplicates="exact"))
    assert found.marks.codes.tolist() == [TRAIN, OUT, TEST, TRAIN]
    assert [(one.row, one.step, one.reason) for one in found.aside] == [(1, "duplicates", "equals row 0")]


def test_an_empty_plan_does_nothing() -> None:
    table = Table.of({"x": [1, 1], "y": [0, 0]})
    found = clean(table, all_train(2), Clean())
    assert found.aside == ()
    assert found.marks.codes.tolist() == [TRAIN, TRAIN]


def test_rows_that_were_set_aside_can_be_read_back_with_their_reasons() -> None:
    table = Table.of({"row": ["a", "b"], "x": [1.0, None]})
    aside = kept_aside(table, clean(table, all_train(2), Clean(incomplete=("x",))))
    assert aside.row(0) == {"row": "b", "x": None, "reason": "`x` is missing", "step": "incomplete", "row_": 1}


def test_ignored_columns_do_not_make_rows_different() -> None:
    table = Table.of({"id": [1, 2], "x": [5, 5], "y": [0, 0]})
    assert clean(table, all_train(2), Clean(duplicates="exact")).aside == ()
    assert clean(table, all_train(2), Clean(duplicates="exact"), ignore=["id"]).counts == {"duplicates": 1}


@pytest.mark.parametrize("by", ["iqr", "robust_z", "isolation"])
def test_planted_outliers_are_found_and_little_else(by: str) -> None:
    rng = np.random.default_rng(0)
    x_N = rng.normal(size=1000)
    planted = [10, 500, 900]
    x_N[planted] = [50.0, -60.0, 70.0]
    table = Table.of({"x": x_N, "z": rng.normal(size=1000), "y": rng.integers(0, 2, 1000)})
    found = clean(table, all_train(1000), Clean(outliers=(Outliers(by=by),)), targets=["y"])  # type: ignore[arg-type]
    assert set(planted) <= {one.row for one in found.aside}
    assert len(found.aside) <= 10
    assert all("`x`" in one.reason or "isolation score" in one.reason for one in found.aside)


def test_logarithms_find_what_is_too_small() -> None:
    amount_N = np.random.default_rng(0).lognormal(5, 0.5, 500)
    amount_N[7] /= 1000
    table = Table.of({"amount": [*amount_N.tolist(), 0.0]})
    assert clean(table, all_train(501), Clean(outliers=(Outliers(by="robust_z"),))).counts.get("outliers: robust_z", 0) <= 3
    (one,) = clean(table, all_train(501), Clean(outliers=(Outliers(by="robust_z", log=True),))).aside
    assert one.row == 7
    with pytest.raises(SpecError, match="with iqr or robust_z"):
        clean(table, all_train(501), Clean(outliers=(Outliers(by="isolation", log=True),)))


def test_limits_are_learned_from_the_training_part_alone() -> None:
    rng = np.random.default_rng(1)
    x_N = rng.normal(size=400)
    part = marks(*([TRAIN] * 200 + [TEST] * 200))
    x_N[0] = 9.0
    first = clean(Table.of({"x": x_N}), part, Clean(outliers=(Outliers(),)))
    other_N = x_N.copy()
    other_N[200:] = 1000 * rng.normal(size=200)
    assert clean(Table.of({"x": other_N}), part, Clean(outliers=(Outliers(),))).aside == first.aside


def test_private_values_stand_in_no_reason() -> None:
    table = Table.of({"pay": [*np.linspace(1, 2, 200).tolist(), 987654.0]})
    (one,) = clean(table, all_train(201), Clean(outliers=(Outliers(),)), private=["pay"]).aside
    assert one.reason == "`pay` is far from the others"


def test_a_column_that_is_mostly_one_value_has_no_outliers() -> None:
    table = Table.of({"x": [0.0] * 90 + list(range(10))})
    assert clean(table, all_train(100), Clean(outliers=(Outliers(), Outliers(by="robust_z")))).aside == ()


def test_expectations_come_with_their_reason() -> None:
    table = Table.of({"x": [1, 2, 3]})
    found = clean(table, all_train(3), Clean(), more={1: "`x` must be odd"})
    assert found.counts == {"expectation": 1}


def test_the_digest_of_a_part_tells_splits_apart() -> None:
    assert part_digest(marks(0, 0, 1)) == part_digest(marks(0, 0, 2)) != part_digest(marks(0, 1, 0))


class TestBadInput:
    def test_a_column_that_is_not_there(self) -> None:
        with pytest.raises(DataError, match="Did you mean `amount`"):
            clean(Table.of({"amount": [1]}), all_train(1), Clean(incomplete=("amuont",)))

    def test_outliers_of_text(self) -> None:
        with pytest.raises(SpecError, match="must be a number"):
            clean(Table.of({"city": ["a", "b"]}), all_train(2), Clean(outliers=(Outliers(columns=("city",)),)))

    def test_a_plan_that_leaves_nothing(self) -> None:
        with pytest.raises(DataError, match="leaves rows to learn from"):
            clean(Table.of({"x": [None, None], "y": [1, 2]}), all_train(2), Clean(incomplete=("x",)))

    def test_too_large_a_share(self) -> None:
        with pytest.raises(SpecError, match=r"below 0\.5"):
            clean(Table.of({"x": [1.0, 2.0]}), all_train(2), Clean(outliers=(Outliers(by="isolation", limit=2.0),)))
