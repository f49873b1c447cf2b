from __future__ import annotations

import pickle
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.image import Image
from fermion.columns.infer import infer
from fermion.columns.number import Number
from fermion.columns.repair import Repaired, check_repair
from fermion.columns.request import Requests
from fermion.columns.schema import Field, Schema
from fermion.columns.time import Time
from fermion.core.declared import Declared, Repair
from fermion.core.errors import RequestRejected, SpecError, ValueRejected


def number(**rules: Any) -> Repaired:
    return Repaired(column=Number(), repair=Repair(**rules))


@pytest.mark.parametrize(
    ("rules", "text", "x"),
    [
        ({"thousands": ","}, "1,234.50", 1234.5),
        ({"thousands": ","}, "12,345,678", 12345678.0),
        ({"thousands": ".", "decimal": ","}, "-1.234,5", -1234.5),
        ({"thousands": " ", "decimal": ","}, "1\u202f234\u00a0567,5", 1234567.5),
        ({"thousands": "'"}, "1\u2019234.5", 1234.5),
        ({"thousands": "_"}, "1_000", 1000.0),
        ({"strip": ("$", "USD")}, "USD -$ 5.5", -5.5),
        ({"strip": ("%",)}, "12.5 %", 12.5),
        ({"units": {"kg": 1.0, "g": 0.001}}, "500 G", 0.5),
        ({"units": {"m": 1.0, "M": 1e6}}, "2 M", 2e6),
        ({"units": {"ft": 0.3048}, "thousands": ","}, "1,000ft", 304.8),
        ({}, "+1e-3", 0.001),
        ({}, "\u22125", -5.0),
    ],
)
def test_numbers_in_texts(rules: Any, text: str, x: float) -> None:
    assert number(**rules).value(text) == pytest.approx(x)


def test_a_million_rows_mend_every_text_once() -> None:
    column, calls = number(thousands=","), []
    mend = column._mend  # pyright: ignore[reportPrivateUsage]
    column.__dict__["_mend"] = lambda text: calls.append(text) or mend(text)  # type: ignore[func-returns-value]
    values = ["1,000", "2,000.5"] * 1000
    assert column.encode(values)[0][:2].tolist() == [1000.0, 2000.5]
    assert calls == ["1,000", "2,000.5"]


def test_arrays_of_numbers_pass_without_a_copy() -> None:
    x = np.array([1.0, np.nan])
    assert number().repaired(x) is x


def test_the_raw_value_and_the_rule_are_named() -> None:
    with pytest.raises(ValueRejected) as raised:
        number(thousands=",", missing=("NA",)).encode(["1,000", "NA", "1,00"])
    assert str(raised.value) == (
        "row 2: value must be a number with `.` before decimals, `,` between groups of three digits, or missing as 'NA', got '1,00'."
    )
    with pytest.raises(ValueRejected, match=r"^row 1: value must be a finite number or null, got '1e999'"):
        number().encode(["1", "1e999"])
    with pytest.raises(ValueRejected, match=r"true or false as one of ja, nein or null, got 'yes'"):
        Repaired(column=Flag(), repair=Repair(truth={"ja": True, "nein": False})).encode(["yes"])
    with pytest.raises(ValueRejected, match=r"a date or time as %d.%m.%Y, ISO 8601 or null, got '31.02.2026'"):
        Repaired(column=Time(), repair=Repair(dates=("%d.%m.%Y",))).encode(["31.02.2026"])


def test_dates_take_the_first_form_that_reads_them_and_iso() -> None:
    column = Repaired(column=Time(), repair=Repair(dates=("%d/%m/%Y", "%m/%d/%Y")))
    read: Any = column.repaired(["01/02/2026", "02/13/2026", "2026-03-01", None])
    assert read.astype("datetime64[D]").astype(str).tolist() == ["2026-02-01", "2026-02-13", "2026-03-01", "NaT"]


def test_names_are_written_alike_and_merged() -> None:
    column = Repaired(column=Category(), repair=Repair(text=("spaces", "strip", "lower"), merge={"NYC": "new york"}, missing=("NA",)))
    assert column.fit([" nyc", "New  York", "na", "Bern"]).column.levels == ("new york", "bern")


def test_what_is_missing_is_known_once_it_is_mended() -> None:
    fields = (Field(name="a", column=number(missing=("NA",))), Field(name="b", column=number(missing=("NA",))))
    schema = Schema(fields=fields).fit({"a": ["1", "NA"], "b": ["1", "2"]})
    assert [field.missing for field in schema.fields] == [True, False]
    with pytest.raises(ValueRejected, match=r"^row 1: `b` must be present, since no value was missing in training, got 'NA'"):
        schema.encode({"a": ["1", "NA"], "b": ["1", "NA"]})
    with pytest.raises(ValueRejected, match=r"^row 0: `b` must be present, since no value was missing in training, got None"):
        schema.encode({"a": ["1"], "b": [None]})


def test_requests_take_what_training_took() -> None:
    repairs = {"price": number(strip=("$",)), "ok": Repaired(column=Flag(), repair=Repair(truth={"1": True, "no": False}))}
    schema = Schema.of({**repairs, "day": Repaired(column=Time(), repair=Repair(dates=("%d.%m.%Y",)))}).fit(
        {"price": ["$1"], "ok": ["no"], "day": ["1.2.2026"]}
    )
    requests = Requests(schema)
    rows = requests.decode(b'{"rows": [{"price": "$2.50", "ok": 1, "day": "2.2.2026"}, {"price": 2.5, "ok": true, "day": "2026-02-02"}]}')
    encoded = schema.encoder().rows(rows)["numbers"]
    np.testing.assert_array_equal(encoded[0], encoded[1])
    with pytest.raises(RequestRejected, match=r"price"):
        requests.decode(b'{"rows": [{"price": [], "ok": 1, "day": "2.2.2026"}]}')


def test_a_fitted_column_survives_json_and_pickling() -> None:
    column = number(thousands=",").fit(["1,000", "1,001"])
    assert column.column.offset == 1000.0
    again = msgspec.json.decode(msgspec.json.encode(Field(name="x", column=column)), type=Field).column
    assert again == column == pickle.loads(pickle.dumps(column))
    assert again.encode(["1,001"])[0].tolist() == [1.0]


def test_what_cannot_be_repaired() -> None:
    with pytest.raises(SpecError, match="the column behind a repair must be one of numbers"):
        Repaired(column=Image())
    with pytest.raises(SpecError, match="the column behind a repair must be one of numbers"):
        Repaired(column=number())
    with pytest.raises(SpecError, match=r"repair.thousands must be another sign than repair.decimal"):
        number(thousands=".")
    with pytest.raises(SpecError, match=r"a rule for a number must be one of missing, decimal.* got `dates`"):
        check_repair(Repair(dates=("%Y",)), Number())


class TestInfer:
    def column(self, values: Any, **said: Any) -> Any:
        return infer({"x": values}, {"x": Declared(**said)}).schema.fields[0].column

    def test_the_rules_say_what_the_column_is(self) -> None:
        assert type(self.column(["1,000", "?"], repair=Repair(thousands=",", missing=("?",))).column) is Number
        assert type(self.column(["ja"], repair=Repair(truth={"ja": True})).column) is Flag
        assert type(self.column(["1.2.26"], repair=Repair(dates=("%d.%m.%y",))).column) is Time
        assert type(self.column(["NYC "], repair=Repair(text=("strip",))).column) is Category
        assert type(self.column(["1.5", "NA"], repair=Repair(missing=("NA",))).column) is Number
        assert type(self.column(["a", "NA"], repair=Repair(missing=("NA",))).column) is Category
        assert type(self.column(["2026-01-01", "NA"], repair=Repair(missing=("NA",))).column) is Time

    def test_a_declared_column_is_wrapped(self) -> None:
        column = self.column(["1", "NA"], column=Category(most=3), repair=Repair(missing=("NA",)))
        assert column == Repaired(column=Category(most=3), repair=Repair(missing=("NA",)))
        with pytest.raises(SpecError, match="a rule for a number"):
            self.column(["1"], column=Number(), repair=Repair(truth={"1": True}))


def test_what_is_mended_stays_as_it_is_when_it_is_mended_again() -> None:
    """A table is mended before the split, and the columns mend what they read."""
    column = Repaired(
        column=Category(), repair=Repair(text=("lower", "strip"), merge={"nyc": "New York", "big apple": "nyc", "ROME": "Roma"})
    )
    once = column.repaired(["NYC", "Big Apple ", "rome", "Roma", "new york", "Bern"])
    assert once == ["New York", "New York", "Roma", "Roma", "New York", "bern"]
    assert column.repaired(once) == once


def test_what_was_mended_to_a_truth_value_reads_back() -> None:
    column = Repaired(column=Flag(), repair=Repair(truth={"yes": True, "no": False}))
    assert column.repaired(["yes", "true", "False"]) == [True, True, False]
