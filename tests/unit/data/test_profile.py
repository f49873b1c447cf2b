"""A profile: exact where it says so, near where it says so, and never a private value."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import polars as pl
import pytest

from fermion.core.errors import DataError
from fermion.data import associations
from fermion.data.findings import Finding
from fermion.data.profile import Profile, profile
from fermion.data.profile_page import html
from fermion.data.profile_scan import SAMPLE
from fermion.data.profile_text import document, lines
from fermion.data.split import Marks
from fermion.data.table import Table

RNG = np.random.default_rng(0)


def shown(found: Profile) -> str:
    """Everything that a reader can see of a profile."""
    return "\n".join((html(found), json.dumps(document(found), ensure_ascii=False), *lines(found), repr(found)))


def test_counts_are_exact() -> None:
    found = profile(
        Table.of({"x": [0.0, -1.0, float("nan"), None, 5.0], "c": ["a", "b", "a", None, "a"], "f": [True, None, False, True, True]})
    )
    x, c, f = found.columns
    assert (x.kind, c.kind, f.kind) == ("number", "category", "flag")
    assert (x.missing, c.missing, f.missing) == (2, 1, 1)
    assert (x.distinct, c.distinct, f.distinct) == (3, 2, 2)
    assert x.numbers is not None
    assert (x.numbers.low, x.numbers.high, x.numbers.zeros, x.numbers.negatives) == (-1.0, 5.0, 1, 1)
    assert x.numbers.mean == pytest.approx(4 / 3)
    assert [(bar.value, bar.count) for bar in c.top] == [("a", 3), ("b", 1)]
    assert found.error == 0


def test_a_sample_keeps_its_stated_error() -> None:
    x_N = np.random.default_rng(1).exponential(size=4 * SAMPLE)
    found = profile(Table.of({"x": x_N, "c": np.where(x_N < 1, "low", "high")}))
    numbers = found["x"].numbers
    assert numbers is not None
    assert 0 < found.error < 0.01
    for q, value in numbers.quantiles.items():
        assert abs((x_N <= value).mean() - float(q)) <= found.error + 1e-4
    assert abs(found["c"].top[0].share - (x_N < 1).mean()) <= found.error
    assert numbers.mean == pytest.approx(x_N.mean())
    assert numbers.high == x_N.max()
    assert found["x"].distinct == pytest.approx(4 * SAMPLE, rel=0.03)


def test_the_same_seed_gives_the_same_profile() -> None:
    table = Table.of({"x": RNG.normal(size=2 * SAMPLE), "y": RNG.integers(0, 2, 2 * SAMPLE)})
    assert profile(table, targets=("y",), seed=3) == profile(table, targets=("y",), seed=3)
    assert profile(table, seed=3) != profile(table, seed=4)


def test_which_columns_are_missing_together() -> None:
    found = profile(Table.of({"a": [None, None, 1.0, 2.0], "b": [None, None, "x", "y"], "c": [1, 2, None, 4]}))
    assert [(set(one.columns), one.share) for one in found.missing_together] == [({"a", "b"}, 0.5), ({"c"}, 0.25)]


def test_information_finds_what_tells_of_the_target() -> None:
    y_N = RNG.integers(0, 2, 5_000)
    found = profile(
        Table.of(
            {"copy": np.where(y_N == 1, "on", "off"), "near": y_N + RNG.normal(size=5_000), "noise": RNG.normal(size=5_000), "y": y_N}
        ),
        targets=("y",),
    )
    assert found["copy"].information["y"] > 0.99
    assert 0.1 < found["near"].information["y"] < 0.4
    assert found["noise"].information["y"] < 0.005
    assert found.balances[0].counts == tuple(sorted(np.bincount(y_N).tolist(), reverse=True))


def test_pearson_is_what_pandas_computes() -> None:
    pd = pytest.importorskip("pandas")
    x_NC = RNG.normal(size=(300, 4)) * [1, 1e6, 1e-6, 1] + [0, 1e9, 0, 5]
    x_NC[:, 3] += x_NC[:, 0]
    x_NC[RNG.random(x_NC.shape) < 0.2] = np.nan
    ours = np.array(associations.pearson({str(i): x_NC[:, i] for i in range(4)}).values, np.float64)
    np.testing.assert_allclose(ours, pd.DataFrame(x_NC).corr().to_numpy(), atol=1e-6)


def test_associations_of_nothing_and_of_everything() -> None:
    a_N, b_N = RNG.integers(0, 4, 4_000), RNG.integers(0, 5, 4_000)
    values = associations.cramer({"a": a_N, "b": b_N, "same": (a_N + 1) % 4, "one": np.zeros(4_000, np.int64)}).values
    assert values[0][1] is not None
    assert values[0][1] < 0.05
    assert values[0][2] == pytest.approx(1.0, abs=1e-6)
    assert values[0][3] is None
    assert associations.pearson({"x": np.full(9, 3.0), "y": np.arange(9.0)}).values[0][1] is None


def test_time_is_covered_with_its_gaps() -> None:
    days = np.array(["2026-01-01", "2026-01-02", "2026-01-02", "2026-01-09"], "datetime64[D]")
    time = profile(Table.of({"day": days}))["day"].time
    assert time is not None
    assert (time.unit, time.counts[:3], time.empty, time.gap) == ("day", (1, 2, 0), 6, ("2026-01-03", "2026-01-08"))
    years = profile(Table.of({"t": np.array(["1900-05-01", "2025-01-01"], "datetime64[us]")}))["t"].time
    assert years is not None
    assert years.unit == "year"
    assert len(years.counts) == 126


def test_pictures_and_texts_are_sampled(tmp_path: Any) -> None:
    from PIL import Image

    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    texts = [f"a sentence with the number {i} in it" for i in range(60)]
    table = Table(
        Table.of({"path": [str(tmp_path / "a.png"), str(tmp_path / "b.png")] * 30, "text": texts, "y": ["cat", "dog"] * 30}).frame,
        paths=["path"],
    )
    found = profile(table.with_column("array", RNG.integers(0, 255, (60, 8, 8), np.uint8)), targets=("y",))
    pictures = profile(table, targets=("y",))["path"].pictures
    assert len(pictures) == 12
    assert pictures[0].label == "cat · row 0"
    assert "unreadable" in next(picture for picture in pictures if picture.label.startswith("dog")).label
    assert (found["array"].kind, len(found["array"].pictures), found["text"].kind) == ("image", 12, "text")
    texts_of = found["text"].texts
    assert texts_of is not None
    assert texts_of.words == 8
    assert len(texts_of.examples) == 5
    assert "data:image/png;base64," in html(found)


def test_parts_are_compared() -> None:
    n = 3_000
    codes = np.repeat(np.array([0, 1, 2], np.int8), n // 3)
    moved = RNG.normal(size=n) + (codes == 2)
    found = profile(Table.of({"moved": moved, "still": RNG.normal(size=n)}), marks=Marks(codes=codes, by="random"))
    by = {(one.column, one.part): one for one in found.shifts}
    assert by["moved", "test"].psi > 0.5
    assert by["still", "test"].psi < 3 * by["still", "test"].chance
    assert found.parts == {"train": 1_000, "validation": 1_000, "test": 1_000}


def test_odd_columns_do_no_harm() -> None:
    table = Table(
        pl.DataFrame({
            "void": pl.Series([None] * 3), "lists": [[1], [2, 3], []], "bytes": [b"a", b"b", None],
            "long": pl.Series([1, 2, 3], dtype=pl.Duration("us")),
            "inf": [1.0, float("inf"), float("-inf")], "money": pl.Series(["1.5", "2.5", None]).cast(pl.Decimal(10, 2)),
            "level": pl.Series(["a", "b", "a"], dtype=pl.Categorical), "same": [7, 7, 7], "clock": pl.Series([1, 2, 3], dtype=pl.Time),
        })
    )  # fmt: skip
    found = profile(table)
    assert [found[name].kind for name in ("void", "lists", "level", "money")] == ["empty", "sequence", "category", "number"]
    assert found["same"].constant
    assert shown(found)
    json.dumps(document(found))


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(DataError, match="a table with rows"):
        profile(Table.of({"a": []}))
    with pytest.raises(DataError, match="Did you mean `label`"):
        profile(Table.of({"label": [1]}), targets=("lable",))


def test_the_page_is_one_small_file_without_requests() -> None:
    frame = {f"n{i}": RNG.normal(size=500) for i in range(60)} | {f"c{i}": RNG.choice(list("abcdef"), 500) for i in range(40)}
    page = html(profile(Table.of(frame), targets=("c0",)), title="<Wide> & more")
    assert len(page) < 3_000_000
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert "&lt;Wide&gt; &amp; more" in page
    assert "drawings 0" not in page
    assert page.count("<svg") > 100
    assert len(page) < 1_000_000  # no drawing library inside


def test_text_from_the_data_stays_text() -> None:
    evil = '</script><script>alert(1)</script><pre tabindex="0"><code>drawings 0</code></pre>'
    page = html(profile(Table.of({evil: [evil, "b", "b"], "y": [evil, "b", "b"]}), targets=("y",)))
    assert "<script>alert" not in page
    assert "<code>drawings 0</code></pre>" not in page


def test_a_notebook_shows_it_in_a_frame_of_its_own() -> None:
    shown_there = profile(Table.of({"x": [1, 2]}))._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert shown_there.startswith("<iframe srcdoc=")
    assert "<style>" not in shown_there


SECRETS = {
    "iban": [f"DE{i:02d}SECRET{i:08d}" for i in range(60)],
    "salary": [48_213.37 + 1_117.93 * i for i in range(60)],
    "account": [90_417_331 + 7_919 * i for i in range(60)],
    "diary": [f"my secret number {i} is {i * 7_001} and more" for i in range(60)],
    "class": ["Confidential-A", "Confidential-B"] * 30,
    "born": [np.datetime64("1961-03-17") + 211 * i for i in range(60)],
    "flagged": [True, False] * 30,
}


def test_no_private_value_is_ever_shown() -> None:
    table = Table.of(SECRETS | {"open": list(range(60))})
    findings = [
        Finding(
            kind="identifier",
            column="iban",
            severity="warning",
            score=1.0,
            rows=(3,),
            message="such as 'DE03SECRET00000003'",
            remedy="drop it",
        ),
        Finding(
            kind="relation", column="", severity="warning", score=1.0, rows=(3,), message="`salary` 48213.37 is above `open`", remedy=""
        ),
    ]
    marks = Marks(codes=np.resize(np.array([0, 0, 1, 2], np.int8), 60), by="random")
    found = profile(table, targets=("class",), marks=marks, findings=findings, private=dict.fromkeys(SECRETS, "keep"))
    everything = shown(found)
    raw = {str(value) for values in SECRETS.values() for value in values if not isinstance(value, bool)}
    raw |= {f"{value:,}" for value in SECRETS["account"]} | {f"{value:,.2f}" for value in SECRETS["salary"]}
    assert {value for value in raw if value in everything} == set()
    assert "Confidential" not in everything
    assert all(found[name].private == "keep" for name in SECRETS)
    assert found["salary"].numbers is not None
    assert found["salary"].numbers.low == 48_000
    assert found["open"].numbers is not None
    assert found["open"].numbers.high == 59


def test_personal_data_that_is_found_is_private_unasked() -> None:
    mails = [f"ann.{i}@example.com" for i in range(50)]
    remarks = [f"thing {i} was good" if i % 9 else f"write to bob{i}@example.org, thing {i}" for i in range(50)]
    found = profile(Table.of({"mail": mails, "remark": remarks, "size": list(range(50))}))
    assert (found["mail"].private, found["remark"].private, found["size"].private) == ("hash", "redact", "")
    assert "@example" not in shown(found)


def test_a_private_picture_column_has_no_pictures() -> None:
    table = Table.of({"face": RNG.integers(0, 255, (20, 8, 8), np.uint8), "who": ["Ann Secret", "Bob Secret"] * 10})
    assert profile(table, private={"face": "keep"})["face"].pictures == ()
    labelled = profile(table, targets=("who",), private={"who": "hash"})
    assert "Secret" not in shown(labelled)
    assert labelled["face"].pictures[0].label == "row 0"
    assert labelled.balances[0].classes == ("class 1", "class 2")
