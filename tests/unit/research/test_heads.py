"""Losses and answers of the heads, by hand and by gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import NegativeBinomial, Poisson

from fermion.columns.output import Probability
from fermion.research.blocks import Heads, Weighed
from fermion.research.head import Head
from fermion.research.heads import Classes, Number, Pinball, Ranks, Rate, Several
from fermion.research.loop import total_loss
from fermion.research.survival_heads import Cox, Hazards, Intervals

NAN = float("nan")


def test_ranks_add_up_and_are_never_negative() -> None:
    raw = torch.randn(50, 3) * 5
    p = Ranks(4).answer(raw)
    torch.testing.assert_close(p.sum(1), torch.ones(50))
    assert p.min() >= 0
    each, known = Ranks(4).loss(raw, torch.tensor([0, -1] * 25))
    torch.testing.assert_close(each[::2], -p[::2, 0].clamp(min=1e-12).log())
    assert not each[1::2].any()
    assert known.tolist() == [True, False] * 25


def test_labels_are_apart_from_each_other() -> None:
    each, known = Several(2).loss(torch.tensor([[0.0, 2.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [NAN, NAN]]))
    assert each[0].item() == pytest.approx((np.log(2) + np.log1p(np.exp(2))) / 2)
    assert each[1] == 0
    assert known.tolist() == [True, False]


def test_quantiles_never_cross_and_lose_as_they_should() -> None:
    head = Pinball((0.1, 0.5, 0.9))
    q = head.answer(torch.randn(100, 3) * 10)
    assert (q.diff(dim=1) >= 0).all()
    raw = torch.zeros(1, 3)
    each, _ = head.loss(raw, torch.tensor([1.0]))
    low, middle, high = head.answer(raw)[0].tolist()
    want = 2 / 3 * (0.1 * (1 - low) + 0.5 * (1 - middle) + max(0.9 * (1 - high), -0.1 * (1 - high)))
    assert each.item() == pytest.approx(want)


def test_counts_have_the_likelihoods_of_their_families() -> None:
    y, raw = torch.tensor([0.0, 3.0]), torch.tensor([0.5, -0.2])
    mean = 2 * raw.exp()
    poisson, _ = Rate(2.0).loss(raw, y / 2)
    perfect = Poisson(y.clamp(min=1e-9)).log_prob(y)
    torch.testing.assert_close(poisson, perfect - Poisson(mean).log_prob(y), atol=1e-5, rtol=1e-5)
    r = torch.tensor([2.0, 0.5])
    raw2 = torch.stack([raw, -r.log()], 1)
    found, _ = Rate(2.0, True).loss(raw2, y / 2)
    torch.testing.assert_close(found, -NegativeBinomial(r, logits=(mean / r).log()).log_prob(y), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "head",
    [Classes(3), Number(), Ranks(4), Several(2), Pinball((0.1, 0.5, 0.9)), Pinball((0.2, 0.7), 2), Rate(2.0), Rate(2.0, True)],
    ids=str,
)
def test_the_pooled_numbers_of_members_answer_the_mean_of_their_answers(head: Head) -> None:
    raw = 2 * torch.randn(20, 5, *head.shape, generator=torch.Generator().manual_seed(0))
    each = torch.stack([head.answer(raw[:, member]) for member in range(5)])
    pooled = head.pooled(raw)
    assert pooled.shape == (20, *head.shape)
    torch.testing.assert_close(head.answer(pooled), each.mean(0), atol=2e-4, rtol=1e-4)


class TestCox:
    truth = torch.tensor([[2.0, 1], [4.0, 1], [4.0, 0], [NAN, NAN], [6.0, 1]])
    f = torch.tensor([0.3, -0.1, 0.5, 9.0, -0.4])

    def test_the_partial_likelihood_by_hand(self) -> None:
        each, known = Cox((1.0,)).loss(self.f[:, None], self.truth)
        e = self.f.exp()
        first, second = torch.log(e[0] + e[1] + e[2] + e[4]) - self.f[0], torch.log(e[1] + e[2] + e[4]) - self.f[1]
        torch.testing.assert_close(each, torch.stack([first, second, torch.tensor(0.0), torch.tensor(0.0), torch.tensor(0.0)]))
        assert known.tolist() == [True, True, False, False, True]

    def test_breslows_baseline_by_hand(self) -> None:
        layer = Hazards(1, 3)
        layer.settle(self.f[:, None], self.truth, (1.0, 4.0, 7.0))
        e = self.f.exp()
        at_2, at_4, at_6 = 1 / (e[0] + e[1] + e[2] + e[4]), 1 / (e[1] + e[2] + e[4]), 1 / e[4]
        torch.testing.assert_close(layer.log_baseline.exp(), torch.tensor([1e-8, at_2 + at_4, at_2 + at_4 + at_6]))


def test_hazards_of_intervals_by_hand() -> None:
    head, raw = Intervals((1.0, 2.0)), torch.tensor([[0.0, 1.0]])
    survived, hazard = np.log(2), np.log1p(np.exp(-1))
    for truth, want in (((1.5, 1.0), survived + hazard), ((1.5, 0.0), survived), ((9.0, 1.0), survived + np.log1p(np.exp(1)))):
        assert head.loss(raw, torch.tensor([truth]))[0].item() == pytest.approx(want)
    assert head.answer(raw)[0].tolist() == pytest.approx([survived, survived + np.log1p(np.exp(1))])


def test_learned_weights_make_noisy_losses_count_less() -> None:
    """The best s = log sigma² of a loss that stays at L is log(2 L): its gradient is zero there."""
    outputs = [Probability(target=name, array=f"probabilities:{name}", classes=("a", "b")) for name in ("u", "v")]
    net = Weighed(OverX(Heads(3, outputs)), 2)
    arrays, truth = {"x": torch.randn(8, 3)}, {"u": torch.zeros(8, dtype=torch.int64), "v": torch.ones(8, dtype=torch.int64)}
    net.train()
    total_loss(outputs, net(arrays), truth, None).backward()
    assert net.log_variance.grad is not None
    losses = [total_loss([output], net.net(arrays), truth, None).item() for output in outputs]
    np.testing.assert_allclose(net.log_variance.grad.numpy(), [0.5 - loss for loss in losses], atol=1e-5)
    net.eval()
    assert set(net(arrays)) == {"probabilities:u", "probabilities:v"}


class OverX(torch.nn.Module):
    """The heads over the array x."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return self.heads(arrays["x"])
