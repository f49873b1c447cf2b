"""The net of `ft` and the parts that it is made of.

Legend of shapes: B rows, F numbers, R further features, E embedded categories, T tokens, D features of a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.output import Output
from fermion.research.blocks import Heads, Tensors
from fermion.research.tableinputs import TableInputs


class Tokens(nn.Module):
    """Every feature as a token: (B, F), (B, R), (B, E) -> (B, 1 + F + R + E, D); x w + b for a number, a row of a table for a level.

    The first token is learned and reads the others: the answer is made of what it has become.
    """

    elementwise = True

    def __init__(self, inputs: TableInputs, features: int) -> None:
        super().__init__()
        count, bound = inputs.numbers + inputs.rest, features**-0.5
        self.weight = nn.Parameter((2 * torch.rand(count, features) - 1) * bound)
        self.bias = nn.Parameter((2 * torch.rand(count + len(inputs.counts), features) - 1) * bound)
        self.answer = nn.Parameter((2 * torch.rand(features) - 1) * bound)
        self.tables = nn.ModuleList([nn.Embedding(count + 1, features, padding_idx=count) for count in inputs.counts])
        for table, count in zip(self.tables, inputs.counts, strict=True):
            assert isinstance(table, nn.Embedding)
            with torch.no_grad():
                table.weight[:count] = (2 * torch.rand(count, features) - 1) * bound

    def forward(self, arrays: Tensors) -> Tensor:
        tokens: list[Tensor] = []
        numbers = [arrays[name] for name in ("numbers", "rest") if name in arrays]
        if numbers:
            tokens.append(torch.cat(numbers, 1).unsqueeze(2) * self.weight)
        tokens += [table(arrays["levels"][:, column]).unsqueeze(1) for column, table in enumerate(self.tables)]
        x_BTD = torch.cat(tokens, 1) + self.bias
        return torch.cat([self.answer.expand(x_BTD.shape[0], 1, -1), x_BTD], 1)


class Attending(nn.Module):
    """One layer of a transformer, normalised first: (B, T, D) -> (B, T, D), or (B, 1, D) where only the first token is `asked`.

        x <- x + drop(attention(norm(x))),   x <- x + W2 drop(a relu(b)) with (a, b) = W1 norm(x)

    Vaswani et al.: Attention is all you need, NeurIPS 2017; Shazeer: GLU variants improve transformer, 2020.
    """

    def __init__(self, features: int, heads: int, dropout: float, *, asked: bool) -> None:
        super().__init__()
        self.heads, self.dropout, self.asked = heads, dropout, asked
        inner = features * 4 // 3
        self.norm, self.second = nn.LayerNorm(features), nn.LayerNorm(features)
        self.query, self.pair, self.mix = nn.Linear(features, features), nn.Linear(features, 2 * features), nn.Linear(features, features)
        self.inner, self.outer = nn.Linear(features, 2 * inner), nn.Linear(inner, features)

    def forward(self, x_BTD: Tensor) -> Tensor:
        normed_BTD = self.norm(x_BTD)
        if self.asked:
            x_BTD = x_BTD[:, :1]
        queries = self._split(self.query(normed_BTD[:, :1] if self.asked else normed_BTD))
        keys, values = (self._split(part) for part in self.pair(normed_BTD).chunk(2, 2))
        seen = F.scaled_dot_product_attention(queries, keys, values, dropout_p=self.dropout if self.training else 0.0)
        x_BTD = x_BTD + self.mix(seen.transpose(1, 2).flatten(2))
        value, gate = self.inner(self.second(x_BTD)).chunk(2, 2)
        return x_BTD + self.outer(F.dropout(value * F.relu(gate), self.dropout, self.training))

    def _split(self, x_BTD: Tensor) -> Tensor:
        features = x_BTD.shape[2]
        return x_BTD.unflatten(2, (self.heads, features // self.heads)).transpose(1, 2)


class FtNet(nn.Module):
    """Tokens -> layers of attention, the last for the first token alone -> norm, relu -> heads.

    Gorishniy, Rubachev, Khrulkov, Babenko: Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021.
    """

    def __init__(self, inputs: TableInputs, outputs: Sequence[Output], *, features: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.tokens = Tokens(inputs, features)
        self.body = nn.Sequential(*(Attending(features, heads, dropout, asked=place == layers - 1) for place in range(layers)))
        self.norm = nn.LayerNorm(features)
        self.heads = Heads(features, outputs)

    def forward(self, arrays: Tensors) -> Tensors:
        return self.heads(F.relu(self.norm(self.body(self.tokens(arrays))[:, 0])))
