import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import FermionError, Stopped
from fermion.core.run import Event, Run
from fermion.research import loop
from fermion.research.batches import Batches
from fermion.research.blocks import Heads
from fermion.research.loop import Check, Recipe, calibrate, row_weights, seeded, total_loss, train
from fermion.research.model import Encoded
from fermion.research.optim import Muon, Steps, orthogonal

KIND = Probability(target="kind", array="probabilities:kind", classes=("a", "b"))
SIZE = Value(target="size", array="value:size")
SCHEMA = Schema.of({"x": Number(), "y": Number()}).fit({"x": [0.0, 1.0], "y": [0.0, 1.0]})
CPU = torch.device("cpu")


class Tiny(nn.Module):
    def __init__(self, outputs: tuple[Output, ...]) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 16)
        self.dropout = nn.Dropout(0.1)
        self.heads = Heads(16, outputs)

    def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return self.heads(self.dropout(self.hidden(arrays["numbers"]).relu()))


def rows(count: int, seed: int = 0, outputs: tuple[Output, ...] = (KIND,), weights: Any = None) -> Encoded:
    x = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    targets = {"kind": (x[:, 0] * x[:, 1] > 0).astype(np.int64), "size": (x[:, 0] - x[:, 1]).astype(np.float64)}
    return Encoded(
        schema=SCHEMA, outputs=outputs, arrays={"numbers": x}, targets={o.target: targets[o.target] for o in outputs}, weights=weights
    )


def tiny(outputs: tuple[Output, ...] = (KIND,), seed: int = 0) -> Tiny:
    with seeded(seed):
        return Tiny(outputs)


SOFT = Steps(lr=0.02, matrix_lr=0.02, unit_norm=False, momentum=0.9)


def recipe(steps: int = 150, **settings: Any) -> Recipe:
    return Recipe(**{"steps": steps, "batch": 64, "optim": SOFT, "precision": "float32", **settings})


def accuracy(net: nn.Module, part: Encoded) -> float:
    raw = loop.predict_raw(net, loop.tensors(part, CPU)[0])
    return float((raw[KIND.array].argmax(1).numpy() == part.targets["kind"]).mean())


def test_it_learns_and_tells() -> None:
    events: list[Event] = []
    net = tiny()
    trained = train(net, rows(600), rows(200, 1), recipe(), Run(listeners=(events.append,)))
    assert accuracy(net, rows(500, 2)) > 0.93
    assert {curve.name for curve in trained.curves} == {"training loss", "validation loss", "validation accuracy"}
    assert all(len(curve.x) == len(curve.y) > 3 for curve in trained.curves)
    progress = [event for event in events if event.kind == "progress"]
    assert progress[-1].done == progress[-1].total == 150
    assert {"loss", "validation_loss", "validation_accuracy"} <= {name for event in events for name in event.values}


def test_same_seed_same_weights_and_nothing_global_is_touched() -> None:
    before, threads, kind = torch.random.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    nets = [tiny(), tiny(), tiny()]
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        train(net, rows(300), rows(100, 1), recipe(30), Run(seed=seed))
    one, same, other = (torch.cat([w.flatten() for w in net.parameters()]) for net in nets)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, kind)


def test_a_budget_ends_it_in_time_with_a_schedule_that_is_complete() -> None:
    net, began = tiny(), time.monotonic()
    trained = train(net, rows(600), rows(200, 1), recipe(10**7), Run(budget=1.5))
    assert 1.0 < time.monotonic() - began < 4
    assert accuracy(net, rows(500, 2)) > 0.9
    assert "time" in trained.notes[-1]


def test_a_generous_budget_changes_nothing() -> None:
    free, bound = tiny(), tiny()
    train(free, rows(300), rows(100, 1), recipe(40), Run())
    train(bound, rows(300), rows(100, 1), recipe(40), Run(budget=600))
    assert all(torch.equal(a, b) for a, b in zip(free.parameters(), bound.parameters(), strict=True))


def test_no_time_left_still_gives_a_model() -> None:
    assert train(tiny(), rows(100), rows(50, 1), recipe(), Run(budget=0.0)).steps == 1


def test_the_stop_signal_keeps_the_best_so_far() -> None:
    run = Run()
    run.listeners.append(lambda event: run.stop() if event.done >= 60 else None)
    net = tiny()
    trained = train(net, rows(600), rows(200, 1), recipe(), run)
    assert 60 <= trained.steps < 70
    assert "stopped" in trained.notes[-1]
    assert accuracy(net, rows(500, 2)) > 0.8


def test_stopped_before_the_first_step() -> None:
    run = Run()
    run.stop()
    with pytest.raises(Stopped):
        train(tiny(), rows(100), rows(50, 1), recipe(), run)


def test_the_best_checkpoint_comes_back() -> None:
    net, valid = tiny(), rows(60, 1)
    noisy = rows(60)
    noisy.targets["kind"][:] = np.random.default_rng(0).integers(0, 2, 60)  # nothing to learn: validation gets worse
    trained = train(net, noisy, valid, recipe(300, evaluations=10, optim=Steps(lr=0.05, matrix_lr=0)), Run())
    losses = next(curve for curve in trained.curves if curve.name == "validation loss")
    assert trained.loss == min(losses.y) < losses.y[-1]
    assert trained.best == losses.x[losses.y.index(trained.loss)]
    arrays, targets = loop.tensors(valid, CPU)
    assert float(total_loss(valid.outputs, loop.predict_raw(net, arrays), targets, None)) == pytest.approx(trained.loss)


def test_patience_ends_early() -> None:
    noisy = rows(60)
    noisy.targets["kind"][:] = np.random.default_rng(0).integers(0, 2, 60)
    trained = train(tiny(), noisy, rows(60, 1), recipe(2000, evaluations=50, patience=3, optim=Steps(lr=0.05, matrix_lr=0)), Run())
    assert trained.steps < 2000
    assert "no longer fell" in trained.notes[-1]


def test_without_validation_rows_the_last_weights_stay() -> None:
    net = tiny()
    trained = train(net, rows(300), rows(300).take(np.zeros(300, dtype=bool)), recipe(50), Run())
    assert trained.best == 50
    assert accuracy(net, rows(300)) > 0.7


def test_validation_rows_without_a_label_choose_nothing() -> None:
    blind = rows(50, 1)
    blind.targets["kind"][:] = -1
    assert train(tiny(), rows(300), blind, recipe(50), Run()).best == 50


def test_calibration_finds_the_temperature() -> None:
    net, part = tiny(), rows(20_000)
    p = 1 / (1 + np.exp(-2 * part.arrays["numbers"][:, 0]))
    part.targets["kind"][:] = np.random.default_rng(0).random(20_000) < p
    with torch.no_grad():
        net.hidden.weight.zero_()
        net.hidden.weight[0, 0], net.hidden.weight[1, 0] = 1, -1
        net.hidden.bias.zero_()
        net.heads.layers[0].weight.zero_()
        net.heads.layers[0].bias.zero_()
        net.heads.layers[0].weight[1, 0], net.heads.layers[0].weight[1, 1] = 10, -10  # five times too sure
    calibrate(net, net.heads, part)
    assert float(net.heads.temperature[0]) == pytest.approx(5, rel=0.1)


def test_weights_matter() -> None:
    part = rows(400)
    part.targets["kind"][:] = np.arange(400) % 2  # each half says one thing about the same inputs
    for side in (0, 1):
        weighed = Encoded(
            schema=SCHEMA,
            outputs=(KIND,),
            arrays=part.arrays,
            targets=part.targets,
            weights=np.where(part.targets["kind"] == side, 9.0, 1.0),
        )
        net = tiny()
        train(net, weighed, weighed, recipe(60), Run())
        arrays, _ = loop.tensors(part, CPU)
        assert float(loop.predict_raw(net, arrays)[KIND.array].softmax(1)[:, side].mean()) == pytest.approx(0.9, abs=0.05)


def test_balanced_classes_weigh_the_same() -> None:
    part = rows(100)
    part.targets["kind"][:] = 0
    part.targets["kind"][:10] = 1
    weights = row_weights(part, True, CPU)
    assert weights is not None
    assert float(weights[:10].sum()) == pytest.approx(float(weights[10:].sum()))
    assert float(weights.mean()) == pytest.approx(1.0)
    assert row_weights(part, False, CPU) is None


def test_several_targets_and_rows_without_a_label() -> None:
    both = (KIND, SIZE)
    part = rows(600, outputs=both)
    part.targets["kind"][::2] = -1
    part.targets["size"][1::2] = np.nan
    net = tiny(both)
    trained = train(net, part, rows(200, 1, both), recipe(200), Run())
    test = rows(300, 2, both)
    raw = loop.predict_raw(net, loop.tensors(test, CPU)[0])
    assert accuracy(net, test) > 0.85
    assert np.corrcoef(raw[SIZE.array].numpy(), test.targets["size"])[0, 1] > 0.95
    assert "validation accuracy of kind" in {curve.name for curve in trained.curves}


def test_the_loss_is_its_formula() -> None:
    raw = {KIND.array: torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]]), SIZE.array: torch.tensor([1.0, 2.0, 3.0])}
    truth = {"kind": torch.tensor([0, 0, -1]), "size": torch.tensor([0.0, math.nan, 5.0])}
    expected = (2 * math.log(1 + math.exp(-2)) + math.log(1 + math.e)) / 2 + (2 * 1 + 1 * 4) / 2
    assert float(total_loss((KIND, SIZE), raw, truth, torch.tensor([2.0, 1.0, 1.0]))) == pytest.approx(expected)


def test_a_diverging_loss_says_what_to_do() -> None:
    broken = rows(100)
    broken.arrays["numbers"][:] = np.nan
    with pytest.raises(FermionError, match=r"must be finite, got NaN or infinity at step 1 .*impute: median.*look into the net"):
        train(tiny(), broken, rows(50, 1), recipe(), Run())


def test_both_precisions_are_tried_and_one_is_kept() -> None:
    trained = train(tiny(), rows(300), rows(100, 1), recipe(30, precision="auto"), Run())
    assert len(trained.notes) <= 1
    half = train(tiny(), rows(300), rows(100, 1), recipe(30, precision="bfloat16"), Run())
    assert math.isfinite(half.loss)


def test_looking_costs_little() -> None:
    check = Check(tiny(), rows(5000), CPU)
    assert check.evaluations(160 * 512) == 4
    assert check.evaluations(10**7) == 20


def test_batches_are_permutations() -> None:
    batches = Batches(10, 4, seed=1)
    first = torch.cat([batches.next(), batches.next()])
    assert len(set(first.tolist())) == 8
    assert len(Batches(3, 512, seed=1).next()) == 3


def test_muon_makes_steps_orthogonal() -> None:
    g = torch.randn(12, 30, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 9, 30)
    for matrix in (g, g.T):
        values = torch.linalg.svdvals(orthogonal(matrix, 5))
        assert 0.6 < values.min() <= values.max() < 1.3
    weight = nn.Parameter(torch.randn(8, 2, 3, 3))
    weight.grad = torch.randn(8, 2, 3, 3)
    before = weight.detach().clone() * (8**0.5 / weight.norm()).detach()
    Muon([weight], lr=0.1, momentum=0.6, newton_steps=5, unit_norm=True).step()
    assert torch.linalg.svdvals((before - weight.detach()).reshape(8, -1) / 0.1).min() > 0.6


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    net = tiny()
    adamw, muon = Steps().optimizers(net)
    assert [id(w) for w in muon.param_groups[0]["params"]] == [id(net.hidden.weight)]
    assert len(adamw.param_groups[0]["params"]) == 3
    assert len(Steps(matrix_lr=0).optimizers(net)) == 1


def test_factors_of_the_learning_rate_are_by_the_end_of_a_name() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    (adamw,) = Steps(lr=0.1, matrix_lr=0, factors=(("1.bias", 2.0), ("bias", 0.5))).optimizers(net)
    found = {group["peak"]: [tuple(w.shape) for w in group["params"]] for group in adamw.param_groups}
    assert found == {0.1: [(4, 3), (2, 4)], 0.05: [(4,)], 0.2: [(2,)]}


def test_a_schedule_of_four_waves_ends_at_its_floor() -> None:
    steps = Steps(schedule="cosine-log", floor=0.0)
    at = [steps.factor((2**wave - 1) / 15) for wave in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4)]
    assert at == pytest.approx([0, 1, 0, 1, 0, 1, 0, 1, 0], abs=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "one-cycle"])
def test_schedules_rise_and_fall(schedule: Any) -> None:
    steps = Steps(schedule=schedule, warmup=0.25, floor=0.01)
    factors = [steps.factor(position / 100) for position in range(101)]
    assert max(factors) == factors[25] == 1.0
    assert factors[0] == factors[100] == pytest.approx(0.01)
    assert factors[:26] == sorted(factors[:26])
    assert factors[25:] == sorted(factors[25:], reverse=True)
    assert Steps(warmup=0).factor(0) == 1.0
