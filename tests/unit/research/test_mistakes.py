from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from fermion.research.mistakes import LETTERS, MOST, shortened


def test_errors_are_ranked_by_how_sure_they_were(binary: Any) -> None:
    (output,) = binary.encoded.outputs
    y_N, p_NK = binary.encoded.targets["flag"], binary.model.of(binary.encoded.arrays)[output.array]
    wrong = np.flatnonzero(p_NK.argmax(1) != y_N)
    surest = wrong[np.argsort(-p_NK[wrong].max(1), kind="stable")][:MOST]
    mistakes = binary.report().details["flag"].mistakes
    assert [one.row for one in mistakes] == (surest + 1000).tolist()  # numbers in the source
    first = mistakes[0]
    assert first.truth == output.classes[y_N[surest[0]]] != first.answer
    assert abs(first.probability + first.of_truth - 1) < 1e-6
    assert first.values["town"] == binary.table.values("town")[surest[0]]


def test_errors_of_a_regression_are_ranked_by_size(regression: Any) -> None:
    mistakes = regression.report().details["price"].mistakes
    sizes = [abs(one.answer - one.truth) for one in mistakes]
    assert sizes == sorted(sizes, reverse=True)
    assert mistakes[0].probability is None


def test_rows_keep_no_picture_in_their_values(pictures: Any) -> None:
    mistake = pictures.report().details["shade"].mistakes[0]
    assert mistake.values == {}
    assert mistake.picture is not None


def test_values_become_short_plain_json() -> None:
    assert shortened("a\nb " + "c" * 10_000).endswith("…")  # type: ignore[union-attr]
    assert len(str(shortened("c" * 10_000))) == LETTERS
    assert shortened(10**400) == "1" + "0" * (LETTERS - 1)
    assert shortened(b"x" * 10_000) == "10000 bytes"
    assert shortened(float("nan")) is None
    assert shortened(datetime.datetime(2020, 1, 2, 3, 4)) == "2020-01-02 03:04:00"
    assert (shortened(True), shortened(3), shortened(None)) == (True, 3, None)
    assert len(str(shortened(list(range(10_000))))) <= LETTERS
