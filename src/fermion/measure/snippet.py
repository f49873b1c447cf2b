"""Small pieces of HTML for notebooks: self-contained, readable in dark and light, with everything that is shown escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from fermion.measure.page import shown_as

_BOX = (
    "font:13px/1.45 system-ui,sans-serif;border:1px solid rgba(128,128,128,.45);border-radius:6px;padding:10px 14px;margin:4px 0;"
    "max-width:760px"
)
_CELL = "padding:2px 14px 2px 0;text-align:left;background:none;border:0"
_FADED = "opacity:.65"
_WIDE, _HIGH = 170, 16  # of an interval, in pixels


def box(title: str, subtitle: str, *blocks: str) -> str:
    """A frame around blocks that the functions below made; empty ones are left out.

    >>> box("A < B", "test").count("A &lt; B")
    1
    """
    inner = "".join(block for block in blocks if block)
    head = f'<div style="font-weight:600">{_escape(title)} <span style="font-weight:400;{_FADED}">{_escape(subtitle)}</span></div>'
    return f'<div style="{_BOX}">{head}{inner}</div>'


def facts(pairs: Mapping[str, object]) -> str:
    """Names and values, one line each."""
    lines = "".join(
        f'<tr><td style="{_CELL};{_FADED}">{_escape(name)}</td><td style="{_CELL}">{_escape(value)}</td></tr>'
        for name, value in pairs.items()
    )
    return _table(lines)


def text(paragraph: str) -> str:
    """A paragraph in a faded tone."""
    return f'<p style="margin:6px 0 0;{_FADED}">{_escape(paragraph)}</p>' if paragraph else ""


def scores(rows: Iterable[tuple[str, float | None, float | None, float | None, float | None]], caption: str = "") -> str:
    """Metrics with their intervals: (name, value, low, high, baseline) each; the tick in a bar is the baseline."""
    body = "".join(
        f'<tr><td style="{_CELL}">{_escape(name)}</td><td style="{_CELL};font-weight:600">{_number(value)}</td>'
        f'<td style="{_CELL}">{_number(low)} to {_number(high)}</td><td style="{_CELL}">{_number(baseline)}</td>'
        f'<td style="{_CELL}">{interval(value, low, high, baseline)}</td></tr>'
        for name, value, low, high, baseline in rows
    )
    heads = ("metric", "value", "95 % interval", "baseline", "")
    head = "".join(f'<th style="{_CELL};font-weight:400;{_FADED}">{name}</th>' for name in heads)
    return (_table(f"<tr>{head}</tr>{body}") + text(caption)) if body else ""


def interval(value: float | None, low: float | None, high: float | None, baseline: float | None) -> str:
    """An interval as a line with its value as a dot and the baseline as a tick, as SVG; "" where nothing is known."""
    known = [one for one in (value, low, high, baseline) if one is not None and math.isfinite(one)]
    if value is None or not known:
        return ""
    least, most = min(known), max(known)
    span = (most - least) or 1.0

    def x(one: float) -> float:
        return round(6 + (one - least) / span * (_WIDE - 12), 1)

    mid = _HIGH / 2
    parts = [f'<line x1="4" x2="{_WIDE - 4}" y1="{mid}" y2="{mid}" stroke="currentColor" stroke-opacity=".15"/>']
    if low is not None and high is not None:
        parts.append(
            f'<line x1="{x(low)}" x2="{x(high)}" y1="{mid}" y2="{mid}" stroke="currentColor" stroke-opacity=".6" stroke-width="3"/>'
        )
    if baseline is not None:
        parts.append(f'<line x1="{x(baseline)}" x2="{x(baseline)}" y1="2" y2="{_HIGH - 2}" stroke="#d97706" stroke-width="2"/>')
    parts.append(f'<circle cx="{x(value)}" cy="{mid}" r="4" fill="#3b82f6"/>')
    return f'<svg width="{_WIDE}" height="{_HIGH}" role="img" aria-label="{_escape(shown_as(value))}">{"".join(parts)}</svg>'


def bars(values: Mapping[str, float], caption: str = "") -> str:
    """Named lengths, the longest filling the width."""
    most = max((abs(value) for value in values.values()), default=0.0) or 1.0
    lines = ""
    for name, value in values.items():
        length = round(abs(value) / most * _WIDE, 1)
        bar = f'<rect x="0" y="1" rx="2" height="8" width="{length}" fill="#3b82f6" fill-opacity="{1 if value >= 0 else 0.35}"/>'
        cells = (_escape(name), f'<svg width="{_WIDE}" height="10">{bar}</svg>', _number(value))
        lines += "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"
    return (text(caption) + _table(lines)) if lines else ""


def curve(name: str, x: Sequence[float], y: Sequence[float], unit: str = "") -> str:
    """A line over at most 200 of its points, with its first and last value."""
    every = max(1, len(x) // 200)
    points = [(a, b) for a, b in zip(x[::every], y[::every], strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(points) < 2:
        return ""
    left, right = min(a for a, _ in points), max(a for a, _ in points)
    low, high = min(b for _, b in points), max(b for _, b in points)
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    line = " ".join(f"{round(2 + (a - left) / wide * 216, 1)},{round(46 - (b - low) / tall * 42, 1)}" for a, b in points)
    said = f"{name}: {shown_as(points[0][1])} to {shown_as(points[-1][1])} over {shown_as(right)} {unit}"
    drawn = f'<polyline points="{line}" fill="none" stroke="#3b82f6" stroke-width="1.5"/>'
    svg = f'<svg width="220" height="48" role="img" aria-label="{_escape(said)}">{drawn}</svg>'
    return f'<div style="display:inline-block;margin:6px 18px 0 0">{svg}<div style="{_FADED}">{_escape(said)}</div></div>'


def _table(lines: str) -> str:
    return f'<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:6px 0 0">{lines}</table></div>' if lines else ""


def _number(value: float | None) -> str:
    return "–" if value is None else _escape(shown_as(value))


def _escape(value: object) -> str:
    return html.escape(str(value))
