"""How to tell that memory ran out from any other failure."""

from __future__ import annotations

import torch

_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "failed to allocate")


def exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device.

    >>> exhausted(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")), exhausted(ValueError("no"))
    (True, False)
    """
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in told for word in _WORDS)
    )
