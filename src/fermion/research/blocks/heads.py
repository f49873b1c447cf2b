"""The last layers of a net: one per output.

Legend of shapes: B rows, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fermion.columns.output import Output
from fermion.research.blocks.encoding import Tensors
from fermion.research.heads import head_of, rows_of


class Heads(nn.Module):
    """One linear layer per output: (B, D) features -> raw arrays by `output.array`, each (B, *shape) as its `research.heads.Head` says.

    `temperature`, one number per output, divides the logits and is 1 until `calibrate` has set it (Guo et al. 2017, "On
    calibration of modern neural networks"): the order of the classes stays, the probabilities come to mean what they say.
    """

    temperature: Tensor

    def __init__(self, features: int, outputs: Sequence[Output]) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.kinds = tuple(head_of(output) for output in outputs)
        self.layers = nn.ModuleList([nn.Linear(features, kind.size) for kind in self.kinds])
        self.register_buffer("temperature", torch.ones(len(self.kinds)))

    def forward(self, x_BD: Tensor) -> Tensors:
        raw: Tensors = {}
        for position, (output, kind, layer) in enumerate(zip(self.outputs, self.kinds, self.layers, strict=True)):
            value = rows_of(layer(x_BD), kind)
            raw[output.array] = value / self.temperature[position] if kind.tempered else value
        return raw
