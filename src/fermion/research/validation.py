"""Looks at the validation part while a net learns, and keeps the best weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fermion.columns.output import UNLABELLED, Probability
from fermion.core.run import Run
from fermion.research.batches import Lengths, predict_raw, row_weights, tensors
from fermion.research.heads import head_of
from fermion.research.losses import total_loss
from fermion.research.model import Curve, Encoded
from fermion.research.own_loss import OwnLoss
from fermion.research.targets import labelled

Points = list[tuple[int, float]]


class Check:
    """Looks at the validation part now and then, remembers the best weights and counts how long there were no better ones.

    Args:
        looks: how often, at the most.
        patience: looks without a lower loss after which `patience_over`; 0 for never.
        at_once: rows per forward pass.
        own: losses of the project's own, by target.
    """

    def __init__(
        self,
        net: nn.Module,
        valid: Encoded,
        device: torch.device,
        *,
        looks: int = 20,
        patience: int = 0,
        balance: bool = False,
        smoothing: float = 0.0,
        at_once: int = 512,
        own: Mapping[str, OwnLoss] | None = None,
    ) -> None:
        self.net, self.valid, self.looks, self.patience = net, valid, looks, patience
        self.smoothing, self.at_once, self.own = smoothing, at_once, own
        self.arrays, self.targets = tensors(valid, device)
        self.lengths = Lengths.of(valid.schema, valid.arrays)
        self.weights = row_weights(valid, balance, device)
        self.useful = any(len(labelled(output, valid)) for output in valid.outputs)
        self.best, self.best_step, self.looked, self.since = math.inf, 0, 0, 0
        self.kept: dict[str, Tensor] = {}
        self.points: dict[str, Points] = {}

    def evaluations(self, trained_rows: int) -> int:
        """As many as asked for, at least 4, fewer where they would cost over a tenth of the training (a step is 3 forward passes)."""
        return max(4, min(self.looks, int(0.3 * trained_rows / max(1, len(self.valid)))))

    @property
    def patience_over(self) -> bool:
        """Whether there was no lower loss for too long."""
        return 0 < self.patience <= self.since

    def look(self, step: int, run: Run, stage: str) -> float:
        """Evaluate now; returns the loss."""
        self.looked = step
        values = self._values() if self.useful else {"validation loss": -float(step)}
        loss = values["validation loss"]
        self.since += 1
        if loss < self.best or not self.kept:
            self.best, self.best_step, self.since = loss, step, 0
            self.kept = {name: tensor.detach().clone() for name, tensor in self.net.state_dict().items()}
        if self.useful:
            for name, value in values.items():
                self.points.setdefault(name, []).append((step, value))
            told: dict[str, Any] = {name.replace(" ", "_"): value for name, value in values.items()}
            run.emit("metric", stage, done=step, **told)
        return loss

    def restore(self) -> None:
        """The best weights into the net."""
        self.net.load_state_dict(self.kept)
        self.kept = {}

    def curves(self) -> tuple[Curve, ...]:
        """The loss and the accuracies over the steps."""
        return tuple(curve(name, points) for name, points in self.points.items())

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        names = ("best", "best_step", "looked", "since", "kept", "points")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was."""
        for name, value in state.items():
            setattr(self, name, value)

    def _values(self) -> dict[str, float]:
        raw = predict_raw(self.net, self.arrays, self.at_once, self.lengths)
        values = {"validation loss": float(total_loss(self.valid.outputs, raw, self.targets, self.weights, self.smoothing, own=self.own))}
        for output in self.valid.outputs:
            if isinstance(output, Probability):
                codes = self.targets[output.target]
                known = codes != UNLABELLED
                name = "validation accuracy" if len(self.valid.outputs) == 1 else f"validation accuracy of {output.target}"
                values[name] = float((head_of(output).answer(raw[output.array]).argmax(1) == codes)[known].float().mean())
        return values


def curve(name: str, points: Points) -> Curve:
    """Steps and values as a curve of the report."""
    return Curve(name=name, x=[float(step) for step, _ in points], y=[value for _, value in points])
