"""Answers for the rows of a file, written to a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fermion.bundle.bundle import Bundle, replacing
from fermion.bundle.runtime import Runtime
from fermion.columns.column import Batch, Values
from fermion.columns.expect import broken, said
from fermion.columns.repair import asked
from fermion.columns.schema import Schema
from fermion.core.errors import Told, UsageError, did_you_mean
from fermion.data import sources
from fermion.data.table import Table

SUFFIXES = (".csv", ".parquet", ".jsonl", ".ndjson")
ROWS = 4096  # per model call
_ONE = {"probabilities": "probability", "quantiles": "quantile"}  # what one number of several is called


def predict_file(bundle: Bundle, source: str | Path, target: Path | None) -> tuple[int, dict[int, str]]:
    """Read rows, of a file or of what else `data.source` takes, answer them, write `prediction` and, for classes, their probabilities.

    Texts are read as texts wherever the bundle's columns read texts, so that a row's answer does not depend on the rows beside it. Rows
    that the service would refuse, for they break an expectation, get no answer, and the column `refused` says why.

    Returns the number of rows, and the refused ones with their reason.

    Raises:
        DataError: the file cannot be read, a column vanished or changed its type.
        UsageError: the target's suffix is unknown.
    """
    if target is not None:
        check_suffix(target)
    runtime = bundle.runtime()
    texts = [field.name for field in runtime.schema.fields if str in asked(field.column)]
    table = sources.read(str(source), folder=Path.cwd(), where=str(source), raw=texts, private=runtime.schema.private)
    answers = flat(predict(runtime, table))
    reasons = refused(runtime.schema, table)
    if reasons:
        answers = {name: [None if row in reasons else value for row, value in enumerate(values)] for name, values in answers.items()}
        answers["refused"] = [reasons.get(row) for row in range(len(table))]
    frame: Any = Table.of(answers).frame
    if target is None:
        sys.stdout.write(_flat_frame(frame).write_csv())
    else:
        write_table(frame, target)
    return len(table), reasons


def is_rows(path: Path) -> bool:
    """Whether a path names a file of rows, which is no bundle.

    >>> is_rows(Path("new.csv")), is_rows(Path("model.zip"))
    (True, False)
    """
    return path.suffix in (*SUFFIXES, ".tsv", ".json", ".xlsx", ".arrow", ".feather") and not path.is_dir()


def refused(schema: Schema, table: Table) -> dict[int, str]:
    """The rows that break an expectation for which the service refuses a request, with the reason."""
    strict = [one for one in schema.expect if one.then != "warn" and one.tolerate == 0]
    reasons: dict[int, str] = {}
    for one, broken_N in broken(strict, table.batch(schema.names), schema.columns) if strict else []:
        for row in np.flatnonzero(broken_N).tolist():
            reasons.setdefault(row, f"not {said(one)}")
    return reasons


def write_table(frame: Any, target: Path) -> None:
    """Write a Polars frame whole or not at all, in the format of the suffix.

    Raises:
        UsageError: the suffix is unknown, or the frame holds series and the file is a csv.
    """
    check_suffix(target)
    nested = next((name for name, kind in frame.schema.items() if kind.is_nested()), None)
    if target.suffix == ".csv" and nested is not None:
        given, remedy = Told(f"the column `{nested}` of {frame.schema[nested]}"), "Write a .parquet or .jsonl file."
        raise UsageError(f"a table for {target.name}", rule="one of plain values, as a csv holds them", given=given, remedy=remedy)
    with replacing(target) as scratch:
        if target.suffix == ".parquet":
            frame.write_parquet(scratch)
        elif target.suffix == ".csv":
            _flat_frame(frame).write_csv(scratch)
        else:
            frame.write_ndjson(scratch)


def _flat_frame(frame: Any) -> Any:
    """The same with lists as JSON text, for csv has no lists."""
    import polars as pl

    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    texts = {name: [None if one is None else msgspec.json.encode(one).decode() for one in frame[name].to_list()] for name in nested}
    return frame.with_columns(pl.Series(name, values, dtype=pl.String) for name, values in texts.items())


def check_suffix(target: Path) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Raises:
        UsageError: the suffix is unknown.
    """
    if target.suffix not in SUFFIXES:
        raise UsageError(
            "the output file", rule=f"one of {', '.join(SUFFIXES)}", given=target.name, remedy=did_you_mean(target.suffix, SUFFIXES)
        )


def predict(runtime: Runtime, frame: Table | Mapping[str, Values]) -> Batch:
    """The answers for all rows of a table, or of lists and arrays by name, which the columns read as they are."""
    names = runtime.schema.names
    listed = {name: frame.values(name) if name in names else [] for name in frame.names} if isinstance(frame, Table) else frame
    answers: Batch = {}
    for at in range(0, max(runtime.schema.check(listed), 1), ROWS):
        some = slice(at, at + ROWS)
        part = frame.take(some).batch(names) if isinstance(frame, Table) else {name: frame[name][some] for name in names}
        for name, values in runtime.predict(part).items():
            answers.setdefault(name, []).extend(values)
    return answers


def flat(answers: Batch) -> dict[str, list[Any]]:
    """Objects per row -> one column per class: `probability_yes`, or `target.probability_yes` with several targets.

    >>> flat({"prediction": [True], "probabilities": [{"false": 0.25, "true": 0.75}]})
    {'prediction': [True], 'probability_false': [0.25], 'probability_true': [0.75]}
    """
    columns: dict[str, list[Any]] = {}
    several = any(isinstance(row, dict) for row in answers.get("prediction", [])[:1])
    for key, rows in answers.items():
        for row in rows:
            for target, answer in row.items() if several else [("", row)]:
                before = f"{target}." if target else ""
                if isinstance(answer, dict):
                    for label, number in answer.items():
                        columns.setdefault(f"{before}{_ONE.get(key, key)}_{label}", []).append(number)
                else:
                    columns.setdefault(f"{before}{key}", []).append(answer)
    return columns
