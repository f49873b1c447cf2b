"""Words by which personal columns are known: parts of column names in many languages, and frequent first names."""

from __future__ import annotations

import re
import unicodedata
from importlib.resources import files
from typing import Final

# Each pattern is searched in a column's name in the form of `spelled`: small letters without accents, words joined by "_".
HINTS: Final[dict[str, re.Pattern[str]]] = {
    kind: re.compile(rf"(?:^|_)(?:{words})(?:_|$)")
    for kind, words in {
        "email": r"e_?mails?|mail|mail_?address|correo|courriel|epost|posta",
        "phone": r"(tele)?phone(_?(number|no|nr))?|tel|tel_?(no|nr)|telefon(nummer|e|o)?|telefoon(nummer)?|telephone|mobile?|handy(nummer)?"
        r"|cell(_?phone)?|celular|movil|cellulare|fax|portable|msisdn|dianhua|shouji|电话|手机|телефон",
        "card": r"(credit_?|debit_?|bank_?)?card(_?(number|no|nr|num))?|cc_?(num|number|no)|kreditkarte(nnummer)?"
        r"|carte|tarjeta|carta|cartao",
        "iban": r"iban|bank_?account|account_?(number|no)|konto(nummer)?|compte|cuenta|conto|conta|rekening(nummer)?",
        "national-id": r"ssn|social_?security(_?(number|no))?|nino|ni_?number|national_?(id|insurance)(_?(number|no))?|tax_?id"
        r"|steuer_?(id|nummer)"
        r"|idnr|dni|nie|nif|codice_?fiscale|nir|insee|securite_?sociale|bsn|burgerservicenummer|ahv(_?nr)?|avs|aadhaar|aadhar|uid|pan"
        r"|cpf|id_?card|identity(_?(number|no))?|passport(_?(number|no))?|shenfenzheng|pesel|personnummer|sin|tfn|nhs(_?number)?",
        "ip": r"ip|ip_?(address|addr|v4|v6)|(client|remote|source|src|dst|host)_?ip|remote_?addr",
        "name": r"first_?name|last_?name|given_?name|sur_?name|family_?name|middle_?name|maiden_?name|full_?name|forename|fname|lname"
        r"|vor_?name|nach_?name|familien_?name|prenom|nom_?(de_?)?famille|apellidos?|cognome|sobrenome|voornaam|achternaam|fornamn|efternamn"
        r"|imie|nazwisko|(person|people|customer|client|patient|employee|passenger|student|user|contact|holder|cardholder|driver|author"
        r"|applicant|member|guest|owner|doctor|nurse|teacher)s?_?(full_?)?name|xing_?ming|imya|familiya|姓名|名字|имя|фамилия",
        "name?": r"name|nom|nombre|nome|naam|namn|contact|customer|client|kunde|patient|passenger|employee|owner|author|person|holder",
        "birth": r"dob|d_?o_?b|birth|birth_?(date|day|year)|(date|day|year)_?of_?birth|born|geburt(stag|sdatum|sjahr)?|geboren"
        r"|(date_?(de_?)?)?naissance|(fecha_?(de_?)?)?nacimiento|(data_?(di_?)?)?nascita|(data_?(de_?)?)?nascimento|geboorte(datum)?"
        r"|fodelse(datum)?|shengri|出生日期|生日|дата_рождения",
        "address": r"(home_?|street_?|postal_?|mailing_?|billing_?|shipping_?)?addr(ess)?(_?(line_?)?\d?)?"
        r"|street(_?(name|address))?|strasse|str"
        r"|anschrift|adresse|rue|direccion|calle|domicilio|indirizzo|via|endereco|rua|adres|straat|adress|gata|dizhi|地址|住址|адрес",
        "postcode": r"zip(_?code)?|post_?(al_?)?code|plz|postleitzahl|code_?postal|codigo_?postal|cap|cep|post_?nummer|邮编",
    }.items()
}

NOT_A_PERSON: Final = re.compile(
    r"(?:^|_)(?:product|item|file|column|table|field|brand|company|shop|store|city|country|state|region|street|host|domain|event|model|class"
    r"|category|species|team|job|project|campaign|mac|web|url|ip|e?mail|color|colour|game|song|film|movie|book|drug|gene)(?:_|$)"
)

FIRST_NAMES: Final = frozenset((files("fermion.data") / "first_names.txt").read_text(encoding="utf-8").split())


def spelled(name: str) -> str:
    """A column's name as its words, without accents.

    >>> spelled("E-Mail Address"), spelled("customerFirstName"), spelled("Prénom")
    ('e_mail_address', 'customer_first_name', 'prenom')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("ß", "ss")
    return re.sub(r"[\W_]+", "_", plain_letters(words)).strip("_")


def plain_letters(text: str) -> str:
    """Small letters without accents."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(sign))
