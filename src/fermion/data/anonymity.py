"""How well rows hide among others that share their quasi-identifiers, and which of these columns to coarsen.

Sweeney, "k-anonymity: a model for protecting privacy", 2002; Machanavajjhala et al., "l-diversity: privacy beyond k-anonymity", 2007.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

SIZES = (1, 2, 5, 10, 20, 50, 100)  # lower ends of the histogram of group sizes
STEPS = 12  # suggestions at most
LEVELS = (20, 10, 5, 2, 1)  # how many values a column is coarsened to, in turn; 1 leaves it out


class Coarser(Struct, frozen=True, kw_only=True):
    """One step: coarsen `column` to `levels` values (1: leave it out), after which `share` of the rows are in too small groups."""

    column: str
    levels: int
    share: float


class Report(Struct, frozen=True, kw_only=True):
    """How the rows hide. No value of the table is in it.

    `reached` is the size of the smallest group of rows with equal quasi-identifiers, `share` the share of rows in groups smaller than
    `k`. `sizes` maps the lower ends of ranges of group sizes to how many rows lie in such groups. `diversity` is, per target, the
    fewest distinct values in any group (l-diversity). `unique` maps each column to the share of rows that it tells apart alone.
    `steps` is a greedy way to `k`: each in addition to those before it.
    """

    quasi: tuple[str, ...]
    k: int
    rows: int
    groups: int
    reached: int
    share: float
    sizes: dict[int, int]
    unique: dict[str, float]
    diversity: dict[str, int] = {}
    steps: tuple[Coarser, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every row is one of at least k."""
        return self.reached >= self.k

    def lines(self) -> list[str]:
        """The report for a terminal."""
        verdict = "holds" if self.holds else "does not hold"
        made = [
            f"{self.k}-anonymity over {', '.join(self.quasi)} {verdict}: the smallest of {self.groups:,} groups has {self.reached:,} rows; "
            f"{self.share:.2%} of {self.rows:,} rows are in groups smaller than {self.k}."
        ]
        made += [f"  rows in groups of {_range(low)}: {rows:,}" for low, rows in self.sizes.items() if rows]
        made += [f"  {name} tells {share:.2%} of the rows apart by itself" for name, share in self.unique.items() if share > 0]
        made += [f"  l-diversity of {target}: {count}" for target, count in self.diversity.items()]
        if self.steps:
            made.append("To come closer, in this order:")
        for step in self.steps:
            what = f"leave out {step.column}" if step.levels == 1 else f"coarsen {step.column} to {step.levels} values"
            made.append(f"  {what}: {step.share:.2%} left")
        return made


def anonymity(
    table: Table, quasi: tuple[str, ...], k: int = 5, *, targets: tuple[str, ...] = (), bins: Mapping[str, int] | None = None
) -> Report:
    """The k that a table reaches over some columns, and how to reach a wanted one.

    >>> anonymity(Table.of({"age": [30, 30, 41], "zip": ["a", "a", "a"]}), ("age", "zip"), k=2).reached
    1

    Args:
        quasi: columns that together could name a person.
        k: how many rows are to share each combination of their values; missing is a value like any other.
        targets: sensitive columns whose diversity within the groups is told.
        bins: number columns to the count of about equally frequent bins in which they are taken; as they are when left out.

    Raises:
        SpecError: no column, one that the table does not have, or bins for a column that has no numbers.
        DataError: the table has no rows.
    """
    if not quasi:
        raise SpecError("data.privacy.quasi", rule="at least one column", given=Told("none"), remedy="Name the quasi-identifiers.")
    for name in (*quasi, *targets, *(bins or {})):
        if name not in table.names:
            raise SpecError("data.privacy.quasi", rule="made of columns of the data", given=name, remedy=did_you_mean(name, table.names))
    if not len(table):
        raise DataError("the table", rule="not empty", given=Told("0 rows"))
    codes = {name: _codes(table.series(name), (bins or {}).get(name)) for name in quasi}
    groups_N, sizes_G = _grouped(list(codes.values()))
    size_N = sizes_G[groups_N]
    alone = {name: np.bincount(codes_N)[codes_N] for name, codes_N in codes.items()}
    return Report(
        quasi=quasi,
        k=k,
        rows=len(table),
        groups=len(sizes_G),
        reached=int(sizes_G.min()),
        share=float((size_N < k).mean()),
        sizes=_histogram(size_N),
        unique={name: float((counts_N == 1).mean()) for name, counts_N in alone.items()},
        diversity={target: _diversity(groups_N, _codes(table.series(target), None)) for target in targets},
        steps=tuple(_steps(codes, {name: table.series(name) for name in quasi}, k)) if sizes_G.min() < k else (),
    )


def _codes(series: pl.Series, bins: int | None) -> NDArray[np.int64]:
    """(N,) codes from 0, in the order of the values; missing is the first."""
    import polars as pl

    if bins is not None:
        if not series.dtype.is_numeric():
            raise SpecError("bins", rule="for a column of numbers", given=Told(f"`{series.name}`, which has {series.dtype}"))
        x_N = series.cast(pl.Float64).to_numpy()
        present = x_N[~np.isnan(x_N)]
        edges = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1])) if present.size else np.zeros(0)
        return np.where(np.isnan(x_N), 0, np.searchsorted(edges, x_N, side="right") + 1).astype(np.int64)
    ranks = (series.fill_nan(None) if series.dtype.is_float() else series).rank("dense")
    return ranks.cast(pl.Int64).fill_null(0).to_numpy()


def _grouped(codes: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row the number of its group, and the size of each group; columns are folded in one by one, so that codes never overflow."""
    groups_N = np.zeros(len(codes[0]), np.int64)
    for codes_N in codes:
        _, groups_N = np.unique(groups_N * (int(codes_N.max()) + 1) + codes_N, return_inverse=True)
    return groups_N, np.bincount(groups_N)


def _steps(codes: Mapping[str, NDArray[np.int64]], values: Mapping[str, Any], k: int) -> list[Coarser]:
    """Greedily the coarsening that hides most rows, a level at a time, until k is reached."""
    now, steps = dict(codes), list[Coarser]()
    ordered = {name: series.dtype.is_numeric() or series.dtype.is_temporal() for name, series in values.items()}
    level = {name: _first_level(codes_N) for name, codes_N in codes.items()}
    while len(steps) < STEPS:
        tried: list[tuple[float, int, str, NDArray[np.int64]]] = []
        for turn, name in enumerate(now):
            if level[name] < len(LEVELS):
                coarser_N = _coarser(codes[name], LEVELS[level[name]], ordered=ordered[name])
                groups_N, sizes_G = _grouped([coarser_N if other == name else now[other] for other in now])
                tried.append((float((sizes_G[groups_N] < k).mean()), turn, name, coarser_N))
        if not tried:
            break
        share, _, name, coarser_N = min(tried, key=lambda one: one[:2])
        now[name] = coarser_N
        steps.append(Coarser(column=name, levels=LEVELS[level[name]], share=share))
        level[name] += 1
        if share == 0:
            break
    return steps


def _first_level(codes_N: NDArray[np.int64]) -> int:
    """The first of the levels that is coarser than the column is."""
    values = len(np.unique(codes_N))
    return next((turn for turn, most in enumerate(LEVELS) if most < values), len(LEVELS))


def _coarser(codes_N: NDArray[np.int64], levels: int, *, ordered: bool) -> NDArray[np.int64]:
    """At most so many codes: ranges of about equal counts, or the most frequent ones and all others together."""
    if levels == 1:
        return np.zeros_like(codes_N)
    counts = np.bincount(codes_N)
    if ordered:
        before = np.concatenate([[0], np.cumsum(counts)[:-1]])
        return np.minimum(before * levels // len(codes_N), levels - 1)[codes_N]
    order = np.argsort(-counts, kind="stable")[: levels - 1]
    codes = np.zeros(len(counts), np.int64)
    codes[order] = np.arange(1, len(order) + 1)
    return codes[codes_N]


def _diversity(groups_N: NDArray[np.int64], codes_N: NDArray[np.int64]) -> int:
    pairs = np.unique(groups_N * (int(codes_N.max()) + 1) + codes_N)
    return int(np.bincount(pairs // (int(codes_N.max()) + 1)).min())


def _histogram(size_N: NDArray[np.int64]) -> dict[int, int]:
    places = np.searchsorted(np.array(SIZES), size_N, side="right") - 1
    return dict(zip(SIZES, np.bincount(places, minlength=len(SIZES)).tolist(), strict=True))


def _range(low: int) -> str:
    place = SIZES.index(low)
    if place + 1 == len(SIZES):
        return f"{low} or more"
    high = SIZES[place + 1] - 1
    return str(low) if high == low else f"{low} to {high}"
