"""Known damage done to clean tables: how much of it `fermion data clean --suggest` would mend, and what outlier steps find.

    FERMION_DATA=/path/to/data python benchmarks/data/damage.py

Texts: every column that a kind of damage can be done to is damaged alone, `propose` sees the damaged texts, and a column counts as mended
when all its values are as they were before (amounts up to one factor for the whole column, for the base unit is free; names up to one new
spelling for each). Clean columns of texts go through it as well: what it proposes there is listed, for a person to judge.

Outliers: 2 % of a number column times 1000, or over 1000, as where two systems keep different units; precision and recall are those of
rows, over all columns, at the default limits. The isolation forest looks at all number columns of a table at once, told the true share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec import structs
from numpy.typing import NDArray

from fermion.columns.propose import Proposal, propose
from fermion.columns.repair import Repaired
from fermion.core import registry
from fermion.core.declared import Clean, Outliers
from fermion.data import sources
from fermion.data.clean import clean
from fermion.data.loans import LoanApplications
from fermion.data.split import Marks
from fermion.data.table import Table
from fermion.practice.planning import far_off

OUT = Path(__file__).with_suffix(".json")
ROWS = 4_000  # of each table, evenly over its length
SHARE = 0.02  # of the rows of a column in another unit
ALONE = {  # outlier steps that look at one column, and positive numbers by their logarithms
    "iqr": Outliers(by="iqr"),
    "robust_z": Outliers(by="robust_z"),
    "robust_z of logarithms": Outliers(by="robust_z", log=True),
}
WORDS = ("n/a", "-", "unknown")
FORMS = ("%Y-%m-%d", "%d.%m.%Y", "%b %d, %Y", "%Y/%m/%d")

Rng = np.random.Generator


def tables() -> Iterator[tuple[str, pl.DataFrame]]:
    """Tables that are taken for clean."""
    folder = Path(os.environ["FERMION_DATA"])
    yield "taiwan_credit_default", sources.read("taiwan_credit_default/UCI_Credit_Card.csv.gz", folder=folder).frame
    yield "german_credit", sources.read("german_credit/germancredit.csv", folder=folder).frame
    for name in ("adult", "bank_marketing"):
        yield name, pl.read_parquet(folder / "tabular_suite_A" / f"{name}.parquet")
    yield "support2", sources.read("support2/support2.csv.gz", folder=folder).frame
    yield "loan-applications", LoanApplications(clean=True).table().frame.drop("birth_date")
    yield "online_retail_ii", pl.read_parquet(folder / "online_retail_ii" / "online_retail_ii.parquet")


def plain(x: float) -> str:
    """A number as people write it: without an exponent, whole numbers without a point."""
    return f"{x:.10f}".rstrip("0").rstrip(".") if x != int(x) else str(int(x))


def grouped(x: float) -> str:
    whole, _, rest = plain(abs(x)).partition(".")
    return f"{'-' if x < 0 else ''}{int(whole):,}{'.' + rest if rest else ''}"


def continental(x: float) -> str:
    return grouped(x).translate(str.maketrans({",": ".", ".": ","}))


def some(rng: Rng, share: float, usual: Callable[[Any], str], other: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: other(value) if rng.random() < share else usual(value)


def spelled(rng: Rng) -> Callable[[str], str]:
    """A name as it stands, or in a fifth of the rows in other letters or with spaces around it."""
    ways: tuple[Callable[[str], str], ...] = (
        str.upper,
        str.lower,
        lambda name: f" {name}",
        lambda name: f"{name} ",
        lambda name: f"  {name.lower()}",
    )
    return some(rng, 0.2, str, lambda name: ways[int(rng.integers(len(ways)))](name))


def number_damage(x_N: NDArray[np.float64]) -> dict[str, Callable[[Rng], Callable[[float], str]]]:
    """The kinds of damage that can be done to these numbers."""
    whole, large = bool((x_N == np.round(x_N)).all()), bool((abs(x_N) >= 1000).any())
    kinds: dict[str, Callable[[Rng], Callable[[float], str]]] = {
        "words for missing": lambda rng: some(rng, 0.05, plain, lambda _: WORDS[int(rng.integers(3))]),
        "percent": lambda _: lambda x: f"{plain(x)}%",
        "units, all named": lambda rng: some(rng, 0.4, lambda x: f"{plain(x)} kg", lambda x: f"{plain(round(x * 1000, 6))} g"),
        "units, some named": lambda rng: some(rng, 0.2, plain, lambda x: f"{plain(round(x * 1000, 6))} g"),
        "per month and per year": lambda rng: some(rng, 0.15, lambda x: f"${grouped(x)}", lambda x: f"${x / 12:,.10f} monthly"),
    }
    if whole and x_N.min() >= 0:
        kinds["years and months"] = lambda rng: some(rng, 0.3, lambda x: f"{plain(x)} years", lambda x: f"{plain(12 * x)} months")
    if large:
        kinds["thousands"] = lambda _: grouped
        kinds["currency"] = lambda rng: some(rng, 0.5, grouped, lambda x: f"€ {grouped(x)}")
    if not whole:
        kinds["decimal comma"] = lambda _: continental
    return kinds


def mended(proposal: Proposal | None, texts: list[Any]) -> list[Any] | None:
    """The values by a proposal, or None where there is none or it cannot read all."""
    if proposal is None or proposal.unreadable:
        return None
    made: Any = Repaired(column=registry.find("columns", proposal.type)(), repair=proposal.repair).repaired(texts)
    listed: list[Any] = made.tolist() if isinstance(made, np.ndarray) else list(made)
    return [None if isinstance(one, float) and one != one else one for one in listed]


def same_numbers(truth: list[Any], found: list[Any] | None, lost: list[bool]) -> bool:
    if found is None or not all(one is None or isinstance(one, int | float) for one in found):
        return False
    pairs = [(a, b) for a, b, gone in zip(truth, found, lost, strict=True) if not gone]
    if any(b is None for _, b in pairs) or any(b is not None for b, gone in zip(found, lost, strict=True) if gone):
        return False
    a_N, b_N = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    factor = float(np.median(b_N[a_N != 0] / a_N[a_N != 0]))
    return bool(np.allclose(a_N * factor, b_N, rtol=1e-6, atol=1e-9))


def same_names(truth: list[Any], found: list[Any] | None) -> bool:
    """Whether each name became one name."""
    if found is None:
        return False
    pairs = set(zip(truth, found, strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def texts_of(name: str, frame: pl.DataFrame, rng: Rng, count: Callable[[str, str, bool], None]) -> None:
    """Every damage to every column of a table."""
    for column in frame.columns:
        series = frame[column].drop_nulls()
        dtype, place = series.dtype, f"{name}.{column}"
        if dtype.is_numeric() and series.n_unique() > 2:
            x_N = series.drop_nans().cast(pl.Float64).to_numpy() if dtype.is_float() else series.cast(pl.Float64).to_numpy()
            truth: list[Any] = x_N.tolist()
            for kind, make in number_damage(x_N).items():
                texts: list[Any] = [make_one(x) for make_one in (make(rng),) for x in truth]
                lost = [text in WORDS for text in texts]
                count(kind, place, same_numbers(truth, mended(propose(texts), texts), lost))
        elif dtype == pl.Boolean or (series.n_unique() == 2 and dtype.is_integer()):
            values = series.cast(pl.Boolean).to_list() if dtype == pl.Boolean else (series == series.max()).to_list()
            words = {True: ("yes", "Y", "Yes "), False: ("no", "N", "NO")}
            texts = [words[value][int(rng.integers(3))] for value in values]
            count("yes and no", place, mended(propose(texts), texts) == values)
        elif dtype.is_temporal():
            days = series.cast(pl.Date)
            texts = [day.strftime(FORMS[int(rng.integers(len(FORMS)))]) for day in days.to_list()]
            found = mended(propose(texts), texts)
            count("dates in four forms", place, found is not None and pl.Series(found).cast(pl.Date).to_list() == days.to_list())
        elif dtype == pl.String and 2 <= series.n_unique() <= 200:
            truth = series.to_list()
            damage = spelled(rng)
            texts = [damage(value) for value in truth]
            count("spellings of names", place, same_names(truth, mended(propose(texts), texts)))


def outliers_of(
    frame: pl.DataFrame,
    rng: Rng,
    count: Callable[[str, NDArray[np.bool_], NDArray[np.bool_]], None],
    column: Callable[[str, bool], None],
) -> None:
    """2 % of each number column in another unit: what each step finds of it, and whether a step is proposed at all."""
    names = [name for name in frame.columns if frame[name].dtype.is_numeric() and frame[name].n_unique() >= 20]
    columns = {name: frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names}
    marks = Marks(codes=np.zeros(len(frame), dtype=np.int8), by="random")
    for told, factor in (("times 1000", 1000.0), ("over 1000", 0.001)):
        everywhere = {name: x_N.copy() for name, x_N in columns.items()}
        at_N = rng.random(len(frame)) < SHARE
        which_N = rng.integers(len(names), size=len(frame))
        wrong_N = np.zeros(len(frame), dtype=np.bool_)
        for position, (name, x_N) in enumerate(columns.items()):
            can_N = ~np.isnan(x_N) & (x_N != 0)
            hit_N = can_N & (rng.random(len(frame)) < SHARE)
            damaged_N = np.where(hit_N, x_N * factor, x_N)
            table = Table.of({name: damaged_N})
            column(f"columns {told}", far_off(damaged_N))
            for step, plan in ALONE.items():
                cleaned = clean(table, marks, Clean(outliers=(structs.replace(plan, columns=(name,)),)))
                count(f"{step}, {told}", hit_N, rows(cleaned.aside, len(frame)))
            here_N = at_N & (which_N == position) & can_N
            everywhere[name][here_N] *= factor
            wrong_N |= here_N
        plan = Clean(outliers=(Outliers(by="isolation", limit=SHARE),))
        count(f"isolation, {told}", wrong_N, rows(clean(Table.of(everywhere), marks, plan).aside, len(frame)))
    for name, x_N in columns.items():
        column("columns without damage", far_off(x_N))
        nothing_N = np.zeros(len(frame), dtype=np.bool_)
        for step, plan in ALONE.items():
            cleaned = clean(Table.of({name: x_N}), marks, Clean(outliers=(structs.replace(plan, columns=(name,)),)))
            count(f"{step}, no damage", nothing_N, rows(cleaned.aside, len(frame)))


def rows(aside: Any, n: int) -> NDArray[np.bool_]:
    taken_N = np.zeros(n, dtype=np.bool_)
    taken_N[[one.row for one in aside]] = True
    return taken_N


def main() -> None:
    texts: dict[str, dict[str, Any]] = {}
    rates: dict[str, list[int]] = {}
    proposed: dict[str, str] = {}
    looked = 0

    def count_text(kind: str, place: str, good: bool) -> None:
        one = texts.setdefault(kind, {"columns": 0, "mended": 0, "not": []})
        one["columns"] += 1
        one["mended"] += good
        one["not"] += [] if good else [place]

    def count_rows(step: str, wrong_N: NDArray[np.bool_], taken_N: NDArray[np.bool_]) -> None:
        one = rates.setdefault(step, [0, 0, 0, 0])
        for position, number in enumerate((wrong_N.sum(), taken_N.sum(), (wrong_N & taken_N).sum(), len(wrong_N))):
            one[position] += int(number)

    columns: dict[str, list[int]] = {}

    def count_columns(kind: str, found: bool) -> None:
        one = columns.setdefault(kind, [0, 0])
        one[0] += 1
        one[1] += found

    for number, (name, whole) in enumerate(tables()):
        frame = whole.gather_every(max(1, len(whole) // ROWS)).head(ROWS)
        for column in frame.columns:
            if frame[column].dtype == pl.String:
                looked += 1
                found = propose(frame[column].to_list())
                if found is not None:
                    proposed[f"{name}.{column}"] = f"{found.type}: {', '.join(f'{a!r} -> {b!r}' for a, b in found.examples[:3])}"
        texts_of(name, frame, np.random.default_rng([number, 1]), count_text)
        outliers_of(frame, np.random.default_rng([number, 2]), count_rows, count_columns)
    outliers: dict[str, dict[str, Any]] = {}
    for step, (wrong, taken, right, of) in rates.items():
        if step.endswith("no damage"):
            outliers[step] = {"taken": round(taken / of, 4)}
        else:
            outliers[step] = {"precision": round(right / max(taken, 1), 4), "recall": round(right / max(wrong, 1), 4), "damaged": wrong}
    for kind, one in texts.items():
        others = f"; not {', '.join(one['not'][:5])}" if one["not"] else ""
        print(f"{kind:<24} {one['mended']:>4} of {one['columns']:>4} columns as they were{others}")
    print(f"proposals for {looked} clean text columns: {len(proposed)}")
    for place, told in proposed.items():
        print(f"    {place}: {told}")
    for step, one in outliers.items():
        print(f"{step:<24} " + ", ".join(f"{name} {value}" for name, value in one.items()))
    for kind, (of, proposes) in columns.items():
        print(f"an outlier step is proposed for {proposes} of {of} {kind}")
    results = {
        "texts": texts,
        "clean_text_columns": looked,
        "proposed_for_clean": proposed,
        "outliers": outliers,
        "outlier_step_proposed": {kind: {"columns": of, "proposed": proposes} for kind, (of, proposes) in columns.items()},
    }
    OUT.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
