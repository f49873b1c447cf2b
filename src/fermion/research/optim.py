"""How weights move: Muon for matrices, AdamW for the rest, and the learning rate over the length of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from msgspec import Struct
from torch import Tensor, nn

from fermion.research.blocks import Heads

Schedule = Literal["linear", "one-cycle", "cosine-log"]


class Steps(Struct, frozen=True, kw_only=True):
    """How a net is optimised: the two learning rates, their schedule and what each optimiser needs besides.

    `lr` drives AdamW, `matrix_lr` drives Muon on every hidden matrix and convolution (0 leaves those to AdamW too). `unit_norm`
    keeps each of Muon's weights at the norm sqrt(rows): right where a normalisation follows each of them, so that only the
    direction of a weight matters; without it the step is scaled by sqrt(max(1, rows / columns)). `factors` are pairs of how the
    name of a weight ends and what its share of AdamW's `lr` is; the first that fits counts, and none is 1.
    """

    lr: float = 0.0225
    matrix_lr: float = 0.15
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

        Cosine-log is four waves, each twice as long as the one before: (1 - cos(2 pi log2(1 + 15 t))) / 2 (Holzmueller et al. 2024).
        """
        position = min(max(position, 0.0), 1.0)
        if self.schedule == "cosine-log":
            return self.floor + (1 - self.floor) * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * position))) / 2
        rising = position < self.warmup
        share = position / self.warmup if rising else (position - self.warmup) / max(1.0 - self.warmup, 1e-9)
        if self.schedule == "one-cycle":  # the same shape with half cosines instead of lines (Smith and Topin 2019)
            share = (1 - math.cos(math.pi * share)) / 2
        return self.floor + (1 - self.floor) * (share if rising else 1 - share)

    def optimizers(self, net: nn.Module) -> list[torch.optim.Optimizer]:
        """AdamW and, where there are matrices for it, Muon; together they hold every weight that learns once.

        Vectors (biases, normalisations), embeddings, the `Heads` and parts that say `elementwise = True` (whose weights are tables,
        not matrices that multiply) go to AdamW.
        """
        tables = [part for part in net.modules() if isinstance(part, nn.Embedding | Heads) or getattr(part, "elementwise", False)]
        kept = {id(w) for part in tables for w in part.parameters()}
        weights = [(name, w) for name, w in net.named_parameters() if w.requires_grad]
        matrices = [w for _, w in weights if w.ndim >= 2 and id(w) not in kept] if self.matrix_lr else []
        chosen = {id(w) for w in matrices}
        rest: dict[float, list[Tensor]] = {}
        for name, w in weights:
            if id(w) not in chosen:
                rest.setdefault(next((share for end, share in self.factors if name.endswith(end)), 1.0), []).append(w)
        made: list[torch.optim.Optimizer] = []
        if rest:
            groups = [{"params": some, "lr": self.lr * share} for share, some in rest.items()]
            made.append(torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, weight_decay=self.decay))
        if matrices:
            made.append(Muon(matrices, lr=self.matrix_lr, momentum=self.momentum, newton_steps=self.newton_steps, unit_norm=self.unit_norm))
        for optimizer in made:
            for group in optimizer.param_groups:
                group["peak"] = group["lr"]
        return made


def orthogonal(g_RC: Tensor, steps: int = 5) -> Tensor:
    """Nearly the orthogonal matrix nearest to `g_RC`, (rows, columns): U Vᵀ of its singular value decomposition U S Vᵀ.

    Newton-Schulz iteration X <- a X + (b A + c A²) X with A = X Xᵀ, on X = G / |G|: it drives every singular value to about 1
    (between 0.7 and 1.2 after 5 steps) with nothing but products of matrices (Jordan et al. 2024, "Muon").

    >>> orthogonal(torch.tensor([[3.0, 0.0], [0.0, 0.5]])).round(decimals=0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = g_RC.shape[0] <= g_RC.shape[1]
    x = g_RC if wide else g_RC.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, so that every direction of a weight matrix moves equally far.

    M <- m M + G;  step = orthogonal(G + m M) (Nesterov);  W <- W - lr * step. A convolution (O, I, h, w) is the matrix
    (O, I h w). Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float, newton_steps: int, unit_norm: bool) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "newton_steps": newton_steps, "unit_norm": unit_norm})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = closure() if closure else None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        return loss

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        gradient, state = weight.grad, self.state[weight]
        assert gradient is not None
        running = state.setdefault("momentum", torch.zeros_like(gradient)).mul_(group["momentum"]).add_(gradient)
        rows = len(weight)
        ahead = gradient.add(running, alpha=group["momentum"]).reshape(rows, -1)
        step = orthogonal(ahead, group["newton_steps"]).view_as(weight)
        if group["unit_norm"]:
            weight.mul_(rows**0.5 / (weight.norm() + 1e-7))
            weight.add_(step, alpha=-group["lr"])
        else:
            weight.add_(step, alpha=-group["lr"] * max(1.0, rows / ahead.shape[1]) ** 0.5)
