"""The parts of small nets for pictures: bytes in, convolutions, one vector per picture; and the net that `cnn` makes of them.

Legend of shapes: B rows, C channels, H height, W width, D features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.output import Output
from fermion.research.augment import Picture
from fermion.research.blocks.encoding import Encoding, Tensors
from fermion.research.blocks.facts import Facts
from fermion.research.blocks.heads import Heads


class Pixels(nn.Module):
    """Bytes as the encoder gives them -> the floats that convolutions want: (B, H, W, C) uint8 -> (B, C, height, width) float32.

    x = (p / 255 - mean_c) / std_c with each channel's mean and spread over the training pictures, then a bilinear resize where the
    net's size is not the pictures' own. It is part of the net, and so of the exported graph: nobody else scales or resizes.
    """

    shift: Tensor  # (C, 1, 1)
    scale: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("shift", torch.tensor(mean).view(-1, 1, 1) * 255)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(-1, 1, 1) * 255))

    def forward(self, pixels_BHWC: Tensor) -> Tensor:
        # planes first: sums over the few channels of a pixel take ten times as long
        x_BCHW = pixels_BHWC.permute(0, 3, 1, 2).contiguous().float().sub_(self.shift).mul_(self.scale)
        if self.size is None:
            return x_BCHW
        return F.interpolate(x_BCHW, self.size, mode="bilinear", align_corners=False)


def contrasted(x_BCHW: Tensor) -> Tensor:
    """(x - mean) / (spread + 0.05) with each picture's own mean and spread over all its pixels and channels: dusk as bright as noon.

    The 0.05 keeps a picture of one colour from becoming noise. (B, C, H, W) -> (B, C, H, W).
    """
    mean_B111 = x_BCHW.mean((1, 2, 3), keepdim=True)
    centred_BCHW = x_BCHW - mean_B111
    return centred_BCHW / ((centred_BCHW * centred_BCHW).mean((1, 2, 3), keepdim=True).sqrt() + 0.05)


VIEWS = 5


def shifted(x_BCHW: Tensor) -> Tensor:
    """Each picture as it is and a pixel to the left, right, top and bottom; beyond an edge is the edge: (B, C, H, W) -> (5 B, C, H, W)."""
    height, width = x_BCHW.shape[2:]
    padded = F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate")
    corners = ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
    return torch.cat([padded[:, :, top : top + height, left : left + width] for top, left in corners])


class ConvNormAct(nn.Module):
    """max(0, BatchNorm(W * x)): a 3x3 convolution without bias, normalised over the batch, rectified. (B, C, H, W) -> (B, out, H, W).

    After training the normalisation is a scale and a shift per channel that is folded into W, so it costs nothing to serve.
    Ioffe and Szegedy 2015, "Batch normalization".
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x_BCHW)))


class Residual(nn.Module):
    """x + f(x), with f a ConvNormAct of as many channels. He et al. 2016, "Deep residual learning for image recognition"."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = ConvNormAct(channels, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.inner(x_BCHW)


class GlobalMaxPool(nn.Module):
    """The strongest answer of each channel anywhere in the picture: (B, C, H, W) -> (B, C), whatever H and W.

    What a digit is made of counts, not where: better than the mean on small pictures (Oquab et al. 2015, "Is object localization
    for free?").
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.amax((2, 3))


def convnet_body(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """What is between the pixels and the heads of a `ConvNet`: (B, C, H, W) -> (B, last width)."""
    body: list[nn.Module] = [nn.PixelUnshuffle(2), ConvNormAct(4 * channels, widths[0])]
    for position in range(1, len(widths)):
        if position >= 2:
            body.append(nn.MaxPool2d(2))
        body.append(ConvNormAct(widths[position - 1], widths[position]))
        if position >= 2:
            body.append(Residual(widths[position]))
    return nn.Sequential(*body, GlobalMaxPool())


class ConvNet(nn.Module):
    """A small picture classifier that halves the picture twice and ends in a global maximum.

    Bytes (B, H, W, C) go through `pixels`; floats (B, C, H, W) are pictures that did so already and were augmented since, in training.

        pixels -> unshuffle 2x2 -> conv w1 -> conv w2 -> max pool 2 -> conv w3 -> residual conv w3 -> ...
               -> global max pool -> heads

    Unshuffling folds each 2x2 square into channels, so that the first convolution already works at a quarter of the positions
    without dropping a pixel (Shi et al. 2016). Widths beyond the third add a pool, a convolution and a residual one each.

    With `contrast` each picture gets a mean of 0 and a spread of 1 of its own, after what augmentation did to its light. Where `shifts`
    is true, the answer is the mean over five views of the picture (`shifted`), in evaluation and in the exported graph: the pools see
    another grid in each.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        widths: Sequence[int],
        outputs: Sequence[Output],
        pixels: Pixels,
        facts: Facts | None = None,
        *,
        contrast: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.pixels, self.facts = name, pixels, facts
        self.contrast, self.shifts = contrast, False
        self.body = convnet_body(channels, widths)
        self.heads = Heads(widths[-1] + (facts.features if facts else 0), outputs)

    def forward(self, arrays: Tensors) -> Tensors:
        x_BCHW = arrays[self.name]
        if x_BCHW.dtype == torch.uint8:
            x_BCHW = self.pixels(x_BCHW)
        if self.contrast:
            x_BCHW = contrasted(x_BCHW)
        if self.shifts and not self.training:
            x_BD = self.body(shifted(x_BCHW)).unflatten(0, (VIEWS, -1)).mean(0)  # the heads are linear: the mean of their logits
        else:
            x_BD = self.body(x_BCHW)
        if self.facts is not None:
            x_BD = torch.cat([x_BD, self.facts(arrays)], 1)
        return self.heads(x_BD)


class PictureReader(Encoding):
    """Pixels, then any body that makes one vector of a picture: (B, H, W, C) uint8 -> (B, D).

    Floats (B, C, height, width) are pictures that went through the pixels already and were augmented since, in training.
    """

    def __init__(self, name: str, pixels: Pixels, body: nn.Module, features: int) -> None:
        super().__init__()
        self.name, self.pixels, self.body, self.features = name, pixels, body, features

    def forward(self, arrays: Tensors) -> Tensor:
        x = arrays[self.name]
        return self.body(self.pixels(x) if x.dtype == torch.uint8 else x)

    def picture(self, height: int, width: int, device: torch.device) -> Picture:
        """What its pictures, of this size as they are encoded, are to augmentations."""
        sides = self.pixels.size or (height, width)
        mean, spread = (self.pixels.shift / 255).to(device), (1 / (255 * self.pixels.scale)).to(device)
        return Picture(mean=mean, spread=spread, height=sides[0], width=sides[1])


def entered(pixels_BHWC: Tensor, picture: Picture) -> Tensor:
    """What `Pixels` makes of bytes, by what a picture is to augmentations: (B, H, W, C) uint8 -> (B, C, height, width) float32."""
    x_BCHW = pixels_BHWC.permute(0, 3, 1, 2).contiguous().float().div_(255).sub_(picture.mean).div_(picture.spread)
    sides = (picture.height, picture.width)
    return x_BCHW if x_BCHW.shape[2:] == sides else F.interpolate(x_BCHW, sides, mode="bilinear", align_corners=False)
