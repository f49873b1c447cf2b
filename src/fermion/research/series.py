"""Series in training: what the arrays of time series, spectrograms and waves mean, and how rows of several lengths are read.

Legend of shapes: B rows, T steps, C variables or bands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.research.model import Encoded

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fermion.research.augment import Rows

BLOCK = 4_096  # rows whose sums are taken at a time


class Series(Struct, frozen=True, kw_only=True):
    """One array of series: the names of its mask and of its times, and (C,) mean and deviation of each variable in the training part.

    `wave`: it is (B, T), samples; `spectrum`: it is a logarithm of powers.
    """

    mask: str
    times: str | None
    mean: Tensor
    spread: Tensor
    wave: bool = False
    spectrum: bool = False


def series_of(train: Encoded) -> dict[str, Series]:
    """The arrays of series of the training part by name; missing steps and what fills rows up are left out of the statistics."""
    import torch

    found: dict[str, Series] = {}
    layout = train.schema.layout
    for named in layout.arrays:
        if named.slot.role not in ("series", "wave") or named.name not in train.arrays:
            continue
        beside = {other.slot.role: other.name for other in layout.arrays if other.field == named.field}
        mean_C, spread_C = _moments(train, named.name, beside["mask"])
        found[named.name] = Series(
            mask=beside["mask"],
            times=beside.get("times"),
            mean=torch.from_numpy(mean_C.astype(np.float32)),
            spread=torch.from_numpy(spread_C.astype(np.float32)),
            wave=named.slot.role == "wave",
            spectrum=named.slot.name == "mel",
        )
    return found


def _moments(train: Encoded, name: str, mask: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C,) mean and deviation of what is there, in one pass over blocks of rows."""
    array, mask_NT = train.arrays[name], train.arrays[mask]
    width = array.shape[2] if array.ndim == 3 else 1
    count_C, total_C, squares_C = np.zeros(width), np.zeros(width), np.zeros(width)
    for start in range(0, len(array), BLOCK):
        there_SC = array[start : start + BLOCK][mask_NT[start : start + BLOCK]].astype(np.float64).reshape(-1, width)
        known_SC = ~np.isnan(there_SC)
        there_SC = np.where(known_SC, there_SC, 0.0)
        count_C += known_SC.sum(axis=0)
        total_C += there_SC.sum(axis=0)
        squares_C += (there_SC**2).sum(axis=0)
    mean_C = total_C / np.maximum(count_C, 1)
    return mean_C, np.sqrt(np.maximum(squares_C / np.maximum(count_C, 1) - mean_C**2, 0.0))


def read(rows: Rows, name: str, about: Series) -> tuple[Tensor, Tensor]:
    """An array as (B, T, C), and its mask (B, T)."""
    x = rows.arrays[name]
    return (x[..., None] if about.wave else x), rows.arrays[about.mask]


def put(new_BTC: Tensor, old_BTC: Tensor, mask_BT: Tensor, about: Series) -> Tensor:
    """The new steps where the mask is true, else the old ones, in the shape of the array."""
    import torch

    x_BTC = torch.where(mask_BT[..., None], new_BTC, old_BTC)
    return x_BTC[..., 0] if about.wave else x_BTC


def changed(rows: Rows, change: Callable[[Series, Tensor, Tensor], Tensor]) -> Rows:
    """Every series changed where it is real; its length stays."""
    arrays: dict[str, Tensor] = {}
    for name, about in rows.frame.series.items():
        x_BTC, mask_BT = read(rows, name, about)
        arrays[name] = put(change(about, x_BTC, mask_BT), x_BTC, mask_BT, about)
    return rows.put(**arrays)


def read_at(x_BTC: Tensor, u_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """(B, T, C) the series read at u, between two steps as a straight line, and not beyond the row's last real one."""
    import torch

    last_B1 = (mask_BT.sum(1, keepdim=True) - 1).clamp(min=0)
    u_BT = torch.minimum(u_BT, last_B1.to(u_BT.dtype))
    before_BT = u_BT.floor().long()
    after_BT = torch.minimum(before_BT + 1, last_B1)
    share_BT1 = (u_BT - before_BT)[..., None]
    before_BTC, after_BTC = (x_BTC.gather(1, place[..., None].expand_as(x_BTC)) for place in (before_BT, after_BT))
    return torch.where(share_BT1 == 0, before_BTC, before_BTC + share_BT1 * (after_BTC - before_BTC))


def spans_of(length_B: Tensor, size: int, spans: int, most: float, draw: torch.Generator) -> Tensor:
    """(B, size) true in so many spans, each up to `most` of the row's length."""
    import torch

    drawn_BS2 = torch.rand(len(length_B), spans, 2, generator=draw)
    long_B1 = length_B.cpu()[:, None].to(torch.float32)
    width_BS = (drawn_BS2[..., 0] * (most * long_B1 + 1)).floor()
    begin_BS = (drawn_BS2[..., 1] * (long_B1 - width_BS + 1)).floor()
    step_1 = torch.arange(size)
    inside_BST = (step_1 >= begin_BS[..., None]) & (step_1 < (begin_BS + width_BS)[..., None])
    return inside_BST.any(1)
