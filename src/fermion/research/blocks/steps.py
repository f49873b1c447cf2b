"""From a column's arrays to steps, and from steps to one vector: the two ends of every net for texts, series and sounds.

Legend of shapes: B rows, L steps, C channels, E features of a step, W samples of a wave, V size of a vocabulary, H heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.blocks.encoding import Stepwise, Tensors

FAR = 10.0  # standard deviations at which values are cut off


class Entry(nn.Module, ABC):
    """The arrays of one column -> (B, L, `width`) and its mask (B, L), what is padded being zero. `stride` as in `Stepwise`."""

    width: int
    stride: int = 1

    @abstractmethod
    def forward(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        """Steps and mask."""
        ...


class TokenEntry(Entry):
    """A vector per token: (B, L) int64 below V -> (B, L, E). A number beyond the vocabulary is read as token 0."""

    def __init__(self, ids: str, mask: str | None, size: int, width: int) -> None:
        super().__init__()
        self.ids, self.mask, self.size, self.width = ids, mask, size, width
        self.table = nn.Embedding(size, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        ids_BL = arrays[self.ids]
        mask_BL = arrays[self.mask] if self.mask else torch.ones_like(ids_BL, dtype=torch.bool)
        known_BL = torch.where((ids_BL >= 0) & (ids_BL < self.size), ids_BL, 0)
        return self.table(known_BL) * mask_BL.unsqueeze(2), mask_BL


class SeriesEntry(Entry):
    """Standardised channels beside what says where they are missing: (B, L, C) -> linear -> (B, L, E).

    A channel c becomes (x_c - mean_c) / std_c with the training part's mean and spread over all real steps, cut off at 10, and 0 where it
    is missing; channels that were missing now and then in training have a flag beside them. Where moments are irregular, the time since
    the step before and since the first one stand beside them too, as log(1 + dt / m) with m the training part's mean distance.
    """

    mean: Tensor  # (C,)
    std: Tensor
    pace: Tensor  # ()
    flagged: Tensor  # (F,) channels that get a flag

    def __init__(self, values: str, mask: str | None, times: str | None, train: dict[str, NDArray[Any]], width: int) -> None:
        super().__init__()
        self.values, self.mask, self.times, self.width = values, mask, times, width
        mean, std, flagged, pace = series_statistics(train, values, mask, times)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("std", torch.from_numpy(std))
        self.register_buffer("flagged", torch.from_numpy(flagged))
        self.register_buffer("pace", torch.tensor(pace))
        self.entry = nn.Linear(len(mean) + len(flagged) + (2 if times else 0), width)

    def forward(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        x_BLC, mask_BL = self.channels(arrays)
        return self.entry(x_BLC) * mask_BL.unsqueeze(2), mask_BL

    def channels(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        """(B, L, channels, flags and times) and the mask, before the linear layer."""
        x_BLC = arrays[self.values]
        mask_BL = arrays[self.mask] if self.mask else torch.ones_like(x_BLC[:, :, 0], dtype=torch.bool)
        missing_BLC = x_BLC.isnan()
        z_BLC = torch.where(missing_BLC, 0.0, (x_BLC - self.mean) / self.std).clamp(-FAR, FAR)
        parts = [z_BLC]
        if len(self.flagged):
            parts.append(missing_BLC.float()[:, :, self.flagged])
        if self.times:
            t_BL = arrays[self.times].nan_to_num()
            since_BL = t_BL - F.pad(t_BL, (1, 0))[:, :-1]  # the first one has nothing before it
            since_BL = torch.where(torch.arange(t_BL.shape[1], device=t_BL.device) == 0, 0.0, since_BL)
            both_BL2 = torch.stack([since_BL, t_BL - t_BL[:, :1]], 2)
            parts.append(torch.log1p(both_BL2.clamp(min=0) / self.pace))
        return torch.cat(parts, 2) * mask_BL.unsqueeze(2), mask_BL


class WaveEntry(Entry):
    """Samples of a sound -> a step per 64 of them: two strided convolutions, (B, W) -> (B, W / 64, E).

    The first is a learned bank of filters of 65 samples (Dai et al. 2017, "Very deep convolutional neural networks for raw waveforms").
    Each sound is divided by its own root mean square first, so that loudness does not count.
    """

    stride = 64

    def __init__(self, wave: str, mask: str | None, width: int) -> None:
        super().__init__()
        self.wave, self.mask, self.width = wave, mask, width
        self.filters = nn.Conv1d(1, width, 65, stride=8, padding=32)
        self.second = nn.Conv1d(width, width, 17, stride=8, padding=8)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        x_BW = arrays[self.wave].nan_to_num()
        mask_BW = arrays[self.mask] if self.mask else torch.ones_like(x_BW, dtype=torch.bool)
        real_BW = mask_BW.float()
        x_BW = x_BW * real_BW
        power_B1 = x_BW.square().sum(1, keepdim=True) / real_BW.sum(1, keepdim=True).clamp(min=1)
        x_BCW, real_B1W = (x_BW / power_B1.sqrt().clamp(min=1e-4)).unsqueeze(1), real_BW.unsqueeze(1)
        for conv, norm in zip((self.filters, self.second), self.norms, strict=True):
            x_BCW = conv(x_BCW)
            real_B1W = thinned(real_B1W, 8)
            x_BCW = F.gelu(norm(x_BCW.transpose(1, 2))).transpose(1, 2) * real_B1W
        return x_BCW.transpose(1, 2), real_B1W[:, 0] > 0


class MaskedPool(nn.Module):
    """Real steps as one vector: (B, L, E) -> (B, `features`).

    - mean: sum_l m_l x_l / sum_l m_l
    - max: max over the real steps
    - both: the two side by side
    - last: the last real step
    - attention: sum_l a_l x_l with a = softmax over the real steps of w . tanh(V x_l + b) (Bahdanau et al. 2015; Yang et al. 2016)
    """

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind, self.features = kind, 2 * width if kind == "both" else width
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)) if kind == "attention" else None

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        m_BL1 = mask_BL.unsqueeze(2)
        if self.score is not None:
            s_BL1 = self.score(x_BLE)
            a_BL1 = s_BL1.masked_fill(~m_BL1, torch.finfo(s_BL1.dtype).min).softmax(1)
            return (a_BL1 * x_BLE).sum(1)
        if self.kind == "last":
            last_B11 = (mask_BL.long().sum(1) - 1).clamp(min=0).view(-1, 1, 1)
            return x_BLE.gather(1, last_B11.expand(-1, 1, x_BLE.shape[2])).squeeze(1)
        parts: list[Tensor] = []
        if self.kind != "max":
            parts.append((x_BLE * m_BL1).sum(1) / m_BL1.sum(1).clamp(min=1))
        if self.kind != "mean":
            parts.append(x_BLE.masked_fill(~m_BL1, torch.finfo(x_BLE.dtype).min).amax(1))
        return torch.cat(parts, 1)


def thinned(m_B1L: Tensor, stride: int) -> Tensor:
    """Every `stride`-th entry of a mask of floats: as many as a convolution of that stride makes, which the export must be able to see."""
    return m_B1L if stride == 1 else F.conv1d(m_B1L, m_B1L.new_ones(1, 1, 1), stride=stride)


class Body(nn.Module, ABC):
    """Steps to steps: (B, L, E) and mask -> (B, L', `width`) and mask; `stride` is L / L'."""

    width: int
    stride: int = 1

    @abstractmethod
    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Steps and mask."""
        ...


class Same(Body):
    """Steps as they are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        return x_BLE, mask_BL


class Reader(Stepwise):
    """An entry, a body and a pool: what most encoders of steps build."""

    def __init__(self, entry: Entry, body: Body, pooling: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.entry, self.body, self.pooled = entry, body, MaskedPool(pooling, body.width)
        self.width, self.features, self.stride = body.width, self.pooled.features, entry.stride * body.stride
        self.dropout = nn.Dropout(dropout)

    def steps(self, arrays: Tensors) -> tuple[Tensor, Tensor]:
        x_BLE, mask_BL = self.entry(arrays)
        return self.body(self.dropout(x_BLE), mask_BL)

    def pool(self, x_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        return self.pooled(x_BLE, mask_BL)


def series_statistics(
    train: dict[str, NDArray[Any]], values: str, mask: str | None, times: str | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], float]:
    """(C,) mean and spread of each channel over real steps, the channels that were ever missing, and the mean distance of moments."""
    some = slice(None, None, max(1, len(train[values]) // 2_000))
    x_NLC = np.asarray(train[values][some], dtype=np.float64)
    real_NL = np.asarray(train[mask][some]) if mask else np.ones(x_NLC.shape[:2], dtype=np.bool_)
    steps_SC = np.ma.masked_invalid(x_NLC[real_NL])
    mean = np.asarray(steps_SC.mean(0).filled(0.0), dtype=np.float32)
    std = np.maximum(np.asarray(steps_SC.std(0).filled(1.0), dtype=np.float32), 1e-6)
    std[std <= 1e-6] = 1.0
    flagged = np.flatnonzero(np.ma.getmaskarray(steps_SC).any(0)).astype(np.int64)
    pace = 1.0
    if times:
        distance_NL = np.diff(np.asarray(train[times][some], dtype=np.float64), axis=1)[real_NL[:, 1:]]
        distance_NL = distance_NL[distance_NL > 0]
        pace = float(distance_NL.mean()) if len(distance_NL) else 1.0
    return mean, std, flagged, pace
