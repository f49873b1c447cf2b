"""Which rows come together, and arrays that are cut to the longest of them."""

from typing import Any

import numpy as np
import torch
from torch import nn

from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.sequence import Sequence
from fermion.core.run import Run
from fermion.research.batches import Batches, Lengths, balanced_chances, gathered, predict_raw, tensors
from fermion.research.heads import head_of
from fermion.research.loop import Recipe, seeded, train
from fermion.research.model import Encoded
from fermion.research.optim import Steps
from fermion.research.training import Training

KIND = Probability(target="kind", array="probabilities:kind", classes=("a", "b"))
CPU = torch.device("cpu")


def waves(count: int = 120, longest: int = 40) -> Encoded:
    """Series of 2 to `longest` steps whose mean says the class."""
    rng = np.random.default_rng(0)
    kind_N = rng.integers(0, 2, count)
    lengths_N = rng.integers(2, longest + 1, count)
    waves: list[Any] = [
        (rng.normal(size=(length, 1)) + (1.0 if kind else -1.0)).tolist() for length, kind in zip(lengths_N, kind_N, strict=True)
    ]
    schema = Schema.of({"wave": Sequence(), "x": Number()}).fit({"wave": waves, "x": np.zeros(count)})
    arrays = schema.encode({"wave": waves, "x": np.zeros(count)})
    return Encoded(schema=schema, outputs=(KIND,), arrays=arrays, targets={"kind": kind_N.astype(np.int64)})


class Mean(nn.Module):
    """The mean over the real steps, then a layer; it notes how long its batches were."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2)
        self.seen: list[tuple[int, int]] = []

    def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        values, mask = arrays["wave.values"], arrays["wave.mask"]
        self.seen.append((values.shape[1], int(mask.sum(1).max())))
        mean = (values.nan_to_num() * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)
        return {KIND.array: self.layer(mean)}


def test_batches_are_cut_to_their_longest_row() -> None:
    rows, net = waves(), Mean()
    way = Steps(lr=0.1, matrix_lr=0.0)
    trained = train(net, rows, rows, Recipe(steps=30, batch=16, optim=way, precision="float32"), Run())
    assert trained.loss < 0.3
    assert all(steps == longest for steps, longest in net.seen)
    assert len({steps for steps, _ in net.seen}) > 1


def test_cutting_changes_no_answer() -> None:
    rows, net = waves(), Mean()
    arrays, _ = tensors(rows, CPU)
    whole = predict_raw(net, arrays, batch=16)[KIND.array]
    cut = predict_raw(net, arrays, batch=16, lengths=Lengths.of(rows.schema, rows.arrays))[KIND.array]
    torch.testing.assert_close(cut, whole)
    assert len({steps for steps, _ in net.seen}) > 2


def test_answers_with_a_label_per_step_are_filled_up() -> None:
    rows = waves()
    arrays, _ = tensors(rows, CPU)

    class PerStep(nn.Module):
        def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"tags": arrays["wave.values"].nan_to_num()}

    made = predict_raw(PerStep(), arrays, batch=16, lengths=Lengths.of(rows.schema, rows.arrays))["tags"]
    mask = arrays["wave.mask"].unsqueeze(2)
    torch.testing.assert_close(made[:, : mask.shape[1]] * mask, arrays["wave.values"].nan_to_num() * mask)


def test_rows_without_a_mask_are_left_alone() -> None:
    arrays = {"x": torch.arange(12.0).view(6, 2)}
    made = gathered(arrays, torch.tensor([1, 4]), Lengths(rows={}, arrays={}))
    assert made["x"].tolist() == [[2.0, 3.0], [8.0, 9.0]]


def test_bucketed_batches_hold_rows_of_similar_length_each_once() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 1000)
    plain, bucketed = (Batches(1000, 20, seed=1, lengths=given) for given in (None, lengths))
    spread = [np.mean([np.ptp(lengths[rows.numpy()]) for rows in (batches.next() for _ in range(50))]) for batches in (plain, bucketed)]
    assert spread[1] < 0.1 * spread[0]
    again = Batches(1000, 20, seed=1, lengths=lengths)
    assert len({row for _ in range(50) for row in again.next().tolist()}) == 1000


def test_balanced_sampling_draws_every_class_alike() -> None:
    rows = waves(200)
    rows.targets["kind"][:] = 0
    rows.targets["kind"][:5] = 1
    chances = balanced_chances(rows)
    assert chances is not None
    batches = Batches(200, 50, seed=0, chances=chances)
    drawn = torch.cat([batches.next() for _ in range(40)])
    assert abs(float((drawn < 5).float().mean()) - 0.5) < 0.05


def test_batches_go_on_from_where_they_were() -> None:
    for settings in ({}, {"chances": np.ones(50)}, {"lengths": np.arange(50)}):
        one, other = (Batches(50, 8, seed=3, **settings) for _ in range(2))
        for _ in range(11):
            one.next()
        other.load_state_dict(one.state_dict())
        for _ in range(20):
            assert torch.equal(one.next(), other.next())


def test_balanced_sampling_and_focal_loss_find_the_rare_class() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 1)).astype(np.float32)
    rare = rng.random(600) < 1 / (1 + np.exp(-(4 * x[:, 0] - 7)))
    schema = Schema.of({"x": Number()}).fit({"x": [0.0, 1.0]})
    rows = Encoded(schema=schema, outputs=(KIND,), arrays={"numbers": x}, targets={"kind": rare.astype(np.int64)})

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, head_of(KIND).size)

        def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {KIND.array: self.layer(arrays["numbers"])}

    found: list[int] = []
    for training in (Training(), Training(sampling="balanced"), Training(focal=2.0)):
        with seeded(0):
            net = Line()
        way = Steps(lr=0.1, matrix_lr=0.0)
        recipe = Recipe(steps=80, batch=64, optim=way, precision="float32", training=training)
        train(net, rows, rows.take(np.zeros(600, bool)), recipe, Run())
        raw = predict_raw(net, {"numbers": torch.from_numpy(x)})[KIND.array]
        found.append(int((raw.argmax(1).numpy() == 1)[rare].sum()))
    natural, balanced, _ = found
    assert balanced > natural
