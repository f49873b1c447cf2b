"""What the service sends back: a status and bytes. Any HTTP layer can carry it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fermion.core.errors import DataError, FermionError, MissingExtra, RequestRejected

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case

JSON, HTML, TEXT = b"application/json", b"text/html; charset=utf-8", b"text/plain; version=0.0.4; charset=utf-8"


class Reply(NamedTuple):
    """One answer: `kind` is the content's type, `more` the headers beside its type and length."""

    body: bytes
    status: int = 200
    kind: bytes = JSON
    more: Headers = ()


def status_of(bad: FermionError) -> int:
    """The status of an error: what the client sent is 4xx, what needs a package that the server lacks is 501, everything else 500.

    >>> status_of(DataError("x", rule="y", given=1)), status_of(FermionError("x", rule="y", given=1))
    (422, 500)
    """
    if isinstance(bad, RequestRejected):
        return bad.status
    return 422 if isinstance(bad, DataError) else 501 if isinstance(bad, MissingExtra) else 500


def refusal(bad: FermionError, more: Headers = ()) -> Reply:
    """`{"error": {code, message, where, remedy}}` with the status of the error; a 503 says when to come back."""
    status = status_of(bad)
    retry = ((b"retry-after", b"1"),) if status == 503 else ()
    return Reply(msgspec.json.encode({"error": bad.document()}), status, JSON, (*retry, *more))
