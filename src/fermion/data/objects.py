"""Objects in S3 and what speaks like it: Parquet and Arrow scanned where they lie, everything else fetched and read as files.

Credentials are those of the AWS tools: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL (MinIO, Ceph), or ~/.aws.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct, structs

from fermion.core.errors import DataError, Told
from fermion.core.lazy import load
from fermion.data.addresses import public
from fermion.data.parts import Part, partitions
from fermion.data.reading import Reading, digest_of, unpack

if TYPE_CHECKING:
    import polars as pl

NATIVE = (".parquet", ".arrow", ".feather")
KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), AWS_REGION and, for another server, AWS_ENDPOINT_URL"


class Object(Struct, frozen=True):
    """One object: its address without the scheme, its size in bytes and the time of its last change."""

    key: str
    size: int
    changed: int


def listed(at: str, where: str = "") -> list[Object]:
    """The object, those that a glob matches, or those below a prefix.

    Raises:
        DataError: the store cannot be reached or refuses, or there is nothing.
    """
    path = at.removeprefix("s3://").rstrip("/")
    try:
        arrow, system = load("pyarrow.fs", extra="train"), _system()
        if _is_glob(path):
            form = re.compile(load("fsspec.utils", extra="data").glob_translate(path))
            found = [about for about in system.get_file_info(arrow.FileSelector(_root(at), recursive=True)) if form.match(about.path)]
        else:
            found = system.get_file_info([path])
            if found[0].type == arrow.FileType.Directory:
                found = system.get_file_info(arrow.FileSelector(path, recursive=True))
        objects = sorted(
            (Object(about.path, int(about.size), int(about.mtime_ns)) for about in found if about.is_file and _is_data(about.base_name)),
            key=lambda thing: thing.key,
        )
    except (OSError, load("pyarrow", extra="train").ArrowException) as failed:
        raise DataError(
            "data.source",
            rule="in a bucket that can be listed",
            given=Told(f"{public(at)}: {_told(failed)}"),
            remedy=f"Check the name, and set {KEYS}.",
            where=where,
        ) from None
    if not objects:
        raise DataError(
            "data.source", rule="an object, prefix or glob that exists", given=public(at), remedy="Check bucket and key.", where=where
        )
    return objects


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def _is_data(name: str) -> bool:
    return not name.startswith((".", "_SUCCESS")) and not name.endswith(".dvc")


def native(found: list[Object]) -> bool:
    """Whether all of them can be scanned where they lie."""
    return all(thing.key.lower().endswith(NATIVE) for thing in found)


def scans(found: list[Object], at: str, reading: Reading) -> list[Part]:
    """One part per object, read by Polars' own client. Folder names such as `year=2020` below the address give columns."""
    root = _root(at)
    columns = partitions(tuple(thing.key.removeprefix(root).strip("/").split("/")) for thing in found)
    return [
        Part(f"s3://{thing.key}", _scan(thing, structs.replace(reading, partition=partition)))
        for thing, partition in zip(found, columns, strict=True)
    ]


def _scan(thing: Object, reading: Reading) -> Callable[[], pl.DataFrame]:
    import polars as pl

    def read() -> pl.DataFrame:
        address, options = f"s3://{thing.key}", _options()
        try:
            if thing.key.lower().endswith(".parquet"):
                rows = pl.scan_parquet(address, storage_options=options, hive_partitioning=False, glob=False)
            else:
                rows = pl.scan_ipc(address, storage_options=options, hive_partitioning=False, glob=False)
            return reading.collect(rows, f"{address} {thing.changed}", thing.size * 3)
        except (OSError, pl.exceptions.PolarsError) as failed:
            raise _gone(thing, failed) from None

    return read


def fetched(found: list[Object], at: str, reading: Reading) -> tuple[Path, Reading]:
    """Copies of the objects below the reading's room: the one file, or the folder; and the reading for it.

    Raises:
        DataError: an object disappeared or was cut off on the way; it is set aside where the source says so.
    """
    root = _root(at)
    room = reading.room() / f"s3-{digest_of(at, *(f'{thing.key} {thing.size} {thing.changed}' for thing in found))}"
    system: Any = load("fsspec.implementations.arrow", extra="data").ArrowFSWrapper(_system())
    paths: list[Path] = []
    for thing in found:
        target = room / (thing.key.removeprefix(root).strip("/") or Path(thing.key).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not (target.is_file() and target.stat().st_size == thing.size):
                with system.open(thing.key, "rb") as stream:
                    unpack(stream, target, name=f"s3://{thing.key}")
                if target.stat().st_size != thing.size:
                    raise OSError(f"{target.stat().st_size:,} of {thing.size:,} bytes came")
            paths.append(target)
        except (OSError, load("pyarrow", extra="train").ArrowException) as failed:
            target.unlink(missing_ok=True)
            error = _gone(thing, failed)
            if not reading.tolerant or len(found) == 1:
                raise error from None
            reading.put_aside(f"s3://{thing.key}", error.message)
    inside = structs.replace(reading, known_as=(room, f"s3://{root.rstrip('/')}"))
    return (paths[0] if len(found) == 1 else room), inside


def _root(at: str) -> str:
    """What all keys have in common: the address up to the piece with a sign of a glob; for one object its folder."""
    path = at.removeprefix("s3://")
    pieces = path.split("/")
    fixed = next((place for place, piece in enumerate(pieces) if _is_glob(piece)), None)
    if fixed is not None:
        return "/".join(pieces[:fixed])
    return "/".join(pieces[:-1]) if "." in pieces[-1] else path


def _gone(thing: Object, failed: Exception) -> DataError:
    return DataError(
        "an object",
        rule="there from its listing to its last byte",
        given=Told(_told(failed)),
        remedy="Look for what changes the bucket and run it again, or set such objects aside: `source: {at: ..., unreadable: aside}`.",
        where=f"s3://{thing.key}",
    )


def _told(failed: Exception) -> str:
    return " ".join(str(failed).split())[:160] or type(failed).__name__


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _system() -> Any:
    arrow: Any = load("pyarrow.fs", extra="train")
    settings: dict[str, Any] = {"region": _region(), "connect_timeout": 10, "request_timeout": 60}
    if _endpoint():
        parsed = urlsplit(_endpoint())
        settings |= {"endpoint_override": parsed.netloc, "scheme": parsed.scheme}
    return arrow.S3FileSystem(retry_strategy=arrow.AwsStandardS3RetryStrategy(max_attempts=3), **settings)


def _options() -> Any:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    given: dict[str, Any] = {name.lower(): os.environ[name] for name in names if os.environ.get(name)}
    options = given | {"aws_region": _region(), "max_retries": 2}
    if _endpoint():
        options |= {"aws_endpoint_url": _endpoint(), "aws_allow_http": str(_endpoint().startswith("http://")).lower()}
    return options
