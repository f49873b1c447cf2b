"""Small drawings for a page as SVG: they need no script, take the page's colours and weigh a few kilobytes.

Every function gives a whole `<figure>`. Whatever a caller passes is text and is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fermion.measure.page import shown_as

WIDTH, HEIGHT = 520, 130
LONG = 1060  # of what takes the whole page
_BAR = "fill:var(--accent)"
_AGAINST = "fill:#d9480f"
_TEXT = "fill:var(--text);font-size:12px"
_QUIET = "fill:var(--quiet);font-size:11.5px"


def histogram(caption: str, note: str, edges: Sequence[float], counts: Sequence[int]) -> str:
    """Bars between edges, with the range below."""
    ends = (shown_as(edges[0]), shown_as(edges[-1])) if edges else ("", "")
    titles = [f"{shown_as(low)} to {shown_as(high)}: {count:,}" for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)]
    return _columns(caption, note, counts, titles, ends)


def timeline(caption: str, note: str, starts: Sequence[str], counts: Sequence[int]) -> str:
    """Rows per period."""
    ends = (starts[0], starts[-1]) if starts else ("", "")
    return _columns(caption, note, counts, [f"{start}: {count:,}" for start, count in zip(starts, counts, strict=True)], ends, wide=True)


def bars(caption: str, note: str, labels: Sequence[str], values: Sequence[float], shown: Sequence[str]) -> str:
    """One line per label: a bar as long as its value, and the value."""
    most, high = max(values, default=0) or 1, 22
    drawn = "".join(
        f'<text x="0" y="{high * i + 15}" style="{_TEXT}">{escape(_short(label, 24))}<title>{escape(label)}</title></text>'
        f'<rect x="170" y="{high * i + 4}" width="{max(1.0, 230 * value / most):.1f}" height="{high - 8}" rx="2" style="{_BAR}"/>'
        f'<text x="{176 + max(1.0, 230 * value / most):.1f}" y="{high * i + 15}" style="{_QUIET}">{escape(text)}</text>'
        for i, (label, value, text) in enumerate(zip(labels, values, shown, strict=True))
    )
    return _figure(caption, note, WIDTH, max(high, high * len(labels)), drawn)


def heatmap(caption: str, note: str, names: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """A square per pair: blue for what goes together, orange for what goes against each other, stronger for more."""
    side, left, count = (26 if len(names) <= 24 else 18), 150, len(names)
    parts: list[str] = []
    for i, name in enumerate(names):
        shown, y = escape(_short(name, 20)), side * i + side * 0.68
        parts.append(f'<text x="{left - 8}" y="{y:.1f}" text-anchor="end" style="{_TEXT}">{shown}</text>')
        x, below = left + side * i + side * 0.65, side * count + 10
        turned = f'transform="rotate(-60 {x:.1f} {below})" text-anchor="end"'
        parts.append(f'<text x="{x:.1f}" y="{below}" {turned} style="{_TEXT}">{shown}</text>')
        for j, value in enumerate(values[i]):
            if value is not None:
                title = f"{escape(name)} and {escape(names[j])}: {value:.3f}"
                parts.append(
                    f'<rect x="{left + side * j}" y="{side * i}" width="{side - 1}" height="{side - 1}" rx="2" '
                    f'style="{_BAR if value >= 0 else _AGAINST};fill-opacity:{max(0.03, abs(value)):.2f}"><title>{title}</title></rect>'
                )
    return _figure(caption, note, left + side * count + 6, side * count + 140, "".join(parts), wide=True)


def _columns(caption: str, note: str, counts: Sequence[int], titles: Sequence[str], ends: tuple[str, str], *, wide: bool = False) -> str:
    width = LONG if wide else WIDTH
    most, step = max(counts, default=0) or 1, width / max(1, len(counts))
    drawn = "".join(
        f'<rect x="{step * i:.1f}" y="{HEIGHT - 22 - (HEIGHT - 26) * count / most:.1f}" width="{max(0.8, step - 1):.1f}" '
        f'height="{(HEIGHT - 26) * count / most:.1f}" style="{_BAR}"><title>{escape(title)}</title></rect>'
        for i, (count, title) in enumerate(zip(counts, titles, strict=True))
        if count
    )
    floor = f'<line x1="0" x2="{width}" y1="{HEIGHT - 21.5}" y2="{HEIGHT - 21.5}" style="stroke:var(--line)"/>'
    below = (
        f'<text x="0" y="{HEIGHT - 6}" style="{_QUIET}">{escape(ends[0])}</text>'
        f'<text x="{width}" y="{HEIGHT - 6}" text-anchor="end" style="{_QUIET}">{escape(ends[1])}</text>'
    )
    return _figure(caption, note, width, HEIGHT, drawn + floor + below, wide=wide)


def _figure(caption: str, note: str, width: float, height: float, drawn: str, *, wide: bool = False) -> str:
    said = f'<p class="subtitle" style="font-size:13px;margin:0 0 8px">{escape(note, quote=False)}</p>' if note else ""
    style = f"width:100%;height:auto;max-width:{width:.0f}px;display:block"
    return (
        f"<figure{' class=wide' if wide else ''}><figcaption>{escape(caption, quote=False)}</figcaption>{said}"
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="{style}" role="img" aria-label="{escape(caption)}">{drawn}</svg></figure>'
    )


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
