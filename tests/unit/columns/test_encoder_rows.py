from typing import Any

import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.number import Number
from fermion.columns.schema import Field, Schema
from fermion.core.errors import ValueRejected

NUMBERS = Schema(fields=(Field(name="a", column=Number()), Field(name="b", column=Number(offset=1.7e9), missing=True)))
MIXED = Schema(fields=(*NUMBERS.fields, Field(name="c", column=Category(levels=("x", "y")), missing=True)))


@pytest.mark.parametrize(
    ("schema", "rows"),
    [
        (NUMBERS, [(1.0, 1.7e9 + 3)]),
        (NUMBERS, [(1.0, 1.7e9), (-2.5, None), (3.0, 1.7e9 + 0.25)]),
        (MIXED, [(1.0, 1.7e9, "x"), (2.0, None, None), (3.0, 1.7e9, "z")]),
    ],
)
def test_rows_mean_what_columns_mean(schema: Schema, rows: list[tuple[Any, ...]]) -> None:
    encoder = schema.encoder()
    want = encoder(dict(zip(schema.names, map(list, zip(*rows, strict=True)), strict=True)))
    got = encoder.rows(rows)
    assert got.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, strict=True)


@pytest.mark.parametrize("bad", [None, 1e300, 10**400])
def test_what_a_row_may_not_hold_is_told_by_its_column(bad: Any) -> None:
    with pytest.raises(ValueRejected, match=r"^row 1: `a` must be"):
        NUMBERS.encoder().rows([(1.0, None), (bad, 1.7e9)])
