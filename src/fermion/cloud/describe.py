"""What the service says about itself: `/v1/schema` and `/openapi.json`."""

from __future__ import annotations

from typing import Any

import msgspec

from fermion.columns.expect import said
from fermion.columns.output import Horizon, Labels, Output, Probability, Quantiles, Survival, Tags, keys_of
from fermion.columns.request import Requests
from fermion.columns.schema import Field

PARTS = "#/components/schemas/"


def schema_document(requests: Requests, outputs: tuple[Output, ...], *, bundle: str, name: str) -> dict[str, Any]:
    """Inputs with their types, outputs with their classes, and the JSON Schema of a request."""
    return {
        "bundle": bundle,
        "name": name,
        "inputs": [_input(field) for field in requests.schema.fields],
        "outputs": [_output(output) for output in outputs],
        **({"expect": [said(one) for one in requests.schema.expect]} if requests.schema.expect else {}),
        "request": _moved({"$ref": PARTS + "Request", "$defs": _request_parts(requests)}),
    }


def openapi(requests: Requests, outputs: tuple[Output, ...], *, bundle: str, name: str, example: dict[str, Any] | None) -> dict[str, Any]:
    """The service as OpenAPI 3.1, with an example row."""
    body: dict[str, Any] = {"schema": {"$ref": PARTS + "Request"}}
    if example is not None:
        body["example"] = {"rows": [example]}
    refused = {
        status: {"description": says, "content": {"application/json": {"schema": {"$ref": PARTS + "Error"}}}}
        for status, says in {
            "400": "Not JSON.",
            "413": "The body is too large.",
            "415": "Not sent as application/json.",
            "422": "It does not fit the schema; `where` says the place.",
            "503": "The queue is full or the service is stopping; Retry-After says when to come back.",
        }.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": bundle[:12], "description": f"Predictions of the bundle {bundle}."},
        "paths": {
            "/v1/predict": {
                "post": {
                    "summary": "Predict rows or columns; the answer has the same form.",
                    "operationId": "predict",
                    "requestBody": {"required": True, "content": {"application/json": body}},
                    "responses": {
                        "200": {"description": "One prediction per row.", "content": _content({"$ref": PARTS + "Answer"})},
                        **refused,
                    },
                }
            },
            "/v1/schema": {"get": _get("The inputs, the outputs and the JSON Schema of a request.", "schema", {"type": "object"})},
            "/v1/example": {"get": _get("The body of a request that is answered.", "example", {"$ref": PARTS + "Request"})},
            "/healthz": {"get": _get("Whether the process is alive.", "alive", {"type": "object"})},
            "/readyz": {"get": _get("Whether requests are taken: 503 before the model is warm and while stopping.", "ready", {})},
            "/metrics": {
                "get": {
                    "summary": "Counts for Prometheus.",
                    "operationId": "metrics",
                    "responses": {"200": {"description": "Text format 0.0.4.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
                }
            },
        },
        "components": {"schemas": {**_request_parts(requests), **_answer_parts(outputs)}},
    }


def _get(summary: str, operation: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "operationId": operation, "responses": {"200": {"description": "OK", "content": _content(schema)}}}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def kind_of(field: Field) -> str:
    """The kind of an input: number, category, flag, time, image, hashed, or a plugin's column; of wrapped ones what is inside."""
    return next((kind for kind in field.kinds if kind not in ("repaired", "redacted")), field.kinds[-1])


def _input(field: Field) -> dict[str, Any]:
    one = field.column.request
    schema = msgspec.json.schema(one | None if field.missing else one)
    private = {"private": True} if field.private else {}
    return {"name": field.name, "type": kind_of(field), "missing": field.missing, **private, "schema": schema}


def _output(output: Output) -> dict[str, Any]:
    kind = output.__struct_config__.tag
    more: dict[str, Any]
    match output:
        case Probability():
            more = {"classes": list(output.classes)} | ({"ordered": True} if output.ordered else {})
        case Labels() | Tags():
            more = {"classes": list(output.classes)}
        case Quantiles():
            more = {"levels": list(output.levels)}
        case Horizon():
            more = {"levels": list(output.levels), "steps": output.steps}
        case Survival():
            more = {"times": list(output.times)}
        case _:
            more = {}
    return {"target": output.target, "type": kind, **more}


def _request_parts(requests: Requests) -> dict[str, Any]:
    parts: dict[str, Any] = dict(requests.json_schema["components"])
    # That exactly one of the two is there is a rule of `Requests.decode` that types alone do not say.
    parts["Request"] = {**parts["Request"], "oneOf": [{"required": ["rows"]}, {"required": ["columns"]}]}
    return parts


def _answer_parts(outputs: tuple[Output, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key in keys_of(outputs):
        parts = {output.target: output.answers[key] for output in outputs if key in output.answers}
        row[key] = next(iter(parts.values())) if len(outputs) == 1 else _closed(parts)
    row["id"] = {"type": "string", "description": "Unique per row."}
    columns = {key: {"type": "array", "items": part} for key, part in row.items()}
    text = {"type": "string"}
    return {
        "Answer": {
            "type": "object",
            "properties": {"rows": {"type": "array", "items": _closed(row)}, "columns": _closed(columns), "bundle": text},
            "required": ["bundle"],
            "oneOf": [{"required": ["rows"]}, {"required": ["columns"]}],
        },
        "Error": _closed({"error": _closed({"code": text, "message": text, "where": text, "remedy": text})}),
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _moved(schema: Any) -> Any:
    """The same JSON Schema with its references into `$defs`, so that it stands alone."""
    if isinstance(schema, dict):
        there: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
        return {
            key: value.replace(PARTS, "#/$defs/") if key == "$ref" and isinstance(value, str) else _moved(value)
            for key, value in there.items()
        }
    return [_moved(one) for one in schema] if isinstance(schema, list) else schema  # pyright: ignore[reportUnknownVariableType]
