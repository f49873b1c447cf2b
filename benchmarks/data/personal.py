"""How much personal data is found, and how often ordinary data are taken for it.

    python benchmarks/data/personal.py [--tables 20] [--rows 300]

Columns are made by this file's own seeded generators, with 5 % missing values and 3 % that are spoilt, under a clear name, a name in
another language, or one that says nothing. The kinds of the first two tables were known while the patterns were written, so their figures
say that the patterns do what they are for; the hard cases show where that ends. The last table runs on real data without personal data: every finding is a false alarm.
"""

# ruff: noqa: E501, SIM905  # tables of generators read better with one on a line

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fermion.core.errors import FermionError
from fermion.data.personal import find
from fermion.data.sources import read
from fermion.data.table import Table

R = random.Random
FIRST = """
Anna Lukas Sofia Matteo Chloé Hugo Emma Noah Mia Jan Sanne Piotr Zofia Lars Astrid Diego Lucía Tiago Beatriz Priya Rahul Wei Yuki Omar
Aisha Mehmet Elif Olga Ivan Grace Ethan Zuri Kwame Ngozi Tariq Leilani Sione Bao Linh Arjun
""".split()
LAST = """
Schmidt Müller Rossi Bianchi Dubois Lefèvre Smith Jones García López Silva Santos Jansen de-Vries Kowalski Nowak Larsson Berg Sharma Patel
Zhang Wang Tanaka Suzuki Hassan Khan Yılmaz Demir Petrova Ivanov O'Brien MacDonald Okafor Mensah Nguyen Tran Kim Park Cohen Levy
""".split()
STREETS = (
    "Hauptstraße",
    "Rue de la Paix",
    "Calle Mayor",
    "Via Roma",
    "High Street",
    "Oak Avenue",
    "Gartenweg",
    "Kerkstraat",
    "Storgatan",
    "Maple Drive",
)


def digits(r: R, n: int, first: str = "0123456789") -> str:
    return r.choice(first) + "".join(str(r.randrange(10)) for _ in range(n - 1))


def with_luhn(body: str) -> str:
    return next(
        body + str(d)
        for d in range(10)
        if sum(sum(divmod(int(c) * (1 + i % 2), 10)) for i, c in enumerate((body + str(d))[::-1])) % 10 == 0
    )


def iban(r: R) -> str:
    country, n = r.choice([("DE", 18), ("NL", 0), ("FR", 23), ("ES", 20)])
    bban = "".join(r.choice("ABCDEFGH") for _ in range(4)) + digits(r, 10) if country == "NL" else digits(r, n)
    check = 98 - int("".join(str(int(c, 36)) for c in bban + country + "00")) % 97
    made = f"{country}{check:02d}{bban}"
    return " ".join(made[i : i + 4] for i in range(0, len(made), 4)) if r.random() < 0.3 else made


def german_tax(r: R) -> str:
    while True:
        body = digits(r, 10, "123456789")
        times = sorted(Counter(body).values())
        if times[-1] in (2, 3) and (len(times) < 2 or times[-2] == 1):
            break
    product = 10
    for c in body:
        product = ((int(c) + product) % 10 or 10) * 2 % 11
    return body + str((11 - product) % 10)


def dutch_bsn(r: R) -> str:
    while True:
        body = digits(r, 8)
        rest = sum(int(c) * w for c, w in zip(body, range(9, 1, -1), strict=True)) % 11
        if rest < 10:
            return body + str(rest)


def brazilian_cpf(r: R) -> str:
    body = digits(r, 9)
    for n in (10, 11):
        body += str(sum(int(c) * w for c, w in zip(body, range(n, 1, -1), strict=True)) * 10 % 11 % 10)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


def polish_pesel(r: R) -> str:
    body = f"{r.randrange(50, 100)}{r.randrange(1, 13):02d}{r.randrange(1, 29):02d}{digits(r, 4)}"
    return body + str(-sum(int(c) * w for c, w in zip(body, (1, 3, 7, 9) * 3, strict=False)) % 10)


def french_nir(r: R) -> str:
    body = f"{r.choice('12')}{r.randrange(30, 100)}{r.randrange(1, 13):02d}{r.randrange(1, 95):02d}{digits(r, 6)}"
    return body + f"{97 - int(body) % 97:02d}"


def chinese_id(r: R) -> str:
    body = f"11010{r.randrange(1, 9)}{r.randrange(1950, 2005)}{r.randrange(1, 13):02d}{r.randrange(1, 29):02d}{digits(r, 3)}"
    return (
        body + "10X98765432"[sum(int(c) * w for c, w in zip(body, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=True)) % 11]
    )


def phone(r: R) -> str:
    return r.choice([
        lambda: f"+49 {r.randrange(151, 180)} {digits(r, 7)}", lambda: f"+1 ({r.randrange(201, 990)}) {digits(r, 3)}-{digits(r, 4)}",
        lambda: f"+33 6 {digits(r, 2)} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)}", lambda: f"+44{digits(r, 10, '7')}", lambda: f"0091 {digits(r, 10, '9')}",
    ])()  # fmt: skip


def local_phone(r: R) -> str:
    return r.choice([lambda: f"({r.randrange(201, 990)}) {digits(r, 3)}-{digits(r, 4)}", lambda: f"0{r.randrange(30, 99)} {digits(r, 7)}",
                     lambda: f"06 {digits(r, 2)} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)}"])()  # fmt: skip


def address(r: R) -> str:
    street = r.choice(STREETS)
    return f"{r.randrange(1, 200)} {street}" if street.split()[0] in ("Rue", "High", "Oak", "Maple") else f"{street} {r.randrange(1, 200)}"


def remark(r: R) -> str:
    inside = r.random()
    if inside < 0.08:
        return f"please write to {r.choice(FIRST).lower()}.{r.randrange(99)}@example.org about the order"
    return f"call back {phone(r)} tomorrow" if inside < 0.16 else "the parcel arrived late and the box was damaged"


# kind -> (what a finding may call it, a value, names of the column)
PERSONAL: dict[str, tuple[set[str], Callable[[R], object], list[str]]] = {
    "email": ({"email"}, lambda r: f"{r.choice(FIRST).lower()}.{r.choice(LAST).lower()}{r.randrange(99)}@example.{r.choice(['com', 'de', 'co.uk'])}", ["email", "courriel", "x1"]),
    "phone": ({"phone"}, phone, ["phone", "Telefonnummer", "x2"]),
    "phone, local form": ({"phone"}, local_phone, ["mobile", "téléphone", "x3"]),
    "phone, digits": ({"phone"}, lambda r: int(digits(r, 10, "123456789")), ["phone_number", "handy"]),
    "card": ({"card"}, lambda r: with_luhn(r.choice(["4", "51", "55"]) .ljust(2, "1") + digits(r, 13)), ["card_number", "Kreditkarte", "x4"]),
    "card, integers": ({"card"}, lambda r: int(with_luhn("4" + digits(r, 14))), ["card", "x5"]),
    "iban": ({"iban"}, iban, ["iban", "Kontonummer", "x6"]),
    "us-ssn": ({"us-ssn"}, lambda r: f"{r.randrange(1, 665):03d}-{r.randrange(1, 100):02d}-{r.randrange(1, 10000):04d}", ["ssn", "x7"]),
    "de-tax-id": ({"de-tax-id"}, german_tax, ["steuer_id", "x8"]),
    "nl-bsn": ({"nl-bsn"}, dutch_bsn, ["bsn", "x9"]),
    "br-cpf": ({"br-cpf"}, brazilian_cpf, ["cpf", "x10"]),
    "fr-nir": ({"fr-nir"}, french_nir, ["nir", "x11"]),
    "cn-resident": ({"cn-resident"}, chinese_id, ["id_card", "x12"]),
    "pl-pesel": ({"pl-pesel", "national-id"}, polish_pesel, ["pesel", "x13"]),
    "es-dni": ({"es-dni"}, lambda r: (lambda n: f"{n:08d}{'TRWAGMYFPDXBNJZSQVHLCKE'[n % 23]}")(r.randrange(10**8)), ["DNI", "x14"]),
    "uk-nino": ({"uk-nino"}, lambda r: f"{r.choice('ABCEHJ')}{r.choice('ABCEHJ')} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)} {r.choice('ABCD')}", ["NINO", "x15"]),
    "ip": ({"ip"}, lambda r: ".".join(str(r.randrange(1, 255)) for _ in range(4)), ["client_ip", "x16"]),
    "ip, version 6": ({"ip"}, lambda r: ":".join(f"{r.randrange(65536):x}" for _ in range(8)), ["ip_address", "x17"]),
    "first name": ({"name"}, lambda r: r.choice(FIRST), ["first_name", "Vorname", "prénom", "x18"]),
    "surname": ({"name"}, lambda r: r.choice(LAST), ["surname", "Nachname", "apellidos", "x19"]),
    "full name": ({"name"}, lambda r: f"{r.choice(FIRST)} {r.choice(LAST)}", ["name", "customer", "nombre", "x20"]),
    "date of birth": ({"date-of-birth"}, lambda r: f"{r.randrange(1940, 2008)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}", ["dob", "Geburtsdatum", "fecha_nacimiento"]),
    "year of birth": ({"date-of-birth"}, lambda r: r.randrange(1940, 2008), ["birth_year", "naissance"]),
    "address": ({"address"}, address, ["address", "Anschrift", "x21"]),
    "postcode": ({"postcode"}, lambda r: digits(r, 5, "123456789"), ["zip", "PLZ", "code_postal"]),
    "inside texts": ({"email", "phone"}, remark, ["remark", "notes"]),
}  # fmt: skip

# What patterns and names cannot tell well; counted apart.
HARD: dict[str, tuple[set[str], Callable[[R], object], list[str]]] = {
    "names that the list does not have": ({"name"}, lambda r: f"{r.choice(['Ngozi', 'Kwame', 'Leilani', 'Sione', 'Tariq', 'Zuri', 'Bao', 'Oisín'])} {r.choice(LAST)}", ["x31", "name"]),
    "names in Chinese": ({"name"}, lambda r: r.choice("王李张刘陈杨赵黄周吴") + "".join(r.choice("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平") for _ in range(2)), ["姓名", "x32"]),
    "surname, first name": ({"name"}, lambda r: f"{r.choice(LAST)}, {r.choice(FIRST)}", ["contact", "x33"]),
    "phone as digits, no name": ({"phone"}, lambda r: digits(r, 10, "23456789"), ["x34"]),
    "birth, no name": ({"date-of-birth"}, lambda r: f"{r.randrange(1, 29):02d}.{r.randrange(1, 13):02d}.{r.randrange(1940, 2008)}", ["x35"]),
    "postcode, no name": ({"postcode"}, lambda r: digits(r, 5), ["x36"]),
    "one e-mail in 300 texts": ({"email"}, lambda r: "write to anna@example.org" if r.random() < 1 / 300 else f"all was fine {r.random()}", ["remarks"]),
}  # fmt: skip
HARD_ORDINARY: dict[str, tuple[Callable[[R], object], list[str]]] = {
    "brands named like persons": (lambda r: r.choice(["Paul Smith", "Calvin Klein", "Hugo Boss", "Tommy Hilfiger", "Jack Wolfskin", "Marc Jacobs", "Ralph Lauren", "Karl Lagerfeld"]), ["brand", "x41"]),
    "books": (lambda r: r.choice(["Emma", "Anna Karenina", "Jane Eyre", "Oliver Twist", "Hard Times", "Middlemarch", "Ulysses", "Dracula", "Walden"]), ["title", "x42"]),
    "stations": (lambda r: r.choice(["St Peter Street", "San Jose Diridon", "Martin Place", "Charles de Gaulle", "King George", "Santa Rosa", "Frank Street"]), ["station", "x43"]),
    "ids that are cards by length": (lambda r: "4" + digits(r, 15), ["token", "x44"]),
    "numbers with a check digit": (lambda r: with_luhn(digits(r, 13, "789")), ["parcel", "x45"]),
    "nine digits modulo 11": (lambda r: dutch_bsn(r), ["isbn_part", "x46"]),
}  # fmt: skip

ORDINARY: dict[str, tuple[Callable[[R], object], list[str]]] = {
    "order number": (lambda r: int(digits(r, 9, "123456789")), ["order_id", "number"]),
    "11 digits": (lambda r: digits(r, 11, "123456789"), ["reference", "konto_ref"]),
    "16 digits": (lambda r: digits(r, 16, "3456"), ["tracking", "barcode"]),
    "milliseconds": (lambda r: 1_700_000_000_000 + r.randrange(10**10), ["created_at", "timestamp"]),
    "seconds": (lambda r: 1_700_000_000 + r.randrange(10**7), ["time", "mobile_seen"]),
    "ean-13": (lambda r: (lambda b: b + str(-sum(int(c) * (1 + 2 * (i % 2)) for i, c in enumerate(b)) % 10))("40" + digits(r, 10)), ["ean", "gtin"]),
    "price": (lambda r: round(r.lognormvariate(3, 1), 2), ["price", "amount"]),
    "age": (lambda r: r.randrange(18, 90), ["age", "alter"]),
    "count": (lambda r: r.randrange(50), ["n", "phone_calls"]),
    "phone yes or no": (lambda r: r.choice(["yes", "no"]), ["phone", "telephone"]),
    "card brand": (lambda r: r.choice(["visa", "amex", "mastercard"]), ["card", "card_type"]),
    "city": (lambda r: r.choice(["Berlin", "New York", "San José", "Bern", "Paris", "Oslo", "Porto", "Den Haag", "Madrid", "Lyon", "Kyoto"]), ["city", "name", "place"]),
    "product": (lambda r: f"{r.choice(['Red', 'Blue', 'Large', 'Small', 'Glass'])} {r.choice(['Lamp', 'Chair', 'Mug', 'Candle', 'Clock'])} {r.choice(['Set', 'Box', 'Holder'])}", ["product_name", "name", "description"]),
    "company": (lambda r: f"{r.choice(['Nordic', 'Alpine', 'Global', 'Blue', 'First'])} {r.choice(['Steel', 'Foods', 'Data', 'Energy'])} {r.choice(['GmbH', 'Ltd', 'SA', 'Inc'])}", ["company", "name", "customer"]),
    "job": (lambda r: r.choice(["Nurse", "Teacher", "Data Engineer", "Driver", "Cook", "Painter", "Pilot", "Judge", "Miner", "Baker"]), ["job", "occupation"]),
    "species": (lambda r: r.choice(["Quercus robur", "Fagus sylvatica", "Pinus nigra", "Acer rubrum", "Salix alba", "Tilia cordata", "Ulmus minor", "Betula nana"]), ["species", "name"]),
    "version": (lambda r: f"{r.randrange(9)}.{r.randrange(20)}.{r.randrange(300)}.{r.randrange(3000)}", ["version", "build"]),
    "order date": (lambda r: f"20{r.randrange(10, 26)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}", ["order_date", "date"]),
    "clock": (lambda r: f"{r.randrange(24):02d}:{r.randrange(60):02d}:{r.randrange(60):02d}", ["time_of_day", "clock"]),
    "uuid": (lambda r: f"{r.getrandbits(128):032x}", ["uuid", "session"]),
    "sku": (lambda r: f"{r.choice('ABC')}{digits(r, 3)}-{digits(r, 4)}", ["sku", "stock_code"]),
    "url": (lambda r: f"https://shop.example/p/{r.randrange(10**6)}", ["url", "link"]),
    "file": (lambda r: f"img_{r.randrange(10**6):06d}.png", ["file_name", "picture"]),
    "latitude": (lambda r: round(r.uniform(-90, 90), 6), ["lat", "x"]),
    "review": (lambda r: f"Good value, used it {r.randrange(2, 99)} times in {r.randrange(2010, 2026)} and it still works", ["review", "text"]),
    "plate of a part": (lambda r: f"{digits(r, 3)}-{digits(r, 3)}-{digits(r, 4)}"[: 8 + r.randrange(2)], ["part_no", "code"]),
    "colour": (lambda r: r.choice(["red", "green", "blue", "rose", "olive"]), ["colour", "name"]),
    "country": (lambda r: r.choice(["Germany", "France", "Spain", "Italy", "Norway", "Jordan", "Chad", "Georgia", "Peru"]), ["country", "address_country"]),
}  # fmt: skip

REAL = ("tabular_suite_A/*.parquet", "online_retail_ii/*.parquet", "german_credit/*.csv", "banking77/*.csv", "support2/*", "taiwan_credit_default/*", "ulb_creditcard_sample/*", "mnist/*")  # fmt: skip


def column(r: R, make: Callable[[R], object], rows: int) -> list[object]:
    values: list[object] = []
    for _ in range(rows):
        value, luck = make(r), r.random()
        spoilt = value if not isinstance(value, str) else r.choice(["n/a", "unknown", value[: len(value) // 2] or "?"])
        values.append(None if luck < 0.05 else spoilt if luck < 0.08 else value)
    return values


def labelled(tables: int, rows: int, recognisers: bool, personal: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    hits: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])  # columns, found, found as the right kind
    alarms: Counter[str] = Counter()
    ordinary = said = 0
    for seed in range(tables):
        r = R(seed)
        made: dict[str, list[object]] = {}
        truth: dict[str, tuple[str, set[str]]] = {}
        for place, (kind, (called, make, names)) in enumerate(personal.items()):
            name = names[(seed + place) % len(names)]
            while name in made:
                name += "_2"
            made[name], truth[name] = column(r, make, rows), (kind, called)
        for place, (kind, (make, names)) in enumerate(plain.items()):
            name = names[(seed + place) % len(names)]
            while name in made:
                name += "_2"
            made[name], truth[name] = column(r, make, rows), (kind, set())
        found = {one.column: one for one in find(Table.of(made), recognisers=recognisers)}
        for name, (kind, called) in truth.items():
            one = found.get(name)
            if called:
                hits[kind][0] += 1
                hits[kind][1] += one is not None
                hits[kind][2] += one is not None and one.kind in called
            else:
                ordinary += 1
                if one is not None:
                    said += 1
                    alarms[f"{kind} in `{name}` as {one.kind} ({one.how})"] += 1
    there, got, right = (sum(one[i] for one in hits.values()) for i in range(3))
    return {
        "personal columns": there, "ordinary columns": ordinary, "recall": got / there, "precision": got / max(1, got + said),
        "right kind": right / max(1, got), "false alarms": dict(alarms.most_common()), "by kind": {kind: one[1] / one[0] for kind, one in hits.items()},
    }  # fmt: skip


def real(folder: Path) -> list[tuple[str, int, int, list[str]]]:
    seen: list[tuple[str, int, int, list[str]]] = []
    for pattern in REAL:
        for path in sorted(folder.glob(pattern)):
            try:
                table = read(str(path), folder=folder)
            except FermionError:
                continue  # a README, or a format that is not a table
            seen.append((str(path.relative_to(folder)), len(table), len(table.names), [f"{one.column}: {one.kind}" for one in find(table)]))
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    results: dict[str, Any] = {}
    hard: tuple[Any, Any] = (HARD, HARD_ORDINARY)
    for name, recognisers, (personal, plain) in (
        ("own patterns", False, (PERSONAL, ORDINARY)),
        ("with Presidio's recognisers", True, (PERSONAL, ORDINARY)),
        ("hard cases, with Presidio's recognisers", True, hard),
    ):
        began = time.perf_counter()
        results[name] = made = labelled(asked.tables, asked.rows, recognisers, personal, plain)
        made["seconds"] = round(time.perf_counter() - began, 2)
        print(f"\n{name}: {made['personal columns']} personal and {made['ordinary columns']} ordinary columns, {made['seconds']} s")
        print(f"recall {made['recall']:.3f}, precision {made['precision']:.3f}, of the found ones named rightly {made['right kind']:.3f}")
        print("missed: " + (", ".join(f"{kind} {1 - share:.0%}" for kind, share in made["by kind"].items() if share < 1) or "none"))
        print("false alarms: " + ("; ".join(f"{what} x{count}" for what, count in made["false alarms"].items()) or "none"))
    folder = Path(os.environ.get("FERMION_DATA", ""))
    results["real data without personal data"] = [] if not folder.is_dir() or not os.environ.get("FERMION_DATA") else real(folder)
    print(f"\n{'data set':60s} {'rows':>10s} {'columns':>8s}  alarms")
    for name, rows, width, alarms in results["real data without personal data"]:
        print(f"{name:60s} {rows:10,} {width:8,}  {', '.join(alarms) or 'none'}")
    asked.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
