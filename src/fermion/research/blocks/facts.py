"""Numbers and codes that stand beside something larger.

Legend of shapes: B rows, F numbers, C codes, D features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fermion.research.blocks.encoding import Tensors


class Facts(nn.Module):
    """The numbers and codes that stand beside a picture, as features: (B, F) and (B, C) -> (B, D).

    A number is standardised with the training part's mean and spread, 0 where it is missing, beside a flag that says so. A code is
    looked up in a table of at most 8 columns.
    """

    mean: Tensor  # (F,)
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], sizes: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        widths = [min(8, math.ceil(size**0.5)) for size in sizes]
        self.tables = nn.ModuleList([nn.Embedding(size, width) for size, width in zip(sizes, widths, strict=True)])
        self.features = 2 * len(mean) + sum(widths)

    def forward(self, arrays: Tensors) -> Tensor:
        parts: list[Tensor] = []
        if len(self.mean):
            missing_BF = arrays["numbers"].isnan()
            x_BF = (arrays["numbers"] - self.mean) / self.std
            parts += [torch.where(missing_BF, torch.zeros_like(x_BF), x_BF).clamp(-10, 10), missing_BF.float()]
        parts += [table(arrays["codes"][:, position]) for position, table in enumerate(self.tables)]
        return torch.cat(parts, 1)
