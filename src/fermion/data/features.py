"""Features in time of a whole table at once: the batch form of what `fermion.columns.features` defines.

Rows are sorted once for each kind of entity and taken in parts that fit a processor's cache; where windows begin and end, and running
sums, are shared by the features that need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from fermion.columns.features import LIMIT, NUMBER, WHOLE, check, entity_of, is_numeric, name_of, nothing
from fermion.columns.panes import OWN, span_of
from fermion.core.declared import Feature
from fermion.core.errors import DataError, Told, ValueRejected
from fermion.data.table import Table, unknown_column
from fermion.data.windows import ExactSums, Floats, Ints, Part, counts, deviation, distinct, in_time, newest, parts, squares

if TYPE_CHECKING:
    import polars as pl


def add(table: Table, features: Sequence[Feature], *, time: str) -> Table:
    """The table with one more column for each feature that has a `take`, in the order declared; rows stay where they are.

    Each row sees what was known at its time and nothing else: `fermion.columns.features` has the formulas. Rows at the same time and of
    the same entity come in the order of the table. `time` names dates, times or numbers of seconds. Ratios and differences of one row
    are not made here: the schema makes them.

    Equal to the row form in every bit, but `deviation`: within 1e-12 of itself and 2^-50 of the root mean square; and sums of values
    that differ so much in size that three limbs are needed (see `fermion.data.windows.ExactSums`): within one unit in the last place.

    >>> payments = Table.of({"at": [0, 60, 90], "card": ["a", "a", "a"], "amount": [1.0, 2.0, 6.0]})
    >>> add(payments, [Feature(take="mean", of="amount", by="card", window="1m")], time="at").values("amount_mean_by_card_1m").tolist()
    [1.0, 2.0, 4.0]

    Raises:
        SpecError: declarations whose words do not belong together.
        DataError: no such column, a time is missing, or a value that cannot be aggregated, with its row.
    """

    check(features)
    taken = [feature for feature in features if feature.take is not None]
    if not taken:
        return table
    for column in (time, *(name for one in taken for name in (one.of, *entity_of(one)) if name is not None)):
        if column not in table.names:
            raise unknown_column(column, table.names, subject="a column that features are made of")
    for feature in taken:
        if name_of(feature) in table.names:
            raise DataError(
                "a feature's name", rule="none of the table's columns", given=name_of(feature), remedy="Give the feature another `name`."
            )
    inputs = _Inputs(table, time)
    made: dict[str, pl.Series] = {}
    for by in dict.fromkeys(entity_of(feature) for feature in taken):
        made |= _columns(inputs, by, [feature for feature in taken if entity_of(feature) == by])
    return Table(table.frame.with_columns([made[name_of(feature)] for feature in taken]), paths=table.paths)


@final
class _Inputs:
    """What is read of one table: times, numbers and codes of values, each once."""

    def __init__(self, table: Table, time: str) -> None:
        self.table, self.time_N = table, times(table, time)
        self.numbers = cache(lambda name: numbers(table, name))
        self.codes = cache(lambda name: codes(table.series(name)))
        self.there = cache(lambda name: _without_nan(table.series(name)).is_not_null().to_numpy())

    @cached_property
    def by_time(self) -> Ints:
        return in_time(self.time_N)


def _columns(inputs: _Inputs, by: tuple[str, ...], features: list[Feature]) -> dict[str, pl.Series]:
    """The features of one kind of entity, by name."""
    entity_N = _entities(inputs.table, by)
    lost = bool(entity_N.size and entity_N.min() < 0)
    made_N = [_empty(feature, len(entity_N), lost=lost) for feature in features]
    longest = max((window or 0) + delay for window, delay in map(span_of, features))
    for part in parts(entity_N, inputs.time_N, by_time=inputs.by_time, longest=longest):
        view = _View(inputs, part)
        for feature, values_N in zip(features, made_N, strict=True):
            values_N[part.order] = view.filled(feature)
    return {name_of(feature): _series(feature, values_N, inputs.table) for feature, values_N in zip(features, made_N, strict=True)}


def _empty(feature: Feature, rows: int, *, lost: bool) -> NDArray[Any]:
    """Room for a feature, with what stands in the rows that are nobody's."""
    nobody = nothing(feature, nobody=True)
    if _copies(feature):
        return np.full(rows, -1)
    if _counts(feature) and not (lost and nobody is None):
        return np.full(rows, int(nobody or 0))
    return np.full(rows, np.nan if nobody is None else nobody, dtype=np.float64)


def _series(feature: Feature, values_N: NDArray[Any], table: Table) -> pl.Series:
    import polars as pl

    if _copies(feature):
        return table.series(str(feature.of)).gather(pl.Series(values_N).replace(-1, None)).alias(name_of(feature))
    if values_N.dtype != np.float64:
        return pl.Series(name_of(feature), values_N)
    series = pl.Series(name_of(feature), values_N, nan_to_null=True)
    return series.cast(pl.Int64) if _counts(feature) else series


def _copies(feature: Feature) -> bool:
    """Whether its values are those of other rows as they are, of any type."""
    return feature.take == "last" and not is_numeric(feature)


def _counts(feature: Feature) -> bool:
    """Whether all its values are whole numbers."""
    return feature.take in WHOLE and isinstance(nothing(feature), int)


@final
class _View:
    """The inputs of features in one part, and the sums that they share."""

    def __init__(self, inputs: _Inputs, part: Part) -> None:
        self.inputs, self.part = inputs, part
        self._numbers: dict[str, tuple[Floats, NDArray[np.bool_] | None]] = {}
        self._sums: dict[tuple[str, bool], ExactSums] = {}
        self._present: dict[str, Ints] = {}

    def filled(self, feature: Feature) -> NDArray[Any]:
        """The feature of each row; of one that copies, the number of the row that it copies, or -1."""
        values_P, empty = self._values(feature), nothing(feature)
        if empty is None or _copies(feature):
            return values_P
        gap_P = np.isnan(values_P) if values_P.dtype == np.float64 else values_P == 0
        return np.where(gap_P, empty, values_P) if gap_P.any() else values_P

    def window(self, feature: Feature) -> tuple[Ints, Ints]:
        """The places [begin, end) of the rows that count for each row."""
        window, delay = span_of(feature)
        begin = self.part.first_P if window is None else self.part.after(delay + window)
        if delay:
            return begin, self.part.after(delay)
        return begin, self.part.places[1:] if feature.take in OWN else self.part.places[:-1]

    def _values(self, feature: Feature) -> NDArray[Any]:
        part, of = self.part, feature.of or ""
        begin, end = self.window(feature)
        match feature.take:
            case "count":
                return end - begin
            case "since":
                return np.where(end > begin, (part.time_P - part.time_P[np.maximum(end - 1, 0)]) / 1e6, np.nan)
            case "distinct":
                return distinct(part, self.inputs.codes(of)[part.order], begin, end)
            case "last":
                there = self.inputs.there(of)[part.order]
                place = newest(there, begin, end)
                if _copies(feature):
                    return np.where(place >= 0, part.order[place], -1)
                return np.where(place >= 0, self.numbers(of)[0][place], np.nan)
            case _:
                return self._arithmetic(feature, of, begin, end)

    def _arithmetic(self, feature: Feature, of: str, begin: Ints, end: Ints) -> Floats:
        n = self.how_many(of, begin, end)
        total, rest = self.sums(of).over(begin, end)
        if feature.take == "sum":
            return np.where(n > 0, total, np.nan)
        if feature.take == "deviation":
            return deviation(n, (total, rest), self.sums(of, squared=True).over(begin, end))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / n
            if feature.take == "mean":
                return mean
            x_P, there = self.numbers(of)
            ratio = np.where((n > 0) & (mean != 0), x_P / mean, np.nan)
            return ratio if there is None else np.where(there, ratio, np.nan)

    def how_many(self, of: str, begin: Ints, end: Ints) -> Ints:
        """How many values there are in each window."""
        there = self.numbers(of)[1]
        if there is None:
            return end - begin
        if of not in self._present:
            self._present[of] = counts(there)
        return self._present[of][end] - self._present[of][begin]

    def sums(self, of: str, *, squared: bool = False) -> ExactSums:
        """Sums of the values, or of their squares."""
        if (of, squared) not in self._sums:
            x_P = self.numbers(of)[0]
            self._sums[of, squared] = ExactSums(squares(x_P) if squared else [x_P], longest=self.part.longest)
        return self._sums[of, squared]

    def numbers(self, of: str) -> tuple[Floats, NDArray[np.bool_] | None]:
        """The values, 0 where missing, and where they are there (None: everywhere)."""
        if of not in self._numbers:
            x_P = self.inputs.numbers(of)[self.part.order]
            missing = np.isnan(x_P)
            self._numbers[of] = (np.where(missing, 0.0, x_P), ~missing) if missing.any() else (x_P, None)
        return self._numbers[of]


def times(table: Table, name: str) -> Ints:
    """A column of dates, times or seconds as whole microseconds since 1970.

    >>> times(Table.of({"at": [0, 1.5]}), "at").tolist()
    [0, 1500000]

    Raises:
        DataError: it holds something else, or a time is missing.
    """
    import polars as pl

    series = _without_nan(table.series(name))
    told = f"column `{name}`, which says when a row happened,"
    if not (isinstance(series.dtype, pl.Date | pl.Datetime) or series.dtype.is_numeric()):
        remedy = "Write times as ISO 8601, such as 2026-03-01T12:00:00."
        raise DataError(told, rule="dates, times or numbers of seconds", given=Told(f"values of type {series.dtype}"), remedy=remedy)
    if series.null_count():
        row = series.is_null().arg_max()
        raise DataError(told, rule="given in every row", given=None, where=f"row {row}", remedy="Set rows without a time aside first.")
    if not series.dtype.is_numeric():
        return np.asarray(Table(series.to_frame()).values(name)).astype("datetime64[us]").astype(np.int64)
    x_N = series.to_numpy() if series.dtype.is_integer() else series.cast(pl.Float64).to_numpy()
    if len(x_N) and not (float(x_N.min()) >= -9e12 and float(x_N.max()) <= 9e12):
        row = int(np.argmax(np.abs(x_N.astype(np.float64))))
        raise DataError(told, rule="seconds since 1970", given=x_N[row].item(), where=f"row {row}")
    return x_N.astype(np.int64) * 1_000_000 if series.dtype.is_integer() else np.rint(x_N * 1e6).astype(np.int64)


def numbers(table: Table, name: str) -> Floats:
    """A column of numbers or truth values as float64, NaN where missing.

    Raises:
        DataError: it holds something else.
        ValueRejected: a value that is infinite or too large to be squared, with its row.
    """
    import polars as pl

    series = table.series(name)
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        raise DataError(f"column `{name}`", rule="numbers, to be aggregated", given=Told(f"values of type {series.dtype}"))
    x_N = series.cast(pl.Float64).to_numpy()
    beyond = np.abs(x_N) > LIMIT
    if beyond.any():
        row = int(beyond.argmax())
        raise ValueRejected(f"the value of `{name}`", rule=NUMBER, given=x_N[row].item(), where=f"row {row}")
    return x_N


def codes(series: pl.Series) -> Ints:
    """Non-negative numbers that are equal where the values are, -1 where they are missing.

    >>> import polars as pl
    >>> codes(pl.Series(["b", None, "a", "b"])).tolist(), codes(pl.Series([7, 9])).tolist()
    ([0, -1, 1, 0], [0, 2])
    """
    import polars as pl

    series = _without_nan(series)
    wide = isinstance(series.dtype, pl.UInt64 | pl.Int128 | pl.UInt128)
    if series.dtype.is_integer() and not wide and len(series) > series.null_count():
        low, high = int(series.min()), int(series.max())  # type: ignore[arg-type]
        if high - low < 2**32:
            return series.cast(pl.Int64).fill_null(low - 1).to_numpy() - low
    distinct = series.unique(maintain_order=True).drop_nulls()
    known = pl.DataFrame({"value": distinct, "code": np.arange(len(distinct))})
    return series.to_frame("value").join(known, on="value", how="left", maintain_order="left")["code"].fill_null(-1).to_numpy()


def _entities(table: Table, by: tuple[str, ...]) -> Ints:
    """A number for each row's entity, -1 where any of its columns is missing."""
    if not by:
        return np.zeros(len(table), dtype=np.int64)
    codes_N = codes(table.series(by[0]))
    for name in by[1:]:
        more_N = codes(table.series(name))
        missing = (codes_N < 0) | (more_N < 0)
        _, codes_N = np.unique(codes_N * (int(more_N.max(initial=0)) + 1) + more_N, return_inverse=True)
        codes_N = np.where(missing, -1, codes_N)
    return codes_N


def _without_nan(series: pl.Series) -> pl.Series:
    return series.fill_nan(None) if series.dtype.is_float() else series
