"""A request as a type made from the schema: decoding JSON and checking it are one step."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, defstruct

from fermion.columns.column import Batch
from fermion.columns.schema import Field, Schema
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
            raise self._explained(str(bad), body) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
            raise RequestRejected("the body", rule="JSON", given=Told(_plainly(str(bad))), remedy=_FORM, where="body") from None
        if (request.rows is UNSET) == (request.columns is UNSET):
            raise RequestRejected(
                "the body",
                rule="one object with either `rows` or `columns`",
                given=Told("neither" if request.rows is UNSET else "both"),
                remedy=_FORM,
                where="$",
                status=422,
            )
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

    def _explained(self, message: str, body: bytes) -> RequestRejected:
        """What msgspec says, as subject, rule, value and remedy."""
        path = (re.search(r" - at `(.*)`$", message) or ["", "$"])[1]
        says = message.split(" - at `")[0]
        remedy, subject = "", "the body" if path == "$" else f"`{path}`"
        if unknown := re.search(r"unknown field `(.*)`", says):
            name = unknown[1]
            known = ("rows", "columns") if path == "$" else self.schema.names
            subject, rule, given = "a field", f"one of {', '.join(known[:12])}", Told(f"`{name}`")
            remedy = did_you_mean(name, known)
            if path == "$":
                remedy = _FORM
        elif lacking := re.search(r"missing required field `(.*)`", says):
            subject, rule, given = f"`{lacking[1]}`", "in every row", Told("no such field")
            remedy = "A missing value is sent as null, where training had missing values."
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
        else:
            rule, given = "a value that the schema allows", Told(says)
        return RequestRejected(subject, rule=rule, given=given, remedy=remedy, where=path, status=422)


_FORM = 'Send {"rows": [{"name": value, ...}, ...]} or {"columns": {"name": [value, ...], ...}}.'


_VALUE = re.compile(r"\$\.rows\[\d+\]\.[^\[\]]+|\$\.columns\..+\[\d+\]")  # the place of one value, not of what is within it


def _typed(field: Field) -> Any:
    kind = field.column.request
    return kind | None if field.missing else kind


def _struct(name: str, fields: list[tuple[str, Any]], rename: dict[str, str]) -> type[Struct]:
    return defstruct(name, fields, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False)


def _plainly(message: str) -> str:
    return message.removeprefix("JSON is malformed: ")
