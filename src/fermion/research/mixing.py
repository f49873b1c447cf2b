"""Augmentations that make one row out of two: mixup and cutmix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from fermion.research.augment import Kind, Rows
from fermion.research.series import put, read

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_EVERYTHING = frozenset({"numbers", "codes", "image", "series", "wave"})


class Mixup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="mixup"):
    """Means of two rows with the same means of their labels: x = s x_i + (1 - s) x_j, s = max(b, 1 - b), b ~ Beta(alpha, alpha).

    Pictures, numbers and series are mixed, series step by step as far as both reach. A number that is missing in one of the two, a
    category and every other array are those of row i, whose share is the larger. Each row has a partner and a share of its own.

    Args:
        alpha: how evenly: at 0.2 most rows stay nearly alone, at 1 all shares are equally likely.
        chance: how probable it is that a row is mixed at all.

    >>> Mixup(alpha=0.4).chance
    1.0

    Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization, ICLR 2018.
    """

    kind: ClassVar[Kind] = "mixing"
    reads: ClassVar[frozenset[str]] = _EVERYTHING
    alpha: Annotated[float, Meta(gt=0)] = 0.2
    chance: Annotated[float, Meta(ge=0, le=1)] = 1.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows with two truths each."""
        import torch

        partner, share_B = _partners(rows, draw, self.alpha, self.chance)
        made = dict(rows.arrays)
        for name in (*rows.frame.pictures, *(["numbers"] if "numbers" in made else [])):
            x, share = made[name], share_B.view(-1, *[1] * (made[name].ndim - 1)).to(made[name].dtype)
            made[name] = torch.lerp(x.index_select(0, partner), x, share)
        if "numbers" in made:
            made["numbers"] = torch.where(made["numbers"].isnan(), rows.arrays["numbers"], made["numbers"])
        for name, about in rows.frame.series.items():
            x_BTC, mask_BT = read(rows, name, about)
            mixed_BTC = torch.lerp(x_BTC.index_select(0, partner), x_BTC, share_B[:, None, None])
            both_BT = mask_BT & mask_BT.index_select(0, partner)
            made[name] = put(torch.where(mixed_BTC.isnan(), x_BTC, mixed_BTC), x_BTC, both_BT, about)
        return rows.mixed(partner, share_B, made)


class Cutmix(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="cutmix"):
    """Pictures with a rectangle of another picture, and both labels by their areas.

    The rectangle has the picture's proportions, the area 1 - b with b ~ Beta(alpha, alpha), and a centre anywhere in the picture; what
    reaches over the edge is cut off before the areas are counted. Each picture has a partner and a rectangle of its own.

    Args:
        alpha: how evenly: at 1 all areas are equally likely.
        chance: how probable it is that a picture gets a rectangle at all.

    >>> Cutmix(chance=0.5).alpha
    1.0

    Yun et al.: CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, ICCV 2019.
    """

    kind: ClassVar[Kind] = "mixing"
    reads: ClassVar[frozenset[str]] = frozenset({"image"})
    alpha: Annotated[float, Meta(gt=0)] = 1.0
    chance: Annotated[float, Meta(ge=0, le=1)] = 1.0

    def apply(self, rows: Rows, draw: torch.Generator) -> Rows:
        """Rows with two truths each."""
        import torch

        from fermion.research import pixels

        partner, kept_B = _partners(rows, draw, self.alpha, self.chance, larger=False)
        centres_B2 = torch.rand(len(rows), 2, generator=draw).to(kept_B.device)
        made = dict(rows.arrays)
        share_B = kept_B
        for name in rows.frame.pictures:
            x_BCHW = made[name]
            inside_BHW = pixels.boxes(centres_B2, (1 - kept_B).sqrt(), x_BCHW.shape[2], x_BCHW.shape[3])
            share_B = 1 - inside_BHW.mean((1, 2))
            made[name] = torch.where(inside_BHW[:, None].bool(), x_BCHW.index_select(0, partner), x_BCHW)
        return rows.mixed(partner, share_B, made)


def _partners(rows: Rows, draw: torch.Generator, alpha: float, chance: float, *, larger: bool = True) -> tuple[Tensor, Tensor]:
    """(B,) whom each row is mixed with, and (B,) float32 what share of it stays; with `larger` at least half."""
    import numpy as np
    import torch

    count, device = len(rows), next(iter(rows.arrays.values())).device
    partner = torch.randperm(count, generator=draw)
    seed = int(torch.randint(2**62, (1,), generator=draw))
    share_B = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count).astype(np.float32))
    if larger:
        share_B = torch.maximum(share_B, 1 - share_B)
    alone_B = torch.rand(count, generator=draw) >= chance
    return partner.to(device), torch.where(alone_B, 1.0, share_B).to(device)
