"""The model for pictures: a small convolutional net with defaults that need no tuning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import force_setattr

from fermion.columns.schema import Named
from fermion.core import lazy
from fermion.core.declared import part
from fermion.core.errors import DataError, Told
from fermion.core.run import Run
from fermion.research.augment import Augment, Picture, augmenting, check_roles, read_parts, resample, resampling_notes
from fermion.research.encoders.convolutional import channel_statistics, net_size
from fermion.research.model import Encoded, Fitted
from fermion.research.picture_augment import Distort
from fermion.research.targets import EVERY, learnable
from fermion.research.training import Learner, Precision, Rate, number


class Cnn(Learner, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="cnn"):
    """A convolutional net for a column of pictures, with the table's other columns beside it.

    Args:
        widths: channels of the stages; the net sees half the size in the first two, then halves it once per stage.
        steps: batches to train on; 0 chooses by the number of rows.
        batch: rows per step, at most a fifth of the training part; `auto` measures which size is fastest per row.
        lr: peak learning rate of AdamW (biases, normalisations, heads), or `auto`: found by a range test.
        matrix_lr: peak learning rate of Muon (convolutions).
        decay: weight decay of whatever moves the rest, or all.
        augment: what training pictures go through, in this order; a number is short for distort of that strength, 0 and [] are none.
        smoothing: share of the truth that is spread over all classes in training.
        size: the longer side of a picture in the net in pixels; 0 takes the pictures' own, within 28 to 64.
        contrast: gives each picture a mean of 0 and a spread of 1 of its own, for photographs in every light.
        views: what an answer is the mean of: "one" look at the picture, or five "shifts" of it by up to a pixel, at five times the
            cost of an answer; "best" takes them where the validation loss is lower with them.
        precision: "auto" tries 16-bit autocast in the first steps and keeps it where it is faster; float16 is for cuda.

    >>> Cnn(lr=0.01).widths
    (32, 64, 96)
    """

    widths: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=2)] = (32, 64, 96)
    steps: Annotated[int, Meta(ge=0)] = 0
    batch: Annotated[int, Meta(ge=2)] | Literal["auto"] = 512
    lr: Rate = 0.0225
    matrix_lr: Annotated[float, Meta(ge=0)] = 0.15
    decay: Annotated[float, Meta(ge=0)] = 0.0
    augment: Annotated[float, Meta(ge=0)] | tuple[Annotated[Any, part("augments")], ...] = 1.0
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    size: Annotated[int, Meta(ge=0)] = 0
    contrast: bool = False
    views: Literal["one", "shifts", "best"] = "one"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.augment, int | float):
            force_setattr(self, "augment", read_parts(self.augment))

    @property
    def augments(self) -> tuple[Augment, ...]:
        """The parts that `augment` stands for.

        >>> Cnn(augment=0.5).augments[0].strength, Cnn(augment=0).augments
        (0.5, ())
        """
        if isinstance(self.augment, int | float):
            return (Distort(strength=self.augment),) if self.augment else ()
        return self.augment

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`.

        Raises:
            DataError: there is no column of pictures, no labelled row, only one class or an augmentation for other data.
            Stopped: it was stopped before the first step.
        """
        picture = the_picture(train)
        for output in train.outputs:
            learnable(output, train, kinds=EVERY)
        check_roles(self.augments, train, model="cnn")
        lazy.load("torch", extra="train")
        import torch

        from fermion.research import blocks, graphs, loop, optim, views

        height, width, channels = (int(side or 1) for side in picture.slot.shape)
        mean, std = channel_statistics(train.arrays[picture.name])
        with loop.seeded(run.seed_for("fit: weights")):
            net = blocks.ConvNet(
                picture.name,
                channels,
                self.widths,
                train.outputs,
                blocks.Pixels(mean, std, self.net_size(height, width)),
                facts_of(train),
                contrast=self.contrast,
            )
            net.body.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] torch's stubs lack the overload
        grown = resample(self.augments, train, run)
        batch = min(int(number(self.batch, 512)), max(32, len(grown) // 5))  # of few rows, steps are worth more than their precision
        recipe = self.recipe(
            optim.Steps(lr=number(self.lr, 0.0225), matrix_lr=self.matrix_lr, decay=self.decay),
            steps=self.steps or default_steps(len(grown), batch * self.training.accumulate),
            batch=batch,
            by_rows=not self.steps,
            smoothing=self.smoothing,
            precision=self.precision,
        )
        sides, device = self.net_size(height, width) or (height, width), loop.device_of(run.device)
        means, spreads = (torch.tensor(each, device=device).view(-1, 1, 1) for each in (mean, std))
        frame = {picture.name: Picture(mean=means, spread=spreads, height=sides[0], width=sides[1])}
        by_batch = augmenting(self.augments, train, run, pictures=frame, enter=lambda pixels_BHWC, _: net.pixels(pixels_BHWC))
        trained = loop.train(net, grown, valid, recipe, run, augment=by_batch)
        told = views.look(net, valid, self.views)
        examples = valid.arrays if len(valid) else train.arrays
        return Fitted(
            schema=train.schema,
            outputs=train.outputs,
            learned=graphs.Net(net, train.outputs, examples),
            curves=trained.curves,
            notes=(*resampling_notes(self.augments, train, grown), *trained.notes, *told),
        )

    def net_size(self, height: int, width: int) -> tuple[int, int] | None:
        """Height and width in the net, even and in the pictures' own proportions; None where that is their own size.

        >>> Cnn().net_size(8, 8), Cnn().net_size(28, 28), Cnn().net_size(480, 640), Cnn().net_size(2, 200)
        ((28, 28), None, (48, 64), (4, 64))
        """
        return net_size(height, width, self.size, len(self.widths))


def default_steps(rows: int, batch: int) -> int:
    """8 passes over many rows, and never fewer than 160 steps: what a net needs to find its way, however few rows there are.

    >>> default_steps(1_437, 287), default_steps(55_000, 512)
    (160, 860)
    """
    return max(160, -(-rows * 8 // batch))


def the_picture(rows: Encoded) -> Named:
    """The one column of pictures.

    Raises:
        DataError: there is none, or more than one.
    """
    pictures = [named for named in rows.schema.layout.arrays if named.slot.role == "image"]
    if len(pictures) != 1:
        raise DataError(
            "the table of a `cnn`",
            rule="one with one column of pictures",
            given=Told(f"{len(pictures)} of them among the columns {', '.join(rows.schema.names[:12])}"),
            remedy="Use `model: {type: trees}` for a table of numbers and categories."
            if not pictures
            else "Leave all but one out with data.columns.",
        )
    return pictures[0]


def facts_of(rows: Encoded) -> Any:
    """The part of the net for numbers and codes beside the picture, or None."""
    from fermion.research import blocks

    layout = rows.schema.layout
    if not layout.numbers and not layout.codes:
        return None
    mean, std = np.zeros(0), np.ones(0)
    if layout.numbers:
        numbers = np.ma.masked_invalid(rows.arrays["numbers"].astype(np.float64))
        mean, std = numbers.mean(0).filled(0.0), np.maximum(numbers.std(0).filled(1.0), 1e-6)
    return blocks.Facts(mean.tolist(), std.tolist(), [ref.size for ref in layout.codes])
