"""What personal data look like in a text: patterns with the checks that tell a card number from any sixteen digits."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple


class Pattern(NamedTuple):
    """Something personal: the tag that stands for it, how it looks, and whether a text that looks like it is one."""

    tag: str
    looks: re.Pattern[str]
    holds: Callable[[str], bool]


def redacted(text: str) -> str:
    """The text with a tag in the place of everything personal. Doing it twice changes nothing more.

    >>> redacted("ada@example.org paid with 4111 1111 1111 1111, call +41 44 668 18 00")
    '<EMAIL> paid with <CARD>, call <PHONE>'
    """
    for pattern in PATTERNS if _worth(text) else ():
        text = pattern.looks.sub(lambda found, pattern=pattern: f"<{pattern.tag}>" if pattern.holds(found[0]) else found[0], text)
    return text


def personal(text: str) -> list[tuple[str, str]]:
    """Tags and texts of everything personal, pattern by pattern.

    >>> personal("write to ada@example.org from 192.0.2.7")
    [('EMAIL', 'ada@example.org'), ('IP', '192.0.2.7')]
    """
    found: list[tuple[str, str]] = []
    for pattern in PATTERNS if _worth(text) else ():

        def note(match: re.Match[str], pattern: Pattern = pattern) -> str:
            if not pattern.holds(match[0]):
                return match[0]
            found.append((pattern.tag, match[0]))
            return f"<{pattern.tag}>"

        text = pattern.looks.sub(note, text)
    return found


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others, as on payment cards (ISO/IEC 7812-1).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(x - 9 if x > 9 else x for x in doubled) % 10 == 0


def iban(text: str) -> bool:
    """Whether an account number holds its check digits: the number, rearranged, is 1 modulo 97 (ISO 13616, ISO/IEC 7064).

    >>> iban("GB82 WEST 1234 5698 7654 32"), iban("GB83WEST12345698765432")
    (True, False)
    """
    bare = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(bare) <= 34 or not bare.isalnum() or not bare.isascii():
        return False
    return int("".join(str(int(sign, 36)) for sign in bare[4:] + bare[:4])) % 97 == 1


def verhoeff(digits: str) -> bool:
    """Whether the last digit checks the others by the dihedral group D5, as in Aadhaar numbers.

    Verhoeff, "Error Detecting Decimal Codes", Mathematical Centre Tract 29, 1969.

    >>> verhoeff("2363"), verhoeff("2364")
    (True, False)
    """
    check = 0
    for place, digit in enumerate(reversed(digits)):
        moved = int(digit)
        for _ in range(place % 8):
            moved = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[moved]
        check = _dihedral(check, moved)
    return check == 0


def _dihedral(a: int, b: int) -> int:
    """The product of the dihedral group of the pentagon, its elements counted 0 to 9."""
    turned = (a + b) % 5 if a < 5 else (a - b) % 5
    return turned + 5 * ((a >= 5) != (b >= 5))


def _worth(text: str) -> bool:
    """Whether there is anything to look for: a mail address has an @, all else digits or colons."""
    return "@" in text or ":" in text or any(sign.isdigit() for sign in text)


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign in "0123456789")


def _card(text: str) -> bool:
    digits = _digits(text)
    return 13 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits)


def _ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return "." in text or len(text.replace(":", "")) > 3  # ::1 is no one's


_DATE = re.compile(r"(?:19|20)\d\d([-./ ])\d{1,2}\1\d{1,2}|\d{1,2}([-./ ])\d{1,2}\2(?:19|20)?\d\d")


def _phone(text: str) -> bool:
    """Digits in groups, 7 to 15 of them (ITU-T E.164), that begin as phone numbers do and are no date."""
    digits, bare = _digits(text), text.strip()
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3 or _DATE.match(bare):
        return False
    if bare.startswith("+") or (bare.startswith("00") and len(digits) >= 10):
        return len(digits) >= 8
    grouped = re.fullmatch(r"\(?[2-9]\d\d\)?[ .-]?\d{3}[ .-]\d{4}|[2-9]\d\d-\d{4}|1[ .-]\(?[2-9]\d\d\)?[ .-]?\d{3}[ .-]\d{4}", bare)
    return bool(grouped) or (bare.lstrip("(").startswith("0") and len(digits) >= 9 and re.fullmatch(r"[\d ()/-]+", bare) is not None)


def _social(text: str) -> bool:
    """A US social security number: no area 000, 666 or 9xx, no group 00, no serial 0000."""
    area, group, serial = re.split("[- ]", text)
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def _spanish(text: str) -> bool:
    """A Spanish DNI or NIE: the letter is the number modulo 23."""
    bare = re.sub("[- ]", "", text).upper()
    number = bare[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return bare[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _french(text: str) -> bool:
    """A French NIR: its last two digits are 97 minus the rest modulo 97; Corsica's departments count as 19 and 18."""
    bare = text.replace(" ", "").upper()
    number = bare[:13].replace("2A", "19").replace("2B", "18")
    return int(bare[13:]) == 97 - int(number) % 97


def _german(text: str) -> bool:
    """A German tax number of persons: eleven digits, checked by ISO/IEC 7064, MOD 11,10; one digit comes twice or three times."""
    digits = _digits(text)
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return int(digits[10]) == (11 - product) % 10 and len(set(digits[:10])) in (8, 9)


def _swiss(text: str) -> bool:
    """A Swiss AHV number: the last digit checks the others as in EAN-13."""
    digits = _digits(text)
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits[:12]))
    return int(digits[12]) == -total % 10


def _always(_: str) -> bool:
    return True


def _looks(pattern: str) -> re.Pattern[str]:
    """Nothing that goes on as a word or a number before or behind; every repeat is bounded, so a search is linear."""
    return re.compile(rf"(?<![\w+@.-])(?:{pattern})(?![\w@]|[.-]\w)", re.ASCII)


# In this order: what is longer or better checked comes first, and a tag is never searched again.
PATTERNS = (
    Pattern("EMAIL", re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}"), _always),
    Pattern("IBAN", _looks(r"[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?"), iban),
    Pattern("IP", re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]{2,39}(?:\.\d{1,3}){0,3})(?![\w:]|\.\d)"), _ip),
    Pattern("CARD", _looks(r"\d(?:[ -]?\d){12,18}"), _card),
    Pattern("ID", _looks(r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}"), _social),
    Pattern("ID", _looks(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"), _always),  # UK national insurance
    Pattern("ID", _looks(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}"), _swiss),
    Pattern("ID", _looks(r"(?:\d{8}|[XYZxyz][- ]?\d{7})[- ]?[A-Za-z]"), _spanish),
    Pattern("ID", _looks(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"), _french),
    Pattern("ID", _looks(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]"), _always),  # Italian codice fiscale
    Pattern("ID", _looks(r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}"), _german),
    Pattern("ID", _looks(r"[2-9]\d{3} ?\d{4} ?\d{4}"), lambda text: verhoeff(_digits(text))),  # Aadhaar
    Pattern("PHONE", re.compile(r"(?<![\w.,@-])(?:\+|\()?\d[\d ()./-]{5,20}\d(?![\w@]|[.,]\d)"), _phone),
)
