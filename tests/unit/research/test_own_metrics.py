"""Metrics by import path: what they may be, and what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fermion.columns.number import Number
from fermion.columns.output import Value
from fermion.columns.schema import Schema
from fermion.core.errors import SpecError
from fermion.research import own_metrics
from fermion.research.scoring import Judged, judge
from fermion.testing.models import Encoded

SOURCE = """\
def worst(scored):
    return abs(scored.truth - scored.decided).max()

worst.direction = "min"

def bare(scored):
    return 0.0

def odd(scored):
    return "good"

odd.direction = "max"

def broken(scored):
    return 1 / 0

broken.direction = "max"

def accuracy(scored):
    return 1.0

accuracy.direction = "max"
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path


def judged(rows: int = 40) -> Judged:
    rng = np.random.default_rng(0)
    output = Value(target="price", array="value:price", offset=100.0, scale=10.0)
    truth = rng.normal(size=rows)
    schema = Schema.of({"x": Number()}).fit({"x": truth.tolist()})
    encoded = Encoded(schema=schema, outputs=(output,), arrays=schema.encode({"x": truth.tolist()}), targets={"price": truth})
    return judge(output, encoded, {"value:price": (truth + 0.1 * rng.normal(size=rows)).astype(np.float32)})


def test_values_are_scored_in_their_own_unit_with_an_interval_and_the_baseline(folder: Path) -> None:
    (own,) = own_metrics.load(["mine:worst"], folder)
    found = own_metrics.scores([own], judged(), [0.0], draws=100, seed=0)["worst"]
    assert found.value is not None
    assert 1.0 < found.value < 5.0
    assert found.low is not None
    assert found.low <= found.value
    assert (found.baseline or 0) > 10


def test_groups_are_drawn_whole(folder: Path) -> None:
    (own,) = own_metrics.load(["mine:worst"], folder)
    found = own_metrics.scores([own], judged(), [0.0], draws=50, seed=0, groups=np.arange(40) // 20)["worst"]
    assert found.high == found.value  # the group with the worst row is in most draws


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine:bare", r"`direction` of the metric `mine:bare` must be \"max\" or \"min\", got none. Write below it: bare.direction"),
        ("mine:number", "the metric `mine:number` must be a function, got int"),
        ("mine:accuracy", "the name of the metric `mine:accuracy` must be its own, got 'accuracy'. Rename it, to my_accuracy say"),
        ("mine:worse", "`mine:worse` must be a name that the module has, got no `worse`. Did you mean `worst`?"),
        ("acuracy", r"`module:name`, got 'acuracy'. Did you mean `accuracy`\? The package's own metrics are measured without being named"),
        ("accuracy", "`module:name`, got 'accuracy'. The package's own metrics are measured without being named"),
        ("mime:worst", "the module `mime` must be there.*Did you mean `mine`?"),
    ],
)
def test_what_is_no_metric_is_refused_with_the_remedy(folder: Path, name: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        own_metrics.load([name], folder)


def test_what_a_metric_does_wrong_is_told(folder: Path) -> None:
    odd, broken = own_metrics.load(["mine:odd", "mine:broken"], folder)
    with pytest.raises(SpecError, match=r"what the metric `odd` returns must be a number, got str. Return one float"):
        odd.score(judged().scored)
    with pytest.raises(SpecError, match=r"mine.py:15: `mine:broken` must be called without an error, got ZeroDivisionError"):
        broken.score(judged().scored)
