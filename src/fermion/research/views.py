"""Whether a trained net for pictures looks once or five times: what the validation part says of it."""

from __future__ import annotations

from typing import Literal

import torch

from fermion.research.batches import predict_raw, tensors
from fermion.research.blocks import ConvNet
from fermion.research.loop import calibrate
from fermion.research.losses import total_loss
from fermion.research.model import Encoded

__all__ = ["look"]


def look(net: ConvNet, valid: Encoded, views: Literal["one", "shifts", "best"]) -> tuple[str, ...]:
    """Set how often `net` looks at a picture, and the temperatures of its heads for it; returns what there is to say.

    With "best" both ways are calibrated, and the one with the lower validation loss stays; without a validation part that is one look.
    """
    if views != "best" or not len(valid):
        net.shifts = views == "shifts"
        calibrate(net, net.heads, valid)
        return ()
    losses: dict[bool, float] = {}
    for shifts in (True, False):
        net.shifts = shifts
        calibrate(net, net.heads, valid)
        losses[shifts] = _loss(net, valid)
    if losses[True] < losses[False]:
        net.shifts = True
        calibrate(net, net.heads, valid)
    kept = "stay" if net.shifts else "are left out"
    return (f"Five shifts of a picture {kept}: validation loss {losses[True]:.4f} with them, {losses[False]:.4f} with one look.",)


@torch.no_grad()
def _loss(net: ConvNet, valid: Encoded) -> float:
    arrays, targets = tensors(valid, net.heads.temperature.device)
    return float(total_loss(valid.outputs, predict_raw(net, arrays), targets, None))
