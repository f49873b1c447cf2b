from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core.errors import SpecError
from fermion.core.spec import Spec, load
from fermion.data import sources
from fermion.data.loans import CITIES, EMPLOYMENT, MISSING, LoanApplications
from fermion.data.samples import sample
from fermion.practice.collecting import mended

PROJECT = Path(__file__).resolve().parents[3] / "projects" / "credit-risk" / "fermion.yaml"
LOANS = LoanApplications(rows=3_000, seed=4)


@pytest.fixture(scope="module")
def dirty() -> pl.DataFrame:
    return LOANS.table().frame


@pytest.fixture(scope="module")
def clean() -> pl.DataFrame:
    return LoanApplications(rows=3_000, seed=4, clean=True).table().frame


def test_the_same_settings_give_the_same_table() -> None:
    small = LoanApplications(rows=200)
    assert small.table().fingerprint == LoanApplications(rows=200).table().fingerprint
    assert small.table().fingerprint != LoanApplications(rows=200, seed=1).table().fingerprint


def test_it_is_a_sample_with_settings() -> None:
    assert len(sample("loan-applications?rows=100&clean=true")) == 100
    with pytest.raises(SpecError, match="rows"):
        sources.read("sample://loan-applications?rows=3", folder=Path())


def test_clean_means_numbers_and_dates_and_nothing_from_after_the_outcome(clean: pl.DataFrame) -> None:
    assert clean.height == 3_000
    assert not {"collection_calls", "recovered"} & set(clean.columns)
    assert sum(clean.null_count().row(0)) == 0
    assert all(clean[name].dtype.is_numeric() for name in ("income", "debt", "rate", "history", "utilisation"))
    assert clean["applied_on"].is_sorted()
    assert set(clean["employment"]) == set(EMPLOYMENT)
    assert set(clean["city"]) == set(CITIES)
    assert (clean["birth_date"] <= clean["applied_on"] - dt.timedelta(days=19 * 365)).all(), "adults apply"


def test_the_dirt_is_what_the_class_says(dirty: pl.DataFrame) -> None:
    assert dirty.height == 3_000 + 60 + 30, "2 % repeated, 1 % typed twice"
    assert dirty.height - dirty.unique().height == 60
    income = dirty["income"].drop_nulls()
    assert 0.12 < np.mean(income.str.ends_with(" monthly").to_numpy()) < 0.18
    assert income.str.starts_with("$").any()
    assert set(income.filter(~income.str.contains(r"\d"))) == set(MISSING)
    shapes = dirty["applied_on"].str.replace_all(r"\d", "9").str.replace_all("[A-Za-z]+", "A")
    assert set(shapes) == {"9999-99-99", "99.99.9999", "A 99, 9999"}
    assert dirty["city"].n_unique() == sum(len(spellings) for spellings in CITIES.values())


def test_risk_follows_income_history_and_earlier_defaults_and_rises(clean: pl.DataFrame) -> None:
    bad = clean.with_columns((pl.col("defaulted") == "yes").alias("bad"))
    share: Any = bad["bad"].mean()
    assert 0.06 < share < 0.2

    def risk(rows: pl.Expr) -> float:
        return float(bad.filter(rows)["bad"].mean())  # type: ignore[arg-type]

    middle = pl.col("income").median()
    assert risk(pl.col("income") < middle) > 1.5 * risk(pl.col("income") >= middle)
    assert risk(pl.col("earlier_default")) > 2 * risk(~pl.col("earlier_default"))
    assert risk(pl.col("employment") == "unemployed") > 2 * risk(pl.col("employment") == "retired")
    half = pl.col("applied_on") < pl.col("applied_on").median()
    assert risk(~half) > risk(half)
    assert abs(risk(pl.col("gender") == "female") - risk(pl.col("gender") == "male")) < 0.04, "gender itself changes nothing"


def test_two_columns_are_known_only_after_the_outcome(dirty: pl.DataFrame) -> None:
    bad = (dirty["defaulted"] == "yes").to_numpy()
    calls = dirty["collection_calls"].to_numpy()
    assert (calls[bad] >= 1).all()
    assert (calls[~bad] >= 1).mean() < 0.1
    assert (dirty["recovered"].to_numpy()[~bad] == 0).all()


def test_the_projects_repairs_give_the_clean_values_back(dirty: pl.DataFrame, clean: pl.DataFrame) -> None:
    """All that is repairable: a factor of 100 in an income is for an outlier step, a lost value is lost."""
    spec: Spec = load(PROJECT)
    made = mended(LOANS.table(), spec).frame.unique("application_id", keep="first", maintain_order=True)
    assert made["application_id"].to_list() == clean["application_id"].to_list()
    assert (made["applied_on"].cast(pl.Date) == clean["applied_on"].cast(pl.Date)).all()
    assert (made["rate"] - clean["rate"]).abs().max() < 0.0051  # type: ignore[operator]
    assert (made["history"] - clean["history"]).abs().max() <= 1 / 24 + 1e-9  # type: ignore[operator]
    assert made["city"].to_list() == clean["city"].str.to_lowercase().to_list()
    assert made["earlier_default"].to_list() == clean["earlier_default"].to_list()
    for name, share in (("income", 0.005), ("debt", 0.0)):
        known = made[name].fill_nan(None).is_not_null().to_numpy()
        assert 0.94 < known.mean() < 0.985
        ratio = (made[name] / clean[name]).to_numpy()[known]
        assert np.isclose(ratio, 1.0, rtol=1e-4, atol=0.01).mean() > 1 - share - 0.005
        assert set(np.round(ratio).astype(int)) <= {1, 100}
    job = made["employment"]
    assert (job.drop_nulls() == clean["employment"].filter(job.is_not_null())).all()
