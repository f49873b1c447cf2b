from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest
import yaml

from fermion.core.errors import SpecError
from fermion.core.yaml12 import DEEPEST, MOST_BYTES, dump, parse

# What the core schema of YAML 1.2.2 makes of a plain scalar, section 10.3.2, with the words of YAML 1.1 that it no longer knows.
CORE: dict[str, object] = {
    "3e-4": 3e-4,
    "1E+3": 1000.0,
    "-.5": -0.5,
    "1.": 1.0,
    "012": 12,
    "+7": 7,
    "-0": 0,
    "0o14": 12,
    "0x1F": 31,
    ".inf": math.inf,
    "-.Inf": -math.inf,
    "+.INF": math.inf,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "": None,
    "true": True,
    "True": True,
    "FALSE": False,
    "NO": "NO",
    "no": "no",
    "on": "on",
    "yes": "yes",
    "y": "y",
    "tRue": "tRue",
    "10:30": "10:30",
    "1_000": "1_000",
    "0b11": "0b11",
    "0O14": "0O14",
    "-0x1F": "-0x1F",
    "2026-03-01": "2026-03-01",
    "e5": "e5",
    ".": ".",
    "1e": "1e",
    "=": "=",
    "nan": "nan",
    "inf": "inf",
    "'12'": "12",
    '"true"': "true",
    "!!str 12": "12",
    '!!int "12"': 12,
    "sample://digits": "sample://digits",
}


@pytest.mark.parametrize(("text", "value"), CORE.items())
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    found = parse(f"key: {text}", file="f").value["key"]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number() -> None:
    assert math.isnan(parse("a: .nan", file="f").value["a"])


def test_places_are_lines_and_columns_from_one() -> None:
    tree = parse("# comment\ndata:\n  source: 'x'\n  list: [1, {a: 2}]\n", file="f.yaml")
    assert tree.keys[("data",)] == "f.yaml:2:1"
    assert tree.keys[("data", "source")] == "f.yaml:3:3"
    assert tree.values[("data", "source")] == "f.yaml:3:11"
    assert tree.values[("data", "list", 0)] == "f.yaml:4:10"
    assert tree.values[("data", "list", 1, "a")] == "f.yaml:4:17"
    assert tree.place(("data", "nowhere", "at all")) == "f.yaml:3:3"


def test_an_editors_header_windows_lines_and_a_byte_order_mark_are_fine() -> None:
    text = "# yaml-language-server: $schema=fermion.schema.json\r\n%é: 1\r\n".replace("%", "")
    assert parse(b"\xef\xbb\xbf" + text.encode(), file="f").value == {"é": 1}


def test_nothing_is_nothing() -> None:
    for text in ("", "\n", "# only a comment\n", "---\n"):
        assert parse(text, file="f").value is None


def test_aliases_stand_for_what_they_name() -> None:
    assert parse("a: &x {b: 1}\nc: *x", file="f").value == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_merge_key_is_a_key() -> None:
    assert parse("<<: {a: 1}", file="f").value == {"<<": {"a": 1}}


BAD = {
    "a: 1\nb: 2\na: 3": "f:3:1: a key must be there once, got `a` again, after line 1. Keep one of the two.",
    "a:\n  b: 1\n\tc: 2": "f:3:1: a project file must be YAML, got a mistake: found character '\\t' that cannot start any token. "
    "Indent with spaces, not tabs.",
    "a:\n  b: 1\n c: 2": "f:3:2: a project file must be YAML, got a mistake: expected <block end>, but found '<block mapping start>'. "
    "Indent the fields of a section alike.",
    "a: [1, 2": "f:1:9: a project file must be YAML, got a mistake: expected ',' or ']', but got '<stream end>'.",
    "a: b: c": "f:1:5: a project file must be YAML, got a mistake: mapping values are not allowed here. "
    "Put text with `: ` in quotes, and indent the fields of a section alike.",
    "a: *.csv": "f:1:5: a project file must be YAML, got a mistake: expected alphabetic or numeric character, but found '.'. "
    "Put text that starts with `*` in quotes.",
    "a: *csv": "f:1:4: a project file must be YAML, got a mistake: found undefined alias 'csv'. Put text that starts with `*` in quotes.",
    "a: @b": "f:1:4: a project file must be YAML, got a mistake: found character '@' that cannot start any token. "
    "Put text that starts with such a character in quotes.",
    "a: 1\n---\nb: 2": "f:2:1: a project file must be YAML, got a mistake: but found another document. Keep one document: leave out `---`.",
    "1: a": "f:1:1: a key must be text, got `1`. Put it in quotes.",
    "a: {true: 1}": "f:1:5: a key must be text, got `true`. Put it in quotes.",
    "? [a]\n: b": "f:1:3: a key must be text, got a collection. Put it in quotes.",
    "a: &x [*x]": "f:1:4: an alias must be for something that ends before it, got one inside of it.",
    "a: !!python/object/apply:os.system [ls]": "f:1:4: a tag must be as YAML's core schema has it: str, int, float, bool, null, seq or "
    "map, around such a value, got !!python/object/apply:os.system. Put text that starts with `!` in quotes.",
    "a: !!int x": "f:1:4: a tag must be as YAML's core schema has it: str, int, float, bool, null, seq or "
    "map, around such a value, got !!int. Put text that starts with `!` in quotes.",
    "a: \x07": "f:1:4: a project file must be printable text, got the character U+0007.",
    'a: "\\ud800"': "f:1:4: text must be Unicode, got half of a surrogate pair.",
    "a: " + "9" * 5000: "f:1:4: a number must be at most 400 digits long, got 5000.",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=range(len(BAD)))
def test_what_is_wrong_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(text, file="f")
    assert str(raised.value) == message


def test_other_encodings_are_told_with_their_place() -> None:
    with pytest.raises(SpecError) as raised:
        parse("a: é\nb: Z".encode() + "ürich".encode("latin-1"), file="f")
    assert str(raised.value) == "f:2:5: a project file must be UTF-8, got the byte 0xfc. Save the file as UTF-8."
    with pytest.raises(SpecError, match="UTF-8"):
        parse("a: 1".encode("utf-16"), file="f")


def test_a_few_lines_cannot_stand_for_a_billion_values() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 12):
        laughs += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    began = time.monotonic()
    with pytest.raises(SpecError, match=r"the aliases of a file must be for at most 100,000 values and 64 levels in all, got more"):
        parse(laughs, file="f")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_has_an_end(opening: str) -> None:
    with pytest.raises(SpecError, match=f"more than {DEEPEST} levels"):
        parse(opening * 100_000, file="f")


def test_size_has_an_end() -> None:
    with pytest.raises(SpecError, match=r"^f: a project file must be at most 1,048,576 bytes, got 1,048,577"):
        parse(b"#" * (MOST_BYTES + 1), file="f")


def test_any_text_is_read_or_told_wrong() -> None:
    """Random characters that mean something in YAML never end in another error."""
    chance = random.Random(7)
    pieces = [
        *"[]{}:,-?&*!|>'\"%@`#~ \n\t",
        "\n  ",
        ": ",
        "- ",
        "a",
        "b1",
        "0x",
        "1e5",
        "!!int ",
        "&x ",
        "*x",
        "\\u",
        "<<",
        "---\n",
        "%YAML 1.2\n",
    ]
    refused = 0
    for _ in range(2000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 25)))
        try:
            parse(text, file="f")
        except SpecError:
            refused += 1
    assert 200 < refused < 2000


def test_what_is_written_reads_back() -> None:
    chance = random.Random(11)
    texts = [key for key in CORE if key] + [
        "",
        " a",
        "a ",
        "a: b",
        "# no",
        "é\n",
        "- x",
        "[",
        "null",
        "0o7",
        "3e4",
        "a\tb",
        "'",
        '"',
        "x" * 300,
        "?",
        "!",
    ]

    def value(depth: int) -> Any:
        kind = chance.randrange(7 if depth < 3 else 5)
        if kind == 5:
            return [value(depth + 1) for _ in range(chance.randrange(4))]
        if kind == 6:
            return {chance.choice(texts): value(depth + 1) for _ in range(chance.randrange(4))}
        return [chance.choice(texts), chance.choice([True, False, None]), chance.randint(-(10**20), 10**20), chance.uniform(-1, 1), 1e-5][
            kind
        ]

    for _ in range(200):
        some = {"a": value(0)}
        assert parse(dump(some), file="f").value == some


def test_the_library_itself_is_left_alone() -> None:
    parse("a: NO", file="f")
    assert yaml.safe_load("a: NO") == {"a": False}
