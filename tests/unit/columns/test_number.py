from __future__ import annotations

import numpy as np
import pytest

from fermion.columns.number import Number, read_numbers
from fermion.core.errors import ValueRejected


def test_seconds_of_unix_time_stay_apart() -> None:
    (x_N,) = Number().fit([1.7e9, 1.7e9 + 10]).encode([1.7e9 + 3, 1.7e9 + 4])
    assert x_N[1] - x_N[0] == 1
    (raw_N,) = Number().encode([1.7e9 + 3, 1.7e9 + 4])
    assert raw_N[1] == raw_N[0], "without the offset float32 cannot tell them apart"


def test_seconds_of_three_years_stay_within_four_seconds() -> None:
    times = 1.6e9 + np.arange(0, 1e8, 1e5)
    fitted = Number().fit(times)
    assert np.abs(fitted.encode(times)[0].astype(np.float64) + fitted.offset - times).max() <= 4


@pytest.mark.parametrize(
    ("values", "offset"), [([1.0, 2.0], 0.0), ([-1.0, 1.0], 0.0), ([30.0, 31.0], 30.0), ([-5.0, -5.0], -5.0), ([0.0], 0.0)]
)
def test_an_offset_is_taken_only_where_values_are_close_for_their_size(values: list[float], offset: float) -> None:
    assert Number().fit(values) == Number(offset=offset)


def test_an_array_means_what_a_list_means() -> None:
    for array in (np.array([1.0, np.nan]), np.array([1, 2]), np.array([1, 2], dtype=np.uint8), np.array([1, 2], dtype=np.float16)):
        np.testing.assert_array_equal(Number().encode(array), Number().encode(array.tolist()))


def test_truth_never_passes_as_a_number() -> None:
    for values in ([1.0, True], np.array([True, False]), [np.True_], np.array([1.0, True], dtype=object)):
        with pytest.raises(ValueRejected, match=r"value must be a finite number or null, got (np\.)?(True|False)_?\."):
            Number().encode(values)


def test_a_table_is_no_column() -> None:
    with pytest.raises(ValueRejected, match=r"^row 0: value must be a finite number or null"):
        read_numbers(np.zeros((2, 2)))


def test_what_float32_cannot_hold_is_refused_with_its_row() -> None:
    with pytest.raises(ValueRejected) as raised:
        Number().encode([1.0, 1e39])
    assert str(raised.value) == "row 1: value must be between -3.4e38 and 3.4e38, got 1e+39."
    with pytest.raises(ValueRejected, match=r"^row 2: value must be a finite number or null, got 1000"):
        Number().encode([1, 2, 10**400])


def test_the_values_are_left_alone() -> None:
    values = np.array([5.0, 6.0])
    values.flags.writeable = False
    fitted = Number().fit(values)
    fitted.encode(values)
    assert values.tolist() == [5.0, 6.0]


def test_of_texts_the_first_that_is_no_number_is_blamed() -> None:
    with pytest.raises(ValueRejected, match=r"row 1: .*got 'abc'"):
        Number().encode(["1", "abc", "2"])
