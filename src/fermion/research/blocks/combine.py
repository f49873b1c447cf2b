"""What the encoders say about a row -> one vector.

Legend of shapes: B rows, C columns, D features of a column's vector, L steps, E features of a step, W width, Q queries, T tokens, H heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.blocks.attention import FeedForward
from fermion.research.blocks.encoding import Encoding, Stepwise


class Said(NamedTuple):
    """What one encoder says: a vector (B, D) and, where it knows steps, those (B, L, E) with their mask (B, L)."""

    vector: Tensor
    steps: Tensor | None = None
    mask: Tensor | None = None


class Combining(nn.Module, ABC):
    """One `Said` per column, in order -> (B, `features`)."""

    features: int

    @abstractmethod
    def forward(self, said: Sequence[Said]) -> Tensor:
        """(B, features)."""
        ...


class Concatenated(Combining):
    """The vectors side by side: v = (v_1, ..., v_C)."""

    def __init__(self, encodings: Sequence[Encoding]) -> None:
        super().__init__()
        self.features = sum(encoding.features for encoding in encodings)

    def forward(self, said: Sequence[Said]) -> Tensor:
        return torch.cat([one.vector for one in said], 1)


class Gated(Combining):
    """A mean of the columns whose weights go by the row: v = C sum_c a_c h_c, h_c = tanh(W_c norm(v_c)), a = softmax(G (h_1, ..., h_C)).

    A column that says nothing in a row, a missing text, can be passed over there and count elsewhere. After Arevalo et al. 2017, "Gated
    multimodal units for information fusion", with a softmax in place of the single gates.
    """

    def __init__(self, encodings: Sequence[Encoding], width: int) -> None:
        super().__init__()
        self.features = width
        self.enter = nn.ModuleList([nn.Sequential(nn.LayerNorm(one.features), nn.Linear(one.features, width)) for one in encodings])
        self.gates = nn.Linear(len(encodings) * width, len(encodings))

    def forward(self, said: Sequence[Said]) -> Tensor:
        h_BCW = torch.stack([torch.tanh(enter(one.vector)) for enter, one in zip(self.enter, said, strict=True)], 1)
        a_BC = self.gates(h_BCW.flatten(1)).softmax(1)
        return len(said) * (a_BC.unsqueeze(2) * h_BCW).sum(1)


class CrossAttention(Combining):
    """Q learned questions to everything that is known of a row: its columns' vectors and all their steps, as tokens of width W.

        z_q = u_q + Attention(norm(u_q) -> tokens),  v = (z_q + FeedForward(norm(z_q)))_q

    Each column adds a learned vector to its tokens, so that questions can tell columns apart. Jaegle et al. 2021, "Perceiver".
    """

    def __init__(self, encodings: Sequence[Encoding], width: int, queries: int, heads: int) -> None:
        super().__init__()
        self.features, self.heads = queries * width, heads
        self.vectors = nn.ModuleList([nn.Sequential(nn.LayerNorm(one.features), nn.Linear(one.features, width)) for one in encodings])
        self.steps = nn.ModuleList([_entered(one, width) for one in encodings])
        self.columns = nn.Parameter(torch.randn(2 * len(encodings), width) * 0.1)
        self.questions = nn.Parameter(torch.randn(queries, width))
        self.norm = nn.LayerNorm(width)
        self.ask, self.offer, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.feed, self.last = FeedForward(width, 2 * width, "gelu", 0.0), nn.LayerNorm(width)

    def forward(self, said: Sequence[Said]) -> Tensor:
        tokens: list[Tensor] = []
        masks: list[Tensor] = []
        for position, one in enumerate(said):
            tokens.append((self.vectors[position](one.vector) + self.columns[2 * position]).unsqueeze(1))
            masks.append(torch.ones_like(one.vector[:, :1], dtype=torch.bool))
            if one.steps is not None and one.mask is not None:
                tokens.append(self.steps[position](one.steps) + self.columns[2 * position + 1])
                masks.append(one.mask)
        x_BTW, mask_BT = torch.cat(tokens, 1), torch.cat(masks, 1)
        k_BHTK, v_BHTK = (self._split(part) for part in self.offer(x_BTW).chunk(2, 2))
        u_BQW = self.questions.unsqueeze(0) + torch.zeros_like(x_BTW[:, :1])  # as many as there are rows
        q_BHQK = self._split(self.ask(self.norm(u_BQW)))
        made_BHQK = F.scaled_dot_product_attention(q_BHQK, k_BHTK, v_BHTK, attn_mask=mask_BT[:, None, None, :])
        z_BQW = u_BQW + self.out(made_BHQK.transpose(1, 2).flatten(2))
        return (z_BQW + self.feed(self.last(z_BQW))).flatten(1)

    def _split(self, x_BTW: Tensor) -> Tensor:
        return x_BTW.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _entered(encoding: Encoding, width: int) -> nn.Module:
    return nn.Linear(encoding.width, width) if isinstance(encoding, Stepwise) else nn.Identity()
