"""What a step does with a batch that does not fit, or that is made of several; and means of weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import nn

from fermion.columns.number import Number
from fermion.columns.output import Output, Probability, Value
from fermion.columns.schema import Schema
from fermion.core.errors import FermionError, SpecError
from fermion.core.run import Run
from fermion.research import memory
from fermion.research.averaging import Ema, Swa, averaged
from fermion.research.blocks import Heads
from fermion.research.loop import Recipe, predict_raw, seeded, tensors, total_loss, train
from fermion.research.model import Encoded
from fermion.research.optim import Steps
from fermion.research.precision import Precision
from fermion.research.sizing import Size, find_batch
from fermion.research.stepping import Stepper
from fermion.research.tabular import Mlp
from fermion.research.training import Training

KIND = Probability(target="kind", array="probabilities:kind", classes=("a", "b"))
SIZE = Value(target="size", array="value:size")
SCHEMA = Schema.of({"x": Number(), "y": Number()}).fit({"x": [0.0, 1.0], "y": [0.0, 1.0]})
CPU = torch.device("cpu")
ADAMW = Steps(lr=0.02, matrix_lr=0.0, warmup=0.1)


class Tiny(nn.Module):
    """Two layers, with a normalisation over the batch where wanted; refuses batches of more rows than fit."""

    def __init__(self, outputs: tuple[Output, ...] = (KIND,), *, norm: bool = False, fits: int = 10**9, error: Any = None) -> None:
        super().__init__()
        self.hidden, self.norm = nn.Linear(2, 16), nn.BatchNorm1d(16) if norm else nn.Identity()
        self.heads, self.fits, self.error = Heads(16, outputs), fits, error
        self.sizes: list[int] = []

    def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        rows = len(arrays["numbers"])
        if self.training:
            self.sizes.append(rows)
            if rows > self.fits:
                raise self.error
        return self.heads(self.norm(self.hidden(arrays["numbers"])).relu())


def rows(count: int, seed: int = 0, outputs: tuple[Output, ...] = (KIND,)) -> Encoded:
    x = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    targets = {"kind": (x[:, 0] * x[:, 1] > 0).astype(np.int64), "size": (x[:, 0] - x[:, 1]).astype(np.float64)}
    return Encoded(schema=SCHEMA, outputs=outputs, arrays={"numbers": x}, targets={o.target: targets[o.target] for o in outputs})


def recipe(steps: int = 60, batch: int = 64, *, optim: Steps = ADAMW, smoothing: float = 0.0, **training: Any) -> Recipe:
    return Recipe(steps=steps, batch=batch, optim=optim, smoothing=smoothing, precision="float32", training=Training(**training))


def tiny(*given: Any, **settings: Any) -> Tiny:
    with seeded(0):
        return Tiny(*given, **settings)


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in net.parameters()])


def test_accumulated_batches_are_one_large_batch() -> None:
    """Two targets, one of them with gaps, so that the parts hold different numbers of labels."""
    both = (KIND, SIZE)
    part = rows(300, outputs=both)
    part.targets["kind"][::3] = -1
    part.targets["size"][1::2] = np.nan
    one, parts = tiny(both), tiny(both)
    train(one, part, rows(50, 1, both), recipe(30, 96), Run())
    train(parts, part, rows(50, 1, both), recipe(30, 32, accumulate=3), Run())
    assert max(one.sizes) == 96
    assert max(parts.sizes) == 32
    torch.testing.assert_close(weights(parts), weights(one), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"),
    ],
    ids=["cuda", "cpu"],
)
def test_out_of_memory_halves_the_batch_and_goes_on(error: Exception) -> None:
    plain, small = tiny(), tiny(fits=20, error=error)
    train(plain, rows(300), rows(50, 1), recipe(30), Run())
    trained = train(small, rows(300), rows(50, 1), recipe(30), Run())
    assert trained.steps == 30
    assert "The memory was too small for 32 rows at once: batches go through the net 16 rows at a time." in trained.notes
    assert set(small.sizes[6:]) == {16}
    torch.testing.assert_close(weights(small), weights(plain), rtol=1e-3, atol=1e-4)


def test_a_net_that_never_fits_is_told() -> None:
    with pytest.raises(FermionError, match=r"the memory must be enough for two rows of a batch, got no room, not enough memory"):
        train(tiny(fits=0, error=RuntimeError("no room, not enough memory")), rows(300), rows(50, 1), recipe(5), Run())


def test_other_errors_are_not_about_memory() -> None:
    with pytest.raises(RuntimeError, match="a mistake"):
        train(tiny(fits=0, error=RuntimeError("a mistake")), rows(300), rows(50, 1), recipe(5), Run())


def test_the_memory_of_a_batch_is_measured_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    net, part = tiny(norm=True), rows(2000)
    arrays, _ = tensors(part, CPU)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert memory.rows_at_once(net, arrays, 1024, CPU) == 1024
    monkeypatch.setattr(memory, "free_bytes", lambda device: 80_000.0)
    few = memory.rows_at_once(net, arrays, 1024, CPU)
    assert 2 <= few < 512
    assert few == memory.rows_at_once(net, arrays, 1024, CPU)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    trained = train(net, part, rows(50, 1), recipe(5, 1024), Run())
    assert f"The memory allows {few:,} rows at a time of the 1,024 of a batch." in trained.notes


def test_clipping_bounds_the_step() -> None:
    way = Steps(lr=1.0, matrix_lr=0.0, optimizer="sgd", betas=(0.0, 0.0), schedule="constant", warmup=0.0)
    moved: list[float] = []
    for clip in (0.0, 0.01):
        net = tiny()
        before = weights(net)
        train(net, rows(300), rows(300).take(np.zeros(300, bool)), recipe(1, optim=way, clip=clip), Run())
        moved.append(float((weights(net) - before).norm()))
    assert moved[0] > 0.02
    assert moved[1] == pytest.approx(0.01, rel=1e-3)


def test_ema_is_its_formula_and_is_what_is_kept() -> None:
    net = tiny(norm=True)
    ema, w = Ema(net, 0.9), net.hidden.weight
    expected = w.detach().clone()
    for t in range(1, 30):
        with torch.no_grad():
            w.add_(0.1 * t)
        ema.update(t / 30)
        d = min(0.9, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * w.detach()
    own = w.detach().clone()
    with averaged(net, ema, list):
        torch.testing.assert_close(w.detach(), expected)
    assert torch.equal(w.detach(), own)


def test_swa_is_the_mean_of_the_last_share() -> None:
    net = tiny()
    swa, w = Swa(net, 0.5), net.hidden.weight
    seen: list[torch.Tensor] = []
    for t in range(1, 11):
        with torch.no_grad():
            w.add_(float(t))
        swa.update(t / 10)
        assert swa.there == (t > 5)
        if t > 5:
            seen.append(w.detach().clone())
    with averaged(net, swa, list):
        torch.testing.assert_close(w.detach(), torch.stack(seen).mean(0))


@pytest.mark.parametrize("settings", [{"ema": 0.95}, {"swa": 0.4}, {"optimizer": "schedule-free"}], ids=["ema", "swa", "schedule-free"])
def test_means_of_weights_learn_with_statistics_of_their_own(settings: Any) -> None:
    net, valid = tiny(norm=True), rows(200, 1)
    trained = train(net, rows(600), valid, recipe(150, optim=Steps(lr=0.05, matrix_lr=0.0, warmup=0.1), **settings), Run())
    arrays, targets = tensors(valid, CPU)
    raw = predict_raw(net, arrays)
    assert float((raw[KIND.array].argmax(1) == targets["kind"]).float().mean()) > 0.9
    assert float(total_loss((KIND,), raw, targets, None)) == pytest.approx(trained.loss, rel=1e-5)
    if "swa" in settings:  # of the mean net over the rows that it learned from
        z = net.hidden(tensors(rows(600), CPU)[0]["numbers"])
        torch.testing.assert_close(net.norm.running_mean, z.mean(0).detach(), atol=0.02, rtol=0.02)


def test_the_range_test_finds_a_rate_that_learns() -> None:
    """From a rate a thousand times too small, and from one as much too large."""
    for lr in (2e-5, 3.0):
        way = Steps(lr=lr, matrix_lr=0.0, warmup=0.1)
        net = tiny()
        trained = train(net, rows(1000), rows(300, 1), recipe(150, optim=way, find_lr=True), Run())
        assert trained.loss < 0.35
        assert "The range test found the learning rate" in trained.notes[0]
        assert trained.curves[-1].name == "range test"


def test_a_range_test_that_finds_nothing_keeps_the_rate() -> None:
    part = rows(200)
    part.arrays["numbers"][:] = 0
    part.targets["kind"][:] = np.arange(200) % 2
    trained = train(
        tiny(),
        part,
        rows(50, 1),
        recipe(
            20,
            find_lr=True,
        ),
        Run(),
    )
    assert "model.lr" in trained.notes[0]


def test_auto_as_the_rate_is_the_range_test() -> None:
    """In the model's own words, and in those of the recipe."""
    said = Mlp(width=16, blocks=1, steps=60, batch=32, lr="auto").fit(rows(400), rows(100, 1), Run())
    asked = Mlp(width=16, blocks=1, steps=60, batch=32, training=Training(find_lr=True)).fit(rows(400), rows(100, 1), Run())
    assert any(note.startswith("The range test found the learning rate") for note in said.notes)
    assert said.notes == asked.notes
    some = rows(50, 2).arrays
    np.testing.assert_array_equal(said.run(some)[KIND.array], asked.run(some)[KIND.array])


def test_the_batch_is_as_large_as_it_pays() -> None:
    """4 ms per call and 0.02 ms per row: from 32 to 2,048 rows a row takes 0.145, 0.083, 0.051, 0.036, 0.028, 0.024 and 0.022 ms."""
    net, now = tiny(), [0.0]
    before, optimizers = weights(net), ADAMW.optimizers(net)
    stepper = Stepper(net, rows(20_000), recipe(batch=4096), CPU, optimizers)

    def step(some: torch.Tensor) -> torch.Tensor:
        now[0] += 0.004 + 0.00002 * len(some)
        return stepper.take(some, 9)

    def find(*sizes: int, fits: int) -> Size | None:
        return find_batch(net, optimizers, step, lambda: fits, rows=20_000, sizes=(sizes[0], sizes[1]), clock=lambda: now[0])

    found = find(32, 4096, fits=4096)
    assert found is not None
    assert found.batch == 2048
    assert list(found.speeds) == [32, 64, 128, 256, 512, 1024, 2048, 4096]
    torch.testing.assert_close(weights(net), before, rtol=0, atol=0)
    little, none = find(32, 4096, fits=128), find(32, 64, fits=16)
    assert little is not None
    assert (little.batch, none) == (128, None)


def test_a_measured_batch_learns_from_as_many_rows_and_is_remembered(tmp_path: Path) -> None:
    part, valid, model = rows(4000), rows(100, 1), Mlp(width=16, blocks=1, batch="auto")
    fitted = model.fit(part, valid, Run(checkpoints=tmp_path))
    (note,) = [note for note in fitted.notes if "measured to be best" in note]
    (kept,) = tmp_path.glob("*.batch")
    assert f"A batch of {int(kept.read_text()):,} rows" in note
    kept.write_text("256")  # as a training that was killed left it
    assert "A batch of 256 rows was measured to be best here." in model.fit(part, valid, Run(checkpoints=tmp_path)).notes
    size = Size(batch=256, speeds={})
    assert [size.applied(recipe(steps, 64)).steps for steps in (4000, 800, 40)] == [1000, 300, 40]
    assert size.applied(structs.replace(recipe(4000, 64), by_rows=False)).steps == 4000


def test_a_plateau_lowers_the_rate_where_nothing_is_gained() -> None:
    part = rows(60)
    part.targets["kind"][:] = np.random.default_rng(0).integers(0, 2, 60)
    rates: list[float] = []
    net = tiny()
    way = Steps(lr=0.05, matrix_lr=0.0, warmup=0.0, floor=0.01)

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            if self.training:
                rates.append(float(weights(net).norm()))
            return self.net(arrays)

    train(Watched(), part, rows(60, 1), recipe(400, optim=way, schedule="plateau"), Run())
    early = np.abs(np.diff(rates[20:100])).mean()
    assert np.abs(np.diff(rates[-80:])).mean() < 0.5 * early


def test_float16_is_for_cuda() -> None:
    with pytest.raises(SpecError, match="precision must be float16 only on cuda, got float16 on cpu"):
        Precision("float16", CPU)


def test_gradients_in_float16_are_scaled_and_steps_that_overflow_left_out() -> None:
    """The scaler on the CPU, as it works on cuda."""
    precision = Precision("bfloat16", CPU)
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    precision.backward((weight * torch.tensor([1.0, float("inf"), 1.0])).sum())
    precision.move([optimizer], [weight], clip=1.0)
    assert torch.equal(weight.detach(), torch.ones(3))
    assert precision.scaler.get_scale() == 2.0**15
    precision.backward((weight * 2).sum())
    precision.move([optimizer], [weight], clip=0.0)
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.8))
    other = Precision("bfloat16", CPU)
    other.scaler = torch.amp.GradScaler("cpu")
    other.load_state_dict(precision.state_dict())
    assert other.scaler.get_scale() == 2.0**15
