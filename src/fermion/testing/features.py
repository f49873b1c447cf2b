"""What features in time promise, as tests, for any declarations:

class TestTheirs(FeatureContract):
    features = (Feature(take="mean", of="amount", by="customer", window="7d"), ...)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fermion.columns.features import Stream, entity_of, moment, name_of
from fermion.columns.panes import span_of
from fermion.core.declared import Feature
from fermion.core.errors import DataError
from fermion.data.features import add
from fermion.data.table import Table

Rows = list[dict[str, Any]]
LATENESS = 7_200  # seconds


class FeatureContract:
    """Set `features`. Their columns are those of `rows`: the entities `customer` and `shop`, the values `amount`, `city` and `fraud`."""

    features: Sequence[Feature]
    seeds: Sequence[int] = range(8)

    def declared(self, rng: np.random.Generator) -> Sequence[Feature]:
        """The declarations, the same for all seeds unless a suite draws its own."""
        return self.features

    def rows(self, rng: np.random.Generator, n: int = 240) -> Rows:
        """Rows as they happen, over about two weeks: with ties, with gaps, and with entities that stay away for days."""
        at = np.cumsum(rng.choice([0, 0, 60, 1_800, 3_600, 40_000], n))
        return [
            {
                "row": row,
                "at": int(at[row]),
                "customer": _or_none(rng, 0.05, f"c{rng.integers(4)}"),
                "shop": _or_none(rng, 0.05, int(rng.integers(-2, 3))),
                "amount": _or_none(rng, 0.1, float(np.round(rng.normal(20, 15), 2))),
                "city": _or_none(rng, 0.1, str(rng.choice(["Bern", "Rome", "Oslo"]))),
                "fraud": _or_none(rng, 0.1, bool(rng.random() < 0.3)),
            }
            for row in range(n)
        ]

    def test_batch_and_stream_are_equal_on_shuffled_arrivals(self) -> None:
        for seed in self.seeds:
            rng = np.random.default_rng(seed)
            features = self.declared(rng)
            arrivals = shuffled(self.rows(rng), rng)
            stream = Stream(features, time="at", lateness=LATENESS)
            finished = [row for arrival in arrivals for row in stream.push(arrival)] + stream.flush()
            assert [row["at"] for row in finished] == sorted(row["at"] for row in arrivals)
            equal(features, batch(arrivals, features), finished)

    def test_a_restart_changes_nothing(self) -> None:
        for seed in self.seeds:
            rng = np.random.default_rng(seed)
            features = self.declared(rng)
            arrivals = shuffled(self.rows(rng), rng)
            stream = Stream(features, time="at", lateness=LATENESS)
            finished: Rows = []
            for number, arrival in enumerate(arrivals):
                if number % 17 == 3:
                    saved, held = json.dumps(stream.state), stream
                    stream = Stream(features, time="at", lateness=LATENESS).restore(json.loads(saved))
                    assert stream.size <= held.size
                finished += stream.push(arrival)
            equal(features, batch(arrivals, features), finished + stream.flush())

    def test_what_comes_later_changes_nothing(self) -> None:
        rng = np.random.default_rng(0)
        features = self.declared(rng)
        rows = self.rows(rng)
        whole = batch(rows, features)
        for cut in (1, 100, 201):
            equal(features, whole[:cut], batch(rows[:cut], features))

    def test_values_within_the_delay_change_nothing(self) -> None:
        rng = np.random.default_rng(1)
        features = [feature for feature in self.declared(rng) if feature.delay and feature.of and feature.take != "ratio"]
        rows = self.rows(rng)
        for feature in features:
            known = rows[-1]["at"] - span_of(feature)[1] / 1e6
            other = [row | ({str(feature.of): None} if row["at"] > known else {}) for row in rows]
            equal([feature], batch(rows, [feature]), batch(other, [feature]))

    def test_what_has_left_every_window_is_forgotten(self) -> None:
        features = [feature for feature in self.declared(np.random.default_rng(2)) if feature.window]
        if not features:
            pytest.skip("all of them look at all of the past")
        stream = Stream(features, time="at")
        rows = self.rows(np.random.default_rng(2), n=400)
        largest = max(sum(span_of(feature)[at] or 0 for at in (0, 1)) for feature in features)
        kinds = len({entity_of(feature) for feature in features})
        for number, row in enumerate(rows):
            stream.push(row)
            held = sum(row["at"] * 10**6 - largest < moment(before["at"]) for before in rows[: number + 1])
            assert stream.size <= 2 * kinds * held + kinds  # a row and its entity for each kind of entity
        stream.push(rows[-1] | {"at": rows[-1]["at"] + largest})
        assert stream.size <= 2 * kinds

    def test_a_late_row_is_refused_and_changes_nothing(self) -> None:
        rng = np.random.default_rng(3)
        features = self.declared(rng)
        rows = self.rows(rng)
        stream = Stream(features, time="at", lateness=60)
        finished: Rows = []
        for row in rows:
            finished += stream.push(row)
            with pytest.raises(DataError, match="within the allowed lateness"):
                stream.push(row | {"at": row["at"] - 61})
        equal(features, batch(rows, features), finished + stream.flush())


def shuffled(rows: Rows, rng: np.random.Generator, lateness: int = LATENESS) -> Rows:
    """The rows in an order in which none arrives later than allowed."""
    arrives = [row["at"] + rng.integers(0, lateness + 1) for row in rows]
    return [rows[at] for at in np.argsort(arrives, kind="stable")]


def batch(rows: Rows, features: Sequence[Feature]) -> Rows:
    """The rows with the features of the batch form."""
    table = add(Table.of({name: [row[name] for row in rows] for name in rows[0]}), features, time="at")
    return [table.row(at) for at in range(len(table))]


def equal(features: Sequence[Feature], left: Rows, right: Rows) -> None:
    """The features of both are the same, row by row: all in every bit, but deviations to 1e-12."""
    ours = {row["row"]: row for row in left}
    assert len(ours) == len(left) == len(right)
    for row in right:
        for feature in features:
            name = name_of(feature)
            a, b = ours[row["row"]][name], row[name]
            close = feature.take == "deviation" and None not in (a, b) and a == pytest.approx(b, rel=1e-12, abs=1e-12)
            assert a == b or close, f"row {row['row']}: {name} is {a!r} and {b!r}"


def _or_none(rng: np.random.Generator, share: float, value: Any) -> Any:
    return None if rng.random() < share else value
