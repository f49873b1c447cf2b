"""The contract of features in time: the batch form and the row form of every `take`, and of declarations drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from fermion.core.declared import Feature
from fermion.testing.features import FeatureContract

TAKES = ("count", "sum", "mean", "deviation", "distinct", "last", "since", "ratio")
OF = dict.fromkeys(("sum", "mean", "deviation", "ratio"), ("amount", "fraud")) | dict.fromkeys(
    ("distinct", "last"), ("city", "amount", "shop")
)


@pytest.mark.parametrize("window", [None, "1h", "3d"])
@pytest.mark.parametrize("delay", [None, "2h", "1d"])
class TestEveryTake(FeatureContract):
    seeds = range(3)

    @pytest.fixture(autouse=True)
    def _declare(self, window: str | None, delay: str | None) -> None:
        self.features = [
            Feature(take=take, of=of, by="customer", window=window, delay=delay)  # type: ignore[arg-type]
            for take in TAKES
            for of in OF.get(take, (None,))
        ]


class TestAtRandom(FeatureContract):
    seeds = range(40)

    def declared(self, rng: np.random.Generator) -> Sequence[Feature]:
        def one_of(*options: Any) -> Any:
            return options[rng.integers(len(options))]

        features: list[Feature] = []
        for number in range(rng.integers(1, 9)):
            take = one_of(*TAKES)
            of = one_of(*OF.get(take, (None,)))
            features.append(
                Feature(
                    take=take,
                    of=of,
                    by=one_of(None, "customer", "shop", ("customer", "shop"), ("city",)),
                    window=one_of(None, "1ms", "60s", "30m", "1h", "1.5d", "1w"),
                    delay=one_of(None, None, "1s", "60s", "1h", "2d"),
                    fill=None if take == "last" and of == "city" else one_of(None, None, 0.0, -1.0, 0.5),
                    name=f"f{number}",
                )
            )
        return features

    def rows(self, rng: np.random.Generator, n: int = 240) -> list[dict[str, Any]]:
        rows = super().rows(rng, n)
        wide = rng.random() < 0.5
        for row in rows if wide else ():  # as uneven as floats get
            row["amount"] = None if row["amount"] is None else float(rng.normal() * 10.0 ** rng.integers(-12, 13))
        return rows


def test_every_take_is_tested() -> None:
    assert set(TAKES) == {take for option in get_args(get_type_hints(Feature)["take"]) for take in get_args(option)}
