"""What a stream holds of one entity: its rows that still count, and for each feature the aggregate of those in its window."""

from __future__ import annotations

import math
from typing import Any, Self

from fermion.core.declared import Feature, seconds

OWN = ("count", "sum", "mean", "deviation", "distinct")  # what sees the row itself where there is no delay
BITS = 1074  # every double is a whole number of 2^-1074

Row = tuple[int, tuple[Any, ...]]  # a time in microseconds and the values of the inputs


def micros(duration: str) -> int:
    """A declared duration in whole microseconds, as all times are counted here.

    >>> micros("1.5s")
    1500000
    """
    return round(seconds(duration) * 1e6)


def span_of(feature: Feature) -> tuple[int | None, int]:
    """Window (None: all of the past) and delay (0: none) in microseconds.

    >>> span_of(Feature(take="count", window="1s"))
    (1000000, 0)
    """
    return None if feature.window is None else micros(feature.window), 0 if feature.delay is None else micros(feature.delay)


class Pane:
    """One feature of one entity: the rows from `low` up to `high` are in its window. Both only move on.

    Sums are whole numbers of 2^-1074, and so exact: what leaves the window takes away just what it brought.
    """

    __slots__ = ("at", "delay", "high", "latest", "low", "n", "own", "rows", "seen", "squares", "sum", "take", "window")

    def __init__(self, feature: Feature, at: int) -> None:
        assert feature.take is not None
        self.take, self.at = feature.take, at  # `at`: which input it takes, -1 for none
        self.window, self.delay = span_of(feature)
        self.own = feature.take in OWN and not self.delay  # whether a row sees itself
        self.low = self.high = 0
        self.rows = self.n = 0  # all rows in the window, and those whose value is there
        self.sum = self.squares = 0
        self.seen: dict[Any, int] = {}
        self.latest: tuple[int, Any] | None = None

    def move(self, rows: list[Row | None], base: int, now: int) -> None:
        """Let in what is known at `now`, and let out what is too old; `base` is the number of the first of `rows`."""
        known, end = now - self.delay, base + len(rows)
        while self.high < end and (row := rows[self.high - base]) is not None and row[0] <= known:
            self._count(row, 1)
            self.high += 1
        if self.window is None:
            self.low = self.high
            return
        while self.low < self.high and (row := rows[self.low - base]) is not None and row[0] <= known - self.window:
            self._count(row, -1)
            self.low += 1

    def _count(self, row: Row, sign: int) -> None:
        self.rows += sign
        value = row[1][self.at] if self.at >= 0 else True
        if value is None:
            return
        if self.take in ("last", "since"):
            self.latest = (row[0], value) if sign > 0 else self.latest
        elif self.take == "distinct":
            held = self.seen.get(value, 0) + sign
            if held:
                self.seen[value] = held
            else:
                del self.seen[value]
        elif self.take != "count":
            self.n += sign
            x = exact(value)
            self.sum += sign * x
            if self.take == "deviation":
                self.squares += sign * x * x

    def value(self, now: int, own: Any) -> Any:
        """What the feature is for a row at `now` with the value `own`; None where there is nothing to take."""
        match self.take:
            case "count":
                return self.rows or None
            case "distinct":
                return len(self.seen) or None
            case "sum":
                return rounded(self.sum) if self.n else None
            case "mean":
                return rounded(self.sum) / self.n if self.n else None
            case "deviation":
                if self.n < 2:
                    return None
                variance = (self.n * self.squares - self.sum * self.sum) / ((self.n * (self.n - 1)) << 2 * BITS)
                return math.sqrt(variance)
            case "ratio":
                mean = rounded(self.sum) / self.n if self.n else 0.0
                return own / mean if mean and own is not None else None
            case _:
                if self.latest is None or (self.window is not None and self.latest[0] <= now - self.delay - self.window):
                    return None
                return self.latest[1] if self.take == "last" else (now - self.latest[0]) / 1e6

    @property
    def totals(self) -> list[Any]:
        """What no row that is held could tell any more, of a feature without a window."""
        return [self.rows, self.n, f"{self.sum:x}", f"{self.squares:x}", list(self.seen), self.latest and list(self.latest)]

    def restore(self, totals: list[Any], known: int) -> None:
        """Go on from `totals`, in which the first `known` held rows are already counted."""
        self.rows, self.n, self.sum, self.squares = totals[0], totals[1], int(totals[2], 16), int(totals[3], 16)
        self.seen, self.latest = dict.fromkeys(totals[4], 1), totals[5] and (totals[5][0], totals[5][1])
        self.low = self.high = known


class Entity:
    """The rows of one entity that still count, in the order of their times, and the panes that look at them."""

    __slots__ = ("base", "dead", "panes", "rows")

    def __init__(self, panes: list[Pane]) -> None:
        self.panes = panes
        self.rows: list[Row | None] = []
        self.base = self.dead = 0  # the number of the first row, and how many at the front have left

    def __len__(self) -> int:
        return len(self.rows) - self.dead

    def advance(self, now: int) -> None:
        """Bring the panes to `now`, and forget the rows that none of them will ask for."""
        for pane in self.panes:
            pane.move(self.rows, self.base, now)
        gone = min(pane.low for pane in self.panes) - self.base
        for at in range(self.dead, gone):
            self.rows[at] = None
        self.dead = gone
        if 2 * gone >= len(self.rows):  # seldom enough that a row costs the same however many there are
            del self.rows[:gone]
            self.base, self.dead = self.base + gone, 0

    def take(self, now: int, values: tuple[Any, ...]) -> list[Any]:
        """The features of the row at `now`, which counts from now on."""
        self.advance(now)
        before = [None if pane.own else pane.value(now, values[pane.at] if pane.at >= 0 else None) for pane in self.panes]
        self.rows.append((now, values))
        self.advance(now)
        return [pane.value(now, None) if pane.own else value for pane, value in zip(self.panes, before, strict=True)]

    def state(self, now: int) -> list[Any]:
        """Rows and totals as plain values, brought to `now`."""
        self.advance(now)
        rows = [[row[0], list(row[1])] for row in self.rows if row is not None]
        return [rows, [pane.totals if pane.window is None else None for pane in self.panes]]

    def restore(self, rows: list[Any], totals: list[Any], now: int) -> Self:
        """This entity, with what another one held at `now`."""
        self.rows = [(at, tuple(values)) for at, values in rows]
        for pane, held in zip(self.panes, totals, strict=True):
            if held is not None:
                pane.restore(held, sum(at <= now - pane.delay for at, _ in rows))
        self.advance(now)
        return self


def exact(x: float) -> int:
    """A finite double as a whole number of 2^-1074.

    >>> rounded(exact(0.1) + exact(0.2)) == math.fsum([0.1, 0.2])
    True
    """
    numerator, denominator = x.as_integer_ratio()
    return numerator << (BITS + 1 - denominator.bit_length())


def rounded(total: int) -> float:
    """The double nearest to a whole number of 2^-1074."""
    return total / (1 << BITS)
