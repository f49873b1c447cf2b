"""What training makes small: the sum of the outputs' losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fermion.columns.output import Output, Probability, Value
from fermion.research.heads import UNCERTAINTY, head_of
from fermion.research.own_loss import OwnLoss

Tensors = dict[str, Tensor]


def total_loss(
    outputs: Sequence[Output],
    raw: Tensors,
    truth: Tensors,
    weights: Tensor | None,
    smoothing: float = 0.0,
    *,
    focal: float = 0.0,
    own: Mapping[str, OwnLoss] | None = None,
    shares: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Sum over the outputs of the mean over the labelled rows of w_i l_i.

    l is what the output's `heads.Head` says. Rows without a label count for nothing. With `focal` g, a row whose class has the
    probability p counts (1 - p)^g times as much: what is answered well already leaves the rest to what is not (Lin et al. 2017,
    "Focal loss for dense object detection"). Where the net learns how much each loss counts (`blocks.Weighed`), L_i becomes
    L_i / (c_i sigma_i²) + log sigma_i.

    Args:
        own: by target, what takes the place of its head's loss.
        shares: by target, which share of the labelled rows of a batch these are, where they are only some of it: the losses of the
            parts then add up to that of the whole.
    """
    losses: list[Tensor] = []
    spread = raw.get(UNCERTAINTY)
    for place, output in enumerate(outputs):
        value, y = raw[output.array].float(), truth[output.target]
        if y.ndim > 1 and y.ndim == value.ndim - 1 and y.shape[1] > value.shape[1]:
            y = y[:, : value.shape[1]]  # a label per step, of a batch that is cut to its longest row
        each, there = head_of(output).loss(value, y, smoothing)
        if own and output.target in own:
            each = own[output.target](value, y, there)
        if focal and isinstance(output, Probability):
            p_B = head_of(output).answer(value).gather(1, y.clamp(min=0).unsqueeze(1)).squeeze(1)
            each = each * (1 - p_B).clamp(min=0) ** focal
        if weights is not None:
            each = each * weights
        mean = each.sum() / there.sum().clamp(min=1)
        if spread is not None:
            s = spread[0, place].float()
            mean = mean * torch.exp(-s) * (0.5 if isinstance(output, Value) else 1.0) + s / 2
        losses.append(mean if shares is None else mean * shares[output.target])
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()
