"""One step of a training: a batch of rows in, its loss out, the weights moved."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fermion.core.errors import FermionError, Told
from fermion.research import memory
from fermion.research.augment import Augmenting, Labels
from fermion.research.batches import Batches, Lengths, Tensors, balanced_chances, gathered, row_weights, tensors
from fermion.research.exhaustion import exhausted
from fermion.research.losses import total_loss
from fermion.research.model import Encoded
from fermion.research.own_loss import OwnLoss
from fermion.research.precision import Precision
from fermion.research.recipe import Recipe

RENEWED = 16  # batches whose rows give a mean net its statistics


class Stepper:
    """Moves the weights of a net by the rows of a batch.

    A batch goes through the net in as few parts as the memory allows, and the gradients of the parts add up to that of the whole. When
    memory runs out all the same, the parts become half as large and the step is done again.

    Args:
        optimizers: hold the weights of the net.
        augment: what the rows go through before the net reads them.
        own: losses of the project's own, by target.
    """

    def __init__(
        self,
        net: nn.Module,
        rows: Encoded,
        recipe: Recipe,
        device: torch.device,
        optimizers: Sequence[torch.optim.Optimizer],
        augment: Augmenting | None = None,
        own: Mapping[str, OwnLoss] | None = None,
    ) -> None:
        self.net, self.outputs, self.recipe, self.device = net, rows.outputs, recipe, device
        self.optimizers, self.augment, self.own = optimizers, augment, own
        self.data, self.targets = tensors(rows, device)
        self.lengths = Lengths.of(rows.schema, rows.arrays)
        self.weights = row_weights(rows, recipe.balance, device)
        self.known = {output.target: torch.from_numpy(np.asarray(output.known(rows.targets[output.target]))) for output in rows.outputs}
        self.learning = [w for w in net.parameters() if w.requires_grad]
        self.clip, self.focal = recipe.way.clip, recipe.training.focal
        self.precision = Precision(recipe.precision, device)
        self.notes: list[str] = []
        rows_at_once = memory.rows_at_once(net, self.data, recipe.batch, device, self.lengths)
        self.at_once = min(rows_at_once, recipe.batch)
        if self.at_once < recipe.batch:
            self.notes.append(f"The memory allows {self.at_once:,} rows at a time of the {recipe.batch:,} of a batch.")

    def batches(self, rows: Encoded, seed: int) -> Batches:
        """The order in which rows are learned from, as the recipe wants it."""
        training = self.recipe.training
        chances = balanced_chances(rows) if training.sampling == "balanced" else None
        return Batches(
            len(rows), self.recipe.rows_per_step, seed, chances=chances, lengths=self.lengths.together if training.bucket else None
        )

    def take(self, rows_B: Tensor, step: int) -> Tensor:
        """The mean loss of the rows, before the weights move by it.

        Raises:
            FermionError: not even two rows fit into the memory.
        """
        drawn = None if self.augment is None else self.augment.batches
        while True:
            try:
                with self.precision.step(step):
                    return self._take(rows_B, step)
            except (RuntimeError, MemoryError) as failed:
                if not exhausted(failed):
                    raise
                self._halve(rows_B, failed)
            if self.augment is not None and drawn is not None:
                self.augment.batches = drawn

    def _take(self, rows_B: Tensor, step: int) -> Tensor:
        if not self.net.training:  # a look was before
            self.net.train()
        count = -(-len(rows_B) // self.at_once)
        parts = rows_B.tensor_split(count) if count > 1 else (rows_B,)  # of nearly equal size: a single row has no statistics
        known = {name: there[rows_B].sum().clamp(min=1) for name, there in self.known.items()} if count > 1 else {}
        losses: list[Tensor] = []
        for chosen in parts:
            shares = {name: self.known[name][chosen].sum() / whole for name, whole in known.items()}
            loss = self._loss(chosen, step, shares or None)
            self.precision.backward(loss)
            losses.append(loss.detach())
        self.precision.move(self.optimizers, self.learning, self.clip)
        return losses[0] if count == 1 else torch.stack(losses).sum()

    def _loss(self, chosen: Tensor, step: int, shares: Tensors | None) -> Tensor:
        batch, there = gathered(self.data, chosen, self.lengths), chosen.to(self.device)
        truth = {name: array.index_select(0, there) for name, array in self.targets.items()}
        labels = (Labels(targets=truth, weights=None if self.weights is None else self.weights.index_select(0, there)),)
        with self.precision.autocast(step):
            if self.augment is not None:
                batch, labels = self.augment(batch, labels)
            raw = self.net(batch)
        each = [  # one truth, or several that were mixed
            total_loss(self.outputs, raw, part.targets, part.weights, self.recipe.smoothing, focal=self.focal, own=self.own, shares=shares)
            for part in labels
        ]
        return each[0] if len(each) == 1 else torch.stack(each).sum()

    def renewing(self) -> list[Tensors]:
        """Training rows in batches, evenly spaced, for statistics of mean weights."""
        count, size = len(next(iter(self.data.values()))), self.at_once
        some = torch.linspace(0, count - 1, min(count, RENEWED * size), dtype=torch.float64).round().long()
        return [gathered(self.data, part, self.lengths) for part in some.tensor_split(max(1, -(-len(some) // size)))]

    def _halve(self, rows_B: Tensor, failed: Exception) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        size = min(self.at_once, len(rows_B))
        if size <= 2:
            raise FermionError(
                "the memory",
                rule="enough for two rows of a batch",
                given=Told(str(failed).splitlines()[0][:200]),
                remedy="Use a smaller net, or shorter rows.",
            ) from failed
        self.at_once = -(-size // 2)
        with contextlib.suppress(RuntimeError):
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        told = f"The memory was too small for {size:,} rows at once: batches go through the net {self.at_once:,} rows at a time."
        self.notes = [*(note for note in self.notes if "at a time" not in note), told]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        drawn = 0 if self.augment is None else self.augment.batches
        return {"precision": self.precision.state_dict(), "at_once": self.at_once, "notes": self.notes, "drawn": drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was."""
        self.precision.load_state_dict(state["precision"])
        self.at_once, self.notes = state["at_once"], state["notes"]
        if self.augment is not None:
            self.augment.batches = state["drawn"]
