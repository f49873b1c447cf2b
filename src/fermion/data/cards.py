"""Card transactions with planted fraud, and the features that a fraud model may know at the moment of a payment.

Written from the description in Le Borgne, Siblini, Lebichot, Bontempi: "Reproducible Machine Learning for Credit Card Fraud
Detection - Practical Handbook", Université Libre de Bruxelles, 2022, chapter 3 (simulator and baseline features).

Customers and terminals lie uniformly on a square of 100 by 100; a customer uses the terminals within a radius of 5. A customer's
payments a day are Poisson with a mean uniform in 0..4, their time of day normal around noon with 20,000 s (outside the day: none),
their amount normal with a mean uniform in 5..100 and half of it as deviation (negative: uniform in 0..2 means instead). Frauds are

1. every amount above 220;
2. every payment, for 28 days, at terminals that were compromised: two more each day;
3. a third of the payments, for 14 days, of customers whose card was copied: three more each day; these amounts are multiplied by 5.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.core.declared import Feature
from fermion.core.errors import SpecError, Told
from fermion.data.features import add
from fermion.data.table import Table

DAY = 86_400
SIDE, RADIUS = 100.0, 5.0
CUSTOMERS, TERMINALS = 5_000, 10_000  # the handbook's world, in which 3 cards are copied and 2 terminals compromised a day
WINDOWS, DELAY = (1, 7, 30), 7  # days


def _of_window(days: int) -> tuple[tuple[Feature, Feature], tuple[Feature, Feature]]:
    """The handbook's features of one window: two of the customer, and two of the terminal once frauds have been found."""
    window, delay = f"{days}d", f"{DELAY}d"
    return (
        Feature(take="count", by="customer_id", window=window, name=f"customer_count_{window}"),
        Feature(take="mean", of="amount", by="customer_id", window=window, name=f"customer_mean_amount_{window}"),
    ), (
        Feature(take="count", by="terminal_id", window=window, delay=delay, name=f"terminal_count_{window}"),
        Feature(take="mean", of="is_fraud", by="terminal_id", window=window, delay=delay, fill=0.0, name=f"terminal_risk_{window}"),
    )


# The handbook's 12 features in time, as a project file declares them: with w of 1, 7 and 30 days, how many payments and of what mean
# amount the customer made in (t - w, t]; how many the terminal saw in (t - d - w, t - d] and the share of frauds among them, 0
# without any, where d = 7 days is how long it takes until frauds are found.
FEATURES = tuple(feature for whose in (0, 1) for days in WINDOWS for feature in _of_window(days)[whose])


class CardTransactions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of card payments, sorted by time, with point-in-time features and the label `is_fraud`.

    The default is small (about 170,000 payments in under a second) for a first project. The handbook's own stream of about 1.75
    million is `customers=5000, terminals=10000, days=183`. In a smaller world proportionally fewer cards and terminals are attacked
    a day, so that the share of frauds stays at about 0.8 %.

    `features=false` leaves the features in time out, for a project that declares its own; `FEATURES` are the declarations of these.
    `scenario` adds the column of that name (0 genuine, else 1, 2, 3 as above). It says which rows are frauds: for analysis, never
    for a model.

    >>> stream = CardTransactions(customers=50, terminals=100, days=10)
    >>> stream.table().names[:5]
    ('transaction_id', 'time', 'customer_id', 'terminal_id', 'amount')
    """

    customers: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    terminals: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    days: Annotated[int, Meta(ge=1, le=10_000)] = 90
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    start: dt.date = dt.date(2018, 4, 1)
    features: bool = True
    scenario: bool = False

    def table(self) -> Table:
        """Generate it: the same settings give the same table.

        Raises:
            SpecError: so few customers and terminals that none is near another.
        """
        stream = self.payments()
        if not len(stream["time"]):
            raise SpecError(
                "sample://card-transactions",
                rule="given enough customers, terminals and days for one payment",
                given=Told(f"customers={self.customers}, terminals={self.terminals}, days={self.days}"),
                remedy="Use at least terminals=200: a customer needs one within a radius of 5.",
            )
        start = np.datetime64(self.start, "s")
        seconds_N = stream["time"]
        columns: dict[str, NDArray[np.generic]] = {
            "transaction_id": np.arange(len(seconds_N)),
            "time": (start + seconds_N.astype("timedelta64[s]")).astype("datetime64[us]"),
            "customer_id": stream["customer"],
            "terminal_id": stream["terminal"],
            "amount": stream["cents"] / 100,
        }
        weekday = (start.astype("datetime64[D]").astype(np.int64) + 3) % 7  # Monday is 0; 1970-01-01 was a Thursday
        columns["during_weekend"] = (weekday + seconds_N // DAY) % 7 >= 5
        columns["during_night"] = seconds_N % DAY // 3600 <= 6
        columns["is_fraud"] = stream["scenario"] > 0
        if self.scenario:
            columns["scenario"] = stream["scenario"]
        payments = Table.of(columns)
        if not self.features:
            return payments
        made = [feature.name for feature in FEATURES if feature.name is not None]
        names = list(payments.names)
        answer = names.index("is_fraud")
        return add(payments, FEATURES, time="time").select((*names[:answer], *made, *names[answer:]))

    def payments(self) -> dict[str, NDArray[np.int64]]:
        """The bare stream, sorted by time: `time` (seconds since the start), `customer`, `terminal`, `cents` and `scenario`."""
        rng = np.random.default_rng([self.seed, 0xCA4D])
        home_C2, shop_T2 = rng.uniform(0, SIDE, (self.customers, 2)), rng.uniform(0, SIDE, (self.terminals, 2))
        mean_C, rate_C = rng.uniform(5, 100, self.customers), rng.uniform(0, 4, self.customers)
        first_C, near = _terminals_in_reach(home_C2, shop_T2)
        reach_C = np.diff(first_C)

        count_CD = rng.poisson(rate_C[:, None], (self.customers, self.days))
        count_CD[reach_C == 0] = 0
        customer_N = np.repeat(np.arange(self.customers), count_CD.sum(axis=1))
        day_N = np.repeat(np.tile(np.arange(self.days), self.customers), count_CD.ravel())
        second_N = rng.normal(DAY / 2, 20_000, len(day_N)).astype(np.int64)
        kept = (second_N > 0) & (second_N < DAY)
        customer_N, day_N, second_N = customer_N[kept], day_N[kept], second_N[kept]
        mean_N = mean_C[customer_N]
        amount_N = rng.normal(mean_N, mean_N / 2)
        amount_N = np.where(amount_N < 0, rng.uniform(0, 2 * mean_N), amount_N)
        cents_N = np.rint(100 * amount_N).astype(np.int64)
        terminal_N = near[first_C[customer_N] + (rng.random(len(day_N)) * reach_C[customer_N]).astype(np.int64)]

        scenario_N = np.where(cents_N > 220_00, 1, 0)
        scenario_N[self._compromised(rng)[terminal_N, day_N]] = 2
        for rows in self._copied(rng, customer_N, day_N):
            cents_N[rows] *= 5
            scenario_N[rows] = 3
        order = np.argsort(day_N * DAY + second_N, kind="stable")
        stream = {"time": day_N * DAY + second_N, "customer": customer_N, "terminal": terminal_N, "cents": cents_N, "scenario": scenario_N}
        return {name: array[order] for name, array in stream.items()}

    def _compromised(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(terminals, days): whether a terminal's payments of a day are frauds."""
        bad_TD = np.zeros((self.terminals, self.days), dtype=np.bool_)
        for day, count in enumerate(_a_day(2 * self.terminals / TERMINALS, self.days)):
            bad_TD[rng.choice(self.terminals, count, replace=False), day : day + 28] = True
        return bad_TD

    def _copied(self, rng: np.random.Generator, customer_N: NDArray[np.int64], day_N: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """For each day the rows that a thief pays; rows are sorted by customer, then by day."""
        key_N = customer_N * self.days + day_N
        chosen: list[NDArray[np.int64]] = []
        for day, count in enumerate(_a_day(3 * self.customers / CUSTOMERS, self.days)):
            victims = rng.choice(self.customers, count, replace=False)
            low, high = np.searchsorted(key_N, [victims * self.days + day, victims * self.days + min(day + 14, self.days)])
            rows = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)]) if count else np.empty(0, dtype=np.int64)
            chosen.append(rng.choice(rows, len(rows) // 3, replace=False))
        return chosen


def _a_day(rate: float, days: int) -> list[int]:
    """Whole numbers for each day whose running sum stays within one of `rate` times the days."""
    return np.diff(np.floor(rate * np.arange(days + 1) + 1e-9)).astype(int).tolist()


def _terminals_in_reach(home_C2: NDArray[np.float64], shop_T2: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For customer c the terminals `near[first[c]:first[c + 1]]`."""
    counts, near = [np.zeros(1, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for start in range(0, len(home_C2), 256):
        offset_BT2 = home_C2[start : start + 256, None] - shop_T2
        close_BT = np.einsum("bti,bti->bt", offset_BT2, offset_BT2) < RADIUS**2
        counts.append(close_BT.sum(axis=1))
        near.append(np.nonzero(close_BT)[1])
    return np.cumsum(np.concatenate(counts)), np.concatenate(near)
