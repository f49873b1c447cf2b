"""A long table of id, time, variable and value as one series per row: what was measured of each entity, and when.

Measurements of one entity at one time are one step; variables that were not measured then are missing in it, and several values of one
variable are averaged. With the time of the rows, a row at t gets the steps at u <= t and, with `within` w, only those with t - u <= w;
never one from its future.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.declared import Long
from fermion.core.errors import DataError, Told, ValueRejected
from fermion.data.features import numbers, times
from fermion.data.nested import timed
from fermion.data.table import Table, unknown_column
from fermion.data.windows import Ints

if TYPE_CHECKING:
    import polars as pl


class Steps(Struct, frozen=True):
    """All steps of a long table, by entity and then by time: (S,) the entity's code, (S,) microseconds, (S, C) values."""

    entity: Ints
    moment: Ints
    values: NDArray[np.float64]


def series_of_long(
    long: Long, other: Table, entity_E: Ints, entity_N: Ints, moment_N: Ints | None, within: int | None, where: str
) -> pl.Series:
    """(N,) one series per row: {"times": seconds, "values": steps}, times relative to the row's own time where rows have one.

    A row without a measurement has no steps.

    Args:
        other: the long table, E rows.
        entity_E, entity_N: the code of the entity in each row of the long table and of the other; -1 where it is missing.
        moment_N: when each row happened, microseconds; None to take all steps of its entity.
        within: microseconds, how old a step may be.

    Raises:
        DataError: no such column, or a value that is no number, with its row.
    """
    steps = _steps(long, other, entity_E, where)
    begin_N = np.searchsorted(steps.entity, entity_N, side="left")
    end_N = np.searchsorted(steps.entity, entity_N, side="right")
    if moment_N is not None:
        # Entity and time as one whole number: the entity's code, then the rank of the time among all that occur.
        known_U = np.unique(steps.moment)
        span = len(known_U) + 1
        place_S = steps.entity * span + np.searchsorted(known_U, steps.moment, side="left")
        end_N = np.searchsorted(place_S, entity_N * span + np.searchsorted(known_U, moment_N, side="right") - 1, side="right")
        if within is not None:
            begin_N = np.searchsorted(place_S, entity_N * span + np.searchsorted(known_U, moment_N - within, side="left"), side="left")
    end_N = np.maximum(np.where(entity_N < 0, begin_N, end_N), begin_N)
    if long.length is not None:
        begin_N = np.maximum(begin_N, end_N - long.length)
    length_N = end_N - begin_N
    place_T = np.repeat(begin_N - (np.cumsum(length_N) - length_N), length_N) + np.arange(length_N.sum())
    moment_T = steps.moment[place_T]
    if moment_N is not None:
        moment_T = moment_T - np.repeat(moment_N, length_N)
    return timed(moment_T / 1e6, steps.values[place_T], length_N)


def _steps(long: Long, other: Table, entity_E: Ints, where: str) -> Steps:
    moment_E = times(other, long.time)
    variable_E, values_EC, width = _values(long, other, where)
    kept = (entity_E >= 0) & (variable_E >= 0)
    entity_E, moment_E, variable_E, values_EC = entity_E[kept], moment_E[kept], variable_E[kept], values_EC[kept]
    order = np.lexsort((moment_E, entity_E))
    entity_E, moment_E = entity_E[order], moment_E[order]
    new_E = np.ones(len(order), dtype=np.bool_)
    new_E[1:] = (np.diff(entity_E) != 0) | (np.diff(moment_E) != 0)
    step_E = np.cumsum(new_E) - 1
    count = int(new_E.sum())
    columns: list[NDArray[np.float64]] = []
    for number in range(width):
        x_E = values_EC[order, 0 if long.variable is not None else number]
        there_E = ~np.isnan(x_E) & ((variable_E[order] == number) | (long.variable is None))
        many_S = np.bincount(step_E[there_E], minlength=count)
        total_S = np.bincount(step_E[there_E], weights=x_E[there_E], minlength=count)
        columns.append(np.where(many_S > 0, total_S / np.maximum(many_S, 1), np.nan))
    return Steps(entity_E[new_E], moment_E[new_E], np.stack(columns, axis=1) if columns else np.empty((count, 0)))


def _values(long: Long, other: Table, where: str) -> tuple[Ints, NDArray[np.float64], int]:
    """(E,) the variable that each row of the long table is about, -1 for none; its values; and how many variables there are."""
    import polars as pl

    names = (long.value,) if isinstance(long.value, str) else long.value
    for name in (*names, *((long.variable,) if long.variable is not None else ())):
        if name not in other.names:
            raise unknown_column(name, other.names, subject="a column of a long table", where=where)
    try:
        values_EC = np.stack([numbers(other, name) for name in names], axis=1)
    except ValueRejected as bad:
        raise DataError("a value of a long table", rule=bad.rule, given=Told(bad.given), where=f"{where}, {bad.where}") from None
    if long.variable is None:
        return np.zeros(len(other), dtype=np.int64), values_EC, len(names)
    if len(names) > 1:
        given = Told(f"{', '.join(names)} beside `variable`")
        raise DataError("the values of a long table", rule="one column where another names the variable", given=given, where=where)
    called = other.series(long.variable).cast(pl.String)
    variables = long.variables or tuple(sorted(called.drop_nulls().unique().to_list()))
    if unknown := sorted(set(variables) - set(called.drop_nulls().unique().to_list())):
        known = called.drop_nulls().unique().sort().to_list()
        raise unknown_column(unknown[0], known, subject="a variable of a long table", where=where)
    place = {name: number for number, name in enumerate(variables)}
    return np.array([place.get(name, -1) for name in called.to_list()], dtype=np.int64), values_EC, len(variables)
