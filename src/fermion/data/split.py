"""Which rows are for training, validation and test."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from fermion.columns.column import Values
from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.sections import Split, seconds
from fermion.data.table import Table, unknown_column

if TYPE_CHECKING:
    import polars as pl

TRAIN, VALIDATION, TEST, OUT = 0, 1, 2, -1
NAMES = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}

Codes = NDArray[np.int8]


class Marks(Struct, frozen=True, kw_only=True, eq=False):
    """For each row 0 (train), 1 (validation), 2 (test) or -1 (left out), and how that came about.

    `boundaries` says where the parts lie in time: part to (first, last) moment; empty for other splits.
    """

    codes: Codes
    by: str
    column: str | None = None
    boundaries: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def rows(self, part: int) -> NDArray[np.int64]:
        """Row numbers of a part, ascending."""
        return np.flatnonzero(self.codes == part)

    @property
    def train(self) -> NDArray[np.int64]:
        return self.rows(TRAIN)

    @property
    def validation(self) -> NDArray[np.int64]:
        return self.rows(VALIDATION)

    @property
    def test(self) -> NDArray[np.int64]:
        return self.rows(TEST)

    @property
    def sizes(self) -> dict[str, int]:
        """Rows per part; `left out` where there are any."""
        counts = {name: int((self.codes == part).sum()) for part, name in NAMES.items()}
        gone = int((self.codes == OUT).sum())
        return counts | ({"left out": gone} if gone else {})


def split(table: Table, spec: Split, *, target: Values | None, task_is_classification: bool, rng: np.random.Generator) -> Marks:
    """Mark every row, before anything learns from the data. The same seed gives the same marks.

    - random: shares of the rows, drawn without replacement
    - stratified: the same within each class of `target`; rounding goes to the classes with the largest remainders, and a class keeps
      a row for training before it gives one away
    - group: rows with equal values in `column` stay together; sizes come as close to the shares as whole groups allow
    - time: the newest rows are the test part, before them the validation part, before it the training part. Shares are moved to the
      nearest moment at which no two rows with the same time are torn apart; a duration d before the moment t is (t - d, t], and a
      number in `column` counts seconds. `gap` is left out before each of the two parts
    - column: `column` says train, validation (valid, val, dev) or test. Without rows for validation they are cut from train, by
      the share `validation`, stratified for classes
    - auto: stratified for classes, else random

    >>> table = Table.of({"x": [5, 1, 2, 3, 4]})
    >>> split(table, Split(by="time", column="x"), target=None, task_is_classification=False, rng=np.random.default_rng(0)).codes.tolist()
    [2, 0, 0, 0, 1]

    Args:
        target: (N,) values of the one target, for stratified splits.

    Raises:
        SpecError: a column that is needed and not named, or a duration where only shares have a meaning.
        DataError: a part would be empty; the column is missing, has nulls or is of the wrong type.
    """
    by = spec.by if spec.by != "auto" else ("stratified" if task_is_classification and target is not None else "random")
    if by == "time":
        codes, boundaries = _by_time(table, spec)
        return _checked(Marks(codes=codes, by=by, column=spec.column, boundaries=boundaries), spec)
    _refuse_time_words(spec, by)
    classes = _codes_of(target) if task_is_classification and target is not None else None
    if by == "group":
        return _checked(
            Marks(codes=_by_group(_column(table, spec), _share(spec, "test"), _share(spec, "validation"), rng), by=by, column=spec.column),
            spec,
        )
    if by == "column":
        return _checked(Marks(codes=_by_column(_column(table, spec), spec, classes, rng), by=by, column=spec.column), spec)
    if by == "stratified" and classes is None:
        if target is None:
            raise SpecError("split.by", rule="random, group, time or column without a target", given=by)
        classes = _codes_of(target)
    strata = classes if by == "stratified" and classes is not None else np.zeros(len(table), dtype=np.int64)
    return _checked(Marks(codes=_by_strata(strata, _share(spec, "test"), _share(spec, "validation"), rng), by=by), spec)


def _checked(marks: Marks, spec: Split) -> Marks:
    wanted = {TRAIN: True, VALIDATION: spec.validation != 0, TEST: spec.test != 0}
    for part, name in NAMES.items():
        if wanted[part] and not (marks.codes == part).any():
            sizes = ", ".join(f"{size} {other}" for other, size in marks.sizes.items())
            raise DataError(
                f"the {name} part",
                rule="at least one row",
                given=Told(f"{sizes} of {len(marks.codes)} rows, split by {marks.by}"),
                remedy=_remedy(marks.by, name),
            )
    return marks


def _remedy(by: str, part: str) -> str:
    if by == "time":
        return "Take shorter durations or a shorter gap in `split:`, or more data."
    if by == "column":
        return f"Mark rows as {part} in the column."
    return (
        f"Give it a larger share, as in `split: {{{part}: 0.3}}`, or more data."
        if part != "train"
        else "Take smaller shares for the others."
    )


def _refuse_time_words(spec: Split, by: str) -> None:
    for name, given in (("test", spec.test), ("validation", spec.validation), ("train", spec.train), ("gap", spec.gap)):
        if isinstance(given, str):
            rule = "a share such as 0.2" if name in ("test", "validation") else "left out"
            raise SpecError(
                f"split.{name}", rule=f"{rule} with `by: {by}`", given=given, remedy="Durations need `by: time` and a `column`."
            )
    if spec.by not in ("column", "group") and _share(spec, "test") + _share(spec, "validation") >= 1:
        raise SpecError("split.test and split.validation", rule="less than 1 together", given=Told(f"{spec.test} and {spec.validation}"))


def _share(spec: Split, name: str) -> float:
    return float(getattr(spec, name))


def _column(table: Table, spec: Split) -> pl.Series:
    if spec.column is None:
        raise SpecError("split.column", rule=f"named for `by: {spec.by}`", given=None, remedy="Add `column: NAME` to `split:`.")
    if spec.column not in table.names:
        raise unknown_column(spec.column, table.names, subject="split.column")
    series = table.series(spec.column)
    if series.null_count():
        row = int(series.is_null().arg_max() or 0)
        raise DataError(
            f"column `{spec.column}`, which splits the rows,",
            rule="without missing values",
            given=Told(f"{series.null_count()} of them"),
            remedy="Fill them or drop these rows.",
            where=f"row {row}",
        )
    return series


def _codes_of(target: Values) -> NDArray[np.int64]:
    """(N,) numbers of the classes; missing is a class of its own."""
    return _numbered(Table.of({"target": target}).series("target"))


def _numbered(series: pl.Series) -> NDArray[np.int64]:
    """(N,) 0.. in the order of values, so that chunks and threads change nothing."""
    ranks = series.rank("dense").to_numpy()
    return np.nan_to_num(ranks, nan=0.0).astype(np.int64) if ranks.dtype.kind == "f" else ranks.astype(np.int64)


def _whole(share: float, rows: int) -> int:
    """Rows of a share: the nearest number, at least one where the share is not 0."""
    return 0 if share == 0 or not rows else max(1, round(share * rows))


def _by_strata(strata_N: NDArray[np.int64], test: float, validation: float, rng: np.random.Generator) -> Codes:
    n = len(strata_N)
    count_K = np.bincount(strata_N, minlength=1)
    test_K = _shares_of(count_K, np.maximum(count_K - 1, 0), _whole(test, n), test, rng)
    validation_K = _shares_of(count_K, np.maximum(count_K - 1 - test_K, 0), _whole(validation, n), validation, rng)
    shuffled = rng.permutation(n)
    order = shuffled[np.argsort(strata_N[shuffled], kind="stable")]
    first_K = np.cumsum(count_K) - count_K
    place_N = np.arange(n) - np.repeat(first_K, count_K)
    test_N, until_N = np.repeat(test_K, count_K), np.repeat(test_K + validation_K, count_K)
    codes = np.empty(n, dtype=np.int8)
    codes[order] = np.where(place_N < test_N, TEST, np.where(place_N < until_N, VALIDATION, TRAIN))
    return codes


def _shares_of(
    count_K: NDArray[np.int64], most_K: NDArray[np.int64], wanted: int, share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """How many rows each class gives: largest remainders, ties by lot, never more than `most_K`."""
    exact_K = share * count_K
    given_K = np.minimum(np.floor(exact_K).astype(np.int64), most_K)
    while (missing := wanted - int(given_K.sum())) > 0:
        able = np.flatnonzero(given_K < most_K)
        if not able.size:
            break
        order = np.lexsort((rng.random(len(able)), given_K[able] - exact_K[able]))
        given_K[able[order[:missing]]] += 1
    return given_K


def _by_group(series: pl.Series, test: float, validation: float, rng: np.random.Generator) -> Codes:
    """Groups in random order fill the test part, then the validation part; the rest is for training."""
    group_N = _numbered(series) - 1
    size_G = np.bincount(group_N)
    needed = 1 + (test > 0) + (validation > 0)
    if len(size_G) < needed:
        raise DataError(
            f"column `{series.name}`, which splits the rows by group,",
            rule=f"at least {needed} different values, one per part",
            given=Told(f"{len(size_G)} among {len(group_N)} rows"),
            remedy="Choose another column or `by: random`.",
        )
    wanted = {TEST: _whole(test, len(group_N)), VALIDATION: _whole(validation, len(group_N))}
    best_G, best_miss = np.zeros(len(size_G), dtype=np.int8), np.inf
    few = len(size_G) <= 1000
    for _ in range(32 if few else 1):  # many small groups fit at once, a few large ones only in a lucky order
        part_G, left = np.zeros(len(size_G), dtype=np.int8), rng.permutation(len(size_G))
        for part, rows in wanted.items():
            chosen = _filling(size_G[left], rows, len(left) - (1 + (part == TEST and validation > 0)), alone=few)
            part_G[left[chosen]] = part
            left = np.delete(left, chosen)
        miss = sum(abs(int(size_G[part_G == part].sum()) - rows) for part, rows in wanted.items())
        if miss < best_miss:
            best_G, best_miss = part_G, miss
    return best_G[group_N]


def _filling(size_G: NDArray[np.int64], wanted: int, most: int, *, alone: bool) -> NDArray[np.int64]:
    """Places of groups, at most `most` and at least one, whose sizes add up to nearly `wanted`: first fit, then the best last one.

    With `alone`, a first group that is a little too large is a try of its own.
    """
    if not wanted:
        return np.empty(0, dtype=np.int64)
    if alone and wanted < size_G[0] < 2 * wanted:
        return np.zeros(1, dtype=np.int64)
    prefix = min(int(np.searchsorted(np.cumsum(size_G), wanted, side="right")), most)
    chosen, missing = list(range(prefix)), wanted - int(size_G[:prefix].sum())
    rest = np.arange(prefix, len(size_G))
    while missing > 0 and len(chosen) < most:
        rest = rest[np.abs(missing - size_G[rest]) < missing] if chosen else rest
        if not rest.size:
            break
        fitting = rest[size_G[rest] <= missing]
        best = int(fitting[0]) if fitting.size else int(rest[np.argmin(np.abs(missing - size_G[rest]))])
        chosen.append(best)
        missing -= int(size_G[best])
        rest = rest[rest != best]
    return np.array(chosen, dtype=np.int64)


def _by_column(series: pl.Series, spec: Split, classes: NDArray[np.int64] | None, rng: np.random.Generator) -> Codes:
    import polars as pl

    if not isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
        raise DataError(f"column `{series.name}`", rule="text: train, validation or test", given=Told(f"values of type {series.dtype}"))
    text = series.cast(pl.String).str.strip_chars().str.to_lowercase()
    for word in text.unique(maintain_order=True):
        if word not in WORDS:
            row = int((text == word).arg_max() or 0)
            raise DataError(
                f"column `{series.name}`",
                rule="train, validation or test in every row",
                given=series[row],
                remedy=did_you_mean(str(word), WORDS),
                where=f"row {row}",
            )
    codes = text.replace_strict(WORDS, return_dtype=pl.Int8).to_numpy().copy()
    if spec.validation and not (codes == VALIDATION).any():
        train = np.flatnonzero(codes == TRAIN)
        strata = np.zeros(len(train), dtype=np.int64) if classes is None else classes[train]
        codes[train] = _by_strata(strata, 0.0, _share(spec, "validation"), rng) if len(train) else TRAIN
    return codes


def _by_time(table: Table, spec: Split) -> tuple[Codes, dict[str, tuple[str, str]]]:
    import polars as pl

    series = _column(table, spec)
    if not (isinstance(series.dtype, pl.Date | pl.Datetime) or series.dtype.is_numeric()):
        raise DataError(
            f"column `{series.name}`, which splits the rows by time,",
            rule="dates, times or numbers of seconds",
            given=Told(f"values of type {series.dtype}"),
            remedy="Write times as ISO 8601, such as 2026-03-01T12:00:00.",
        )
    moments_N = table.values(series.name)
    assert isinstance(moments_N, np.ndarray)
    t_N = moments_N.astype(np.int64) if moments_N.dtype.kind == "M" else moments_N
    if t_N.dtype.kind == "f" and not np.isfinite(t_N).all():
        raise DataError(f"column `{series.name}`", rule="finite numbers", given=t_N[~np.isfinite(t_N)][0])
    unit = 1e6 if moments_N.dtype.kind == "M" else 1.0
    order = np.argsort(t_N, kind="stable")
    cuts = _cuts(t_N[order], spec, lambda duration: seconds(duration) * unit)
    codes = np.full(len(t_N), OUT, dtype=np.int8)
    boundaries: dict[str, tuple[str, str]] = {}
    for part, (low, high) in cuts.items():
        codes[order[low:high]] = part
        if low < high:
            first, last = moments_N[order[low]], moments_N[order[high - 1]]
            boundaries[NAMES[part]] = (_shown(first), _shown(last))
    return codes, boundaries


def _cuts(t_N: NDArray[Any], spec: Split, ticks: Callable[[str], float]) -> dict[int, tuple[int, int]]:
    """Part to its range of places in the sorted times."""
    n, gap = len(t_N), 0.0 if spec.gap is None else ticks(spec.gap)
    cuts: dict[int, tuple[int, int]] = {}
    end, moment = n, float(t_N[-1]) if n else 0.0
    for part, extent in ((TEST, spec.test), (VALIDATION, spec.validation)):
        if isinstance(extent, str):
            moment -= ticks(extent)
            begin = min(int(np.searchsorted(t_N, moment, side="right")), end)
        else:
            begin = _untorn(t_N, end - _whole(extent, n), end)
            moment = float(t_N[begin]) if begin < n and extent else moment
        cuts[part] = (begin, end)
        end = begin
        if spec.gap is not None and extent:
            moment -= gap
            end = min(begin, int(np.searchsorted(t_N, moment, side="right")))
    first = 0 if spec.train is None else min(end, int(np.searchsorted(t_N, moment - ticks(spec.train), side="right")))
    return cuts | {TRAIN: (first, end)}


def _untorn(t_N: NDArray[Any], place: int, end: int) -> int:
    """The place nearest to this one, and before `end`, at which a new moment begins."""
    if place <= 0 or place >= end:
        return max(0, min(place, end))
    low = int(np.searchsorted(t_N, t_N[place], side="left"))
    high = int(np.searchsorted(t_N, t_N[place], side="right"))
    return high if high < end and (low == 0 or high - place < place - low) else low


def _shown(moment: Any) -> str:
    return re.sub(r"\.0+$", "", str(moment))
