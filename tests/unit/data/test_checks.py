from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core.errors import DataError, SpecError
from fermion.data.checks import KINDS, Finding, check, refuse
from fermion.data.split import Marks
from fermion.data.table import Table

N = 100
CODES = np.array(([0] * 7 + [1] + [2] * 2) * (N // 10), dtype=np.int8)


def found(
    columns: dict[str, Any] | Table,
    y: Any,
    *,
    classes: bool = True,
    accept: tuple[str, ...] = (),
    codes: Any = CODES,
    texts: frozenset[str] = frozenset(),
) -> dict[str, Finding]:
    table = columns if isinstance(columns, Table) else Table.of({"x": np.random.default_rng(0).normal(size=len(codes))} | columns)
    marks = Marks(codes=np.asarray(codes, dtype=np.int8), by="random")
    findings = check(table.with_column("y", y), targets=("y",), marks=marks, classification={"y": classes}, accept=accept, texts=texts)
    for finding in findings:
        assert finding.kind in KINDS
        assert " must be " in finding.message
        assert finding.remedy
        assert len(finding.rows) <= 10
        assert 0 <= finding.score <= 1
    return {finding.kind: finding for finding in findings}


Y = np.random.default_rng(1).integers(0, 2, N)


def test_clean_data_have_no_findings() -> None:
    assert found({"city": ["a", "b", "c", "d"] * 25}, Y) == {}
    assert found({}, np.random.default_rng(2).normal(size=N), classes=False) == {}


def test_nulls_and_nan() -> None:
    some = found({"a": [None, 1.0, float("nan"), 3.0] * 25}, Y)["nulls"]
    assert (some.column, some.severity, some.score, some.rows[:3]) == ("a", "warning", 0.5, (0, 2, 4))
    few = found({"a": [None, *range(99)]}, Y)["nulls"]
    assert (few.severity, few.score, few.rows) == ("info", 0.01, (0,))
    assert "50 missing of 100" in some.message


@pytest.mark.parametrize("values", [[1] * N, ["a"] * N, [None] * N, np.zeros((N, 2, 2), np.uint8), [True] * N, np.where(CODES == 0, 1, 2)])
def test_constant_in_training(values: Any) -> None:
    finding = found({"a": values}, Y)["constant"]
    assert (finding.column, finding.severity) == ("a", "warning")
    assert "data.ignore: [a]" in finding.remedy


def test_identifiers() -> None:
    for values in ([f"id-{i}" for i in range(N)], np.random.default_rng(0).permutation(N) + 7, [*(f"n{i}" for i in range(99)), None]):
        finding = found({"a": values}, Y)["identifier"]
        assert (finding.column, finding.severity, finding.score) == ("a", "warning", 1.0)
    assert "identifier" not in found({"a": np.arange(N) * 2}, Y)
    assert "identifier" not in found({"a": [f"a card {i}" for i in range(N)]}, Y, texts=frozenset({"a"}))


def test_a_target_that_is_not_there_or_has_gaps() -> None:
    table = Table.of({"amount": range(N), "is_fraud": Y})
    marks = Marks(codes=CODES, by="random")
    first = check(table, targets=("is_fruad",), marks=marks, classification={"is_fruad": True}, accept=())[0]
    assert (first.kind, first.severity, first.remedy) == ("target-missing", "error", "Did you mean `is_fraud`?")
    gaps = found({}, [None, 1, 0, 1] * 25)["target-nulls"]
    assert (gaps.severity, gaps.score, gaps.rows[:2]) == ("error", 0.25, (0, 4))
    assert "data.drop_unlabelled: true" in gaps.remedy
    two = check(
        table.with_column("b", [None, 1] * 50), targets=("is_fraud", "b"), marks=marks, classification={"is_fraud": True, "b": True}
    )
    assert {finding.severity for finding in two if finding.kind == "target-nulls"} == {"info"}


def test_rare_and_unseen_classes() -> None:
    y = Y.astype(str)
    y[3] = "alone"
    rare = found({}, y.tolist())
    assert rare["rare-class"].rows == (3,)
    assert "unseen-class" not in rare
    y[8], y[18] = "new", "new"
    unseen = found({}, y.tolist())["unseen-class"]
    assert (unseen.severity, unseen.rows) == ("error", (8, 18))
    assert "'new'" in unseen.message


@pytest.mark.parametrize(
    ("column", "target", "classes"),
    [
        (Y, Y, True),
        (Y == 1, Y, True),
        (np.where(Y == 1, "yes", "no").tolist(), Y, True),
        (Y.astype(float) * 3 - 1, Y == 1, True),
        (np.arange(N) * 0.7, np.arange(N) * 0.7, False),
        ([None, *(np.arange(99) * 0.7)], np.r_[5.0, np.arange(99) * 0.7], False),
    ],
)
def test_a_column_that_is_the_target(column: Any, target: Any, classes: bool) -> None:
    leak = found({"copy": column}, target, classes=classes)["leak"]
    assert (leak.column, leak.severity) == ("copy", "error")
    assert "data.ignore: [copy]" in leak.remedy
    assert "accept: [leak]" in leak.remedy


def test_what_is_no_leak() -> None:
    near = Y.copy()
    near[0] = 1 - near[0]
    assert "leak" not in found({"near": near, "finer": Y * 2 + np.arange(N) % 2}, Y)
    assert "leak" not in found({"n": np.arange(N) * 0.7}, np.arange(N) * 0.7 + 1, classes=False)


def test_duplicates_within_and_across() -> None:
    a = np.arange(N) * 0.5
    a[1], a[8], a[17], a[28] = a[0], a[0], a[2], a[3]  # 8 and 28 are test, 17 validation
    y = np.zeros(N, int)
    y[::7] = 1
    y[[0, 1, 8, 2, 17, 3, 28]] = 0
    got = found(Table.of({"a": a}), y)
    assert got["duplicates"].rows == (1,)
    assert (got["duplicates-across"].rows, got["duplicates-across"].severity, got["duplicates-across"].score) == ((8, 28), "warning", 0.1)
    y[28] = 1  # the same features with another label are not the same row
    assert found(Table.of({"a": a}), y)["duplicates-across"].rows == (8,)


def test_duplicates_of_pictures_and_of_files(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (N, 5, 5, 3), dtype=np.uint8)
    pictures[9] = pictures[0]
    pictures[4] = pictures[3]
    y = np.zeros(N, int)
    y[50:] = 1
    got = found(Table.of({"picture": pictures}), y)
    assert (got["duplicates-across"].rows, got["duplicates"].rows) == ((9,), (4,))
    for i in range(N):
        (tmp_path / f"{i}.png").write_bytes(b"same" if i in (0, 9) else b"%d" % i)
    files = Table(pl.DataFrame({"image": [str(tmp_path / f"{i}.png") for i in range(N)]}), paths=["image"])
    got = found(files, y)
    assert got["duplicates-across"].rows == (9,)
    assert "identifier" not in got


def test_rows_that_are_left_out_are_not_looked_at() -> None:
    codes = CODES.copy()
    codes[:10] = -1
    a = [None] * 10 + list(np.arange(90) * 0.5)
    y = np.where(np.arange(N) % 3 == 0, 1, 0)
    assert "nulls" not in found({"a": a}, y, codes=codes)
    a[20] = None
    assert found({"a": a}, y, codes=codes)["nulls"].rows == (20,)


def test_accepting_and_refusing() -> None:
    with pytest.raises(SpecError, match=r"checks.accept must be made of .+ Did you mean `leak`"):
        found({}, Y, accept=("leek",))
    findings = list(found({"copy": Y}, Y).values())
    with pytest.raises(DataError, match="free of findings that stop a fit, got 1, the first `leak`: column `copy`"):
        refuse(findings)
    accepted = list(found({"copy": Y}, Y, accept=("leak",)).values())
    assert [
        (finding.severity, finding.message.endswith("Accepted by checks.accept.")) for finding in accepted if finding.kind == "leak"
    ] == [("warning", True)]
    refuse(accepted)
    refuse([])
