import asyncio
import threading
import time
from typing import Any

import pytest

from fermion.cloud.batcher import Batcher, Cost, measure
from fermion.core.errors import RequestRejected, ValueRejected

FAST, SLOW = Cost(rows=4, inline=4), Cost(rows=4, inline=0)


class Doubler:
    """Answers 2x and remembers the batches; refuses negative numbers by row, as columns do."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[Any]] = []
        self.seconds = seconds

    def __call__(self, rows: list[Any]) -> list[Any]:
        self.batches.append(list(rows))
        time.sleep(self.seconds)
        for row, (x,) in enumerate(rows):
            if x < 0:
                raise ValueRejected("`x`", rule="positive", given=x, where=f"row {row}")
        return [2 * x for (x,) in rows]


async def ask(batcher: Batcher, xs: list[int]) -> Any:
    future = asyncio.get_running_loop().create_future()
    batcher.submit([(x,) for x in xs], future.set_result)
    return await asyncio.wait_for(future, 5)


@pytest.mark.parametrize("cost", [FAST, SLOW], ids=["on the loop", "in a thread"])
def test_everyone_gets_their_own_answers(cost: Cost) -> None:
    async def main() -> None:
        run = Doubler()
        batcher = Batcher(run, room=100)
        batcher.start(cost)
        answers = await asyncio.gather(*(ask(batcher, [x, x + 1]) for x in range(10)))
        assert answers == [[2 * x, 2 * x + 2] for x in range(10)]
        assert batcher.waiting == 0
        assert max(map(len, run.batches)) == 4
        assert len(run.batches) == 5
        batcher.close()

    asyncio.run(main())


def test_what_waits_when_a_batch_ends_is_the_next_batch() -> None:
    async def main() -> None:
        run = Doubler(seconds=0.05)
        batcher = Batcher(run, room=100)
        batcher.start(SLOW)
        first = asyncio.ensure_future(ask(batcher, [0]))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, *(ask(batcher, [x]) for x in (1, 2, 3)))
        assert run.batches == [[(0,)], [(1,), (2,), (3,)]]
        batcher.close()

    asyncio.run(main())


def test_nothing_runs_before_the_start() -> None:
    async def main() -> None:
        run = Doubler()
        batcher = Batcher(run, room=100)
        asked = asyncio.ensure_future(ask(batcher, [1]))
        await asyncio.sleep(0.01)
        assert run.batches == []
        batcher.start(FAST)
        assert await asked == [2]

    asyncio.run(main())


def test_a_large_request_is_cut_and_lets_others_through() -> None:
    async def main() -> None:
        run = Doubler()
        batcher = Batcher(run, room=100)
        batcher.start(FAST)
        large, small = await asyncio.gather(ask(batcher, list(range(11))), ask(batcher, [50]))
        assert large == [2 * x for x in range(11)]
        assert small == [100]
        assert [len(batch) for batch in run.batches] == [4, 4, 4]
        assert (50,) in run.batches[1]

    asyncio.run(main())


@pytest.mark.parametrize("cost", [FAST, SLOW], ids=["on the loop", "in a thread"])
def test_an_error_never_touches_neighbours(cost: Cost) -> None:
    async def main() -> None:
        batcher = Batcher(Doubler(), room=100)
        batcher.start(cost)
        fine, bad, also_fine = await asyncio.gather(ask(batcher, [1]), ask(batcher, [2, -1]), ask(batcher, [3]))
        assert (fine, also_fine) == ([2], [6])
        assert isinstance(bad, ValueRejected)
        assert bad.where == "row 1"
        batcher.close()

    asyncio.run(main())


def test_an_error_in_a_later_piece_names_its_row_and_ends_the_request() -> None:
    async def main() -> None:
        run = Doubler()
        batcher = Batcher(run, room=100)
        batcher.start(FAST)
        bad = await ask(batcher, [0, 1, 2, 3, 4, -1, 6, 7, 8, 9, 10])
        assert str(bad) == "row 5: `x` must be positive, got -1."
        assert await ask(batcher, [1]) == [2]
        assert batcher.waiting == 0
        assert [len(batch) for batch in run.batches] == [4, 4, 1]

    asyncio.run(main())


def test_a_full_queue_refuses_with_503() -> None:
    async def main() -> None:
        batcher = Batcher(Doubler(), room=3)
        batcher.submit([(1,), (2,)], lambda _: None)
        with pytest.raises(RequestRejected, match="at most 3 rows long, got 2 rows that wait and 2 new ones") as caught:
            batcher.submit([(3,), (4,)], lambda _: None)
        assert caught.value.status == 503
        assert batcher.waiting == 2

    asyncio.run(main())


def test_a_request_beyond_the_queue_is_taken_when_nothing_waits() -> None:
    async def main() -> None:
        batcher = Batcher(Doubler(), room=3)
        batcher.start(FAST)
        assert len(await ask(batcher, list(range(10)))) == 10

    asyncio.run(main())


def test_what_nobody_waits_for_is_not_run() -> None:
    async def main() -> None:
        run = Doubler()
        batcher = Batcher(run, room=100)
        ticket = batcher.submit([(1,), (2,)], lambda _: pytest.fail("dropped"))
        ticket.drop()
        batcher.start(FAST)
        assert await ask(batcher, [3]) == [6]
        assert run.batches == [[(3,)]]
        assert batcher.waiting == 0

    asyncio.run(main())


def test_short_batches_stay_on_the_loop_and_long_ones_leave_it() -> None:
    async def main() -> None:
        threads: list[tuple[int, bool]] = []

        def run(rows: list[Any]) -> list[Any]:
            threads.append((len(rows), threading.current_thread() is threading.main_thread()))
            return [2 * x for (x,) in rows]

        batcher = Batcher(run, room=100)
        batcher.start(Cost(rows=4, inline=1))
        assert await ask(batcher, [1]) == [2]
        assert await ask(batcher, [1, 2, 3]) == [2, 4, 6]
        assert threads == [(1, True), (3, False)]
        batcher.close()

    asyncio.run(main())


def test_the_batch_grows_until_a_row_gets_no_cheaper() -> None:
    def per_row(rows: list[Any]) -> list[Any]:
        time.sleep(0.005 * len(rows))
        return rows

    def per_batch(rows: list[Any]) -> list[Any]:
        time.sleep(0.005)
        return rows

    assert measure(per_row, [(1,)], most=16).rows <= 4
    assert measure(per_batch, [(1,)], most=16) == Cost(rows=16, inline=0)
    assert measure(per_batch, [(1,)], most=1) == Cost(rows=1, inline=0)
    assert measure(lambda rows: list(rows), [(1,)], most=16).inline >= 1
