from __future__ import annotations

import numpy as np
import pytest

from fermion.columns.category import FIRST, MISSING, UNSEEN, Category
from fermion.core.errors import ValueRejected


def test_levels_are_ranked_by_frequency_then_by_name() -> None:
    fitted = Category().fit(["c", "b", "b", "a", None, "c"])
    assert fitted.levels == ("b", "c", "a")
    assert fitted.slots[0].size == 5


def test_the_order_of_rows_does_not_change_the_ranking() -> None:
    values = [1, "1", "a", 2, "2", 2, "2"]
    assert Category().fit(values).levels == Category().fit(values[::-1]).levels


def test_missing_unseen_and_known() -> None:
    (codes_N,) = Category().fit(["a", "b"]).encode([None, "new", "a", "b", ""])
    assert codes_N.tolist() == [MISSING, UNSEEN, FIRST, FIRST + 1, UNSEEN]


def test_what_is_rare_is_unseen() -> None:
    fitted = Category(most=2).fit(["a", "a", "b", "b", "c"])
    assert fitted.levels == ("a", "b")
    assert fitted.most == 2
    assert fitted.encode(["c"])[0].tolist() == [UNSEEN]


def test_text_and_numbers_are_different_levels() -> None:
    fitted = Category().fit([1, "1"])
    assert len(fitted.levels) == 2
    assert sorted(fitted.encode([1, "1"])[0].tolist()) == [2, 3]


def test_whole_numbers_that_nulls_made_floats_are_read_back() -> None:
    """Frames turn integers with nulls into floats; only whole arrays are read so, a list says what it means."""
    values = np.array([3.0, np.nan, 4.0])
    fitted = Category().fit(values)
    assert fitted.levels == (3, 4)
    np.testing.assert_array_equal(fitted.encode(values), fitted.encode([3, None, 4]))
    assert [fitted.plain(value) for value in values] == [3, None, 4]
    with pytest.raises(ValueRejected):
        fitted.encode([3.0])
    with pytest.raises(ValueRejected, match=r"got 3.5"):
        fitted.encode(np.array([3.5]))


def test_a_request_asks_for_what_training_had() -> None:
    assert Category().fit(["a"]).request is str
    assert Category().fit([1]).request is int
    assert Category().fit([1, "a"]).request == str | int
    assert Category().fit([None]).request == str | int


def test_numpy_text() -> None:
    values = np.array(["a", "b"])
    fitted = Category().fit(values)
    assert [type(level) for level in fitted.levels] == [str, str]
    assert fitted.encode(values)[0].tolist() == [2, 3]


def test_a_hundred_thousand_levels_stay_cheap() -> None:
    """Codes are looked up in one table: 200,000 values of 100,000 levels take less than a second and no matrix."""
    values = [f"level {number % 100_000}" for number in range(200_000)]
    fitted = Category(most=100_000).fit(values)
    assert len(fitted.levels) == 100_000
    assert len(np.unique(fitted.encode(values)[0])) == 100_000
    assert len(Category().fit(values).levels) == 10_000
