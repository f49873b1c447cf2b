"""Time series: which steps are kept, when they were, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.bundle.profile import sketched
from fermion.columns.infer import guess
from fermion.columns.missing import missing_rows
from fermion.columns.private import invented
from fermion.columns.request import Requests
from fermion.columns.schema import Field, Schema
from fermion.columns.sequence import LONGEST, Sequence, Steps
from fermion.core.errors import RequestRejected, ValueRejected


def test_the_last_steps_are_kept_unless_it_says_the_first() -> None:
    long = [[1.0, 2.0, 3.0], [4.0]]
    assert Sequence(length=2).fit(long).encode(long)[0][:, :, 0].tolist() == [[2, 3], [4, 0]]
    assert Sequence(length=2, keep="first").fit(long).encode(long)[0][0, :, 0].tolist() == [1, 2]


def test_the_length_is_that_of_the_longest_training_row_within_reason() -> None:
    fitted = Sequence().fit([[1.0] * 5, [2.0]])
    assert fitted.length == 5
    assert fitted.encode([[0.0] * 9])[0].shape == (1, 5, 1)
    assert Sequence().fit([np.zeros(LONGEST + 1)]).length == LONGEST


def test_an_array_of_series_is_encoded_whole_and_equals_its_rows() -> None:
    whole = np.random.default_rng(0).integers(-300, 300, (50, 12), dtype=np.int16)
    fitted = Sequence().fit(whole)
    assert fitted == Sequence().fit(list(whole))
    for one, other in zip(fitted.encode(whole), fitted.encode(list(whole)), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    cut = Sequence(length=3).fit(whole)
    np.testing.assert_array_equal(cut.encode(whole)[0][..., 0], whole[:, -3:])


def test_an_array_with_gaps_keeps_them_and_refuses_infinity_by_row() -> None:
    whole = np.ones((3, 4, 2))
    whole[1, 2, 0] = np.nan
    fitted = Sequence().fit(whole)
    values, mask = fitted.encode(whole)
    assert np.isnan(values).sum() == 1
    assert mask.all()
    whole[2, 0, 1] = np.inf
    with pytest.raises(ValueRejected, match=r"^row 2: value must be a list of steps"):
        fitted.encode(whole)


def test_an_all_missing_array_row_is_a_series_of_missing_steps() -> None:
    whole = np.full((2, 3), np.nan)
    assert missing_rows(whole).tolist() == [False, False]
    assert Sequence().fit(whole).encode(whole)[1].all()


def test_times_are_told_apart_to_the_second_long_after_1970() -> None:
    late = {"times": [1.7e9, 1.7e9 + 1.0, 1.7e9 + 3.0], "values": [1, 2, 3]}
    last = Sequence(times=True).fit([late])
    assert last.encode([late])[2].tolist() == [[-3.0, -2.0, 0.0]]
    first = Sequence(times=True, since="first", length=2).fit([late])
    assert first.encode([late])[2].tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        (Sequence(), [[1.0, 2.0], [3.0]], "row 1: value must be a series with equally many numbers in every step, got "),
        (Sequence(), [[1.0, 2.0]], "row 1: value must be a series with 1 number per step, got 2 per step."),
        (Sequence(), "12", "row 1: value must be a list of steps, each a finite number, null, or a list of them, got '12'."),
        (Sequence(times=True), [1.0], 'row 1: value must be an object {"times": [...], "values": [...]}, got '),
        (Sequence(times=True), {"times": [1], "values": [1, 2]}, "row 1: value must be a series with one time for each of its 2 steps"),
        (
            Sequence(times=True),
            {"times": [2, 1], "values": [1, 2]},
            "row 1: value must be a series whose times are numbers that never fall",
        ),
    ],
)
def test_what_is_no_series_is_told_with_its_row(column: Sequence, value: Any, told: str) -> None:
    good: Any = {"times": [0.0], "values": [1.0]} if column.times else [1.0]
    with pytest.raises(ValueRejected) as error:
        column.fit([good]).encode([good, value])
    assert str(error.value).startswith(told)


def test_several_widths_in_the_training_part_are_refused() -> None:
    with pytest.raises(ValueRejected, match="row 2: value must be a series with 2 numbers per step, got 3 per step"):
        Sequence().fit([[[1.0, 2.0]], None, [[1.0, 2.0, 3.0]]])


def test_requests_carry_steps_and_gaps_and_nothing_else() -> None:
    schema = Schema.of({"x": Sequence(), "t": Sequence(times=True)}).fit({"x": [[1.0]], "t": [{"times": [0.0], "values": [[1.0, 2.0]]}]})
    requests = Requests(schema)
    body = b'{"rows": [{"x": [1, null, 2.5], "t": {"times": [0, 60], "values": [[1, null], null]}}]}'
    arrays = schema.encode(requests.batch(requests.decode(body)))
    assert arrays["x.values"].shape == (1, 1, 1)  # as long as training had it
    np.testing.assert_array_equal(arrays["t.values"], np.full((1, 1, 2), np.nan))
    with pytest.raises(RequestRejected, match=r"rows\[0\]\.x\[0\]"):
        requests.decode(b'{"rows": [{"x": ["a"], "t": {"times": [], "values": []}}]}')


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([[1.0], [1.0, 2.0]], Sequence()),
        ([[[1.0, 2.0]], None], Sequence()),
        (np.zeros((3, 5, 2)), Sequence()),
        ([np.zeros((4, 2)), np.zeros((5, 2))], Sequence()),
        ([{"times": [0.0], "values": [1.0]}], Sequence(times=True)),
        ([Steps(times=[0.0], values=[1.0])], Sequence(times=True)),
    ],
)
def test_lists_of_several_lengths_are_taken_for_series(values: Any, found: Sequence) -> None:
    assert guess(values) == found


def test_a_profile_counts_the_level_of_what_is_there() -> None:
    values = [[1.0, None, 3.0], [], [4.0]]
    counted = sketched(Field(name="x", column=Sequence().fit(values)), values)
    np.testing.assert_array_equal(counted, [2.0, np.nan, 4.0])


def test_what_is_shown_of_a_private_series_is_made_up() -> None:
    values = [[1.25, None], None, [7.5]]
    made = invented(Sequence().fit(values), values, np.random.default_rng(0))
    assert made[1] is None
    assert isinstance(made[0], list)
    assert len(made[0]) == 2
    assert made[0][1] is None
    assert made[0][0] != 1.25
    timed = [{"times": [1.7e9, 1.7e9 + 60], "values": [1.0, 2.0]}]
    (one,) = invented(Sequence(times=True).fit(timed), timed, np.random.default_rng(0))
    assert isinstance(one, dict)
    assert one["times"] == [-1.0, 0.0]
