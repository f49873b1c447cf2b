"""What a table looks like, in numbers: counts and ranges of all rows, shapes and associations of a seeded sample with a stated error.

`html`, `lines` and `document` in `fermion.data.profile_page` and `fermion.data.profile_text` show it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told
from fermion.data import associations
from fermion.data.associations import Codes, Matrix
from fermion.data.findings import Finding, missing_of
from fermion.data.personal import Personal, find
from fermion.data.profile_columns import described, shown
from fermion.data.profile_masks import masked, masked_finding
from fermion.data.profile_pictures import pictures_of
from fermion.data.profile_scan import Exact, codes_of, exact_of, floats, sample_of
from fermion.data.profile_values import Balance, Described, Pattern, Shift
from fermion.data.split import NAMES, TRAIN, Marks
from fermion.data.table import Table
from fermion.measure.sketches import NumberSketch, distance

if TYPE_CHECKING:
    import polars as pl

RISK = 0.05  # that a share of the sample is further off than the stated error
PAIRED = 40  # columns in a matrix at most
TOP = 10  # patterns of missing values
CLASSES = 20  # a target of numbers with more values has no classes


class Profile(Struct, frozen=True, kw_only=True):
    """A table in numbers. `error` bounds how far a share or a quantile's rank in the sample is off, with probability 0.95.

    By Dvoretzky, Kiefer, Wolfowitz and Massart, sup |F_n - F| <= sqrt(ln(2 / 0.05) / 2n); 0 where the sample is all rows.
    """

    rows: int
    bytes: int
    sample: int
    error: float
    columns: tuple[Described, ...]
    missing_together: tuple[Pattern, ...] = ()
    pearson: Matrix | None = None
    cramer: Matrix | None = None
    balances: tuple[Balance, ...] = ()
    parts: dict[str, int] = {}
    shifts: tuple[Shift, ...] = ()
    findings: tuple[Finding, ...] = ()
    personal: tuple[Personal, ...] = ()

    def __getitem__(self, name: str) -> Described:
        return next(column for column in self.columns if column.name == name)

    def _repr_html_(self) -> str:
        from html import escape

        from fermion.data.profile_page import html

        framed = escape(html(self))  # a frame of its own: the page's style stays out of the notebook's
        return f'<iframe srcdoc="{framed}" style="width:100%;height:640px;border:0" sandbox="allow-scripts"></iframe>'


def profile(
    table: Table,
    *,
    targets: tuple[str, ...] = (),
    marks: Marks | None = None,
    findings: Sequence[Finding] = (),
    private: Mapping[str, str] | None = None,
    personal: Sequence[Personal] | None = None,
    seed: int = 0,
) -> Profile:
    """A table in numbers, in a few passes over it that keep little in memory.

    >>> found = profile(Table.of({"size": [1.0, 2.0, None], "colour": ["red", "blue", "red"]}))
    >>> found["size"].missing, found["size"].numbers.mean, found["colour"].top[0].value
    (1, 1.5, 'red')

    Args:
        targets: columns whose balance is shown and about which the others are asked.
        marks: the parts; their differences are shown.
        findings: what `fermion.data.checks` found.
        private: columns to their mode (keep, redact, hash, drop); no value of theirs appears.
        personal: what `fermion.data.personal.find` found, treated as private too; looked for by patterns when left out.
        seed: of the sample.

    Raises:
        DataError: the table has no rows, or no such target.
    """
    frame = table.frame
    if not frame.height or not frame.width:
        raise DataError("a profile", rule="of a table with rows", given=Told(f"{frame.height} rows, {frame.width} columns"))
    for name in (*targets, *(private or {})):
        table.series(name)
    rows_S, sampled = sample_of(frame, np.random.default_rng(seed))
    found = tuple(find(Table(sampled, paths=table.paths), sample=len(sampled), recognisers=False) if personal is None else personal)
    hidden = {one.column: one.proposal for one in found} | dict(private or {})
    exact = exact_of(table)
    codes = {name: coded for name in sampled.columns if (coded := codes_of(sampled[name], exact[name])) is not None}
    columns: list[Described] = []
    for name in frame.columns:
        seen = described(table, name, exact[name], sampled[name] if name in sampled.columns else None, len(rows_S) == frame.height)
        if seen.kind == "image" and name not in hidden:
            labels = [target for target in targets if target not in hidden and target != name][:1]
            seen = structs.replace(seen, pictures=pictures_of(table, name, rows_S, labels[0] if labels else None))
        told = {
            target: _information(codes, name, target) for target in targets if target != name and seen.kind not in ("identifier", "text")
        }
        seen = structs.replace(seen, information={target: share for target, share in told.items() if share is not None})
        columns.append(masked(seen, hidden[name]) if name in hidden else seen)
    chosen = _paired(columns, targets)
    numeric = [name for name in chosen if exact[name].numeric]
    coded = [name for name in chosen if not exact[name].numeric and name in codes]
    return Profile(
        rows=frame.height,
        bytes=int(frame.estimated_size()),
        sample=len(rows_S),
        error=0.0 if len(rows_S) == frame.height else math.sqrt(math.log(2 / RISK) / (2 * len(rows_S))),
        columns=tuple(columns),
        missing_together=_together(sampled, exact),
        pearson=associations.pearson({name: floats(sampled[name]) for name in numeric}) if len(numeric) > 1 else None,
        cramer=associations.cramer({name: codes[name] for name in coded}) if len(coded) > 1 else None,
        balances=tuple(_balances(table, targets, columns, marks)),
        parts=marks.sizes if marks is not None else {},
        shifts=tuple(_shifts(codes, exact, marks.codes[rows_S], sampled)) if marks is not None else (),
        findings=tuple(masked_finding(one, one.column in hidden or any(f"`{name}`" in one.message for name in hidden)) for one in findings),
        personal=found,
    )


def _information(codes: Mapping[str, Codes], name: str, target: str) -> float | None:
    if name not in codes or target not in codes:
        return None
    share = associations.information(codes[name], codes[target])
    return round(share, 6) if math.isfinite(share) else None


def _paired(columns: Sequence[Described], targets: tuple[str, ...]) -> list[str]:
    """The columns that matrices show: the targets and those that tell most about them, in the order of the table."""
    usable = [column for column in columns if column.kind not in ("text", "identifier", "empty", "other", "image") and not column.constant]
    ranked = sorted(usable, key=lambda column: (column.name not in targets, -max(column.information.values(), default=0.0)))
    return [column.name for column in usable if column in ranked[:PAIRED]]


def _together(sampled: pl.DataFrame, exact: Mapping[str, Exact]) -> tuple[Pattern, ...]:
    """Which columns are missing in the same rows of the sample, most frequent first."""
    names = sorted((name for name in sampled.columns if exact[name].missing), key=lambda name: -exact[name].missing)[:60]
    if not names:
        return ()
    keys_S = np.zeros(sampled.height, np.int64)
    for place, name in enumerate(names):
        keys_S |= missing_of(sampled[name]).astype(np.int64) << place
    keys, counts = np.unique(keys_S, return_counts=True)
    order = np.argsort(-counts, kind="stable")[: TOP + 1]
    return tuple(
        Pattern(columns=tuple(name for place, name in enumerate(names) if keys[i] >> place & 1), share=float(counts[i] / sampled.height))
        for i in order
        if keys[i]
    )[:TOP]


def _balances(table: Table, targets: tuple[str, ...], columns: Sequence[Described], marks: Marks | None) -> Iterator[Balance]:
    import polars as pl

    for column in columns:
        if column.name not in targets or (column.kind == "number" and (column.distinct or 0) > CLASSES) or (column.distinct or 0) > 500:
            continue
        classes = table.series(column.name).alias("class")
        counted = classes.drop_nulls().value_counts(name="rows").sort(["rows", "class"], descending=[True, False])
        split: dict[tuple[object, int], int] = {}
        if marks is not None:
            crossed = pl.DataFrame([classes, pl.Series("part", marks.codes)]).group_by("class", "part").len()
            split = {(value, part): rows for value, part, rows in crossed.iter_rows()}
        values = counted["class"].to_list()
        names = tuple(f"class {place}" for place in range(1, len(values) + 1)) if column.private else tuple(map(shown, values))
        parts = (
            {named: tuple(split.get((value, part), 0) for value in values) for part, named in NAMES.items()} if marks is not None else {}
        )
        yield Balance(target=column.name, classes=names, counts=tuple(counted["rows"].to_list()), parts=parts)


def _shifts(codes: Mapping[str, Codes], exact: Mapping[str, Exact], marks_S: NDArray[np.int8], sampled: pl.DataFrame) -> Iterator[Shift]:
    """How far each later part is from the training part, column by column, over the same bins."""
    parts_S = np.where(marks_S < 0, len(NAMES), marks_S).astype(np.int64)
    rows = np.bincount(parts_S, minlength=len(NAMES) + 1)
    later = [part for part in NAMES if part != TRAIN and rows[part]]
    if not rows[TRAIN]:
        return
    for name, codes_S in codes.items():
        size = int(codes_S.max()) + 1
        seen = np.bincount(parts_S * size + codes_S, minlength=(len(NAMES) + 1) * size).reshape(-1, size)
        gone = np.zeros(len(NAMES) + 1)
        if exact[name].missing:
            gone = np.bincount(parts_S, weights=missing_of(sampled[name]).astype(np.float64), minlength=len(NAMES) + 1) / np.maximum(
                rows, 1
            )
        for part in later:
            yield Shift(
                column=name,
                part=NAMES[part],
                psi=round(distance(_sketch(seen[TRAIN]), _sketch(seen[part])), 6),
                chance=round(float((size - 1) * (1 / rows[TRAIN] + 1 / rows[part])), 6),
                missing=float(gone[part]),
                missing_train=float(gone[TRAIN]),
            )


def _sketch(counts: NDArray[np.int64]) -> NumberSketch:
    return NumberSketch(edges=tuple(float(edge) for edge in range(len(counts) - 1)), counts=tuple(counts.tolist()), n=int(counts.sum()))
