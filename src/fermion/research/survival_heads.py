"""What the last layer of a net computes for times until an event: proportional hazards, or one hazard per interval."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.research.head import Plain


class Cox(Plain, frozen=True):
    """log H(t_k) = f(x) + log H_0(t_k); l_i = -f(x_i) + log sum over rows j still at risk at t_i of exp f(x_j), for events i.

    The sum is over the rows of the batch, so that batches should be large. H_0 is Breslow's estimate, set after training (`settle`).
    Cox 1972; Breslow 1974, "Covariance analysis of censored survival data".
    """

    times: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.times),)

    def layer(self, features: int) -> nn.Module:
        return Hazards(features, len(self.times))

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        time_B, event_B = truth[:, 0], truth[:, 1].nan_to_num() > 0
        known_B = ~time_B.isnan()
        late_B, order_B = torch.where(known_B, -time_B, torch.inf).sort(stable=True)  # the latest first, the unknown last
        f_B = raw[:, 0].masked_fill(~known_B, -1e4)[order_B]
        last_B = torch.searchsorted(late_B, late_B, right=True) - 1  # rows of one time are at risk together
        each_B = torch.zeros_like(f_B).index_put((order_B,), f_B.logcumsumexp(0)[last_B] - f_B)
        event_B = event_B & known_B
        return each_B * event_B, event_B

    def answer(self, raw: Tensor) -> Tensor:
        return raw.clamp(max=20).exp()


class Hazards(nn.Module):
    """(B, D) -> (B, T): one score per row, plus the logarithm of a baseline that all rows share and no gradient moves."""

    log_baseline: Tensor  # (T,)

    def __init__(self, features: int, times: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1, bias=False)
        self.register_buffer("log_baseline", torch.zeros(times))

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.score(x_BD) + self.log_baseline

    @torch.no_grad()
    def settle(self, raw_NT: Tensor, truth_N2: Tensor, times: tuple[float, ...]) -> None:
        """Breslow's baseline: H_0(t) = sum over events i with t_i <= t of 1 / sum over j at risk at t_i of exp f(x_j)."""
        known_N = ~truth_N2[:, 0].isnan()
        time_N, event_N = truth_N2[known_N, 0].double(), truth_N2[known_N, 1].double()
        if not len(time_N):
            return
        f_N = (raw_NT[known_N, 0] - self.log_baseline[0]).double()
        times_U, place_N = time_N.unique(return_inverse=True)
        at_U = torch.zeros(len(times_U), dtype=torch.float64, device=f_N.device)
        risk_U = at_U.index_add(0, place_N, f_N.exp()).flip(0).cumsum(0).flip(0)
        hazard_U = (at_U.index_add(0, place_N, event_N) / risk_U).cumsum(0)
        place_T = torch.searchsorted(times_U, times_U.new_tensor(times), right=True) - 1
        found_T = torch.where(place_T >= 0, hazard_U[place_T.clamp(min=0)], hazard_U.new_zeros(()))
        self.log_baseline.copy_(found_T.clamp(min=1e-8).log())


class Intervals(Plain, frozen=True):
    """One logit of the hazard per interval up to t_1, t_2, ...; H(t_k) = sum over j <= k of -log(1 - h_j).

    l = -sum over intervals survived of log(1 - h_j) - [the event happened in interval k] log h_k; a row that is censored within an
    interval counts for those before it. Gensheimer and Narasimhan 2019.
    """

    times: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.times),)

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        known_B = ~truth[:, 0].isnan()
        time_B1, event_B1 = truth[:, :1].nan_to_num(), truth[:, 1:].nan_to_num()
        end_T = raw.new_tensor(self.times)
        begin_T = torch.cat([end_T.new_zeros(1), end_T[:-1]])
        survived_BT = torch.where(event_B1 > 0, time_B1 > end_T, time_B1 >= end_T)
        died_BT = (event_B1 > 0) & (time_B1 > begin_T) & (time_B1 <= end_T)
        each_B = (F.softplus(raw) * survived_BT + F.softplus(-raw) * died_BT).sum(1)
        return each_B * known_B, known_B

    def answer(self, raw: Tensor) -> Tensor:
        return F.softplus(raw).cumsum(1)
