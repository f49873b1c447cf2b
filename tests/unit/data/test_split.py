from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fermion.core.errors import DataError, FermionError, SpecError
from fermion.core.sections import Split
from fermion.data.marks import TRAIN, VALIDATION
from fermion.data.split import Marks, split
from fermion.data.table import Table


def cut(table: Table, target: Any = None, classes: bool = False, seed: int = 0, **spec: Any) -> Marks:
    return split(table, Split(**spec), target=target, task_is_classification=classes, rng=np.random.default_rng(seed))


def numbered(n: int) -> Table:
    return Table.of({"x": np.arange(n)})


def test_random_shares_and_seeds() -> None:
    marks = cut(numbered(1000))
    assert (marks.by, marks.sizes) == ("random", {"train": 700, "validation": 100, "test": 200})
    np.testing.assert_array_equal(marks.codes, cut(numbered(1000)).codes)
    assert (marks.codes != cut(numbered(1000), seed=1).codes).any()
    assert np.concatenate([marks.train, marks.validation, marks.test]).tolist() != list(range(1000))
    assert cut(numbered(10), validation=0.0).sizes == {"train": 8, "validation": 0, "test": 2}
    assert cut(numbered(4)).sizes == {"train": 2, "validation": 1, "test": 1}


def test_stratified_keeps_shares_in_every_class() -> None:
    y = np.repeat(["a", "b", "c", "d"], [600, 300, 97, 3]).tolist()
    marks = cut(numbered(1000), y, True)
    assert marks.by == "stratified"
    assert marks.sizes == {"train": 700, "validation": 100, "test": 200}
    for name, size in (("a", 600), ("b", 300), ("c", 97)):
        mine = marks.codes[np.array(y) == name]
        assert abs((mine == 2).sum() - 0.2 * size) <= 1
        assert abs((mine == 1).sum() - 0.1 * size) <= 1
    assert (marks.codes[np.array(y) == "d"] == 0).any()


def test_classes_too_small_stay_in_training() -> None:
    y = [0] * 40 + list(range(1, 11))
    marks = cut(numbered(50), y, True)
    assert (marks.codes[40:] == 0).all()
    many = cut(numbered(500), np.repeat(np.arange(100), 5), True)  # the tenth of 5 rows is half a row: by lot
    assert many.sizes == {"train": 350, "validation": 50, "test": 100}
    assert {int((many.codes[5 * k : 5 * k + 5] == 1).sum()) for k in range(100)} == {0, 1}


@pytest.mark.parametrize("y", [[True, False, None] * 20, ["a", None] * 30, [1.0, 2.0] * 30])
def test_stratified_by_any_target(y: list[Any]) -> None:
    assert sum(cut(numbered(60), y, True).sizes.values()) == 60


def test_groups_stay_whole_and_sizes_come_close() -> None:
    group = np.random.default_rng(0).integers(0, 80, 2000)
    marks = cut(Table.of({"g": [f"g{k}" for k in group]}), by="group", column="g")
    for k in range(80):
        assert len(set(marks.codes[group == k])) == 1
    assert abs(marks.sizes["test"] - 400) < 10
    assert abs(marks.sizes["validation"] - 200) < 10
    few = cut(Table.of({"g": ["a"] * 50 + ["b"] * 30 + ["c"] * 10 + ["d"] * 5 + ["e"] * 5}), by="group", column="g")
    assert abs(few.sizes["test"] - 20) + abs(few.sizes["validation"] - 10) <= 10
    three = cut(Table.of({"g": ["a"] * 50 + ["b"] * 30 + ["c"] * 20}), by="group", column="g")
    assert all(three.sizes.values())


def test_time_by_shares_never_tears_a_moment_apart() -> None:
    t = np.random.default_rng(1).integers(0, 30, 1000)
    marks = cut(Table.of({"t": t}), by="time", column="t")
    assert t[marks.train].max() < t[marks.validation].min()
    assert t[marks.validation].max() < t[marks.test].min()
    assert abs(marks.sizes["test"] - 200) <= 40
    assert marks.boundaries["test"][1] == str(t.max())


def test_time_by_durations_with_a_gap() -> None:
    day = np.arange(60).repeat(10)
    time = np.datetime64("2026-01-01") + day.astype("m8[D]")
    marks = cut(Table.of({"t": time}), by="time", column="t", test="7d", validation="5d", train="20d", gap="3d")
    assert sorted(set(day[marks.test])) == list(range(53, 60))
    assert sorted(set(day[marks.validation])) == list(range(45, 50))
    assert sorted(set(day[marks.train])) == list(range(22, 42))
    assert marks.sizes["left out"] == 600 - 320
    assert marks.boundaries["validation"] == ("2026-02-15T00:00:00", "2026-02-19T00:00:00")


def test_time_by_shares_with_a_gap_and_numbers_of_seconds() -> None:
    marks = cut(Table.of({"s": np.arange(100) * 60.0}), by="time", column="s", test=0.2, validation=0.1, gap="5m")
    assert marks.test.tolist() == list(range(80, 100))
    assert marks.validation.tolist() == list(range(66, 76))  # 76..79 lie less than 5 minutes before the test part
    assert marks.train.tolist() == list(range(62))


def test_order_of_rows_is_not_order_of_time() -> None:
    order = np.random.default_rng(0).permutation(100)
    marks = cut(Table.of({"t": order}), by="time", column="t")
    assert set(order[marks.test]) == set(range(80, 100))


def test_a_column_that_says_the_part() -> None:
    words = ["train"] * 70 + ["Valid"] * 10 + ["test"] * 20
    assert cut(Table.of({"split": words}), by="column", column="split").sizes == {"train": 70, "validation": 10, "test": 20}
    no_validation = cut(Table.of({"split": ["train"] * 80 + ["test"] * 20}), [0, 1] * 50, True, by="column", column="split")
    assert no_validation.sizes == {"train": 72, "validation": 8, "test": 20}
    assert set(no_validation.codes[80:]) == {2}
    assert (no_validation.codes[:80][::2] == 1).sum() == 4


TABLE = Table.of(
    {
        "text": ["2026"] * 10,
        "gaps": [1, None] * 5,
        "same": [1] * 10,
        "odd": ["train"] * 9 + ["tset"],
        "most": ["train"] * 10,
        "t": np.arange(10) * 86400.0,
        "nan": [float("nan")] * 10,
    }
)


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ({"by": "time"}, SpecError, "split.column must be named for `by: time`"),
        ({"by": "time", "column": "tt"}, DataError, "split.column must be one of the columns"),
        ({"by": "group", "column": "sane"}, DataError, "Did you mean `same`"),
        ({"by": "time", "column": "text"}, DataError, "must be dates, times or numbers of seconds, got values of type String"),
        ({"by": "time", "column": "gaps"}, DataError, "row 1: column `gaps`.+without missing values, got 5 of them"),
        ({"by": "time", "column": "nan"}, DataError, "must be finite numbers"),
        ({"by": "time", "column": "same"}, DataError, "the train part must be at least one row|the validation part"),
        ({"by": "time", "column": "t", "test": "9d", "validation": "3d"}, DataError, "the train part must be at least one row"),
        (
            {"by": "time", "column": "t", "test": "2d", "validation": "1d", "gap": "20d"},
            DataError,
            "the train part must be at least one row",
        ),
        ({"by": "group", "column": "same"}, DataError, "at least 3 different values"),
        ({"by": "column", "column": "odd"}, DataError, "row 9: column `odd` must be train, validation or test .+ Did you mean `test`"),
        ({"by": "column", "column": "t"}, DataError, "must be text: train, validation or test"),
        ({"by": "column", "column": "most"}, DataError, "the test part must be at least one row"),
        ({"by": "random", "test": "7d"}, SpecError, "split.test must be a share such as 0.2 with `by: random`"),
        ({"by": "random", "gap": "7d"}, SpecError, "split.gap must be left out"),
        ({"by": "random", "test": 0.6, "validation": 0.5}, SpecError, "less than 1 together"),
        ({"by": "stratified"}, SpecError, "without a target"),
    ],
)
def test_what_cannot_be_split(spec: dict[str, Any], kind: type[FermionError], message: str) -> None:
    with pytest.raises(kind, match=message):
        cut(TABLE, **spec)


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="must be at least one row"):
        cut(numbered(2))
    with pytest.raises(DataError, match="must be at least one row"):
        cut(Table.of({"x": np.arange(0)}))


def test_validation_is_cut_from_train_in_whole_groups() -> None:
    rng = np.random.default_rng(0)
    sign, track = rng.integers(0, 5, 400), rng.integers(0, 20, 400)
    table = Table.of({"part": ["train"] * 300 + ["test"] * 100, "sign": sign, "track": [*track[:300].tolist(), *[None] * 100]})
    marks = cut(table, sign.tolist(), True, by="column", column="part", groups=("sign", "track"), validation=0.2)
    assert marks.sizes["test"] == 100
    assert 50 <= marks.sizes["validation"] <= 70
    pairs = sign[:300] * 100 + track[:300]
    assert not set(pairs[marks.codes[:300] == VALIDATION]) & set(pairs[marks.codes[:300] == TRAIN])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"by": "random", "groups": ("same",)}, "split.groups must be left out unless `by: column`"),
        ({"by": "group", "column": "same", "groups": ("same",)}, "The groups are in `column`."),
        ({"by": "column", "column": "most", "groups": ("sane",)}, "`same`"),
    ],
)
def test_groups_that_cannot_be(words: dict[str, Any], text: str) -> None:
    with pytest.raises(FermionError) as told:
        cut(TABLE, **words)
    assert text in str(told.value)
