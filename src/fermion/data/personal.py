"""Personal data found by their pattern, their check digits and the names of columns, before anyone looks at the values.

Values are judged as whole columns: of random numbers one in ten passes a check digit, of real ones all do. Texts are also searched
for what is written inside them. What the project's own patterns do not know, Presidio's recognisers with check digits are asked about;
they need no language model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from msgspec import Struct

from fermion.core.lazy import load
from fermion.data import identities
from fermion.data.personal_words import FIRST_NAMES, HINTS, NOT_A_PERSON, plain_letters, spelled
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

Mode = Literal["hash", "redact", "drop", "keep"]

FEW, HITS = 40, 0.1  # values that are tried first, and the share of them below which the rest is not
WHOLE = 200  # distinct values that are judged as wholes
INSIDE = 2_000  # distinct texts that are searched
LEAST = 0.6  # score from which something is reported
MOST_COLUMN = 0.9  # share of digits-only values that must pass where the column's name says nothing
HINTED = 0.6  # share where it does
ENOUGH = 8  # distinct digits-only values without which nothing is said, unless the name does
SEEN = 0.01  # share of texts with something personal inside, from which it is told; or twice

EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@(?:[\w-]+\.)+[^\W\d_]{2,}")
PHONE = re.compile(r"(?<![\w+])(?:\+|00)[1-9](?:[ ./()-]{0,2}\d){7,14}")
LOCAL_PHONE = re.compile(r"\(\d{2,5}\)[ -]?\d{3,5}([ -]?\d{2,4}){1,3}|[1-9]\d{2}[-. ]\d{3}[-. ]\d{4}|0\d{1,4}([ /.-]\d{2,9}){1,5}")
DIGITS = re.compile(r"\+?\d{7,15}")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
DATE = re.compile(
    r"(?:19|20)\d\d[-/.]?\d\d[-/.]?\d\d(?:[T ].*)?|\d{1,2}[-/. ](?:\d{1,2}|[A-Za-z]{3,9})[-/. ](?:(?:19|20)\d\d|\d\d)|(?:19|20)\d\d(?:\.0)?"
)
LETTERS = re.compile(r"[^\W\d_]{2,}")
NAME = re.compile(r"[^\W\d_]{2,}(?:['’.-]?[^\W\d_]*)?(?:,? [^\W\d_]+(?:['’.-]?[^\W\d_]*)?){0,4}\.?")
ADDRESS = re.compile(
    r"(?i)\d+[a-z]?,? (?:[\w.'’-]+ ){1,4}(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|court|ct|way|close|place)\b.*"
    r"|(?:[\w.'’-]+ ?){1,3}(?:str\.|straße|strasse|weg|platz|allee|gasse|straat|laan|gatan|vägen) ?\d+.*"
    r"|\d+,? (?:bis |ter )?(?:rue|avenue|boulevard|place|chemin|allée|impasse) .+"
    r"|(?:calle|c/|avenida|plaza|paseo|via|viale|piazza|corso|rua|ulica|ul\.) .+\d+.*"
)
POSTCODE = re.compile(
    r"\d{4,6}(?:\.0)?|\d{5}-\d{3,4}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|\d{4} ?[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d|\d{2}-\d{3}|\d{3} \d{2}"
)

# With check digits or a strict form, for persons of countries that `identities` does not know.
RECOGNISERS: Final = {
    "AuTfnRecognizer": "au-tfn",
    "AuMedicareRecognizer": "au-medicare",
    "CaSinRecognizer": "ca-sin",
    "FiPersonalIdentityCodeRecognizer": "fi-identity-code",
    "KrRrnRecognizer": "kr-rrn",
    "NhsRecognizer": "uk-nhs",
    "PlPeselRecognizer": "pl-pesel",
    "SePersonnummerRecognizer": "se-personnummer",
    "SgFinRecognizer": "sg-fin",
    "ThTninRecognizer": "th-tnin",
    "TrNationalIdRecognizer": "tr-identity",
    "ZaIdNumberRecognizer": "za-id",
    "DeSocialSecurityRecognizer": "de-social-security",
    "UsMbiRecognizer": "us-medicare",
}

# Forms that ordinary data hardly ever have: the share of the values is the score.
STRICT: Final[dict[str, Callable[[str], bool]]] = {
    "email": lambda text: EMAIL.fullmatch(text) is not None,
    "iban": identities.is_iban,
    "phone": lambda text: PHONE.fullmatch(text) is not None,
    "ip": identities.is_ip,
    "us-ssn": identities.is_us_ssn,
    "uk-nino": identities.is_uk_nino,
    "es-dni": identities.is_es_dni,
    "it-fiscal-code": identities.is_it_fiscal,
    "cn-resident": identities.is_cn_resident,
    "in-pan": identities.is_in_pan,
}
# Digits alone, which other numbers have too: most of a column must pass.
LOOSE: Final[dict[str, Callable[[str], bool]]] = {
    "card": identities.is_card,
    **{kind: test for kind, test in identities.NATIONAL.items() if kind not in STRICT},
}

PROPOSALS: Final[dict[str, Mode]] = {"card": "drop", "name": "drop", "address": "drop", "date-of-birth": "keep", "postcode": "keep"}


class Personal(Struct, frozen=True, kw_only=True):
    """A column that seems to hold personal data.

    `share` of its distinct sampled values are of this `kind`; `score`, from 0.6 to 1, is how sure that is; `how` it was found: pattern,
    check digits, the column's name, inside its texts, or presidio. No value is kept.
    """

    column: str
    kind: str
    share: float
    score: float
    how: str

    @property
    def proposal(self) -> Mode:
        """What to do about it: hash what links rows, drop what no model should read, redact texts, keep what is coarse."""
        return "redact" if self.how == "inside its texts" else PROPOSALS.get(self.kind, "hash")

    @property
    def line(self) -> str:
        """The line of the project file.

        >>> Personal(column="mail", kind="email", share=1.0, score=1.0, how="pattern").line
        'data.columns: {mail: {private: hash}}'
        """
        return f"data.columns: {{{self.column}: {{private: {self.proposal}}}}}"


def find(table: Table, *, sample: int = 20_000, seed: int = 0, recognisers: bool = True) -> list[Personal]:
    """The columns that seem to hold personal data, surest first; at most one finding a column.

    >>> find(Table.of({"mail": ["ann@example.com", "bob@example.org"], "size": [1, 2]}))[0].kind
    'email'

    Args:
        sample: rows whose distinct values are looked at, drawn by `seed`.
        recognisers: also ask Presidio, where columns look like numbers of a kind that is not known here.

    Raises:
        MissingExtra: `recognisers` are needed and Presidio is not installed.
    """
    import polars as pl

    frame = table.frame
    names = [
        name
        for name, kind in frame.schema.items()
        if name not in table.paths and (kind.is_numeric() or isinstance(kind, pl.String | pl.Categorical | pl.Enum | pl.Date | pl.Datetime))
    ]
    some = frame.select(names)
    if frame.height > sample:
        some = some[np.sort(np.random.default_rng(seed).choice(frame.height, sample, replace=False, shuffle=False))]
    found = [one for name in names if (one := _of_column(some[name], recognisers)) is not None]
    return sorted(found, key=lambda one: -one.score)


def _of_column(series: pl.Series, recognisers: bool) -> Personal | None:
    import polars as pl

    hint = _hint(series.name)
    kind = series.dtype
    if kind.is_numeric():
        values = _whole_numbers(series, hint)
        return _whole(series.name, values, hint, recognisers) if values else None
    if isinstance(kind, pl.Date | pl.Datetime):
        return _found(series.name, "date-of-birth", 1.0, 0.9, "the column's name") if "birth" in hint else None
    texts = series.cast(pl.String).drop_nulls().unique(maintain_order=True).head(INSIDE).str.strip_chars()
    texts = texts.filter(texts != "")
    if not len(texts):
        return None
    whole = _whole(series.name, texts.head(WHOLE).to_list(), hint, recognisers)
    return whole if whole is not None else _inside(series.name, texts)


def _hint(name: str) -> tuple[str, ...]:
    words = spelled(name)
    return tuple(
        kind for kind, pattern in HINTS.items() if pattern.search(words) and not (kind[:4] == "name" and NOT_A_PERSON.search(words))
    )


def _whole_numbers(series: pl.Series, hint: tuple[str, ...]) -> list[str]:
    """Distinct whole numbers as digits; none where they are too small to name a person and the column's name says nothing."""
    import polars as pl

    x_N = series.cast(pl.Float64).to_numpy()
    x_N = x_N[np.isfinite(x_N)]
    if not x_N.size or not (hint or x_N.max() >= 1e8) or np.abs(x_N).max() >= 2**63 or (x_N != np.round(x_N)).any():
        return []
    digits = series.drop_nulls().cast(pl.Int64, strict=False).drop_nulls().unique(maintain_order=True).head(WHOLE)
    return [str(value) for value in digits.to_list()]


def _whole(column: str, values: Sequence[str], hint: tuple[str, ...], recognisers: bool) -> Personal | None:
    """Judged as values of one kind."""
    digits = [value for value in values if any(sign.isdigit() or sign in "@:" for sign in value)]
    if len(digits) >= HINTED * len(values):
        for kind, test in STRICT.items():
            share = _share(test, values)
            if share >= (MOST_COLUMN if kind == "ip" else LEAST):
                return _found(column, kind, share, share, "check digits" if kind in identities.NATIONAL or kind == "iban" else "pattern")
        shares = {kind: _share(test, values) for kind, test in LOOSE.items()}
        kind = max(shares, key=lambda kind: shares[kind])
        told = ("card" if kind == "card" else "national-id") in hint
        if shares[kind] >= (HINTED if told else MOST_COLUMN) and (told or len(values) >= ENOUGH):
            return _found(column, kind, shares[kind], shares[kind], "check digits")
        if "phone" in hint and _are_moments(values):
            return None
        local = _share(lambda text: LOCAL_PHONE.fullmatch(text) is not None, values)
        if local >= MOST_COLUMN or ("phone" in hint and _share(_is_phone, values) >= HINTED):
            share = max(local, _share(_is_phone, values) if "phone" in hint else 0.0)
            return _found(
                column, "phone", share, share * (1.0 if "phone" in hint else 0.8), "the column's name" if "phone" in hint else "pattern"
            )
        if recognisers and (told or len(values) >= ENOUGH) and (asked := _recognised(values)) is not None:
            return _found(column, asked[0], asked[1], asked[1], "presidio")
    return _named(column, values, hint)


def _named(column: str, values: Sequence[str], hint: tuple[str, ...]) -> Personal | None:
    """Judged by the column's name and whether the values look like what it says."""
    if "birth" in hint and (share := _share(lambda text: DATE.fullmatch(text) is not None, values)) >= HINTED:
        return _found(column, "date-of-birth", share, 0.9 * share, "the column's name")
    if (share := _share(lambda text: ADDRESS.fullmatch(text) is not None, values)) >= LEAST:
        return _found(column, "address", share, share, "pattern")
    if "address" in hint and (share := _share(_is_place, values)) >= HINTED:
        return _found(column, "address", share, 0.9 * share, "the column's name")
    if "postcode" in hint and (share := _share(lambda text: POSTCODE.fullmatch(text.upper()) is not None, values)) >= HINTED:
        return _found(column, "postcode", share, 0.8 * share, "the column's name")
    if "national-id" in hint and len(values) > 1 and (share := _share(_is_number, values)) >= MOST_COLUMN:
        return _found(column, "national-id", share, 0.7 * share, "the column's name")
    share = _share(lambda text: NAME.fullmatch(text) is not None and len(text) <= 50, values)
    known = _share(_begins_with_name, values)
    if "name" in hint and share >= HINTED and (len(values) >= ENOUGH or known > 0):
        return _found(column, "name", share, max(0.8, known) * share, "the column's name")
    if share >= HINTED and len(values) >= ENOUGH and known >= (0.15 if "name?" in hint else 0.4):
        return _found(column, "name", share, max(0.7, known) * share, "the column's name" if "name?" in hint else "pattern")
    return None


def _inside(column: str, texts: pl.Series) -> Personal | None:
    """Searched for what is written inside longer texts."""
    tests: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
        "email": (EMAIL, lambda text: True),
        "iban": (IBAN, identities.is_iban),
        "card": (CARD, identities.is_card),
        "phone": (PHONE, lambda text: True),
        "us-ssn": (SSN, identities.is_us_ssn),
        "ip": (IPV4, identities.is_ip),
    }
    likely = texts.filter(texts.str.contains(r"@|\d{3}-\d\d-\d{4}|\d(?:[ ./()-]{0,2}\d){7}|(?:\d{1,3}\.){3}\d|[A-Z]{2}\d{2}[ A-Z0-9]{11}"))
    hits = dict.fromkeys(tests, 0)
    for text in likely.to_list():
        written = len(LETTERS.findall(text)) > 1  # numbers count where words stand around them: codes have none
        for kind, (pattern, valid) in tests.items():
            if written or kind in ("email", "iban"):
                hits[kind] += any(valid(match.group()) for match in pattern.finditer(text))
    kind = max(hits, key=lambda kind: hits[kind])
    share = hits[kind] / len(texts)
    if hits[kind] < 1 or (share < SEEN and hits[kind] < 2):
        return None
    return _found(column, kind, share, {"email": 1.0, "iban": 1.0, "card": 0.9}.get(kind, 0.7), "inside its texts")


def _recognised(values: Sequence[str]) -> tuple[str, float] | None:
    """The kind that Presidio's recognisers see in most values, with their share."""
    if _share(lambda text: 9 <= sum(sign.isdigit() for sign in text) <= 16 and len(text) <= 20, values) < MOST_COLUMN:
        return None
    library = load("presidio_analyzer.predefined_recognizers", extra="data")
    some, best = values[:50], ("", 0.0)
    for name, kind in RECOGNISERS.items():
        recogniser: Any = getattr(library, name)()
        share = _share(lambda text, ask=recogniser: _is_recognised(ask, text), some)
        best = max(best, (kind, share), key=lambda one: one[1])
    return best if best[1] >= MOST_COLUMN else None


def _is_recognised(recogniser: Any, text: str) -> bool:
    results = recogniser.analyze(text, recogniser.supported_entities, None)
    return any(result.score >= LEAST and result.start == 0 and result.end == len(text) for result in results)


def _found(column: str, kind: str, share: float, score: float, how: str) -> Personal | None:
    return Personal(column=column, kind=kind, share=round(share, 4), score=round(min(1.0, score), 4), how=how) if score >= LEAST else None


def _share(test: Callable[[str], bool], values: Sequence[str]) -> float:
    """The share of values that pass; of the first few only, where so few of those do that it cannot matter."""
    some = values[:FEW]
    share = sum(map(test, some)) / len(some)
    return share if share < HITS or len(values) <= FEW else sum(map(test, values)) / len(values)


def _is_phone(text: str) -> bool:
    return bool(PHONE.fullmatch(text) or LOCAL_PHONE.fullmatch(text) or DIGITS.fullmatch(text))


def _are_moments(values: Sequence[str]) -> bool:
    """Whether all are seconds since 1970 within a few years: as long as a phone number, and far less spread."""
    if not all(value.isdigit() and len(value) == 10 for value in values):
        return False
    seconds = [int(value) for value in values]
    return min(seconds) > 9e8 and max(seconds) < 2.1e9 and max(seconds) - min(seconds) < 0.1 * max(seconds)


def _is_place(text: str) -> bool:
    return any(sign.isalpha() for sign in text) and (any(sign.isdigit() for sign in text) or " " in text or "," in text)


def _is_number(text: str) -> bool:
    return 6 <= len(text) <= 20 and sum(sign.isdigit() for sign in text) >= 5 and " " not in text.strip()


def _begins_with_name(text: str) -> bool:
    words = plain_letters(text).replace(",", " ").split()
    return 0 < len(words) <= 4 and any(word in FIRST_NAMES for word in words[:2])
