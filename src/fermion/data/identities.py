"""Numbers that name a person or an account, told from others by their form and their check digits.

Each function takes a text without spaces around it and says whether it can be such a number. How often a random number of the right
form passes: 1 in 97 for two check digits modulo 97, about 1 in 10 for one digit; so a column is judged by its share, never by one value.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable
from typing import Final

_VERHOEFF: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_SHUFFLES: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_IBAN: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28, "CH": 21, "CR": 22,
    "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22,
    "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30,
    "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30,
    "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def luhn(digits: str) -> bool:
    """The check digit of cards (ISO/IEC 7812-1): every second digit from the right counts double, the sum is a multiple of 10.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_card(text: str) -> bool:
    """A payment card of the large networks, with or without spaces or hyphens."""
    digits = _bare(text, " -")
    known = re.fullmatch(
        r"4\d{12}(\d{3})?(\d{3})?|5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
        r"|6(011|5\d\d|4[4-9]\d)\d{12}|3(0[0-5]|[68]\d)\d{11}|35(2[89]|[3-8]\d)\d{12}|62\d{14,17}",
        digits,
    )
    return bool(known) and len(set(digits)) > 1 and luhn(digits)


def is_iban(text: str) -> bool:
    """An international account number (ISO 13616): the length of its country, and 1 modulo 97.

    >>> is_iban("DE89 3704 0044 0532 0130 00"), is_iban("DE89370400440532013001")
    (True, False)
    """
    bare = _bare(text, " ").upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,27}", bare) or _IBAN.get(bare[:2]) != len(bare):
        return False
    return int("".join(str(int(sign, 36)) for sign in bare[4:] + bare[:4])) % 97 == 1


def is_us_ssn(text: str) -> bool:
    """A social security number of the United States with its hyphens: no area 000, 666 or 9xx, no group 00, no serial 0000."""
    return bool(re.fullmatch(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}", text))


def is_uk_nino(text: str) -> bool:
    """A national insurance number of the United Kingdom: two letters, six digits, A to D."""
    bare = _bare(text, " ").upper()
    return bool(re.fullmatch(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", bare))


def is_de_tax(text: str) -> bool:
    """A German Steuer-ID: eleven digits of which one of the first ten occurs two or three times; ISO 7064 modulo 11, 10."""
    digits = _bare(text, " ")
    if not re.fullmatch(r"[1-9]\d{10}", digits):
        return False
    times = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if times[-1] not in (2, 3) or (len(times) > 1 and times[-2] > 1):
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_es_dni(text: str) -> bool:
    """A Spanish DNI or NIE: the letter is the number modulo 23."""
    found = re.fullmatch(r"([XYZ]?)(\d{7,8})([A-Z])", _bare(text, " -.").upper())
    if not found or len(found[1]) + len(found[2]) != 8:
        return False
    number = int(("XYZ".index(found[1]) if found[1] else 0) * 10_000_000 + int(found[2]))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == found[3]


def is_it_fiscal(text: str) -> bool:
    """An Italian codice fiscale: form and check letter."""
    bare = text.upper()
    if not re.fullmatch(r"[A-Z]{6}\d[\dLMNP-V][ABCDEHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]", bare):
        return False
    worth = [int(sign, 36) - (10 if sign.isalpha() else 0) for sign in bare[:15]]
    return chr(65 + sum(_ODD[value] if place % 2 == 0 else value for place, value in enumerate(worth)) % 26) == bare[15]


def is_fr_nir(text: str) -> bool:
    """A French social security number with its key, 97 - (number modulo 97); Corsica is 2A and 2B."""
    bare = _bare(text, " ").upper()
    if not re.fullmatch(r"[1-478]\d{2}(0[1-9]|1[0-2]|[2-9]\d)(\d{2}|2[AB])\d{8}", bare):
        return False
    return 97 - int(bare[:13].replace("2A", "19").replace("2B", "18")) % 97 == int(bare[13:])


def is_nl_bsn(text: str) -> bool:
    """A Dutch burgerservicenummer: nine digits weighted 9 to 2 and -1, a multiple of 11."""
    digits = _bare(text, " .")
    return bool(re.fullmatch(r"\d{9}", digits)) and len(set(digits)) > 2 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def is_ch_ahv(text: str) -> bool:
    """A Swiss AHV number: 756 and the check digit of an EAN-13."""
    digits = _bare(text, " .")
    return bool(re.fullmatch(r"756\d{10}", digits)) and _weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def is_in_aadhaar(text: str) -> bool:
    """An Indian Aadhaar number: twelve digits, the first from 2, with Verhoeff's check digit.

    Verhoeff, "Error Detecting Decimal Codes", 1969.
    """
    digits = _bare(text, " -")
    if not re.fullmatch(r"[2-9]\d{11}", digits):
        return False
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF[check][int(_SHUFFLES[place % 8][int(digit)])])
    return check == 0


def is_in_pan(text: str) -> bool:
    """An Indian permanent account number: three letters, the kind of holder, a letter, four digits, a letter."""
    return bool(re.fullmatch(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", text.upper()))


def is_cn_resident(text: str) -> bool:
    """A Chinese resident number (GB 11643): region, date of birth, serial, ISO 7064 modulo 11, 2."""
    bare = text.upper()
    if not re.fullmatch(r"[1-8]\d{16}[\dX]", bare):
        return False
    try:
        dt.date(int(bare[6:10]), int(bare[10:12]), int(bare[12:14]))
    except ValueError:
        return False
    return "10X98765432"[sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(bare[:17])) % 11] == bare[17]


def is_br_cpf(text: str) -> bool:
    """A Brazilian CPF: eleven digits, the last two of them check digits."""
    digits = _bare(text, " .-")
    if not re.fullmatch(r"\d{11}", digits) or len(set(digits)) == 1:
        return False
    return all(_weighted(digits[:n], tuple(range(n + 1, 1, -1))) * 10 % 11 % 10 == int(digits[n]) for n in (9, 10))


def is_ip(text: str) -> bool:
    """An address of the internet protocol, version 4 or 6, as `ipaddress` reads it."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


NATIONAL: Final[dict[str, Callable[[str], bool]]] = {
    "us-ssn": is_us_ssn,
    "uk-nino": is_uk_nino,
    "de-tax-id": is_de_tax,
    "es-dni": is_es_dni,
    "it-fiscal-code": is_it_fiscal,
    "fr-nir": is_fr_nir,
    "nl-bsn": is_nl_bsn,
    "ch-ahv": is_ch_ahv,
    "in-aadhaar": is_in_aadhaar,
    "in-pan": is_in_pan,
    "cn-resident": is_cn_resident,
    "br-cpf": is_br_cpf,
}


def _bare(text: str, signs: str) -> str:
    return text.translate({ord(sign): None for sign in signs})


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
