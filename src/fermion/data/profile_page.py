"""A profile as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from fermion.data import drawn
from fermion.data.profile import Profile
from fermion.data.profile_text import distinct, ends, natural, sampled, shape
from fermion.data.profile_values import Described
from fermion.measure.page import Page, shown_as

DRAWN = 120  # columns with a drawing of their own
ROWS = 10  # numbers of rows that show a finding
_PLACE = '<pre tabindex="0"><code>drawings {}</code></pre>'


def html(profile: Profile, *, title: str = "Data") -> str:
    """The whole page as text.

    >>> from fermion.data.profile import profile
    >>> from fermion.data.table import Table
    >>> html(profile(Table.of({"size": [1.0, 2.0]})), title="Shoes").startswith("<!DOCTYPE html>")
    True
    """
    rows = "row" if profile.rows == 1 else "rows"
    made = _Filled(Page(title, f"Profile of {profile.rows:,} {rows} and {len(profile.columns):,} columns"))
    page = made.page
    cells = profile.rows * len(profile.columns)
    missing = sum(column.missing for column in profile.columns)
    page.cards(
        [
            ("Rows", profile.rows, ", ".join(f"{part} {count:,}" for part, count in profile.parts.items())),
            ("Columns", len(profile.columns), _kinds(profile)),
            ("Missing values", f"{missing / cells:.2%}", f"{missing:,} of {cells:,}"),
            ("Size in memory", _size(profile.bytes), ""),
            ("Private columns", sum(bool(column.private) for column in profile.columns), "their values are not shown"),
        ]
    )
    page.text(sampled(profile))
    _findings(made, profile)
    _overview(made, profile)
    _targets(made, profile)
    _shapes(made, profile)
    _times(made, profile)
    _missing(made, profile)
    _associations(made, profile)
    _parts(made, profile)
    _samples(made, profile)
    return made.html()


class _Filled:
    """A page with places for drawings. A place is markup that text cannot make, since text is escaped."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.drawings: list[str] = []

    def draw(self, figures: Sequence[str]) -> None:
        if figures:
            self.page.code(f"drawings {len(self.drawings)}")
            self.drawings.append(f'<div class="figures">{"".join(figures)}</div>')

    def html(self) -> str:
        made = self.page.html()
        for number, figures in enumerate(self.drawings):
            made = made.replace(_PLACE.format(number), figures, 1)
        return made


def _kinds(profile: Profile) -> str:
    kinds = [column.kind for column in profile.columns]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds), key=lambda kind: -kinds.count(kind)))


def _size(size: int) -> str:
    unit = next(unit for unit in ("GB", "MB", "kB") if unit == "kB" or size >= {"GB": 1e9, "MB": 1e6}[unit])
    return f"{size / {'GB': 1e9, 'MB': 1e6, 'kB': 1e3}[unit]:.1f} {unit}"


def _findings(made: _Filled, profile: Profile) -> None:
    if profile.findings:
        made.page.section("Findings")
        made.page.table(
            "What the checks found",
            ("severity", "kind", "column", "score", "what", "rows", "what to do"),
            [
                (one.severity, one.kind, one.column, one.score, one.message, ", ".join(map(str, one.rows[:ROWS])), one.remedy)
                for one in profile.findings
            ],
        )
    if profile.personal:
        made.page.section("Personal data")
        made.page.text("Found by patterns, check digits and the names of columns. What was found is treated as private on this page.")
        made.page.table(
            "Columns that seem to hold personal data",
            ("column", "kind", "share", "sure", "how", "what to do"),
            [(one.column, one.kind, one.share, one.score, one.how, one.line) for one in profile.personal],
        )


def _overview(made: _Filled, profile: Profile) -> None:
    made.page.section("Columns")
    targets = list(dict.fromkeys(target for column in profile.columns for target in column.information))
    rows: list[tuple[object, ...]] = []
    for column in profile.columns:
        told = (column.information.get(target) for target in targets)
        missing = f"{column.share_missing:.2%}" if column.missing else ""
        numbers = column.numbers
        signs = (numbers.zeros, numbers.negatives) if numbers is not None else (None, None)
        head = (column.name, column.kind, missing, distinct(column), shape(column))
        rows.append((*head, *told, *ends(column), *signs, _type(column), _flags(column)))
    made.page.table(
        "Every column; a click on a head sorts",
        (
            *("column", "kind", "missing", "distinct", "shape", *(f"tells of {target}" for target in targets)),
            *("least", "mean or most frequent", "greatest", "zeros", "negative", "type", "note"),
        ),
        rows,
        align="llrrl" + "r" * len(targets) + "rrrrrll",
    )
    if targets:
        made.page.text(
            "“Tells of” is the share of a target's uncertainty that the column takes away by itself (mutual information over entropy), "
            "from 0 to 1: numbers in 20 bins, the 50 most frequent categories, corrected for its bias."
        )


def _type(column: Described) -> str:
    return column.type if len(column.type) <= 20 else f"{column.type[:19]}…"


def _flags(column: Described) -> str:
    notes = [f"private: {column.private}"] * bool(column.private) + ["constant"] * column.constant
    if column.numbers is not None and column.rows and column.numbers.zeros / column.rows > 0.5:
        notes.append("mostly zero")
    if column.share_missing > 0.5:
        notes.append("mostly missing")
    return ", ".join(notes)


def _targets(made: _Filled, profile: Profile) -> None:
    if not profile.balances:
        return
    made.page.section("Balance of the target")
    for balance in profile.balances:
        total = sum(balance.counts)
        some = list(zip(balance.classes, balance.counts, strict=True))[:30]
        shown = [f"{count:,} ({count / total:.1%})" for _, count in some]
        made.draw(
            [drawn.bars(balance.target, f"{len(balance.classes):,} classes", [name for name, _ in some], [n for _, n in some], shown)]
        )
        if balance.parts:
            parts = [(name, counts) for name, counts in balance.parts.items() if any(counts)]
            made.page.table(
                f"{balance.target}: share of each class by part",
                ("class", *(name for name, _ in parts)),
                [(label, *(counts[place] / sum(counts) for _, counts in parts)) for place, label in enumerate(balance.classes)],
            )


def _shapes(made: _Filled, profile: Profile) -> None:
    figures: list[str] = []
    for column in profile.columns:
        if column.numbers is not None and column.numbers.counts:
            said = ((name, column.numbers.quantiles[q]) for name, q in (("5 %", "0.05"), ("half", "0.5"), ("95 %", "0.95")))
            note = ", ".join(f"{name} up to {shown_as(natural(column, value))}" for name, value in said)
            figures.append(drawn.histogram(column.name, note, column.numbers.edges, column.numbers.counts))
        elif column.top:
            shares = [bar.share for bar in column.top]
            note = f"{distinct(column)} values"
            figures.append(drawn.bars(column.name, note, [bar.value for bar in column.top], shares, [f"{share:.1%}" for share in shares]))
    if figures:
        made.page.section("Distributions")
        if len(figures) > DRAWN:
            made.page.text(f"The first {DRAWN} of {len(figures):,} columns.")
        made.draw(figures[:DRAWN])


def _times(made: _Filled, profile: Profile) -> None:
    timed = [(column, column.time) for column in profile.columns if column.time is not None]
    if timed:
        made.page.section("Time")
    figures: list[str] = []
    for column, time in timed:
        note = f"{time.first} to {time.last}, rows per {time.unit}" + ("" if time.whole else " of the sample")
        if time.gap is not None:
            note += f"; {time.empty:,} without rows, the longest gap {time.gap[0]} to {time.gap[1]}"
        figures.append(drawn.timeline(column.name, note, time.starts, time.counts))
    made.draw(figures)


def _missing(made: _Filled, profile: Profile) -> None:
    some = sorted((column for column in profile.columns if column.missing), key=lambda column: -column.missing)[:40]
    if not some:
        return
    made.page.section("Missing values")
    shares = [column.share_missing for column in some]
    shown = [f"{column.missing:,} ({column.share_missing:.1%})" for column in some]
    made.draw([drawn.bars("Missing values by column", "", [column.name for column in some], shares, shown)])
    if profile.missing_together:
        made.page.table(
            "Columns that are missing in the same rows, and no others",
            ("columns", "share of rows"),
            [(", ".join(pattern.columns), f"{pattern.share:.2%}") for pattern in profile.missing_together],
        )


def _associations(made: _Filled, profile: Profile) -> None:
    told = {
        target: sorted(
            ((column.information[target], column.name) for column in profile.columns if target in column.information), reverse=True
        )
        for target in dict.fromkeys(target for column in profile.columns for target in column.information)
    }
    matrices = [
        ("Correlation of numbers (Pearson)", "Over the rows that have both.", profile.pearson),
        ("Association of categories (Cramer's V)", "Corrected for its bias; the 50 most frequent values of each.", profile.cramer),
    ]
    if not told and not any(matrix for *_, matrix in matrices):
        return
    made.page.section("What hangs together")
    for target, ranked in told.items():
        some = [(share, name) for share, name in ranked[:20] if share > 0]
        values = [share for share, _ in some]
        caption = f"What a column tells of {target} by itself"
        made.draw([drawn.bars(caption, "", [name for _, name in some], values, [f"{share:.3f}" for share in values])] if some else [])
    for caption, note, matrix in matrices:
        if matrix is not None:
            made.draw([drawn.heatmap(caption, note, matrix.names, matrix.values)])
            if pairs := matrix.strongest():
                made.page.table("The strongest pairs", ("column", "with", caption.split(" of ")[0].lower()), pairs)


def _parts(made: _Filled, profile: Profile) -> None:
    if not profile.shifts:
        return
    made.page.section("Differences between the parts")
    made.page.text(
        "Population stability index against the training part, over 20 bins or the 50 most frequent values: below 0.1 is stable, above 0.2 "
        "has shifted; by chance alone it is about what stands beside it."
    )
    ranked = sorted(profile.shifts, key=lambda one: -one.psi)[:60]
    made.page.table(
        "How far the other parts are from the training part",
        ("column", "part", "stability index", "by chance", "missing", "missing in train"),
        [(one.column, one.part, one.psi, one.chance, f"{one.missing:.2%}", f"{one.missing_train:.2%}") for one in ranked],
    )


def _samples(made: _Filled, profile: Profile) -> None:
    for column in profile.columns:
        if column.pictures:
            made.page.section(f"Pictures: {column.name}")
            made.page.pictures("Evenly spread over the rows", [(picture.png, picture.label) for picture in column.pictures])
        if column.texts is not None and column.texts.examples:
            made.page.section(f"Texts: {column.name}")
            texts = column.texts
            note = (
                f"{texts.shortest:,} to {texts.longest:,} letters, half of them under {texts.letters:,} letters and {texts.words:,} words"
            )
            made.page.table(note, ("example",), [(text,) for text in texts.examples])
