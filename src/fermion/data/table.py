"""Rows and named columns: the one form in which tabular data and pictures travel until columns encode them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays, Coded, Column, Values, encode_once
from fermion.core.errors import DataError, Told, did_you_mean
from fermion.core.lazy import load
from fermion.data.coding import coded, is_flat, is_text, listed, plain, texts
from fermion.data.nested import innermost, is_listed, is_series, places_of, series_of, series_values

if TYPE_CHECKING:
    import polars as pl

    from fermion.columns.schema import Schema

KEPT = 1 << 22  # rows, up to which the codes of a column are kept once they are made


@final
class Table:
    """Equally long named columns over a Polars data frame. Never changed in place; every method gives a new one.

    `paths` names the columns whose text is the path of a file: their fingerprint is that of the files' contents.

    >>> table = Table.of({"size": [1.5, None], "colour": ["red", "blue"]})
    >>> table.names, len(table), table.values("size").tolist(), table.row(1)
    (('size', 'colour'), 2, [1.5, nan], {'size': None, 'colour': 'blue'})
    """

    def __init__(self, frame: pl.DataFrame, *, paths: Iterable[str] = ()) -> None:
        self.frame = frame
        self.paths = frozenset(paths)

    @classmethod
    def of(cls, data: Any) -> Table:
        """A table from a Table, a Polars or pandas frame, anything with the Arrow interface, or names mapped to arrays and lists.

        An array (N, H, W[, C]) becomes one column of pictures, lists of numbers are series. A pandas index is no data: it is left out.

        >>> Table.of({"picture": np.zeros((2, 8, 8), np.uint8), "label": ["a", "b"]}).values("picture").shape
        (2, 8, 8)

        Raises:
            DataError: the columns are not equally long, a name is not text, or values of one column are not of one type.
        """
        if isinstance(data, Table):
            return data
        polars = load("polars", extra="train")
        if isinstance(data, polars.DataFrame):
            return cls(data)
        if isinstance(data, polars.LazyFrame):
            return cls(cast("pl.DataFrame", data.collect()))
        if isinstance(data, Mapping):
            return cls(_frame_of(cast(Mapping[object, object], data)))
        if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns"):
            try:
                return cls(_frame_of_pandas(data))
            except polars.exceptions.PolarsError as bad:
                given = Told(str(bad).splitlines()[0])
                raise DataError("a pandas frame", rule="made of values that a table can hold", given=given) from None
        if hasattr(data, "__arrow_c_stream__"):  # a foreign protocol, known by this attribute and by nothing else
            return cls(polars.DataFrame(data))
        raise DataError(
            "the data",
            rule="a data frame (Polars, pandas, DuckDB, Arrow) or a mapping of names to arrays",
            given=Told(f"an object of type {type(data).__name__}"),
            remedy='Give {"name": values, ...}; rows as {"name": value} have to be turned into columns first.',
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.frame.columns)

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        return f"Table({len(self):,} rows: {', '.join(self.names)})"

    def _repr_html_(self) -> str:
        return self.frame.head(10)._repr_html_()  # pyright: ignore[reportPrivateUsage]  # the protocol of notebooks

    def series(self, name: str) -> pl.Series:
        """One column as Polars has it.

        Raises:
            DataError: there is no such column; the nearest name is given.
        """
        if name not in self.frame.columns:
            raise unknown_column(name, self.names)
        return self.frame[name]

    def values(self, name: str) -> Values:
        """One column as columns (`fermion.columns`) read it.

        Numbers are a numpy array, NaN where missing; truth values a bool array, or a list with None; text and bytes a list;
        dates and times datetime64[us] in UTC, NaT where missing; pictures (N, H, W[, C]) and series (N, T[, C]), or a list of arrays.

        Raises:
            DataError: no such column, or a type that is none of these (nested lists, structs, durations, times of day).
        """
        return _values(self.series(name), name)

    def batch(self, names: Iterable[str] | None = None) -> dict[str, Values]:
        """Names to values, of all columns or of these."""
        return {name: self.values(name) for name in (self.names if names is None else names)}

    def coded(self, name: str) -> Coded | None:
        """One column of texts, numbers or truth values as the distinct ones and a code per row; None where too many are distinct.

        >>> Table.of({"colour": ["red", "blue", "red", "red"]}).coded("colour").counts.tolist()
        [3, 1]

        Raises:
            DataError: there is no such column.
        """
        if name in self._coded:
            return self._coded[name]
        series = self.series(name)
        made = coded(plain(series), lambda some: _values(some, name)) if is_flat(series) else None
        if len(self) <= KEPT:
            self._coded[name] = made
        return made

    def part(self, rows: NDArray[Any] | Sequence[int] | slice, names: Iterable[str] | None = None) -> Mapping[str, Values]:
        """The values of some rows by name, each column made when it is asked for and not kept: what fitting takes of a big table.

        Of texts few of which are distinct it is a `fermion.columns.column.Coded`: a list to whom does not care.

        >>> Table.of({"a": [1, 2, 3], "b": [4, 5, 6]}).part([2, 0])["b"].tolist()
        [6, 4]

        Args:
            rows: row numbers, a mask or a slice.
            names: of these columns; of all when left out.
        """
        from fermion.data.mapped import Columns, chooser

        chosen = self.names if names is None else tuple(names)
        some = rows if isinstance(rows, slice) else _numbers(rows)
        choose = chooser(some, len(self))

        def values(name: str) -> Values:
            series, made = self.series(name), None
            if is_text(series) and len(self) <= KEPT:
                whole = self.coded(name)
                made = None if whole is None else whole.take(some)
            elif is_text(series):
                made = coded(plain(choose(series)), listed)
            return _values(choose(series), name) if made is None else made

        return Columns(chosen, values)

    def encoded(self, schema: Schema, folder: Path | None = None, *, rows: NDArray[np.int64] | None = None) -> Arrays:
        """What `schema.encode` makes of this table, or of these rows, block by block; with a folder as arrays mapped from files in it.

        Raises:
            ValueRejected: a value that does not fit its column, with its row.
        """
        from fermion.data.mapped import encoded

        return encoded(self, schema, folder, rows)

    def encode(self, column: Column, name: str) -> tuple[NDArray[Any], ...]:
        """What `column` makes of the values called `name`; equal texts are encoded once and gathered.

        Raises:
            ValueRejected: a value that the column cannot mean, with its row.
        """
        return encode_once(column, self.part(slice(None))[name])

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Table:
        """The rows with these numbers, in this order; or those where a mask is true."""
        if isinstance(rows, slice):
            rows = range(*rows.indices(len(self)))
        return Table(self.frame[_numbers(rows)], paths=self.paths)

    def select(self, names: Iterable[str]) -> Table:
        """Only these columns, in this order."""
        chosen = list(names)
        for name in chosen:
            self.series(name)
        return Table(self.frame.select(chosen), paths=self.paths & set(chosen))

    def drop(self, names: Iterable[str]) -> Table:
        """All columns but these."""
        gone = list(names)
        for name in gone:
            self.series(name)
        return Table(self.frame.drop(gone), paths=self.paths - set(gone))

    def with_column(self, name: str, values: Any) -> Table:
        """With one more column, or another in its place."""
        series = _series(name, values)
        if len(series) != len(self) and self.frame.width:
            raise _unequal({name: len(series), "the table": len(self)})
        return Table(self.frame.with_columns(series), paths=self.paths - {name})

    def row(self, number: int) -> dict[str, object]:
        """One row as plain Python values, None where missing.

        Raises:
            DataError: there is no such row.
        """
        if not 0 <= number < len(self):
            raise DataError("row", rule=f"a number from 0 to {len(self) - 1}", given=number)
        return {name: None if value != value else value for name, value in self.frame.row(number, named=True).items()}

    def preview(self, n: int = 5) -> list[dict[str, object]]:
        """The first rows as plain Python values."""
        return [self.row(number) for number in range(min(n, len(self)))]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of names, types and values in their order: see `fermion.data.fingerprint`."""
        from fermion.data.fingerprint import fingerprint

        return fingerprint(self)

    def contents(self, name: str) -> list[str | None]:
        """The sha256 of the file that each path in this column leads to; each file is read once per table.

        Raises:
            DataError: a file cannot be read.
        """
        from fermion.data.fingerprint import digests_of_files

        if name not in self._contents:
            self._contents[name] = digests_of_files(self.series(name).to_list(), name)
        return self._contents[name]

    @cached_property
    def _coded(self) -> dict[str, Coded | None]:
        return {}

    @cached_property
    def _contents(self) -> dict[str, list[str | None]]:
        return {}


def _numbers(rows: NDArray[Any] | Sequence[int]) -> NDArray[np.int64]:
    numbers = np.asarray(rows)
    return np.flatnonzero(numbers) if numbers.dtype == np.bool_ else numbers.astype(np.int64)


def unknown_column(name: str, known: Iterable[str], *, subject: str = "column", where: str = "") -> DataError:
    """The error for a column that is not there, with the nearest name."""
    names = list(known)
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return DataError(subject, rule=f"one of the columns {shown}", given=name, remedy=did_you_mean(name, names), where=where)


def _frame_of(data: Mapping[object, object]) -> pl.DataFrame:
    import polars as pl

    columns: list[pl.Series] = []
    for name, values in data.items():
        if not isinstance(name, str):
            raise DataError("a column's name", rule="text", given=name)
        columns.append(_series(name, values))
    lengths = {series.name: len(series) for series in columns}
    if len(set(lengths.values())) > 1:
        raise _unequal(lengths)
    return pl.DataFrame(columns)


def _frame_of_pandas(data: Any) -> pl.DataFrame:
    import polars as pl

    names = [str(name) for name in data.columns]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError("the columns of the data frame", rule="named differently", given=Told(f"`{twice[0]}` more than once"))
    try:
        return pl.from_pandas(data)
    except Exception as mixed:  # pyarrow and Polars have many; the column by column way below names the culprit
        columns = [_series(name, data[key].tolist()) for name, key in zip(names, data.columns, strict=True)]
        if not columns:
            raise DataError("the data frame", rule="made of columns with values of one type", given=Told(str(mixed))) from mixed
        return pl.DataFrame(columns)


def _series(name: str, values: Any) -> pl.Series:
    import polars as pl

    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise DataError(f"column `{name}`", rule="a list or an array of values", given=values)
    if isinstance(values, np.ndarray):
        array = cast(NDArray[Any], values)
        if array.dtype.kind in "biufmM":
            return pl.Series(name, _storable(array))
        if array.dtype.kind not in "OUST":
            raise _mixed(name, Told(f"an array of {array.dtype}"))
        values = array.tolist()
    elif hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        return pl.Series(name, values)
    return _series_of_list(name, list(cast(Iterable[Any], values)))


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """The array in a number format that Polars has: native byte order, no half floats, microseconds."""
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]")
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))


def _series_of_list(name: str, listed: list[Any]) -> pl.Series:
    import polars as pl

    if any(isinstance(value, np.generic) for value in listed):
        listed = [_python(value) for value in listed]
    kinds = {type(value) for value in listed} - {type(None)}
    if kinds and all(issubclass(kind, np.ndarray) for kind in kinds):
        shapes = {value.shape for value in listed if value is not None}
        if (len(shapes) > 1 or any(value is None for value in listed)) and (made := series_of(name, listed)) is not None:
            return made
        if len(shapes) > 1 or any(value is None for value in listed) or len({value.dtype for value in listed}) > 1:
            raise _mixed(name, Told(f"arrays of {len(shapes)} shapes, or with gaps"), rule="arrays of one shape and type")
        return pl.Series(name, _storable(np.stack(listed)))
    if kinds and kinds <= {list, tuple, dict, np.ndarray} and (made := series_of(name, listed)) is not None:
        return made
    if kinds == {dict} and (places := places_of(name, listed)) is not None:
        return places
    if kinds & {set, frozenset}:  # in an order that does not change from run to run
        listed = [sorted(value, key=str) if isinstance(value, set | frozenset) else value for value in listed]
    if float in kinds and kinds - {float, int}:  # NaN is how pandas writes a gap between texts
        listed = [None if value != value else value for value in listed]
        kinds = {type(value) for value in listed} - {type(None)}
    try:
        if kinds == {int, float}:
            return pl.Series(name, listed, dtype=pl.Float64, strict=False)
        return pl.Series(name, listed, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        first = next((type(value) for value in listed if value is not None), type(None))
        odd = next((row for row, value in enumerate(listed) if value is not None and type(value) is not first), None)
        given = listed if odd is None else Told(f"{type(listed[odd]).__name__} in row {odd} after {first.__name__}")
        raise _mixed(name, given) from None


def _python(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]").item()
    return value.item() if isinstance(value, np.generic) else value


def _values(series: pl.Series, name: str) -> Values:
    import polars as pl

    kind = series.dtype
    if kind.is_decimal() or isinstance(kind, pl.Int128 | pl.UInt128):
        return series.cast(pl.Float64).to_numpy()
    if kind.is_numeric():
        return series.to_numpy()
    if kind == pl.Boolean:
        return series.to_list() if series.null_count() else series.to_numpy()
    if isinstance(kind, pl.String | pl.Categorical | pl.Enum):
        return texts(series)
    if isinstance(kind, pl.Binary | pl.Null):
        return series.to_list()
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if isinstance(kind, pl.Date | pl.Datetime):
        return series.cast(pl.Datetime("us")).to_numpy()
    if isinstance(kind, pl.Array) and innermost(kind).is_numeric():
        if not series.null_count():
            return series.to_numpy()
        return [series[row].to_numpy() if present else None for row, present in enumerate(series.is_not_null())]
    if is_series(kind):
        return series_values(series)
    if is_listed(kind):
        return series.to_list()
    raise DataError(
        f"column `{name}`",
        rule="numbers, truth values, text, dates, bytes, lists of numbers or of texts, places, or pictures of one size",
        given=Told(f"values of type {kind}"),
        remedy=f"Convert it where the data come from, or leave it out: `data.ignore: [{name}]`.",
    )


def _unequal(lengths: Mapping[str, int]) -> DataError:
    shown = ", ".join(f"`{name}` {length:,}" for name, length in list(lengths.items())[:8])
    return DataError("the columns", rule="equally long", given=Told(shown))


def _mixed(name: str, given: object, rule: str = "values of one type that a table can hold") -> DataError:
    return DataError(f"column `{name}`", rule=rule, given=given, remedy="Convert the values to one type first.")
