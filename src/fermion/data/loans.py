"""Loan applications as a bank's export has them: useful, messy, drifting, and with columns that nobody may learn from.

Everything is drawn by this file; no person and no bank is behind it. The portfolio follows what textbooks say of such books of
consumer loans (Thomas, Edelman, Crook: "Credit Scoring and Its Applications", SIAM, 2002): the odds of default fall with income,
years of credit history and employment and rise with debt, utilisation, rate, earlier defaults and short relations; rates and losses
rise over the two years of the export.

The log-odds of default of an application are

    z = -4.4 + 1.8 log(1 + 4 dti) - .7 log(income / 40000) - .08 history + 2 utilisation + 1.3 earlier + e(employment)
        + .2 (rate - 7) + .4 t + noise, normal with .3

with dti the yearly payments over the income and t the share of the two years that has gone.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from fermion.data.table import Table

DAYS = 730
EMPLOYMENT = {"employed": 0.0, "self-employed": 0.5, "retired": -0.2, "student": 0.7, "unemployed": 1.6}
CITIES = {
    "Springfield": ("Springfield", "springfield ", "SPRINGFIELD"),
    "Riverton": ("Riverton", "riverton", " Riverton"),
    "Lakeside": ("Lakeside", "LAKESIDE"),
    "Hill Valley": ("Hill Valley", "hill  valley", "Hill valley "),
    "Northport": ("Northport", "northport"),
}
PURPOSES = ("car", "furniture", "education", "debt consolidation", "home improvement", "medical")
FIRST = (
    "Anna", "Bruno", "Carmen", "Charles", "Eve", "Finn", "Gia", "Hugo", "Ines",
    "Jon", "Kira", "Leo", "Mona", "Nils", "Olga", "Paul", "Rosa", "Sam",
)  # fmt: skip
LAST = (
    "Abel", "Baker", "Cruz", "Diaz", "Evans", "Fox", "Grant", "Hale", "Ito", "Jensen", "Khan", "Lopez", "Meyer", "Novak", "Okafor", "Price",
)  # fmt: skip
MISSING = ("n/a", "-", "unknown")


class LoanApplications(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An export of loan applications, in order of `applied_on`, with the target `defaulted` (yes or no).

    The dirt: dates in three forms, amounts with currency signs and thousands, rates with percent signs, incomes by the month, cities
    and employments in several spellings, words for missing values, repeated rows (2 %), rows typed twice with a slip (1 %), incomes
    a hundred times too large (0.5 %). `collection_calls` and `recovered` are known only after the outcome: a model must not see them.
    `clean` gives the same applications without any dirt and without these two.

    >>> table = LoanApplications(rows=200).table()
    >>> table.names[:6]
    ('application_id', 'customer_id', 'applied_on', 'applicant', 'email', 'birth_date')
    """

    rows: Annotated[int, Meta(ge=50, le=5_000_000)] = 8_000
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    start: dt.date = dt.date(2023, 1, 1)
    clean: bool = False

    def table(self) -> Table:
        """Generate it: the same settings give the same table."""
        rng = np.random.default_rng([self.seed, 0x10A4])
        n = self.rows
        day_N = np.sort(rng.integers(0, DAYS, n))
        passed_N = day_N / DAYS
        people = max(n * 4 // 5, 1)
        person_N = rng.integers(0, people, n)
        birth_P = rng.integers(-365 * 68, -365 * 19, people)  # days before the export begins
        woman_P = rng.random(people) < 0.5
        city_P = rng.choice(len(CITIES), people, p=[0.35, 0.25, 0.2, 0.12, 0.08])
        job_P = rng.choice(len(EMPLOYMENT), people, p=[0.64, 0.14, 0.12, 0.05, 0.05])
        level_P = rng.normal(10.6, 0.45, people) - 0.5 * (job_P >= 3)
        history_P = np.minimum(rng.gamma(2.2, 4.0, people), np.maximum((-birth_P / 365 - 18), 0.5))
        earlier_P = rng.random(people) < 0.12

        income_N = np.exp(level_P[person_N] + 0.08 * passed_N + rng.normal(0, 0.05, n)).round(2)
        amount_N = np.round(np.exp(rng.normal(9.0, 0.7, n)) / 100) * 100
        months_N = rng.choice([12, 24, 36, 48, 60], n, p=[0.15, 0.25, 0.3, 0.15, 0.15])
        utilisation_N = rng.beta(2.0, 3.5, n).round(3)
        accounts_N = rng.poisson(3.5, n)
        rate_N = np.round(5.0 + 3.5 * passed_N + 2.0 * earlier_P[person_N] + 1.5 * utilisation_N + rng.gamma(2.0, 0.6, n), 2)
        debt_N = np.round(rng.gamma(1.4, 0.12, n) * income_N, 2)
        history_N = history_P[person_N]
        dti_N = (amount_N / months_N * 12 + 0.2 * debt_N) / income_N
        effect_J = np.array(list(EMPLOYMENT.values()))
        z_N = (
            -4.4
            + 1.8 * np.log1p(4 * dti_N)
            - 0.7 * np.log(income_N / 40_000)
            - 0.08 * history_N
            + 2.0 * utilisation_N
            + 1.3 * earlier_P[person_N]
            + effect_J[job_P[person_N]]
            + 0.2 * (rate_N - 7)
            + 0.4 * passed_N
            + rng.normal(0, 0.3, n)
        )
        bad_N = rng.random(n) < 1 / (1 + np.exp(-z_N))
        calls_N = np.where(bad_N, rng.poisson(6.0, n) + 1, rng.poisson(0.05, n))
        recovered_N = np.where(bad_N, np.round(amount_N * rng.beta(1.2, 3.0, n), 2), 0.0)

        date_N = np.datetime64(self.start) + day_N
        birth_N = np.datetime64(self.start) + birth_P[person_N]
        names = [f"{FIRST[p % len(FIRST)]} {LAST[p // len(FIRST) % len(LAST)]}" for p in person_N.tolist()]
        jobs, cities = list(EMPLOYMENT), list(CITIES)
        columns: dict[str, Any] = {
            "application_id": [f"LA-{k:07d}" for k in range(n)],
            "customer_id": [f"C{p:06d}" for p in person_N.tolist()],
            "applied_on": date_N.astype("datetime64[us]"),
            "applicant": names,
            "email": [f"{name.lower().replace(' ', '.')}{p}@example.com" for name, p in zip(names, person_N.tolist(), strict=True)],
            "birth_date": birth_N.astype("datetime64[us]"),
            "gender": np.where(woman_P[person_N], "female", "male").tolist(),
            "city": [cities[c] for c in city_P[person_N].tolist()],
            "employment": [jobs[j] for j in job_P[person_N].tolist()],
            "income": income_N,
            "debt": debt_N,
            "amount": amount_N,
            "months": months_N,
            "purpose": rng.choice(PURPOSES, n).tolist(),
            "rate": rate_N,
            "history": np.round(history_N, 1),
            "utilisation": utilisation_N,
            "accounts": accounts_N,
            "earlier_default": earlier_P[person_N].tolist(),
            "collection_calls": calls_N,
            "recovered": recovered_N,
            "defaulted": np.where(bad_N, "yes", "no").tolist(),
        }
        if self.clean:
            del columns["collection_calls"], columns["recovered"]
            return Table.of(columns)
        return _soiled(columns, np.random.default_rng([self.seed, 0xD127]))


def _soiled(columns: dict[str, Any], rng: np.random.Generator) -> Table:
    """The same applications as people and old systems write them down."""
    n = len(columns["application_id"])
    huge_N = rng.random(n) < 0.005
    monthly_N = rng.random(n) < 0.15
    income_N = np.where(huge_N, columns["income"] * 100, columns["income"])
    columns["income"] = _lost(
        rng,
        [f"{x / 12:,.2f} monthly" if m else f"${x:,.2f}" if x > 60_000 else f"{x:,.2f}" for x, m in zip(income_N, monthly_N, strict=True)],
    )
    columns["rate"] = [f"{x:.2f}%" for x in columns["rate"]]
    columns["debt"] = _lost(rng, [f"{x:,.2f}" for x in columns["debt"]], share=0.03)
    months = rng.random(n) < 0.2
    columns["history"] = [f"{round(12 * x)} months" if m else f"{x:.1f} years" for x, m in zip(columns["history"], months, strict=True)]
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%b %d, %Y")
    form_N = rng.choice(3, n, p=[0.7, 0.2, 0.1])
    columns["applied_on"] = [day.strftime(forms[form]) for day, form in zip(columns["applied_on"].tolist(), form_N.tolist(), strict=True)]
    columns["city"] = [CITIES[city][int(rng.integers(len(CITIES[city])))] for city in columns["city"]]
    columns["employment"] = _lost(rng, [job.upper() if rng.random() < 0.15 else job for job in columns["employment"]], share=0.02)
    columns["earlier_default"] = [("Y" if rng.random() < 0.3 else "yes") if bad else "no" for bad in columns["earlier_default"]]
    columns["utilisation"] = np.where(rng.random(n) < 0.06, np.nan, columns["utilisation"])
    whole = Table.of(columns)
    again_N = np.sort(rng.choice(n, n // 50, replace=False))
    slip_N = np.sort(rng.choice(n, n // 100, replace=False))
    twice, slipped = whole.take(again_N), whole.take(slip_N)
    slipped = slipped.with_column("amount", slipped.values("amount") + 100.0)  # type: ignore[operator]
    order = np.argsort(np.concatenate([np.arange(n), again_N, slip_N]), kind="stable")
    import polars as pl

    return Table(pl.concat([whole.frame, twice.frame, slipped.frame])).take(order)


def _lost(rng: np.random.Generator, values: list[str], share: float = 0.04) -> list[str | None]:
    """Some values are words for missing, some are not there at all."""
    drawn_N = rng.random(len(values))
    return [
        None if u < share / 4 else MISSING[int(u / share * 100) % 3] if u < share else value
        for value, u in zip(values, drawn_N, strict=True)
    ]
