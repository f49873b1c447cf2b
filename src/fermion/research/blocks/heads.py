"""The last layers of a net: one per output.

Legend of shapes: B rows, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fermion.columns.output import Output, Survival
from fermion.research.blocks.encoding import Tensors
from fermion.research.heads import UNCERTAINTY, head_of, rows_of
from fermion.research.survival_heads import Hazards


class Heads(nn.Module):
    """One last layer per output: (B, D) features -> raw arrays by `output.array`, each (B, *shape) as its `research.heads.Head` says.

    `temperature`, one number per output, divides the logits and is 1 until `calibrate` has set it (Guo et al. 2017, "On
    calibration of modern neural networks"): the order of the classes stays, the probabilities come to mean what they say.
    """

    temperature: Tensor

    def __init__(self, features: int, outputs: Sequence[Output]) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.kinds = tuple(head_of(output) for output in outputs)
        self.layers = nn.ModuleList([kind.layer(features) for kind in self.kinds])
        self.register_buffer("temperature", torch.ones(len(self.kinds)))

    def forward(self, x_BD: Tensor) -> Tensors:
        raw: Tensors = {}
        for position, (output, kind, layer) in enumerate(zip(self.outputs, self.kinds, self.layers, strict=True)):
            value = rows_of(layer(x_BD), kind)
            raw[output.array] = value / self.temperature[position] if kind.tempered else value
        return raw


class Weighed(nn.Module):
    """A net whose losses of several outputs are weighed by what is learned: sum_i L_i / (c_i sigma_i²) + log sigma_i.

    While it trains, the raw outputs have one more entry, `UNCERTAINTY`: (B, outputs), s_i = log sigma_i² in every row, which
    `loop.total_loss` reads. c is 2 for squared errors, else 1. Kendall, Gal and Cipolla 2018, "Multi-task learning using uncertainty
    to weigh losses".
    """

    def __init__(self, net: nn.Module, outputs: int) -> None:
        super().__init__()
        self.net = net
        self.log_variance = nn.Parameter(torch.zeros(outputs))

    def forward(self, arrays: Tensors) -> Tensors:
        raw: Tensors = self.net(arrays)
        if not self.training:
            return raw
        rows = len(next(iter(raw.values())))
        return {**raw, UNCERTAINTY: self.log_variance.expand(rows, -1)}


@torch.no_grad()
def settle(net: nn.Module, raw: Tensors, targets: Tensors) -> None:
    """What the last layers learn once their weights stand: the baselines of proportional hazards, from all training rows."""
    for part in net.modules():
        if isinstance(part, Heads):
            for output, layer in zip(part.outputs, part.layers, strict=True):
                if isinstance(output, Survival) and isinstance(layer, Hazards):
                    layer.settle(raw[output.array], targets[output.target], output.times)


def unsettled(net: nn.Module) -> bool:
    """Whether there is something to `settle`."""
    return any(isinstance(part, Hazards) for part in net.modules())
