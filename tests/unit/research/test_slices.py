from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.research.slices import levels_of


def test_the_worst_slice_is_the_one_that_was_made_bad(binary: Any) -> None:
    detail = binary.report().details["flag"]
    worst = detail.slices[0]
    assert (worst.column, worst.value) == ("town", "<b>Q</b>")
    assert worst.gap > 0
    assert worst.low > detail.slice_whole
    assert detail.slice_metric == "log_loss"
    assert all(one.rows >= 30 and one.gap > 0 for one in detail.slices)


def test_slices_that_were_asked_for_come_first_whatever_they_score(binary: Any) -> None:
    slices = binary.report(test=slice(0, 60), evaluate={"slices": ["town"]}).details["flag"].slices
    assert [one.column for one in slices[:3]] == ["town"] * 3
    assert all(one.asked for one in slices[:3])
    assert sum(one.rows for one in slices[:3]) == 60


def test_the_score_of_a_slice_is_the_metric_of_its_rows(binary: Any, pictures: Any) -> None:
    detail = binary.report(evaluate={"slices": ["town"]}).details["flag"]
    rows = [row for row, town in enumerate(binary.table.values("town")) if town == "R"]
    alone = binary.report(test=rows).metrics["log_loss"].value
    assert next(one for one in detail.slices if one.value == "R").score == pytest.approx(alone)
    assert pictures.report().details["shade"].slices == ()  # a picture has no levels


def test_levels_of_numbers_times_and_gaps() -> None:
    numbers = levels_of(np.array([1.0, np.nan, *range(2, 100)]))
    assert numbers is not None
    assert numbers.names[-1] == "missing"
    assert np.bincount(numbers.codes).tolist() == [24, 25, 25, 25, 1]
    few = levels_of(np.array([0, 3, 3]))
    assert few is not None
    assert (few.names, few.codes.tolist()) == (["0", "3"], [0, 1, 1])
    times = levels_of(np.array(["2020-01-01", "NaT", "2020-02-01"], "datetime64[us]"))
    assert times is not None
    assert times.names == ["2020-01-01 00:00", "2020-02-01 00:00", "missing"]


def test_columns_without_levels() -> None:
    assert levels_of(np.full(5, 2.0)) is None  # one value
    assert levels_of([str(n) for n in range(100)]) is None  # too many
    assert levels_of(np.zeros((2, 3, 3))) is None
    assert levels_of([b"a", b"b"]) is None
    flags = levels_of([True, None, False])
    assert flags is not None
    assert flags.names == ["false", "missing", "true"]
    asked = levels_of([str(n) for n in range(100)] + ["7"], asked=True)
    assert asked is not None
    assert (len(asked.names), asked.names[0], asked.codes.min()) == (50, "7", -1)


@pytest.mark.parametrize("values", [np.array([]), []])
def test_an_empty_column(values: Any) -> None:
    levels = levels_of(values)
    assert levels is None or levels.names == []
