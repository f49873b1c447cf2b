"""The Python client of the service: typed from its schema, with the standard library's HTTP."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import http.client
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
from msgspec import Struct

from fermion.columns.column import Batch
from fermion.core.errors import (
    BundleError,
    DataError,
    FermionError,
    MissingExtra,
    RequestRejected,
    Told,
    UsageError,
    ValueRejected,
    did_you_mean,
)

_CODES: dict[str, type[FermionError]] = {
    kind.code: kind for kind in (FermionError, DataError, ValueRejected, BundleError, UsageError, MissingExtra)
}
_LONGEST_WAIT = 5.0  # seconds that a Retry-After may ask for


class Input(Struct, frozen=True, kw_only=True):
    """One input: its kind (number, category, ...), whether null is allowed, and the JSON Schema of a value."""

    name: str
    type: str
    missing: bool
    schema: dict[str, Any]


class Target(Struct, frozen=True, kw_only=True):
    """One output: "probability" with its classes, or "value"."""

    target: str
    type: str
    classes: tuple[str | int | bool, ...] = ()


class Served(Struct, frozen=True, kw_only=True):
    """What a service says about itself: `/v1/schema`."""

    bundle: str
    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Target, ...]
    request: dict[str, Any]


class Client:
    """Asks a running service. Threads may share one: each request takes a connection of its own from a small pool and keeps it alive.

        with Client("http://127.0.0.1:8080") as client:
            client.predict({"age": [20, 30]})["prediction"]

    Args:
        url: of the service.
        timeout: seconds that one attempt may take.
        retries: more attempts after a 503 or a connection that was lost before an answer began.

    Raises:
        UsageError: the URL is none.
    """

    def __init__(self, url: str, *, timeout: float = 30.0, retries: int = 3) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("the service's URL", rule="http://HOST:PORT", given=url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.url, self.timeout, self.retries = url, timeout, retries
        self._connect = functools.partial(kind, parts.hostname, parts.port, timeout=timeout)
        self._path = parts.path.rstrip("/")
        self._idle: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    @functools.cached_property
    def schema(self) -> Served:
        """What the service expects and answers; asked once."""
        return msgspec.json.decode(self._ask("GET", "/v1/schema", None), type=Served)

    def predict(self, batch: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Batch:
        """Names to lists, or a list of rows -> `prediction`, `probabilities` and `id`, equally long lists.

        Values may be Python's, NumPy's, or columns of Polars and pandas. Pictures are uint8 arrays (H, W[, C]), encoded files as bytes,
        or paths of files, which are read here.

        Raises:
            DataError: names or lengths do not fit the schema, or a value is nothing that JSON can carry.
            RequestRejected: the service refused it; `status` is 0 where no answer came.
        """
        names = [one.name for one in self.schema.inputs]
        columns = batch if isinstance(batch, Mapping) else _columns(batch, names)
        for name in names:
            if name not in columns:
                remedy = did_you_mean(name, list(columns))
                given = Told(f"columns {', '.join(list(columns)[:12])}")
                raise DataError(f"the column `{name}`", rule="in the batch", given=given, remedy=remedy)
        for name in columns:
            if name not in names:
                raise DataError("a column", rule="one that the service reads", given=name, remedy=did_you_mean(str(name), names))
        sent = {name: [_plain(value, name, row) for row, value in enumerate(columns[name])] for name in names}
        answer = msgspec.json.decode(self._ask("POST", "/v1/predict", msgspec.json.encode({"columns": sent})))
        return answer["columns"]

    def ready(self) -> bool:
        """Whether the service takes requests now."""
        try:
            return self._once("GET", "/readyz", None)[0] == 200
        except RequestRejected:
            return False

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        left = self.retries
        while True:
            status, wait, data = self._once(method, path, body)
            if status == 200:
                return data
            if status != 503 or left == 0:
                raise _refused(status, data)
            left -= 1
            time.sleep(wait)

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, float, bytes]:
        """Status, seconds to wait before another attempt, and the body of one answer."""
        while True:
            kept, connection = self._taken()
            try:
                headers = {} if body is None else {"content-type": "application/json"}
                connection.request(method, self._path + path, body=body, headers=headers)
                response = connection.getresponse()
                data = response.read()
            except TimeoutError:
                connection.close()
                raise RequestRejected(
                    "the service", rule=f"done within {self.timeout:g} s", given=Told("no answer"), where=self.url, status=0
                ) from None
            except (OSError, http.client.HTTPException) as bad:
                connection.close()
                if kept:  # the service let go of an idle connection; a prediction asked twice is the same prediction
                    continue
                remedy = "Is it running? Start it with `fermion serve BUNDLE`."
                given = Told(f"{type(bad).__name__}: {bad}")
                raise RequestRejected("the service", rule="reachable", given=given, remedy=remedy, where=self.url, status=0) from None
            if response.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            return response.status, _wait(response.headers.get("retry-after")), data

    def _taken(self) -> tuple[bool, http.client.HTTPConnection]:
        try:
            return True, self._idle.pop()
        except IndexError:
            return False, self._connect()


def _wait(retry_after: str | None) -> float:
    """Seconds that a 503 asks to wait, within reason.

    >>> _wait("1"), _wait(None), _wait("3600")
    (1.0, 0.1, 5.0)
    """
    return min(float(retry_after), _LONGEST_WAIT) if retry_after and retry_after.isdigit() else 0.1


def _refused(status: int, data: bytes) -> FermionError:
    """The error that the service sent, as the class that it was there."""
    try:
        told: dict[str, str] = msgspec.json.decode(data, type=dict[str, dict[str, str]])["error"]
        message, where, remedy = told["message"], told["where"], told["remedy"]
    except (msgspec.DecodeError, KeyError):  # something between client and service answered
        told, message, where, remedy = {}, f"the service must be willing, got status {status}.", "", ""
    subject, _, rest = message.removesuffix(".").partition(" must be ")
    rule, _, given = rest.rpartition(", got ")
    kind = _CODES.get(told.get("code", ""))
    if kind is None:
        return RequestRejected(subject, rule=rule, given=Told(given), remedy=remedy, where=where, status=status)
    return kind(subject, rule=rule, given=Told(given), remedy=remedy, where=where)


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    known = set(names)
    for position, row in enumerate(rows):
        for name in row.keys() ^ known:
            lacks = name in known
            raise DataError(
                f"`{name}`",
                rule="in every row" if lacks else f"one of {', '.join(names[:12])}",
                given=Told("no such value" if lacks else "a name that the service does not read"),
                remedy=did_you_mean(str(name), list(row) if lacks else names),
                where=f"row {position}",
            )
    return {name: [row[name] for row in rows] for name in names}


def _plain(value: Any, name: str, row: int) -> Any:
    """A value as JSON carries it: null where missing, base64 for bytes, shape and bytes for a picture, base64 for the samples of a clip.

    >>> _plain(np.float32(0.5), "x", 0), _plain(float("nan"), "x", 0), _plain(dt.date(2026, 3, 1), "x", 0)
    (0.5, None, '2026-03-01')
    >>> _plain({"rate": 8000, "samples": np.zeros(1)}, "x", 0), _plain({"times": np.array([0.0]), "values": [None]}, "x", 0)
    ({'rate': 8000, 'samples': 'AAAAAA=='}, {'times': [0.0], 'values': [None]})
    """
    if isinstance(value, Mapping):
        parts: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        samples = {"samples": np.asarray(parts["samples"], dtype="<f4").tobytes()} if isinstance(parts.get("samples"), np.ndarray) else {}
        return {key: _plain(one, name, row) for key, one in {**parts, **samples}.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3):
        shape = (*value.shape, 1)[:3]
        return {"shape": shape, "uint8": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int | list):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueRejected(f"`{name}`", rule="a finite number or null", given=value, where=f"row {row}")
        return None if math.isnan(value) else value
    if isinstance(value, dt.date):  # datetime is one too; pandas' NaT is one that is not equal to itself
        return value.isoformat() if value == value else None
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, Path):
        return base64.b64encode(value.read_bytes()).decode()
    raise ValueRejected(f"`{name}`", rule="a value that JSON can carry", given=value, where=f"row {row}")
