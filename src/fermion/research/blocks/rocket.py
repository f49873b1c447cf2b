"""MiniRocket: random convolutions that need no training, read as shares of steps.

Legend of shapes: B rows, L steps, C channels, K the 84 kernels, D dilations, Q thresholds of a kernel, F features (84 D Q).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.blocks.encoding import Encoding, Tensors
from fermion.research.blocks.steps import SeriesEntry

LENGTH, KERNELS = 9, 84  # every way of setting 3 of 9 weights to 2 and the others to -1
SHOWN = 256  # training rows that the thresholds are taken from
ROWS = 64  # that go through a convolution at a time


class RocketReader(Encoding):
    """Channels -> 84 fixed kernels at several dilations -> shares of steps above thresholds -> linear: (B, L, C) -> (B, width).

    A kernel has 9 weights, -1 six times and 2 three times, and looks at a few channels chosen by lot for each kernel and dilation d = 1,
    2, 4, ... up to the training rows' length. Its threshold b is a quantile of what it gives on training rows, and a feature is

        ppv = sum_l m_l h(((w *_d x)_l - b) / s) / sum_l m_l,  h(u) = min(1, max(0, u + 1/2)),

    the share of real steps l that lie above it. In the paper h is a step; here it rises within s, a twentieth of the kernel's spread, so
    that another runtime, which rounds otherwise, cannot turn a step that lies on the threshold. The features are standardised with the
    training part's mean and spread; only the layer after them learns. All kernels are padded here; the paper pads every other one.

    Dempster, Schmidt and Webb 2021, "MiniRocket: a very fast (almost) deterministic transform for time series classification".
    """

    mean: Tensor  # (F,)
    std: Tensor

    def __init__(
        self, entry: SeriesEntry, train: dict[str, NDArray[Any]], *, thresholds: int, width: int, dropout: float, draw: torch.Generator
    ) -> None:
        super().__init__()
        self.entry, self.features = entry, width
        entry.entry.requires_grad_(False)  # channels are read as they are
        some = slice(None, None, max(1, len(train[entry.values]) // SHOWN))
        names = [name for name in (entry.values, entry.mask, entry.times) if name]
        shown = {name: torch.from_numpy(np.ascontiguousarray(train[name][some])) for name in names}
        with torch.no_grad():
            x_BLC, mask_BL = entry.channels(shown)
        longest = int(mask_BL.sum(1).max())
        self.dilations = [2**power for power in range(int(math.log2(max(1.0, (longest - 1) / (LENGTH - 1)))) + 1)]
        self.weights = nn.ParameterList([nn.Parameter(_kernels(x_BLC.shape[2], draw), requires_grad=False) for _ in self.dilations])
        self.thresholds, self.slopes = nn.ParameterList(), nn.ParameterList()
        with torch.no_grad():
            for dilation, weight in zip(self.dilations, self.weights, strict=True):
                at_BKL = _convolved(x_BLC, weight, dilation).transpose(0, 1)
                real_KS = at_BKL.flatten(1)[:, mask_BL.flatten()]
                # quantiles at the golden ratio's multiples, which spread evenly however many there are
                places = (torch.arange(1, KERNELS * thresholds + 1) * ((5**0.5 + 1) / 2) % 1).view(KERNELS, thresholds)
                rank_KQ = (places * (real_KS.shape[1] - 1)).long()
                self.thresholds.append(nn.Parameter(real_KS.sort(1).values.gather(1, rank_KQ), requires_grad=False))
                spread_K1 = real_KS.std(1, correction=0, keepdim=True)
                self.slopes.append(nn.Parameter(1 / (0.05 * spread_K1).clamp(min=1e-2), requires_grad=False))
            count = KERNELS * thresholds * len(self.dilations)
            self.register_buffer("mean", torch.zeros(count))
            self.register_buffer("std", torch.ones(count))
            parts = [self.shares({name: array[at : at + ROWS] for name, array in shown.items()}) for at in range(0, len(x_BLC), ROWS)]
            shares_BF = torch.cat(parts)
            self.mean.copy_(shares_BF.mean(0))
            self.std.copy_((shares_BF - self.mean).square().mean(0).sqrt().clamp(min=0.02))
        self.linear, self.dropout = nn.Linear(count, width), nn.Dropout(dropout)

    def forward(self, arrays: Tensors) -> Tensor:
        with torch.no_grad():
            z_BF = ((self.shares(arrays) - self.mean) / self.std).clamp(-5, 5)
        return self.linear(self.dropout(z_BF))

    def shares(self, arrays: Tensors) -> Tensor:
        """(B, F) the shares of real steps above each threshold."""
        x_BLC, mask_BL = self.entry.channels(arrays)
        m_B1L = mask_BL.unsqueeze(1).to(x_BLC.dtype)
        count_B1 = m_B1L.sum(2).clamp(min=1)
        parts: list[Tensor] = []
        for dilation, weight, threshold_KQ, slope_K1 in zip(self.dilations, self.weights, self.thresholds, self.slopes, strict=True):
            u_BKL = _convolved(x_BLC, weight, dilation) * slope_K1
            b_QK1 = (threshold_KQ * slope_K1).T.unsqueeze(2)
            parts += [((u_BKL - b_K1 + 0.5).clamp(0, 1) * m_B1L).sum(2) / count_B1 for b_K1 in b_QK1]
        return torch.cat(parts, 1)


def _kernels(channels: int, draw: torch.Generator) -> Tensor:
    """(84, C, 9): the weights of each kernel on the channels that it looks at, 0 elsewhere."""
    one_K9 = torch.full((KERNELS, LENGTH), -1.0)
    for kernel, places in enumerate(itertools.combinations(range(LENGTH), 3)):
        one_K9[kernel, list(places)] = 2.0
    most = min(channels, LENGTH)
    seen_KC = torch.zeros(KERNELS, channels)
    for kernel in range(KERNELS):
        count = int(2 ** (float(torch.rand((), generator=draw)) * math.log2(most + 1)))
        seen_KC[kernel, torch.randperm(channels, generator=draw)[: max(1, min(count, channels))]] = 1.0
    return one_K9.unsqueeze(1) * seen_KC.unsqueeze(2)


def _convolved(x_BLC: Tensor, weight_KC9: Tensor, dilation: int) -> Tensor:
    return F.conv1d(x_BLC.transpose(1, 2), weight_KC9, dilation=dilation, padding=(LENGTH // 2) * dilation)
