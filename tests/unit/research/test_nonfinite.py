"""A loss that is no number says where: step, batch, column, row, and what to do."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fermion.columns.number import Number
from fermion.columns.output import Value
from fermion.columns.schema import Schema
from fermion.core.errors import FermionError
from fermion.core.run import Run
from fermion.research.loop import Recipe, train
from fermion.research.model import Encoded
from fermion.research.nonfinite import diverged, extreme
from fermion.research.optim import Steps

SIZE = Value(target="size", array="value:size")


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {SIZE.array: self.layer(arrays["numbers"]).squeeze(1)}


def rows(private: bool = False) -> Encoded:
    schema = Schema.of({"width": Number(), "height": Number()}).fit({"width": [0.0, 1.0], "height": [0.0, 1.0]})
    if private:
        import msgspec

        fields = tuple(msgspec.structs.replace(field, private=True) for field in schema.fields)
        schema = msgspec.structs.replace(schema, fields=fields)
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    return Encoded(schema=schema, outputs=(SIZE,), arrays={"numbers": x}, targets={"size": x.sum(1).astype(np.float64)})


class Rooted(Line):
    def forward(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: (raw - raw.max() - 1).sqrt() for name, raw in super().forward(arrays).items()}


def failing(part: Encoded, net: type[Line] = Line, **optim: Any) -> FermionError:
    way = Steps(**{"lr": 0.1, "matrix_lr": 0.0, **optim})
    with pytest.raises(FermionError) as failed:
        train(net(), part, rows().take(np.arange(5)), Recipe(steps=100, batch=20, optim=way, precision="float32"), Run())
    return failed.value


def test_an_extreme_input_is_named_with_its_row() -> None:
    part = rows()
    part.arrays["numbers"][137, 1] = 3e38
    told = str(failing(part))
    assert "the training loss must be finite, got NaN or infinity at step" in told
    assert "in whose batch `height` is 3e+38 in training row 137" in told
    assert "give `height` a scale" in told
    assert "set training.clip to 1" in told


def test_an_extreme_target_is_named() -> None:
    part = rows()
    part.targets["size"][3] = 1e25
    error = failing(part, clip=1.0)
    assert "in whose batch the target `size` is 1e+25 in training row 3" in str(error)
    assert "scale:" not in error.remedy
    assert "training.clip" not in error.remedy


def test_a_private_value_is_not_shown() -> None:
    part = rows(private=True)
    part.arrays["numbers"][137, 1] = np.inf
    assert "`height` is a private value in training row 137" in str(failing(part))


def test_missing_values_that_a_net_cannot_read() -> None:
    part = rows()
    part.arrays["numbers"][:, 0] = np.nan
    error = failing(part)
    assert "at step 1 of `fit`, in whose batch `width` is missing in 20 of 20 rows" in str(error)
    assert "impute: median" in error.remedy
    assert "lr" not in error.remedy


def test_a_net_that_answers_no_number_before_it_has_learned_is_to_blame_itself() -> None:
    error = failing(rows(), Rooted)
    assert "NaN or infinity at step 1 of `fit`" in str(error)
    assert error.remedy.startswith("Look into the net, none of whose weights had moved yet, for log(0), a division by zero, a root of")
    assert "lr" not in error.remedy


def test_a_rate_that_is_too_high() -> None:
    error = failing(rows(), lr=1e30, optimizer="sgd", warmup=0.0)
    assert error.remedy.startswith("Lower model.lr (now 1e+30), set training.clip to 1, or look for extreme values")


def test_of_series_the_channel_is_named() -> None:
    from fermion.columns.sequence import Sequence

    waves = [np.random.default_rng(at).normal(size=(5, 2)).tolist() for at in range(30)]
    waves[7][2][1] = 1e9
    schema = Schema.of({"ecg": Sequence()}).fit({"ecg": waves})
    part = Encoded(schema=schema, outputs=(SIZE,), arrays=schema.encode({"ecg": waves}), targets={"size": np.zeros(30)})
    found = extreme(part, np.arange(10))
    assert found is not None
    assert (found.column, found.row) == ("ecg.values[1]", 7)
    assert extreme(part, np.arange(8, 30)) is None
    assert "columns: [ecg]" in diverged(part, np.arange(10), step=3, stage="fit", optim=Steps()).remedy
