from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from fermion.core.declared import Source
from fermion.core.errors import DataError, SpecError
from fermion.data.sources import Aside, read


def test_broken_lines_of_json_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a":1}\n{"a":\n{"a":3}\n[4]\n{"a":"caf\xe9"}\n{"a":6}\n')
    aside: list[Aside] = []
    table = read(Source(at="a.jsonl", unreadable="aside"), folder=tmp_path, aside=aside)
    assert table.values("a").tolist() == [1, 3, 6]  # type: ignore[union-attr]
    assert [thing.place.rsplit(":", 1)[1] for thing in aside] == ["2", "4", "5"]


def test_sheets(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 2]}).write_excel(tmp_path / "a.xlsx", worksheet="first")
    assert read("a.xlsx", folder=tmp_path).values("a").tolist() == [1, 2]  # type: ignore[union-attr]
    with pytest.raises(SpecError, match=r"data.source.sheet must be one of the sheets first, got 'frist'. Did you mean `first`"):
        read(Source(at="a.xlsx", sheet="frist"), folder=tmp_path)
    (tmp_path / "b.xlsx").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(DataError, match=r"b.xlsx: an Excel file must be whole"):
        read("b.xlsx", folder=tmp_path)


@pytest.mark.parametrize("name", ["a.arrow", "a.feather", "a.parquet"])
def test_cut_off(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"a": list(range(10_000)), "b": ["x" * 20] * 10_000})
    {"a.arrow": frame.write_ipc_stream, "a.feather": frame.write_ipc, "a.parquet": frame.write_parquet}[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=f"{name}: an? (Arrow|parquet) file must be whole, got .+cut off or is another format"):
        read(name, folder=tmp_path)


def test_one_broken_file_of_many_is_set_aside(tmp_path: Path) -> None:
    for number in range(3):
        pl.DataFrame({"a": [number]}).write_parquet(tmp_path / f"{number}.parquet")
    (tmp_path / "1.parquet").write_bytes(b"PAR1")
    aside: list[Aside] = []
    table = read(Source(at="*.parquet", unreadable="aside"), folder=tmp_path, aside=aside)
    assert table.values("a").tolist() == [0, 2]  # type: ignore[union-attr]
    assert [(Path(thing.place).name, thing.reason.split(",")[0]) for thing in aside] == [("1.parquet", "a parquet file must be whole")]
    for number in (0, 2):
        (tmp_path / f"{number}.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="at least one file that can be read, got 3 that cannot"):
        read(Source(at="*.parquet", unreadable="aside"), folder=tmp_path)


def test_folders_that_name_columns(tmp_path: Path) -> None:
    for year, day, a in (("2020", "2026-01-01", 1), ("2021", "__HIVE_DEFAULT_PARTITION__", 2)):
        pl.DataFrame({"a": [a]}).write_csv(
            (path := tmp_path / f"t/year={year}/day={day}/place=a%20b/0.csv").parent.mkdir(parents=True) or path
        )
    table = read("t", folder=tmp_path)
    assert [str(kind) for kind in table.frame.dtypes] == ["Int64", "Int32", "Date", "String"] or table.names == (
        "a",
        "year",
        "day",
        "place",
    )
    assert [tuple(row.values())[1:] for row in table.preview()][1] == (2021, None, "a b")
    assert read("t/**/*.csv", folder=tmp_path).fingerprint == table.fingerprint


def test_what_dvc_tracks(tmp_path: Path) -> None:
    (tmp_path / "a.csv.dvc").write_text("outs: []")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/one.csv").write_text("a\n1\n")
    (tmp_path / "d/one.csv.dvc").write_text("outs: []")
    (tmp_path / "pictures.dvc").write_text("outs: []")
    for source in ("a.csv", "*.csv", "pictures", "pictures/cat"):
        with pytest.raises(DataError, match=r"only (a.csv|pictures).dvc is here. DVC keeps its content elsewhere: dvc pull"):
            read(source, folder=tmp_path)
    assert len(read("d", folder=tmp_path)) == len(read("d/*", folder=tmp_path)) == 1
    (tmp_path / "d/two.csv.dvc").write_text("outs: []")
    with pytest.raises(DataError, match=r"dvc pull two.csv.dvc"):
        read("d", folder=tmp_path)


def test_a_pinned_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    digest = "9ea1b3be3fc91afe05b7a1f0e1bd83dcd1a1ac39a9d18ad5a18a52cc5ebf7ef3"
    with pytest.raises(DataError, match=f"of the sha256 that its source names, {digest[:12]}"):
        read(Source(at="a.csv", sha256=digest), folder=tmp_path)


def test_unpacked_text_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    read("a.csv.gz", folder=tmp_path, scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
