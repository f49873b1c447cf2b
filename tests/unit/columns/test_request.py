from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.columns.audio import Audio
from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.image import Image, Pixels
from fermion.columns.number import Number
from fermion.columns.request import Requests
from fermion.columns.schema import Schema
from fermion.columns.set import Set
from fermion.columns.time import Time
from fermion.columns.vector import Vector
from fermion.core.errors import RequestRejected

FORM = 'Send {"rows": [{"name": value, ...}, ...]} or {"columns": {"name": [value, ...], ...}}.'
SCHEMA = Schema.of({"age": Number(), "class": Category(), "ok": Flag()}).fit({"age": [1.0, None], "class": ["a", "b"], "ok": [True, False]})
REQUESTS = Requests(SCHEMA)
ROW = '"class": "a", "ok": true'


def rejected(body: str | bytes, requests: Requests = REQUESTS) -> RequestRejected:
    with pytest.raises(RequestRejected) as raised:
        requests.decode(body.encode() if isinstance(body, str) else body)
    return raised.value


def test_rows_and_columns_mean_the_same() -> None:
    rows = REQUESTS.decode(b'{"rows": [{"age": 1, "class": "a", "ok": true}, {"ok": false, "class": "new", "age": null}]}')
    columns = REQUESTS.decode(b'{"columns": {"class": ["a", "new"], "age": [1.0, null], "ok": [true, false]}}')
    assert rows == columns == [(1.0, "a", True), (None, "new", False)]
    assert REQUESTS.batch(rows) == {"age": [1.0, None], "class": ["a", "new"], "ok": [True, False]}


def test_what_is_decoded_is_what_the_encoder_takes() -> None:
    rows = REQUESTS.decode(b'{"rows": [{"age": 3, "class": "b", "ok": true}]}')
    encoded = SCHEMA.encode(REQUESTS.batch(rows))
    assert encoded["codes"].tolist() == [[3]]
    assert encoded["numbers"].tolist() == [[2.0, 1.0]]


def test_no_rows_are_an_empty_batch() -> None:
    for body in (b'{"rows": []}', b'{"columns": {"age": [], "class": [], "ok": []}}'):
        assert REQUESTS.batch(REQUESTS.decode(body)) == {"age": [], "class": [], "ok": []}


@pytest.mark.parametrize(
    "name", ["class", "a b", "f0", "f1", "é", "日本", "rows", "type", "__class__", "a/b", "$.x", "a`b", "", "self", "0"]
)
def test_a_column_may_have_any_name(name: str) -> None:
    requests = Requests(Schema.of({name: Number(), "f0x": Number()}))
    assert requests.decode(json.dumps({"rows": [{name: 1, "f0x": 2}]}).encode()) == [(1.0, 2.0)]
    assert requests.decode(json.dumps({"columns": {name: [1], "f0x": [2]}}).encode()) == [(1.0, 2.0)]
    bad = rejected(json.dumps({"rows": [{name: 1, "f0x": 2}, {name: "x", "f0x": 2}]}), requests)
    assert (bad.where, bad.message) == (f"$.rows[1].{name}", f"`$.rows[1].{name}` must be float, got str.")
    assert name in json.dumps(requests.json_schema, ensure_ascii=False)


def test_a_single_column() -> None:
    requests = Requests(Schema.of({"x": Number()}))
    assert requests.decode(b'{"rows": [{"x": 1}, {"x": 2}]}') == requests.decode(b'{"columns": {"x": [1, 2]}}') == [(1.0,), (2.0,)]


MALFORMED = {
    "nothing": b"",
    "half": b'{"rows": [{"age": 1',
    "a NaN literal": f'{{"rows": [{{"age": NaN, {ROW}}}]}}'.encode(),
    "an infinity literal": f'{{"rows": [{{"age": -Infinity, {ROW}}}]}}'.encode(),
    "a comma too many": f'{{"rows": [{{"age": 1, {ROW}}},]}}'.encode(),
    "text after it": b'{"rows": []} x',
    "single quotes": b"{'rows': []}",
    "other encodings": '{"rows": []}'.encode("utf-16"),
    "bytes that are no text": b'{"rows": [{"age": 1, "class": "\xff", "ok": true}]}',
    "half a surrogate pair in what is no JSON": b'{"rows": [{"age": 1, "class": "\\ud800", "ok": true}]',
    "a leading zero": f'{{"rows": [{{"age": 01, {ROW}}}]}}'.encode(),
    "a comment": b'{"rows": [] /* none */}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_json_is_400(body: bytes) -> None:
    bad = rejected(body)
    assert (bad.status, bad.where, bad.remedy) == (400, "body", FORM)
    assert bad.message.startswith("the body must be JSON, got ")


MISFITS: dict[str, tuple[str, str, str, str]] = {
    "an unknown field": (
        f'{{"rows": [{{"age": 1, "clas": 1, {ROW}}}]}}',
        "$.rows[0]",
        "a field must be one of age, class, ok, got `clas`.",
        "Did you mean `class`?",
    ),
    "a missing field": (
        f'{{"rows": [{{"age": 1, {ROW}}}, {{"age": 1, "ok": true}}]}}',
        "$.rows[1]",
        "`class` must be in every row, got no such field.",
        "A missing value is sent as null, where training had missing values.",
    ),
    "text for a number": (f'{{"rows": [{{"age": "1", {ROW}}}]}}', "$.rows[0].age", "`$.rows[0].age` must be float | null, got str.", ""),
    "true for a number": (f'{{"rows": [{{"age": true, {ROW}}}]}}', "$.rows[0].age", "`$.rows[0].age` must be float | null, got bool.", ""),
    "1 for true": ('{"rows": [{"age": 1, "class": "a", "ok": 1}]}', "$.rows[0].ok", "`$.rows[0].ok` must be bool, got int.", ""),
    "a number for text": (
        '{"rows": [{"age": 1, "class": 1, "ok": true}]}',
        "$.rows[0].class",
        "`$.rows[0].class` must be str, got int.",
        "",
    ),
    "null where none was missing": (
        '{"columns": {"age": [1], "class": [null], "ok": [true]}}',
        "$.columns.class[0]",
        "`$.columns.class[0]` must be str, got null.",
        "No value was missing in training; send one, or declare `missing: accept` for the column and train again.",
    ),
    "a number beyond float": (
        f'{{"rows": [{{"age": 1e999, {ROW}}}]}}',
        "$.rows[0].age",
        "`$.rows[0].age` must be a value that the schema allows, got Number out of range.",
        "",
    ),
    "a huge integer": (
        f'{{"rows": [{{"age": 1{"0" * 400}, {ROW}}}]}}',
        "$.rows[0].age",
        "`$.rows[0].age` must be a value that the schema allows, got Number out of range.",
        "",
    ),
    "neither": ("{}", "$", "the body must be one object with either `rows` or `columns`, got neither.", FORM),
    "both": (
        '{"rows": [], "columns": {"age": [], "class": [], "ok": []}}',
        "$",
        "the body must be one object with either `rows` or `columns`, got both.",
        FORM,
    ),
    "both, and wrong": (
        '{"rows": [{}], "columns": 3}',
        "$",
        "the body must be one object with either `rows` or `columns`, got both.",
        FORM,
    ),
    "half a surrogate pair": (
        f'{{"rows": [{{"age": 1, {ROW}}}, {{"age": 1, "class": "a\\udc00", "ok": true}}]}}',
        "$.rows[1].class",
        "`$.rows[1].class` must be text of whole characters, got half a surrogate pair.",
        "Send both halves, or U+FFFD in their place.",
    ),
    "half a surrogate pair in columns": (
        '{"columns": {"age": [1], "class": ["\\ud800"], "ok": [true]}}',
        "$.columns.class[0]",
        "`$.columns.class[0]` must be text of whole characters, got half a surrogate pair.",
        "Send both halves, or U+FFFD in their place.",
    ),
    "half a surrogate pair in a name": (
        f'{{"rows": [{{"age": 1, "\\ud800": 1, {ROW}}}]}}',
        "$.rows[0]",
        "`$.rows[0]` must be text of whole characters, got half a surrogate pair.",
        "Send both halves, or U+FFFD in their place.",
    ),
    "a bare row": (f'{{"age": 1, {ROW}}}', "$", "a field must be one of rows, columns, got `age`.", FORM),
    "a list": ("[]", "$", "the body must be object, got array.", FORM),
    "null rows": ('{"rows": null}', "$.rows", "`$.rows` must be array, got null.", ""),
    "a null row": ('{"rows": [null]}', "$.rows[0]", "`$.rows[0]` must be object, got null.", ""),
    "columns of different lengths": (
        '{"columns": {"age": [1, 2], "class": ["a"], "ok": [true]}}',
        "$.columns",
        "the lists in `columns` must be equally long, got {'age': 2, 'class': 1, 'ok': 1}.",
        "",
    ),
    "a scalar column": (
        '{"columns": {"age": 1, "class": ["a"], "ok": [true]}}',
        "$.columns.age",
        "`$.columns.age` must be array, got int.",
        "",
    ),
}


@pytest.mark.parametrize(("body", "where", "message", "remedy"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_the_schema_is_422(body: str, where: str, message: str, remedy: str) -> None:
    bad = rejected(body)
    assert (bad.status, bad.where, bad.message, bad.remedy) == (422, where, message, remedy)


def test_a_name_that_comes_twice_counts_the_last_time() -> None:
    """JSON leaves it open (RFC 8259, 4); most readers do this."""
    assert REQUESTS.decode(f'{{"rows": [{{"age": 1, "age": 2, {ROW}}}]}}'.encode()) == [(2.0, "a", True)]
    assert rejected(f'{{"rows": [{{"age": 2, "age": "x", {ROW}}}]}}').status == 422


def test_depth_does_not_matter() -> None:
    for body in ("[" * 200_000, '{"x": ' * 200_000, '{"rows": [{"age": ' + "[" * 200_000, '{"rows": [{"x": ' + "[" * 200_000):
        assert rejected(body).status in (400, 422)


def test_large_integers_are_levels_of_a_category() -> None:
    requests = Requests(Schema.of({"id": Category()}).fit({"id": [2**80, 1]}))
    assert requests.decode(json.dumps({"rows": [{"id": 2**80}]}).encode()) == [(2**80,)]
    assert rejected('{"rows": [{"id": 1.5}]}', requests).message == "`$.rows[0].id` must be int, got float."


def test_times_are_text_and_checked_by_the_encoder() -> None:
    schema = Schema.of({"when": Time()}).fit({"when": ["2026-01-01"]})
    requests = Requests(schema)
    assert requests.decode(b'{"rows": [{"when": "2026-01-01"}]}') == [("2026-01-01",)]
    assert rejected('{"rows": [{"when": 1.7e9}]}', requests).status == 422


def test_pictures_are_base64_lists_or_pixels_but_never_paths() -> None:
    schema = Schema.of({"picture": Image()}).fit({"picture": np.zeros((2, 2, 2), np.uint8)})
    requests = Requests(schema)

    def values(value: Any) -> Any:
        return requests.decode(msgspec.json.encode({"rows": [{"picture": value}]}))[0][0]

    assert values([[1, 2], [3, 4]]) == [[1, 2], [3, 4]]
    assert values([[[1], [2]], [[3], [4]]]) == [[[1], [2]], [[3], [4]]]
    assert values({"shape": [2, 2, 1], "uint8": "AQIDBA=="}) == Pixels(shape=(2, 2, 1), uint8=b"\1\2\3\4")
    assert values("AQIDBA==") == b"\1\2\3\4"
    for wrong in ("/etc/passwd.png", "%%%", [[1.5]], [["a"]], {"shape": [2, 2], "uint8": ""}, {"uint8": ""}, 7):
        assert rejected(msgspec.json.encode({"rows": [{"picture": wrong}]}), requests).status == 422
    assert isinstance(values("/etc/passwd"[:8]), bytes), "text is always base64"


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        ({"rate": 0, "samples": ""}, "$.rows[0].clip.rate", "`$.rows[0].clip.rate` must be int >= 1, got less."),
        ({"rate": 0}, "$.rows[0].clip.rate", "`$.rows[0].clip.rate` must be int >= 1, got less."),
        ({"rate": 1}, "$.rows[0].clip", "`samples` must be in `$.rows[0].clip`, got no such field."),
        ({"rate": 1, "sample": ""}, "$.rows[0].clip", "a field must be one that `$.rows[0].clip` has, got `sample`."),
        ({"rate": 1, "samples": "%"}, "$.rows[0].clip.samples", "`$.rows[0].clip.samples` must be base64, got other text."),
    ],
)
def test_an_object_that_is_no_clip_is_refused_with_its_own_reason(value: Any, where: str, message: str) -> None:
    bad = rejected(msgspec.json.encode({"rows": [{"clip": value}]}), Requests(Schema.of({"clip": Audio(rate=8000)})))
    assert (bad.status, bad.where, bad.message) == (422, where, message)


def test_the_json_schema_names_the_columns() -> None:
    schema = REQUESTS.json_schema
    row = schema["components"]["Row"]
    assert set(row["properties"]) == {"age", "class", "ok"}
    assert row["required"] == ["age", "class", "ok"]
    assert row["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    ("value", "where", "message", "remedy"),
    [
        ("[1, 2]", "$.rows[0].look", "a list of at least 3 values, got fewer", "Every row has as many as those in training."),
        ("[1, 2, 3, 4]", "$.rows[0].look", "a list of at most 3 values, got more", "Every row has as many as those in training."),
        ("null", "$.rows[0].look", "array, got null", "No value was missing in training"),
        ('[1, "2", 3]', "$.rows[0].look[1]", "float | null, got str", ""),
        ("3", "$.rows[0].look", "array, got int", ""),
    ],
)
def test_lists_of_another_form_are_told_with_their_place(value: str, where: str, message: str, remedy: str) -> None:
    requests = Requests(Schema.of({"look": Vector(size=3), "tags": Set(levels=("a",))}))
    with pytest.raises(RequestRejected, match=re.escape(f"`{where}` must be {message}.")) as caught:
        requests.decode(f'{{"rows": [{{"look": {value}, "tags": []}}]}}'.encode())
    assert caught.value.status == 422
    assert caught.value.where == where
    assert caught.value.remedy.startswith(remedy)
    with pytest.raises(RequestRejected, match=re.escape("`$.rows[0].tags[0]` must be str, got null.")) as caught:
        requests.decode(b'{"rows": [{"look": [1, 2, 3], "tags": [null]}]}')
    assert caught.value.remedy == ""
