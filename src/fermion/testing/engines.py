"""What every engine promises, as tests. Third parties run them over their own:

class TestProcesses(EngineContract):
    engine = Processes(workers=2)
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from fermion.core.engine import Engine, Resources
from fermion.core.errors import RequestRejected, ValueRejected


class EngineContract:
    """Set `engine`."""

    engine: Engine

    def test_results_come_in_the_order_of_the_items(self) -> None:
        assert list(self.engine.map(_slow_first, range(6))) == [0, 1, 4, 9, 16, 25]

    def test_no_items_no_results(self) -> None:
        assert list(self.engine.map(_slow_first, [])) == []

    def test_items_are_taken_as_they_are_needed_and_results_given_as_they_are_ready(self) -> None:
        taken = itertools.count()
        results = self.engine.map(_slow_first, taken)
        assert list(itertools.islice(results, 3)) == [0, 1, 4]
        assert next(taken) < 1000
        del results  # as a `for` does that is left

    def test_nothing_is_taken_before_it_is_asked_for(self) -> None:
        taken = iter([1, 2])
        self.engine.map(_slow_first, taken)
        assert list(taken) == [1, 2]

    def test_two_maps_do_not_disturb_each_other(self) -> None:
        one, other = self.engine.map(_slow_first, range(3)), self.engine.map(abs, [-1, -2, -3])
        assert list(zip(one, other, strict=True)) == [(0, 1), (1, 2), (4, 3)]

    def test_a_task_says_what_it_needs(self) -> None:
        assert list(self.engine.map(abs, [-1], need=Resources(cpus=0.5, memory=1 << 20))) == [1]

    def test_errors_of_a_task_keep_their_type_and_fields(self) -> None:
        with pytest.raises(ValueRejected) as caught:
            list(self.engine.map(_refuse_value, ["three"]))
        assert (
            caught.value.document() == ValueRejected("value", rule="a number", given="three", remedy="Write 3.", where="row 1").document()
        )
        assert str(caught.value) == "row 1: value must be a number, got 'three'. Write 3."
        with pytest.raises(RequestRejected) as rejected:
            list(self.engine.map(_refuse_request, [413]))
        assert rejected.value.status == 413

    def test_other_errors_come_through_too(self) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            list(self.engine.map(int, ["1", "x"]))

    def test_what_was_ready_before_an_error_is_given_first(self) -> None:
        results = self.engine.map(int, ["1", "2", "x", "4"])
        assert [next(results), next(results)] == [1, 2]
        with pytest.raises(ValueError, match="'x'"):
            next(results)
        assert list(results) == []

    def test_an_error_of_the_items_is_the_callers(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            list(self.engine.map(abs, items()))

    def test_stopping_early_ends_the_rest(self) -> None:
        began = time.monotonic()
        results = self.engine.map(time.sleep, itertools.chain([0.0], itertools.repeat(60.0)))
        next(results)
        del results  # as a `for` does that is left
        assert time.monotonic() - began < 30


def _slow_first(number: int) -> int:
    time.sleep(0.05 if number == 0 else 0.0)
    return number * number


def _refuse_value(value: str) -> None:
    raise ValueRejected("value", rule="a number", given=value, remedy="Write 3.", where="row 1")


def _refuse_request(status: int) -> None:
    raise RequestRejected("the body", rule="shorter", given=100, status=status)
