"""Many series, from a long table to a bundle that forecasts, beside forecasts from the history alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fermion
from fermion.bundle.verify import verify
from fermion.columns.output import Horizon
from fermion.core.errors import DataError
from fermion.data.horizons import horizons
from fermion.data.table import Table
from fermion.measure.answered import Answered
from fermion.measure.metrics import METRICS
from fermion.research.forecasters import seasonal_naive, smoothing

SEASON, STEPS, PAST = 6, 4, 18


def long_table() -> Table:
    """Twelve series with a season, a level and a promotion that doubles a step and is known in advance."""
    rng = np.random.default_rng(0)
    t = np.arange(80)
    columns: dict[str, list[Any]] = {"shop": [], "day": [], "sold": [], "promotion": []}
    for shop in range(12):
        promotion = rng.random(80) < 0.15
        level = 20 + 3 * np.sin(shop)
        sold = level + 6 * np.sin(2 * np.pi * t / SEASON) + 8 * promotion + rng.normal(size=80)
        columns["shop"] += [f"s{shop}"] * 80
        columns["day"] += t.tolist()
        columns["sold"] += sold.tolist()
        columns["promotion"] += promotion.astype(float).tolist()
    return Table.of(columns)


def test_a_net_beats_what_knows_only_the_history(tmp_path: Path) -> None:
    rows = horizons(long_table(), value="sold", time="day", by="shop", history=PAST, steps=STEPS, every=2, covariates=["promotion"])
    trained = fermion.fit(
        rows,
        target="next",
        data={
            "columns": {
                "next": {"type": "horizon", "history": "history", "season": SEASON},
                "history": "vector",
                "promotion_ahead": "vector",
            },
        },
        split={"by": "time", "column": "day", "test": 0.2, "validation": 0.2},
        model={"type": "mlp", "width": 48, "blocks": 1, "steps": 500, "batch": 64, "lr": 0.005},
        evaluate={"draws": 30},
    )
    metrics = trained.evaluate().metrics
    mase, ets, pinball = metrics["mase"], metrics["ets.mase"], metrics["pinball"]
    assert mase.value is not None
    assert ets.value is not None
    assert mase.baseline is not None
    assert mase.value < ets.value < mase.baseline
    assert pinball.value is not None
    assert pinball.baseline is not None
    assert pinball.value < pinball.baseline
    bundle = trained.save(tmp_path / "bundle")
    assert [check for check in verify(bundle.path) if not check.ok] == []
    some = {name: rows.values(name)[:2] for name in trained.runtime.schema.names}
    answer = fermion.load(bundle.path).predict(some)
    assert [len(one) for one in answer["prediction"]] == [STEPS, STEPS]
    low, middle, high = (answer["quantiles"][0][level] for level in ("0.1", "0.5", "0.9"))
    assert all(a <= b <= c for a, b, c in zip(low, middle, high, strict=True))


def test_mase_by_hand() -> None:
    """The history 1, 3, 2, 5 has naive errors 2, 1, 3: a mean of 2. The forecast is off by 1 and 3."""
    truth = np.array([[6.0, 7.0, 1.0, 3.0, 2.0, 5.0], [6.0, np.nan, 4.0, 4.0, 4.0, 4.0]])
    said = np.array([[[5.0], [10.0]], [[5.0], [5.0]]])
    scored = Answered(kind="quantiles", truth=truth, said=said, about={"levels": np.array([0.5]), "season": np.array([1])})
    assert METRICS["mase"].score(scored) == pytest.approx(1.0)  # the second row never changed: it counts for nothing
    assert METRICS["pinball"].score(scored) == pytest.approx((1.0 + 0.5) / 2)


def test_forecasts_of_the_history_alone() -> None:
    t = np.arange(24)
    series = (10 + 0.5 * t + 3 * np.sin(2 * np.pi * t / 4))[None]
    naive, smoothed = (forecast(series[:, :20], 4, 4, (0.5,))[0, :, 0] for forecast in (seasonal_naive, smoothing))
    np.testing.assert_allclose(naive, series[0, 16:20] + 2)  # the season before, and how far that was off at the middle
    np.testing.assert_allclose(smoothed, series[0, 20:], atol=0.6)
    assert np.isnan(smoothing(series[:, :5], 2, 4, (0.5,))).all()


@pytest.mark.parametrize(
    ("values", "told"),
    [([[1.0, 2.0], [1.0]], "value must be a list of 2 numbers, as in the rows before"), ([["a"]], "value must be a list of numbers")],
)
def test_values_that_are_no_horizon(values: list[Any], told: str) -> None:
    with pytest.raises(DataError) as raised:
        Horizon(target="y").fit(values)
    assert told in str(raised.value)


def test_series_that_are_too_short_or_not_in_order() -> None:
    short = Table.of({"t": [1, 2], "x": [1.0, 2.0]})
    with pytest.raises(DataError, match="the series must be at least 4 steps long, got 2 at the most"):
        horizons(short, value="x", time="t", history=3, steps=1)
    with pytest.raises(DataError, match="the column `t` must be a moment once in each series"):
        horizons(Table.of({"t": [1, 1], "x": [1.0, 2.0]}), value="x", time="t", history=1, steps=1)
