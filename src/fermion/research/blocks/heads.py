"""The last layers of a net: one per output.

Legend of shapes: B rows, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fermion.columns.output import Output, Probability
from fermion.research.blocks.encoding import Tensors


class Heads(nn.Module):
    """One linear layer per output: (B, D) features -> raw arrays by `output.array`, (B, K) logits or (B,) values.

    `temperature`, one number per output, divides the logits and is 1 until `calibrate` has set it (Guo et al. 2017, "On
    calibration of modern neural networks"): the order of the classes stays, the probabilities come to mean what they say.
    """

    temperature: Tensor

    def __init__(self, features: int, outputs: Sequence[Output]) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        sizes = [len(output.classes) if isinstance(output, Probability) else 1 for output in outputs]
        self.layers = nn.ModuleList([nn.Linear(features, size) for size in sizes])
        self.register_buffer("temperature", torch.ones(len(sizes)))

    def forward(self, x_BD: Tensor) -> Tensors:
        raw: Tensors = {}
        for position, (output, layer) in enumerate(zip(self.outputs, self.layers, strict=True)):
            value = layer(x_BD)
            raw[output.array] = value / self.temperature[position] if isinstance(output, Probability) else value.squeeze(1)
        return raw
