"""Addresses as they may be shown: variables from the environment filled in, secrets never told."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from fermion.core.declared import Source
from fermion.core.errors import SpecError, Told

_SECRET = re.compile(r"(?i)([?&;][^=&;]*(?:pass|pwd|secret|token|key|sig|credential)[^=&;]*=)[^&;#]*")
_USER = re.compile(r"^([a-z][a-z0-9+.-]*://[^/?#@:]*):(.*)@(?=[^@]*$)", re.IGNORECASE | re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def public(source: str | Source) -> str:
    """A source as messages, run records and provenance may carry it: without passwords and tokens.

    >>> public("postgresql://ann:s3cret@db/shop?sslpassword=x"), public("https://a.org/b.csv?token=x&v=2")
    ('postgresql://ann:***@db/shop?sslpassword=***', 'https://a.org/b.csv?token=***&v=2')
    """
    at = source if isinstance(source, str) else source.at
    return _SECRET.sub(r"\1***", _USER.sub(r"\1:***@", at)) if "://" in at else at


def scrubbed(text: str, at: str) -> str:
    """A driver's message without the secrets of the address that it may repeat.

    >>> scrubbed("no host 'pw!@db' for pw!", "mysql://ann:pw%21@db/x")
    "no host '***@db' for ***"
    """
    user = _USER.match(at)
    found = [user[2]] if user else []
    found += [match[0].partition("=")[2] for match in _SECRET.finditer(at)]
    for secret in sorted({form for raw in found for form in (raw, unquote(raw)) if form}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def with_variables(source: str, where: str) -> str:
    """`${VARIABLE}` taken from the environment.

    Raises:
        SpecError: one is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if not os.environ.get(name):
            raise SpecError(
                "data.source",
                rule="made of variables that are set in the environment",
                given=Told(f"${{{name}}}, which is not"),
                remedy=f"Set it first: export {name}=/path/to/data",
                where=where,
            )
        return os.environ[name]

    return _VARIABLE.sub(value, source)
