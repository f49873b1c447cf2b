"""Rows of a query, block by block: PostgreSQL through ADBC (Arrow all the way), MySQL and SQLite through SQLAlchemy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from fermion.core.errors import DataError, SpecError, Told
from fermion.core.lazy import load
from fermion.data.addresses import public, scrubbed
from fermion.data.reading import Reading

if TYPE_CHECKING:
    import polars as pl

SCHEMES = ("postgresql", "postgres", "mysql", "sqlite")
ROWS = 50_000
HINTS = {
    "postgresql": "postgresql://user:${PASSWORD}@host:5432/database",
    "mysql": "mysql://user:${PASSWORD}@host:3306/database",
    "sqlite": "sqlite:///path/to/file.db",
}


def read_database(at: str, reading: Reading) -> pl.DataFrame:
    """The rows of the source's query.

    Raises:
        SpecError: there is no query.
        DataError: the server cannot be reached, refuses the query, or closes the connection half-way. Never with the password.
    """
    scheme = at.split("://")[0].replace("postgres:", "postgresql:").removesuffix("+psycopg").removesuffix("+pymysql")
    scheme = "postgresql" if scheme == "postgres" else scheme
    query = reading.source.query
    if not query or not query.strip():
        raise SpecError(
            "data.source.query",
            rule="the query whose rows are read",
            given=query,
            remedy=f"Write: source: {{at: {public(at)}, query: select * from ...}}",
            where=reading.where,
        )
    blocks = _postgres(at, query) if scheme == "postgresql" else _alchemy(scheme, at, query, reading.folder)
    done = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal done
        for block in blocks:
            done += block.height
            yield block

    import polars as pl

    try:
        return reading.gather(counted(), f"{public(at)} {query}")
    except _failures(scheme) as failed:
        told = scrubbed(" ".join(str(failed).replace("[libpq] ", "").split("[SQL:")[0].split()), at)
        raise DataError(
            "data.source",
            rule=f"a database that answers the query{f' to its end, not only {done:,} rows' if done else ''}",
            given=Told(told[:200]),
            remedy=f"Check the address ({HINTS[scheme]}), the query and the server.",
            where=public(at),
        ) from None
    except pl.exceptions.PolarsError as failed:
        raise DataError(
            "the rows of a query",
            rule="of one type per column",
            given=Told(str(failed).split("\n")[0][:160]),
            remedy="Cast it in the query: cast(x as real).",
            where=public(at),
        ) from None


def _failures(scheme: str) -> tuple[type[BaseException], ...]:
    if scheme == "postgresql":
        return (load("adbc_driver_manager", extra="data").Error, load("pyarrow", extra="train").ArrowException, OSError)
    return (load("sqlalchemy.exc", extra="data").SQLAlchemyError, sqlite3.Error, OSError)


def _postgres(at: str, query: str) -> Iterator[pl.DataFrame]:
    import polars as pl

    adbc: Any = load("adbc_driver_postgresql.dbapi", extra="data")
    with adbc.connect(at.replace("postgresql+psycopg://", "postgresql://")) as connection, connection.cursor() as cursor:
        cursor.execute(query.strip().rstrip(";") + "\n")  # the driver puts it into a COPY: a comment at its end must end there
        for block in cursor.fetch_record_batch():
            yield pl.DataFrame(pl.from_arrow(_plain(block), rechunk=False))


def _plain(block: Any) -> Any:
    """NUMERIC has no Arrow type without its digits: ADBC gives text that is marked as such, and numbers are what is meant."""
    arrow: Any = load("pyarrow", extra="train")
    columns: list[Any] = []
    for column in block.columns:
        if isinstance(column.type, arrow.BaseExtensionType):
            numeric = getattr(column.type, "type_name", "") == "numeric"
            column = column.storage.cast(arrow.float64()) if numeric else column.storage
        columns.append(column)
    return arrow.table(columns, names=block.schema.names)


def _alchemy(scheme: str, at: str, query: str, folder: Path) -> Iterator[pl.DataFrame]:
    import polars as pl

    alchemy: Any = load("sqlalchemy", extra="data")
    if scheme == "sqlite":
        path = (folder / Path(unquote(urlsplit(at).path).removeprefix("/"))).absolute()  # an absolute one begins with a second slash
        if not path.is_file():
            raise DataError("data.source", rule="a SQLite file that exists", given=str(path), remedy="sqlite:///file.db is relative to "
                            "the project file, sqlite:////folder/file.db absolute.", where=public(at))  # fmt: skip
        engine = alchemy.create_engine("sqlite://", creator=lambda: sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))
    else:
        load("pymysql", extra="data")
        engine = alchemy.create_engine("mysql+pymysql://" + at.split("://", 1)[1], connect_args={"connect_timeout": 30})
    first: pl.Schema | None = None
    try:
        with engine.connect() as connection:
            result = connection.execution_options(stream_results=True, max_row_buffer=ROWS).exec_driver_sql(query)
            if not result.returns_rows:
                raise SpecError("data.source.query", rule="a query that gives rows", given=query, where=public(at))
            names = list(result.keys())
            for rows in result.partitions(ROWS):
                _refuse_mixed(rows, names, at)
                block = pl.DataFrame([tuple(row) for row in rows], schema=names, orient="row", infer_schema_length=None)
                block = block.with_columns(pl.col(pl.Decimal).cast(pl.Float64))
                if first is not None:
                    block = _alike(block, first)
                first = block.schema if first is None or pl.Null() in first.values() else first
                yield block
            if first is None:
                yield pl.DataFrame(schema=dict.fromkeys(names, pl.Null))
    finally:
        engine.dispose()


def _refuse_mixed(rows: Any, names: list[str], at: str) -> None:
    """SQLite keeps the type of each value, whatever the column says."""
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        kinds = {type(value) for value in values} - {type(None)}
        if len(kinds) > 1 and not kinds <= {int, float, Decimal}:
            raise DataError(
                f"column `{name}` of the query",
                rule="of one type in all rows",
                given=Told(" and ".join(sorted(kind.__name__ for kind in kinds))),
                remedy=f"Cast it in the query: cast({name} as real).",
                where=public(at),
            )


def _alike(block: pl.DataFrame, first: pl.Schema) -> pl.DataFrame:
    """The block with the types of the first one, where nothing is lost: whole numbers among fractions, columns that are empty here."""
    import polars as pl

    kinds = {name: first[name] for name, kind in block.schema.items() if kind != first[name] and first[name] != pl.Null()}
    return block.cast({name: kind for name, kind in kinds.items() if block.schema[name] == pl.Null() or kind == pl.Float64()})
