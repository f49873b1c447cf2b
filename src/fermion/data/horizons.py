"""A long table of series as rows to learn a horizon from: what came before a moment, and what came next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fermion.core.errors import DataError, Told
from fermion.data.table import Table, unknown_column


def horizons(
    table: Table,
    *,
    value: str,
    time: str,
    by: str | None = None,
    history: int,
    steps: int,
    every: int = 1,
    covariates: Sequence[str] = (),
    names: tuple[str, str] = ("history", "next"),
) -> Table:
    """One row per series and moment: the `history` numbers up to it, and the `steps` numbers after it.

    The row has the series' name (`by`), the moment (`time`, that of the last known number), the two lists, and of each covariate what it is
    at the moment and, as `NAME_ahead`, what it will be at each step (what is known in advance: a price, a holiday).
    Rows of the table are steps: they are sorted by time, and a step that is missing has to be a row with a missing value.

    Args:
        value: the column of the series' numbers.
        time: the column to sort by; no series has one moment twice.
        by: the column that names the series; one series when left out.
        every: how many steps lie between the moments of one series.
        covariates: columns of numbers that are known in advance.
        names: what the two lists are called.

    Raises:
        DataError: a column is not there, a moment occurs twice, or no series is long enough.

    >>> long = Table.of({"day": [1, 2, 3, 4], "sold": [5.0, 6.0, 7.0, 8.0]})
    >>> horizons(long, value="sold", time="day", history=2, steps=1).preview()
    [{'day': 2, 'history': [5.0, 6.0], 'next': [7.0]}, {'day': 3, 'history': [6.0, 7.0], 'next': [8.0]}]
    """
    import polars as pl

    for name in (value, time, *([by] if by else []), *covariates):
        if name not in table.names:
            raise unknown_column(name, table.names)
    frame = table.frame.sort([*([by] if by else []), time], maintain_order=True)
    parts = frame.partition_by(by, maintain_order=True) if by else [frame]
    columns: dict[str, list[Any]] = {}
    for part in parts:
        if part[time].n_unique() < len(part):
            given = Told("a moment more than once" + (f" in {part[by][0]!r}" if by else ""))
            raise DataError(f"the column `{time}`", rule="a moment once in each series", given=given, remedy="Add them up first.")
        x_T = part[value].cast(pl.Float64).to_numpy()
        known = {name: part[name].cast(pl.Float64).to_numpy() for name in covariates}
        for at in range(history - 1, len(part) - steps, every):
            row: dict[str, Any] = {by: part[by][at]} if by else {}
            row[time] = part[time][at]
            for name, z_T in known.items():
                row[name], row[f"{name}_ahead"] = float(z_T[at]), z_T[at + 1 : at + 1 + steps].tolist()
            row[names[0]], row[names[1]] = _plain(x_T[at + 1 - history : at + 1]), _plain(x_T[at + 1 : at + 1 + steps])
            for name, one in row.items():
                columns.setdefault(name, []).append(one)
    if not columns:
        longest = max((len(part) for part in parts), default=0)
        raise DataError("the series", rule=f"at least {history + steps} steps long", given=Told(f"{longest} at the most"))
    return Table.of(columns)


def _plain(x_T: Any) -> list[float | None]:
    return [None if np.isnan(x) else x for x in x_T.tolist()]
