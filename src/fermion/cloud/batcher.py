"""Micro-batching without a timer: whatever waits when a batch ends is the next batch.

A lone request is run at once; under load batches grow by themselves. A timer would cost the lone request its wait and gain nothing.
"""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct

from fermion.core.errors import RequestRejected, Told, ValueRejected

Row = Sequence[Any]
Run = Callable[[list[Row]], list[Any]]  # N rows -> N answers, or an error that is about one of the rows
Done = Callable[[list[Any] | Exception], None]

INLINE_SECONDS = 0.0002  # a batch that takes longer is worth the way to a thread, which leaves the event loop free meanwhile
HOP_SECONDS = 0.00015  # of a batch beside the model: turns of the loop, the way to the thread and back
NEAR_BEST = 1.05  # rows per batch grow until a row costs at most this much of the cheapest
WARM_UP_SECONDS = 2.0


class Cost(Struct, frozen=True, kw_only=True):
    """What was measured: the rows per batch beyond which a row gets no cheaper, and up to how many rows a batch is worth no thread."""

    rows: int
    inline: int


def measure(run: Run, rows: Sequence[Row], most: int) -> Cost:
    """Time batches of 1, 2, 4, ... `most` rows, made of the given ones.

    >>> measure(lambda rows: list(rows), [(1,)], most=8)
    Cost(rows=8, inline=8)
    """
    began = time.perf_counter()
    run([rows[0]])
    seconds: dict[int, float] = {}
    for size in sorted({min(1 << power, most) for power in range(most.bit_length() + 1)}):
        batch = [rows[position % len(rows)] for position in range(size)]
        seconds[size] = min(_timed(run, batch) for _ in range(3))
        if time.perf_counter() - began + 6 * seconds[size] > WARM_UP_SECONDS:
            break
    per_row = {size: (took + HOP_SECONDS) / size for size, took in seconds.items()}
    best = next(size for size, each in per_row.items() if each <= NEAR_BEST * min(per_row.values()))
    return Cost(rows=best, inline=max((size for size, took in seconds.items() if took <= INLINE_SECONDS), default=0))


class Ticket:
    """A request in the queue: its rows, how many of them were taken, and who wants the answers."""

    __slots__ = ("answers", "done", "gone", "rows", "taken")

    def __init__(self, rows: list[Row], done: Done) -> None:
        self.rows, self.done, self.taken = rows, done, 0
        self.answers: list[Any] = []
        self.gone = False  # answered, failed or dropped

    def drop(self) -> None:
        """Nobody waits for it any more: what has not run yet never will."""
        self.gone = True


class Batcher:
    """Fuses the rows of waiting requests into batches, and gives every request its own answers or its own error.

    Belongs to one event loop; nothing runs before `start`. A request with more rows than a batch is cut, and what remains of it
    goes behind those that wait, so that it holds nobody up. When a batch fails, its requests are run again one by one.

    Args:
        run: N rows -> N answers.
        room: rows that may wait. A request that is larger than that is taken when nothing waits.
    """

    def __init__(self, run: Run, *, room: int) -> None:
        self._run, self.room = run, room
        self.waiting = 0
        self._queue: deque[Ticket] = deque()
        self._cost = Cost(rows=1, inline=1)
        self._thread: ThreadPoolExecutor | None = None
        self._busy = True  # until `start`

    def start(self, cost: Cost) -> None:
        """Begin with what waits. Short batches run on the event loop, long ones in a thread of their own."""
        self._cost = cost
        if cost.inline < cost.rows:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="fermion-model")
        self._loop = asyncio.get_running_loop()
        self._next()

    def close(self) -> None:
        """Let the thread go. What waits is not answered: wait for it first."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def submit(self, rows: list[Row], done: Done) -> Ticket:
        """Queue one or more rows; `done` is called on the event loop with their answers or with the error.

        Raises:
            RequestRejected: 503, the queue is full.
        """
        if self.waiting + len(rows) > self.room and self.waiting:
            raise RequestRejected(
                "the queue",
                rule=f"at most {self.room} rows long",
                given=Told(f"{self.waiting} rows that wait and {len(rows)} new ones"),
                remedy="Send it again in a moment, or serve more copies of the bundle.",
                status=503,
            )
        self.waiting += len(rows)
        ticket = Ticket(rows, done)
        self._queue.append(ticket)
        if not self._busy:
            self._busy = True
            # Not at once: the requests that arrived in the same turn of the loop come along.
            self._loop.call_soon(self._next)
        return ticket

    def _next(self) -> None:
        """Run the next batch, if any row waits."""
        pieces, rows = self._take()
        self._busy = bool(pieces)
        if not pieces:
            return
        if self._thread is None or len(rows) <= self._cost.inline:
            try:
                self._settle(pieces, self._attempt(pieces, rows))
            finally:
                self._busy = bool(self._queue)
                if self._queue:
                    self._loop.call_soon(self._next)
        else:
            ran = self._loop.run_in_executor(self._thread, self._attempt, pieces, rows)
            ran.add_done_callback(functools.partial(self._ran, pieces))

    def _ran(self, pieces: list[_Piece], ran: asyncio.Future[list[Any]]) -> None:
        if not ran.cancelled():
            try:
                self._settle(pieces, ran.result())
            finally:
                self._next()

    def _take(self) -> tuple[list[_Piece], list[Row]]:
        """The rows of the next batch, first come first served."""
        pieces: list[_Piece] = []
        rows: list[Row] = []
        rest: list[Ticket] = []
        room = self._cost.rows
        while self._queue and room:
            ticket = self._queue.popleft()
            start, total = ticket.taken, len(ticket.rows)
            if ticket.gone:
                self.waiting -= total - start
                continue
            if total - start <= room:
                stop = total
                rows += ticket.rows[start:] if start else ticket.rows
            else:
                stop = start + room
                rows += ticket.rows[start:stop]
                rest.append(ticket)
            ticket.taken = stop
            room -= stop - start
            pieces.append((ticket, start, stop))
        self._queue.extend(rest)
        self.waiting -= len(rows)
        return pieces, rows

    def _attempt(self, pieces: list[_Piece], rows: list[Row]) -> list[Any]:
        """One list of answers or one error per piece."""
        try:
            answers = self._run(rows)
        except Exception as bad:  # whatever a model or a column raises belongs to the request that caused it
            if len(pieces) == 1:
                return [_in_request(bad, pieces[0][1])]
            return [self._attempt([piece], piece[0].rows[piece[1] : piece[2]])[0] for piece in pieces]
        cut: list[Any] = []
        at = 0
        for _, start, stop in pieces:
            cut.append(answers[at : at + stop - start])
            at += stop - start
        return cut

    def _settle(self, pieces: list[_Piece], results: list[Any]) -> None:
        for (ticket, _, stop), result in zip(pieces, results, strict=True):
            if ticket.gone:
                continue
            if isinstance(result, Exception):
                ticket.gone = True
                ticket.done(result)
                continue
            ticket.answers = ticket.answers + result if ticket.answers else result
            if stop == len(ticket.rows):
                ticket.gone = True
                ticket.done(ticket.answers)


_Piece = tuple[Ticket, int, int]  # rows start..stop of a request


def _timed(run: Run, rows: list[Row]) -> float:
    began = time.perf_counter()
    run(rows)
    return time.perf_counter() - began


def _in_request(bad: Exception, start: int) -> Exception:
    """An error about row k of a piece, as one about row `start + k` of its request."""
    row = re.fullmatch(r"row (\d+)", bad.where) if start and isinstance(bad, ValueRejected) else None
    if row is None or not isinstance(bad, ValueRejected):
        return bad
    return ValueRejected(bad.subject, rule=bad.rule, given=Told(bad.given), remedy=bad.remedy, where=f"row {start + int(row[1])}")
