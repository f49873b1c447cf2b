from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from fermion.core.declared import Source
from fermion.core.errors import DataError, FermionError, SpecError
from fermion.data.sources import read

PLACE = "fermion.yaml:3:7"


def put(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def drawn(shade: int, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), shade, dtype=np.uint8)).save(file, format)
    return file.getvalue()


def rows(folder: Path, source: str) -> list[dict[str, object]]:
    return read(source, folder=folder, where=PLACE).preview(5)


def test_every_format(tmp_path: Path) -> None:
    put(tmp_path, a_csv=b"x,t\n1,NA\n2,\n", b_tsv=b"x\tt\n1\tNA\n2\t\n", c_jsonl=b'{"x":1,"t":"NA"}\n{"x":2,"t":null}\n')
    put(tmp_path, d_csv_gz=gzip.compress(b"\xef\xbb\xbfx,t\r\n1,NA\r\n2,\r\n\r\n"), e_ndjson=b'{"x":1,"t":"NA"}\n{"x":2}\n')
    pl.DataFrame({"x": [1, 2], "t": ["NA", None]}).write_parquet(tmp_path / "f.parquet")
    for name in ("a.csv", "b.tsv", "c.jsonl", "d.csv.gz", "e.ndjson", "f.parquet", str(tmp_path / "a.csv")):
        assert rows(tmp_path, name) == [{"x": 1, "t": "NA"}, {"x": 2, "t": None}]


def test_types_are_inferred_over_the_whole_file(tmp_path: Path) -> None:
    lines = b"a,b,c,d,e\n" + b"1,,2026-01-01,10:30,true\n" * 10_001 + b"1.5,7,2026-01-02,11:00,false\n"
    put(tmp_path, late_csv=lines, words_csv=b"a\n" + b"2026-01-01\n" * 9_000 + b"soon\n")
    table = read("late.csv", folder=tmp_path)
    assert table.values("a")[-1] == 1.5
    assert table.values("b")[-1] == 7
    assert np.asarray(table.values("c")).dtype == "datetime64[us]"
    assert table.values("d")[-1] == "11:00"
    assert table.values("e")[0]
    assert read("words.csv", folder=tmp_path).values("a")[-1] == "soon"


def test_quotes_separators_and_line_breaks_inside_fields(tmp_path: Path) -> None:
    put(tmp_path, a_csv=b'x,t\n1,"a,b"\n2,"say ""hi""\nthere"\n3,plain')
    assert [row["t"] for row in rows(tmp_path, "a.csv")] == ["a,b", 'say "hi"\nthere', "plain"]


def test_records_that_reach_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'x,t\n1,"a,\nb"\n22,ccc\n333,"d"\n'
    put(tmp_path, good_csv=content, bad_csv=content + b"4\n5,e\n")
    for block in range(1, 12):
        monkeypatch.setattr("fermion.data.separated.BLOCK", block)
        assert len(rows(tmp_path, "good.csv")) == 3
        with pytest.raises(DataError, match=r"bad.csv:6: a row must be 2 fields"):
            read("bad.csv", folder=tmp_path)


BAD: list[tuple[str, bytes, str]] = [
    ("short.csv", b"a,b\n1,2\n3\n4,5\n", r"short.csv:3: a row must be 2 fields like the header, got 1 field: 3\. Quote"),
    ("long.csv", b'a,b\n"1\n1",2\n3,4,5\n', r"long.csv:4: a row must be 2 fields like the header, got 3 fields: 3,4,5"),
    ("blank.csv", b"a,b\n1,2\n\n3,4\n", r"blank.csv:3: a row must be 2 fields .+ got 0 fields"),
    ("last.csv", b"a,b\n1,2\n3", r"last.csv:3: a row must be 2 fields"),
    (
        "latin.csv",
        b"a,b\n1,caf\xe9\n",
        r"latin.csv:2: a text file must be in UTF-8, got the byte 0xe9 at offset 9\. .*iconv -f WINDOWS-1252",
    ),
    ("wide.csv", "a,b\n1,2\n".encode("utf-16"), r"wide.csv: a text file must be in UTF-8, .*iconv -f UTF-16LE"),
    ("nothing.csv", b"", r"nothing.csv: a csv file must be a header and rows, got an empty file"),
    ("header.csv", b"a,b\n", r"header.csv: data.source must be a table with at least one row, got 0 rows and 2 columns"),
    ("twice.csv", b"a,b,a\n1,2,3\n", r"twice.csv:1: the columns must be named differently, got `a` 2 times"),
    ("index.csv", b",a\n0,1\n", r"index.csv:1: the columns must be named in the first line, got no name for number 1"),
    ("late.csv", b"\na,b\n0,1\n", r"late.csv:1: the columns must be named in the first line, got an empty line"),
    ("semicolons.csv", b"a;b\n0;1\n", r"semicolons.csv:1: the columns must be separated by ',', got ';' in a;b"),
    ("mac.csv", b"a,b\r1,2\r3\r", r"mac.csv:3: a row must be 2 fields"),
    ("quote.csv", b'a,b\n5" pipe,2\n6,4\n', r"quote.csv: a csv file must be readable: "),
    ("cut.parquet", b"PAR1garbage", r"cut.parquet: a parquet file must be whole, got .+ cut off"),
    ("cut.csv.gz", gzip.compress(b"a,b\n1,2\n" * 999)[:-20], r"cut.csv.gz: a .gz file must be whole gzip data"),
    ("no.csv.gz", b"a,b\n1,2\n", r"no.csv.gz: a .gz file must be whole gzip data"),
    ("cut.jsonl", b'{"a":1}\n{"a":\n', r"cut.jsonl:2: a line of a jsonl file must be a JSON object, got '{\"a\":'"),
    (
        "list.jsonl",
        b'{"a":1}\n\n[1]\n',
        r"list.jsonl:3: a line of a jsonl file must be a JSON object, got '\[1\]'. Write each row as an object",
    ),
    ("nothing.jsonl", b" \n", r"nothing.jsonl: a jsonl file must be one JSON object per line, got an empty file"),
    ("model.pkl", b"x", r"fermion.yaml:3:7: data.source must be a file that ends in .csv, .+, got 'model.pkl'"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=[name for name, _, _ in BAD])
def test_broken_files_say_what_and_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FermionError, match=message) as told:
        read(name, folder=tmp_path, where=PLACE)
    assert told.value.exit_status == 2


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("transaction.csv", DataError, "fermion.yaml:3:7: .+ exists, got 'transaction.csv'. Did you mean `transactions.csv`"),
        ("deep/er/x.csv", DataError, "There is no `deep` in "),
        ("z*.csv", DataError, "must be a glob that matches files"),
        ("${NOT_SET_HERE}/x.csv", SpecError, "fermion.yaml:3:7: .+ got \\${NOT_SET_HERE}, which is not. .+export NOT_SET_HERE="),
        ("gs://bucket/x.csv", SpecError, "must be a file, a glob, a folder, or an address: "),
        ("sample://iriss", SpecError, "fermion.yaml:3:7: data.source must be one of the samples .+ Did you mean `iris`"),
        ("sample://iris?seed=1", SpecError, "must be left out: this sample has no options, got seed=1"),
        ("sample://card-transactions?day=3", SpecError, "Did you mean `days`"),
        ("sample://card-transactions?days=many", SpecError, "the option `days` .+ must be `int`, got 'many'"),
        ("sample://card-transactions?days=0", SpecError, "the option `days` .+ must be `int` >= 1"),
        ("sample://card-transactions?start=soon", SpecError, "must be a date such as 2018-04-01"),
        ("sample://card-transactions?days", SpecError, "must be options of the form"),
        ("sample://card-transactions?customers=1&terminals=1", SpecError, "must be given enough customers"),
        (".", DataError, "must be a folder with files that end in|Name files of one kind"),
    ],
)
def test_wrong_addresses(tmp_path: Path, source: str, kind: type[FermionError], message: str) -> None:
    put(tmp_path, **{} if source == "." else {"transactions_csv": b"a\n1\n"})
    with pytest.raises(kind, match=message):
        read(source, folder=tmp_path, where=PLACE)


def test_variables_globs_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, many__1_csv=b"a,b\n1,x\n", many__2_csv=b"b,a\n,2.5\n", many__README_md=b"# notes")
    monkeypatch.setenv("MANY_HERE", str(tmp_path / "many"))
    expected = [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": None}]
    for source in ("many/*.csv", "many/?.csv", "many", "${MANY_HERE}", "${MANY_HERE}/[12].csv", "**/*.csv"):
        assert rows(tmp_path, source) == expected
    put(tmp_path, many__3_csv=b"a,b\nword,x\n")
    with pytest.raises(DataError, match=r"3.csv: column `a` must be of one type in all files \(Int64 in 1.csv\), got String"):
        read("many", folder=tmp_path)
    put(tmp_path, many__0_csv=b"a,c\n1,x\n")
    with pytest.raises(DataError, match=r"1.csv: files of one source must be made of the columns of 0.csv, got also b; without c"):
        read("many/*.csv", folder=tmp_path)


def test_names_of_files_and_queries_say_more(tmp_path: Path) -> None:
    put(tmp_path, a__train_csv=b"x,t\n1,a\n2,b\n", a__test_csv=b"x,t\n3,c\n")
    source = Source(at="a/*.csv", names="{part}", query="select x * 10 as tens, part from rows where t <> 'a' order by tens")
    assert read(source, folder=tmp_path).preview(5) == [{"tens": 20, "part": "train"}, {"tens": 30, "part": "test"}]
    with pytest.raises(DataError, match=r"a file must be called as data.source.names says, run_\{part\}"):
        read(Source(at="a/*.csv", names="run_{part}"), folder=tmp_path)
    with pytest.raises(DataError, match=r"data.source.query must be a SQL query that can be answered.*The table is called `rows`"):
        read(Source(at="a/*.csv", query="select x from orders"), folder=tmp_path)
    with pytest.raises(DataError, match=r"data.source.query must be one that leaves rows, got none"):
        read(Source(at="a/*.csv", query="select x from rows where x > 9"), folder=tmp_path)


def test_folders_of_pictures(tmp_path: Path) -> None:
    one, two, three = (drawn(shade) for shade in (1, 2, 3))
    put(tmp_path, p__cat__1_png=one, p__dog__2_jpg=two, p__dog___DS=b"")
    table = read("p", folder=tmp_path)
    assert (table.names, table.values("label"), table.paths) == (("image", "label"), ["cat", "dog"], {"image"})
    assert all(Path(str(path)).is_absolute() for path in table.values("image"))
    put(tmp_path, q__train__cat__1_png=one, q__val__cat__2_png=two, q__test__dog__3_png=three)
    split = read("q", folder=tmp_path)
    assert (split.values("split"), split.values("label")) == (["test", "train", "validation"], ["dog", "cat", "cat"])
    put(tmp_path, p__3_png=three)
    with pytest.raises(DataError, match=r"one sub-folder of pictures per label, got 3.png beside"):
        read("p", folder=tmp_path)
    put(tmp_path, p__3_csv=b"a\n1\n")
    with pytest.raises(DataError, match="a folder of tables or a folder of pictures or sounds, got both"):
        read("p", folder=tmp_path)


def test_samples() -> None:
    digits = read("sample://digits", folder=Path())
    image = np.asarray(digits.values("image"))
    assert (image.shape, image.dtype, int(image.max()), digits.names) == ((1797, 8, 8, 1), np.uint8, 255, ("image", "digit"))
    for name, size, target in (
        ("iris", 150, "species"),
        ("wine", 178, "cultivar"),
        ("breast-cancer", 569, "diagnosis"),
        ("diabetes", 442, "progression"),
    ):
        table = read(f"sample://{name}", folder=Path())
        assert (len(table), table.names[-1]) == (size, target)
        assert all(column.isidentifier() for column in table.names)
    assert set(read("sample://breast-cancer", folder=Path()).values("diagnosis")) == {"malignant", "benign"}
