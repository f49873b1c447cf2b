"""Rows told apart by when they happened: the newest for the test, blocks in turn, or a walk forward."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.core.sections import Split, seconds
from fermion.data.marks import NAMES, OUT, TEST, TRAIN, VALIDATION, Codes, whole
from fermion.data.table import Table

if TYPE_CHECKING:
    import polars as pl

Extent = str | float | int  # a duration, a share of the rows, or rows


class Moments:
    """N rows in the order of time. A duration d before the moment t is (t - d, t]; a number counts seconds.

    Args:
        name: of the column, for errors.
        moment_N: (N,) datetime64[us] or numbers of seconds, without gaps.
    """

    def __init__(self, name: str, moment_N: NDArray[Any]) -> None:
        self.name, self._moment_N = name, moment_N
        t_N = moment_N.view(np.int64) if moment_N.dtype.kind == "M" else moment_N
        if t_N.dtype.kind == "f" and not np.isfinite(t_N).all():
            raise DataError(f"column `{name}`", rule="finite numbers", given=t_N[~np.isfinite(t_N)][0])
        self._unit = 1e6 if moment_N.dtype.kind == "M" else 1.0
        self._order = np.argsort(t_N, kind="stable")
        self._t_N = t_N[self._order]

    @classmethod
    def of(cls, series: pl.Series) -> Moments:
        """The moments of a column.

        Raises:
            DataError: it is not about time.
        """
        import polars as pl

        if not (isinstance(series.dtype, pl.Date | pl.Datetime) or series.dtype.is_numeric()):
            raise DataError(
                f"column `{series.name}`, which splits the rows by time,",
                rule="dates, times or numbers of seconds",
                given=Told(f"values of type {series.dtype}"),
                remedy="Write times as ISO 8601, such as 2026-03-01T12:00:00.",
            )
        moments = Table(series.to_frame()).values(series.name)
        assert isinstance(moments, np.ndarray)
        return cls(series.name, moments)

    def newest(self, spec: Split) -> Codes:
        """(N,) the newest rows are the test part, before them the validation part, before it the training part."""
        return self._marked(self._cuts(len(self._t_N), self._last, spec.test, spec.validation, spec))

    def walk(self, spec: Split, folds: int) -> Codes:
        """(N,) a later block is the test part; what came before it is cut as `newest` does, what comes after it is left out.

        With a duration as `test` the blocks are the last so many of that length; else the rows are cut into one block more than there
        are folds, and the first is never tested. A share for validation is one of the rows before the test part.
        """
        if isinstance(spec.test, str):
            length = self._ticks(spec.test)
            moments = [self._last - length * (folds - fold) for fold in range(folds + 1)]
            places = [int(np.searchsorted(self._t_N, moment, side="right")) for moment in moments]
            test, until = spec.test, moments[spec.fold + 1]
        else:
            places = self._places(self._t_N, folds + 1)[1:]
            test, until = places[spec.fold + 1] - places[spec.fold], 0.0
        begin, end = places[spec.fold], places[spec.fold + 1]
        validation = spec.validation if isinstance(spec.validation, str) else whole(spec.validation, begin)
        return self._marked(self._cuts(end, until, test, validation, spec))

    def blocks(self, spec: Split, folds: int) -> Codes:
        """(N,) one of equally many rows each is the test part; around it `gap` is left out, behind it `embargo` too.

        The validation part is the newest of the rest, or one of its inner blocks, and is kept as far from the training part.

        Lopez de Prado: Advances in Financial Machine Learning, chapter 7 (purging and embargo).
        """
        codes_N = np.full(len(self._t_N), TRAIN, dtype=np.int8)
        places = self._places(self._t_N, folds)
        self._take(codes_N, np.arange(places[spec.fold], places[spec.fold + 1]), TEST, spec)
        rest = np.flatnonzero(codes_N == TRAIN)
        t_n = self._t_N[rest]
        if spec.inner is not None:
            places = self._places(t_n, spec.inner)
            begin, end = places[spec.inner_fold], places[spec.inner_fold + 1]
        elif isinstance(spec.validation, str):
            moment = float(t_n[-1]) - self._ticks(spec.validation) if len(t_n) else 0.0
            begin, end = int(np.searchsorted(t_n, moment, side="right")), len(t_n)
        else:
            end = len(t_n)
            begin = _untorn(t_n, max(end - whole(spec.validation, len(self._t_N)), 0), end)
        self._take(codes_N, rest[begin:end], VALIDATION, spec)
        return self._unsorted(codes_N)

    def boundaries(self, codes: Codes) -> dict[str, tuple[str, str]]:
        """Part to its first and last moment."""
        sorted_N, found = codes[self._order], dict[str, tuple[str, str]]()
        for part in (TEST, VALIDATION, TRAIN):
            there = sorted_N == part
            if there.any():
                first, last = int(there.argmax()), len(there) - 1 - int(there[::-1].argmax())
                found[NAMES[part]] = (_shown(self._moment_N[self._order[first]]), _shown(self._moment_N[self._order[last]]))
        return found

    @property
    def _last(self) -> float:
        return float(self._t_N[-1]) if len(self._t_N) else 0.0

    def _ticks(self, duration: str | None) -> float:
        return 0.0 if duration is None else seconds(duration) * self._unit

    def _cuts(self, end: int, moment: float, test: Extent, validation: Extent, spec: Split) -> dict[int, tuple[int, int]]:
        """Part to its range of places among the first `end` of the sorted times; a test part of some duration ends at `moment`."""
        t_N, gap = self._t_N[:end], self._ticks(spec.gap)
        cuts: dict[int, tuple[int, int]] = {}
        n = end
        for part, extent in ((TEST, test), (VALIDATION, validation)):
            if isinstance(extent, str):
                moment -= self._ticks(extent)
                begin = min(int(np.searchsorted(t_N, moment, side="right")), end)
            else:
                begin = _untorn(t_N, end - (extent if isinstance(extent, int) else whole(extent, n)), end)
                moment = float(t_N[begin]) if begin < n and extent else moment
            cuts[part] = (begin, end)
            end = begin
            if spec.gap is not None and extent:
                moment -= gap
                end = min(begin, int(np.searchsorted(t_N, moment, side="right")))
        first = 0 if spec.train is None else min(end, int(np.searchsorted(t_N, moment - self._ticks(spec.train), side="right")))
        return cuts | {TRAIN: (first, end)}

    def _marked(self, cuts: dict[int, tuple[int, int]]) -> Codes:
        codes_N = np.full(len(self._t_N), OUT, dtype=np.int8)
        for part, (low, high) in cuts.items():
            codes_N[low:high] = part
        return self._unsorted(codes_N)

    def _unsorted(self, sorted_N: Codes) -> Codes:
        codes = np.empty_like(sorted_N)
        codes[self._order] = sorted_N
        return codes

    def _take(self, codes_N: Codes, places: NDArray[Any], part: int, spec: Split) -> None:
        """Mark these places of the sorted rows, and as left out the training rows that are too near to them on either side."""
        codes_N[places] = part
        gap, t_N = self._ticks(spec.gap), self._t_N
        behind = gap + self._ticks(spec.embargo)
        for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) and behind else ():
            first, last = int(run[0]), int(run[-1])
            low = int(np.searchsorted(t_N, t_N[first] - gap, side="right")) if gap else first
            near = codes_N[low : int(np.searchsorted(t_N, t_N[last] + behind, side="left"))]
            near[near == TRAIN] = OUT

    def _places(self, t_N: NDArray[Any], blocks: int) -> list[int]:
        """Where blocks of equally many rows begin, and the end; no moment is torn.

        Raises:
            DataError: one of them would be empty.
        """
        places = [0]
        for block in range(1, blocks):
            places.append(max(places[-1], _untorn(t_N, round(block * len(t_N) / blocks), len(t_N))))
        places.append(len(t_N))
        if min(np.diff(places)) == 0:
            raise DataError(
                f"the {blocks} blocks of column `{self.name}`",
                rule="of at least one row each",
                given=Told(f"{len(t_N)} rows with {len(np.unique(t_N))} different times"),
                remedy="Take fewer folds, a shorter gap, or more data.",
            )
        return places


def _untorn(t_N: NDArray[Any], place: int, end: int) -> int:
    """The place nearest to this one, and before `end`, at which a new moment begins."""
    if place <= 0 or place >= end:
        return max(0, min(place, end))
    low = int(np.searchsorted(t_N, t_N[place], side="left"))
    high = int(np.searchsorted(t_N, t_N[place], side="right"))
    return high if high < end and (low == 0 or high - place < place - low) else low


def _shown(moment: Any) -> str:
    return re.sub(r"\.0+$", "", str(moment))
