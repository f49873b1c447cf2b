"""EfficientNet-lite: a small net for pictures, as its authors' weights want it.

Legend of shapes: B rows, C channels, H height, W width, D features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3  # of every normalisation
STAGES = (  # repeats, kernel, stride, expansion, out, as in table 1 of the paper
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution whose output has ceil(H / stride) rows, padded below and on the right where the padding is odd."""

    def forward(self, input: Tensor) -> Tensor:
        sides: list[int] = []
        for size, kernel, stride in zip(input.shape[-1:-3:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [missing // 2, missing - missing // 2]
        return self._conv_forward(F.pad(input, sides), self.weight, self.bias)


class InvertedResidual(nn.Module):
    """x + project(depthwise(expand(x))) where the shapes allow the sum. (B, C, H, W) -> (B, out, H / stride, W / stride).

    Sandler et al. 2018, "MobileNetV2: Inverted residuals and linear bottlenecks".
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self._expand_conv = SameConv(channels, inner, 1, bias=False) if expansion > 1 else nn.Identity()
        self._bn0 = nn.BatchNorm2d(inner, eps=EPSILON) if expansion > 1 else nn.Identity()
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, eps=EPSILON)
        self._project_conv = SameConv(inner, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, eps=EPSILON)
        self.adds, self.expands = stride == 1 and channels == out, expansion > 1

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x_BCHW))) if self.expands else x_BCHW
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x_BCHW + y if self.adds else y


class EfficientNetLite(nn.Module):
    """EfficientNet-lite0 without its last layer: (B, 3, H, W) in [-1, 1] -> (B, 1280).

    Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019; the lite variants leave out
    squeeze-and-excitation and use relu6.
    """

    features = 1280

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=EPSILON)
        blocks: list[nn.Module] = []
        channels = 32
        for repeats, kernel, stride, expansion, out in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(channels, out, kernel, stride if repeat == 0 else 1, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, self.features, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(self.features, eps=EPSILON)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(x_BCHW)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    @classmethod
    def of(cls, weights: dict[str, Any]) -> EfficientNetLite:
        """The net with these weights; those of the last layer are left out.

        Raises:
            RuntimeError: they are those of another net.
        """
        net = cls()
        net.load_state_dict({name: value for name, value in weights.items() if not name.startswith("_fc.")})
        return net.eval()


def fits(weights: dict[str, Any]) -> bool:
    """Whether weights are those of this net, by the names and shapes of its first and last layers."""
    stem, head = weights.get("_conv_stem.weight"), weights.get("_conv_head.weight")
    return isinstance(stem, torch.Tensor) and isinstance(head, torch.Tensor) and tuple(head.shape[:2]) == (1280, 320)
