"""A profile as lines for a terminal and as a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fermion.data.profile import Profile
from fermion.data.profile_values import Described
from fermion.measure.page import shown_as

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDE = 28  # letters of a cell


def document(profile: Profile) -> dict[str, Any]:
    """The profile as plain JSON values, without its pictures.

    >>> from fermion.data.profile import profile
    >>> from fermion.data.table import Table
    >>> document(profile(Table.of({"size": [1.0, 2.0]})))["columns"][0]["numbers"]["mean"]
    1.5
    """
    made: dict[str, Any] = msgspec.to_builtins(profile)
    for column in made["columns"]:
        del column["pictures"]
    return made


def lines(profile: Profile) -> list[str]:
    """The profile as a table for a terminal, one line a column, and what stands out below it.

    >>> from fermion.data.profile import profile
    >>> from fermion.data.table import Table
    >>> lines(profile(Table.of({"size": [1.0, 2.0]})))[0]
    '2 rows, 1 column, 0 missing values'
    """
    missing = sum(column.missing for column in profile.columns)
    width = len(profile.columns)
    made = [f"{profile.rows:,} rows, {width:,} column{'s' * (width != 1)}, {missing:,} missing values", ""]
    targets = list(dict.fromkeys(target for column in profile.columns for target in column.information))
    heads = (
        "column",
        "kind",
        "missing",
        "distinct",
        "least",
        "mean or most frequent",
        "greatest",
        "shape",
        *(f"tells of {t}" for t in targets),
    )
    body = [_row(column, targets) for column in profile.columns]
    made += _aligned([heads, *body], right=(2, 3, 4, 6, *range(8, 8 + len(targets))))
    for balance in profile.balances:
        total = sum(balance.counts)
        shares = ", ".join(f"{name} {count / total:.1%}" for name, count in list(zip(balance.classes, balance.counts, strict=True))[:8])
        made += ["", f"{balance.target}: {shares}{' …' if len(balance.classes) > 8 else ''}"]
    moved = sorted((one for one in profile.shifts if one.psi > 0.1 + one.chance), key=lambda one: -one.psi)[:8]
    made += ["", *(f"{one.column} differs in {one.part} from train: stability index {one.psi:.2f}" for one in moved)] if moved else []
    if profile.personal:
        made += [
            "",
            "Personal data:",
            *(f"  {one.column}: {one.kind} ({one.how}, {one.share:.0%}). {one.line}" for one in profile.personal),
        ]
    if profile.findings:
        made += ["", "Findings:", *(f"  {one.severity} {one.kind}: {one.message} {one.remedy}".rstrip() for one in profile.findings)]
    if profile.error:
        made += ["", sampled(profile)]
    return made


def sampled(profile: Profile) -> str:
    """One sentence on what is exact and how far the rest may be off."""
    if not profile.error:
        return "Everything is counted over all rows."
    return (
        f"Counts, ranges, means and missing values are of all rows; frequent values, quantiles, shapes and associations of "
        f"{profile.sample:,} rows drawn at random: their shares are at most {profile.error:.4f} off, 19 times in 20."
    )


def shape(column: Described) -> str:
    """Bars of eight heights for a column's values: a histogram, the shares of its values, or rows over time.

    >>> from fermion.data.profile import profile
    >>> from fermion.data.table import Table
    >>> shape(profile(Table.of({"size": [0.0, 1.0, 1.0]}))["size"])
    '▅█'
    """
    counts: Sequence[float] = ()
    if column.numbers is not None:
        counts = _pooled(column.numbers.counts, 15)
    elif column.time is not None:
        counts = _pooled(column.time.counts, 15)
    elif column.top:
        counts = [bar.count for bar in column.top]
    most = max(counts, default=0)
    return "".join(_BLOCKS[min(7, int(8 * count / most))] for count in counts) if most else ""


def ends(column: Described) -> tuple[object, object, object]:
    """The least value, the mean or the most frequent one, and the greatest; None where there is none to show."""
    if column.numbers is not None:
        return natural(column, column.numbers.low), column.numbers.mean, natural(column, column.numbers.high)
    if column.time is not None:
        return column.time.first, None, column.time.last
    if column.top:
        return None, f"{column.top[0].value} ({column.top[0].share:.0%})", None
    if column.texts is not None:
        return f"{column.texts.shortest} letters", f"{column.texts.words} words", f"{column.texts.longest} letters"
    return None, None, None


def natural(column: Described, value: float | None) -> float | int | None:
    """A value of a column of whole numbers without decimals."""
    return int(value) if value is not None and column.type.startswith(("Int", "UInt")) else value


def distinct(column: Described) -> str:
    """How many values there are, and whether that is an estimate."""
    if column.distinct is None:
        return shown_as(None)
    return f"{'' if column.counted else 'about '}{shown_as(column.distinct)}"


def _row(column: Described, targets: Sequence[str]) -> tuple[str, ...]:
    kind = f"{column.kind}, private" if column.private else column.kind
    least, middle, greatest = (shown_as(value) for value in ends(column))
    told = (f"{column.information[target]:.3f}" if target in column.information else "" for target in targets)
    missing = f"{column.share_missing:.1%}" if column.missing else ""
    return (column.name, kind, missing, distinct(column), least, middle, greatest, shape(column), *told)


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    cells = [[_single(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _single(text: str) -> str:
    """On one line, not too wide, and without signs that a terminal would obey."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return plain if len(plain) <= _WIDE else f"{plain[: _WIDE - 1]}…"


def _pooled(counts: Sequence[int], bars: int) -> list[int]:
    """At most so many bars, by adding up neighbours."""
    step = -(-len(counts) // bars) or 1
    return [sum(counts[start : start + step]) for start in range(0, len(counts), step)]
