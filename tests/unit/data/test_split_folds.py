"""Folds: every row is tested once, nothing that belongs together is torn, gaps hold, labels keep their shares."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fermion.core.errors import DataError, FermionError, SpecError
from fermion.core.sections import Split
from fermion.data.marks import OUT, TEST, TRAIN, VALIDATION, Marks
from fermion.data.split import marks_of_folds, split
from fermion.data.table import Table

DAY = 86400.0


def folds(table: Table, target: Any = None, classes: bool = False, seed: int = 0, **spec: Any) -> list[Marks]:
    return marks_of_folds(table, Split(**spec), target=target, task_is_classification=classes, rng=np.random.default_rng(seed))


def cut(table: Table, target: Any = None, classes: bool = False, seed: int = 0, **spec: Any) -> Marks:
    return split(table, Split(**spec), target=target, task_is_classification=classes, rng=np.random.default_rng(seed))


def times_in_test(all_marks: list[Marks]) -> NDArray[Any]:
    return np.sum([marks.codes == TEST for marks in all_marks], axis=0)


rng = np.random.default_rng(7)
N = 1003
CLASSES = rng.choice(["a", "b", "c"], N, p=[0.7, 0.25, 0.05]).tolist()
GROUPS = rng.zipf(1.4, N) % 97
TABLE = Table.of(
    {"g": GROUPS, "t": rng.integers(0, 200, N) * DAY, "day": np.datetime64("2026-01-01") + rng.integers(0, 200, N).astype("m8[D]")}
)


@pytest.mark.parametrize("inner", [None, 3])
@pytest.mark.parametrize("by", ["random", "stratified", "group", "blocks"])
def test_every_row_is_tested_once_and_parts_are_disjoint(by: str, inner: int | None) -> None:
    column = {"group": "g", "blocks": "t"}.get(by)
    found = folds(TABLE, CLASSES, True, by=by, column=column, folds=4, inner=inner)
    assert len(found) == 4 * (inner or 1)
    outer = found[:: inner or 1]
    assert (times_in_test(outer) == 1).all()
    for marks in found:
        assert marks.sizes["train"] + marks.sizes["validation"] + marks.sizes["test"] == N
        assert min(marks.sizes.values()) > 0
        if by != "group":
            assert abs(marks.sizes["test"] - N / 4) <= (0.75 if by != "blocks" else 8)
    if inner:
        for fold in range(4):
            mine = found[fold * inner : (fold + 1) * inner]
            assert all((marks.codes == TEST).tolist() == (mine[0].codes == TEST).tolist() for marks in mine)
            seen = np.sum([marks.codes == VALIDATION for marks in mine], axis=0)
            assert (seen[mine[0].codes != TEST] == 1).all()
    else:
        assert all(abs(marks.sizes["validation"] - 0.1 * N) <= 12 for marks in found)


def test_folds_one_by_one_are_those_of_all_together() -> None:
    for marks, fold in zip(folds(TABLE, folds=3, seed=4), range(3), strict=True):
        np.testing.assert_array_equal(marks.codes, cut(TABLE, folds=3, fold=fold, seed=4).codes)
    assert (cut(TABLE, folds=3, seed=4).codes != cut(TABLE, folds=3, seed=5).codes).any()
    assert cut(TABLE, CLASSES, True, folds=3).by == "stratified"


@pytest.mark.parametrize("inner", [None, 3])
def test_classes_are_even_within_one_row(inner: int | None) -> None:
    y = np.array(CLASSES)
    found = folds(TABLE, CLASSES, True, folds=7, inner=inner)
    for name in "abc":
        for part, among, over in ((TEST, found[:: inner or 1], 7), (VALIDATION, found[: inner or 1], inner or 0)):
            counts = [int((marks.codes[y == name] == part).sum()) for marks in among]
            if over:
                assert max(counts) - min(counts) <= 1
    assert len({marks.sizes["test"] for marks in found}) <= 2


def test_groups_are_never_torn_and_folds_are_even() -> None:
    for inner in (None, 2):
        for marks in folds(TABLE, by="group", column="g", folds=3, inner=inner):
            for group in np.unique(GROUPS):
                assert len(set(marks.codes[group == GROUPS])) == 1
    sizes = [marks.sizes["test"] for marks in folds(Table.of({"g": np.arange(5000) % 501}), by="group", column="g", folds=5)]
    assert max(sizes) - min(sizes) <= 10
    skewed = [0] * 900 + [1, 2, 3, 4]
    found = folds(Table.of({"g": skewed}), by="group", column="g", folds=5, validation=0)
    assert sorted(marks.sizes["test"] for marks in found) == [1, 1, 1, 1, 900]


def test_very_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    from fermion.data import groups

    monkeypatch.setattr(groups, "FEW", 100)
    g = np.concatenate([np.zeros(3000, np.int64), np.ones(500, np.int64), np.arange(2, 8002)])
    found = folds(Table.of({"g": g}), by="group", column="g", folds=3, validation=0)
    assert (times_in_test(found) == 1).all()
    assert sorted(marks.sizes["test"] for marks in found) == [3833, 3833, 3834]
    assert all(len(set(marks.codes[:3000])) == 1 and len(set(marks.codes[3000:3500])) == 1 for marks in found)


@pytest.mark.parametrize("column", ["t", "day"])
def test_blocks_keep_their_distance_on_both_sides(column: str) -> None:
    t = np.asarray(TABLE.values(column))
    day = t / DAY if column == "t" else (t - t.min()) / np.timedelta64(1, "D")
    found = folds(TABLE, by="blocks", column=column, folds=5, gap="3d", embargo="4d", validation=0.15)
    assert (times_in_test(found) == 1).all()
    for marks in found:
        train = day[marks.train]
        for rows in (marks.test, marks.validation):
            low, high = day[rows].min(), day[rows].max()
            if rows is marks.validation and ((day[marks.test] > low) & (day[marks.test] < high)).any():
                continue  # lies on both sides of the test part
            assert not ((train > low - 3) & (train < high + 7)).any()
        valid, low, high = day[marks.validation], day[marks.test].min(), day[marks.test].max()
        assert not ((valid > low - 3) & (valid < high + 7)).any()
        assert marks.sizes["left out"] > 0
        for moment in np.unique(day):
            assert len(set(marks.codes[day == moment])) == 1
    assert found[0].boundaries["test"][0] == ("0" if column == "t" else "2026-01-01T00:00:00")
    assert day[found[2].train].min() < day[found[2].test].min() < day[found[2].train].max()


def test_a_validation_part_around_a_test_block_keeps_its_distance_too() -> None:
    days = np.arange(100)
    marks = cut(Table.of({"t": days * DAY}), by="blocks", column="t", folds=10, fold=8, gap="2d", validation=0.2)
    assert days[marks.test].tolist() == list(range(80, 90))
    assert days[marks.validation].tolist() == [*range(67, 79), *range(91, 99)][-20:] or len(marks.validation) == 20
    for row in days[marks.train]:
        assert min(abs(row - days[np.concatenate([marks.validation, marks.test])])) >= 2


def test_nested_blocks() -> None:
    days = np.arange(120)
    found = folds(Table.of({"t": days * DAY}), by="blocks", column="t", folds=4, inner=3, gap="2d")
    first = found[:3]
    assert [days[marks.test].tolist() for marks in first] == [list(range(30))] * 3
    assert sorted(np.concatenate([days[marks.validation] for marks in first])) == list(range(31, 120))
    for marks in first:
        assert min(abs(a - b) for a in days[marks.train] for b in days[marks.validation]) == 2


def test_a_walk_forward_by_shares() -> None:
    days = np.arange(120)
    found = folds(Table.of({"t": rng.permutation(days) * DAY}), by="walk", column="t", folds=5, gap="3d", validation=0.2)
    order = cut(Table.of({"t": days * DAY}), by="walk", column="t", folds=5, fold=4, gap="3d", validation=0.2)
    assert days[order.test].tolist() == list(range(100, 120))
    assert days[order.validation].tolist() == list(range(78, 98))  # a fifth of the 100 rows before the test part
    assert days[order.train].tolist() == list(range(76))
    assert [marks.sizes["test"] for marks in found] == [20] * 5
    assert (times_in_test(found) <= 1).all()
    assert times_in_test(found).sum() == 100
    assert [marks.sizes["train"] for marks in found] == sorted(marks.sizes["train"] for marks in found)


def test_a_walk_forward_by_durations_in_a_sliding_window() -> None:
    day = np.repeat(np.arange(100), 3)
    table = Table.of({"t": np.datetime64("2026-01-01") + day.astype("m8[D]")})
    found = folds(table, by="walk", column="t", folds=4, test="7d", validation="5d", train="30d", gap="2d")
    for fold, marks in enumerate(found):
        first = 72 + 7 * fold
        assert sorted(set(day[marks.test])) == list(range(first, first + 7))
        assert sorted(set(day[marks.validation])) == list(range(first - 7, first - 2))
        assert sorted(set(day[marks.train])) == list(range(first - 39, first - 9))
        assert (marks.codes[day >= first + 7] == OUT).all()
    assert found[3].boundaries["test"][1] == "2026-04-10T00:00:00"
    newest = cut(table, by="time", column="t", test="7d", validation="5d", train="30d", gap="2d")
    np.testing.assert_array_equal(found[3].codes, newest.codes)


def shares_of(marks: list[Marks], labels: NDArray[Any]) -> float:
    """The largest distance of a label's share of a test part from its share of all, in rows."""
    return max(
        abs(float(labels[marks_.codes == TEST, label].sum()) - labels[:, label].sum() / len(marks))
        for marks_ in marks
        for label in range(labels.shape[1])
    )


def test_every_label_has_its_share_in_every_fold() -> None:
    """Against folds by lot, on 20 labels of which the rarest has 12 rows."""
    r = np.random.default_rng(3)
    frequency = np.geomspace(0.006, 0.6, 20)
    common = r.random((2000, 1)) * 0.5
    has = r.random((2000, 20)) * (1 - common) < frequency * (1 - common.mean())
    lists = [[f"l{label}" for label in np.flatnonzero(row)] for row in has]
    table = Table.of({"x": np.arange(2000)})
    even, by_lot = folds(table, lists, True, by="stratified", folds=5), folds(table, by="random", folds=5)
    assert (times_in_test(even) == 1).all()
    assert max(abs(marks.sizes["test"] - 400) for marks in even) <= 40
    assert shares_of(even, has) <= 6
    assert shares_of(even, has) < shares_of(by_lot, has) / 3
    rare = has.sum(axis=0) < 100
    assert shares_of(even, has[:, rare]) <= 1.5


def test_several_class_targets_are_stratified_together() -> None:
    r = np.random.default_rng(4)
    kind, band = r.choice(["p", "q", "s"], 900, p=[0.9, 0.07, 0.03]), r.integers(0, 4, 900)
    kind_or_none: list[Any] = [None if row % 50 == 0 else str(value) for row, value in enumerate(kind)]
    table = Table.of({"x": np.arange(900)})
    marks = cut(table, {"kind": kind_or_none, "band": band}, True)
    assert marks.by == "stratified"
    assert abs(marks.sizes["test"] - 180) <= 9
    for values in (kind, band):
        for value in np.unique(values):
            mine = marks.codes[values == value]
            assert abs((mine == TEST).sum() - 0.2 * len(mine)) <= 3
            assert (mine == TRAIN).any()
    nested = folds(table, {"kind": kind.tolist(), "band": band}, True, folds=3, inner=2)
    assert (times_in_test(nested[::2]) == 1).all()


def test_old_splits_are_what_they_were() -> None:
    """Marks as earlier versions drew them: a project's test part must not move under it."""
    y, g = np.arange(500) % 7 % 3, np.arange(500) % 41
    table = Table.of({"g": g, "t": g * DAY})
    digests = [
        zlib.crc32(marks.codes.tobytes())
        for marks in (
            cut(table),
            cut(table, y, True, seed=1),
            cut(table, by="group", column="g", seed=2),
            cut(table, by="time", column="t", gap="1d"),
            cut(table, by="time", column="t", test="3d", validation="2d", train="9d"),
        )
    ]
    assert digests == DIGESTS


DIGESTS = [3386285516, 2716242286, 1676972559, 2506907758, 3021878491]


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ({"folds": 3, "fold": 3}, SpecError, "split.fold must be from 0 to 2.+got 3"),
        ({"fold": 1}, SpecError, "split.fold must be left out without `folds`.+Add `folds: 5`"),
        ({"inner": 2}, SpecError, "split.inner must be left out without `folds`"),
        ({"folds": 3, "inner": 2, "inner_fold": 2}, SpecError, "split.inner_fold must be from 0 to 1"),
        ({"folds": 3, "inner_fold": 1}, SpecError, "split.inner_fold must be from 0 to 0, as there are no inner folds"),
        ({"by": "walk", "column": "t"}, SpecError, "split.folds must be named for `by: walk`"),
        ({"by": "walk", "column": "t", "folds": 3, "inner": 2}, SpecError, "split.inner must be left out with `by: walk`"),
        ({"by": "walk", "column": "t", "folds": 3, "embargo": "1d"}, SpecError, "split.embargo.+Only `by: blocks`"),
        ({"by": "blocks", "column": "t", "folds": 3, "train": "1d"}, SpecError, "split.train.+Only `by: walk`"),
        ({"by": "blocks", "column": "t", "folds": 3, "test": "1d"}, SpecError, "split.test.+equally many rows"),
        ({"by": "blocks", "folds": 3}, SpecError, "split.column must be named"),
        ({"by": "time", "column": "t", "folds": 3}, SpecError, "split.folds must be left out with `by: time`.+`by: walk` or `by: blocks`"),
        ({"by": "column", "column": "t", "folds": 3}, SpecError, "split.folds must be left out with `by: column`"),
        ({"by": "random", "folds": 3, "embargo": "1d"}, SpecError, "split.embargo must be left out with `by: random`"),
        ({"by": "random", "folds": 3, "validation": "1d"}, SpecError, "split.validation must be a share.+Durations need `by: time`"),
        ({"by": "random", "folds": 2, "validation": 0.5}, SpecError, "less than the 0.5 of the rows that 2 folds leave"),
        ({"by": "random", "folds": 13}, DataError, "the rows must be at least 13, one per fold, got 12.+fewer folds"),
        ({"by": "group", "column": "g", "folds": 4}, DataError, "at least 4 different values, one per fold, got 3 among 12 rows"),
        (
            {"by": "stratified", "folds": 4},
            DataError,
            "every class must be of at least 4 rows.+got 3 in the smallest of 2.+join rare classes",
        ),
        (
            {"by": "blocks", "column": "two", "folds": 4},
            DataError,
            "the 4 blocks of column `two` must be of at least one row each.+2 different times",
        ),
        (
            {"by": "blocks", "column": "t", "folds": 3, "gap": "30d"},
            DataError,
            "the validation part must be at least one row|the train part",
        ),
        ({"by": "walk", "column": "t", "folds": 3, "test": "5d"}, DataError, "at least one row"),
        ({"by": "walk", "column": "words", "folds": 3}, DataError, "dates, times or numbers of seconds"),
    ],
)
def test_folds_that_cannot_be(spec: dict[str, Any], kind: type[FermionError], message: str) -> None:
    table = Table.of({"t": np.arange(12) * DAY, "g": [0, 1, 2] * 4, "two": [0] * 6 + [1] * 6, "words": ["w"] * 12})
    with pytest.raises(kind, match=message) as told:
        cut(table, ["a"] * 9 + ["b"] * 3, True, **spec)
    assert told.value.remedy or "column" in str(told.value)


def test_a_target_of_different_values_is_told_to_be_split_by_lot() -> None:
    table = Table.of({"x": np.arange(30)})
    with pytest.raises(DataError, match=r"30 different values in 30 rows. Write `split: .by: random.`"):
        cut(table, [f"id {k}" for k in range(30)], True)
    with pytest.raises(DataError, match="30 different values"):
        cut(table, list(range(30)), True, folds=3)
    with pytest.raises(SpecError, match="how many folds"):
        folds(table)


@pytest.mark.parametrize("by", ["random", "stratified", "group", "time", "blocks", "walk", "several"])
def test_splits_stay_small(by: str) -> None:
    """At most 50 bytes per row beside the table: half a gigabyte at ten million rows."""
    n, r = 400_000, np.random.default_rng(0)
    table = Table.of({"g": r.integers(0, n // 8, n), "t": r.integers(0, 10**7, n)})
    y = r.integers(0, 3, n).astype(np.int8)
    target: Any = {"a": y, "b": r.integers(0, 9, n)} if by == "several" else y
    spec: dict[str, Any] = {"by": "stratified" if by == "several" else by, "folds": None if by == "time" else 5}
    column = {"group": "g", "time": "t", "blocks": "t", "walk": "t"}.get(by)
    tracemalloc.start()
    cut(table, target, True, column=column, **spec)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * n
