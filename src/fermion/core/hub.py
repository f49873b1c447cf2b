"""Files of a hub of models, named by an id such as `owner/model`: fetched once by `huggingface_hub`, then read from its cache.

`HF_ENDPOINT` names another hub than the public one, `HF_HOME` the folder of the cache, and with `HF_HUB_OFFLINE=1` only what is there
is used; these are that library's own variables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fermion.core import lazy
from fermion.core.errors import DataError, Told

_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def is_id(name: str) -> bool:
    """Whether a name can be that of a model on a hub.

    >>> is_id("owner/model"), is_id("model"), is_id("./model"), is_id("a/b/c"), is_id("owner/")
    (True, True, False, False, False)
    """
    return _ID.fullmatch(name) is not None


def fetched(name: str, patterns: Sequence[str], *, subject: str) -> Path:
    """The folder in the cache with the files of a model whose names match one of `patterns`.

    Args:
        name: the id, with which `is_id` agrees.
        patterns: as for `fnmatch`: "*.json".
        subject: what is looked for, for the error.

    Raises:
        DataError: there is no such model there, no permission, or no network and nothing in the cache.
    """
    hub = lazy.load("huggingface_hub", extra="pretrained")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as bad:  # whatever the hub's client raises
        raise DataError(
            subject,
            rule="an existing folder or file, or that of a model that can be fetched from the hub",
            given=Told(f"{type(bad).__name__}: {str(bad).splitlines()[0][:160] if str(bad) else 'nothing fetched'}"),
            remedy="Check the name and the network, or give a path to its files.",
        ) from None
