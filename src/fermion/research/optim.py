"""How weights move: which optimiser takes which weights, with which learning rate at which time."""

from __future__ import annotations

from typing import Any, Literal

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor, nn

from fermion.research.blocks import Heads
from fermion.research.optimizers import Lion, Muon, ScheduleFree, orthogonal
from fermion.research.schedules import share_of_peak
from fermion.research.training import Schedule, Training

__all__ = ["Lion", "Muon", "ScheduleFree", "Steps", "chosen", "orthogonal"]


class Steps(Struct, frozen=True, kw_only=True):
    """How a net is optimised: the two learning rates, their schedule and what each optimiser needs besides.

    `lr` drives `optimizer`, `matrix_lr` drives Muon on every hidden matrix and convolution (0 leaves those to `optimizer` too).
    `betas` are those of its means, of which SGD takes the first as its Nesterov momentum. `unit_norm` keeps each of Muon's weights at
    the norm sqrt(rows): right where a normalisation follows each of them, so that only the direction of a weight matters; without it
    the step is scaled by sqrt(max(1, rows / columns)). `factors` are pairs of how the name of a weight ends and what its share of
    `lr` is; the first that fits counts, and none is 1.
    """

    lr: float = 0.0225
    matrix_lr: float = 0.15
    optimizer: Literal["adamw", "lion", "sgd", "schedule-free"] = "adamw"
    schedule: Schedule = "linear"
    warmup: float = 0.25
    floor: float = 0.005
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 0.0
    momentum: float = 0.6
    newton_steps: int = 3
    unit_norm: bool = True
    clip: float = 0.0
    factors: tuple[tuple[str, float], ...] = ()

    def factor(self, position: float) -> float:
        """The share of the peak learning rate at `position` in [0, 1] of the training.

        >>> [round(Steps(warmup=0.5, floor=0.1).factor(p), 2) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.1, 0.55, 1.0, 0.55, 0.1]
        """
        return share_of_peak(self.schedule, position, warmup=self.warmup, floor=self.floor)

    def optimizers(self, net: nn.Module) -> list[torch.optim.Optimizer]:
        """`optimizer` and, where there are matrices for it, Muon; together they hold every weight that learns once.

        Vectors (biases, normalisations), embeddings, the `Heads` and parts that say `elementwise = True` (whose weights are tables,
        not matrices that multiply) are never Muon's, nor those of parts that say `rate_share = x`, which were trained before and learn at
        that share of `lr`.
        """
        tables = [part for part in net.modules() if isinstance(part, nn.Embedding | Heads) or getattr(part, "elementwise", False)]
        slow = {id(w): share for part in net.modules() if (share := getattr(part, "rate_share", None)) for w in part.parameters()}
        kept = {id(w) for part in tables for w in part.parameters()} | slow.keys()
        weights = [(name, w) for name, w in net.named_parameters() if w.requires_grad]
        matrices = [w for _, w in weights if w.ndim >= 2 and id(w) not in kept] if self.matrix_lr else []
        taken = {id(w) for w in matrices}
        rest: dict[float, list[Tensor]] = {}
        for name, w in weights:
            if id(w) not in taken:
                share = slow.get(id(w)) or next((share for end, share in self.factors if name.endswith(end)), 1.0)
                rest.setdefault(share, []).append(w)
        made: list[torch.optim.Optimizer] = []
        if rest:
            made.append(self._first([{"params": some, "lr": self.lr * share} for share, some in rest.items()]))
        if matrices:
            made.append(Muon(matrices, lr=self.matrix_lr, momentum=self.momentum, newton_steps=self.newton_steps, unit_norm=self.unit_norm))
        for optimizer in made:
            for group in optimizer.param_groups:
                group["peak"] = group["lr"]
        return made

    def _first(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.optimizer == "lion":
            return Lion(groups, lr=self.lr, betas=self.betas, weight_decay=self.decay)
        if self.optimizer == "schedule-free":
            return ScheduleFree(groups, lr=self.lr, betas=self.betas, weight_decay=self.decay)
        # one call for all weights: of small nets, the optimiser would else take a fifth of the time
        fused = all(w.device.type in ("cpu", "cuda") for group in groups for w in group["params"])
        if self.optimizer == "sgd":
            momentum = self.betas[0]
            return torch.optim.SGD(
                groups, lr=self.lr, momentum=momentum, nesterov=momentum > 0, weight_decay=self.decay, fused=fused or None
            )
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, weight_decay=self.decay, fused=fused or None)


def chosen(default: Steps, training: Training) -> Steps:
    """A model's own way, with what the user asks for instead.

    >>> steps = chosen(Steps(matrix_lr=0.0), Training(optimizer="muon", schedule="cosine"))
    >>> steps.matrix_lr, steps.schedule, steps.warmup
    (0.02, 'cosine', 0.25)
    """
    asked: dict[str, Any] = {
        name: value for name in ("schedule", "warmup", "floor", "clip") if (value := getattr(training, name)) is not None
    }
    if training.optimizer == "muon":
        if not default.matrix_lr:  # of a net whose layers have biases and no normalisation of their own behind them
            asked |= {"matrix_lr": 0.02, "momentum": 0.95, "newton_steps": 5, "unit_norm": False}
    elif training.optimizer is not None:
        asked |= {"optimizer": training.optimizer, "matrix_lr": 0.0}
        if training.optimizer == "lion":
            asked["betas"] = (0.9, 0.99)
        if training.optimizer == "schedule-free":
            asked |= {"betas": (0.9, 0.999), "schedule": "constant"}
            asked.setdefault("warmup", 0.05)
    return replace(default, **asked)
