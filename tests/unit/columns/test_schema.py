from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.columns.audio import Audio, Clip
from fermion.columns.category import Category
from fermion.columns.column import Column
from fermion.columns.flag import Flag
from fermion.columns.image import Image
from fermion.columns.missing import missing_rows
from fermion.columns.number import Number
from fermion.columns.schema import Field, Named, Ref, Schema, batch_of
from fermion.columns.sequence import Sequence, Steps
from fermion.columns.text import Text
from fermion.columns.time import Time
from fermion.core.errors import DataError, SpecError, ValueRejected


def value_of(column: Column, chance: random.Random) -> Any:
    if isinstance(column, Number):
        return chance.choice([chance.uniform(-1e6, 1e6), chance.randint(-5, 5), chance.uniform(1.7e9, 1.7e9 + 1e6)])
    if isinstance(column, Category):
        return chance.choice(["a", "b", "c", "é", 7])
    if isinstance(column, Flag):
        return chance.random() < 0.5
    if isinstance(column, Time):
        return f"20{chance.randint(10, 40)}-0{chance.randint(1, 9)}-{chance.randint(10, 28)}T{chance.randint(10, 23)}:00:00"
    return np.full((2, 3), chance.randrange(256), dtype=np.uint8)


def table_of(chance: random.Random, rows: int) -> tuple[dict[str, Column], dict[str, list[Any]]]:
    """Columns of random kinds under random names, with missing values in some of them."""
    kinds: list[type[Any]] = [Number, Number, Number, Category, Flag, Time, Image]
    columns: dict[str, Column] = {f"{chance.choice('xyz é')}{at}": chance.choice(kinds)() for at in range(chance.randint(1, 9))}
    holes = {name: chance.choice([0.0, 0.0, 0.3]) for name in columns}
    return columns, {
        name: [None if chance.random() < holes[name] else value_of(column, chance) for _ in range(rows)] for name, column in columns.items()
    }


def one_by_one(schema: Schema, batch: dict[str, Any]) -> dict[str, Any]:
    """What the layout says, put together from every column's own encoding."""
    alone = {
        (field.name, slot.name): array
        for field in schema.fields
        for slot, array in zip(field.column.slots, field.column.encode(batch[field.name]), strict=True)
    }
    layout = schema.layout
    arrays = {named.name: alone[named.field, named.slot.name] for named in layout.arrays}
    if layout.numbers:
        arrays["numbers"] = np.stack([alone[ref.field, ref.slot] for ref in layout.numbers], axis=1)
    if layout.codes:
        arrays["codes"] = np.stack([alone[ref.field, ref.slot] for ref in layout.codes], axis=1)
    return arrays


def as_arrays(batch: dict[str, list[Any]]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name, values in batch.items():
        arrays[name] = np.empty(len(values), dtype=object)
        for row, value in enumerate(values):
            arrays[name][row] = value
    return arrays


@pytest.mark.parametrize("seed", range(60))
def test_the_fused_encoder_equals_column_by_column(seed: int) -> None:
    chance = random.Random(seed)
    rows = chance.choice([1, 2, 17])
    columns, batch = table_of(chance, rows)
    schema = Schema.of(columns).fit(batch)
    again = msgspec.json.decode(msgspec.json.encode(schema), type=Schema)
    assert again == schema
    expected = one_by_one(schema, batch)
    shuffled = dict(chance.sample(list(batch.items()), len(batch)))
    for encoded in (
        schema.encode(batch),
        again.encode(shuffled),
        schema.encode(as_arrays(batch)),
        schema.encode({**batch, "more": [1] * rows}),
    ):
        assert set(encoded) == set(expected) == set(schema.layout.names)
        for name, array in expected.items():
            np.testing.assert_array_equal(encoded[name], array, strict=True)
    for row in range(rows):
        alone = schema.encode({name: values[row : row + 1] for name, values in batch.items()})
        for name, array in expected.items():
            np.testing.assert_array_equal(alone[name], array[row : row + 1], strict=True)
    for name, array in schema.encode({name: [] for name in batch}).items():
        assert array.shape == (0, *expected[name].shape[1:])
        assert array.dtype == expected[name].dtype


def test_the_layout_names_every_array() -> None:
    schema = Schema.of({"n": Number(), "c": Category(), "t": Time(parts=("hour", "day")), "i": Image(height=2, width=2, channels=1)})
    layout = schema.layout
    assert layout.names == ("numbers", "codes", "i.pixels")
    assert layout.numbers == (Ref(field="n", slot="value"), Ref(field="t", slot="hour"), Ref(field="t", slot="day"))
    assert layout.codes == (Ref(field="c", slot="code", size=2),)
    assert layout.arrays == (Named(name="i.pixels", field="i", slot=schema.fields[3].column.slots[0]),)


class TestMissing:
    def test_training_teaches_whether_a_value_may_be_missing(self) -> None:
        schema = Schema.of({"a": Number(), "b": Number()}).fit({"a": [1.0, None], "b": [1.0, 2.0]})
        assert [field.missing for field in schema.fields] == [True, False]
        assert np.isnan(schema.encode({"a": [None], "b": [1.0]})["numbers"][0, 0])
        with pytest.raises(ValueRejected) as raised:
            schema.encode({"a": [1.0, 1.0], "b": [1.0, None]})
        assert str(raised.value) == (
            "row 1: `b` must be present, since no value was missing in training, got None. "
            "Send a value, or declare `columns: {b: {missing: accept}}` and train again."
        )

    def test_what_is_declared_counts(self) -> None:
        schema = Schema.of({"a": Number(), "b": Number()}).fit({"a": [1.0, None], "b": [1.0, 2.0]}, missing={"a": False, "b": True})
        assert [field.missing for field in schema.fields] == [False, True]

    @pytest.mark.parametrize("nothing", [None, float("nan"), np.float32("nan"), np.float64("nan")])
    def test_nan_of_any_kind_is_missing(self, nothing: object) -> None:
        schema = Schema.of({"a": Number()}).fit({"a": [1.0]})
        for values in ([1.0, nothing], np.array([1.0, nothing], dtype=np.float32), np.array([1.0, nothing], dtype=object)):
            with pytest.raises(ValueRejected, match=r"^row 1: `a` must be present"):
                schema.encode({"a": values})

    def test_rows(self) -> None:
        assert missing_rows(np.array(["2026-01-01", "NaT"], dtype="datetime64[s]")).tolist() == [False, True]
        assert missing_rows([np.datetime64("NaT"), "", 0, False, [], np.zeros(2)]).tolist() == [True, False, False, False, False, False]
        assert missing_rows(np.array([1, 2])).tolist() == [False, False]
        assert missing_rows([]).shape == (0,)


class TestRefusals:
    schema = Schema.of({"age": Number(), "city": Category(), "ok": Flag()}).fit(
        {"age": [30.0, 40.0], "city": ["a", "b"], "ok": [True, False]}
    )

    def test_a_column_that_vanished(self) -> None:
        with pytest.raises(DataError) as raised:
            self.schema.encode({"agee": [1.0], "city": ["a"], "ok": [True]})
        assert str(raised.value) == (
            "the column `age` must be in the data, as it was in training, got columns agee, city, ok. Did you mean `agee`?"
        )

    def test_columns_of_different_lengths(self) -> None:
        with pytest.raises(DataError, match="all columns of a batch must be equally long"):
            self.schema.encode({"age": [1.0, 2.0], "city": ["a"], "ok": [True]})

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("age", "30", "row 1: `age` must be a finite number or null, got '30'."),
            ("age", True, "row 1: `age` must be a finite number or null, got True."),
            ("age", float("inf"), "row 1: `age` must be a finite number or null, got inf."),
            ("age", 1e300, "row 1: `age` must be between -3.4e38 and 3.4e38, got 1e+300."),
            ("age", 10**400, "row 1: `age` must be a finite number or null, got 1000"),
            ("city", 1.5, "row 1: `city` must be text, a whole number or null, got 1.5."),
            ("ok", 1, "row 1: `ok` must be true, false or null, got 1."),
        ],
    )
    def test_a_wrong_value_names_row_and_column(self, name: str, value: object, says: str) -> None:
        batch: dict[str, Any] = {"age": [30.0, 30.0], "city": ["a", "a"], "ok": [True, True]}
        batch[name][1] = value
        with pytest.raises(ValueRejected) as raised:
            self.schema.encode(batch)
        assert str(raised.value).startswith(says)

    def test_a_bad_training_value_names_its_column(self) -> None:
        with pytest.raises(ValueRejected, match=r"^row 1: `age` must be a finite number or null, got 'x'"):
            Schema.of({"age": Number()}).fit({"age": [1.0, "x"]})

    def test_a_column_of_a_plugin_that_is_not_installed(self) -> None:
        raw = msgspec.json.encode(Field(name="price", column=Number())).replace(b'"number"', b'"money"')
        with pytest.raises(SpecError, match=r"^column `price`: the column type must be one of .*, got 'money'"):
            msgspec.json.decode(raw, type=Field)

    @pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\ud800"])
    def test_a_name_that_no_request_can_carry(self, name: str) -> None:
        with pytest.raises(DataError, match=r"the name of a column must be text without double quotes.* Rename it"):
            Schema.of({name: Number()})


def test_needs_are_those_of_the_columns() -> None:
    assert Schema.of({"a": Number(), "b": Image(resize=True), "c": Image(files=True)}).needs == ("media",)


def test_rows_become_columns() -> None:
    assert batch_of([{"a": 1, "b": 2}, {"b": 3}], ["b", "a"]) == {"b": [2, 3], "a": [1, None]}
    assert batch_of([], ["a"]) == {"a": []}


TONE = np.sin(np.arange(4000) / 5).astype(np.float32)
HOLDING_NOTHING: list[tuple[Column, list[Any], list[Any]]] = [
    (Sequence(), [[1.0, 2.0], [None, 3.0]], [[], [None], [None, float("nan")], np.full(3, np.nan)]),
    (Sequence(variables=2), [[[1.0, None]], [[0.0, 2.0]]], [[], [None], [[None, None], None]]),
    (
        Sequence(times=True),
        [{"times": [0.0], "values": [1.0]}, {"times": [0.0, 1.0], "values": [None, 3.0]}],
        [{"times": [], "values": []}, Steps(times=[1.0], values=[None])],
    ),
    (Audio(rate=8000, mels=8), [TONE, TONE[:2000]], [np.empty(0, np.float32), {"rate": 8000, "samples": []}, Clip(rate=8000, samples=b"")]),
    (Text(vocabulary=300), ["good food", "bad food"], ["", " \n\t"]),
]


@pytest.mark.parametrize(("column", "full", "nothing"), HOLDING_NOTHING, ids=["series", "pairs", "times", "clip", "text"])
def test_a_value_that_holds_nothing_is_a_missing_one(column: Column, full: list[Any], nothing: list[Any]) -> None:
    """Refused where training had no missing value, as null is; where it had one, in whichever form, all are taken."""
    strict = Schema.of({"x": column}).fit({"x": full})
    assert len(next(iter(strict.encode({"x": full}).values()))) == len(full)
    for value in nothing:
        with pytest.raises(ValueRejected, match=r"row 1: `x` must be present, since no value was missing.+, got .+missing: accept"):
            strict.encode({"x": [full[0], value]})
        assert Schema.of({"x": column}).fit({"x": [*full, value]}).fields[0].missing
        forgiving = Schema.of({"x": column}).fit({"x": full}, missing={"x": True})
        arrays = forgiving.encode({"x": [value, None, full[0]]})
        assert all(len(array) == 3 for array in arrays.values())
        if not isinstance(column, Text):  # white space has tokens
            assert all(np.array_equal(array[0, :1], array[1, :1], equal_nan=True) for array in arrays.values() if array.dtype != bool)
