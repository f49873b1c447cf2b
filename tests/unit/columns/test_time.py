from __future__ import annotations

import datetime as dt
import zoneinfo

import numpy as np
import pytest

from fermion.columns.time import ALL, Time
from fermion.core.errors import ValueRejected

WHOLE = Time(parts=ALL)


def parts(value: object, column: Time = WHOLE) -> dict[str, float]:
    return {slot.name: float(array[0]) for slot, array in zip(column.slots, column.encode([value]), strict=True)}


def test_the_parts_of_a_moment() -> None:
    assert parts("2026-03-01T12:30:00") == {"elapsed": 20513.5208, "hour": 12.5, "weekday": 6.0, "day": 1.0, "yearday": 60.0} | {
        "elapsed": pytest.approx(20513.5208, abs=2e-3)
    }
    assert parts("2024-12-31")["yearday"] == 366
    assert parts("1969-12-31T23:00:00") == {"elapsed": pytest.approx(-1 / 24), "hour": 23, "weekday": 2, "day": 31, "yearday": 365}
    assert all(np.isnan(value) for value in parts(None).values())


def test_the_parts_agree_with_the_calendar() -> None:
    chance = np.random.default_rng(5)
    for seconds in chance.integers(-2_000_000_000, 4_000_000_000, 300).tolist():
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
        found = parts(moment)
        assert found["weekday"] == moment.weekday()
        assert found["day"] == moment.day
        assert found["yearday"] == moment.timetuple().tm_yday
        assert found["hour"] == pytest.approx(moment.hour + moment.minute / 60 + moment.second / 3600, abs=1e-5)


def test_zones_mean_the_same_moment() -> None:
    noon = "2026-07-01T12:00:00"
    tokyo = dt.datetime(2026, 7, 1, 21, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo"))
    same = [
        noon,
        noon + "Z",
        "2026-07-01T14:00:00+02:00",
        "2026-07-01 05:00-07:00",
        tokyo,
        dt.datetime(2026, 7, 1, 12),
        np.datetime64(noon),
    ]
    for array in Time().fit(same).encode(same):
        assert len(set(array.tolist())) == 1


def test_the_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    before = parts(dt.datetime(2026, 3, 1))
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert parts(dt.datetime(2026, 3, 1)) == before
    finally:
        monkeypatch.undo()
        time.tzset()


def test_only_what_varies_is_kept() -> None:
    assert Time().fit(["2026-03-01", "2026-03-02"]).parts == ("elapsed", "weekday", "day", "yearday")
    assert Time().fit(["2026-03-01T01:00", "2026-03-08T01:00"]).parts == ("elapsed", "day", "yearday")
    assert Time().fit(["2026-03-01"]).parts == ("elapsed",)
    assert Time(parts=("hour",)).fit(["2026-03-01T01:00", "2026-03-02T02:00"]).parts == ("hour",)


def test_seconds_stay_apart_years_after_the_origin() -> None:
    fitted = Time().fit(["2026-01-01T00:00:00", "2026-01-30T00:00:00"])
    (first, *_), (second, *_) = fitted.encode(["2026-01-15T00:00:00"]), fitted.encode(["2026-01-15T00:00:01"])
    assert second[0] > first[0]


def test_numbers_count_only_where_a_unit_is_given() -> None:
    for unit, factor in (("s", 1), ("ms", 1000), ("us", 1_000_000)):
        column = Time(unit=unit, parts=ALL)  # type: ignore[arg-type]
        assert parts(1_700_000_000 * factor, column) == parts("2023-11-14T22:13:20")
        assert column.request is float
        fitted = column.fit([1_700_000_000 * factor, 1_700_000_001 * factor])
        assert fitted.unit == unit
        assert fitted.encode([1_700_000_001 * factor])[0][0] == np.float32(1 / 86_400)
    assert Time().request is str
    with pytest.raises(ValueRejected, match=r"a date or time as ISO 8601 text"):
        Time().encode([1_700_000_000])
    with pytest.raises(ValueRejected, match=r"^row 0: value must be a number of s since 1970 or null, got '2026-01-01'"):
        Time(unit="s").encode(["2026-01-01"])


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us", "ns"])
def test_an_array_of_any_precision_means_what_its_texts_mean(unit: str) -> None:
    values = np.array(["2026-03-01", "NaT", "1969-07-20"], dtype=f"datetime64[{unit}]")
    for left, right in zip(WHOLE.encode(values), WHOLE.encode(["2026-03-01", None, "1969-07-20"]), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_plain_moment_keeps_its_microseconds() -> None:
    assert WHOLE.plain(dt.datetime(2026, 3, 1, 12, 0, 0, 123456)) == "2026-03-01T12:00:00.123456"
    assert WHOLE.plain(np.datetime64("2026-03-01T12:00:00.123456")) == "2026-03-01T12:00:00.123456"
    assert WHOLE.plain(dt.date(2026, 3, 1)) == "2026-03-01"
    assert Time(unit="ms").plain(np.datetime64("1970-01-01T00:00:01.5")) == 1500.0
