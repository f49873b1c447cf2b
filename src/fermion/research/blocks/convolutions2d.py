"""Convolutional nets for pictures in the style of ResNet and ConvNeXt: one vector per picture.

Legend of shapes: B rows, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """relu(x' + norm(W2 * relu(norm(W1 * x)))) with 3x3 convolutions: (B, C, H, W) -> (B, out, H / stride, W / stride).

    x' is x, or a 1x1 convolution of it where channels or size change. He et al. 2016, "Deep residual learning for image recognition".
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out), nn.BatchNorm2d(out)])
        self.beside = (
            nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
            if stride > 1 or channels != out
            else nn.Identity()
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner = F.relu(self.norms[0](self.first(x_BCHW)))
        return F.relu(self.beside(x_BCHW) + self.norms[1](self.second(inner)))


class ResNet(nn.Sequential):
    """A 3x3 convolution, stages of basic blocks that halve the picture but for the first, the mean: (B, C, H, W) -> (B, last width)."""

    def __init__(self, channels: int, widths: Sequence[int], depth: int) -> None:
        parts: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        before = widths[0]
        for position, out in enumerate(widths):
            for block in range(depth):
                parts.append(BasicBlock(before, out, 2 if position and not block else 1))
                before = out
        super().__init__(*parts, GlobalMeanPool())


class ConvNeXtBlock(nn.Module):
    """x + s W2 gelu(W1 norm(D * x)) with D one 7x7 filter per channel: (B, C, H, W) -> (B, C, H, W).

    s (C,) begins at 0.1. Liu et al. 2022, "A ConvNet for the 2020s".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.enter, self.leave = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner_BHWC = self.norm(self.mix(x_BCHW).permute(0, 2, 3, 1))
        return x_BCHW + (self.scale * self.leave(F.gelu(self.enter(inner_BHWC)))).permute(0, 3, 1, 2)


class ChannelNorm(nn.Module):
    """Layer normalisation of each pixel over its channels: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.norm(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXt(nn.Sequential):
    """Squares of 2x2 pixels, stages of blocks with a halving before each but the first, and the mean: (B, C, H, W) -> (B, last width)."""

    def __init__(self, channels: int, widths: Sequence[int], depth: int) -> None:
        parts: list[nn.Module] = [nn.Conv2d(channels, widths[0], 2, stride=2), ChannelNorm(widths[0])]
        for position, out in enumerate(widths):
            if position:
                parts += [ChannelNorm(widths[position - 1]), nn.Conv2d(widths[position - 1], out, 2, stride=2)]
            parts += [ConvNeXtBlock(out) for _ in range(depth)]
        super().__init__(*parts, GlobalMeanPool(), nn.LayerNorm(widths[-1]))


class GlobalMeanPool(nn.Module):
    """The mean answer of each channel: (B, C, H, W) -> (B, C)."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean((2, 3))
