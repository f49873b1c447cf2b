from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.core.errors import DataError
from fermion.measure.sketches import CategorySketch, NumberSketch, Sketch, distance

ODD = [None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 2.0, 5e-324, 1.7e308, -1e-9, 3.5]
WORDS = [None, "a", "b", "c", "<d>"]


def same(a: NumberSketch, b: NumberSketch) -> None:
    """Equal, sums but for rounding."""
    for name in ("edges", "counts", "n", "missing", "low", "high", "centre"):
        assert getattr(a, name) == getattr(b, name), name
    scale = max(map(abs, (a.low or 0, a.high or 0, a.centre, 1.0)))
    assert math.isclose(a.total, b.total, rel_tol=1e-9, abs_tol=1e-9 * scale * max(a.n, 1))
    assert math.isclose(a.squares, b.squares, rel_tol=1e-9, abs_tol=1e-9 * scale**2)


def numbers(rng: np.random.Generator) -> list[float | None]:
    plain = rng.normal(rng.normal(0, 100), 10.0 ** rng.integers(-3, 6), rng.integers(0, 20)).tolist()
    return plain + [ODD[i] for i in rng.integers(0, len(ODD), rng.integers(0, 10))]


@pytest.mark.parametrize("seed", range(200))
def test_numbers_added_apart_and_together_are_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, left, right = (numbers(rng) for _ in range(3))
    start = NumberSketch.fit(reference, bins=6).empty()
    a, b = start.add(left), start.add(right)
    same(a.merge(b), start.add(left + right))
    same(a.merge(b), b.merge(a))
    same(a.merge(b).merge(start.add(reference)), a.merge(b.merge(start.add(reference))))
    assert a.merge(start) == a
    assert sum(a.counts) + a.missing == a.n == len(left)
    assert msgspec.json.decode(msgspec.json.encode(a), type=Sketch) == a


@pytest.mark.parametrize("seed", range(50))
def test_categories_added_apart_and_together_are_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, left, right = ([WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(0, 12))] for _ in range(3))
    start = CategorySketch.fit(reference, top=2).empty()
    a, b, c = start.add(left), start.add(right), start.add(reference)
    assert a.merge(b) == b.merge(a) == start.add(left + right)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert sum(a.counts) + a.other + a.missing == a.n == len(left)
    assert msgspec.json.decode(msgspec.json.encode(a), type=Sketch) == a


def test_a_profile_survives_json() -> None:
    profile: dict[str, Sketch] = {"amount": NumberSketch.fit([1.0, None, 3.5]), "country": CategorySketch.fit(["DE", "FR", "DE"])}
    assert msgspec.json.decode(msgspec.json.encode(profile), type=dict[str, Sketch]) == profile


def test_fitted_bins_hold_about_as_much_each_and_the_outer_ones_nothing() -> None:
    x = np.random.default_rng(0).lognormal(size=10_000)
    sketch = NumberSketch.fit(x)
    assert sketch.counts[0] == sketch.counts[-1] == 0
    assert all(count == 500 for count in sketch.counts[1:-1])
    assert (sketch.low, sketch.high, sketch.n) == (x.min(), x.max(), 10_000)
    assert sketch.mean == pytest.approx(x.mean())
    assert sketch.std == pytest.approx(x.std())
    assert sketch.empty().add([-1, 0]).counts[0] == 2
    assert sketch.empty().add([1e9, math.inf]).counts[-1] == 2


def test_moments_keep_their_digits_far_from_zero() -> None:
    x = 1.7e9 + np.random.default_rng(0).normal(size=1000)
    assert NumberSketch.fit(x).std == pytest.approx(x.std(), rel=1e-9)


def test_constants_repeats_and_nothing() -> None:
    constant = NumberSketch.fit([3.0] * 9)
    assert constant.counts == (0, 9, 0)
    assert constant.empty().add([2.9, 3, 3.1]).counts == (1, 1, 1)
    flags = NumberSketch.fit(np.array([True, False, False]))
    assert flags.counts == (0, 2, 1, 0)
    nothing = NumberSketch.fit([None, float("nan")])
    assert (nothing.counts, nothing.n, nothing.missing, nothing.low) == ((0,), 2, 2, None)
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.std)
    assert NumberSketch.fit([10**400, 1]).n == 2
    assert CategorySketch.fit([]).add(["a"]).other == 1


def test_one_spelling_per_category() -> None:
    sketch = CategorySketch.fit([3, 3.0, "3", True, None, float("nan"), np.int64(4)])
    assert dict(zip(sketch.values, sketch.counts, strict=True)) == {"3": 3, "4": 1, "true": 1}
    assert sketch.missing == 2
    assert CategorySketch.fit(np.array(["b", "a", "b"])).values == ("b", "a")


def test_distance_sees_a_shift_and_not_chance() -> None:
    rng = np.random.default_rng(1)
    reference = NumberSketch.fit(rng.normal(size=20_000))
    live = [distance(reference, reference.empty().add(rng.normal(shift, size=2000))) for shift in (0.0, 0.2, 0.5, 2.0)]
    assert live[0] < 0.03 < live[1] < 0.1 < 0.2 < live[2] < live[3]
    assert distance(reference, reference) == 0
    half = rng.normal(size=2000)
    half[::2] = np.nan
    assert distance(reference, reference.empty().add(half)) > 1
    assert distance(reference, reference.empty().add([1e9] * 2000)) > 5


def test_distance_by_hand() -> None:
    a = NumberSketch(edges=(0.0,), counts=(30, 70), n=100)
    b = NumberSketch(edges=(0.0,), counts=(50, 50), n=100)
    p, q = np.array([30.5, 70.5, 0.5]) / 101.5, np.array([50.5, 50.5, 0.5]) / 101.5
    assert distance(a, b) == pytest.approx(((q - p) * np.log(q / p)).sum())
    words = CategorySketch.fit(["a", "a", "b", "c"], top=2)
    assert distance(words, words.empty().add(["a", None])) == pytest.approx(0.5)
    assert distance(words, words.empty().add(["z"])) == pytest.approx(0.75)


def test_distance_to_nothing_is_nan() -> None:
    for sketch in (NumberSketch.fit([1, 2]), CategorySketch.fit(["a"])):
        assert math.isnan(distance(sketch, sketch.empty()))


def test_what_does_not_belong_together_is_refused() -> None:
    a, b = NumberSketch.fit([1, 2, 3]), NumberSketch.fit([4, 5, 6])
    c, d = CategorySketch.fit(["a"]), CategorySketch.fit(["b"])
    for left, right in ((a, b), (c, d)):
        with pytest.raises(DataError, match=r"two sketches must be over the same bins.*Start the live sketch from `empty\(\)`"):
            left.merge(right)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="over the same bins"):
            distance(left, right)
    with pytest.raises(DataError, match="of one kind, got NumberSketch and CategorySketch"):
        distance(a, c)


@pytest.mark.parametrize("bad", [["3"], [1, "x"], [None, [1]], [[1], [2]], np.array(["a"]), np.array(["2020-01-01"], "M8[D]")])
def test_what_is_no_number_is_refused(bad: Any) -> None:
    with pytest.raises(DataError, match="a value must be a number"):
        NumberSketch.fit([1, 2]).add(bad)


def test_a_list_is_no_category() -> None:
    with pytest.raises(DataError, match=r"one plain value, got \[1\]"):
        CategorySketch.fit(["a", [1]])
