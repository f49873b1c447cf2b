"""RandAugment: a few operations of one strength, drawn for each picture.

The pictures that drew the same operation are changed together, those that move in any way by one resampling, and those whose light
changes in any way by one linear map each.

Legend of shapes: B pictures, C channels, H height, W width, R rounds.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.research.augment import Kind, Picture, Rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOVES = ("shear across", "shear down", "shift right", "shift down", "rotate")
LIGHTS = ("brightness", "contrast", "saturation")
OTHERS = ("sharpness", "posterize", "solarize", "stretch", "equalize")
OPERATIONS = ("nothing", *MOVES, *LIGHTS, *OTHERS)
MOST = 30.0


class RandAugment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="randaugment"):
    """`operations` operations one after the other, each drawn evenly from 14 for each picture, all of the strength `magnitude`.

    At the magnitude 30 a picture is sheared by 0.3, shifted by 45 % of its size, turned by 30 degrees, made lighter, of more contrast,
    more colourful or sharper by a factor of 1.9 or 0.1, posterized to 4 bits or inverted wholly (solarized); signs are drawn. Nothing,
    stretching and equalizing the levels know no strength. What comes from outside is the nearest edge.

    Args:
        operations: how many of them.
        magnitude: how strong they are, up to 30.

    >>> RandAugment(magnitude=5).operations
    2

    Cubuk, Zoph, Shlens, Le: RandAugment: Practical Automated Data Augmentation with a Reduced Search Space, NeurIPS 2020.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = frozenset({"image"})
    operations: Annotated[int, Meta(ge=1)] = 2
    magnitude: Annotated[float, Meta(ge=0, le=30)] = 9.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Changed pictures."""
        import torch

        size = (len(rows), self.operations)
        drawn_BR = torch.randint(len(OPERATIONS), size, generator=draw)
        sign_BR = torch.randint(2, size, generator=draw) * 2 - 1

        def changed(z_bCHW: Tensor, picture: Picture, drawn_bR: Tensor, sign_bR: Tensor) -> Tensor:
            x_bCHW = z_bCHW.mul_(picture.spread).add_(picture.mean).clamp_(0, 1)
            x_bCHW = operated(x_bCHW, drawn_bR, sign_bR, self.magnitude / MOST)
            return x_bCHW.sub_(picture.mean).div_(picture.spread)

        return rows.pictures(changed, drawn_BR, sign_BR)


def operated(x_BCHW: Tensor, drawn_BR: Tensor, sign_BR: Tensor, strength: float) -> Tensor:
    """Pictures in 0..1 after R operations each: `drawn_BR` are places in OPERATIONS, signs 1 or -1."""
    import torch

    first_light, first_other = 1 + len(MOVES), 1 + len(MOVES) + len(LIGHTS)
    singly = ((one, one + 1) for one in range(first_other, len(OPERATIONS)))
    groups = [(0, 1), (1, first_light), (first_light, first_other), *singly]
    row_B = torch.arange(len(x_BCHW))  # which picture is where: those of one operation side by side
    for place in range(drawn_BR.shape[1]):
        drawn_B, order_B = drawn_BR[row_B, place].sort(stable=True)
        row_B = row_B[order_B]
        sign_B, order_B = sign_BR[row_B, place], order_B.to(x_BCHW.device)
        ends = [0, *drawn_B.bincount(minlength=len(OPERATIONS)).cumsum(0).tolist()]
        parts: list[Tensor] = []
        for first, end in groups:
            some = slice(ends[first], ends[end])
            if some.start < some.stop:
                x_bCHW = x_BCHW.index_select(0, order_B[some])
                parts.append(_operated(x_bCHW, drawn_B[some], sign_B[some], OPERATIONS[first], strength))
        x_BCHW = torch.cat(parts)
    return x_BCHW.index_select(0, row_B.argsort().to(x_BCHW.device))


def _operated(x_BCHW: Tensor, drawn_B: Tensor, sign_B: Tensor, name: str, strength: float) -> Tensor:
    """One group of operations on pixels in 0..1, which may be overwritten."""
    from torch.nn import functional as F

    from fermion.research import pixels

    match name:
        case "nothing":
            return x_BCHW
        case "shear across":
            return pixels.read_at(x_BCHW, _maps(strength)[2 * drawn_B + (sign_B < 0)])
        case "brightness":
            contrast_B, saturation_B = (drawn_B == OPERATIONS.index(light) for light in LIGHTS[1:])
            return pixels.blended(x_BCHW, 1 + 0.9 * strength * sign_B, contrast_B, saturation_B)
        case "sharpness":
            return pixels.sharpened(x_BCHW, 1 + 0.9 * strength * sign_B)
        case "posterize":
            levels = 2 ** (8 - round(4 * strength))
            return x_BCHW.mul_(255.999 * levels / 256).floor_().mul_(256 / levels / 255)
        case "solarize":
            above_BCHW = F.threshold(2 * x_BCHW - 1, 1 - 2 * strength - 1e-6, 0.0)  # a product with a mask would take three times as long
            return x_BCHW.sub_(above_BCHW)
        case "stretch":
            return pixels.stretched(x_BCHW)
        case _:
            return pixels.equalized(x_BCHW)


@functools.cache
def _maps(strength: float) -> Tensor:
    """(12, 2, 3) where nothing and each of MOVES read pixels, for either sign: two maps each."""
    import torch

    from fermion.research import pixels

    limits = torch.tensor([0.3, 0.3, 0.9, 0.9, math.radians(30)])  # a shift of 0.9 in coordinates from -1 to 1 is 45 % of the size
    amount_65 = torch.cat([torch.zeros(1, 5), torch.diag(limits * strength)])
    across, down, right, low, angle = torch.stack([amount_65, -amount_65], 1).flatten(0, 1).unbind(1)
    return pixels.maps(12, across_B=across, down_B=down, right_B=right, low_B=low, angle_B=angle)
