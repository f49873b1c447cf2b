from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.image import Image
from fermion.columns.infer import guess, infer
from fermion.columns.number import Number
from fermion.columns.time import Time
from fermion.core.errors import DataError, SpecError
from fermion.core.sections import Declared

PNG = b"\x89PNG\r\n\x1a\n..."

KINDS: list[tuple[Any, Any]] = [
    ([1, 2.5, None], Number()),
    ([None] * 5000 + [1.5], Number()),
    ([np.float32(1), np.int8(2)], Number()),
    (np.array([1, 2]), Number()),
    (np.array([1.0, np.nan]), Number()),
    (np.array([1.0, None], dtype=object), Number()),
    ([True, None, False], Flag()),
    ([np.True_], Flag()),
    (np.array([True]), Flag()),
    (["a", "b", "a", None], Category()),
    (["a", 1], Category()),
    (np.array(["a", "b"]), Category()),
    (["2026-01-01", "2026-01-02T10:00:00Z", None], Time()),
    (["2026-01-01", "soon"], Category()),
    (["20260101"], Category()),
    ([dt.date(2026, 1, 1)], Time()),
    ([dt.datetime(2026, 1, 1), None], Time()),
    (np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"), Time()),
    ([np.datetime64("2026-01-01"), np.datetime64("NaT")], Time()),
    ([PNG, None, b"\xff\xd8\xff.."], Image()),
    (["a.png", "b/c.JPG"], Image()),
    (np.zeros((2, 4, 4), np.uint8), Image()),
    (np.zeros((2, 4, 4, 3), np.uint8), Image()),
    ([np.zeros((4, 4), np.uint8)], Image()),
]


@pytest.mark.parametrize(("values", "column"), KINDS, ids=range(len(KINDS)))
def test_values_become_the_column_that_fits(values: Any, column: Any) -> None:
    found = guess(values)
    assert found == column
    if not isinstance(column, Image):
        column.fit(values)


SKIPPED: list[tuple[Any, str]] = [
    ([], "every value is missing"),
    ([None, float("nan")], "every value is missing"),
    (np.array([np.nan, np.nan]), "every value is missing"),
    (np.array([], dtype=np.int64), "every value is missing"),
    ([f"id-{n}" for n in range(60)], "100% of its texts are distinct: they name rows instead of describing them"),
    ([b"abc"], "the bytes are no image or sound file"),
    ([True, 1], "values of type bool, int fit no column"),
    ([{"a": 1}], "values of type dict fit no column"),
    ([1.5, "a"], "values of type float, str fit no column"),
    (np.zeros((2, 4, 4, 1), np.float32), "an array of shape (4, 4, 1) and type float32 is no picture (uint8, height x width x channels)"),
    (np.zeros((2, 4, 4, 4, 4), np.uint8), "an array of shape (4, 4, 4, 4) and type uint8 is no picture (uint8, height x width x channels)"),
]


@pytest.mark.parametrize(("values", "why"), SKIPPED, ids=range(len(SKIPPED)))
def test_what_fits_no_column_says_why(values: Any, why: str) -> None:
    assert guess(values) == why


def test_few_texts_are_never_taken_for_identifiers() -> None:
    assert guess([f"city {n}" for n in range(49)]) == Category()


def test_what_is_declared_counts_and_the_rest_is_inferred() -> None:
    batch = {"zip": [8000, 3000], "age": [30.0, 40.0], "id": [None, None], "split": ["train", "test"], "note": [{}, {}]}
    declared = {"zip": Declared(column=Category(), missing="accept"), "age": Declared(missing="refuse"), "id": Declared()}
    found = infer(batch, declared, without=("split",))
    assert {field.name: field.column for field in found.schema.fields} == {"zip": Category(), "age": Number()}
    assert found.missing == {"zip": True, "age": False}
    assert found.skipped == {"id": "every value is missing", "note": "values of type dict fit no column"}


def test_a_declared_column_that_is_not_there() -> None:
    with pytest.raises(SpecError) as raised:
        infer({"amount": [1.0]}, {"amuont": Declared(column=Number())})
    assert str(raised.value) == "the column `amuont` of data.columns must be in the data, got columns amount. Did you mean `amount`?"


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError) as raised:
        infer({"id": [None]}, {})
    assert str(raised.value) == (
        "the table must be made of at least one column to learn from, got id: every value is missing. "
        "Declare the columns to use under data.columns."
    )
    with pytest.raises(DataError, match="no column beside the target"):
        infer({"y": [1]}, {}, without=("y",))
