"""Sketches: what a column or an output looked like, in a few counts that add up over workers and hours.

A sketch is fitted once, on the training part, and travels in the bundle. Live sketches start from `empty()` with the same bins, so
two of them merge by adding and compare bin by bin. All are frozen: `add` and `merge` return a new one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.measure.scored import Floats

_HUGE = 1e100  # moments are taken of values cut to this, so that a square stays a number and JSON can carry it


class NumberSketch(Struct, frozen=True, kw_only=True, tag="number", tag_field="kind"):
    """Counts between frozen quantile edges, with count, range and moments.

    Bin i counts values in (edges[i-1], edges[i]]; the first and the last are open, and empty in the data that were fitted: what falls
    there was never seen. `n` counts all values, `missing` those that were None or NaN.

    >>> sketch = NumberSketch.fit([1, 2, 3, 4, None], bins=2)
    >>> sketch.counts, sketch.missing, sketch.mean
    ((0, 2, 2, 0), 1, 2.5)
    >>> sketch.empty().add([1, 9]).merge(sketch.empty().add([2])).counts
    (0, 2, 0, 1)
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    n: int = 0
    missing: int = 0
    low: float | None = None
    high: float | None = None
    total: float = 0.0  # sums are about `centre`, so that a mean far from 0 costs no digits
    squares: float = 0.0
    centre: float = 0.0

    @classmethod
    def fit(cls, values: Sequence[float | None] | NDArray[Any], bins: int = 20) -> Self:
        """Bins of about equal counts, frozen at the quantiles of these values, which are counted.

        Raises:
            DataError: a value is not a number.
        """
        x = _present(values)
        edges: tuple[float, ...] = ()
        if len(x):
            ends = np.arange(1, bins + 1) * len(x)
            inner = np.unique(np.sort(x)[-(-ends // bins) - 1])
            below = float(np.nextafter(x.min(), -np.inf))
            edges = (max(below, -_HUGE), *(float(edge) for edge in inner))
        centre = float(np.median(x)) if len(x) else 0.0
        return cls(edges=edges, counts=(0,) * (len(edges) + 1), centre=centre).add(values)

    def empty(self) -> Self:
        """The same bins with nothing in them."""
        return type(self)(edges=self.edges, counts=(0,) * len(self.counts), centre=self.centre)

    def add(self, values: Sequence[float | None] | NDArray[Any]) -> Self:
        """With these values counted too; infinite ones fall into the outer bins.

        Raises:
            DataError: a value is not a number.
        """
        x = _present(values)
        seen = np.bincount(np.searchsorted(np.array(self.edges), x), minlength=len(self.counts))
        from_centre = x - self.centre
        return self.merge(
            type(self)(
                edges=self.edges,
                counts=tuple(seen.tolist()),
                n=len(values),
                missing=len(values) - len(x),
                low=float(x.min()) if len(x) else None,
                high=float(x.max()) if len(x) else None,
                total=float(from_centre.sum()),
                squares=float(from_centre @ from_centre),
                centre=self.centre,
            )
        )

    def merge(self, other: Self) -> Self:
        """What both have counted; the order does not matter.

        Raises:
            DataError: they do not share their bins.
        """
        if (self.edges, self.centre) != (other.edges, other.centre):
            raise _apart(self.edges, other.edges)
        return type(self)(
            edges=self.edges,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            n=self.n + other.n,
            missing=self.missing + other.missing,
            low=min((x for x in (self.low, other.low) if x is not None), default=None),
            high=max((x for x in (self.high, other.high) if x is not None), default=None),
            total=self.total + other.total,
            squares=self.squares + other.squares,
            centre=self.centre,
        )

    @property
    def mean(self) -> float:
        """Of the values that are not missing; NaN where there are none."""
        present = self.n - self.missing
        return self.centre + self.total / present if present else math.nan

    @property
    def std(self) -> float:
        """Their standard deviation (over n, not n - 1); NaN where there are none."""
        present = self.n - self.missing
        return math.sqrt(max(0.0, self.squares / present - (self.total / present) ** 2)) if present else math.nan


class CategorySketch(Struct, frozen=True, kw_only=True, tag="category", tag_field="kind"):
    """Counts of the most frequent values, frozen, of all others together, and of missing ones. Values are kept as text.

    >>> sketch = CategorySketch.fit(["a", "b", "a", None], top=1)
    >>> sketch.values, sketch.counts, sketch.other, sketch.missing
    (('a',), (2,), 1, 1)
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    other: int = 0
    missing: int = 0
    n: int = 0

    @classmethod
    def fit(cls, values: Sequence[object] | NDArray[Any], top: int = 50) -> Self:
        """The `top` most frequent of these values, ties by name; all are counted.

        Raises:
            DataError: a value is a list or another container.
        """
        counted = _counted(values)
        kept = sorted((text for text in counted if text is not None), key=lambda text: (-counted[text], text))[:top]
        return cls(values=tuple(kept), counts=(0,) * len(kept)).add(values)

    def empty(self) -> Self:
        """The same values with nothing counted."""
        return type(self)(values=self.values, counts=(0,) * len(self.counts))

    def add(self, values: Sequence[object] | NDArray[Any]) -> Self:
        """With these values counted too.

        Raises:
            DataError: a value is a list or another container.
        """
        counted = _counted(values)
        missing, counts = counted.get(None, 0), tuple(counted.get(value, 0) for value in self.values)
        other = len(values) - missing - sum(counts)
        return self.merge(type(self)(values=self.values, counts=counts, other=other, missing=missing, n=len(values)))

    def merge(self, other: Self) -> Self:
        """What both have counted; the order does not matter.

        Raises:
            DataError: they do not share their values.
        """
        if self.values != other.values:
            raise _apart(self.values, other.values)
        return type(self)(
            values=self.values,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            other=self.other + other.other,
            missing=self.missing + other.missing,
            n=self.n + other.n,
        )


Sketch = NumberSketch | CategorySketch


def distance(reference: Sketch, live: Sketch) -> float:
    """How far two sketches with the same bins are apart; NaN where one of them is empty.

    Numbers: the population stability index, sum over bins of (q - p) ln(q / p), missing values being a bin of their own and half a
    count added to each bin so that it stays finite. Usual reading: below 0.1 stable, above 0.2 shifted. By chance alone it is about
    (bins - 1)(1/n + 1/m). Categories: total variation, half of sum |q - p|, from 0 to 1.

    Siddiqi, "Credit Risk Scorecards", Wiley 2006.

    >>> week = CategorySketch.fit(["a", "b"])
    >>> distance(week, week.empty().add(["a", "a"]))
    0.5

    Raises:
        DataError: they do not share their bins, or one counts numbers and the other categories.
    """
    if isinstance(reference, NumberSketch) and isinstance(live, NumberSketch):
        if reference.edges != live.edges:
            raise _apart(reference.edges, live.edges)
        p, q = (_shares((*s.counts, s.missing), smooth=0.5) for s in (reference, live))
        return float(((q - p) * np.log(q / p)).sum()) if reference.n and live.n else math.nan
    if isinstance(reference, CategorySketch) and isinstance(live, CategorySketch):
        if reference.values != live.values:
            raise _apart(reference.values, live.values)
        if not (reference.n and live.n):
            return math.nan
        p, q = (_shares((*s.counts, s.other, s.missing), smooth=0) for s in (reference, live))
        return float(abs(q - p).sum() / 2)
    raise DataError("two sketches", rule="of one kind", given=Told(f"{type(reference).__name__} and {type(live).__name__}"))


def _shares(counts: tuple[int, ...], *, smooth: float) -> Floats:
    smoothed = np.array(counts, np.float64) + smooth
    return smoothed / smoothed.sum()


def _present(values: Sequence[float | None] | NDArray[Any]) -> Floats:
    """What is there, as float64 cut to +-1e100; text is no number, even "3"."""
    try:
        array = np.asarray(values)
    except ValueError:  # lists of several lengths
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise DataError("a value", rule="a number", given=values)
    if array.dtype.kind == "O":
        cells: Sequence[object] = array.tolist()
        array = np.array([math.nan if value is None else _number(value, row) for row, value in enumerate(cells)], np.float64)
    elif array.dtype.kind not in "biuf" and array.size:
        raise DataError("a value", rule="a number", given=array.flat[0].item())
    array = array.astype(np.float64)
    return np.clip(array[~np.isnan(array)], -_HUGE, _HUGE)


def _number(value: object, row: int) -> float:
    if not isinstance(value, int | float):
        raise DataError("a value", rule="a number", given=value, where=f"row {row}")
    try:
        return float(value)
    except OverflowError:  # an integer beyond float64
        return math.inf if value > 0 else -math.inf


def _counted(values: Sequence[object] | NDArray[Any]) -> dict[str | None, int]:
    """Counts by text, None for what is missing."""
    flat: Iterable[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    try:
        raw = Counter(flat)
    except TypeError:
        raise DataError("a category", rule="one plain value", given=next(v for v in flat if type(v).__hash__ is None)) from None
    counted: Counter[str | None] = Counter()
    for value, times in raw.items():
        counted[_text(value)] += times
    return counted


def _text(value: Any) -> str | None:
    """One spelling per meaning: 3 and 3.0 are "3", True is "true"."""
    if value is None or value != value:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _apart(ours: Sequence[object], theirs: Sequence[object]) -> DataError:
    return DataError(
        "two sketches",
        rule="over the same bins",
        given=Told(f"{len(ours)} and {len(theirs)} edges or values that are not the same"),
        remedy="Start the live sketch from `empty()` of the one in the bundle.",
    )
