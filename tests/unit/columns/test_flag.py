from __future__ import annotations

import numpy as np
import pytest

from fermion.columns.flag import Flag
from fermion.core.errors import ValueRejected


def test_an_array_means_what_a_list_means() -> None:
    values = np.array([True, False])
    np.testing.assert_array_equal(Flag().encode(values), Flag().encode(values.tolist()))


@pytest.mark.parametrize("values", [np.array([0, 1]), np.array([[True]]), [1.0], ["yes"]])
def test_what_only_looks_true_is_refused(values: object) -> None:
    with pytest.raises(ValueRejected, match=r"^row 0: value must be true, false or null, got "):
        Flag().encode(values)  # type: ignore[arg-type]
    with pytest.raises(ValueRejected):
        Flag().fit(values)  # type: ignore[arg-type]


def test_plain() -> None:
    assert [Flag().plain(value) for value in (np.True_, False, None)] == [True, False, None]
