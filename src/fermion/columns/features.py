"""What a declared feature in time means, and its row form: a stream of rows in, the same rows with their features out.

Rows are ordered by time; rows at the same moment by their place in the table, or their arrival in the stream. For row i of entity
e_i at time t_i, with window w (infinite where none is declared), the rows that count are

- without delay:     A_i = {j up to i and with it: e_j = e_i, t_j > t_i - w},      B_i = A_i without row i itself
- with a delay d:    A_i = B_i = {j: e_j = e_i, t_i - d - w < t_j <= t_i - d}, so the row itself never

and with X(R) the values of `of` in the rows R that are not missing, n their number and m their mean:

- count = |A|        sum = ΣX(A)        mean = ΣX(A) / n        deviation = √(Σ(x - m)² / (n - 1)), of two values or more
- distinct = |{X(A)}|        last = the newest of X(B)        since = t_i - t of the newest row in B, in seconds
- ratio = x_i / m(B), missing where that mean is 0

Where there is nothing to take stands `fill`; without it 0 for count, sum and distinct, and missing for the others. A row whose entity
is missing belongs to nobody: its features are `fill` or missing, and no other row sees it. Sums are those of `math.fsum`: exact, then
rounded once, so they depend neither on the order nor on what has left the window. Truth values count as 0 and 1.

The batch form is `fermion.data.features`; `fermion.testing.features` holds the two together.
"""

from __future__ import annotations

import datetime as dt
import heapq
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import msgspec
import numpy as np

from fermion.columns.column import is_missing
from fermion.columns.panes import OWN, Entity, Pane, micros, span_of
from fermion.core.declared import Feature
from fermion.core.errors import DataError, SpecError, Told, UsageError, ValueRejected, did_you_mean

LIMIT = 1e150  # the largest magnitude that is aggregated: its square is still a number
NUMBER = f"a number between -{LIMIT:g} and {LIMIT:g}, or missing"
ZERO = ("count", "sum", "distinct")  # what is 0 of nothing
WHOLE = ("count", "distinct")  # what is a whole number

_Key = tuple[Any, ...]
_Read = tuple[_Key | None, tuple[Any, ...]]  # whose row it is, None for nobody's, and the values of the inputs

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def name_of(feature: Feature) -> str:
    """The name of the new column.

    >>> name_of(Feature(take="mean", of="amount", by="customer", window="7d"))
    'amount_mean_by_customer_7d'
    >>> name_of(Feature(take="count", by=("shop", "till"), window="1d", delay="12h")), name_of(Feature(ratio=("paid", "billed")))
    ('count_by_shop_and_till_1d_after_12h', 'paid / billed')
    """
    if feature.name is not None:
        return feature.name
    if feature.ratio is not None:
        return " / ".join(feature.ratio)
    if feature.difference is not None:
        return " - ".join(feature.difference)
    by = "_and_".join(entity_of(feature))
    parts = (feature.of, feature.take, by and f"by_{by}", _short(feature.window), feature.delay and f"after_{_short(feature.delay)}")
    return "_".join(part for part in parts if part)


def entity_of(feature: Feature) -> tuple[str, ...]:
    """The columns that name the entity; none where the whole table is one.

    >>> entity_of(Feature(take="count", by="shop")), entity_of(Feature(take="count"))
    (('shop',), ())
    """
    return (feature.by,) if isinstance(feature.by, str) else feature.by or ()


def check(features: Sequence[Feature], *, known: Iterable[str] | None = None, targets: Iterable[str] = (), where: str = "") -> None:
    """Refuse declarations whose words do not belong together; with `known`, also columns that are not there.

    `targets` are what is to be predicted: a feature that takes a target needs a delay, else it would see the row's own answer.

    >>> check([Feature(take="mean", by="customer")])
    Traceback (most recent call last):
    fermion.core.errors.SpecError: data.features[0].of must be the column that `mean` is taken of, got nothing.

    Raises:
        SpecError: a feature that cannot be, or two of one name.
    """
    columns, answers = None if known is None else tuple(known), set(targets)
    names: dict[str, str] = dict.fromkeys(columns or (), "a column")
    for number, feature in enumerate(features):
        at = f"data.features[{number}]"
        _check_one(feature, at, answers, where)
        name = name_of(feature)
        if name in names:
            told = Told(f"`{name}`, the name of {names[name]}")
            raise SpecError(f"{at}.name", rule="a name of its own", given=told, remedy="Give it another `name`.", where=where)
        names[name] = at
        taken = () if feature.take is None or columns is None else (feature.of, *entity_of(feature))
        missing = next((column for column in taken if column is not None and column not in (columns or ())), None)
        if missing is not None:
            word, near = "of" if missing == feature.of else "by", did_you_mean(missing, columns or ())
            raise SpecError(f"{at}.{word}", rule="a column of the table", given=missing, remedy=near, where=where)


def _check_one(feature: Feature, at: str, targets: set[str], where: str) -> None:
    def wrong(word: str, rule: str, given: object, remedy: str = "") -> SpecError:
        return SpecError(at + word, rule=rule, given=given, remedy=remedy, where=where)

    kinds = [word for word in ("take", "ratio", "difference") if getattr(feature, word) is not None]
    if len(kinds) != 1:
        told = Told(" and ".join(kinds) if kinds else "none of them")
        remedy = "`take: ratio` is over the entity's past, `ratio: [a, b]` of two columns of the row." if "ratio" in kinds else ""
        raise wrong("", "one of take, ratio and difference", told, remedy)
    if feature.take is None:
        for word in ("of", "by", "window", "delay"):
            if getattr(feature, word) is not None:
                raise wrong(f".{word}", f"left out: `{kinds[0]}` is of the row alone", getattr(feature, word))
        return
    if feature.take in ("count", "since") and feature.of is not None:
        raise wrong(".of", f"left out: `{feature.take}` looks at rows, not at values", feature.of, "`distinct` counts different values.")
    if feature.take not in ("count", "since") and feature.of is None:
        raise wrong(".of", f"the column that `{feature.take}` is taken of", Told("nothing"))
    for word in ("window", "delay"):
        duration = getattr(feature, word)
        if duration is not None and micros(duration) == 0:
            raise wrong(f".{word}", "longer than 0", duration, "Leave it out.")
    if feature.fill is not None and not math.isfinite(feature.fill):
        raise wrong(".fill", "a finite number", feature.fill)
    if feature.of in targets and feature.delay is None and feature.take in (*OWN, "ratio"):
        remedy = "Say how long it takes until it is known, as in `delay: 7d`."
        raise wrong(".delay", f"given: `{feature.of}` is what is to be predicted", Told("nothing"), remedy)


def moment(value: object, *, where: str = "") -> int:
    """A time as whole microseconds since 1970: ISO 8601 text, datetime, date, numpy.datetime64, or a number of seconds.

    >>> moment("1970-01-01T00:00:01.5Z"), moment(1.5)
    (1500000, 1500000)

    Raises:
        ValueRejected: it is missing, or no time.
    """
    try:
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        if isinstance(value, np.datetime64) and not np.isnat(value):
            return int(value.astype("datetime64[us]").astype(np.int64))
        if isinstance(value, dt.date):
            if not isinstance(value, dt.datetime):
                value = dt.datetime(value.year, value.month, value.day)
            return ((value if value.tzinfo else value.replace(tzinfo=dt.UTC)) - _EPOCH) // dt.timedelta(microseconds=1)
    except ValueError:
        value = str(value)
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool) and abs(value) <= 9e12:
        return int(value) * 1_000_000 if isinstance(value, int | np.integer) else round(float(value) * 1e6)
    raise ValueRejected("a row's time", rule="ISO 8601 text, a date, or seconds since 1970", given=value, where=where)


@final
class Stream:
    """Features row by row, with a state that the windows bound. Rows may arrive up to `lateness` seconds out of order.

    A row is finished, and comes back with its features, once no row before it can arrive: when its time is `lateness` or more before
    the newest that was seen. With the default of 0 that is at once. A row that is later than allowed is refused and changes nothing.

    What is kept: rows until they have left every window (d + w), and the entities they belong to. An entity without rows vanishes. A
    feature without a window keeps running totals for each entity instead (and for `distinct` its different values), for ever.
    Values are plain (text, numbers, truth values), so that `state` is JSON.

    >>> stream = Stream([Feature(take="mean", of="amount", by="card", window="1h", name="usual")], time="at", lateness=60)
    >>> stream.push({"at": 0, "card": "a", "amount": 1.0}), stream.push({"at": 100, "card": "a", "amount": 4.0})
    ([], [{'at': 0, 'card': 'a', 'amount': 1.0, 'usual': 1.0}])
    >>> stream.push({"at": 50, "card": "a", "amount": 2.0}), [row["usual"] for row in stream.flush()]
    ([], [1.5, 2.3333333333333335])

    Raises:
        SpecError: a declaration that cannot be, or one without `take`.
    """

    def __init__(self, features: Sequence[Feature], *, time: str, lateness: float = 0.0) -> None:
        check(features)
        for at, feature in enumerate(features):
            if feature.take is None:
                raise SpecError(f"data.features[{at}]", rule="a feature in time, with `take`", given=Told(f"`{name_of(feature)}`"))
        if not 0 <= lateness < math.inf:
            raise UsageError("lateness", rule="0 or a positive number of seconds", given=lateness)
        self.features, self.time = tuple(features), time
        self._lateness = round(lateness * 1e6)
        self._names = tuple(name_of(feature) for feature in features)
        self._groups = [_Group(by, self.features) for by in dict.fromkeys(entity_of(feature) for feature in features)]
        self._waiting: list[tuple[int, int, dict[str, Any], list[_Read]]] = []  # time, place, the row, and what each group read of it
        self._arrived = 0
        self._newest: int | None = None  # the newest time that was seen
        self._closed: int | None = None  # rows before this moment are out

    @property
    def size(self) -> int:
        """How much is held: rows that wait, rows in windows, entities and, of features without a window, different values."""
        return len(self._waiting) + sum(group.size for group in self._groups)

    def push(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One more row in; out come the rows that it finishes, in the order of their times, with their features.

        Raises:
            DataError: a column is not there, a value cannot be taken, or the row comes too late; nothing has changed then.
        """
        at = moment(_value(row, self.time))
        if self._closed is not None and at < self._closed:
            late = f"{(self._closed - at) / 1e6:g} s before what is finished"
            remedy = "Allow more `lateness`, or set such rows aside."
            raise DataError("a row's time", rule="within the allowed lateness", given=Told(late), remedy=remedy)
        taken = next((name for name in self._names if name in row), None)
        if taken is not None:
            raise DataError("the features of a row", rule="no columns that it has", given=taken, remedy="Name the feature otherwise.")
        heapq.heappush(self._waiting, (at, self._arrived, dict(row), [group.read(row) for group in self._groups]))
        self._arrived += 1
        self._newest = at if self._newest is None else max(at, self._newest)
        return self._release(self._newest - self._lateness)

    def flush(self) -> list[dict[str, Any]]:
        """Finish the rows that wait; from now on, rows before the newest of them are late."""
        return [] if self._newest is None else self._release(self._newest)

    def _release(self, until: int) -> list[dict[str, Any]]:
        self._closed = until if self._closed is None else max(until, self._closed)
        finished: list[dict[str, Any]] = []
        while self._waiting and self._waiting[0][0] <= until:
            at, _, row, reads = heapq.heappop(self._waiting)
            made: dict[str, Any] = {}
            for group, (key, values) in zip(self._groups, reads, strict=True):
                made |= group.take(at, key, values)
            finished.append(row | {name: made[name] for name in self._names})
        return finished

    @property
    def state(self) -> dict[str, Any]:
        """All that is held, as plain values that JSON can carry; rows that wait are saved as they were pushed."""
        return {
            "made_of": msgspec.json.encode(self.features).decode(),
            "newest": self._newest,
            "closed": self._closed,
            "waiting": [waiting[2] for waiting in sorted(self._waiting, key=lambda one: one[:2])],
            "groups": [group.state(self._closed or 0) for group in self._groups],
        }

    def restore(self, state: Mapping[str, Any]) -> Stream:
        """This stream, with what another one of the same declarations held.

        >>> counts = Feature(take="count", by="card", name="n")
        >>> stream = Stream([counts], time="at")
        >>> _ = stream.push({"at": 1, "card": "a"})
        >>> Stream([counts], time="at").restore(stream.state).push({"at": 2, "card": "a"})
        [{'at': 2, 'card': 'a', 'n': 2}]

        Raises:
            UsageError: the state is that of other features.
        """
        if state["made_of"] != msgspec.json.encode(self.features).decode():
            raise UsageError("the state", rule="that of a stream with the same features", given=Told("other declarations"))
        self._newest, self._closed = state["newest"], state["closed"]
        self._waiting = [
            (moment(_value(row, self.time)), at, dict(row), [group.read(row) for group in self._groups])
            for at, row in enumerate(state["waiting"])
        ]
        self._arrived = len(self._waiting)
        for group, held in zip(self._groups, state["groups"], strict=True):
            group.restore(held, self._closed or 0)
        return self


def is_numeric(feature: Feature) -> bool:
    """Whether it is taken of numbers alone: arithmetic, and what a number is filled into.

    >>> is_numeric(Feature(take="last", of="city")), is_numeric(Feature(take="last", of="price", fill=0.0))
    (False, True)
    """
    return feature.take in ("sum", "mean", "deviation", "ratio") or (feature.take == "last" and feature.fill is not None)


def nothing(feature: Feature, *, nobody: bool = False) -> float | int | None:
    """What stands where there is nothing to take, or where the row is nobody's.

    >>> nothing(Feature(take="count")), nothing(Feature(take="count"), nobody=True), nothing(Feature(take="mean", of="x", fill=0.5))
    (0, None, 0.5)
    """
    if feature.fill is not None:
        return int(feature.fill) if feature.take in WHOLE and feature.fill == int(feature.fill) else feature.fill
    return None if nobody or feature.take not in ZERO else 0 if feature.take in WHOLE else 0.0


class _Group:
    """The features of one kind of entity, and what is held of each entity."""

    def __init__(self, by: tuple[str, ...], features: Iterable[Feature]) -> None:
        self.by = by
        self.features = [feature for feature in features if entity_of(feature) == by]
        self.inputs = list(dict.fromkeys((feature.of, is_numeric(feature)) for feature in self.features if feature.of is not None))
        self.horizon = max(delay + (window or 0) for window, delay in map(span_of, self.features))
        self.forever = any(feature.window is None for feature in self.features)
        self.entities: dict[_Key, Entity] = {}
        self.leaving: deque[tuple[int, _Key]] = deque()  # when each held row came, and whose it is

    @property
    def size(self) -> int:
        return sum(1 + len(one) + sum(len(pane.seen) for pane in one.panes if pane.window is None) for one in self.entities.values())

    def read(self, row: Mapping[str, Any]) -> _Read:
        """The entity, None where it is missing, and the values of the inputs."""
        key = tuple(_plain(row, name) for name in self.by)
        values = tuple(_number(row, name) if numeric else _plain(row, name) for name, numeric in self.inputs)
        return (None if any(part is None for part in key) else key), values

    def take(self, now: int, key: _Key | None, values: tuple[Any, ...]) -> dict[str, Any]:
        """The features of the next row, which counts from now on."""
        while self.leaving and self.leaving[0][0] <= now - self.horizon:
            self._forget(self.leaving.popleft()[1], now)
        if key is None:
            return {name_of(feature): nothing(feature, nobody=True) for feature in self.features}
        if key not in self.entities:
            self.entities[key] = self.fresh()
        self.leaving.append((now, key))
        taken = self.entities[key].take(now, values)
        pairs = zip(self.features, taken, strict=True)
        return {name_of(feature): nothing(feature) if value is None else value for feature, value in pairs}

    def _forget(self, key: _Key, now: int) -> None:
        one = self.entities.get(key)
        if one is not None:
            one.advance(now)
            if not len(one) and not self.forever:
                del self.entities[key]

    def fresh(self) -> Entity:
        at = [self.inputs.index((one.of, is_numeric(one))) if one.of is not None else -1 for one in self.features]
        return Entity([Pane(feature, index) for feature, index in zip(self.features, at, strict=True)])

    def state(self, now: int) -> list[Any]:
        held = [[list(key), *one.state(now)] for key, one in self.entities.items()]
        return [one for one in held if self.forever or one[1]]

    def restore(self, held: Iterable[Any], now: int) -> None:
        self.entities = {tuple(key): self.fresh().restore(rows, totals, now) for key, rows, totals in held}
        times = [(row[0], key) for key, one in self.entities.items() for row in one.rows if row is not None]
        self.leaving = deque(sorted(times, key=lambda pair: pair[0]))


def _value(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        shown = Told(", ".join(row) or "no columns")
        raise DataError("a row", rule=f"given with the column `{name}`", given=shown, remedy=did_you_mean(name, row))
    return row[name]


def _plain(row: Mapping[str, Any], name: str) -> Any:
    value = _value(row, name)
    if is_missing(value):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float):
        rule = "text, a number or a truth value"
        raise ValueRejected(f"the value of `{name}`", rule=rule, given=value, remedy="Write times as ISO 8601 text.")
    return value


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = _plain(row, name)
    if isinstance(value, str) or (value is not None and not abs(value) <= LIMIT):
        raise ValueRejected(f"the value of `{name}`", rule=NUMBER, given=value)
    return None if value is None else float(value)


def _short(duration: str | None) -> str:
    return "" if duration is None else "".join(duration.split()).replace(".", "_")
