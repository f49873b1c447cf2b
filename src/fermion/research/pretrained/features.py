"""Vectors of frozen backbones, made once: by batches of rows of like length, kept on the disk under what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from fermion.bundle.placing import replacing
from fermion.columns.column import Arrays
from fermion.core.errors import DataError, Told
from fermion.core.run import Run
from fermion.research.blocks.encoding import Encoding
from fermion.research.model import Encoded
from fermion.research.pretrained.encodings import Frozen

BATCH = 64
FOLDER = "features"


def ahead(encodings: Sequence[Encoding], train: Encoded, valid: Encoded, run: Run) -> tuple[Encoded, Encoded]:
    """Both parts with what frozen encodings make of them in the place of what these read, so that a training computes it once.

    Each of these encodings learns the mean and the spread of the training part.
    """
    frozen = [one for one in encodings if isinstance(one, Frozen)]
    parts: list[Encoded] = []
    for rows, called in ((train, "training"), (valid, "validation")):
        arrays = dict(rows.arrays)
        for one in frozen:
            made_ND = features(one, rows.arrays, run, told=f"{one.reads[0]}, {called}")
            if rows is train:
                one.standardise(made_ND)
            arrays = {name: array for name, array in arrays.items() if name not in one.reads} | {one.key: made_ND}
        parts.append(replace(rows, arrays=arrays))
    return parts[0], parts[1]


def features(encoding: Frozen, arrays: Arrays, run: Run, *, told: str = "") -> NDArray[np.float32]:
    """(N, D) what a frozen encoding makes of its column's arrays, before it is standardised.

    Kept in `run.cache`, where there is one, under the digest of the backbone and of the arrays: another head, or another fit of the same
    rows, finds it there.

    Args:
        told: what is being encoded, for the progress.
    """
    kept = _kept(encoding, arrays, run.cache)
    if kept is not None and kept.is_file():
        found = _read(kept, len(arrays[encoding.reads[0]]), encoding.features)
        if found is not None:
            return found
    made_ND = _made(encoding, arrays, run, told)
    if kept is not None and not run.stopped:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as scratch, scratch.open("wb") as file:
            np.save(file, made_ND, allow_pickle=False)
    return made_ND


@torch.no_grad()
def _made(encoding: Frozen, arrays: Arrays, run: Run, told: str) -> NDArray[np.float32]:
    first, *masks = encoding.reads
    mask_NL = arrays[masks[0]] if masks else None
    rows = len(arrays[first])
    lengths_N: NDArray[Any] = np.ones(rows, dtype=np.int64) if mask_NL is None else mask_NL.sum(axis=1)
    order_N: NDArray[Any] = np.argsort(lengths_N, kind="stable")
    made_ND = np.zeros((rows, encoding.features), dtype=np.float32)
    encoding.eval()
    for at in range(0, rows, BATCH):
        some = order_N[at : at + BATCH]
        longest = int(lengths_N[some].max())
        batch: dict[str, Any] = {}
        for name in encoding.reads:
            array = arrays[name][some]
            batch[name] = torch.from_numpy(np.ascontiguousarray(array if mask_NL is None else array[:, :longest]))
        made_ND[some] = encoding.raw(batch).numpy()
        if not np.isfinite(made_ND[some]).all():
            raise DataError(
                f"the backbone of `{first}`",
                rule="one whose vectors are numbers",
                given=Told("NaN or infinity, whatever the row says: its weights are damaged"),
                remedy="Fetch or save it again, and compare its files with their digests.",
            )
        run.emit("progress", "fit", told, done=min(at + BATCH, rows), total=rows)
        if run.stopped:
            break
    return made_ND


def _kept(encoding: Frozen, arrays: Arrays, cache: Path | None) -> Path | None:
    if cache is None:
        return None
    whole = hashlib.sha256(encoding.digest.encode())
    for name in encoding.reads:
        array = np.ascontiguousarray(arrays[name])
        whole.update(f"{array.dtype} {array.shape}".encode())
        whole.update(array.view(np.uint8).data if array.size else b"")
    return cache / FOLDER / f"{whole.hexdigest()[:32]}.npy"


def _read(path: Path, rows: int, width: int) -> NDArray[np.float32] | None:
    """What was kept, None where the file is broken."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == (rows, width) and found.dtype == np.float32 else None
