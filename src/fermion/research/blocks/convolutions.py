"""Convolutions along time: residual and ConvNeXt style, for series, sounds and texts.

Legend of shapes: B rows, L steps, C channels. Padding is zero before every convolution, so a row does not see how far it is padded.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.blocks.steps import Body, thinned


class StepNorm(nn.Module):
    """Batch normalisation over real steps only: (B, C, L) and mask (B, 1, L) -> (B, C, L), zero where padded.

    Padding would pull mean and spread towards zero, in each batch by another share. Ioffe and Szegedy 2015.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x_BCL: Tensor, m_B1L: Tensor) -> Tensor:
        if not self.training:
            return self.norm(x_BCL) * m_B1L
        real_BL = m_B1L[:, 0] > 0
        x_BLC = x_BCL.transpose(1, 2)
        made_BLC = torch.zeros_like(x_BLC)
        steps_SC = x_BLC[real_BL]
        if len(steps_SC) < 2:  # one step has no spread
            return x_BCL * m_B1L
        made_BLC[real_BL] = self.norm(steps_SC).to(made_BLC.dtype)
        return made_BLC.transpose(1, 2)


class ResidualSteps(nn.Module):
    """x' + g(f(x)) of two convolutions of length 5, rectified in between: (B, C, L) -> (B, out, L / stride).

    x' is x, or a convolution of length 1 of it where channels or length change. Wang, Yan and Oates 2017, "Time series classification from
    scratch with deep neural networks"; He et al. 2016.
    """

    def __init__(self, channels: int, out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv1d(channels, out, 5, stride=stride, padding=2, bias=False)
        self.second = nn.Conv1d(out, out, 5, padding=2, bias=False)
        self.norms = nn.ModuleList([StepNorm(out), StepNorm(out)])
        self.beside = nn.Conv1d(channels, out, 1, stride=stride, bias=False) if stride > 1 or channels != out else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BCL: Tensor, m_B1L: Tensor) -> tuple[Tensor, Tensor]:
        beside = x_BCL if self.beside is None else self.beside(x_BCL)
        m_B1L = thinned(m_B1L, self.stride)
        inner = F.relu(self.norms[0](self.first(x_BCL), m_B1L))
        inner = self.norms[1](self.second(self.dropout(inner)), m_B1L)
        return F.relu(beside + inner) * m_B1L, m_B1L


class ResNetSteps(Body):
    """Stages of two residual blocks; each stage but the first halves the steps where `strided`: (B, L, E) -> (B, L', last width)."""

    def __init__(self, entry: int, widths: Sequence[int], strided: bool, dropout: float) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        self.stride, channels = 1, entry
        for position, out in enumerate(widths):
            stride = 2 if strided and position else 1
            blocks += [ResidualSteps(channels, out, stride, dropout), ResidualSteps(out, out, 1, dropout)]
            self.stride, channels = self.stride * stride, out
        self.blocks, self.width = nn.ModuleList(blocks), channels

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        x_BCL, m_B1L = x_BLE.transpose(1, 2), mask_BL.unsqueeze(1).to(x_BLE.dtype)
        for block in self.blocks:
            x_BCL, m_B1L = block(x_BCL, m_B1L)
        return x_BCL.transpose(1, 2), m_B1L[:, 0] > 0


class ConvNeXtLayer(nn.Module):
    """x + s W2 gelu(W1 norm(D * x)) with D one filter per channel: (B, L, C) -> (B, L, C).

    The filter mixes steps, the two layers mix channels; s (C,) begins at 0.1. Liu et al. 2022, "A ConvNet for the 2020s".
    """

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.enter, self.leave = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLC: Tensor, m_BL1: Tensor) -> Tensor:
        inner_BLC = self.norm(self.mix(x_BLC.transpose(1, 2)).transpose(1, 2))
        return x_BLC + self.scale * self.leave(self.dropout(F.gelu(self.enter(inner_BLC)))) * m_BL1


class ConvNeXtSteps(Body):
    """Stages of ConvNeXt layers; each stage but the first halves the steps where `strided`: (B, L, E) -> (B, L', last width)."""

    def __init__(self, entry: int, widths: Sequence[int], depth: int, kernel: int, strided: bool, dropout: float) -> None:
        super().__init__()
        self.stride, channels = 1, entry
        changes: list[nn.Module] = []
        layers: list[nn.Module] = []
        for position, out in enumerate(widths):
            stride = 2 if strided and position else 1
            changes.append(nn.Conv1d(channels, out, 3 if stride > 1 else 1, stride=stride, padding=1 if stride > 1 else 0))
            layers.append(nn.ModuleList([ConvNeXtLayer(out, kernel, dropout) for _ in range(depth)]))
            self.stride, channels = self.stride * stride, out
        self.changes, self.stages, self.width = nn.ModuleList(changes), nn.ModuleList(layers), channels
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        m_B1L = mask_BL.unsqueeze(1).to(x_BLE.dtype)
        for change, layers in zip(self.changes, self.stages, strict=True):
            assert isinstance(change, nn.Conv1d)
            assert isinstance(layers, nn.ModuleList)
            x_BCL = change(x_BLE.transpose(1, 2))
            m_B1L = thinned(m_B1L, change.stride[0])
            m_BL1 = m_B1L.transpose(1, 2)
            x_BLE = x_BCL.transpose(1, 2) * m_BL1
            for layer in layers:
                x_BLE = layer(x_BLE, m_BL1)
        return self.norm(x_BLE) * m_B1L.transpose(1, 2), m_B1L[:, 0] > 0
