"""What reads columns without steps: numbers and codes together, and vectors.

Legend of shapes: B rows, N training rows, F numbers, C codes, V features of a vector, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fermion.research.blocks.encoding import Encoding, Tensors
from fermion.research.tablenet import Codes, Numbers, ResidualLayers


class FactsReader(Encoding):
    """Embedded numbers and codes (`tablenet`) -> linear -> residual layers: (B, F) and (B, C) -> (B, D)."""

    def __init__(
        self,
        numbers_NF: NDArray[np.float32] | None,
        codes_NC: NDArray[np.int64] | None,
        sizes: Sequence[int],
        *,
        width: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.numbers = None if numbers_NF is None else Numbers(numbers_NF)
        self.codes = None if codes_NC is None else Codes(codes_NC, sizes)
        features = sum(part.features for part in (self.numbers, self.codes) if part is not None)
        self.features = width
        self.entry = nn.Linear(features, width)
        self.body = nn.Sequential(*(ResidualLayers(width, dropout) for _ in range(blocks)), nn.LayerNorm(width))

    def forward(self, arrays: Tensors) -> Tensor:
        parts: list[Tensor] = []
        if self.numbers is not None:
            parts.append(self.numbers(arrays["numbers"]))
        if self.codes is not None:
            parts.append(self.codes(arrays["codes"]))
        return self.body(self.entry(torch.cat(parts, 1)))


class VectorReader(Encoding):
    """W (v - mean) / std + b, or the learned m where v is missing: (B, V) -> (B, D). Cut off at 10 standard deviations."""

    mean: Tensor  # (V,)
    std: Tensor

    def __init__(self, name: str, x_NV: NDArray[Any], width: int) -> None:
        super().__init__()
        self.name, self.features = name, width
        some = np.ma.masked_invalid(np.asarray(x_NV[:: max(1, len(x_NV) // 10_000)], dtype=np.float64))
        std = np.asarray(some.std(0).filled(0.0))
        self.register_buffer("mean", torch.from_numpy(np.asarray(some.mean(0).filled(0.0), dtype=np.float32)))
        self.register_buffer("std", torch.from_numpy(np.where(std > 1e-6, std, 1.0).astype(np.float32)))
        self.linear = nn.Linear(x_NV.shape[1], width)
        self.missing = nn.Parameter(torch.zeros(width))

    def forward(self, arrays: Tensors) -> Tensor:
        v_BV = arrays[self.name]
        gone_BV = v_BV.isnan()
        z_BV = torch.where(gone_BV, 0.0, (v_BV - self.mean) / self.std).clamp(-10, 10)
        return torch.where(gone_BV.all(1, keepdim=True), self.missing, self.linear(z_BV))
