from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from fermion.core.declared import Source
from fermion.core.errors import DataError
from fermion.data import objects
from fermion.data.sources import Aside, read, stamp


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(f"AWS_{name}", value)
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="lake")
        yield client
    server.stop()


def fill(bucket: Any, suffix: str) -> None:
    for number in range(3):
        file = io.BytesIO()
        frame = pl.DataFrame({"a": [number]})
        frame.write_parquet(file) if suffix == "parquet" else frame.write_csv(file)
        bucket.put_object(Bucket="lake", Key=f"{suffix}/{number}.{suffix}", Body=file.getvalue())


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("cut", [False, True])
def test_an_object_that_disappears_half_way(bucket: Any, monkeypatch: pytest.MonkeyPatch, suffix: str, cut: bool) -> None:
    listed = objects.listed

    def then_gone(at: str, where: str = "") -> list[objects.Object]:
        found = listed(at, where)
        key = f"{suffix}/1.{suffix}"
        bucket.put_object(Bucket="lake", Key=key, Body=b"a") if cut else bucket.delete_object(Bucket="lake", Key=key)
        return found

    monkeypatch.setattr(objects, "listed", then_gone)
    fill(bucket, suffix)
    with pytest.raises(DataError, match=f"s3://lake/{suffix}/1.{suffix}: an object must be there from its listing to its last byte, got "):
        read(f"s3://lake/{suffix}/", folder=Path())
    fill(bucket, suffix)
    aside: list[Aside] = []
    table = read(Source(at=f"s3://lake/{suffix}/*.{suffix}", unreadable="aside"), folder=Path(), aside=aside)
    assert table.values("a").tolist() == [0, 2]  # type: ignore[union-attr]
    assert [thing.place for thing in aside] == [f"s3://lake/{suffix}/1.{suffix}"]


def test_stamps_know_when_an_object_changes(bucket: Any) -> None:
    fill(bucket, "csv")
    before = stamp("s3://lake/csv/", folder=Path())
    assert stamp("s3://lake/csv/*.csv", folder=Path()) == before
    bucket.put_object(Bucket="lake", Key="csv/1.csv", Body=b"a\n100\n")
    assert stamp("s3://lake/csv/", folder=Path()) != before


def test_pictures_and_archives(bucket: Any) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for label in ("cat", "dog"):
            bucket.put_object(Bucket="lake", Key=f"pets/{label}/1.png", Body=file.getvalue())
            archive.writestr(f"{label}/1.png", file.getvalue())
    bucket.put_object(Bucket="lake", Key="pets.zip", Body=packed.getvalue())
    for source in ("s3://lake/pets", "s3://lake/pets.zip"):
        assert read(source, folder=Path()).values("label") == ["cat", "dog"]
    bucket.put_object(Bucket="lake", Key="bad/a.csv", Body=b"a,b\n1\n")
    with pytest.raises(DataError, match=r"s3://lake/bad/a.csv:2: a row must be 2 fields"):
        read("s3://lake/bad/a.csv", folder=Path())


def test_what_cannot_be_reached(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"must be an object, prefix or glob that exists, got 's3://lake/nothing.csv'"):
        read("s3://lake/nothing.csv", folder=Path())
    with pytest.raises(DataError, match=r"AWS_ACCESS_KEY_ID|that exists"):
        read("s3://no-such-bucket/*.csv", folder=Path())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"a bucket that can be listed.+ set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        read("s3://lake/*.csv", folder=Path())
