"""The Transformer, written so that it exports with any number of rows and steps.

Legend of shapes: B rows, L steps, E features of a step, H heads, K features of a head (E = H K), P the most positions that are learned.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.blocks.steps import Body

Positions = Literal["rotary", "learned", "none"]
Feed = Literal["gelu", "swiglu"]


class Attention(nn.Module):
    """softmax(Q Kᵀ / sqrt(K)) V in H heads, over real steps only: (B, L, E) -> (B, L, E).

    With `rotary`, the pair (q_k, q_{k+K/2}) of a query or key at step l is turned by the angle l / 10000^{2k/K} first, so that products
    know distances and nothing else of positions (Su et al. 2021, "RoFormer"). Vaswani et al. 2017, "Attention is all you need".
    """

    rates: Tensor  # (K / 2,)

    def __init__(self, width: int, heads: int, rotary: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.rotary, self.dropout = heads, rotary, dropout
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        size = width // heads
        self.register_buffer("rates", 10_000.0 ** (-torch.arange(0, size, 2)[: size // 2] / size), persistent=False)

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        q_BHLK, k_BHLK, v_BHLK = (self._split(part) for part in self.project(x_BLE).chunk(3, 2))
        if self.rotary:
            cos_LK, sin_LK = self._angles(x_BLE)
            q_BHLK, k_BHLK = (rotated(part, cos_LK, sin_LK) for part in (q_BHLK, k_BHLK))
        dropout = self.dropout if self.training else 0.0
        # Each step may look at itself, so that no softmax is over nothing, whatever the mask.
        here_LL = torch.eye(x_BLE.shape[1], dtype=torch.bool, device=x_BLE.device)
        seen_B1LL = mask_BL[:, None, None, :] | here_LL
        made_BHLK = F.scaled_dot_product_attention(q_BHLK, k_BHLK, v_BHLK, attn_mask=seen_B1LL, dropout_p=dropout)
        return self.out(made_BHLK.transpose(1, 2).flatten(2))

    def _split(self, x_BLE: Tensor) -> Tensor:
        return x_BLE.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _angles(self, x_BLE: Tensor) -> tuple[Tensor, Tensor]:
        angle_LK = torch.arange(x_BLE.shape[1], device=x_BLE.device).float().unsqueeze(1) * self.rates
        return angle_LK.cos(), angle_LK.sin()


def rotated(x_BHLK: Tensor, cos_LK: Tensor, sin_LK: Tensor) -> Tensor:
    """Each pair of features of a step turned by its angle: (a cos - b sin, a sin + b cos). `cos_LK`: (L, K / 2)."""
    a, b = x_BHLK.chunk(2, 3)
    return torch.cat([a * cos_LK - b * sin_LK, a * sin_LK + b * cos_LK], 3).to(x_BHLK.dtype)


class FeedForward(nn.Module):
    """Two layers per step: W2 gelu(W1 x), or W2 (silu(W1 x) * W3 x) with two thirds of the inner width (Shazeer 2020, "GLU variants")."""

    def __init__(self, width: int, inner: int, feed: Feed, dropout: float) -> None:
        super().__init__()
        self.gated = feed == "swiglu"
        inner = max(8, inner * 2 // 3 // 8 * 8) if self.gated else inner
        self.enter, self.leave = nn.Linear(width, 2 * inner if self.gated else inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLE: Tensor) -> Tensor:
        x = self.enter(x_BLE)
        if self.gated:
            gate, value = x.chunk(2, 2)
            x = F.silu(gate) * value
        else:
            x = F.gelu(x)
        return self.leave(self.dropout(x))


class TransformerLayer(nn.Module):
    """x + Attention(norm(x)), then x + FeedForward(norm(x)): normalised first, which trains without warm-up tricks.

    Xiong et al. 2020, "On layer normalization in the Transformer architecture".
    """

    def __init__(self, width: int, heads: int, inner: int, rotary: bool, feed: Feed, dropout: float) -> None:
        super().__init__()
        self.attention, self.feed = Attention(width, heads, rotary, dropout), FeedForward(width, inner, feed, dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        x_BLE = x_BLE + self.dropout(self.attention(self.norms[0](x_BLE), mask_BL))
        return x_BLE + self.dropout(self.feed(self.norms[1](x_BLE)))


class Transformer(Body):
    """Layers of attention over the steps: (B, L, E) -> (B, L, E).

    Learned positions are a table of P vectors that are added first; steps beyond the longest row of training share the last of them.
    """

    def __init__(
        self, width: int, layers: int, heads: int, inner: int, *, positions: Positions, longest: int, feed: Feed, dropout: float
    ) -> None:
        super().__init__()
        self.width, self.longest = width, longest
        self.places = nn.Embedding(longest, width) if positions == "learned" else None
        if self.places is not None:
            nn.init.normal_(self.places.weight, std=0.02)
        self.layers = nn.ModuleList([TransformerLayer(width, heads, inner, positions == "rotary", feed, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BLE: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        if self.places is not None:
            place_L = torch.arange(x_BLE.shape[1], device=x_BLE.device).clamp(max=self.longest - 1)
            x_BLE = x_BLE + self.places(place_L)
        for layer in self.layers:
            x_BLE = layer(x_BLE, mask_BL)
        return self.norm(x_BLE) * mask_BL.unsqueeze(2), mask_BL
