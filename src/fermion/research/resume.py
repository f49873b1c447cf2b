"""Checkpoints: the whole state of a training in one file, so that a killed one goes on and ends with the very same weights.

    weights, optimisers, mean weights, order of the rows, random numbers, curves, best weights so far, position
    -> one file, written beside and renamed, every half minute, and never for more than a twentieth of the time

Nothing is executed when a file is read, and one that is broken or of another training is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from torch import nn

import fermion
from fermion.bundle.placing import replacing
from fermion.core.errors import FermionError
from fermion.research.model import Encoded

COST = 0.05  # the share of the time that writing may take
READ = 2**26  # bytes of an array that tell it from others


class Part(Protocol):
    """Something that has a state."""

    def state_dict(self) -> Any:
        """Tensors, numbers, texts, and lists and mappings of them."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """As it was when `state` was taken."""
        ...


class Checkpoints:
    """The checkpoint of one training.

    Args:
        folder: where it lies, None for a training that is not saved.
        key: what tells this training from others in the folder (`fingerprint`).
        every: seconds between two checkpoints, 0 for none.
        device: where its tensors go.
    """

    def __init__(self, folder: Path | None, key: str, every: float, device: torch.device) -> None:
        self.path = None if folder is None or not every else folder / f"{key}.pt"
        self.every, self.device = every, device
        self.last, self.cost = time.monotonic(), 0.0

    def read(self, parts: Mapping[str, Part]) -> bool:
        """Put the saved state into the parts, and torch's random numbers where they were; False where there is nothing to go on from."""
        if self.path is None or not self.path.is_file():
            return False
        with contextlib.suppress(OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            saved = torch.load(self.path, map_location=self.device, weights_only=True)
            if saved.get("parts", {}).keys() != parts.keys():
                return False
            for name, part in parts.items():
                part.load_state_dict(saved["parts"][name])
            torch.set_rng_state(saved["random"].cpu())
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(saved["random on device"].cpu(), self.device)
            return True
        return False

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self.path is not None and time.monotonic() - self.last >= max(self.every, self.cost / COST)

    def write(self, parts: Mapping[str, Part]) -> str:
        """Save the state of the parts, all of it or nothing; returns why that is not possible any more, '' where it is.

        A disk that is full costs the checkpoints, not the training.
        """
        if self.path is None:
            return ""
        began = time.monotonic()
        saved = {"parts": {name: part.state_dict() for name, part in parts.items()}, "random": torch.get_rng_state()}
        if self.device.type == "cuda":
            saved["random on device"] = torch.cuda.get_rng_state(self.device)
        try:
            with replacing(self.path) as scratch:
                torch.save(saved, scratch)
        except (FermionError, OSError, RuntimeError) as failed:
            self.path = None
            return f"The state of the training cannot be saved, so it begins anew if it is killed: {failed}"
        self.last = time.monotonic()
        self.cost = self.last - began
        return ""


def fingerprint(net: nn.Module, parts: Mapping[str, Encoded], told: object) -> str:
    """What tells a training from every other: the net with its first weights, the rows, and whatever else `told` says, as text.

    Of an array of more than 64 MB evenly spaced rows are read.
    """
    found = hashlib.blake2b(digest_size=16)
    found.update(f"{fermion.__version__} {torch.__version__} {net} {told!r}".encode())
    for name, weight in net.state_dict().items():
        found.update(name.encode())
        plain = weight.detach().cpu().clone(memory_format=torch.contiguous_format)  # a lone expanded number has no stride otherwise
        found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    for name, rows in parts.items():
        found.update(f"{name} {len(rows)}".encode())
        found.update(msgspec.json.encode(rows.outputs))
        weights = {} if rows.weights is None else {"weights": rows.weights}
        for label, array in (*rows.arrays.items(), *rows.targets.items(), *weights.items()):
            found.update(f"{label} {array.dtype} {array.shape}".encode())
            some = array[:: -(-array.nbytes // READ)] if array.nbytes else array
            found.update(np.ascontiguousarray(some).tobytes())
    return found.hexdigest()
