"""Convolutional encoders: for pictures, and along time for series, sounds and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.schema import Named
from fermion.core import lazy
from fermion.research.encoder import Encoder, array_of, the_array, width_for
from fermion.research.encoders.entering import STEPS, entry_of
from fermion.research.model import Encoded

if TYPE_CHECKING:
    from torch import nn

    from fermion.research.blocks.encoding import Encoding

Widths = Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=2)]
SMALLEST, LARGEST = 28, 64  # sides of a picture in the net


class Cnn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="cnn"):
    """The small convolutional net of the model `cnn`: the picture is halved twice and once more per further stage.

    Args:
        widths: channels of the stages.
        size: the longer side of a picture in the net in pixels; 0 takes the pictures' own, within 28 to 64.

    >>> Cnn().widths
    (32, 64, 96)
    """

    reads: ClassVar[frozenset[str]] = frozenset({"image"})
    widths: Widths = (32, 64, 96)
    size: Annotated[int, Meta(ge=0)] = 0

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        from fermion.research.blocks.pictures import convnet_body

        array = the_array(self, named)
        return reader(array, train, convnet_body(channels_of(array), self.widths), self.widths, self.size)


class ResNet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="resnet"):
    """Residual convolutions: 3x3 on pictures, of length 5 along time (`fermion.research.blocks.convolutions` and `convolutions2d`).

    Args:
        widths: channels of the stages; each but the first halves the picture, or the steps. Empty chooses: 32, 64, 128 for pictures, by
            the number of rows along time.
        depth: residual blocks of a stage, for pictures; 2 along time.
        size: the longer side of a picture in the net in pixels; 0 takes the pictures' own, within 28 to 64.
        strided: whether steps are halved. Texts keep theirs unless told otherwise.
        pooling: how steps become one vector.
        dropout: share of the features along time that training hides.

    >>> ResNet().depth
    2
    """

    reads: ClassVar[frozenset[str]] = frozenset({"image", *STEPS})
    widths: tuple[Annotated[int, Meta(ge=1)], ...] = ()
    depth: Annotated[int, Meta(ge=1)] = 2
    size: Annotated[int, Meta(ge=0)] = 0
    strided: bool | None = None
    pooling: Literal["mean", "max", "both", "attention"] = "both"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        array = the_array(self, named)
        if array.slot.role == "image":
            from fermion.research.blocks.convolutions2d import ResNet as Picture

            widths = self.widths or (32, 64, 128)
            return reader(array, train, Picture(channels_of(array), widths, self.depth), widths, self.size)
        from fermion.research.blocks.convolutions import ResNetSteps
        from fermion.research.blocks.steps import Reader

        widths = self.widths or stages(len(train))
        entry = entry_of(self, named, train, widths[0])
        body = ResNetSteps(entry.width, widths, strided(self, named, self.strided), self.dropout)
        return Reader(entry, body, self.pooling)


class ConvNeXt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="convnext"):
    """One filter per channel, then layers per pixel or step, as a Transformer has them: convolutions of today.

    Args:
        widths: channels of the stages; each but the first halves the picture, or the steps. Empty chooses: 32, 64, 128 for pictures, by
            the number of rows along time.
        depth: blocks of a stage.
        kernel: length of the filters along time, an odd number; 7x7 on pictures.
        size: the longer side of a picture in the net in pixels; 0 takes the pictures' own, within 28 to 64.
        strided: whether steps are halved. Texts keep theirs unless told otherwise.
        pooling: how steps become one vector.
        dropout: share of the features along time that training hides.

    >>> ConvNeXt(depth=1).kernel
    7
    """

    reads: ClassVar[frozenset[str]] = frozenset({"image", *STEPS})
    widths: tuple[Annotated[int, Meta(ge=1)], ...] = ()
    depth: Annotated[int, Meta(ge=1)] = 2
    kernel: Literal[3, 5, 7, 9, 11, 15, 21, 31] = 7
    size: Annotated[int, Meta(ge=0)] = 0
    strided: bool | None = None
    pooling: Literal["mean", "max", "both", "attention"] = "both"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1

    def build(self, named: tuple[Named, ...], train: Encoded) -> Encoding:
        """The module (`encoder.Encoder`)."""
        lazy.load("torch", extra="train")
        array = the_array(self, named)
        if array.slot.role == "image":
            from fermion.research.blocks.convolutions2d import ConvNeXt as Picture

            widths = self.widths or (32, 64, 128)
            return reader(array, train, Picture(channels_of(array), widths, self.depth), widths, self.size)
        from fermion.research.blocks.convolutions import ConvNeXtSteps
        from fermion.research.blocks.steps import Reader

        widths = self.widths or stages(len(train))
        entry = entry_of(self, named, train, widths[0])
        body = ConvNeXtSteps(entry.width, widths, self.depth, self.kernel, strided(self, named, self.strided), self.dropout)
        return Reader(entry, body, self.pooling)


def stages(rows: int) -> tuple[int, ...]:
    """The widths of the stages along time: three that double, the more rows the wider.

    >>> stages(500), stages(50_000)
    ((16, 32, 64), (64, 128, 256))
    """
    least = width_for(rows) // 2
    return least, 2 * least, 4 * least


def strided(encoder: Encoder, named: tuple[Named, ...], wanted: bool | None) -> bool:
    """Whether steps are halved: as the settings say, else for everything but tokens, each of which may want an answer of its own."""
    return wanted if wanted is not None else array_of(named, encoder.reads & {"tokens"}) is None


def channels_of(array: Named) -> int:
    """Of a column of pictures."""
    return int(array.slot.shape[2] or 1)


def reader(array: Named, train: Encoded, body: nn.Module, widths: tuple[int, ...], size: int) -> Encoding:
    """Pixels before a body that makes a vector of the last width."""
    import torch

    from fermion.research.blocks.pictures import PictureReader, Pixels

    height, width, _ = (int(side or 1) for side in array.slot.shape)
    mean, std = channel_statistics(train.arrays[array.name])
    made = PictureReader(array.name, Pixels(mean, std, net_size(height, width, size, len(widths))), body, widths[-1])
    made.body.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] torch's stubs lack the overload
    return made


def net_size(height: int, width: int, size: int, stages: int) -> tuple[int, int] | None:
    """Height and width in the net, even and in the pictures' own proportions; None where that is their own size.

    >>> net_size(8, 8, 0, 3), net_size(28, 28, 0, 3), net_size(480, 640, 0, 3), net_size(2, 200, 0, 3)
    ((28, 28), None, (48, 64), (4, 64))
    """
    longer, least = max(height, width), 2 ** (stages - 1)  # what the halvings need
    share = (size or min(max(longer, SMALLEST), LARGEST)) / longer
    sides = (max(least, round(height * share / 2) * 2), max(least, round(width * share / 2) * 2))
    return None if sides == (height, width) else sides


def channel_statistics(pixels_NHWC: NDArray[Any]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over at most 5,000 evenly spaced pictures, in shares of 255."""
    some = np.asarray(pixels_NHWC[:: max(1, len(pixels_NHWC) // 5_000)], dtype=np.float32) / 255
    return [float(m) for m in some.mean((0, 1, 2))], [max(float(s), 1e-2) for s in some.std((0, 1, 2))]
