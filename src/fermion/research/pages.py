"""The report as a page: what it is worth, where it fails, what it leans on, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import fermion
from fermion.bundle.manifest import Score
from fermion.core import yaml12
from fermion.measure.metrics import METRICS
from fermion.measure.page import Page, shown_as
from fermion.research import drawings
from fermion.research.own_metrics import direction_of
from fermion.research.report import Detail, Mistake, Report, Slice

HEADLINE = 4  # metrics on the first screen of a single target
COLUMNS = 7  # of a row among the errors
ROWS = 10  # numbers of rows that show a finding

_TASKS = {"binary": "two classes", "multiclass": "classes", "regression": "a number", "several": "several targets"}


def page(report: Report, *, title: str, model: Mapping[str, Any]) -> Page:
    """The report of one evaluation as one HTML page.

    Args:
        report: from `fermion.research.evaluate`.
        title: the project's name.
        model: the type and the settings of the model, as chosen.
    """
    made = Page(title, _subtitle(report, model))
    made.cards(_cards(report))
    made.section("Metrics on the test part")
    _metrics(made, report)
    for detail in report.details.values():
        named = f"{detail.target}: " if len(report.details) > 1 else ""
        _figures(made, detail, named, report)
        _slices(made, detail, named)
        _mistakes(made, detail, named)
        if detail.importance:
            made.section(f"{named}What it leans on")
            made.figure(
                f"Permutation importance: change of {_title(detail.primary)} when one column is shuffled",
                *drawings.importance(detail.importance),
                wide=True,
            )
    if report.curves:
        made.section("Training")
        for caption, data, layout in drawings.curves(report.curves):
            made.figure(caption, data, layout)
    _data(made, report)
    _again(made, report, model)
    return made


def _subtitle(report: Report, model: Mapping[str, Any]) -> str:
    targets = ", ".join(report.details)
    kind, task = model.get("type", "a model"), _TASKS.get(report.task, report.task)
    return f"{kind} for {targets} ({task}), on {report.rows:,} test rows it never saw"


def _cards(report: Report) -> Iterable[tuple[str, object, str]]:
    if len(report.details) > 1:
        names = [f"{detail.target}.{detail.primary}" for detail in report.details.values()][: 2 * HEADLINE]
    else:
        names = list(report.metrics)[:HEADLINE]
    for name in names:
        yield _metric_title(name), report.metrics[name].value, _beside(report.metrics[name])
    others = ", ".join(f"{part} {rows:,}" for part, rows in _sizes(report).items() if part != "test")
    yield "Test rows", report.rows, others.replace(" ", "\u00a0").replace(",\u00a0", ", ")


def _beside(score: Score) -> str:
    between = "no interval" if score.low is None else f"{shown_as(score.low)} to {shown_as(score.high)}"
    return ", ".join(half.replace(" ", "\u00a0") for half in (between, f"baseline {shown_as(score.baseline)}"))


def _metrics(made: Page, report: Report) -> None:
    rows = [
        (
            _metric_title(name),
            score.value,
            score.low,
            score.high,
            score.baseline,
            "higher" if direction_of(name, report.own) == "max" else "lower",
        )
        for name, score in report.metrics.items()
    ]
    made.table("Each with its 95 % interval, beside the baseline", ("metric", "value", "from", "to", "baseline", "better"), rows)
    unit = "groups" if report.grouped else "rows"
    told = [
        f"Intervals: {report.draws:,} bootstrap draws of the test part's {unit}." if report.draws else "No intervals were asked for.",
        "The baseline says the same for every row: what the training labels alone suggest.",
    ]
    if report.weighted:
        told.append("Rows are weighted; counts below are sums of weights.")
    told += [_decision(target, decision, report) for target, decision in report.decisions.items()]
    made.text(" ".join(told), *(f"Note: {note}" for note in report.notes))


def _decision(target: str, decision: Any, report: Report) -> str:
    label = report.details[target].classes[decision.code]
    how = report.settings.get("decide", {})
    chosen = f", chosen by {_title(how.get('metric', 'f1'))} on the validation part" if how.get("at") == "best" else ""
    return f"The answer for {target} is {label} from a probability of {shown_as(float(decision.at))} on{chosen}."


def _figures(made: Page, detail: Detail, named: str, report: Report) -> None:
    made.section(f"{named}{'Errors' if detail.task == 'regression' else 'Curves and confusion'}")
    for caption, data, layout, wide in drawings.of(detail, report.decisions.get(detail.target)):
        made.figure(caption, data, layout, wide=wide)
    if (by_class := _by_class(detail)) is not None:
        made.table("By class", ("class", "share", "precision", "recall", "F1"), by_class)


def _by_class(detail: Detail) -> list[tuple[str, float | None, float | None, float | None, float | None]] | None:
    """What the confusion matrix says of each class."""
    if detail.confusion is None or len(detail.confusion.classes) < 3:
        return None
    matrix = detail.confusion.matrix
    everything = sum(map(sum, matrix))
    rows: list[tuple[str, float | None, float | None, float | None, float | None]] = []
    for code, name in enumerate(detail.confusion.classes):
        right, true, said = matrix[code][code], sum(matrix[code]), sum(row[code] for row in matrix)
        precision, recall, f1 = _ratio(right, said), _ratio(right, true), _ratio(2 * right, true + said)
        rows.append((name, _ratio(true, everything), precision, recall, f1))
    return rows


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _slices(made: Page, detail: Detail, named: str) -> None:
    if not detail.slices or detail.slice_whole is None:
        return
    made.section(f"{named}Worst slices")
    title = _title(detail.slice_metric)
    made.figure(f"{title} by slice; the line is the whole test part", *drawings.slices(detail), wide=True)
    rows = [
        (one.column, one.value, one.rows, one.score, one.low, one.high, one.gap, _beyond(one, detail.slice_whole)) for one in detail.slices
    ]
    made.table(
        f"{title} by slice; {shown_as(detail.slice_whole)} over all rows",
        ("column", "value", "rows", title, "from", "to", "worse by", "beyond chance"),
        rows,
        align="llrrrrrl",
    )


def _beyond(one: Slice, whole: float) -> str:
    """Whether the whole lies outside the slice's interval, on the side that is worse."""
    return "yes" if one.gap > 0 and not one.low <= whole <= one.high else "no"


def _mistakes(made: Page, detail: Detail, named: str) -> None:
    if not detail.mistakes:
        return
    sure = any(one.probability is not None for one in detail.mistakes)  # of several numbers or labels nobody is
    made.section(f"{named}{'Most confident' if sure else 'Largest'} errors")
    if any(one.picture for one in detail.mistakes):
        made.pictures(
            "Wrong and sure of it: the answer, the truth, the row of the source",
            [(one.picture, _label(one)) for one in detail.mistakes if one.picture],
        )
        return
    columns = _telling(detail)
    odds = ("probability",) if sure else ()
    made.table(
        "Wrong and sure of it, by row of the source" if sure else "Rows of the source by how far the answer is off",
        ("row", "truth", "answer", *odds, *columns),
        [(str(one.row), one.truth, one.answer, *_odds(one), *(one.values.get(name) for name in columns)) for one in detail.mistakes],
    )


def _label(one: Mistake) -> str:
    answer, truth = (shown_as(said) for said in (one.answer, one.truth))
    sure = "" if one.probability is None else f" ({one.probability:.1%})"
    return f"{answer}{sure}\nis {truth} · row {one.row}"


def _telling(detail: Detail) -> list[str]:
    """The columns that a reader wants beside an error: those that the model leans on, in the order of the data."""
    names = list(detail.mistakes[0].values)
    ranked = [one.column for one in detail.importance if one.column in names][:COLUMNS] or names[:COLUMNS]
    return [name for name in names if name in ranked]


def _odds(one: Mistake) -> tuple[float, ...]:
    return () if one.probability is None else (one.probability,)


def _data(made: Page, report: Report) -> None:
    made.section("Data and split")
    source = report.settings.get("data", {}).get("source", "")
    by = report.split.get("by", "")
    made.text(f"{f'From {source}. ' if source else ''}{f'Rows were told apart by: {by}.' if by else ''}")
    times = cast(Mapping[str, Sequence[str]], report.split.get("boundaries") or {})
    sizes = _sizes(report)
    total = sum(sizes.values())
    when = {part: tuple(times.get(part, ("", ""))) if times else () for part in sizes}
    parts = [(part, rows, f"{rows / total:.1%}" if total else "", *when[part]) for part, rows in sizes.items()]
    if parts:
        columns = ("part", "rows", "share", *(("from", "to") if times else ()))
        made.table("Parts", columns, parts, align="lrr" + "ll" * bool(times))
    if report.findings:
        made.table(
            "What the checks found",
            ("severity", "kind", "column", "what", "rows", "what to do"),
            [
                (
                    str(one.get("severity", "")),
                    str(one.get("kind", "")),
                    str(one.get("column", "")),
                    str(one.get("message", "")),
                    ", ".join(map(str, one.get("rows", ())[:ROWS])),
                    str(one.get("remedy", "")),
                )
                for one in report.findings
            ],
        )
    else:
        made.text("The checks found nothing.")


def _again(made: Page, report: Report, model: Mapping[str, Any]) -> None:
    made.section("Settings, and how to make this again")
    made.code(f"pip install 'fermion[train]=={fermion.__version__}'\nfermion run fermion.yaml")
    settings = {**report.settings, "model": dict(model)} if model else report.settings
    made.text("On the same data, and with this as fermion.yaml:").code(yaml12.dump(_written(settings)))
    made.text(f"The evaluation took {report.seconds:.1f} seconds.")


def _written(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, as one would write it: empty is the default of every setting that may be."""
    kept = {name: _written(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
    return {name: value for name, value in kept.items() if value not in (None, {}, [], ())}


def _sizes(report: Report) -> dict[str, int]:
    return dict(report.split.get("sizes") or {"test": report.rows})


def _title(name: str) -> str:
    return METRICS[name].title if name in METRICS else name


def _metric_title(name: str) -> str:
    """`income.rmse` -> income: Root mean squared error."""
    target, _, metric = name.rpartition(".")
    return f"{target}: {_title(metric)}" if target else _title(metric)
