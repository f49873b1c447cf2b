from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core.declared import Lineage
from fermion.core.errors import SpecError
from fermion.core.sections import Split
from fermion.data import hints
from fermion.data.checks import Finding, check
from fermion.data.clean import part_digest
from fermion.data.marks import Marks
from fermion.data.samples import sample
from fermion.data.split import split
from fermion.data.strength import Sought, read, strength
from fermion.data.table import Table

N = 2_000
RNG = np.random.default_rng(0)
CODES = RNG.permutation(np.array(([0] * 7 + [1] + [2] * 2) * (N // 10), dtype=np.int8))
Y = (RNG.random(N) < 0.3).astype(int)
NUMBER = RNG.normal(size=N)
LEAKS = ("leak", "predicts-alone", "known-after", "estimate", "missing-tells")


def honest(y: Any) -> dict[str, Any]:
    """Columns that tell the target a little, as honest ones do."""
    rng, y_N = np.random.default_rng(1), np.asarray(y, dtype=float)
    columns: dict[str, Any] = {f"x{i}": rng.normal(size=N) + 0.3 * i * y_N / (y_N.std() * 3) for i in range(6)}
    return columns | {"city": rng.choice(["a", "b", "c"], N).tolist()}


def findings(columns: dict[str, Any], y: Any, *, classes: bool = True, **more: Any) -> list[Finding]:
    table = Table.of(honest(y) | columns | {"y": y})
    marks = more.pop("marks", Marks(codes=CODES, by="random"))
    return check(table, targets=("y",), marks=marks, classification={"y": classes}, **more)


def about(column: Any, y: Any = Y, *, name: str = "z", classes: bool = True, **more: Any) -> dict[str, str]:
    found = findings({name: column}, y, classes=classes, **more)
    assert all(" must be " in one.message and one.remedy and 0 <= one.score <= 1 and len(one.rows) <= 10 for one in found)
    return {one.kind: one.severity for one in found if one.column == name and one.kind in LEAKS}


def test_honest_columns_are_no_leaks() -> None:
    for y, classes in ((Y, True), (NUMBER, False)):
        assert [one for one in findings({}, y, classes=classes) if one.kind in LEAKS] == []


def test_a_column_that_tells_the_target_alone() -> None:
    rng = np.random.default_rng(2)
    wrong = np.where(rng.random(N) < 0.04, 1 - Y, Y)
    assert about(wrong) == {"predicts-alone": "error"}
    assert about(Y * 4 + rng.normal(size=N)) == {"predicts-alone": "error"}
    assert about([["no", "yes"][one] for one in wrong]) == {"predicts-alone": "error"}
    assert about(np.exp(NUMBER), NUMBER, classes=False) == {"predicts-alone": "error"}
    assert about(-NUMBER + rng.normal(0, 0.1, N), NUMBER, classes=False) == {"predicts-alone": "error"}
    assert about(Y * 1.8 + rng.normal(size=N)) == {"predicts-alone": "warning"}
    assert about([f"€ {4000 + 900 * one + noise:,.2f}" for one, noise in zip(Y, rng.normal(0, 200, N), strict=True)]) == {
        "predicts-alone": "error"
    }


def test_the_evidence_is_rows_that_tell_most() -> None:
    found = next(one for one in findings({"z": np.where(np.arange(N) % 50 == 0, 1 - Y, Y) * 9.0}, Y) if one.column == "z")
    assert len(found.rows) == 10
    assert "area under the curve" in found.message
    assert "data.ignore: [z]" in found.remedy
    assert 'accept: ["predicts-alone:z"]' in found.remedy


def test_strong_columns_among_strong_ones_are_no_leaks() -> None:
    rng = np.random.default_rng(3)
    strong = {f"s{i}": Y * 2.2 + rng.normal(size=N) for i in range(6)}
    assert [one for one in findings(strong, Y) if one.kind in LEAKS] == []


def test_a_column_with_another_value_in_each_row_tells_nothing() -> None:
    assert about([f"n{i}" for i in range(N)]) == {}
    assert about(np.random.default_rng(0).permutation(N) * 7) == {}


def test_words_that_place_a_column_after_the_outcome() -> None:
    some = Y * 1.1 + np.random.default_rng(4).normal(size=N)
    assert about(some) == {}
    for name in ("days_until_event", "dateClosed", "recoveries", "predicted_risk", "surv2m", "y_score"):
        assert about(some, name=name) == {"known-after": "warning"}
    assert about(Y * 4 + np.random.default_rng(4).normal(size=N), name="settled_at") == {"known-after": "error"}
    assert about(np.random.default_rng(4).normal(size=N), name="settled_at") == {}
    levels = np.where(np.random.default_rng(5).random(N) < 0.25, 1 - Y, Y)
    assert about([["none", "seen at follow-up"][one] for one in levels]) == {"known-after": "warning"}
    assert hints.words("days-toClosure_2") == ("days", "to", "closure")


def test_numbers_that_look_like_predictions() -> None:
    rng = np.random.default_rng(6)
    p = 1 / (1 + np.exp(-(3 * (Y - 0.3) + rng.normal(size=N) * 2.2)))
    p[:2] = 0.001, 0.999
    assert about(1 - p) == {"known-after": "warning"}
    assert about(p * 300) == {}


def test_means_of_the_target_over_groups() -> None:
    group = np.random.default_rng(7).permutation(N) // 4
    for y, classes in ((Y, True), (NUMBER, False), (np.arange(N) % 3, True)):
        target = (y == 0).astype(float) if classes and y.max() == 2 else y.astype(float)
        means = np.bincount(group, target) / np.bincount(group)
        assert about(means[group], y, classes=classes)["estimate"] == "error"
    train = CODES == 0
    known = np.bincount(group, Y * train) / np.maximum(np.bincount(group, train), 1)
    assert about(known[group])["estimate"] == "error"


def test_missing_values_that_tell_the_target() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=N)
    assert about(np.where(Y == 1, np.nan, values)) == {"missing-tells": "error"}
    assert about(np.where(rng.random(N) < np.where(Y == 1, 0.8, 0.2), np.nan, values)) == {"missing-tells": "warning"}
    assert about(np.where(rng.random(N) < 0.3, np.nan, values)) == {}
    rare = np.where(np.arange(N) % 7 == 0, 2, Y)
    assert about(np.where(rare == 2, np.nan, values), rare) == {"missing-tells": "error"}


def test_times_that_lie_after_the_row() -> None:
    rng = np.random.default_rng(9)
    opened = np.datetime64("2024-01-01") + rng.integers(0, 10**6, N).astype("timedelta64[m]")
    closed = opened + np.where(Y == 1, rng.integers(1, 100, N), rng.integers(90, 2_000, N)).astype("timedelta64[h]")
    found = {(one.kind, one.column): one for one in findings({"opened": opened, "ended_at": closed}, Y, time="opened")}
    assert found["later-than-row", "ended_at"].severity == "warning"
    assert found["later-than-row", "ended_at"].score == 1.0
    assert found["known-after", "ended_at"].severity == "error"  # not the date tells it, the time from the one to the other does
    early = findings({"opened": opened, "seen": opened - np.timedelta64(5, "D")}, Y, time="opened")
    assert not [one for one in early if one.kind == "later-than-row"]


def test_accepting_one_column() -> None:
    columns = {"one": Y * 4 + NUMBER, "two": Y * 4 - NUMBER}
    found = {one.column: one for one in findings(columns, Y, accept=("predicts-alone:one",)) if one.kind == "predicts-alone"}
    assert (found["one"].severity, found["two"].severity) == ("warning", "error")
    assert found["one"].message.endswith("Accepted by checks.accept.")
    for wrong, hint in (("predicts-alone:ones", "`one`"), ("predict-alone:one", "`predicts-alone`")):
        with pytest.raises(SpecError, match=hint):
            findings(columns, Y, accept=(wrong,))


def test_private_values_are_not_shown() -> None:
    names = [f"Anna {i}" for i in range(N)]
    levels = [["none", "after death"][one] for one in np.where(np.arange(N) % 5 == 0, 1 - Y, Y)]
    shown = findings({"who": names, "note": levels, "same": ["secret"] * N}, Y)
    hidden = findings({"who": names, "note": levels, "same": ["secret"] * N}, Y, private=frozenset({"who", "note", "same"}))
    for word in ("Anna", "after death", "secret"):
        assert any(word in one.message for one in shown)
        assert not any(word in one.message + one.remedy for one in hidden)
    assert [(one.kind, one.column) for one in hidden] == [(one.kind, one.column) for one in shown]


def test_entities_on_both_sides() -> None:
    customers = RNG.integers(0, 300, N)
    found = {one.kind: one for one in findings({"customer_id": customers}, Y)}
    assert (found["group-across"].column, found["group-across"].severity) == ("customer_id", "warning")
    assert found["group-across"].score > 0.95
    codes = {one.kind for one in findings({"who": [f"C-{one:05}" for one in customers]}, Y)}
    assert "group-across" in codes
    apart = Marks(codes=np.where(customers < 200, 0, 2).astype(np.int8), by="group", column="customer_id")
    for columns, marks in (
        ({"customer_id": customers}, apart),
        ({"age": customers % 70}, None),
        ({"zip_area": [f"{one}" for one in customers]}, None),
    ):
        more: dict[str, Any] = {} if marks is None else {"marks": marks}
        assert "group-across" not in {one.kind for one in findings(columns, Y, **more)}


def test_time_that_runs_backwards_and_splits_that_ignore_it() -> None:
    moment = np.arange(N)
    later = np.where(moment < 1_500, 0, 2).astype(np.int8)
    named = Marks(codes=later, by="column", column="part")
    assert not {"time-backwards", "split-ignores-time"} & {one.kind for one in findings({"t": moment}, Y, marks=named, time="t")}
    back = {one.kind: one for one in findings({"t": -moment}, Y, marks=named, time="t")}
    assert back["time-backwards"].severity == "warning"
    assert back["time-backwards"].score == 1.0
    calm = {one.kind: one.severity for one in findings({"t": moment}, Y, time="t")}
    assert calm["split-ignores-time"] == "info"
    moving = (np.random.default_rng(0).random(N) < moment / N).astype(int)
    assert {one.kind: one.severity for one in findings({"t": moment}, moving, time="t")}["split-ignores-time"] == "warning"
    split_by_time = Marks(codes=later, by="time", column="t")
    assert "split-ignores-time" not in {one.kind for one in findings({"t": moment}, moving, marks=split_by_time)}


def test_near_duplicates_across_the_split() -> None:
    columns = honest(Y)
    test, train = np.flatnonzero(CODES == 2)[:20], np.flatnonzero(CODES == 0)[:20]
    for name in columns:
        values = np.array(columns[name], dtype=object)
        values[test] = values[train]
        columns[name] = values.tolist()
    columns["x0"] = [value + (0.5 if row in test else 0.0) for row, value in enumerate(columns["x0"])]
    found = next(one for one in findings(columns, Y) if one.kind == "near-duplicates-across")
    assert (found.severity, found.score) == ("warning", 0.05)
    assert set(found.rows) <= set(test.tolist())


def test_plans_and_features_from_the_wrong_rows() -> None:
    marks = Marks(codes=CODES, by="random")
    own = part_digest(marks)
    good, everything = Lineage(fingerprint="f", part="train", split=own), Lineage(fingerprint="f", part="all")
    other = Lineage(fingerprint="f", part="train", split="0" * 64)
    kind = "fitted-outside-training"
    assert kind not in {one.kind for one in findings({}, Y, made_from=good)}
    assert kind not in {one.kind for one in findings({}, Y, made_from=other, training="0" * 64)}
    for wrong in (everything, other):
        found = next(one for one in findings({}, Y, made_from=wrong) if one.kind == kind)
        assert (found.severity, found.column) == ("error", "")
    by_feature = [one.column for one in findings({}, Y, made_from={"x0": everything, "x1": good}) if one.kind == kind]
    assert by_feature == ["x0"]
    accepted = [one for one in findings({}, Y, made_from={"x0": everything}, accept=(f"{kind}:x0",)) if one.kind == kind]
    assert accepted[0].severity == "warning"


def test_strength_is_measured_on_other_rows() -> None:
    sought = Sought.of(pl.Series(Y), classes=True)
    for column in (pl.Series([f"n{i}" for i in range(N)]), pl.Series(RNG.normal(size=N))):
        one = read(column)
        assert one is not None
        assert 0.4 < strength(one, sought).score < 0.6
    exact = read(pl.Series(Y))
    assert exact is not None
    assert strength(exact, sought).score == 1.0
    assert read(pl.Series([[1, 2]])) is None


@pytest.mark.parametrize(
    ("name", "target", "classes"),
    [("iris", "species", True), ("wine", "cultivar", True), ("breast-cancer", "diagnosis", True), ("diabetes", "progression", False)],
)
def test_samples_have_no_leaks(name: str, target: str, classes: bool) -> None:
    assert [one for one in looked(sample(f"sample://{name}").frame, target, classes) if one.kind in LEAKS] == []


def looked(frame: pl.DataFrame, target: str, classes: bool) -> list[Finding]:
    table = Table(frame)
    marks = split(table, Split(), target=table.values(target), task_is_classification=classes, rng=np.random.default_rng(0))
    return check(table, targets=(target,), marks=marks, classification={target: classes})


LEAKY = "d.time sfdm2 surv2m surv6m prg2m prg6m avtisst dnr death slos hday charges totcst totmcst aps sps dnrday"


def test_support2_unprompted(real_data: Path) -> None:
    frame = pl.read_csv(real_data / "support2" / "support2.csv.gz", infer_schema_length=None)
    found = {one.column: one.severity for one in looked(frame, "hospdead", True) if one.kind in LEAKS}
    assert {name for name, severity in found.items() if severity == "error"} == {"d.time", "sfdm2"}
    assert {"surv2m", "surv6m", "prg2m", "prg6m", "avtisst", "dnr", "death"} <= found.keys()
    assert not [one for one in looked(frame.drop(LEAKY.split()), "hospdead", True) if one.severity == "error"]


def test_clean_tables_stop_nothing(real_data: Path) -> None:
    folder = real_data / "tabular_suite_A"
    for one in json.loads((folder / "meta.json").read_text()):
        frame = pl.read_parquet(folder / f"{one['name']}.parquet")
        classes = frame[one["target"]].n_unique() < 100
        found = [f"{f.kind}:{f.column}" for f in looked(frame, one["target"], classes) if f.severity == "error" or f.kind in LEAKS]
        assert found == (["known-after:duration"] if one["name"] == "bank_marketing" else []), one["name"]
