"""The net of `tabm` and the parts that it is made of.

Legend of shapes: B rows, F numbers, R further features, E embedded categories, T bins, H features per number, M members, D features,
K numbers of an output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.output import Output
from fermion.core.run import Run
from fermion.research.augment import Augmenting, Frame, Labels
from fermion.research.blocks import Tensors
from fermion.research.heads import head_of
from fermion.research.tableinputs import Places, TableInputs

BINS, FEATURES = 32, 8


class Piecewise(nn.Module):
    """A number as 8 piecewise linear functions of it: (B, F) -> (B, F * 8): v x + c + sum_t e_t V_t, with v, c and V of its own.

    e_t = min(1, max(0, (x - b_t) / (b_{t+1} - b_t))) between 33 quantiles b of the training part. V begins at 0: straight lines bend
    where that helps. Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features, NeurIPS 2022.
    """

    elementwise = True
    low: Tensor  # (F, T), as the next
    inverse: Tensor

    def __init__(self, x_NF: Tensor) -> None:
        super().__init__()
        count = x_NF.shape[1]
        low, inverse = torch.zeros(count, BINS), torch.zeros(count, BINS)
        for column in range(count):
            edges = np.unique(np.quantile(x_NF[:, column].numpy(), np.linspace(0, 1, BINS + 1)).astype(np.float32))
            bins = len(edges) - 1
            low[column, :bins], inverse[column, :bins] = torch.from_numpy(edges[:-1]), 1 / torch.from_numpy(np.diff(edges))
        self.register_buffer("low", low)
        self.register_buffer("inverse", inverse)
        bound = 1.0
        self.line = nn.Parameter((2 * torch.rand(count, FEATURES) - 1) * bound)
        self.shift = nn.Parameter((2 * torch.rand(count, FEATURES) - 1) * bound)
        self.bends = nn.Parameter(torch.zeros(count, BINS, FEATURES))
        self.features = count * FEATURES

    def forward(self, x_BF: Tensor) -> Tensor:
        x_BF1 = x_BF.unsqueeze(2)
        e_BFT = ((x_BF1 - self.low) * self.inverse).clamp(0, 1)
        bent_BFH = torch.einsum("bft,fth->bfh", e_BFT, self.bends)
        return (bent_BFH + x_BF1 * self.line + self.shift).flatten(1)


class Members(nn.Module):
    """What the members of an ensemble do not share: a scale of the inputs, (B, D) -> (B, M, D), and a bias of the first layer.

    A scale is one number of N(0, 1) per member and column of the table at first, the same for all features of the column.
    """

    elementwise = True

    def __init__(self, groups: Sequence[int], members: int, width: int) -> None:
        super().__init__()
        first = torch.randn(members, len(groups))
        self.scale = nn.Parameter(first.repeat_interleave(torch.tensor(groups), 1))
        bound = sum(groups) ** -0.5
        self.bias = nn.Parameter((2 * torch.rand(members, width) - 1) * bound)

    def forward(self, x_BD: Tensor) -> Tensor:
        return x_BD.unsqueeze(1) * self.scale


class MemberHeads(nn.Module):
    """A linear layer per member for all outputs: (B, M, D) -> (B, M, K)."""

    elementwise = True

    def __init__(self, features: int, members: int, size: int) -> None:
        super().__init__()
        bound = features**-0.5
        self.weight = nn.Parameter((2 * torch.rand(members, features, size) - 1) * bound)
        self.bias = nn.Parameter((2 * torch.rand(members, size) - 1) * bound)

    def forward(self, x_BMD: Tensor) -> Tensor:
        return torch.einsum("bmd,mdk->bmk", x_BMD, self.weight) + self.bias


class TabMNet(nn.Module):
    """An ensemble in one net: its members share all matrices but the last, and differ by a scale of the inputs, a bias and a head.

    In training the raw answers of the M members stand under each other, (B * M, K), for labels that `repeated` M times: the loss is the
    mean of the members' losses. Otherwise they are what stands for the mean of the members' answers (`Head.pooled`). Gorishniy, Kotelnikov,
    Babenko: TabM, ICLR 2025 (the variant TabM-mini).
    """

    def __init__(
        self, inputs: TableInputs, train: Tensors, outputs: Sequence[Output], *, members: int, width: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.members, self.dropout = members, dropout
        self.kinds = {output.array: head_of(output) for output in outputs}
        self.piecewise = Piecewise(train["numbers"]) if inputs.numbers else None
        self.places = Places(inputs.counts, FEATURES, std=1.0) if inputs.counts else None
        groups = [FEATURES] * inputs.numbers + [1] * inputs.rest + [FEATURES] * len(inputs.counts)
        self.own = Members(groups, members, width)
        self.entry = nn.Linear(sum(groups), width, bias=False)
        self.body = nn.ModuleList([nn.Linear(width, width) for _ in range(layers - 1)])
        self.sizes = [head.size for head in self.kinds.values()]
        self.heads = MemberHeads(width, members, sum(self.sizes))

    def forward(self, arrays: Tensors) -> Tensors:
        parts: list[Tensor] = []
        if self.piecewise is not None:
            parts.append(self.piecewise(arrays["numbers"]))
        if "rest" in arrays:
            parts.append(arrays["rest"])
        if self.places is not None:
            parts.append(self.places(arrays["levels"]))
        x_BMD = F.relu(self.entry(self.own(torch.cat(parts, 1))) + self.own.bias)
        for layer in self.body:
            x_BMD = F.relu(layer(F.dropout(x_BMD, self.dropout, self.training)))
        raw: Tensors = {}
        for (name, head), part_BMK in zip(self.kinds.items(), self.heads(x_BMD).split(self.sizes, 2), strict=True):
            each = part_BMK.squeeze(2) if head.shape == () else part_BMK.unflatten(2, head.shape)
            raw[name] = each.flatten(0, 1) if self.training else head.pooled(each)
        return raw


class Repeated(Augmenting):
    """Labels for nets whose M answers to each row stand under each other: every label M times in a row."""

    def __init__(self, members: int, outputs: Sequence[Output], run: Run) -> None:
        super().__init__((), Frame(outputs=tuple(outputs)), run)
        self.members = members

    def __call__(self, arrays: Tensors, labels: tuple[Labels, ...]) -> tuple[Tensors, tuple[Labels, ...]]:
        """The same arrays, and labels of M rows for each."""
        return arrays, tuple(
            Labels(
                targets={name: target.repeat_interleave(self.members, 0) for name, target in one.targets.items()},
                weights=None if one.weights is None else one.weights.repeat_interleave(self.members, 0),
            )
            for one in labels
        )
