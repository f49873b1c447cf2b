"""A query over the rows of a file: which of them, which columns, and what is computed on the way. Polars answers it, no database does."""

from __future__ import annotations

from fermion.core.errors import DataError, Told
from fermion.data.table import Table

ROWS = "rows"  # what the table is called in a query


def answered(table: Table, query: str, where: str = "") -> Table:
    """The rows that a SQL query over the table `rows` answers with.

    >>> table = Table.of({"town": ["a", "b", "a"], "price": [1, 2, 3]})
    >>> answered(table, "select price * 2 as twice from rows where town = 'a'").series("twice").to_list()
    [2, 6]

    Raises:
        DataError: it cannot be answered, or no row is left.
    """
    import polars as pl

    subject, remedy = "data.source.query", f"The table is called `{ROWS}`: select * from {ROWS} where ..."
    try:
        frame = pl.SQLContext({ROWS: table.frame}).execute(query, eager=True)
    except (pl.exceptions.PolarsError, TypeError) as bad:
        given = Told(str(bad).splitlines()[0][:200])
        raise DataError(subject, rule="a SQL query that can be answered", given=given, remedy=remedy, where=where) from None
    if not frame.height or not frame.width:
        raise DataError(subject, rule="one that leaves rows", given=Told("none"), remedy="Check its conditions.", where=where)
    return Table(frame)
