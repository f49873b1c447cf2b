"""Rows as batches of tensors: which rows come together, how much each counts, and how long the longest of them is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.research.exhaustion import exhausted
from fermion.research.model import Encoded

Tensors = dict[str, Tensor]
WINDOW = 50  # batches among whose rows those of similar length come together


class Batches:
    """Row numbers in batches, for ever: a new permutation for each pass; the rows that fill no batch wait for the next pass.

    Args:
        count: rows.
        batch: rows of a batch, all of them where there are fewer.
        seed: of the permutations.
        chances: (N,) how often a row is drawn, with replacement, instead of once per pass.
        lengths: (N,) of the rows. Batches are then made of rows of similar length: each 50 batches' worth of a permutation is
            sorted by length, and the batches come in an order of their own.

    >>> batches = Batches(10, 4, seed=1)
    >>> len(set(batches.next().tolist() + batches.next().tolist()))
    8
    """

    def __init__(
        self, count: int, batch: int, seed: int, *, chances: NDArray[Any] | None = None, lengths: NDArray[Any] | None = None
    ) -> None:
        self.count, self.batch = count, min(batch, count)
        self.reached = None if chances is None else torch.from_numpy(np.cumsum(np.asarray(chances, dtype=np.float64)))
        self.lengths = None if lengths is None else torch.from_numpy(np.asarray(lengths, dtype=np.int64))
        self.generator = torch.Generator().manual_seed(seed)
        self.before, self.order, self.at = self.generator.get_state(), torch.empty(0, dtype=torch.int64), 0

    def next(self) -> Tensor:
        """(B,) the rows of the next batch."""
        if self.at + self.batch > len(self.order):
            self.before, self.at = self.generator.get_state(), 0
            self.order = self._pass()
        self.at += self.batch
        return self.order[self.at - self.batch : self.at]

    def _pass(self) -> Tensor:
        if self.reached is None:
            order = torch.randperm(self.count, generator=self.generator)
        else:  # `torch.multinomial` ends at 16 million rows
            drawn = torch.rand(self.count, generator=self.generator, dtype=torch.float64) * self.reached[-1]
            order = torch.searchsorted(self.reached, drawn, right=True).clamp(max=self.count - 1)
        if self.lengths is None:
            return order
        whole = order[: self.count - self.count % self.batch]
        batches = torch.cat([some[self.lengths[some].argsort(stable=True)] for some in whole.split(WINDOW * self.batch)]).view(
            -1, self.batch
        )
        return batches[torch.randperm(len(batches), generator=self.generator)].flatten()

    def state_dict(self) -> dict[str, Any]:
        """Where it is: what the random numbers were before this pass, and how far the pass has come."""
        return {"before": self.before, "at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The batches go on from there."""
        self.generator.set_state(state["before"].cpu())
        if state["at"]:
            self.before, self.order = self.generator.get_state(), self._pass()
        self.at = state["at"]


class Lengths(Struct, frozen=True, kw_only=True):
    """How long each row is in each column whose arrays are as long as the longest row.

    `rows`: (N,) int64 by column, up to the last real step. `arrays`: by column, those that have a step per entry of axis 1.
    """

    rows: dict[str, NDArray[np.int64]]
    arrays: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> Lengths:
        """What the masks among the arrays say. Arrays that are not there, and columns without a mask, are left alone.

        The longest of all rows counts for at least one step, so that no batch becomes empty.
        """
        rows: dict[str, NDArray[np.int64]] = {}
        tied: dict[str, tuple[str, ...]] = {}
        for mask in schema.layout.arrays:
            if mask.slot.role == "mask" and mask.name in arrays:
                mask_NL = np.asarray(arrays[mask.name], dtype=bool)
                steps = mask_NL.shape[1] - np.argmax(mask_NL[:, ::-1], axis=1) if mask_NL.shape[1] else np.zeros(len(mask_NL))
                rows[mask.field] = np.where(mask_NL.any(axis=1), steps, 1).astype(np.int64)
                tied[mask.field] = tuple(
                    one.name
                    for one in schema.layout.arrays
                    if one.field == mask.field and one.slot.shape[:1] == (None,) and one.name in arrays
                )
        return cls(rows=rows, arrays=tied)

    @property
    def together(self) -> NDArray[np.int64] | None:
        """(N,) the lengths of all columns added up, None where no column varies."""
        return np.sum(list(self.rows.values()), axis=0) if self.rows else None

    def of_rows(self, chosen: NDArray[np.int64]) -> dict[str, int]:
        """By array: how long the longest of the chosen rows is."""
        longest = {field: int(lengths_N[chosen].max()) for field, lengths_N in self.rows.items()} if len(chosen) else {}
        return {name: steps for field, steps in longest.items() for name in self.arrays[field]}


def gathered(arrays: Tensors, chosen: Tensor, lengths: Lengths | None = None) -> Tensors:
    """The chosen rows of all arrays, those of varying length as long as their longest. `chosen` is on the CPU."""
    longest = {} if lengths is None or not lengths.rows else lengths.of_rows(chosen.numpy())
    made: Tensors = {}
    for name, array in arrays.items():
        steps = longest.get(name)
        part = array if steps is None or steps >= array.shape[1] else array.narrow(1, 0, steps)
        made[name] = part.index_select(0, chosen.to(array.device))
    return made


@torch.no_grad()
def predict_raw(net: nn.Module, arrays: Tensors, batch: int = 512, lengths: Lengths | None = None) -> Tensors:
    """Raw outputs of all rows in float32, batch by batch, in evaluation mode.

    With `lengths`, rows of similar length are answered together, without the padding that only longer ones need. Outputs with an
    entry per step are filled up to the longest with 0. Where the memory is too small for a batch, it goes on with half of it.
    """
    net.eval()
    count = len(next(iter(arrays.values())))
    together = None if lengths is None else lengths.together
    order = None if together is None or not count else torch.from_numpy(np.argsort(together, kind="stable"))
    parts: list[Tensors] = []
    at = 0
    while at < max(count, 1):
        till = at + batch
        try:
            some = {name: array[at:till] for name, array in arrays.items()} if order is None else gathered(arrays, order[at:till], lengths)
            parts.append(net(some))
            at = till
        except (RuntimeError, MemoryError) as failed:
            if batch == 1 or not exhausted(failed):
                raise
            batch = -(-min(batch, count) // 2)
    if order is None:
        return {name: torch.cat([part[name].float() for part in parts]) for name in parts[0]}
    back = torch.empty_like(order)
    back[order] = torch.arange(count)
    made: Tensors = {}
    for name in parts[0]:
        each = [part[name].float() for part in parts]
        if each[0].ndim > 1 and len({part.shape[1] for part in each}) > 1:  # a step per entry
            steps = max(part.shape[1] for part in each)
            each = [nn.functional.pad(part, (*([0, 0] * (part.ndim - 2)), 0, steps - part.shape[1])) for part in each]
        whole = torch.cat(each)
        made[name] = whole.index_select(0, back.to(whole.device))
    return made


def tensors(rows: Encoded, device: torch.device) -> tuple[Tensors, Tensors]:
    """Arrays and targets as tensors on the device, without a copy where they are there already; values become float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of arrays that are read-only; nothing here writes to them
        arrays = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in rows.arrays.items()}
        targets = {
            name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64 if array.dtype.kind in "iu" else np.float32)).to(device)
            for name, array in rows.targets.items()
        }
    return arrays, targets


def row_weights(rows: Encoded, balance: bool, device: torch.device) -> Tensor | None:
    """(N,) weights with mean 1, or None: the table's own, times N / (K n_k) for a row of class k where the classes are balanced."""
    if rows.weights is None and not balance:
        return None
    w_N = np.ones(len(rows)) if rows.weights is None else np.asarray(rows.weights, dtype=np.float64)
    for output in rows.outputs:
        if balance and isinstance(output, Probability):
            codes = rows.targets[output.target]
            counts = np.bincount(codes[codes >= 0], minlength=len(output.classes))
            w_N = w_N * np.where(codes >= 0, 1.0 / np.maximum(counts, 1)[codes], 0.0)
    mean = float(w_N.mean()) if len(w_N) else 0.0
    if not mean > 0:
        return None
    return torch.from_numpy((w_N / mean).astype(np.float32)).to(device)


def balanced_chances(rows: Encoded) -> NDArray[np.float64] | None:
    """(N,) chances with which every class of the first target that has classes is drawn equally often; None without such a target.

    A row without a label there is drawn as often as the mean row.
    """
    for output in rows.outputs:
        if isinstance(output, Probability):
            codes_N = rows.targets[output.target]
            counts_K = np.bincount(codes_N[codes_N >= 0], minlength=len(output.classes))
            classes = max(1, int((counts_K > 0).sum()))
            return np.where(codes_N >= 0, 1.0 / (classes * np.maximum(counts_K, 1)[codes_N]), 1.0 / max(1, len(codes_N)))
    return None
