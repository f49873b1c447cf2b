"""Sliding windows over the rows of entities, in numpy: where each begins and ends, and exact sums and distinct values within.

Rows stand in the order of their entities, times and places in the table (suffix _P) and are worked on part by part, each part some
whole entities and small enough for a processor's cache. Windows are ranges [begin, end) of a part; both ends only grow from row to
row, which is what makes each of these linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ROWS = 32_768  # about as many rows make a part
_SPLITTER = 2.0**27 + 1  # Veltkamp: halves a double into 26 bits each


@final
class Part:
    """Rows of whole entities, one after another, each entity's in the order of time; `order` says which rows of the table they are.

    >>> part = Part(np.array([1, 2, 0]), np.array([5, 3, 5]), np.array([0, 1, 1]))
    >>> part.after(2).tolist(), part.after(3).tolist(), part.first_P.tolist(), part.longest
    ([0, 1, 2], [0, 1, 1], [0, 1, 1], 2)
    """

    def __init__(self, order: Ints, time_P: Ints, codes_P: Ints) -> None:
        self.order, self.time_P = order, time_P
        starts = np.flatnonzero(np.diff(codes_P, prepend=-1))
        lengths = np.diff(starts, append=len(order))
        self.entity_P = np.repeat(np.arange(len(starts)), lengths)
        self.first_P = np.repeat(starts, lengths)
        self.longest = int(lengths.max(initial=0))
        self.places = np.arange(len(order) + 1)
        self._since_P = time_P - (int(time_P.min()) if len(time_P) else 0)
        self._after: dict[int, Ints] = {}

    def __len__(self) -> int:
        return len(self.order)

    def after(self, offset: int) -> Ints:
        """For each row at t the first place of its entity whose time is after t - offset."""
        if offset not in self._after:
            room = int(self._since_P.max(initial=0)) + offset + 1  # entities lie so far apart that no window reaches another
            key = self.entity_P * room + self._since_P
            self._after[offset] = np.searchsorted(key, key - offset, side="right")
        return self._after[offset]


def parts(codes_N: Ints, time_N: Ints, *, by_time: Ints, longest: int) -> Iterator[Part]:
    """All rows with an entity, in parts.

    `codes_N` are non-negative numbers of the entities, -1 for rows that have none and are left out; `time_N` are whole numbers, `by_time`
    the order of the rows by them, and `longest` the largest offset that will be asked for.

    >>> line = next(parts(np.array([1, 0, 1, -1]), np.array([5, 5, 3, 4]), by_time=np.array([2, 3, 0, 1]), longest=9))
    >>> line.order.tolist(), line.entity_P.tolist()
    ([1, 2, 0], [0, 1, 1])
    """
    codes = codes_N[by_time]
    if codes.size and codes.min() < 0:
        by_time, codes = by_time[codes >= 0], codes[codes >= 0]
    if not codes.size:
        return
    placed = stable_order(codes)
    order, codes_P = by_time[placed], codes[placed]
    starts = np.flatnonzero(np.diff(codes_P, prepend=-1))
    most = max(1, 2**62 // (int(time_N.max()) - int(time_N.min()) + longest + 1))  # entities whose times one key of 63 bits holds
    entity = 0
    while entity < len(starts):
        begin = int(starts[entity])
        entity = min(entity + most, max(entity + 1, int(np.searchsorted(starts, begin + ROWS))))
        end = int(starts[entity]) if entity < len(starts) else len(order)
        rows = order[begin:end]
        yield Part(rows, time_N[rows], codes_P[begin:end])


@final
class ExactSums:
    """Sums of doubles over any windows, exact and then rounded once, whatever else the column holds.

    Each double is cut into whole numbers of b bits (limbs) on grids 2^k, 2^(k - b), ... until nothing is left; with b so small that no
    window's sum of limbs reaches 2^53. Differences of the limbs' running sums are whole numbers, so nothing is lost in them, and
    one or two limbs, as money needs, are put together in one correctly rounded addition. With more the result is within 2^-100 of the
    limbs' sum before it is rounded. `parts` are added up value by value; `longest` is how many rows a window has at most.

    >>> sums = ExactSums([np.array([1e16, 0.1, 0.2, -1e16])], longest=4)
    >>> sums.over(np.array([0, 1, 0]), np.array([2, 3, 4]))[0].tolist()
    [1e+16, 0.30000000000000004, 0.30000000000000004]
    """

    def __init__(self, parts: list[Floats], *, longest: int) -> None:
        bits = 52 - longest.bit_length()
        parts = [part for part in parts if part.any()]
        largest = max((float(np.abs(part).max()) for part in parts), default=0.0)
        power = int(np.frexp(largest)[1]) - bits
        self.limbs: list[tuple[int, Ints]] = []
        while parts:
            running = np.zeros(len(parts[0]) + 1, dtype=np.int64)
            rests: list[Floats] = []
            for part in parts:
                limb = np.rint(_scaled(part, -power))
                rests.append(part - _scaled(limb, power))
                running[1:] += limb.astype(np.int64)
            np.cumsum(running, out=running)  # may wrap around, which differences undo
            self.limbs.append((power, running))
            power -= bits
            parts = [rest for rest in rests if rest.any()]

    def over(self, begin: Ints, end: Ints) -> tuple[Floats, Floats]:
        """The sum over each [begin, end) as the nearest double, and what that rounding left."""
        high, low = np.zeros(len(begin)), np.zeros(len(begin))
        for at, (power, running) in enumerate(self.limbs):
            limb = _scaled((running[end] - running[begin]).astype(np.float64), power)
            if at == 0:
                high = limb
            else:
                high, rest = _two_sum(high, limb)
                low += rest
        return _two_sum(high, low) if len(self.limbs) > 1 else (high, low)


def squares(x: Floats) -> list[Floats]:
    """Two doubles that add up to x^2 without error, for |x| between 1e-130 and 1e150 (Dekker 1971).

    >>> high, low = squares(np.array([0.1]))
    >>> from fractions import Fraction
    >>> Fraction(high[0]) + Fraction(low[0]) == Fraction(0.1) ** 2
    True
    """
    return list(_two_product(x, x))


def deviation(n: Ints, sums: tuple[Floats, Floats], squared: tuple[Floats, Floats]) -> Floats:
    """√((n Σx² - (Σx)²) / (n (n - 1))) from sums with their rests; NaN for less than two values.

    The difference is taken in twice the precision: its error is 2^-50 of the root mean square, or less. What is below that is 0.
    """
    count = np.maximum(n, 2).astype(np.float64)
    many, many_rest = _two_product(count, squared[0])
    square, square_rest = _two_product(sums[0], sums[0])
    high, low = _two_sum(many, -square)
    difference = high + (low + (many_rest + count * squared[1] - square_rest - 2 * sums[0] * sums[1]))
    difference[difference <= many * 2.0**-100] = 0.0
    return np.where(n < 2, np.nan, np.sqrt(difference / (count * (count - 1))))


def distinct(part: Part, codes_P: Ints, begin: Ints, end: Ints) -> Ints:
    """How many different codes of 0 and more there are in each [begin, end); -1 is no value.

    A window holds as many different values as values, less those whose previous occurrence, at place q, it holds as well. The value
    at p repeats the one at q for the rows i with begin_i <= q and end_i > p: since both ends only grow these are one range of rows, so
    that +1 where each range begins, -1 where it ends, and a running sum count the repeats of all windows at once.

    >>> part = Part(np.arange(4), np.arange(4), np.zeros(4, np.int64))
    >>> distinct(part, np.array([7, 8, 7, -1]), np.array([0, 0, 0, 1]), np.array([1, 2, 3, 4])).tolist()
    [1, 2, 2, 2]
    """
    present = np.flatnonzero(codes_P >= 0)
    held = present[stable_order(codes_P[present])]  # by value, then as they stand
    again = (codes_P[held[1:]] == codes_P[held[:-1]]) & (part.entity_P[held[1:]] == part.entity_P[held[:-1]])
    previous = np.full(len(part), -1)
    previous[held[1:][again]] = held[:-1][again]
    repeats_p = np.flatnonzero(previous >= 0)
    enters = _rows_up_to(end, len(part))[repeats_p]
    leaves = _rows_up_to(begin, len(part))[previous[repeats_p]]
    seen = enters < leaves
    size = len(part) + 1
    repeats = np.cumsum(np.bincount(enters[seen], minlength=size) - np.bincount(leaves[seen], minlength=size))[:-1]
    values = counts(codes_P >= 0)
    return values[end] - values[begin] - repeats


def counts(mask_P: NDArray[np.bool_]) -> Ints:
    """Running counts with a leading 0, so that the trues of [begin, end) are counts[end] - counts[begin]."""
    running = np.zeros(len(mask_P) + 1, dtype=np.int64)
    np.cumsum(mask_P, out=running[1:])
    return running


def newest(mask_P: NDArray[np.bool_], begin: Ints, end: Ints) -> Ints:
    """The last true place in each [begin, end), or -1."""
    last = np.full(len(mask_P) + 1, -1)
    np.maximum.accumulate(np.where(mask_P, np.arange(len(mask_P)), -1), out=last[1:])
    found = last[end]
    return np.where(found >= begin, found, -1)


def in_time(time_N: Ints) -> Ints:
    """The order by time, equal times as they stand."""
    if len(time_N) < 2 or bool((time_N[1:] >= time_N[:-1]).all()):
        return np.arange(len(time_N))
    return np.argsort(time_N, kind="stable")


def stable_order(codes: Ints) -> Ints:
    """The order by non-negative codes, equal ones as they stand: by radix, 16 bits at a time, which is linear."""
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    shifted = codes >> 16
    while shifted.any():
        order = order[np.argsort((shifted[order] & 0xFFFF).astype(np.uint16), kind="stable")]
        shifted = shifted >> 16
    return order


def _rows_up_to(edges: Ints, size: int) -> Ints:
    """At x the number of rows whose edge is x or less, for x in 0..size."""
    return np.cumsum(np.bincount(edges, minlength=size + 1))


def _scaled(x: Floats, power: int) -> Floats:
    """x 2^power, exact unless it underflows."""
    return x * 2.0**power if abs(power) < 1000 else np.ldexp(x, power)


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The rounded sum and its error (Knuth)."""
    total = a + b
    shown = total - a
    return total, (a - (total - shown)) + (b - shown)


def _two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The rounded product and its error (Dekker, Veltkamp)."""
    product = a * b
    a_high, b_high = _SPLITTER * a, _SPLITTER * b
    a_high, b_high = a_high - (a_high - a), b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
