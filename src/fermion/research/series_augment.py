"""Augmentations of series: time series, spectrograms and waves, each row with parameters of its own, masks respected.

What is behind the end of a row stays as it is, a missing number stays missing, and the array keeps its length. Learned from the
training part are the mean and the deviation of each variable (band).

Legend of shapes: B rows, T steps, C variables or bands, L real steps of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.research.augment import Kind, Rows
from fermion.research.series import Series, changed, put, read, read_at

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SERIES = frozenset({"series", "wave"})
_Share = Annotated[float, Meta(gt=0.0, le=1.0)]
_Chance = Annotated[float, Meta(gt=0.0, le=1.0)]


class Jitter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="jitter"):
    """Normal noise on every step: x + d s e with e ~ N(0, 1) and s the training part's deviation of the variable.

    Args:
        deviation: d, in deviations of the variable.

    >>> Jitter(deviation=0.1).deviation
    0.1

    Um et al.: Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring, ICMI 2017.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    deviation: Annotated[float, Meta(gt=0)] = 0.05

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Noisy rows."""
        import torch

        def noisy(about: Series, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
            e_BTC = torch.randn(x_BTC.shape, generator=draw).to(x_BTC.device)
            return x_BTC + self.deviation * about.spread.to(x_BTC.device) * e_BTC

        return changed(rows, noisy)


class Scaling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="scaling"):
    """Another amplitude: x g with one g = exp(d e), e ~ N(0, 1), per row and variable; in a spectrogram, which is logarithmic, x + 2 d e
    with one e per row: the whole clip is louder or softer.

    Args:
        deviation: d.

    >>> Scaling().deviation
    0.1

    Um et al.: Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring, ICMI 2017.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    deviation: Annotated[float, Meta(gt=0)] = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Scaled rows."""
        import torch

        def scaled(about: Series, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
            rows_B, variables = len(x_BTC), 1 if about.spectrum else x_BTC.shape[2]
            e_B1C = torch.randn(rows_B, 1, variables, generator=draw).to(x_BTC.device) * self.deviation
            return x_BTC + 2 * e_B1C if about.spectrum else x_BTC * e_B1C.exp()

        return changed(rows, scaled)


class Warp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="warp"):
    """Another tempo within a row: a window of it is stretched by f or squeezed by 1/f, the rest makes up for it, and the length stays.

    Step t is read, between two steps, at u(t), a map of three straight pieces from 0 to L - 1. Of a series with times only the times
    are warped.

    Args:
        window: the share of the row that is stretched or squeezed.
        factor: f.
        chance: the share of the rows that are warped.

    >>> Warp(factor=1.5).window
    0.3

    Le Guennec, Malinowski, Tavenard: Data Augmentation for Time Series Classification using Convolutional Neural Networks, 2016.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    window: Annotated[float, Meta(gt=0.0, lt=0.5)] = 0.3
    factor: Annotated[float, Meta(gt=1.0, le=2.0)] = 1.5
    chance: _Chance = 0.5

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Warped rows."""
        import torch

        arrays: dict[str, Tensor] = {}
        for name, about in rows.frame.series.items():
            x_BTC, mask_BT = read(rows, name, about)
            last_B1 = (mask_BT.sum(1, keepdim=True) - 1).clamp(min=1).to(torch.float32)
            drawn_B3 = torch.rand(len(x_BTC), 3, generator=draw).to(x_BTC.device)
            slow_B1, begin_B1 = drawn_B3[:, :1] < 0.5, drawn_B3[:, 1:2] * (1 - self.window * self.factor)
            width_B1 = torch.where(
                slow_B1, self.window * self.factor, self.window / self.factor
            )  # of the window after, in shares of the row
            pace = (1 - self.window) / (1 - width_B1)  # of the rest
            s_BT = torch.arange(x_BTC.shape[1], device=x_BTC.device) / last_B1
            u_BT = torch.where(
                s_BT < begin_B1,
                s_BT * pace,
                torch.where(
                    s_BT < begin_B1 + width_B1,
                    begin_B1 * pace + (s_BT - begin_B1) * self.window / width_B1,
                    begin_B1 * pace + self.window + (s_BT - begin_B1 - width_B1) * pace,
                ),
            )
            u_BT = torch.where(drawn_B3[:, 2:] < self.chance, u_BT, s_BT)
            if about.times is None:
                arrays[name] = put(read_at(x_BTC, u_BT * last_B1, mask_BT), x_BTC, mask_BT, about)
            else:
                arrays[about.times] = torch.where(mask_BT, _warped_times(rows.arrays[about.times], mask_BT, u_BT), 0.0)
        return rows.put(**arrays)


class Slice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="slice"):
    """A part of each row: a window of `share` of its steps, anywhere in it; the row is that much shorter.

    Args:
        share: of the steps, that are kept.

    >>> Slice(share=0.8).share
    0.8

    Le Guennec, Malinowski, Tavenard: Data Augmentation for Time Series Classification using Convolutional Neural Networks, 2016.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    share: _Share = 0.9

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Shorter rows."""
        import torch

        arrays: dict[str, Tensor] = {}
        for name, about in rows.frame.series.items():
            x_BTC, mask_BT = read(rows, name, about)
            length_B = mask_BT.sum(1)
            kept_B = (length_B * self.share).ceil().clamp(min=1).long()
            start_B = (torch.rand(len(x_BTC), generator=draw).to(x_BTC.device) * (length_B - kept_B + 1)).long()
            step_T = torch.arange(x_BTC.shape[1], device=x_BTC.device)
            place_BT = (start_B[:, None] + step_T).clamp(max=x_BTC.shape[1] - 1)
            short_BT = step_T < kept_B[:, None]
            taken_BTC = x_BTC.gather(1, place_BT[..., None].expand_as(x_BTC))
            arrays[name] = put(taken_BTC, torch.zeros_like(x_BTC), short_BT, about)
            arrays[about.mask] = short_BT
            if about.times is not None:
                t_BT = rows.arrays[about.times]
                new_BT = t_BT.gather(1, place_BT)
                ends_B1 = (length_B - 1).clamp(min=0)[:, None]
                from_last_B1 = t_BT.gather(1, ends_B1) == 0
                zero_B1 = torch.where(from_last_B1, new_BT.gather(1, (kept_B - 1)[:, None]), new_BT[:, :1])
                arrays[about.times] = torch.where(short_BT, new_BT - zero_B1, 0.0)
        return rows.put(**arrays)


class Shift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="shift"):
    """Earlier or later: each row is moved by up to `most` of its length; the step at the end is repeated where nothing comes after it.

    Args:
        most: the share of the row's steps that it is moved by at the most.

    >>> Shift().most
    0.1
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    most: _Share = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Moved rows."""
        import torch

        def moved(about: Series, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
            length_B1 = mask_BT.sum(1, keepdim=True)
            by_B1 = ((2 * torch.rand(len(x_BTC), 1, generator=draw).to(x_BTC.device) - 1) * self.most * length_B1).round()
            u_BT = (torch.arange(x_BTC.shape[1], device=x_BTC.device) - by_B1).clamp(min=0)
            return read_at(x_BTC, u_BT, mask_BT)

        return changed(rows, moved)


class Speed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="speed"):
    """Faster or slower: each row is read at another pace, exp(d) with d uniform from -most to most, and is that much shorter or longer.

    A row that would be longer than the array is cut at its end. Times run at the same pace.

    Args:
        most: the largest change, 0.1 for about 10 %.

    >>> Speed(most=0.2).most
    0.2

    Ko, Peddinti, Povey, Khudanpur: Audio Augmentation for Speech Recognition, Interspeech 2015.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    most: Annotated[float, Meta(gt=0.0, le=0.7)] = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows of other lengths."""
        import torch

        arrays: dict[str, Tensor] = {}
        for name, about in rows.frame.series.items():
            x_BTC, mask_BT = read(rows, name, about)
            pace_B1 = ((2 * torch.rand(len(x_BTC), 1, generator=draw).to(x_BTC.device) - 1) * self.most).exp()
            if about.times is not None:
                arrays[about.times] = rows.arrays[about.times] / pace_B1
                continue
            step_T = torch.arange(x_BTC.shape[1], device=x_BTC.device)
            new_BT = step_T < (mask_BT.sum(1, keepdim=True) / pace_B1).round().clamp(min=1)
            arrays[name] = put(read_at(x_BTC, step_T * pace_B1, mask_BT), torch.zeros_like(x_BTC), new_BT, about)
            arrays[about.mask] = new_BT
        return rows.put(**arrays)


def _warped_times(t_BT: Tensor, mask_BT: Tensor, to_BT: Tensor) -> Tensor:
    """Times moved by a map of shares of the row's duration, given at as many equally spaced shares as there are steps."""
    import torch

    last_B1 = (mask_BT.sum(1, keepdim=True) - 1).clamp(min=0)
    first_B1, span_B1 = t_BT[:, :1], (t_BT.gather(1, last_B1) - t_BT[:, :1]).clamp(min=1e-30)
    share_BT = ((t_BT - first_B1) / span_B1).clamp(0, 1)
    place_BT = share_BT * last_B1
    shares_BTC = read_at(torch.where(mask_BT, to_BT, 1.0)[..., None], place_BT, mask_BT)
    return first_B1 + shares_BTC[..., 0].clamp(0, 1) * span_B1
