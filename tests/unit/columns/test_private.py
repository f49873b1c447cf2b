from __future__ import annotations

import pickle
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.image import Image
from fermion.columns.infer import infer
from fermion.columns.number import Number
from fermion.columns.patterns import personal, redacted
from fermion.columns.private import Hashed, Redacted, coarse, invented
from fermion.columns.repair import Repaired
from fermion.columns.schema import Field, Schema
from fermion.columns.time import Time
from fermion.core.declared import Declared, Repair
from fermion.core.errors import SpecError, UsageError, ValueRejected

SALT = "FERMION_TEST_SALT"


@pytest.fixture(autouse=True)
def salt(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(SALT, "of at least sixteen letters")
    return "of at least sixteen letters"


class TestHashed:
    def test_neither_values_nor_salt_are_in_what_is_stored(self, salt: str) -> None:
        fitted = Hashed(salt=SALT).fit(["Ada Lovelace", "Bob"])
        _ = fitted.encode(["Bob"])
        for stored in (msgspec.json.encode(fitted), pickle.dumps(fitted), repr(fitted).encode()):
            assert b"Ada" not in stored
            assert salt.encode() not in stored
        assert all(isinstance(level, str) and len(level) == 16 for level in fitted.column.levels)

    def test_the_salt_decides(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one = Hashed(salt=SALT).fit(["Ada"])
        monkeypatch.setenv(SALT, "another one, long enough")
        assert Hashed(salt=SALT).fit(["Ada"]).column.levels != one.column.levels

    def test_no_salt_another_one_or_a_short_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        schema = Schema(fields=(Field(name="who", column=Hashed(salt=SALT), private=True),)).fit({"who": ["Ada"]})
        stored = msgspec.json.encode(schema)
        monkeypatch.setenv(SALT, "another one, long enough")
        with pytest.raises(UsageError, match=r"`FERMION_TEST_SALT` must be the salt that training used, got another"):
            msgspec.json.decode(stored, type=Schema).encoder()
        monkeypatch.setenv(SALT, "short")
        with pytest.raises(UsageError, match=r"at least 16 characters long, got 5 characters"):
            msgspec.json.decode(stored, type=Schema).encoder()
        monkeypatch.delenv(SALT)
        with pytest.raises(UsageError, match=r"the one that training used, got nothing. Keep it outside the repository and set it: export"):
            msgspec.json.decode(stored, type=Schema).encoder()

    def test_the_salt_is_read_when_the_encoder_is_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        encoder = Schema(fields=(Field(name="who", column=Hashed(salt=SALT)),)).fit({"who": ["Ada"]}).encoder()
        monkeypatch.delenv(SALT)
        assert encoder({"who": ["Ada"]})["codes"].tolist() == [[2]]

    def test_what_is_refused_is_not_shown(self) -> None:
        with pytest.raises(ValueRejected, match=r"^row 0: value must be text, a whole number or null, got a private value"):
            Hashed(salt=SALT).encode([1.25])


PERSONAL = [
    ("mail ada.l+x@sub.example.co.uk.", "mail <EMAIL>."),
    ("IBAN DE89 3704 0044 0532 0130 00 now", "IBAN <IBAN> now"),
    ("GB82WEST12345698765432", "<IBAN>"),
    ("5555-5555-5555-4444", "<CARD>"),
    ("card 378282246310005", "card <CARD>"),
    ("from 192.168.1.1", "from <IP>"),
    ("2001:db8::8a2e:370:7334", "<IP>"),
    ("+49 30 901820", "<PHONE>"),
    ("(555) 234-5678", "<PHONE>"),
    ("tel 555-123-4567", "tel <PHONE>"),
    ("0171/1234567", "<PHONE>"),
    ("078-05-1120", "<ID>"),
    ("AB 12 34 56 C", "<ID>"),
    ("756.9217.0769.85", "<ID>"),
    ("12345678Z", "<ID>"),
    ("X1234567L", "<ID>"),
    ("1 85 05 78 006 084 91", "<ID>"),
    ("RSSMRA85T10A562S", "<ID>"),
    ("86095742719", "<ID>"),
]
HARMLESS = [
    "1234567890123456",  # no card: the check digit is wrong
    "GB83WEST12345698765432",
    "2026-03-01 12:00:30",
    "25.12.2023",
    "price 1234567.89",
    "1,234,567.89",
    "order 12345678",
    "12:30:45",
    "00:1A:2B:3C:4D:5E",
    "v1.2.3.4",
    "999.1.1.1",
    "12345678A",
    "tracking 1Z999AA10123456784",
    "0.000123456",
    "<EMAIL> <PHONE>",
    "",
]


class TestPatterns:
    @pytest.mark.parametrize(("text", "left"), PERSONAL)
    def test_what_is_personal(self, text: str, left: str) -> None:
        assert redacted(text) == left == redacted(left)
        assert len(personal(text)) == 1

    @pytest.mark.parametrize("text", HARMLESS)
    def test_what_is_not(self, text: str) -> None:
        assert redacted(text) == text

    @pytest.mark.parametrize("evil", ["1 ", "a@", "1.", ":", "GB82 AAAA ", "(", "x@a-", "x@a.", "+1 ", "a."])
    def test_no_text_takes_for_ever(self, evil: str) -> None:
        began = time.perf_counter()
        redacted(evil * (100_000 // len(evil)))
        assert time.perf_counter() - began < 3

    def test_whole_numbers_are_searched_too(self) -> None:
        assert Redacted().redacted([4111111111111111, 7, None, 1.5]) == ["<CARD>", 7, None, 1.5]

    def test_it_wraps_columns_that_read_texts(self) -> None:
        for column in (Number(), Redacted(), Hashed()):
            with pytest.raises(SpecError, match="the column of redacted texts must be one that reads texts"):
                Redacted(column=column)


class TestDeclared:
    def field(self, values: Any, **said: Any) -> Field:
        return infer({"x": values}, {"x": Declared(**said)}, salt=SALT).schema.fields[0]

    def test_the_column_is_wrapped_and_marked(self) -> None:
        assert self.field(["Ada"], private="hash") == Field(name="x", column=Hashed(salt=SALT), private=True)
        assert self.field(["Ada"], private="redact") == Field(name="x", column=Redacted(column=Category()), private=True)
        assert self.field([1.5], private="keep") == Field(name="x", column=Number(), private=True)
        repair = Repair(text=("strip",))
        assert self.field(["Ada"], private="hash", repair=repair).column == Repaired(column=Hashed(salt=SALT), repair=repair)

    def test_names_of_rows_can_be_hashed(self) -> None:
        assert isinstance(self.field([f"id {n}" for n in range(100)], private="hash").column, Hashed)

    def test_what_was_dropped_is_not_missed(self) -> None:
        said = {"gone": Declared(private="drop")}
        assert infer({"x": [1.0]}, said).schema.names == infer({"x": [1.0], "gone": [1.0]}, said).schema.names == ("x",)

    def test_numbers_cannot_be_hashed(self) -> None:
        with pytest.raises(SpecError, match="a column with `private: hash` must be a category, got a number"):
            self.field([1.0], column=Number(), private="hash")

    def test_errors_hide_private_values(self) -> None:
        schema = Schema(fields=(Field(name="x", column=Number(), private=True),)).fit({"x": [1.0]})
        with pytest.raises(ValueRejected) as raised:
            schema.encode({"x": [1.0, "secret"]})
        assert str(raised.value).startswith("row 1: `x` must be a finite number or null, got a private value.")


def test_learned_bounds_are_no_values() -> None:
    values = [1951.0, 2004.0, None]
    assert coarse(Number().fit(values), values).offset not in values
    moments = ["1990-05-01", "1992-01-01"]
    time = coarse(Time().fit(moments), moments)
    assert 0 < Time().fit(moments).origin - time.origin < 32 * 86400
    repaired = Repaired(column=Number()).fit(["1951", "2004"])
    assert coarse(repaired, ["1951", "2004"]).column.offset not in (1951.0, 2004.0)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Number(), [31.0, 45.0, None, 31.0]),
        (Number(), [7.0]),
        (Number(), [0.0, 0.0]),
        (Repaired(column=Number(), repair=Repair(thousands=",")), ["1,234", "5,678"]),
        (Time(), ["1990-05-01", None, "1991-01-01"]),
        (Time(unit="ms"), [1.7e12, 1.8e12]),
        (Repaired(column=Time(), repair=Repair(dates=("%Y-%d-%m",))), ["2026-31-01"]),
        (Hashed(salt=SALT), ["Ada", None]),
        (Redacted(), ["ada@example.org", "paid"]),
        (Image(), [np.full((3, 4), 7, np.uint8), None]),
    ],
)
def test_invented_values_are_of_the_kind_and_no_copies(column: Any, values: Any) -> None:
    fitted = column.fit(values)
    made = invented(fitted, values, np.random.default_rng(0))
    again = invented(fitted, values, np.random.default_rng(0))
    assert [value is None for value in made] == [value is None for value in values]
    if not isinstance(column, Image):
        assert made == again
        assert not set(map(str, made)) & {str(value) for value in values if value is not None and value != "paid"}
        assert [fitted.plain(value) for value in made] == made
    fitted.encode(made)


def test_levels_that_the_column_holds_are_drawn() -> None:
    kept = Category().fit(["red", "blue"])
    assert set(invented(kept, ["red"] * 20, np.random.default_rng(0))) == {"red", "blue"}
    assert set(invented(Flag(), [True] * 20, np.random.default_rng(0))) == {True, False}
