"""Augmentations of pictures, each picture with parameters of its own. `fermion.research.pixels` does the work, a batch at a time.

A batch holds z = (pixel - mean) / spread at the size of the net.
Legend of shapes: B pictures, b some of them, C channels, H height, W width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.research.augment import Kind, Picture, Rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_PICTURES = frozenset({"image"})
_Share = Annotated[float, Meta(ge=0, le=1)]
_Length = Annotated[float, Meta(ge=0)]


class Flip(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="flip"):
    """Mirrors some of the pictures. Not for what has a right way round: digits, letters, arrows.

    Args:
        horizontal: how probable it is that left and right change places.
        vertical: how probable it is that top and bottom change places.

    >>> Flip(vertical=0.5).horizontal
    0.5
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _PICTURES
    horizontal: _Share = 0.5
    vertical: _Share = 0.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Mirrored pictures."""
        import torch

        from fermion.research import pixels

        across_B, down_B = (torch.rand(len(rows), generator=draw) < chance for chance in (self.horizontal, self.vertical))

        def mirrored(z_bCHW: Tensor, _picture: Picture, across_b: Tensor, down_b: Tensor) -> Tensor:
            return pixels.flip(pixels.flip(z_bCHW, across_b, 3), down_b, 2)

        return rows.pictures(mirrored, across_B, down_B)


class Crop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="crop"):
    """A part of each picture at the size of the whole, and shifts by whole pixels. Beyond an edge is the edge.

    The part has from `area` to all of the picture's area and lies anywhere in it; `shift: 4, area: 1` is the padded crop of 32 x 32
    pictures by 4 pixels.

    Args:
        area: the least share of the picture that is kept.
        stretch: how many times wider or higher than the picture the part may be, within the picture.
        shift: pixels of a shift beyond that, at most.

    >>> Crop(area=1.0, shift=4).stretch
    1.3333333333333333
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _PICTURES
    area: Annotated[float, Meta(gt=0, le=1)] = 0.6
    stretch: Annotated[float, Meta(ge=1)] = 4 / 3
    shift: Annotated[int, Meta(ge=0)] = 0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Parts of pictures."""
        import torch

        from fermion.research import pixels

        count = len(rows)
        side_B = (self.area + (1 - self.area) * torch.rand(count, generator=draw)).sqrt()
        most_B = torch.minimum(-side_B.log(), torch.tensor(math.log(self.stretch) / 2))  # no side is longer than the picture's
        ratio_B = (_even(count, draw) * most_B).exp()
        wide_B, high_B = side_B * ratio_B, side_B / ratio_B
        right_B, low_B = (1 - wide_B) * _even(count, draw), (1 - high_B) * _even(count, draw)
        shift_B2 = torch.randint(-self.shift, self.shift + 1, (count, 2), generator=draw)

        def maps(picture: Picture) -> Tensor:
            right, low = right_B + shift_B2[:, 0] * (2 / picture.width), low_B + shift_B2[:, 1] * (2 / picture.height)
            return pixels.maps(count, wide_B=wide_B, high_B=high_B, right_B=right, low_B=low)

        return rows.moved(maps)


class Distort(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="distort"):
    """Other positions, angles, sizes and hands: an affine map and a smooth field per picture, by one resampling.

    A picture is read at u' = A u + t + e(u): A = rotation, scale and shear, t the shift, and e the elastic field, independent normal
    offsets on a 5 x 5 grid, interpolated bicubically. Each is drawn evenly from -x to x; `strength` scales all of them at once. The
    distances count in pixels of a picture 28 pixels wide and grow with it. Beyond an edge is the edge.

    Args:
        rotation: degrees.
        scale: share of the size.
        shear: share of the height by which the top moves against the middle.
        shift: pixels of 28.
        elastic: pixels of 28.
        strength: what all of them are multiplied by; at 0 pictures come back as they are.

    >>> Distort(strength=0.5).rotation
    10.0

    Simard, Steinkraus, Platt: Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis, ICDAR 2003.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _PICTURES
    rotation: _Length = 10.0
    scale: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    shear: _Length = 0.1
    shift: _Length = 2.0
    elastic: _Length = 0.5
    strength: _Length = 1.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Moved pictures."""
        if not self.strength:
            return rows
        import torch

        from fermion.research import pixels

        count, pixel = len(rows), 2 / 28

        def even(limit: float) -> Tensor:
            return _even(count, draw) * limit * self.strength

        angle_B, across_B = even(math.radians(self.rotation)), even(self.shear)
        wide_B, high_B = 1 + even(self.scale), 1 + even(self.scale)
        right_B, low_B = even(self.shift * pixel), even(self.shift * pixel)
        maps_B23 = pixels.maps(count, angle_B=angle_B, wide_B=wide_B, high_B=high_B, across_B=across_B, right_B=right_B, low_B=low_B)
        bend = self.elastic * self.strength
        if not bend:
            return rows.moved(lambda _: maps_B23)
        field_B255 = torch.randn(count, 2, 5, 5, generator=draw) * (bend * pixel)
        return rows.pictures(lambda z, _, maps_b23, field_b255: pixels.read_at(z, maps_b23, field_b255), maps_B23, field_B255)


class Rotate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="rotate"):
    """Turned, scaled and sheared pictures; each amount is drawn evenly from -x to x. Beyond an edge is the edge.

    Args:
        degrees: of the turn.
        scale: share of the size.
        shear: share of the height by which the top moves against the middle.

    >>> Rotate(degrees=30).scale
    0.0
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _PICTURES
    degrees: _Length = 15.0
    scale: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    shear: _Length = 0.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Turned pictures."""
        return Distort(rotation=self.degrees, scale=self.scale, shear=self.shear, shift=0, elastic=0).apply(rows, draw)


class Colour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="colour"):
    """Other light: brightness, contrast, saturation and hue in one linear map per picture, then gamma.

    The first three are factors drawn evenly from 1 - x to 1 + x, the hue a turn of the colour circle from -x to x, gamma an exponent
    from 1 / (1 + x) to 1 + x. Grey pictures have neither saturation nor hue. Not for what is told apart by its colour.

    Args:
        brightness: of all pixels.
        contrast: of the distance from the picture's mean grey.
        saturation: of the distance from grey.
        hue: in full turns.
        gamma: how far the exponent goes above 1.

    >>> Colour(hue=0.05).brightness
    0.3
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _PICTURES
    brightness: _Share = 0.3
    contrast: _Share = 0.3
    saturation: _Share = 0.3
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    gamma: _Length = 0.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Pictures in another light."""
        import torch

        from fermion.research import pixels

        count = len(rows)
        lights_B3 = 1 + torch.stack([_even(count, draw) * each for each in (self.brightness, self.contrast, self.saturation)], 1)
        turn_B, bend_B = _even(count, draw) * self.hue, (_even(count, draw) * math.log1p(self.gamma)).exp()

        def lit(z_bCHW: Tensor, picture: Picture, lights_b3: Tensor, turn_b: Tensor, bend_b: Tensor) -> Tensor:
            mean_C11, std_C11 = picture.mean, picture.spread
            z_bCHW = pixels.coloured(z_bCHW, mean_C11, std_C11, lights_b3, turn_b if self.hue else None)
            if not self.gamma:
                return z_bCHW
            x_bCHW = z_bCHW.mul_(std_C11).add_(mean_C11).clamp_(min=1e-6)
            return x_bCHW.pow_(bend_b.to(x_bCHW.device)[:, None, None, None]).sub_(mean_C11).div_(std_C11)

        return rows.pictures(lit, lights_B3, turn_B, bend_B)


class Cutout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="cutout"):
    """Hides a box of each picture behind the mean colour. Its centre is anywhere, so that it may reach over the edge.

    Args:
        size: the box's share of each side.
        chance: how probable it is that a picture is hidden in part.

    >>> Cutout(size=0.25).chance
    1.0

    DeVries, Taylor: Improved Regularization of Convolutional Neural Networks with Cutout, 2017.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _PICTURES
    size: Annotated[float, Meta(gt=0, le=1)] = 0.3
    chance: _Share = 1.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Pictures with a hole."""
        import torch

        from fermion.research import pixels

        centres_B2 = torch.rand(len(rows), 2, generator=draw)
        sides_B = self.size * (torch.rand(len(rows), generator=draw) < self.chance)

        def hidden(z_bCHW: Tensor, _picture: Picture, centres_b2: Tensor, sides_b: Tensor) -> Tensor:
            kept_bHW = 1 - pixels.boxes(centres_b2, sides_b, z_bCHW.shape[2], z_bCHW.shape[3])
            return z_bCHW.mul_(kept_bHW[:, None].to(z_bCHW.device))

        return rows.pictures(hidden, centres_B2, sides_B)


class Blur(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="blur"):
    """Pictures out of focus: a Gaussian whose width is drawn evenly from 0 to `sigma` for each of them.

    Args:
        sigma: the largest width in pixels of the net's picture.

    >>> Blur(sigma=0.5).sigma
    0.5
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _PICTURES
    sigma: Annotated[float, Meta(gt=0)] = 1.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Blurred pictures."""
        import torch

        from fermion.research import pixels

        sigma_B = torch.rand(len(rows), generator=draw) * self.sigma
        reach = math.ceil(2.5 * self.sigma)
        return rows.pictures(lambda z, _, sigma_b: pixels.blurred(z, sigma_b, reach), sigma_B)


def _even(count: int, draw: torch.Generator) -> Tensor:
    """(B,) evenly from -1 to 1."""
    import torch

    return torch.rand(count, generator=draw) * 2 - 1
