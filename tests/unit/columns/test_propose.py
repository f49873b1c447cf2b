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


def test_durations_of_the_calendar() -> None:
    proposal = found(["1.5 years", "12 months", "2 years", "6 months", "10 yrs"] + ["3 years"] * 5)
    assert proposal.type == "number"
    column = Repaired(column=registry.find("columns", "number")(), repair=proposal.repair)
    assert column.repaired(["1.5 years", "18 months", "10 yrs"]) == pytest.approx([1.5, 1.5, 10.0])
    weeks = found(["2 weeks", "14 days", "3 weeks", "1 week"])
    assert (weeks.repair.units["weeks"], weeks.repair.units["days"]) == (1.0, pytest.approx(1 / 7))
    terms = found(["12m", "2y", "36m"])
    assert terms.repair.units == {"m": 1.0, "y": 12.0}
    assert found(["12m", "2y", "36m", "24"]).notes == ("1 rows have no unit: they are taken for m.",)
    assert found(["3 m", "250 cm", "4 m"]).repair.units == {"m": 1.0, "cm": 0.01}, "with other lengths m is a metre"


def test_amounts_per_period() -> None:
    paid = found(["1,200 EUR per month", "15,000 EUR p.a.", "€1,100/month", "900 EUR per month"])
    assert set(paid.repair.strip) == {"EUR", "€"}
    column = Repaired(column=registry.find("columns", "number")(), repair=paid.repair)
    assert column.repaired(["1,000 EUR per month", "12,000 EUR p.a.", "€1,000/month"]) == pytest.approx([1000.0, 1000.0, 1000.0])
    assert found(["5 % p.a.", "6 % p.a."]).repair.strip == ("%",)


def test_numbers_without_a_unit_are_of_the_unit_that_brings_them_nearest_to_the_others() -> None:
    chance = random.Random(1)
    truth = [round(chance.lognormvariate(10.5, 0.5), 2) for _ in range(400)]
    proposal = found([f"{x / 12:.2f} monthly" if row % 5 == 0 else f"{x:.2f}" for row, x in enumerate(truth)])
    assert proposal.repair.units == {"monthly": 12.0}
    assert proposal.notes == ("320 rows have no unit: they are taken for yearly, which brings them nearest to the others.",)
    grams = found([f"{x / 1000:.3f} kg" if row % 2 else f"{x:.0f} g" if row % 4 else f"{x:.0f}" for row, x in enumerate(truth)])
    assert grams.repair.units["kg"] == pytest.approx(1000.0)
    assert grams.repair.units["g"] == 1.0
    few = found(["1.5 kg", "2 kg", "70"])
    assert few.repair.units == {"kg": 1.0}, "from few texts the most frequent unit"


def test_unknown_is_missing_in_numbers_and_may_be_a_level_of_a_category() -> None:
    assert found(["1,5", "2,5", "unknown", "Unbekannt"]).repair.missing == ("Unbekannt", "unknown")
    assert propose(["red", "unknown", "blue"] * 3) is None
    mixed = found(["red", "Red ", "unknown", "blue"] * 3)
    assert mixed.repair.missing == ()
    assert "unknown: taken for a name" in mixed.notes[0]
