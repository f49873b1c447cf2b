"""Slices: the rows with one value of a column, and which of them score worst.

A slice is scored by the mean of a per-row loss, so all of them cost one pass. Its interval is mean +- 1.96 standard errors of a
weighted mean; slices are ranked by how much of their gap to the whole lies beyond that interval, so that a handful of unlucky rows
does not come first. Looking at many slices finds some bad ones by chance: a low rank is a question, not yet an answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Values, is_missing
from fermion.columns.output import name_of
from fermion.measure.answered import Answered
from fermion.measure.metrics import METRICS
from fermion.measure.scored import Floats, Scored
from fermion.research.judging import BY, term_of, worse
from fermion.research.report import Slice

LEVELS = 20  # a column with more of them is cut into bins, or left out
ASKED_LEVELS = 50
FEWEST = 30
WORST = 15
BINS = 4
MISSING = "missing"


class Levels(Struct, frozen=True):
    """A column's rows by level: (N,) positions in `names`, -1 for rows that are in no slice."""

    names: list[str]
    codes: NDArray[np.int64]


def worst(scored: Scored | Answered, columns: Iterable[tuple[str, Levels, bool]], task: str) -> tuple[float | None, tuple[Slice, ...]]:
    """The score of the whole, and first the slices that were asked for, then the 15 worst others of at least 30 rows.

    Args:
        columns: name, levels of the scored rows, and whether the project file names the column.
    """
    weights = np.ones(len(scored)) if scored.weights is None else scored.weights
    term_N = term_of(scored, task)
    if not weights.sum() > 0 or term_N is None:
        return None, ()
    metric, sign = METRICS[BY[task]], worse(task)
    whole = float(np.average(term_N, weights=weights))
    asked: list[tuple[float, Slice]] = []
    others: list[tuple[float, Slice]] = []
    for column, levels, named in columns:
        for code, value in enumerate(levels.names):
            inside = (levels.codes == code) & (weights > 0)
            rows = int(inside.sum())
            if rows == 0 or (rows < FEWEST and not named):
                continue
            mean, error = _mean(term_N[inside], weights[inside])
            gap = sign * (mean - whole)
            low, high = max(metric.low, mean - 1.96 * error), min(metric.high, mean + 1.96 * error)
            one = Slice(column=column, value=value, rows=rows, score=mean, low=low, high=high, gap=gap, asked=named)
            if named:
                asked.append((gap - 1.96 * error, one))
            elif gap > 0 and rows < len(scored):
                others.append((gap - 1.96 * error, one))
    ranked = [sorted(found, key=lambda one: -one[0]) for found in (asked, others)]
    return whole, tuple(one for _, one in [*ranked[0], *ranked[1][:WORST]])


def levels_of(values: Values, *, asked: bool = False) -> Levels | None:
    """The levels of a column: its values where they are few, quarters of its numbers or times; None where it has neither.

    >>> levels_of(["a", "b", None, "a"])
    Levels(names=['a', 'b', 'missing'], codes=array([0, 1, 2, 0]))
    """
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return None
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufM":
        return _numbers(values)
    listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not all(isinstance(value, str | bool) or is_missing(value) for value in listed):
        return None
    keys = [MISSING if is_missing(value) else name_of(value) for value in listed]
    return _few(np.array(keys, dtype=object), ASKED_LEVELS if asked else None)


def unnamed(levels: Levels) -> Levels:
    """The same rows by level, the larger first, under names that say nothing of their values.

    >>> unnamed(Levels(["Bern", "Rome"], np.array([0, 1, 1])))
    Levels(names=['group 1', 'group 2'], codes=array([1, 0, 0]))
    """
    counts = np.bincount(levels.codes[levels.codes >= 0], minlength=len(levels.names))
    order = sorted(range(len(levels.names)), key=lambda code: (levels.names[code] == MISSING, -counts[code], code))
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    names = [levels.names[code] if levels.names[code] == MISSING else f"group {number}" for number, code in enumerate(order, 1)]
    return Levels(names, place[levels.codes])


def _few(keys_N: NDArray[Any], most: int | None) -> Levels | None:
    names, codes_N, counts = np.unique(keys_N, return_inverse=True, return_counts=True)
    if len(names) <= (most or LEVELS):
        return Levels([str(name) for name in names], codes_N.astype(np.int64))
    if most is None:
        return None
    kept = np.argsort(-counts, kind="stable")[:most]
    place = np.full(len(names), -1)
    place[kept] = np.arange(most)
    return Levels([str(names[k]) for k in kept], place[codes_N])


def _numbers(x_N: NDArray[Any]) -> Levels | None:
    gone = np.isnat(x_N) if x_N.dtype.kind == "M" else np.isnan(x_N) if x_N.dtype.kind == "f" else np.zeros(len(x_N), np.bool_)
    known = np.unique(x_N[~gone])
    if len(known) < 2:
        return None
    if len(known) <= BINS + 1:
        names, codes_N = [_shown(x) for x in known], np.searchsorted(known, x_N)
    else:
        ordered = np.sort(x_N[~gone])
        cuts = np.unique(ordered[[len(ordered) * part // BINS for part in range(1, BINS)]])
        cuts = cuts[cuts > known[0]]
        codes_N = np.searchsorted(cuts, x_N, side="right")
        ends = [known[0], *cuts, known[-1]]
        names = [
            f"{_shown(low)} to {'below ' if number < len(cuts) else ''}{_shown(high)}"
            for number, (low, high) in enumerate(itertools.pairwise(ends))
        ]
    codes_N = np.where(gone, len(names), codes_N)
    return Levels([*names, MISSING] if gone.any() else names, codes_N.astype(np.int64))


def _shown(x: Any) -> str:
    if isinstance(x, np.datetime64):
        return str(np.datetime_as_string(x, unit="m")).replace("T", " ")
    if 1000 <= abs(x) < 1e15 or float(x).is_integer():
        return f"{x:,.0f}"
    return f"{x:.4g}"


def _mean(term: Floats, weights: Floats) -> tuple[float, float]:
    """The weighted mean and its standard error, sqrt(sum w^2 (x - mean)^2) / sum w."""
    mean = float(np.average(term, weights=weights))
    return mean, float(np.sqrt((weights**2 * (term - mean) ** 2).sum()) / weights.sum())
