"""How nets read tables: gaps filled, constants dropped, numbers put on a common scale, categories as signs, one-hot codes or places.

Nothing here is learned by gradients, so a training runs it once over the whole table; in the exported graph it stands before the net.

Legend of shapes: B rows, F numbers that vary, R further features, E embedded categories, C codes, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fermion.columns.column import Arrays
from fermion.columns.schema import Layout
from fermion.research.blocks import Tensors

QUANTILES = 200
ONE_HOT = 9  # categories of more levels are embedded
Scaling = Literal["robust", "normal"]


class Robust(nn.Module):
    """z = u / sqrt(1 + (u / 3)²) with u = (x - median) / (q75 - q25): (B, F) -> (B, F), about linear inside and between -3 and 3.

    Where the middle half is one value, the range takes the place of the quartiles' distance.
    Holzmueller, Grinsztajn, Steinwart: Better by Default, NeurIPS 2024.
    """

    median: Tensor  # (F,), as the next
    inverse: Tensor

    def __init__(self, x_NF: NDArray[np.float64]) -> None:
        super().__init__()
        low, middle, high = np.quantile(x_NF, [0.25, 0.5, 0.75], axis=0)
        spread = np.where(high > low, high - low, (x_NF.max(axis=0) - x_NF.min(axis=0)) / 2)
        self.register_buffer("median", _tensor(middle))
        self.register_buffer("inverse", _tensor(1 / spread))

    def forward(self, x_BF: Tensor) -> Tensor:
        u_BF = ((x_BF - self.median) * self.inverse).clamp(-1e6, 1e6)
        return u_BF / (1 + (u_BF / 3).square()).sqrt()


class Normal(nn.Module):
    """z = Phi^-1(share of the training part below x): (B, F) -> (B, F), for every number the same bell whatever its shape was.

    The share is piecewise linear between `QUANTILES` quantiles; a value that stands at several of them has their mean share.
    """

    edges: Tensor  # (F, Q), filled on the right with infinity; the next with the last value
    values: Tensor
    slopes: Tensor  # (F, Q), 0 before the first and after the last edge
    starts: Tensor  # (F,) where a column begins in the flattened tables

    def __init__(self, x_NF: NDArray[np.float64]) -> None:
        super().__init__()
        count = x_NF.shape[1]
        shares = np.linspace(0, 1, QUANTILES)
        edges = np.full((count, QUANTILES), np.inf)
        values, slopes = np.zeros((count, QUANTILES)), np.zeros((count, QUANTILES))
        for column in range(count):
            found = np.quantile(x_NF[:, column], shares).astype(np.float32).astype(np.float64)
            own, at = np.unique(found, return_inverse=True)
            share = np.bincount(at, shares) / np.bincount(at)
            z = torch.special.ndtri(torch.from_numpy(share.clip(0.5 / QUANTILES, 1 - 0.5 / QUANTILES))).numpy()
            edges[column, : len(own)], values[column] = own, z[-1]
            values[column, : len(own)] = z
            slopes[column, : len(own) - 1] = np.diff(z) / np.diff(own)
        for name, table in (("edges", edges), ("values", values), ("slopes", slopes)):
            self.register_buffer(name, _tensor(table))
        self.register_buffer("starts", torch.arange(count) * QUANTILES)

    def forward(self, x_BF: Tensor) -> Tensor:
        x_BF = torch.maximum(x_BF, self.edges[:, 0])
        at_BF = (x_BF.unsqueeze(2) >= self.edges).sum(2) - 1 + self.starts
        low_BF, z_BF, slope_BF = (table.flatten()[at_BF] for table in (self.edges, self.values, self.slopes))
        return z_BF + (x_BF - low_BF) * slope_BF


class Levels(nn.Module):
    """Codes -> places of the levels that the training part has, by frequency; the place after the last for all others. (B, C) -> (B, C)."""

    places: Tensor  # the tables of all columns, one after the other
    starts: Tensor  # (C,)

    def __init__(self, codes_NC: NDArray[np.int64], sizes: Sequence[int]) -> None:
        super().__init__()
        tables: list[NDArray[np.int64]] = []
        self.counts: list[int] = []
        for column, size in enumerate(sizes):
            seen = np.unique(codes_NC[:, column])
            table = np.full(size, len(seen), dtype=np.int64)
            table[seen] = np.arange(len(seen))
            tables.append(table)
            self.counts.append(len(seen))
        self.register_buffer("places", torch.from_numpy(np.concatenate(tables)))
        self.register_buffer("starts", torch.from_numpy(np.cumsum([0, *sizes[:-1]]).astype(np.int64)))

    def forward(self, codes_BC: Tensor) -> Tensor:
        return self.places[codes_BC + self.starts]


class TableInputs(nn.Module):
    """Encoded arrays -> `numbers` (B, F), `rest` (B, R) and `levels` (B, E): what the nets for tables begin with.

    A number is filled with its median, scaled, and has a flag in `rest` if it was ever missing in training; vectors are numbers. A
    category of two levels is -1 or 1, one of up to `ONE_HOT` a one-hot code, both in `rest`, where an unseen level is 0; one of more is
    a place for an embedding, `counts` of them and one more for what was never seen. What is constant in training is not read.

    Args:
        arrays: the training part.
        layout: what the arrays mean.
        scaling: of the numbers.
    """

    fill: Tensor  # (F,)
    varying: Tensor  # (F,) which numbers are read
    flagged: Tensor  # which numbers have a flag

    def __init__(self, arrays: Arrays, layout: Layout, scaling: Scaling) -> None:
        super().__init__()
        self.reads = readable(layout)
        self.vectors = tuple(name for name in self.reads if name not in ("numbers", "codes"))
        x_NF = self._numbers({name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in self.reads if name != "codes"})
        x_NF = np.zeros((len(next(iter(arrays.values()))), 0)) if x_NF is None else x_NF.numpy().astype(np.float64)
        missing_NF = np.isnan(x_NF)
        there = np.where(missing_NF.all(axis=0), 0.0, x_NF)  # a column without a value is constant
        median = np.nanmedian(there, axis=0) if x_NF.shape[1] else np.zeros(0)
        filled = np.where(np.isnan(there), median, there)
        varying = np.flatnonzero(filled.max(axis=0) > filled.min(axis=0)) if len(filled) else np.zeros(0, dtype=np.int64)
        flagged = np.flatnonzero(missing_NF.any(axis=0) & ~missing_NF.all(axis=0))
        self.register_buffer("fill", _tensor(median[varying]))
        self.register_buffer("varying", torch.from_numpy(varying))
        self.register_buffer("flagged", torch.from_numpy(flagged))
        self.scale = {"robust": Robust, "normal": Normal}[scaling](filled[:, varying]) if len(varying) else None
        self.levels = Levels(arrays["codes"], [ref.size for ref in layout.codes]) if layout.codes else None
        counts = list(enumerate(self.levels.counts)) if self.levels else []
        self.signs = [column for column, count in counts if count == 2]
        self.one_hot = [(column, count) for column, count in counts if 2 < count <= ONE_HOT]
        self.embedded = [column for column, count in counts if count > ONE_HOT]
        self.numbers = len(varying)
        self.rest = len(flagged) + len(self.signs) + sum(count for _, count in self.one_hot)
        self.counts = tuple(count for _, count in counts if count > ONE_HOT)

    def forward(self, arrays: Tensors) -> Tensors:
        made: Tensors = {}
        rest: list[Tensor] = []
        x_BF = self._numbers(arrays)
        if x_BF is not None:
            if len(self.flagged):
                rest.append(x_BF.index_select(1, self.flagged).isnan().float())
            if self.scale is not None:
                x_BF = x_BF.index_select(1, self.varying)
                made["numbers"] = self.scale(torch.where(x_BF.isnan(), self.fill, x_BF))
        if self.levels is not None:
            places_BC = self.levels(arrays["codes"])
            if self.signs:
                side_BS = places_BC[:, self.signs]
                rest.append(torch.where(side_BS == 2, torch.zeros(()), side_BS * 2.0 - 1.0))
            rest += [(places_BC[:, column].unsqueeze(1) == torch.arange(count)).float() for column, count in self.one_hot]
            if self.embedded:
                made["levels"] = places_BC[:, self.embedded]
        if rest:
            made["rest"] = torch.cat(rest, 1)
        return made

    def _numbers(self, arrays: Tensors) -> Tensor | None:
        found = [arrays["numbers"]] if "numbers" in arrays else []
        found += [arrays[name].flatten(1) for name in self.vectors]
        return torch.cat(found, 1) if len(found) > 1 else found[0] if found else None


class Whole(nn.Module):
    """A preparation and the net that was trained behind it, as one net that answers values within what the training part had.

    Args:
        inputs: the preparation.
        net: takes what it makes.
        limits: by array of a value, the least and the largest in training.
    """

    def __init__(self, inputs: nn.Module, net: nn.Module, limits: Mapping[str, tuple[float, float]]) -> None:
        super().__init__()
        self.inputs, self.net, self.limits = inputs, net, dict(limits)

    def forward(self, arrays: Tensors) -> Tensors:
        raw = self.net(self.inputs(arrays))
        return {name: value.clamp(*self.limits[name]) if name in self.limits else value for name, value in raw.items()}


class Places(nn.Module):
    """Places of levels -> their vectors side by side: (B, E) -> (B, E * size); the place after the last, never seen, is 0."""

    def __init__(self, counts: Sequence[int], size: int, std: float) -> None:
        super().__init__()
        self.counts, self.features = tuple(counts), size * len(counts)
        self.tables = nn.ModuleList([nn.Embedding(count + 1, size, padding_idx=count) for count in counts])
        for table, count in zip(self.tables, counts, strict=True):
            assert isinstance(table, nn.Embedding)
            with torch.no_grad():
                table.weight[:count] = std * torch.randn(count, size)

    def forward(self, levels_BE: Tensor) -> Tensor:
        return torch.cat([table(levels_BE[:, column]) for column, table in enumerate(self.tables)], 1)


def readable(layout: Layout) -> tuple[str, ...]:
    """The names of the arrays that these nets read, in order: numbers, codes and vectors."""
    vectors = [named.name for named in layout.arrays if named.slot.role == "vector"]
    return (*(["numbers"] if layout.numbers else []), *(["codes"] if layout.codes else []), *vectors)


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
