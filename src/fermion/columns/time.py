"""A moment."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Coded, Slot, Values, is_missing, rejected

RULE = 'a date or time as ISO 8601 text ("2026-03-01T12:00:00") or null'
DAY = 86_400.0
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}

Part = Literal["elapsed", "hour", "weekday", "day", "yearday"]
ALL: tuple[Part, ...] = ("elapsed", "hour", "weekday", "day", "yearday")


class Time(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="time"):
    """A moment as numbers that a model can use: days since `origin`, hour (0-24), weekday (0 is Monday), day of month and of year.

    Only the parts that vary in the training part are kept. Moments without a zone are UTC. ISO 8601 text, `datetime`, `date` and
    `numpy.datetime64` are read; numbers only where `unit` says what they count since 1970.

    >>> time = Time().fit(["2026-03-01T06:00:00", "2026-03-01T18:00:00"])
    >>> time.parts, [slot.tolist() for slot in time.encode(["2026-03-01T12:00:00"])]
    (('elapsed', 'hour'), [[0.25], [12.0]])
    """

    unit: Literal["s", "ms", "us"] | None = None
    origin: float = 0.0  # seconds since 1970
    parts: tuple[Part, ...] = ALL

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(Slot(name=part, dtype="float32") for part in self.parts)

    @property
    def request(self) -> Any:
        return str if self.unit is None else float

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Time:
        seconds_N = self.seconds(values)
        seconds_N = seconds_N[~np.isnan(seconds_N)]
        if not seconds_N.size:
            return Time(unit=self.unit, parts=("elapsed",))
        origin = float(seconds_N.min())
        varying: tuple[Part, ...] = tuple(part for part in ALL if part in self.parts and np.ptp(_part(part, seconds_N, origin)) > 0)
        return Time(unit=self.unit, origin=origin, parts=varying or ("elapsed",))

    def encode(self, values: Values) -> tuple[NDArray[np.float32], ...]:
        seconds_N = self.seconds(values)
        return tuple(_part(part, seconds_N, self.origin).astype(np.float32) for part in self.parts)

    def plain(self, value: object) -> object:
        seconds = self._second(value, [value], 0)
        if seconds != seconds:
            return None
        if isinstance(value, str | int | float):
            return value.item() if isinstance(value, np.generic) else value
        if isinstance(value, np.number):
            return value.item()
        if self.unit is not None:  # a moment of some library, where requests hold numbers
            return seconds * _PER_SECOND[self.unit]
        return value.isoformat() if isinstance(value, dt.date) else str(np.datetime64(cast("Any", value), "us"))

    def seconds(self, values: Values) -> NDArray[np.float64]:
        """Values -> (N,) float64 seconds since 1970 in UTC, NaN where missing.

        >>> Time().seconds(["1970-01-02", None]).tolist()
        [86400.0, nan]

        Raises:
            ValueRejected: a value is no moment.
        """
        if isinstance(values, Coded):
            return values.each(self.seconds)
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            micros_N = values.astype("datetime64[us]")
            seconds_N = micros_N.astype(np.int64) / 1e6
            seconds_N[np.isnat(micros_N)] = np.nan
            return seconds_N
        seconds_N = np.empty(len(values), dtype=np.float64)
        for row, value in enumerate(values):
            seconds_N[row] = self._second(value, values, row)
        return seconds_N

    def _second(self, value: Any, values: Values, row: int) -> float:
        if is_missing(value):
            return np.nan
        if isinstance(value, np.datetime64):
            return float(value.astype("datetime64[us]").astype(np.int64)) / 1e6
        if self.unit is not None:
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not abs(value) < 1e17:
                raise rejected(values, row, f"a number of {self.unit} since 1970 or null")
            return float(value) / _PER_SECOND[self.unit]
        if isinstance(value, str):
            try:
                value = dt.datetime.fromisoformat(value)
            except ValueError:
                raise rejected(values, row, RULE) from None
        if isinstance(value, dt.datetime):
            return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).timestamp()
        if isinstance(value, dt.date):
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC).timestamp()
        raise rejected(values, row, RULE)


def _part(part: Part, seconds_N: NDArray[np.float64], origin: float) -> NDArray[np.float64]:
    if part == "elapsed":
        return (seconds_N - origin) / DAY
    if part == "hour":
        return seconds_N % DAY / 3600.0
    days_N = np.floor(seconds_N / DAY)
    if part == "weekday":
        return (days_N + 3) % 7  # 1970-01-01 was a Thursday
    date_N = np.where(np.isnan(days_N), 0, days_N).astype(np.int64).astype("datetime64[D]")
    start_N = date_N.astype("datetime64[M]" if part == "day" else "datetime64[Y]").astype("datetime64[D]")
    return np.where(np.isnan(days_N), np.nan, (date_N - start_N).astype(np.float64) + 1)
