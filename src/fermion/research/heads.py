"""What the last layer of a net computes for each kind of output: how many numbers, their loss, and the answer that they stand for."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.output import UNLABELLED, Count, Horizon, Labels, Output, Probability, Quantiles, Survival, Tags, Value
from fermion.columns.quantiles import middle
from fermion.research.head import Head, Plain, unsoftened
from fermion.research.survival_heads import Cox, Intervals

UNCERTAINTY = "log variance of the losses"  # among the raw outputs of `blocks.Weighed`: no array is called so, theirs have a colon
FAST = 10.0  # a few numbers that stand alone move ten times as far as the weights of a layer, which add up


class Classes(Plain, frozen=True):
    """K logits; l = -sum_k q_k log softmax(z)_k, where q is the truth with a share `smoothing` spread over all (Szegedy et al. 2016)."""

    classes: int

    @property
    def tempered(self) -> bool:
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.classes,)

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        each_B = F.cross_entropy(raw, truth, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="none")
        return each_B, truth != UNLABELLED

    def answer(self, raw: Tensor) -> Tensor:
        return raw.softmax(-1)

    def pooled(self, raw: Tensor) -> Tensor:
        return raw.log_softmax(2).logsumexp(1) - math.log(raw.shape[1])


class Number(Plain, frozen=True):
    """One standardised value v; l = (y - v)²."""

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        known_B = ~truth.isnan()
        return (raw - truth.nan_to_num()).square() * known_B, known_B


class Ranks(Plain, frozen=True):
    """K ranks by a cumulative link: P(y > k) = sigmoid(s - c_k) with cut points c that rise.

    The raw numbers are (s - c_1, u_2, ..., u_{K-1}) with c_k = c_{k-1} + softplus(u_k), so that the probabilities are never negative;
    the layer (`Cuts`) has the same cut points for all rows. McCullagh 1980, "Regression models for ordinal data".
    """

    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.classes - 1,)

    def layer(self, features: int) -> nn.Module:
        return Cuts(features, self.classes)

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        known_B = truth != UNLABELLED
        log_p_BK = self.answer(raw).clamp(min=1e-12).log()
        each_B = -log_p_BK.gather(1, truth.clamp(min=0)[:, None])[:, 0]
        if smoothing:
            each_B = (1 - smoothing) * each_B - smoothing * log_p_BK.mean(1)
        return each_B * known_B, known_B

    def answer(self, raw: Tensor) -> Tensor:
        above = torch.cat([raw[:, :1], raw[:, :1] - F.softplus(raw[:, 1:]).cumsum(1)], 1).sigmoid()
        edge = torch.zeros_like(above[:, :1])
        return torch.cat([edge + 1, above], 1) - torch.cat([above, edge], 1)

    def pooled(self, raw: Tensor) -> Tensor:
        above_BMK = torch.cat([raw[..., :1], raw[..., :1] - F.softplus(raw[..., 1:]).cumsum(2)], 2)
        odds_BK = F.logsigmoid(above_BMK).logsumexp(1) - F.logsigmoid(-above_BMK).logsumexp(1)
        return torch.cat([odds_BK[:, :1], unsoftened(odds_BK[:, :-1] - odds_BK[:, 1:])], 1)


class Cuts(nn.Module):
    """(B, D) -> (B, K - 1): one score per row and K - 1 cut points that all rows share."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.steps = nn.Parameter(torch.full((classes - 2,), 0.5 / FAST))

    def forward(self, x_BD: Tensor) -> Tensor:
        score_B1 = self.score(x_BD)
        return torch.cat([score_B1, (FAST * self.steps).expand(score_B1.shape[0], -1)], 1)


class Several(Plain, frozen=True):
    """K labels, each with a logit of its own; l = the mean over the labels of -y log p - (1 - y) log(1 - p)."""

    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.classes,)

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        known_B = ~truth.isnan().any(1)
        y_BK = truth.nan_to_num() * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(raw, y_BK, reduction="none").mean(1) * known_B, known_B

    def answer(self, raw: Tensor) -> Tensor:
        return raw.sigmoid()

    def pooled(self, raw: Tensor) -> Tensor:
        return F.logsigmoid(raw).logsumexp(1) - F.logsigmoid(-raw).logsumexp(1)


class Pinball(Plain, frozen=True):
    """Q quantiles that never cross: one number for the middle one, and a softplus for each step up and down from it.

    l = (2 / Q) sum_q max(a_q (y - v_q), (a_q - 1) (y - v_q)) with levels a. Koenker and Bassett 1978; the steps as in Gasthaus et al. 2019.
    Of a target with H steps the numbers are (H, Q) and the loss is the mean over the steps that are known.
    """

    levels: tuple[float, ...]
    steps: int = 0  # of a horizon; 0 for a single number

    @property
    def shape(self) -> tuple[int, ...]:
        return (*((self.steps,) if self.steps else ()), len(self.levels))

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        y = truth[:, : self.steps] if self.steps else truth
        there = ~y.isnan()
        gap = (y.nan_to_num()[..., None] - self.answer(raw)) * there[..., None]
        level_Q = raw.new_tensor(self.levels)
        each = 2 * torch.maximum(level_Q * gap, (level_Q - 1) * gap).mean(-1)
        if not self.steps:
            return each, there
        return each.sum(1) / there.sum(1).clamp(min=1), there.any(1)

    def answer(self, raw: Tensor) -> Tensor:
        at = middle(self.levels)
        centre = raw[..., at : at + 1]
        parts = [centre]
        if at + 1 < len(self.levels):
            parts.append(centre + F.softplus(raw[..., at + 1 :]).cumsum(-1))
        for place in range(at - 1, -1, -1):
            parts.insert(0, parts[0][..., :1] - F.softplus(raw[..., place : place + 1]))
        return torch.cat(parts, -1)

    def pooled(self, raw: Tensor) -> Tensor:
        at, mean = middle(self.levels), self.answer(raw).mean(1)
        steps = unsoftened(mean[..., 1:] - mean[..., :-1])
        return torch.cat([steps[..., :at], mean[..., at : at + 1], steps[..., at:]], -1)


class Rate(Plain, frozen=True):
    """The logarithm of a count over its mean; l = the unit deviance over 2, y log(y / m) - (y - m), in counts.

    With `dispersed` a second number is log a, and l is the negative log-likelihood of a negative binomial with the variance m + a m².
    """

    mean: float
    dispersed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (2,) if self.dispersed else ()

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        known_B, y_B = ~truth.isnan(), truth.nan_to_num() * self.mean
        m_B = self.answer(raw) * self.mean
        if self.dispersed:
            r_B = torch.exp(-raw[:, 1].clamp(-10, 10))  # 1 / a
            each_B = (r_B + y_B) * torch.log(r_B + m_B) - r_B * torch.log(r_B) - y_B * torch.log(m_B)
            each_B = each_B + torch.lgamma(r_B) + torch.lgamma(y_B + 1) - torch.lgamma(r_B + y_B)
        else:
            each_B = torch.xlogy(y_B, y_B) - y_B * torch.log(m_B) - (y_B - m_B)
        return each_B * known_B, known_B

    def answer(self, raw: Tensor) -> Tensor:
        return (raw[:, 0] if self.dispersed else raw).clamp(-20, 20).exp()

    def pooled(self, raw: Tensor) -> Tensor:
        log_mean = (raw[:, :, 0] if self.dispersed else raw).clamp(-20, 20).logsumexp(1) - math.log(raw.shape[1])
        return torch.stack([log_mean, raw[:, :, 1].mean(1)], 1) if self.dispersed else log_mean


class PerStep(Plain, frozen=True):
    """K logits for each of L steps, and beside them whether the step is real; l = the mean cross entropy of a row's labelled steps."""

    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (-1, self.classes + 1)

    @property
    def size(self) -> int:
        return self.classes

    def layer(self, features: int) -> nn.Module:
        return nn.Linear(features, self.classes)

    def loss(self, raw: Tensor, truth: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        y_BL = F.pad(truth, (0, max(0, raw.shape[1] - truth.shape[1])), value=UNLABELLED)[:, : raw.shape[1]]
        z_BKL = raw[..., : self.classes].transpose(1, 2)
        each_BL = F.cross_entropy(z_BKL, y_BL, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="none")
        there_BL = y_BL != UNLABELLED
        return (each_BL * there_BL).sum(1) / there_BL.sum(1).clamp(min=1), there_BL.any(1)

    def answer(self, raw: Tensor) -> Tensor:
        return raw[..., : self.classes].softmax(-1) * raw[..., self.classes :]


def head_of(output: Output) -> Head:
    """The head of an output.

    >>> head_of(Probability(target="y", classes=("a", "b", "c"))).shape
    (3,)
    """
    match output:
        case Probability():
            return Ranks(len(output.classes)) if output.ordered else Classes(len(output.classes))
        case Value():
            return Number()
        case Labels():
            return Several(len(output.classes))
        case Quantiles():
            return Pinball(output.levels)
        case Tags():
            return PerStep(len(output.classes))
        case Horizon():
            return Pinball(output.levels, output.steps)
        case Count():
            return Rate(output.mean, output.family == "negative_binomial")
        case Survival():
            return Cox(output.times) if output.method == "cox" else Intervals(output.times)


def rows_of(raw: Tensor, head: Head) -> Tensor:
    """(B, size) of a linear layer -> (B, *shape).

    >>> import torch
    >>> rows_of(torch.zeros(4, 1), Number()).shape
    torch.Size([4])
    """
    return raw.squeeze(1) if head.shape == () else raw if len(head.shape) == 1 else raw.reshape(-1, *head.shape)
