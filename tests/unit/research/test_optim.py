"""The optimisers against their papers' equations, written down once more in the plainest way, and the schedules."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fermion.core.errors import SpecError
from fermion.research.optim import Lion, Muon, ScheduleFree, Steps, chosen
from fermion.research.schedules import Plateau, share_of_peak
from fermion.research.training import Training


def gradients(count: int = 12) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(3, 2, generator=draw, dtype=torch.float64) for _ in range(count)]


def first() -> nn.Parameter:
    return nn.Parameter(torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def moved(optimizer: torch.optim.Optimizer, weight: nn.Parameter, rates: list[float] | None = None) -> Tensor:
    for at, gradient in enumerate(gradients()):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[at]
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def test_lion_is_algorithm_2_of_its_paper() -> None:
    weight, lr, decay, b1, b2 = first(), 0.01, 0.1, 0.9, 0.99
    w, m = weight.detach().clone(), torch.zeros(3, 2, dtype=torch.float64)
    for g in gradients():
        c = b1 * m + (1 - b1) * g
        w = w - lr * (c.sign() + decay * w)
        m = b2 * m + (1 - b2) * g
    torch.testing.assert_close(moved(Lion([weight], lr=lr, betas=(b1, b2), weight_decay=decay), weight), w, rtol=1e-12, atol=1e-14)


def test_schedule_free_is_algorithm_1_of_its_paper() -> None:
    """Three sequences, as they stand there: z moves, x is its weighted mean, y lies between, and gradients are taken at y."""
    weight, decay, b1, b2, eps = first(), 0.1, 0.9, 0.99, 1e-8
    rates = [0.01 * min(1.0, (t + 1) / 4) for t in range(12)]
    z = x = weight.detach().clone()
    v, total = torch.zeros_like(z), 0.0
    for t, (g, lr) in enumerate(zip(gradients(), rates, strict=True), start=1):
        y = (1 - b1) * z + b1 * x
        v = b2 * v + (1 - b2) * g * g
        z = z - lr * (g / ((v / (1 - b2**t)).sqrt() + eps) + decay * y)
        total += lr**2
        x = (1 - lr**2 / total) * x + lr**2 / total * z
    optimizer = ScheduleFree([weight], lr=0.01, betas=(b1, b2), weight_decay=decay, eps=eps)
    y_last = moved(optimizer, weight, rates)
    torch.testing.assert_close(optimizer.mean(weight), x, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(y_last, (1 - b1) * z + b1 * x, rtol=1e-10, atol=1e-12)


def test_muon_is_momentum_made_orthogonal() -> None:
    """Against the singular value decomposition that its iteration comes near to."""
    weight, lr, momentum = first(), 0.05, 0.9
    w, m = weight.detach().clone(), torch.zeros(3, 2, dtype=torch.float64)
    for g in gradients():
        m = momentum * m + g
        u, _, v = torch.linalg.svd(g + momentum * m, full_matrices=False)
        w = w - lr * (3 / 2) ** 0.5 * u @ v
    made = moved(Muon([weight], lr=lr, momentum=momentum, newton_steps=12, unit_norm=False), weight)
    assert (made - w).norm() < 0.3 * (w - first().detach()).norm()  # its singular values are between 0.7 and 1.2, not 1


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "sgd", "schedule-free", "muon"])
def test_each_optimizer_finds_the_bottom_of_a_bowl(optimizer: Any) -> None:
    lr = {"adamw": 0.05, "lion": 0.05, "sgd": 0.05, "schedule-free": 0.2, "muon": 0.2}[optimizer]
    net = nn.Linear(2, 1)
    steps = chosen(Steps(lr=lr, matrix_lr=0.0, warmup=0.0), Training(optimizer=optimizer))
    optimizers = steps.optimizers(net)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    y = x @ torch.tensor([1.0, -2.0]) + 0.5
    for at in range(700):
        for one in optimizers:
            for group in one.param_groups:
                group["lr"] = group["peak"] * steps.factor(at / 700)
            one.zero_grad()
        (net(x).squeeze(1) - y).square().mean().backward()
        for one in optimizers:
            one.step()
    with torch.no_grad():
        for one in optimizers:
            if isinstance(one, ScheduleFree):
                for w in net.parameters():
                    w.copy_(one.mean(w))
        assert float((net(x).squeeze(1) - y).square().mean()) < 0.01


def test_every_optimizer_takes_each_weight_once() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for optimizer in ("adamw", "lion", "sgd", "schedule-free", "muon", None):
        made = chosen(Steps(), Training(optimizer=optimizer)).optimizers(net)
        held = [id(w) for one in made for group in one.param_groups for w in group["params"]]
        assert sorted(held) == sorted(id(w) for w in net.parameters())
        assert (len(made) == 2) == (optimizer in ("muon", None))


def test_what_is_not_asked_for_is_the_models_own() -> None:
    own = Steps(lr=0.5, matrix_lr=0.1, schedule="linear", warmup=0.3, clip=2.0)
    assert chosen(own, Training()) == own
    assert chosen(own, Training(optimizer="muon")) == own
    asked = chosen(own, Training(optimizer="adamw", schedule="cosine", clip=0.0, warmup=0.0))
    assert (asked.matrix_lr, asked.schedule, asked.clip, asked.warmup, asked.lr) == (0.0, "cosine", 0.0, 0.0, 0.5)
    assert chosen(own, Training(optimizer="schedule-free")).factor(1.0) == 1.0


@pytest.mark.parametrize("schedule", ["linear", "one-cycle", "cosine", "plateau", "constant"])
def test_every_schedule_rises_to_its_peak(schedule: Any) -> None:
    shares = [share_of_peak(schedule, at / 100, warmup=0.2, floor=0.01) for at in range(101)]
    assert shares[0] == pytest.approx(0.01)
    assert shares[20] == max(shares) == 1.0
    assert shares[:21] == sorted(shares[:21])
    if schedule in ("plateau", "constant"):
        assert set(shares[20:]) == {1.0}
    else:
        assert shares[20:] == sorted(shares[20:], reverse=True)
        assert shares[100] == pytest.approx(0.01)


def test_a_plateau_halves_down_to_the_floor() -> None:
    plateau = Plateau(floor=0.2, patience=2)
    levels: list[float] = []
    for loss in (1.0, 0.9, 0.95, 0.91, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8):
        plateau.saw(loss)
        levels.append(plateau.level)
    assert levels == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_two_averages_are_refused() -> None:
    with pytest.raises(SpecError, match="must be one at the most, got ema and swa"):
        Training(ema=0.9, swa=0.2)
    with pytest.raises(SpecError, match=r"`schedule` must be constant for schedule-free, got cosine"):
        Training(optimizer="schedule-free", schedule="cosine")
