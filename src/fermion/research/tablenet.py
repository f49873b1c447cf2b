"""The parts that a net for tables is made of, and the net that they make.

Legend of shapes: B rows, F numbers, C codes, T bins, E size of an embedding, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.category import FIRST, MISSING, UNSEEN
from fermion.columns.output import Output
from fermion.research.blocks import Heads, Tensors

BINS, SIZE = 32, 8
HIDDEN_CODES = 0.02  # share of the codes that training hides as unseen, so that unseen levels have a meaning


class Numbers(nn.Module):
    """Numbers as embeddings: (B, F) -> (B, F * (E + 1) + F).

    A number is imputed by its median, then encoded against the training part's quantiles b_0 < ... < b_T at (1 - cos(pi t / T)) / 2,
    which lie closer together in the tails, where rare events live:

        e_t = min(1, max(0, (x - b_{t-1}) / (b_t - b_{t-1}))),   v = sum_t e_t V_t,

    This lets one linear layer learn any piecewise linear function of it. Beside v stand the number itself, z / sqrt(1 + (z/3)^2)
    with z = (x - median) / scale, and a flag where it was missing. Flags count only where training had missing values.

    Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features in Tabular Deep Learning, NeurIPS 2022; the squashing is
    that of Holzmueller, Grinsztajn, Steinwart: Better by Default, NeurIPS 2024.
    """

    low: Tensor  # (F, T), as the next
    inverse: Tensor
    median: Tensor  # (F,), as the rest
    scale: Tensor
    flagged: Tensor

    def __init__(self, x_NF: NDArray[np.float32]) -> None:
        super().__init__()
        count = x_NF.shape[1]
        low, inverse = np.zeros((count, BINS)), np.zeros((count, BINS))
        median, scale = np.zeros(count), np.ones(count)
        for column in range(count):
            present = x_NF[:, column]
            present = present[~np.isnan(present)].astype(np.float64)
            if not len(present):
                continue
            edges = np.unique(np.quantile(present, (1 - np.cos(np.pi * np.linspace(0, 1, BINS + 1))) / 2))
            bins = len(edges) - 1
            low[column, :bins], inverse[column, :bins] = edges[:-1], 1 / np.maximum(np.diff(edges), 1e-12)
            median[column], spread = np.median(present), np.subtract(*np.quantile(present, [0.75, 0.25]))
            scale[column] = next((s for s in (spread / 1.349, present.std()) if s > 0), 1.0)
        self.register_buffer("low", _tensor(low))
        self.register_buffer("inverse", _tensor(inverse))
        self.register_buffer("median", _tensor(median))
        self.register_buffer("scale", _tensor(scale))
        self.register_buffer("flagged", _tensor(np.asarray(np.isnan(x_NF).any(axis=0))))
        self.bins = nn.Embedding(count * BINS, SIZE)  # a vector per bin
        nn.init.normal_(self.bins.weight, std=BINS**-0.5)
        self.features = count * (SIZE + 2)

    def forward(self, x_BF: Tensor) -> Tensor:
        missing_BF = x_BF.isnan()
        x_BF = torch.where(missing_BF, self.median, x_BF)
        e_BFT = ((x_BF.unsqueeze(2) - self.low) * self.inverse).clamp(0, 1)
        v_BFE = torch.einsum("bft,fte->bfe", e_BFT, self.bins.weight.view(-1, BINS, SIZE))
        z_BF = ((x_BF - self.median) / self.scale).clamp(-1e6, 1e6)
        z_BF = z_BF / (1 + (z_BF / 3).square()).sqrt()
        return torch.cat([v_BFE.flatten(1), z_BF, missing_BF.float() * self.flagged], 1)


class Codes(nn.Module):
    """Categories as embeddings: (B, C) -> (B, sum of their sizes).

    A code that training never had is read as unseen, and a few codes are hidden as unseen in training, so that it has a meaning.
    """

    had_missing: Tensor  # (C,)

    def __init__(self, codes_NC: NDArray[np.int64], sizes: Sequence[int]) -> None:
        super().__init__()
        widths = [min(16, math.ceil(size**0.5)) for size in sizes]
        self.tables = nn.ModuleList([nn.Embedding(size, width) for size, width in zip(sizes, widths, strict=True)])
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=0.5)
        self.register_buffer("had_missing", torch.from_numpy(np.asarray((codes_NC == MISSING).any(axis=0))))
        self.features = sum(widths)

    def forward(self, codes_BC: Tensor) -> Tensor:
        codes_BC = torch.where((codes_BC < FIRST) & ~((codes_BC == MISSING) & self.had_missing), UNSEEN, codes_BC)
        if self.training:
            codes_BC = torch.where(torch.rand(codes_BC.shape, device=codes_BC.device) < HIDDEN_CODES, UNSEEN, codes_BC)
        return torch.cat([table(codes_BC[:, position]) for position, table in enumerate(self.tables)], 1)


class Vectors(nn.Module):
    """Vectors side by side: V arrays (B, D_v), NaN where missing -> (B, sum of D_v + V).

    Each element is standardised by the training part's mean and deviation and cut at 10 of them, 0 where it is missing; beside each
    vector stands the share of it that is missing.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self.names = tuple(arrays)
        for place, x_ND in enumerate(arrays.values()):
            known_ND = ~np.isnan(x_ND)
            count_D = np.maximum(known_ND.sum(axis=0), 1)
            mean_D = np.where(known_ND, x_ND, 0.0).sum(axis=0, dtype=np.float64) / count_D
            spread_D = np.sqrt(np.square(np.where(known_ND, x_ND - mean_D, 0.0)).sum(axis=0) / count_D)
            self.register_buffer(f"mean{place}", _tensor(mean_D))
            self.register_buffer(f"scale{place}", _tensor(np.where(spread_D > 0, spread_D, 1.0)))
        self.features = sum(x_ND.shape[1] + 1 for x_ND in arrays.values())

    def forward(self, arrays: Tensors) -> Tensor:
        parts: list[Tensor] = []
        for place, name in enumerate(self.names):
            missing_BD = arrays[name].isnan()
            z_BD = ((arrays[name] - self.get_buffer(f"mean{place}")) / self.get_buffer(f"scale{place}")).clamp(-10, 10)
            parts += [torch.where(missing_BD, 0.0, z_BD), missing_BD.float().mean(1, keepdim=True)]
        return torch.cat(parts, 1)


class ResidualLayers(nn.Module):
    """x + W2 drop(relu(W1 norm(x))): (B, D) -> (B, D). With a normalisation of the row, rows do not see each other."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.inner, self.outer = nn.Linear(features, features), nn.Linear(features, features)
        self.dropout = dropout

    def forward(self, x_BD: Tensor) -> Tensor:
        inner_BD = F.dropout(F.relu(self.inner(self.norm(x_BD))), self.dropout, self.training)
        return x_BD + self.outer(inner_BD)


class TableNet(nn.Module):
    """Embedded numbers and codes, standardised vectors -> linear -> residual layers -> norm, relu -> heads.

    Gorishniy, Rubachev, Khrulkov, Babenko: Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021.
    """

    def __init__(
        self,
        numbers: Numbers | None,
        codes: Codes | None,
        outputs: Sequence[Output],
        *,
        width: int,
        blocks: int,
        dropout: float,
        vectors: Vectors | None = None,
    ) -> None:
        super().__init__()
        self.numbers, self.codes, self.vectors, self.dropout = numbers, codes, vectors, dropout
        features = sum(part.features for part in (numbers, codes, vectors) if part is not None)
        self.entry = nn.Linear(features, width)
        self.body = nn.Sequential(*(ResidualLayers(width, dropout) for _ in range(blocks)), nn.LayerNorm(width), nn.ReLU())
        self.heads = Heads(width, outputs)

    def forward(self, arrays: Tensors) -> Tensors:
        parts: list[Tensor] = []
        if self.numbers is not None:
            parts.append(self.numbers(arrays["numbers"]))
        if self.codes is not None:
            parts.append(self.codes(arrays["codes"]))
        if self.vectors is not None:
            parts.append(self.vectors(arrays))
        return self.heads(self.body(self.entry(torch.cat(parts, 1))))


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
