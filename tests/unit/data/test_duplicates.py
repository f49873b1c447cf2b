from __future__ import annotations

import numpy as np
import polars as pl

from fermion.data.duplicates import first_equal, hashed, repeats, rows_equal


def test_every_repeated_row_is_found_across_blocks() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"a": rng.normal(size=1_000), "b": ["x", "y", None, "z"] * 250, "c": [np.nan, None] * 500})
    source = rng.choice(1_000, 50, replace=False)
    whole = pl.concat([frame, frame[source]])
    codes = np.zeros(1_050, np.int8)
    first, within = first_equal(whole, codes)
    assert first[1_000:].tolist() == source.tolist()
    assert first[:1_000].tolist() == list(range(1_000))
    assert within.tolist() == first.tolist()
    small = hashed(whole.slice(start, 100) for start in range(0, 1_050, 100))
    found = repeats(small, codes, lambda left, right: rows_equal(whole, left, right))
    assert found.rows.tolist() == sorted([*source.tolist(), *range(1_000, 1_050)])


def test_first_goes_by_part() -> None:
    frame = pl.DataFrame({"x": [1, 1, 1, 2]})
    first, within = first_equal(frame, np.array([2, 0, 2, 0], np.int8))
    assert first.tolist() == [1, 1, 1, 3]
    assert within.tolist() == [0, 1, 0, 3]


def test_numbers_that_collide_are_not_duplicates() -> None:
    frame = pl.DataFrame({"x": [1, 2, 1]})
    found = repeats(np.zeros(3, np.uint64), np.zeros(3, np.int8), lambda left, right: rows_equal(frame, left, right))
    assert found.first.tolist() == [0, 1, 0]


def test_no_rows_and_pictures() -> None:
    assert [rows.tolist() for rows in first_equal(pl.DataFrame({"x": []}), np.empty(0, np.int8))] == [[], []]
    pictures = np.random.default_rng(0).integers(0, 256, (20, 5, 7, 3), dtype=np.uint8)
    pictures[11] = pictures[4]
    assert first_equal(pl.DataFrame({"p": pictures}), np.zeros(20, np.int8))[0][11] == 4
