"""The net of `realmlp` and the parts that it is made of.

Legend of shapes: B rows, F numbers, R further features, E embedded categories, D features, P frequencies, H features per number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.output import Output
from fermion.research.blocks import Heads, Tensors
from fermion.research.tableinputs import Places, TableInputs

FREQUENCIES, FEATURES = 16, 4  # cosines per number, and features that it becomes, itself among them
EMBEDDING = 8
POOL = 2**21  # random numbers that the masks of a dropout are cut from


class Periodic(nn.Module):
    """A number as itself and 3 mixtures of 16 waves: (B, F) -> (B, F * 4): (x, W cos(2 pi (f x + b)) + c), with f, b, W, c of its own.

    Frequencies begin at N(0, 0.1²), so that the waves are long at first and the net smooth. Gorishniy et al.: On Embeddings for
    Numerical Features, NeurIPS 2022, as in Holzmueller et al. 2024 (PBLD).
    """

    elementwise = True  # tables by number, not matrices: Muon is not for them

    def __init__(self, count: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(0.1 * torch.randn(count, FREQUENCIES))
        self.phase = nn.Parameter(torch.rand(count, FREQUENCIES) - 0.5)
        bound = FREQUENCIES**-0.5
        self.mix = nn.Parameter((2 * torch.rand(count, FREQUENCIES, FEATURES - 1) - 1) * bound)
        self.shift = nn.Parameter((2 * torch.rand(count, FEATURES - 1) - 1) * bound)
        self.features = count * FEATURES

    def forward(self, x_BF: Tensor) -> Tensor:
        waves_BFP = (2 * math.pi * (x_BF.unsqueeze(2) * self.frequency + self.phase)).cos()
        mixed_BFH = torch.einsum("bfp,fph->bfh", waves_BFP, self.mix) + self.shift
        return torch.cat([x_BF.unsqueeze(2), mixed_BFH], 2).flatten(1)


class Neural(nn.Module):
    """y = W x / sqrt(D) + b with W and b from N(0, 1): (B, D) -> (B, O). Steps move it alike at every width (Jacot et al. 2018)."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, features))
        self.bias = nn.Parameter(torch.randn(out))
        self.share = features**-0.5

    def forward(self, x_BD: Tensor) -> Tensor:
        return F.linear(x_BD, self.weight * self.share, self.bias)


class Pooled(nn.Module):
    """Dropout whose masks are cut from one pool of random numbers at a random place: a fresh mask costs a fifth of the layer itself."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.pool = torch.zeros(0)

    def forward(self, x_BD: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x_BD
        count = x_BD.numel()
        if len(self.pool) < 2 * count or self.pool.device != x_BD.device:
            kept = torch.rand(max(POOL, 2 * count), device=x_BD.device) >= self.share
            self.pool = kept.float() / (1 - self.share)
        at = int(torch.randint(len(self.pool) - count, ()))
        return x_BD * self.pool[at : at + count].view_as(x_BD)

    def __deepcopy__(self, memo: dict[int, object]) -> Pooled:
        return Pooled(self.share).train(self.training)  # an exported copy needs no pool


class RealMlpNet(nn.Module):
    """Periodic numbers, signs and one-hot codes, embeddings -> a learned scale per input -> layers with SiLU and dropout -> heads of 0.

    Holzmueller, Grinsztajn, Steinwart: Better by Default, NeurIPS 2024.
    """

    def __init__(self, inputs: TableInputs, outputs: Sequence[Output], *, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.periodic = Periodic(inputs.numbers) if inputs.numbers else None
        self.places = Places(inputs.counts, EMBEDDING, std=1.0) if inputs.counts else None
        features = inputs.rest + sum(part.features for part in (self.periodic, self.places) if part is not None)
        self.scale = nn.Parameter(torch.ones(features))
        body: list[nn.Module] = []
        for position in range(layers):
            body += [Neural(width if position else features, width), nn.SiLU(), Pooled(dropout)]
        self.body = nn.Sequential(*body)
        last = width if layers else features
        self.heads, self.share = Heads(last, outputs), last**-0.5
        for part in self.heads.modules():
            if isinstance(part, nn.Linear):
                for weight in part.parameters():
                    nn.init.zeros_(weight)

    def forward(self, arrays: Tensors) -> Tensors:
        parts: list[Tensor] = []
        if self.periodic is not None:
            parts.append(self.periodic(arrays["numbers"]))
        if "rest" in arrays:
            parts.append(arrays["rest"])
        if self.places is not None:
            parts.append(self.places(arrays["levels"]))
        return self.heads(self.body(torch.cat(parts, 1) * self.scale) * self.share)
