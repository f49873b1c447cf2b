"""RandAugment: a few operations of one strength, drawn for each picture. The pictures that drew the same one are changed together.

Legend of shapes: B pictures, C channels, H height, W width, R rounds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.research.augment import Kind, Picture, Rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOVES = ("shear across", "shear down", "shift right", "shift down", "rotate")
LIGHTS = ("brightness", "contrast", "saturation")
OPERATIONS = ("nothing", *MOVES, *LIGHTS, "sharpness", "posterize", "solarize", "stretch", "equalize")
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
        sign_BR = torch.randint(2, size, generator=draw) * 2.0 - 1

        def changed(z_bCHW: Tensor, picture: Picture, drawn_bR: Tensor, sign_bR: Tensor) -> Tensor:
            x_bCHW = torch.addcmul(picture.mean, z_bCHW, picture.spread).clamp_(0, 1)
            for place in range(self.operations):
                x_bCHW = operated(x_bCHW, drawn_bR[:, place], sign_bR[:, place], self.magnitude / MOST)
            return x_bCHW.sub_(picture.mean).div_(picture.spread)

        return rows.pictures(changed, drawn_BR, sign_BR)


def operated(x_BCHW: Tensor, drawn_B: Tensor, sign_B: Tensor, strength: float) -> Tensor:
    """Pictures in 0..1 after one operation each, those of one kind together: `drawn_B` are places in OPERATIONS, signs 1 or -1."""
    order_B = drawn_B.argsort(stable=True)
    x_BCHW = x_BCHW.index_select(0, order_B.to(x_BCHW.device))
    drawn_B, sign_B = drawn_B[order_B], sign_B[order_B]
    ends = [0, *drawn_B.bincount(minlength=len(OPERATIONS)).cumsum(0).tolist()]
    moves, lights = (1, len(MOVES)), (len(MOVES) + 1, len(MOVES) + len(LIGHTS))
    for first, last in (moves, lights, *((one, one) for one in range(lights[1] + 1, len(OPERATIONS)))):
        some = slice(ends[first], ends[last + 1])
        if some.start < some.stop:
            x_BCHW[some] = _operate(x_BCHW[some], drawn_B[some] - first, sign_B[some], OPERATIONS[first], strength)
    return x_BCHW.index_select(0, order_B.argsort().to(x_BCHW.device))


def _operate(x_BCHW: Tensor, which_B: Tensor, sign_B: Tensor, name: str, strength: float) -> Tensor:
    """One group of operations on pixels in 0..1; `which_B` is the operation within it."""
    import torch

    from fermion.research import pixels

    count = len(x_BCHW)
    signed_B = sign_B * strength
    if name == MOVES[0]:
        limits = (0.3, 0.3, 0.9, 0.9, math.radians(30))  # a shift of 0.9 in coordinates from -1 to 1 is 45 % of the size
        amount_B5 = signed_B[:, None] * torch.tensor(limits) * (which_B[:, None] == torch.arange(len(limits)))
        across, down, right, low, angle = amount_B5.unbind(1)
        return pixels.read_at(x_BCHW, pixels.maps(count, across_B=across, down_B=down, right_B=right, low_B=low, angle_B=angle))
    if name == LIGHTS[0]:
        lights_B3 = 1 + 0.9 * signed_B[:, None] * (which_B[:, None] == torch.arange(3))
        zero, one = x_BCHW.new_zeros(x_BCHW.shape[1], 1, 1), x_BCHW.new_ones(x_BCHW.shape[1], 1, 1)
        return pixels.coloured(x_BCHW, zero, one, lights_B3)
    match name:
        case "sharpness":
            return pixels.sharpened(x_BCHW, 1 + 0.9 * signed_B)
        case "posterize":
            levels = 2 ** (8 - round(4 * strength))
            return (x_BCHW * 255.999).div_(256 / levels).floor_().mul_(256 / levels / 255)
        case "solarize":
            return (x_BCHW >= 1 - strength).to(x_BCHW.dtype).mul_(1 - 2 * x_BCHW).add_(x_BCHW)
        case "stretch":
            return pixels.stretched(x_BCHW)
        case _:
            return pixels.equalized(x_BCHW)
