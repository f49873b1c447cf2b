"""Optimisers that torch does not have: Muon, Lion and schedule-free AdamW, each with its equations and its paper.

Legend: G gradient, W weight, lr learning rate, d weight decay. All state is in `state`, so that a checkpoint holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

lists: Any = torch  # torch's operations on lists of tensors are private by name only: what its own optimisers are made of
Groups = Iterable[Tensor] | Iterable[dict[str, Any]]


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

    def __init__(self, params: Groups, *, lr: float, momentum: float, newton_steps: int, unit_norm: bool) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "newton_steps": newton_steps, "unit_norm": unit_norm})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every weight that has a gradient."""
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


class Lion(torch.optim.Optimizer):
    """Only the sign of a momentum moves a weight, so every weight moves equally far, and one state per weight is enough.

    W <- (1 - lr d) W - lr sign(b1 M + (1 - b1) G);  M <- b2 M + (1 - b2) G. The step is larger than AdamW's: a learning rate of a
    third to a tenth, and a decay as much larger, are right. Chen et al. 2023, "Symbolic discovery of optimization algorithms".
    """

    def __init__(self, params: Groups, *, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            lr, (ahead, behind) = group["lr"], group["betas"]
            weights, gradients = _moving(group)
            if not weights:
                continue
            momenta = [self.state[w].setdefault("momentum", torch.zeros_like(w)) for w in weights]
            steps = lists._foreach_lerp(momenta, gradients, 1 - ahead)
            lists._foreach_sign_(steps)
            if group["weight_decay"]:
                lists._foreach_mul_(weights, 1 - lr * group["weight_decay"])
            lists._foreach_add_(weights, steps, alpha=-lr)
            lists._foreach_lerp_(momenta, gradients, 1 - behind)
        return loss


class ScheduleFree(torch.optim.Optimizer):
    """AdamW that needs no schedule: gradients are taken between the moving weights z and their mean x, and x is the answer.

    With c_t = lr_t² / sum of all lr² so far, V the mean square of the gradients and V^ = V / (1 - b2^t):

        Y = (1 - b1) Z + b1 X,   G at Y,   Z <- Z - lr_t (G / (sqrt(V^) + eps) + d Y),   X <- (1 - c_t) X + c_t Z

    While the training goes on the net holds Y; `mean` gives X, from Y and Z alone. Defazio, Yang, Mehta, Mishchenko, Khaled,
    Cutkosky 2024, "The road less scheduled" (algorithm 1; the weights c_t as in their experiments).
    """

    def __init__(
        self, params: Groups, *, lr: float, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0, eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps, "steps": 0, "sum": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move Z, its mean X, and with them the net's Y."""
        loss = closure() if closure else None
        for group in self.param_groups:
            y, gradients = _moving(group)
            if not y:
                continue
            lr, (between, square), decay = group["lr"], group["betas"], group["weight_decay"]
            group["steps"] += 1
            group["sum"] += lr**2
            share = lr**2 / group["sum"] if group["sum"] else 0.0
            z = [self.state[w].setdefault("z", w.clone()) for w in y]
            squares = [self.state[w].setdefault("square", torch.zeros_like(w)) for w in y]
            lists._foreach_mul_(squares, square)
            lists._foreach_addcmul_(squares, gradients, gradients, 1 - square)
            below = lists._foreach_sqrt(squares)
            lists._foreach_div_(below, (1 - square ** group["steps"]) ** 0.5)
            lists._foreach_add_(below, group["eps"])
            moves = lists._foreach_div(gradients, below)
            if decay:
                lists._foreach_add_(moves, y, alpha=decay)
            # X is (Y - (1 - b1) Z) / b1. In terms of Y and Z, with Z' = Z - lr M: Y' = Y + c (Z - Y) - lr (1 - b1 (1 - c)) M.
            lists._foreach_lerp_(y, z, share)
            lists._foreach_add_(y, moves, alpha=-lr * (1 - between * (1 - share)))
            lists._foreach_add_(z, moves, alpha=-lr)
        return loss

    @torch.no_grad()
    def mean(self, weight: Tensor) -> Tensor:
        """X of one of its weights: what the net answers with."""
        between = next(group["betas"][0] for group in self.param_groups if any(w is weight for w in group["params"]))
        z = self.state[weight].get("z")
        return weight.clone() if z is None else torch.lerp(weight, z, 1 - 1 / between)


def _moving(group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    """The weights of a group that have a gradient, and those."""
    weights = [w for w in group["params"] if w.grad is not None]
    return weights, [w.grad for w in weights]
