"""A request as a type made from the schema: decoding JSON and checking it are one step."""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, defstruct

from fermion.columns.column import Batch
from fermion.columns.schema import Field, Schema
from fermion.core.characters import has_half
from fermion.core.errors import RequestRejected, Told, did_you_mean


class Requests:
    """Reads the bodies of prediction requests for one schema.

    A body is `{"rows": [{...}, ...]}` or `{"columns": {name: [...]}}`. Every input must be there; a missing value is null, and only
    where training had missing values. Unknown names, wrong types, infinite and not-a-number literals are refused with their place.

    >>> from fermion.columns.number import Number
    >>> requests = Requests(Schema.of({"age": Number()}))
    >>> requests.batch(requests.decode(b'{"rows": [{"age": 20}]}'))
    {'age': [20.0]}
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        # Column names are any text, attribute names are not: f0, f1, ... with the column's name on the wire.
        inner = [f"f{position}" for position in range(len(schema.fields))]
        rename = dict(zip(inner, schema.names, strict=True))
        types: list[Any] = [_typed(field) for field in schema.fields]
        self.row = _struct("Row", list(zip(inner, types, strict=True)), rename)
        self.columns = _struct("Columns", [(name, list[kind]) for name, kind in zip(inner, types, strict=True)], rename)
        self.body = defstruct(
            "Request",
            [("rows", list[self.row] | UnsetType, UNSET), ("columns", self.columns | UnsetType, UNSET)],
            kw_only=True,
            forbid_unknown_fields=True,
        )
        self._decoder = msgspec.json.Decoder(self.body)
        self._values: Callable[[Any], Any] = operator.attrgetter(*inner) if inner else (lambda row: ())
        self._single = len(inner) == 1

    def decode(self, body: bytes) -> list[Sequence[Any]]:
        """A body -> one tuple of values per row, in the order of the schema.

        Raises:
            RequestRejected: 400 where it is not JSON, 422 where it does not fit the schema.
        """
        try:
            request: Any = self._decoder.decode(body)
        except msgspec.ValidationError as bad:
            raise (_has_both(body) or self._explained(str(bad))) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
            if "surrogate" in str(bad) and (found := _half_a_character(body)) is not None:
                raise found from None
            raise RequestRejected("the body", rule="JSON", given=Told(_plainly(str(bad))), remedy=_FORM, where="body") from None
        if (request.rows is UNSET) == (request.columns is UNSET):
            raise _not_one_form("neither" if request.rows is UNSET else "both")
        if request.rows is not UNSET:
            if self._single:
                return [(self._values(row),) for row in request.rows]
            return [self._values(row) for row in request.rows]
        columns: Any = self._values(request.columns)
        listed: Sequence[list[Any]] = [columns] if self._single else columns
        if len({len(values) for values in listed}) > 1:
            lengths = {name: len(values) for name, values in zip(self.schema.names, listed, strict=True)}
            raise RequestRejected("the lists in `columns`", rule="equally long", given=lengths, where="$.columns", status=422)
        return list(zip(*listed, strict=True))

    def batch(self, rows: Sequence[Sequence[Any]]) -> Batch:
        """Tuples of values -> names to lists, for the encoder."""
        if not rows:
            return {name: [] for name in self.schema.names}
        return dict(zip(self.schema.names, map(list, zip(*rows, strict=True)), strict=True))

    @functools.cached_property
    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of a body, with its parts under $defs."""
        (top,), parts = msgspec.json.schema_components([self.body], ref_template="#/components/schemas/{name}")
        return {"schema": top, "components": parts}

    def _explained(self, message: str) -> RequestRejected:
        """What msgspec says, as subject, rule, value and remedy."""
        path = (re.search(r" - at `(.*)`$", message) or ["", "$"])[1]
        says = message.split(" - at `")[0]
        remedy, subject = "", "the body" if path == "$" else f"`{path}`"
        if unknown := re.search(r"unknown field `(.*)`", says):
            name = unknown[1]
            subject, rule, given = "a field", f"one that `{path}` has", Told(f"`{name}`")
            if path == "$":
                rule, remedy = "one of rows, columns", _FORM
            elif _ROW.fullmatch(path):
                rule, remedy = f"one of {', '.join(self.schema.names[:12])}", did_you_mean(name, self.schema.names)
        elif lacking := re.search(r"missing required field `(.*)`", says):
            subject, rule, given = f"`{lacking[1]}`", f"in `{path}`", Told("no such field")
            if _ROW.fullmatch(path):
                rule, remedy = "in every row", "A missing value is sent as null, where training had missing values."
        elif expected := re.search(r"Expected `(.*)`, got `(.*)`", says):
            rule, given = expected[1], Told(expected[2])
            if expected[2] == "null" and _VALUE.fullmatch(path):
                remedy = "No value was missing in training; send one, or declare `missing: accept` for the column and train again."
            elif path == "$":
                remedy = _FORM
        elif length := re.search(r"Expected `array` of length (>=|<=) (\d+)", says):
            most, others = length[1] == "<=", Told("more" if length[1] == "<=" else "fewer")
            rule, given = f"a list of at {'most' if most else 'least'} {length[2]} values", others
            remedy = "Every row has as many as those in training."
        elif limit := re.search(r"Expected `(.*)` ([<>]=?) (.*)", says):
            rule, given = " ".join(limit.groups()), Told("less" if limit[2].startswith(">") else "more")
        elif "base64" in says:
            rule, given = "base64", Told("other text")
        else:
            rule, given = "a value that the schema allows", Told(says)
        return RequestRejected(subject, rule=rule, given=given, remedy=remedy, where=path, status=422)


_FORM = 'Send {"rows": [{"name": value, ...}, ...]} or {"columns": {"name": [value, ...], ...}}.'


_VALUE = re.compile(r"\$\.rows\[\d+\]\.[^\[\]]+|\$\.columns\..+\[\d+\]")  # the place of one value, not of what is within it
_ROW = re.compile(r"\$\.rows\[\d+\]|\$\.columns")


def _typed(field: Field) -> Any:
    kind = field.column.request
    return kind | None if field.missing else kind


def _struct(name: str, fields: list[tuple[str, Any]], rename: dict[str, str]) -> type[Struct]:
    return defstruct(name, fields, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False)


def _plainly(message: str) -> str:
    return message.removeprefix("JSON is malformed: ")


class _Forms(Struct):
    """Both forms of a body, unread."""

    rows: Raw | UnsetType = UNSET
    columns: Raw | UnsetType = UNSET


def _has_both(body: bytes) -> RequestRejected | None:
    """The refusal of a body with `rows` and `columns`, whatever else is wrong in them."""
    try:
        forms = msgspec.json.decode(body, type=_Forms)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if UNSET in (forms.rows, forms.columns) else _not_one_form("both")


def _not_one_form(given: str) -> RequestRejected:
    rule = "one object with either `rows` or `columns`"
    return RequestRejected("the body", rule=rule, given=Told(given), remedy=_FORM, where="$", status=422)


def _half_a_character(body: bytes) -> RequestRejected | None:
    """The refusal of the first text with half a surrogate pair: JSON may write it (RFC 8259, 8.2), but it stands for no character."""
    try:
        waiting: list[tuple[str, Any]] = [("$", json.loads(body))]
    except (ValueError, RecursionError):
        return None
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            there: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            waiting += [(f"{path}.{key}", one) for key, one in reversed(there.items())]
            value = "".join(there)
        elif isinstance(value, list):
            listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
            waiting += [(f"{path}[{at}]", one) for at, one in reversed(list(enumerate(listed)))]
        if isinstance(value, str) and has_half(value):
            given = Told("half a surrogate pair")
            remedy = "Send both halves, or U+FFFD in their place."
            return RequestRejected(f"`{path}`", rule="text of whole characters", given=given, remedy=remedy, where=path, status=422)
    return None
