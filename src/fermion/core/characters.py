"""Text that is no Unicode: half of a surrogate pair, which JSON and YAML can write and no encoding can."""

from __future__ import annotations

import re

_HALF = re.compile("[\ud800-\udfff]")


def has_half(text: str) -> bool:
    r"""Whether half of a surrogate pair stands in a text.

    >>> has_half("caf\u00e9 \U0001f600"), has_half("caf\ud800")
    (False, True)
    """
    return not text.isascii() and _HALF.search(text) is not None
