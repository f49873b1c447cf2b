"""Augmentations of spectrograms and waves: masks over time and frequency, other voices, and noise behind a clip.

Legend of shapes: B rows, T steps, C variables or bands, S spans.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.research.augment import Kind, Rows
from fermion.research.series import Series, changed, read_at, spans_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SERIES = frozenset({"series", "wave"})
_SPECTRA = frozenset({"series"})
_Share = Annotated[float, Meta(gt=0.0, le=1.0)]


class TimeMask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="timemask"):
    """Spans of steps blanked: each is up to `most` of the row's steps long, anywhere in it, and holds the training part's mean.

    Args:
        spans: how many.
        most: the share of the steps that one covers at the most.

    >>> TimeMask(spans=1).most
    0.2

    Park et al.: SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition, Interspeech 2019.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    spans: Annotated[int, Meta(ge=1, le=100)] = 2
    most: _Share = 0.2

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows with gaps."""
        import torch

        def masked(about: Series, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
            blank_BT = spans_of(mask_BT.sum(1), mask_BT.shape[1], self.spans, self.most, draw).to(x_BTC.device)
            return torch.where(blank_BT[..., None], about.mean.to(x_BTC.device), x_BTC)

        return changed(rows, masked)


class FrequencyMask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="frequencymask"):
    """Spans of bands blanked: each is up to `most` of the bands wide and holds the training part's mean; of a series, whole variables.

    Args:
        spans: how many.
        most: the share of the bands that one covers at the most.

    >>> FrequencyMask().spans
    2

    Park et al.: SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition, Interspeech 2019.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SPECTRA
    spans: Annotated[int, Meta(ge=1, le=100)] = 2
    most: _Share = 0.2

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows that lack bands."""
        import torch

        def masked(about: Series, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
            bands = x_BTC.shape[2]
            if bands == 1:
                return x_BTC  # nothing would be left
            blank_BC = spans_of(torch.full((len(x_BTC),), bands), bands, self.spans, self.most, draw).to(x_BTC.device)
            return torch.where(blank_BC[:, None], about.mean.to(x_BTC.device), x_BTC)

        return changed(rows, masked)


class Pitch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="pitch"):
    """Another voice: band c of a spectrogram is read at c exp(d), d uniform from -most to most; series without sound stay.

    A shorter or longer throat moves all formants by one factor. What would be read beyond the last band is the last band.

    Args:
        most: the largest change, 0.1 for about 10 %.

    >>> Pitch(most=0.2).most
    0.2

    Jaitly, Hinton: Vocal Tract Length Perturbation (VTLP) improves speech recognition, ICML workshop on deep learning for audio, 2013.
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SPECTRA
    most: Annotated[float, Meta(gt=0.0, le=0.7)] = 0.1

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Clips in other voices."""
        import torch

        def moved(about: Series, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
            factor_B1 = ((2 * torch.rand(len(x_BTC), 1, generator=draw).to(x_BTC.device) - 1) * self.most).exp()
            if not about.spectrum:
                return x_BTC
            u_BC = torch.arange(x_BTC.shape[2], device=x_BTC.device) * factor_B1
            return read_at(x_BTC.transpose(1, 2), u_BC, torch.ones_like(u_BC, dtype=torch.bool)).transpose(1, 2)

        return changed(rows, moved)


class Background(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="background"):
    """A noise behind each clip, `quiet` to `loud` decibels under the mean power of the training part; series without sound stay.

    In a spectrogram powers add up: log(exp(x) + exp(n)), with n the mean of the band less the drawn decibels, and the noise of each
    frame exponentially distributed as that of a power is. In a wave it is x + s e.

    Args:
        loud: the least distance, dB.
        quiet: the largest, dB.

    >>> Background(loud=10).quiet
    40.0
    """

    kind: ClassVar[Kind] = "row"
    reads: ClassVar[frozenset[str]] = _SERIES
    loud: float = 5.0
    quiet: float = 40.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Noisier clips."""
        import torch

        def noisy(about: Series, x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
            if not about.spectrum and not about.wave:
                return x_BTC
            decibels_B11 = self.loud + (self.quiet - self.loud) * torch.rand(len(x_BTC), 1, 1, generator=draw).to(x_BTC.device)
            if about.wave:
                e_BTC = torch.randn(x_BTC.shape, generator=draw).to(x_BTC.device)
                return x_BTC + e_BTC * about.spread.to(x_BTC.device) * 10 ** (-decibels_B11 / 20)
            power_BTC = torch.empty(x_BTC.shape).exponential_(generator=draw).to(x_BTC.device)
            level_BTC = about.mean.to(x_BTC.device) - decibels_B11 * math.log(10) / 10 + power_BTC.clamp(min=1e-6).log()
            return torch.logaddexp(x_BTC, level_BTC)

        return changed(rows, noisy)
