"""The report page: one HTML file that needs nothing else, in dark and light, on paper and on a phone.

    page = Page("Digits", "a1b2c3 on the test part")
    page.cards([("Accuracy", 0.991, "0.985 to 0.996")])
    page.figure("Learning curve", [{"x": [1, 2], "y": [0.9, 0.99]}])
    page.write("report.html")

Whatever a caller passes is text: it is escaped, in HTML and in figures. The page loads nothing from anywhere, and its content
security policy holds it to that.
"""

from __future__ import annotations

import html
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fermion.core.errors import StoreError, Told, UsageError
from fermion.core.lazy import load
from fermion.measure.png import data_uri

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_DECIMALS = ((1000, 0), (10, 2), (0.001, 4))  # from this size on, so many decimals
_TEMPLATES = frozenset({"hovertemplate", "texttemplate"})  # written by code, with Plotly's tags; never a place for values


class Page:
    """A page that is filled from top to bottom; every method that adds a block returns the page.

    >>> Page("Digits").text("One & all").html().count("One &amp; all")
    1
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._blocks: list[str] = []
        self._sections: list[str] = []
        self._row: list[str] = []  # figures that stand side by side until another block comes
        self._figures = 0

    def section(self, heading: str) -> Page:
        """A heading; it is listed at the top of the page."""
        self._sections.append(heading)
        return self._add(f'<h2 id="s{len(self._sections)}">{_escape(heading)}</h2>')

    def text(self, *paragraphs: str) -> Page:
        """Plain paragraphs."""
        return self._add("".join(f"<p>{_escape(paragraph)}</p>" for paragraph in paragraphs))

    def code(self, text: str) -> Page:
        """Text as it is, in a fixed-width font."""
        return self._add(f'<pre tabindex="0"><code>{_escape(text)}</code></pre>')

    def cards(self, cards: Iterable[tuple[str, object, str]]) -> Page:
        """The figures that matter most: (label, value, note) each."""
        shown = "".join(
            f'<div><dt>{_escape(label)}</dt><dd class="value">{_escape(shown_as(value))}</dd><dd class="note">{_escape(note)}</dd></div>'
            for label, value, note in cards
        )
        return self._add(f'<dl class="cards">{shown}</dl>')

    def table(self, caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]], align: str = "") -> Page:
        """A table that a click on a column head sorts.

        Args:
            rows: values of any kind; numbers are shown as `shown_as` does, None and NaN as a dash.
            align: one letter per column, l, r or c; numbers go right and the rest left where it is empty.

        Raises:
            UsageError: a row or `align` is not as long as `columns`.
        """
        body = [tuple(row) for row in rows]
        for number, row in enumerate(body):
            if len(row) != len(columns):
                raise UsageError("a table row", rule=f"{len(columns)} values long", given=Told(f"{len(row)}"), where=f"row {number}")
        if align and (len(align) != len(columns) or set(align) - set("lrc")):
            raise UsageError("`align`", rule=f"{len(columns)} letters of l, r and c", given=align)
        sides = align or "".join("r" if _numeric([row[i] for row in body]) else "l" for i in range(len(columns)))
        head = "".join(
            f'<th scope="col" aria-sort="none" class="{side}"><button type="button">{_escape(column)}</button></th>'
            for side, column in zip(sides, columns, strict=True)
        )
        lines = "".join(f"<tr>{''.join(_cell(value, side) for value, side in zip(row, sides, strict=True))}</tr>" for row in body)
        label = html.escape(caption)
        return self._add(
            f'<div class="table" role="region" tabindex="0" aria-label="{label}"><table><caption>{label}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
        )

    def figure(
        self, caption: str, data: Sequence[Mapping[str, Any]], layout: Mapping[str, Any] | None = None, *, wide: bool = False
    ) -> Page:
        """A Plotly figure in its JSON form, in the page's colours; figures that follow each other stand side by side.

        Args:
            data: traces, e.g. `{"type": "bar", "x": names, "y": values}`; arrays are welcome, NaN and infinity leave a gap.
                Strings are plain text (a line feed breaks the line) but in `hovertemplate` and `texttemplate`, which are Plotly's:
                put names into `text` or `customdata`, never there. WebGL traces are not supported.
            layout: what is special about this one, e.g. `{"xaxis": {"title": {"text": "epoch"}}}`.
            wide: take the whole width.
        """
        self._figures += 1
        document = msgspec.json.encode({"data": _plain(data), "layout": _plain(layout or {})}).decode()
        for sign in "<>&\u2028\u2029":  # nothing in it can end the script element
            document = document.replace(sign, f"\\u{ord(sign):04x}")
        self._row.append(
            f"<figure{' class=wide' if wide else ''}><figcaption>{_escape(caption)}</figcaption>"
            f'<div class="plot" role="img" aria-label="{html.escape(caption)}"></div>'
            f'<script type="application/json">{document}</script></figure>'
        )
        return self

    def pictures(self, caption: str, pictures: Iterable[tuple[bytes | NDArray[Any], str]]) -> Page:
        """Pictures with a label each: encoded bytes, or uint8 arrays (H, W) or (H, W, C).

        Raises:
            UsageError: something that is no picture.
        """
        shown = "".join(
            f'<li><img src="{data_uri(picture)}" alt="{html.escape(label)}"{_small(picture)}>{_escape(label)}</li>'
            for picture, label in pictures
        )
        return self._add(f'<figure><figcaption>{_escape(caption)}</figcaption><ul class="pictures">{shown}</ul></figure>')

    def html(self) -> str:
        """The whole page.

        Raises:
            MissingExtra: it has figures and Plotly is not installed.
        """
        self._end_row()
        script: list[str] = [load("plotly.offline", extra="train").get_plotlyjs()] if self._figures else []
        scripts = "".join(f"<script>{text}</script>" for text in (*script, _asset("page.js")))
        links = "".join(f'<li><a href="#s{i}">{_escape(heading)}</a></li>' for i, heading in enumerate(self._sections, 1))
        contents = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if len(self._sections) > 2 else ""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
            f'<link rel="icon" href="data:,"><title>{_escape(self.title)}</title><style>{_asset("page.css")}</style></head>\n'
            f'<body><header><div><h1>{_escape(self.title)}</h1><p class="subtitle">{_escape(self.subtitle)}</p>{contents}</div>'
            f'<button id="theme" type="button">Dark</button></header>\n<main>{"".join(self._blocks)}</main>\n'
            "<footer>Made with Fermion. This page is one file and loads nothing.</footer>"
            f"<noscript>Figures need JavaScript.</noscript>{scripts}</body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """The page as a file, whole or not at all: a reader never sees half of it.

        Raises:
            StoreError: it could not be written; what was there before is untouched.
        """
        target, text = Path(path), self.html()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False) as scratch:
                try:
                    scratch.write(text)
                    scratch.flush()
                    os.fchmod(scratch.fileno(), 0o644)
                    os.fsync(scratch.fileno())
                    os.replace(scratch.name, target)
                except BaseException:
                    os.unlink(scratch.name)
                    raise
        except OSError as broken:
            remedy = "Free some space or choose another folder."
            raise StoreError(f"the page `{target}`", rule="written", given=Told(broken.strerror or "an error"), remedy=remedy) from broken
        return target

    def _add(self, block: str) -> Page:
        self._end_row()
        self._blocks.append(block)
        return self

    def _end_row(self) -> None:
        if self._row:
            self._blocks.append(f'<div class="figures">{"".join(self._row)}</div>')
            self._row = []


def shown_as(value: object) -> str:
    """A value as a reader wants it: four decimals near 1, thousands apart, a dash for what is missing.

    >>> shown_as(0.98), shown_as(12.345), shown_as(1234567), shown_as(1e-7), shown_as(float("nan")), shown_as("as it is")
    ('0.9800', '12.35', '1,234,567', '1e-07', '–', 'as it is')
    """
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return "–"
        digits = next((digits for limit, digits in _DECIMALS if abs(value) >= limit), None)
        return f"{value:.3g}" if digits is None or abs(value) >= 1e15 else f"{value:,.{digits}f}"
    return str(value)


def _cell(value: object, side: str) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    key = "" if missing else repr(float(value)) if isinstance(value, int | float | np.number) else str(value)
    return f'<td class="{side}" data-value="{html.escape(key)}">{_escape(shown_as(value))}</td>'


def _numeric(values: Sequence[object]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in there)


def _small(picture: bytes | NDArray[Any]) -> str:
    """Few pixels stay sharp squares instead of a blur."""
    return "" if isinstance(picture, bytes) or max(picture.shape[:2]) > 64 else ' class="small"'


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _plain(value: Any, key: str = "") -> Any:
    """A figure as JSON can carry it: arrays as lists, what is not finite as null, strings as text and not as Plotly's markup."""
    if isinstance(value, str):
        return value if key in _TEMPLATES else _escape(value).replace("\n", "<br>")
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), key)
    if isinstance(value, Iterable):
        return [_plain(inner, key) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item(), key)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _asset(name: str) -> str:
    return (files("fermion.measure") / name).read_text(encoding="utf-8")
