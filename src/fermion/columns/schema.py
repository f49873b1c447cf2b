"""The inputs of a model: which columns, whether a value may be missing, and the arrays that a batch becomes."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.assets import Asset, assets_of
from fermion.columns.column import Arrays, Batch, Column, Slot, Values, as_column, encode_once, is_missing
from fermion.columns.derive import Derived, Floats, Together, check_derived
from fermion.columns.missing import gaps
from fermion.columns.number import Number, read_numbers
from fermion.columns.private import Hashed, Redacted, coarse, hiding
from fermion.columns.repair import Repaired, inside, meant
from fermion.core.declared import Expectation
from fermion.core.errors import DataError, Told, ValueRejected, did_you_mean

_UNSPEAKABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


class Field(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input: its column, whether a value may be missing (learned in training, or declared), and whether values are personal."""

    name: str
    column: Any  # a Column; read and written by its `type` through the registry
    missing: bool = False
    private: bool = False  # no golden row, sketch or error shows a value

    def __post_init__(self) -> None:
        if _UNSPEAKABLE.search(self.name):  # such a name can be no field of a request's type
            rule = "text without double quotes, backslashes and control characters"
            raise DataError("the name of a column", rule=rule, given=self.name, remedy="Rename it, or list it under data.ignore.")
        if isinstance(self.column, dict):  # as it comes from a manifest
            msgspec.structs.force_setattr(self, "column", as_column(self.column, f"column `{self.name}`"))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of the column and of those that it wraps, as the registry knows them, the outermost first."""
        found: list[str] = []
        column: Any = self.column
        while column is not None:
            found.append(str(column.__struct_config__.tag))
            column = column.column if isinstance(column, Repaired | Hashed | Redacted) else None
        return tuple(found)


class Ref(Struct, frozen=True, kw_only=True):
    """Where one column of a fused array comes from: (N,) of `field`'s slot `slot`. `size` is the number of codes, 0 for numbers.

    After the numbers of the fields stand the derived ones, whose `field` is the name of a `Derived`.
    """

    field: str
    slot: str
    size: int = 0


class Named(Struct, frozen=True, kw_only=True):
    """An array of its own, called `field.slot`."""

    name: str
    field: str
    slot: Slot


class Layout(Struct, frozen=True, kw_only=True):
    """The arrays that `Schema.encode` makes.

    `numbers` are the columns of the array `numbers` (N, F) float32, `codes` those of `codes` (N, C) int64; each array is there only
    when it has columns. `arrays` are the rest.
    """

    numbers: tuple[Ref, ...]
    codes: tuple[Ref, ...]
    arrays: tuple[Named, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all arrays, in a fixed order."""
        fused = (["numbers"] if self.numbers else []) + (["codes"] if self.codes else [])
        return (*fused, *(named.name for named in self.arrays))


class Schema(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, omit_defaults=True):
    """The inputs of a model, in order, the numbers that are derived from them, and what must hold of each row of a request.

    >>> schema = Schema.of({"age": Number()}).fit({"age": [20.0, 30.0]})
    >>> schema.encode({"age": [25.0]})["numbers"].tolist()
    [[25.0]]
    """

    fields: tuple[Field, ...]
    derived: tuple[Derived, ...] = ()
    expect: tuple[Expectation, ...] = ()

    def __post_init__(self) -> None:
        if self.derived:
            check_derived(self.derived, self.columns)

    @classmethod
    def of(cls, columns: Mapping[str, Column]) -> Schema:
        """A schema from columns by name."""
        return cls(fields=tuple(Field(name=name, column=column) for name, column in columns.items()))

    def fit(self, batch: Mapping[str, Values], *, missing: Mapping[str, bool] | None = None) -> Schema:
        """Every column fitted on the training part, with what it learned about missing values; `missing` declares it by name."""
        declared = missing or {}
        fields: list[Field] = []
        for field in self.fields:
            values = batch[field.name]
            try:
                column = field.column.fit(values)
                accepts = declared.get(field.name, bool(gaps(column, values).any()))
            except ValueRejected as bad:
                raise _named(bad, field) from None
            if field.private:
                column = coarse(column, values)
            fields.append(Field(name=field.name, column=column, missing=accepts, private=field.private))
        return Schema(fields=tuple(fields), derived=self._fitted(batch), expect=self.expect)

    def _fitted(self, batch: Mapping[str, Values]) -> tuple[Derived, ...]:
        made: list[Derived] = []
        for one in self.derived:
            values_N = one.values(*(self.numbers(name, batch[name]) for name in one.of))
            column = Number().fit(values_N)
            personal = any(field.private for field in self.fields if field.name in one.of)
            made.append(msgspec.structs.replace(one, column=coarse(column, values_N) if personal else column))
        return tuple(made)

    @functools.cached_property
    def layout(self) -> Layout:
        """Which arrays a batch becomes. Known once fitted."""
        numbers: list[Ref] = []
        codes: list[Ref] = []
        arrays: list[Named] = []
        for field in self.fields:
            for slot in field.column.slots:
                if slot.role == "number":
                    numbers.append(Ref(field=field.name, slot=slot.name))
                elif slot.role == "code":
                    codes.append(Ref(field=field.name, slot=slot.name, size=slot.size))
                else:
                    arrays.append(Named(name=f"{field.name}.{slot.name}", field=field.name, slot=slot))
        numbers += [Ref(field=one.name, slot="value") for one in self.derived]
        return Layout(numbers=tuple(numbers), codes=tuple(codes), arrays=tuple(arrays))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def private(self) -> frozenset[str]:
        """The inputs whose values are shown nowhere."""
        return frozenset(field.name for field in self.fields if field.private)

    @functools.cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by name."""
        return {field.name: field.column for field in self.fields}

    def numbers(self, name: str, values: Values) -> Floats:
        """(N,) float64 of a number column's raw values, mended and not shifted, NaN where missing.

        Raises:
            ValueRejected: a value is no number.
        """
        try:
            return read_numbers(meant(self.columns[name], values))
        except ValueRejected as bad:
            raise _named(bad, next(field for field in self.fields if field.name == name)) from None

    def derive(self, numbers_NF: NDArray[np.float32], *, of: str) -> None:
        """Compute the numbers that are derived from the input `of` again, in place, from what the array `numbers` has of their sources.

        For who moves encoded values between rows. Equal to encoding the raw values up to the resolution of float32.
        """
        place = {ref.field: position for position, ref in enumerate(self.layout.numbers)}
        for one in self.derived:
            if of in one.of:
                shifted = [inside(self.columns[name]) for name in one.of]
                raw = [
                    numbers_NF[:, place[name]].astype(np.float64) + (column.offset if isinstance(column, Number) else 0.0)
                    for name, column in zip(one.of, shifted, strict=True)
                ]
                numbers_NF[:, place[one.name]] = one.encode(*raw)

    @property
    def needs(self) -> tuple[str, ...]:
        """The extras of the package that encoding JSON values of this schema needs."""
        return tuple(sorted({need for field in self.fields for need in field.column.needs}))

    @property
    def assets(self) -> tuple[Asset, ...]:
        """The files that the columns need, each once."""
        return tuple({asset.name: asset for field in self.fields for asset in assets_of(field.column)}.values())

    def encode(self, batch: Mapping[str, Values]) -> Arrays:
        """N rows of raw values -> the arrays of `layout`. Names that the schema does not have are ignored.

        Raises:
            DataError: a column is not there, or lengths differ.
            ValueRejected: a value does not fit its column, with row and column.
        """
        return self.encoder()(batch)

    def encoder(self) -> Encoder:
        """The fused encoder, made once: equal to encoding column by column, and cheaper than a small model."""
        return self._encoder

    @functools.cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self)

    def check(self, batch: Mapping[str, Values]) -> int:
        """The number of rows, after making sure that every column is there and all are equally long.

        Raises:
            DataError: otherwise.
        """
        lengths: dict[str, int] = {}
        for field in self.fields:
            if field.name not in batch:
                raise DataError(
                    f"the column `{field.name}`",
                    rule="in the data, as it was in training",
                    given=Told(f"columns {', '.join(list(batch)[:12])}"),
                    remedy=did_you_mean(field.name, batch),
                )
            lengths[field.name] = len(batch[field.name])
        if len(set(lengths.values())) > 1:
            raise DataError("all columns of a batch", rule="equally long", given=lengths)
        return next(iter(lengths.values()), 0)


class Encoder:
    """Raw values -> fused arrays, once per batch.

    Plain Number columns, the bulk of most tables, are converted together: one array, one check, one subtraction of all offsets.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        for field in schema.fields:
            column = inside(field.column)
            if isinstance(column, Hashed):
                _ = column.key  # once, here: a service without the salt does not start
        self._plain = [field for field in schema.fields if type(field.column) is Number]
        self._rest = [field for field in schema.fields if type(field.column) is not Number]
        offsets = [field.column.offset for field in self._plain]
        self._offsets_F1 = np.array(offsets, dtype=np.float64)[:, None] if any(offsets) else None
        self._strict = [position for position, field in enumerate(self._plain) if not field.missing]
        layout = schema.layout
        place = {(ref.field, ref.slot): position for position, ref in enumerate(layout.numbers)}
        self._numbers, self._codes = len(layout.numbers), len(layout.codes)
        self._places = [place[field.name, "value"] for field in self._plain]
        self._all_plain = self._numbers == len(self._plain) + len(schema.derived)
        self._derived = Together(schema.derived, schema.names) if schema.derived else None
        self._place = place
        self._code_place = {(ref.field, ref.slot): position for position, ref in enumerate(layout.codes)}

    def __call__(self, batch: Mapping[str, Values]) -> Arrays:
        rows = self.schema.check(batch)
        arrays: Arrays = {}
        numbers_NF = np.empty((rows, self._numbers), dtype=np.float32) if self._numbers else None
        codes_NC = np.empty((rows, self._codes), dtype=np.int64) if self._codes else None
        if self._plain and numbers_NF is not None:
            plain_FN = self._together([batch[field.name] for field in self._plain], batch)
            if self._all_plain:
                numbers_NF[:, : len(self._plain)] = plain_FN.T
            else:
                numbers_NF[:, self._places] = plain_FN.T
        for field in self._rest:
            for slot, array in zip(field.column.slots, self._one(field, batch[field.name]), strict=True):
                if slot.role == "number" and numbers_NF is not None:
                    numbers_NF[:, self._place[field.name, slot.name]] = array
                elif slot.role == "code" and codes_NC is not None:
                    codes_NC[:, self._code_place[field.name, slot.name]] = array
                else:
                    arrays[f"{field.name}.{slot.name}"] = array
        if numbers_NF is not None:
            for one in self.schema.derived:
                numbers_NF[:, self._place[one.name, "value"]] = one.encode(*(self.schema.numbers(name, batch[name]) for name in one.of))
            arrays["numbers"] = numbers_NF
        if codes_NC is not None:
            arrays["codes"] = codes_NC
        return arrays

    def rows(self, rows: Sequence[Sequence[Any]]) -> Arrays:
        """The same from N >= 1 rows as `Requests.decode` gives them: typed values in the order of the schema.

        Where all inputs are plain numbers one array is made of all rows; going by columns would cost a lone row more than a small model.
        """
        if self._all_plain and not self._rest and self._plain:
            try:
                x_NF = np.array(rows, dtype=np.float64)  # None becomes NaN
            except OverflowError:
                return self(self._columns(rows))
            made_ND = self._derived.encode(x_NF) if self._derived is not None else None
            if self._offsets_F1 is not None:
                x_NF -= self._offsets_F1.T
            with np.errstate(over="ignore"):
                numbers_NF = x_NF.astype(np.float32)
            if np.isfinite(numbers_NF).all():
                return {"numbers": numbers_NF if made_ND is None else np.concatenate([numbers_NF, made_ND], axis=1)}
        return self(self._columns(rows))

    def _columns(self, rows: Sequence[Sequence[Any]]) -> Batch:
        return dict(zip(self.schema.names, map(list, zip(*rows, strict=True)), strict=True))

    def _together(self, columns: list[Values], batch: Mapping[str, Values]) -> NDArray[np.float32]:
        """All plain numbers -> (F, N) float32; anything unusual goes column by column, where the errors are."""
        listed = all(type(values) is list or type(values) is tuple for values in columns)
        if not listed or not set(map(type, itertools.chain.from_iterable(columns))) <= _PLAIN:
            return self._apart(batch)
        try:
            x_FN = np.array(columns, dtype=np.float64)
        except OverflowError:
            return self._apart(batch)
        if self._offsets_F1 is not None:
            x_FN -= self._offsets_F1
        with np.errstate(over="ignore"):
            single_FN = x_FN.astype(np.float32)
        if np.isinf(single_FN).any() or (self._strict and np.isnan(single_FN[self._strict]).any()):
            return self._apart(batch)
        return single_FN

    def _apart(self, batch: Mapping[str, Values]) -> NDArray[np.float32]:
        return np.stack([self._one(field, batch[field.name])[0] for field in self._plain])

    def _one(self, field: Field, values: Values) -> tuple[NDArray[Any], ...]:
        mended = isinstance(field.column, Repaired)
        if not field.missing and not mended:
            self._present(field, gaps(field.column, values), values)
        try:
            arrays = encode_once(field.column, values)
        except ValueRejected as bad:
            raise _named(bad, field) from None
        if not field.missing and mended:  # what is missing is known once it is mended
            slot, first = field.column.slots[0], arrays[0]
            known = {"code": lambda: first == 0, "number": lambda: np.isnan(first)}.get(slot.role)
            self._present(field, gaps(field.column, values) if known is None else known(), values)
        return arrays

    def _present(self, field: Field, missing_N: NDArray[np.bool_], values: Values) -> None:
        if missing_N.any():
            row = int(missing_N.argmax())
            bad = ValueRejected(
                "",
                rule="present, since no value was missing in training",
                given=None if is_missing(values[row]) else values[row],
                remedy=f"Send a value, or declare `columns: {{{field.name}: {{missing: accept}}}}` and train again.",
                where=f"row {row}",
            )
            raise _named(bad, field)


_PLAIN = {float, int, type(None)}


def batch_of(rows: Iterable[Mapping[str, object]], names: Iterable[str]) -> Batch:
    """Rows -> columns, None where a row lacks a name.

    >>> batch_of([{"a": 1}, {}], ["a"])
    {'a': [1, None]}
    """
    listed = list(rows)
    return {name: [row.get(name) for row in listed] for name in names}


def _named(bad: ValueRejected, field: Field) -> ValueRejected:
    """The same rejection with the column's name, and without the value where it is personal."""
    told = hiding(bad) if field.private else bad
    return ValueRejected(f"`{field.name}`", rule=told.rule, given=Told(told.given), remedy=told.remedy, where=told.where)
