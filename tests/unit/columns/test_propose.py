from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from fermion.columns.propose import Proposal, propose
from fermion.columns.repair import Repaired
from fermion.core import registry


def found(values: Any) -> Proposal:
    proposal = propose(values)
    assert proposal is not None
    return proposal


def test_numbers_by_their_separators() -> None:
    chance = random.Random(0)
    truth = [round(chance.uniform(-1e6, 1e6), 2) for _ in range(400)]
    for thousands, decimal in ((",", "."), (".", ","), (" ", ","), ("'", ".")):
        swap = str.maketrans({",": thousands, ".": decimal})
        proposal = found([f"{x:,.2f}".translate(swap) for x in truth])
        column = Repaired(column=registry.find("columns", proposal.type)(), repair=proposal.repair)
        np.testing.assert_allclose(np.asarray(column.repaired([f"{x:,.2f}".translate(swap) for x in truth]), float), truth)
        assert (proposal.unreadable, proposal.notes) == (0, ())


def test_signs_and_units() -> None:
    money = found(["$1,200.00", "€ 5.50", "-$3", "7", "n/a"])
    assert (set(money.repair.strip), money.repair.thousands, money.repair.missing, money.repaired) == ({"$", "€"}, ",", ("n/a",), 5)
    share = found(["5%", "12.5 %", "0.3"])
    assert share.repair.strip == ("%",)
    assert "have no %" in share.notes[0]
    mass = found(["1.5 kg", "300 g", "2kg", "70", "4 lb"])
    assert mass.repair.units == {"kg": 1.0, "g": 0.001, "lb": 0.45359237}
    assert "1 rows have no unit: they are taken for kg." in mass.notes
    assert propose(["1 kg", "2 m", "3 kg", "4 s"]) is None


def test_what_cannot_be_decided_is_said() -> None:
    assert "decimals or for thousands cannot be told" in found(["1,234", "5,678"]).notes[0]
    assert "cannot be told" in found(["01/02/2026", "03/04/2026"]).notes[0]
    assert "Both %d/%m/%Y and %m/%d/%Y are used; 1 rows" in found(["13/02/2026", "14/02/2026", "02/13/2026", "01/02/2026"]).notes[0]


def test_truth_and_dates() -> None:
    assert found(["Yes", "no", "NO ", "?"]).repair.truth == {"no": False, "yes": True}
    assert found(["13/02/2026", "01/02/2026"]).repair.dates == ("%d/%m/%Y",)
    assert found(["02/13/2026", "01/02/2026"]).repair.dates == ("%m/%d/%Y",)
    mixed = found(["2026-01-31", "31.01.2026", "Jan 5, 2026", "5 March 2026", "31.01.26 18:30", ""])
    assert set(mixed.repair.dates) == {"%d.%m.%Y", "%b %d, %Y", "%d %B %Y", "%d.%m.%y %H:%M"}
    assert (mixed.type, mixed.repaired, mixed.unreadable) == ("time", 6, 0)


def test_spellings_of_names_are_merged_into_the_most_frequent() -> None:
    proposal = found(["NYC"] * 5 + ["nyc ", "N.Y.C.", "New York", "New York", "new  york", "New-York", "Bern", "none", "NA"] * 2)
    assert proposal.repair.merge == {"nyc": "NYC", "N.Y.C.": "NYC", "new york": "New York", "New-York": "New York"}
    assert proposal.repair.missing == ("NA",)
    assert "none: taken for a name" in proposal.notes[0]
    assert (proposal.type, proposal.repaired) == ("category", 10)


@pytest.mark.parametrize(
    "values",
    [
        ["00123", "00456"],
        ["A", "A-", "A+", "B", "B-"] * 3,
        ["A1", "B2"] * 5,
        ["1.5.2", "1.5.3"],
        ["1.5", "15", "1-5"],
        ["2026-01-31", "2026-02-01"],
        ["10:30", "11:45"],
        ["red", "blue"],
        [f"text number {n}" for n in range(100)],
        [1.5, None],
        [],
        np.array([1.0]),
    ],
)
def test_what_wants_no_repair(values: Any) -> None:
    assert propose(values) is None


def test_rows_that_it_cannot_read_are_counted_and_shown() -> None:
    proposal = found([str(n) for n in range(99)] + ["oops"])
    assert (proposal.unreadable, proposal.unread, proposal.repaired) == (1, ("oops",), 99)
    assert propose([str(n) for n in range(10)] + ["oops"]) is None


def test_very_many_texts_are_sampled() -> None:
    proposal = found([f"{n:,}.5" for n in range(50_000)])
    assert proposal.repair.thousands == ","
    assert proposal.repaired <= 20_000
