"""A report's figures as Plotly's JSON: traces and what is special about their layout. Colours are the page's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fermion.columns.output import Decision, Threshold
from fermion.measure.metrics import METRICS
from fermion.measure.page import shown_as
from fermion.research.model import Curve
from fermion.research.report import Confusion, Detail, Histogram, Importance, Line, Reliability, Scatter

Traces = list[dict[str, Any]]
Layout = dict[str, Any]

QUIET = "#8a94a3"  # reads on light and on dark
BAD = "#e5484d"
LETTERS = 42
COLOURS = 8  # of the page
BARS = 25
NUMBERED = 15  # classes of a confusion matrix that still has numbers in its cells


def of(detail: Detail, decision: Decision | None = None) -> Iterator[tuple[str, Traces, Layout, bool]]:
    """The figures of one target: caption, traces, layout, and whether it takes the whole width."""
    if detail.confusion is not None and len(detail.classes) > 2:
        yield "Confusion: truth down, answer across, colour by share of the row", *confusion(detail.confusion), True
    if detail.roc:
        yield "ROC: true positives against false positives", *roc(detail.roc), False
    if detail.precision_recall:
        yield "Precision against recall", *precision_recall(detail.precision_recall), False
    if detail.reliability is not None and detail.reliability.said:
        error = detail.reliability.error
        yield f"Calibration: expected error {shown_as(error)}", *reliability(detail.reliability), False
    if detail.scatter is not None and detail.scatter.truth:
        yield "Answer against truth", *scatter(detail.scatter), False
        yield "Error (answer - truth) against answer", *residuals(detail.scatter), False
    if detail.histogram is not None:
        caption = "Errors" if detail.scatter is not None else f"Probability of {detail.histogram.of}"
        yield caption, *histogram(detail.histogram), detail.scatter is not None
    if detail.thresholds:
        yield (
            "Precision, recall and F1 by threshold",
            *thresholds(detail.thresholds, decision),
            False,
        )
    if detail.confusion is not None and len(detail.classes) == 2:
        yield "Confusion: truth down, answer across", *confusion(detail.confusion), False


def roc(lines: Sequence[Line]) -> tuple[Traces, Layout]:
    """One curve per class with its area, and the diagonal of guessing."""
    traces = [_curve(line, turn) for turn, line in enumerate(lines)]
    return [*traces, _straight(0, 0, 1, 1, "guessing")], _unit_square("false positive rate", "true positive rate", len(lines))


def precision_recall(lines: Sequence[Line]) -> tuple[Traces, Layout]:
    """Steps, as average precision counts them."""
    traces = [_curve(line, turn, shape="vh") for turn, line in enumerate(lines)]
    return traces, _unit_square("recall", "precision", len(lines))


def thresholds(lines: Sequence[Line], decision: Decision | None) -> tuple[Traces, Layout]:
    """What another threshold would give; the dotted line is the one that is used."""
    at = 0.5
    if isinstance(decision, Threshold):
        at = decision.at if decision.code == 1 else 1 - decision.at
    traces = [_curve(line, turn) for turn, line in enumerate(lines)]
    return [*traces, _straight(at, 0, at, 1, "used")], _unit_square("answered from this probability on", "", 2)


def reliability(found: Reliability) -> tuple[Traces, Layout]:
    """Said against seen; a point on the diagonal means what it says."""
    points = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "model",
        "x": found.said,
        "y": found.seen,
        "customdata": found.count,
        "hovertemplate": "said %{x:.3f}<br>seen %{y:.3f}<br>weight %{customdata}<extra></extra>",
    }
    return [points, _straight(0, 0, 1, 1, "perfect")], _unit_square(f"probability of {_cut(found.of)}", "how often it is so", 1)


def confusion(found: Confusion) -> tuple[Traces, Layout]:
    """A heat map by share of each true class, with the counts as text where there is room."""
    totals = [sum(row) for row in found.matrix]
    share = [[cell / total if total else None for cell in row] for row, total in zip(found.matrix, totals, strict=True)]
    text = [[f"{cell:,.0f}" if cell else "" for cell in row] for row in found.matrix]
    places, names = list(range(len(found.classes))), [_cut(name, 18) for name in found.classes]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": share,
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "text": text,
        "customdata": [[f"truth {true}\nanswer {said}" for said in names] for true in names],
        "hovertemplate": "%{customdata}<br>weight %{text}<br>%{z:.1%} of the truth<extra></extra>",
        "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
    }
    if len(places) <= NUMBERED:
        trace["texttemplate"] = "%{text}"
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}
    return [trace], {
        "height": 340 if len(places) <= 4 else min(820, 190 + 30 * len(places)),
        "xaxis": {**ticks, "title": {"text": "answer"}},
        "yaxis": {**ticks, "title": {"text": "truth"}, "autorange": "reversed"},
    }


def histogram(found: Histogram) -> tuple[Traces, Layout]:
    """Bars of each series over the same bins; a rare series has its own share, so that it can be seen."""
    middles = [(low + high) / 2 for low, high in zip(found.edges[:-1], found.edges[1:], strict=True)]
    width = found.edges[1] - found.edges[0]
    traces: Traces = []
    for name, counts in found.counts.items():
        total = sum(counts)
        traces.append(
            {
                "type": "bar",
                "name": f"{_cut(name, 24)} ({total:,.0f})",
                "x": middles,
                "y": [count / total if total else None for count in counts],
                "width": width,
                "opacity": 0.65 if len(found.counts) > 1 else 0.9,
                "customdata": counts,
                "hovertemplate": "%{x:.3~g}: %{y:.1%}, weight %{customdata}<extra></extra>",
            }
        )
    name = "answer - truth" if found.of == "answer - truth" else f"probability of {_cut(found.of)}"
    return traces, {
        "barmode": "overlay",
        "bargap": 0,
        "xaxis": {"title": {"text": name}},
        "yaxis": {"title": {"text": "share of the rows"}, "tickformat": ".0%"},
        "showlegend": len(traces) > 1,
    }


def scatter(found: Scatter) -> tuple[Traces, Layout]:
    """One point per row; on the diagonal it is right."""
    low, high = min(*found.truth, *found.answer), max(*found.truth, *found.answer)
    points = _points(found.truth, found.answer, "truth %{x:,.4~g}<br>answer %{y:,.4~g}<extra></extra>")
    layout = {"xaxis": {"title": {"text": "truth"}}, "yaxis": {"title": {"text": "answer"}}, "showlegend": False}
    return [points, _straight(low, low, high, high, "right")], layout


def residuals(found: Scatter) -> tuple[Traces, Layout]:
    """Errors by answer: a slope or a funnel says what the model has not learned."""
    errors = [answer - truth for truth, answer in zip(found.truth, found.answer, strict=True)]
    points = _points(found.answer, errors, "answer %{x:,.4~g}<br>error %{y:,.4~g}<extra></extra>")
    layout = {"xaxis": {"title": {"text": "answer"}}, "yaxis": {"title": {"text": "error"}}, "showlegend": False}
    return [points, _straight(min(found.answer), 0, max(found.answer), 0, "right")], layout


def slices(detail: Detail) -> tuple[Traces, Layout]:
    """Each slice with its interval, the whole as a line."""
    shown = detail.slices[:BARS]
    whole = detail.slice_whole or 0.0
    places = list(range(len(shown)))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [one.score for one in shown],
        "y": places,
        "marker": {"size": 9, "color": [BAD if one.gap > 0 and not one.low <= whole <= one.high else QUIET for one in shown]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [one.high - one.score for one in shown],
            "arrayminus": [one.score - one.low for one in shown],
            "thickness": 1.5,
            "width": 0,
            "color": QUIET,
        },
        "customdata": [f"{one.rows:,} rows" for one in shown],
        "hovertemplate": "%{x:.4~g}, %{customdata}<extra></extra>",
    }
    layout = _bars(places, [_cut(f"{one.column}: {one.value}") for one in shown])
    axes = {"xaxis": {"title": {"text": METRICS[detail.slice_metric].title}}}
    return [dots, _straight(whole, -0.5, whole, len(shown) - 0.5, "whole")], {**layout, **axes}


def importance(found: Sequence[Importance]) -> tuple[Traces, Layout]:
    """Bars from the most important down, with the least and the most of the repeats."""
    shown = found[:BARS]
    places = list(range(len(shown)))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [one.drop for one in shown],
        "y": places,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [one.high - one.drop for one in shown],
            "arrayminus": [one.drop - one.low for one in shown],
            "thickness": 1.5,
            "width": 3,
            "color": QUIET,
        },
        "hovertemplate": "worse by %{x:.4~g}<extra></extra>",
    }
    return [bars], {**_bars(places, [_cut(one.column) for one in shown]), "xaxis": {"title": {"text": "worse by"}, "zeroline": True}}


def curves(found: Sequence[Curve]) -> Iterator[tuple[str, Traces, Layout]]:
    """One figure per quantity: curves whose names end in the same word share one."""
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in found:
        if curve.x:
            groups.setdefault((curve.name.split()[-1] if curve.name.split() else "", curve.unit), []).append(curve)
    for (quantity, unit), together in groups.items():
        traces: Traces = [
            {
                "type": "scatter",
                "mode": "lines" if len(curve.x) > 1 else "markers",
                "name": _cut(curve.name),
                "x": curve.x,
                "y": curve.y,
                "line": {"width": 2},
                "hovertemplate": "%{x}: %{y:.4~g}<extra></extra>",
            }
            for curve in together
        ]
        axes = {"xaxis": {"title": {"text": unit}}, "yaxis": {"title": {"text": quantity}}, "showlegend": True}
        yield _cut(", ".join(curve.name for curve in together), 90), traces, axes


def _curve(line: Line, turn: int, *, shape: str = "linear") -> dict[str, Any]:
    """A line; where the page's colours begin again it is dashed."""
    area = "" if line.area is None else f": {line.area:.3f}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{_cut(line.name, 24)}{area}",
        "x": line.x,
        "y": line.y,
        "line": {"shape": shape, "width": 2, "dash": "dash" if turn >= COLOURS else "solid"},
        "hovertemplate": "%{x:.3f}, %{y:.3f}",
    }


def _straight(x0: float, y0: float, x1: float, y1: float, name: str) -> dict[str, Any]:
    line = {"color": QUIET, "width": 1.2, "dash": "dot"}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [x0, x1],
        "y": [y0, y1],
        "line": line,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _points(x: Sequence[float], y: Sequence[float], hover: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, "marker": {"size": 5, "opacity": 0.55}, "hovertemplate": hover}


def _unit_square(x: str, y: str, lines: int) -> Layout:
    axis: Mapping[str, Any] = {"range": [-0.02, 1.02], "zeroline": False}
    return {
        "height": 370 if lines > 1 else 340,
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
        "showlegend": lines > 0,
    }


def _bars(places: Sequence[int], names: Sequence[str]) -> Layout:
    """Rows with names, the first on top; places and not names are the values, since two shortened names may be equal."""
    axis = {"tickvals": places, "ticktext": names, "autorange": "reversed", "showgrid": False, "zeroline": False}
    return {"height": 90 + 26 * max(3, len(places)), "yaxis": axis, "showlegend": False}


def _cut(text: str, letters: int = LETTERS) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
