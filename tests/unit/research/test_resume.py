"""A training that is killed goes on as if it had not been: the same weights, to the last bit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.core.run import Event, Run
from fermion.research.model import Encoded
from fermion.research.resume import fingerprint
from fermion.research.tabular import Mlp
from fermion.research.training import Training
from fermion.research.vision import Cnn

KIND = Probability(target="kind", array="probabilities:kind", classes=("a", "b"))


def table(count: int = 400) -> Encoded:
    x = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    schema = Schema.of({"x": Number(), "y": Number()}).fit({"x": [0.0, 1.0], "y": [0.0, 1.0]})
    kind = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    return Encoded(schema=schema, outputs=(KIND,), arrays={"numbers": x}, targets={"kind": kind})


def pictures(count: int = 150) -> Encoded:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, count)
    pixels = np.clip(rng.normal(80 + 60 * kind[:, None, None], 60, (count, 8, 8)), 0, 255).astype(np.uint8)
    schema = Schema.of({"p": Image()}).fit({"p": pixels})
    return Encoded(schema=schema, outputs=(KIND,), arrays=schema.encode({"p": pixels}), targets={"kind": kind.astype(np.int64)})


def halves(part: Encoded) -> tuple[Encoded, Encoded]:
    at = np.arange(len(part))
    return part.take(at[: 3 * len(part) // 4]), part.take(at[3 * len(part) // 4 :])


class Killed(BaseException):
    """As abrupt as it gets inside one process."""


def killed_at(step: float) -> Any:
    def listen(event: Event) -> None:
        if event.kind == "progress" and event.done >= step:
            raise Killed

    return listen


def fast(**settings: Any) -> Training:
    return Training(checkpoint="1ms", **settings)


MODELS = {
    "mlp": (Mlp(width=16, blocks=1, steps=80, batch=32, training=fast()), table),
    "mlp, mixup, ema, plateau": (
        Mlp(width=16, blocks=1, steps=80, batch=32, augment=("mixup",), training=fast(ema=0.9, schedule="plateau")),
        table,
    ),
    "mlp, lion, swa, balanced": (
        Mlp(width=16, blocks=1, steps=80, batch=32, training=fast(optimizer="lion", swa=0.5, sampling="balanced", accumulate=2)),
        table,
    ),
    "mlp, schedule-free, range test": (
        Mlp(width=16, blocks=1, steps=80, batch=32, training=fast(optimizer="schedule-free", find_lr=True)),
        table,
    ),
    "cnn, augmented": (Cnn(widths=(4, 4), steps=24, batch=32, size=8, precision="float32", training=fast()), pictures),
}


@pytest.mark.parametrize("name", MODELS)
def test_interrupted_in_the_middle_and_run_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fermion.research.resume.COST", 1e9)  # write after every step
    model, data = MODELS[name]
    train, valid = halves(data())
    whole = model.fit(train, valid, Run(seed=1))
    steps = model.steps
    for step in (steps / 3, steps / 1.5):
        with pytest.raises(Killed):
            model.fit(train, valid, Run(seed=1, checkpoints=tmp_path, listeners=(killed_at(step),)))
    told: list[Event] = []
    again = model.fit(train, valid, Run(seed=1, checkpoints=tmp_path, listeners=(told.append,)))
    assert any("Training goes on from step" in event.text for event in told)
    for one, other in zip(
        whole.learned.answer.state_dict().items(),
        again.learned.answer.state_dict().items(),
        strict=True,  # type: ignore[attr-defined]
    ):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1]), one[0]
    assert [(curve.name, curve.x, curve.y) for curve in again.curves] == [(curve.name, curve.x, curve.y) for curve in whole.curves]
    assert again.notes == whole.notes


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    model, data = MODELS["mlp"]
    train, valid = halves(data())
    first = model.fit(train, valid, Run(checkpoints=tmp_path))
    began = time.monotonic()
    events: list[Event] = []
    again = model.fit(train, valid, Run(checkpoints=tmp_path, listeners=(events.append,)))
    assert time.monotonic() - began < 5
    assert not [event for event in events if event.kind == "progress"]
    arrays = valid.arrays
    np.testing.assert_array_equal(first.run(arrays)[KIND.array], again.run(arrays)[KIND.array])


def test_another_training_does_not_take_the_checkpoint(tmp_path: Path) -> None:
    model, data = MODELS["mlp"]
    train, valid = halves(data())
    model.fit(train, valid, Run(checkpoints=tmp_path))
    events: list[Event] = []
    model.fit(train, valid, Run(seed=5, checkpoints=tmp_path, listeners=(events.append,)))
    assert not [event for event in events if "goes on" in event.text]
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_a_broken_checkpoint_is_as_good_as_none(tmp_path: Path) -> None:
    model, data = MODELS["mlp"]
    train, valid = halves(data())
    first = model.fit(train, valid, Run(checkpoints=tmp_path))
    (path,) = tmp_path.glob("*.pt")
    path.write_bytes(path.read_bytes()[:500])
    again = model.fit(train, valid, Run(checkpoints=tmp_path))
    np.testing.assert_array_equal(first.run(valid.arrays)[KIND.array], again.run(valid.arrays)[KIND.array])


def test_a_disk_that_cannot_take_it_costs_no_training(tmp_path: Path) -> None:
    model, data = MODELS["mlp"]
    train, valid = halves(data())
    (tmp_path / "file").write_text("where a folder should be")
    events: list[Event] = []
    fitted = model.fit(train, valid, Run(checkpoints=tmp_path / "file", listeners=(events.append,)))
    assert len([event for event in events if event.kind == "warning" and "cannot be saved" in event.text]) == 1
    np.testing.assert_array_equal(model.fit(train, valid, Run()).run(valid.arrays)[KIND.array], fitted.run(valid.arrays)[KIND.array])


def test_stopped_by_hand_and_run_again(tmp_path: Path) -> None:
    model, data = MODELS["mlp"]
    train, valid = halves(data())
    whole = model.fit(train, valid, Run())
    run = Run(checkpoints=tmp_path)
    run.listeners.append(lambda event: run.stop() if event.done >= 30 else None)
    assert "stopped" in model.fit(train, valid, run).notes[-1]
    again = model.fit(train, valid, Run(checkpoints=tmp_path))
    np.testing.assert_array_equal(whole.run(valid.arrays)[KIND.array], again.run(valid.arrays)[KIND.array])


def test_a_lone_number_without_a_stride_has_a_fingerprint() -> None:
    net = torch.nn.BatchNorm1d(2)
    net.register_buffer("count", torch.tensor(3).expand(1))
    assert fingerprint(net, {"rows": table()}, None) == fingerprint(net, {"rows": table()}, None)
    assert fingerprint(net, {"rows": table()}, None) != fingerprint(net, {"rows": table()}, "other")
