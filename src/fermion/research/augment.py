"""Distorting training pictures: other positions, angles, sizes and hands, the same meaning.

Legend of shapes: B pictures, C channels, H height, W width.
"""

from __future__ import annotations

import math

import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional as F


class Distortion(Struct, frozen=True, kw_only=True):
    """How far a picture may be moved, each drawn evenly from -x to x; `strength` scales all of them at once.

    The distances count in pixels of a picture 28 pixels wide and grow with it. There are no flips and no colours: a mirrored 3 is
    no digit, a green traffic light is not red.
    """

    rotation: float = 10.0  # degrees
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 2.0
    elastic: float = 0.5
    strength: float = 1.0


class Distort(nn.Module):
    """Moves each picture of a batch by its own affine map and its own smooth field, all by one resampling. (B, C, H, W) -> the same.

    A picture is read at u' = A u + t + e(u): A = rotation, scale and shear, t the shift, and e the elastic field, independent normal
    offsets on a 5 x 5 grid, interpolated bicubically (Simard et al. 2003, "Best practices for convolutional neural networks").
    What comes from outside is the nearest edge. At strength 0 the pictures come back as they are. The batch number is part of
    the seed, so that no state but that number is kept.

    >>> x = torch.rand(2, 1, 8, 8)
    >>> Distort(Distortion(), seed=1)(x).shape, bool((Distort(Distortion(strength=0), seed=1)(x) == x).all())
    (torch.Size([2, 1, 8, 8]), True)
    """

    def __init__(self, distortion: Distortion, seed: int) -> None:
        super().__init__()
        self.distortion, self.seed, self.batches = distortion, seed, 0

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.distortion.strength == 0:
            return x_BCHW
        grid_BHW2 = self.grid(len(x_BCHW), x_BCHW.shape[2], x_BCHW.shape[3]).to(x_BCHW.device)
        self.batches += 1
        moved = F.grid_sample(x_BCHW.float(), grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False)
        return moved.to(x_BCHW.dtype).contiguous(memory_format=_layout(x_BCHW))

    def grid(self, count: int, height: int, width: int) -> Tensor:
        """Where each pixel is read from, (B, H, W, 2) in x, y from -1 to 1."""
        by = self.distortion
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.batches) % 2**63)

        def even(limit: float) -> Tensor:
            return (torch.rand(count, generator=generator) * 2 - 1) * limit * by.strength

        angle, shear = even(math.radians(by.rotation)), even(by.shear)
        wide, high = 1 + even(by.scale), 1 + even(by.scale)
        pixel = 2 / 28
        cos, sin = angle.cos(), angle.sin()
        maps_B23 = torch.stack(
            [
                torch.stack([wide * cos, shear - wide * sin, even(by.shift * pixel)], 1),
                torch.stack([high * sin, high * cos, even(by.shift * pixel)], 1),
            ],
            1,
        )
        grid_BHW2 = F.affine_grid(maps_B23, [count, 1, height, width], align_corners=False)
        if by.elastic * by.strength:
            field_B255 = torch.randn(count, 2, 5, 5, generator=generator) * (by.elastic * by.strength * pixel)
            smooth_B2HW = F.interpolate(field_B255, (height, width), mode="bicubic", align_corners=True)
            grid_BHW2 = grid_BHW2 + smooth_B2HW.permute(0, 2, 3, 1)
        return grid_BHW2


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
