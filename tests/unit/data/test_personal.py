"""Personal data: found by form and check digits, in several languages, and not where there is none."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fermion.data import identities
from fermion.data.personal import Personal, find
from fermion.data.personal_words import spelled
from fermion.data.sources import read
from fermion.data.table import Table

R = random.Random(0)

# Published examples of each number, and what one changed digit makes of it.
VALID = {
    identities.is_card: ("4111 1111 1111 1111", "5555555555554444", "378282246310005"),
    identities.is_iban: ("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "FR1420041010050500013M02606"),
    identities.is_de_tax: ("86095742719",),
    identities.is_es_dni: ("12345678Z", "X1234567L"),
    identities.is_it_fiscal: ("RSSMRA85T10A562S",),
    identities.is_fr_nir: ("2 55 08 14 168 025 38",),
    identities.is_nl_bsn: ("111222333",),
    identities.is_ch_ahv: ("756.9217.0769.85",),
    identities.is_in_aadhaar: ("2341 2341 2346",),
    identities.is_cn_resident: ("11010519491231002X",),
    identities.is_br_cpf: ("529.982.247-25",),
}


@pytest.mark.parametrize(("test", "text"), [(test, text) for test, texts in VALID.items() for text in texts])
def test_check_digits(test, text: str) -> None:  # type: ignore[no-untyped-def]
    assert test(text)
    for place, sign in enumerate(text):
        if sign.isdigit():
            assert not test(f"{text[:place]}{(int(sign) + 1) % 10}{text[place + 1 :]}")


@pytest.mark.parametrize("text", ["", "x", "000-12-3456", "666-12-3456", "123-00-4567", "DE89", "BG123456A", "12345678"])
def test_what_is_no_number_of_a_person(text: str) -> None:
    assert not any(test(text) for test in (*identities.NATIONAL.values(), identities.is_card, identities.is_iban, identities.is_ip))


def found_in(name: str, values: list[object], *, recognisers: bool = False) -> Personal | None:
    return next(iter(find(Table.of({name: values}), recognisers=recognisers)), None)


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("x", lambda: f"{R.choice('abcdef')}{R.randrange(999)}@example.org", "email"),
        ("x", lambda: f"+49 151 {R.randrange(10**6, 10**7)}", "phone"),
        ("Telefon", lambda: f"0{R.randrange(30, 99)} {R.randrange(10**6, 10**7)}", "phone"),
        ("x", lambda: f"{R.randrange(1, 665):03d}-{R.randrange(1, 99):02d}-{R.randrange(1, 9999):04d}", "us-ssn"),
        ("x", lambda: ".".join(str(R.randrange(1, 255)) for _ in range(4)), "ip"),
        ("x", lambda: f"2001:db8::{R.randrange(65536):x}", "ip"),
        ("Vorname", lambda: R.choice(["Anneliese", "Jürgen", "Zoë", "Björn", "Kwame", "Ngozi", "Ève", "Łucja", "Anna"]), "name"),
        ("apellidos", lambda: R.choice(["García", "Núñez", "López", "Ortiz", "Sanz", "Vidal", "Prieto", "Cano"]), "name"),
        ("customer", lambda: f"{R.choice(['Anna', 'Peter', 'Maria', 'José'])} {R.choice(['Berg', 'Cruz', 'Weiß', 'Rossi'])}", "name"),
        ("Geburtsdatum", lambda: f"{R.randrange(1, 28):02d}.{R.randrange(1, 12):02d}.{R.randrange(1940, 2005)}", "date-of-birth"),
        ("birth_year", lambda: R.randrange(1940, 2005), "date-of-birth"),
        ("x", lambda: f"{R.choice(['Hauptstraße', 'Gartenweg'])} {R.randrange(1, 99)}", "address"),
        ("PLZ", lambda: f"{R.randrange(10000, 99999)}", "postcode"),
    ],
)  # fmt: skip
def test_kinds_are_found(name: str, make, kind: str) -> None:  # type: ignore[no-untyped-def]
    one = found_in(name, [make() for _ in range(60)] + [None])
    assert one is not None
    assert one.kind == kind
    assert 0.6 <= one.score <= 1


def test_numbers_of_cards_are_found_as_integers_and_as_floats() -> None:
    cards = [int(next(f"4{body}{d}" for d in range(10) if identities.luhn(f"4{body}{d}"))) for body in range(10**13, 10**13 + 40)]
    one = found_in("x", list(cards))
    assert one is not None
    assert (one.kind, one.proposal) == ("card", "drop")
    phones = find(Table.of({"phone": np.array([1.5123e9 + 7_919_777.0 * i for i in range(40)] + [np.nan])}))
    assert phones[0].kind == "phone"


def test_an_address_inside_a_text_is_found() -> None:
    one = found_in("remark", [f"it broke on day {i}" for i in range(200)] + ["write to ann@example.com", "or to bob@example.com please"])
    assert one is not None
    assert (one.kind, one.how, one.proposal) == ("email", "inside its texts", "redact")
    assert one.line == "data.columns: {remark: {private: redact}}"


def test_presidio_knows_more_countries() -> None:
    pytest.importorskip("presidio_analyzer")
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    bodies = [f"{R.randrange(50, 99)}{R.randrange(1, 12):02d}{R.randrange(1, 28):02d}{R.randrange(10**4):04d}" for _ in range(40)]
    pesel: list[object] = [body + str(-sum(int(c) * w for c, w in zip(body, weights, strict=True)) % 10) for body in bodies]
    one = found_in("x", pesel, recognisers=True)
    assert one is not None
    assert (one.kind, one.how) == ("pl-pesel", "presidio")
    assert found_in("x", pesel) is None


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("order_id", lambda: R.randrange(10**8, 10**9)),
        ("created_at", lambda: 1_700_000_000_000 + R.randrange(10**9)),
        ("mobile_seen", lambda: 1_700_000_000 + R.randrange(10**7)),
        ("version", lambda: f"{R.randrange(9)}.{R.randrange(99)}.{R.randrange(999)}.{R.randrange(9999)}"),
        ("phone", lambda: R.choice(["yes", "no"])),
        ("card", lambda: R.choice(["visa", "mastercard"])),
        ("product_name", lambda: f"{R.choice(['Red', 'Blue'])} {R.choice(['Lamp', 'Chair', 'Mug', 'Clock'])}"),
        ("city", lambda: R.choice(["Bern", "New York", "San José", "Paris", "Oslo", "Lyon", "Porto", "Den Haag"])),
        ("barcode", lambda: f"{R.randrange(10**15, 10**16)}"),
        ("day", lambda: f"2026-{R.randrange(1, 12):02d}-{R.randrange(1, 28):02d}"),
        ("clock", lambda: f"{R.randrange(24):02d}:{R.randrange(60):02d}:{R.randrange(60):02d}"),
        ("x", lambda: R.random()),
    ],
)  # fmt: skip
def test_ordinary_columns_are_left_alone(name: str, make) -> None:  # type: ignore[no-untyped-def]
    assert found_in(name, [make() for _ in range(100)]) is None


def test_odd_tables() -> None:
    assert find(Table.of({"a": [None, None], "b": ["", " "], "c": [[1], [2]], "d": [float("inf"), float("nan")]})) == []
    assert find(Table(pl.DataFrame({"email": pl.Series([], dtype=pl.String)}))) == []


def test_names_are_spelled_alike() -> None:
    assert [spelled(name) for name in ("Straße", "ZIP-Code", "lastName", "Téléphone")] == ["strasse", "zip_code", "last_name", "telephone"]


def test_it_is_quiet_on_real_data(real_data: Path) -> None:
    suite = sorted((real_data / "tabular_suite_A").glob("*.parquet"))
    retail = real_data / "online_retail_ii" / "online_retail_ii.parquet"
    if not suite or not retail.exists():
        pytest.skip("the data sets are not there")
    for path in (*suite, retail):
        assert find(read(str(path), folder=real_data)) == [], path.name
