"""What an evaluation found, as plain values: `report.json` is this, and the page is drawn from it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from fermion.bundle.manifest import Score
from fermion.columns.output import Decision
from fermion.measure import snippet
from fermion.research.model import Curve

Plain = str | float | int | bool | None


class Line(Struct, frozen=True, kw_only=True):
    """One curve of a figure, and the area under it; None where it is undefined."""

    name: str
    x: list[float]
    y: list[float]
    area: float | None = None


class Reliability(Struct, frozen=True, kw_only=True):
    """Mean probability `said` against the share `seen` in bins of equal weight, and the expected calibration error.

    The error is sum over bins of count * |seen - said| / sum of counts. Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """

    of: str  # what the probability is of: a class, or "the answer"
    said: list[float]
    seen: list[float]
    count: list[float]
    error: float | None = None


class Histogram(Struct, frozen=True, kw_only=True):
    """Weights of rows in bins between `edges`, one series per name."""

    of: str
    edges: list[float]
    counts: dict[str, list[float]]


class Confusion(Struct, frozen=True, kw_only=True):
    """Weights of rows by true class (down) and answer (across)."""

    classes: tuple[str, ...]
    matrix: list[list[float]]


class Scatter(Struct, frozen=True, kw_only=True):
    """Truth and answer of some rows of a regression, in the target's own unit."""

    truth: list[float]
    answer: list[float]


class Slice(Struct, frozen=True, kw_only=True):
    """The rows with one value of a column: how they score. `gap` is how much worse than the whole they are; below 0 is better."""

    column: str
    value: str
    rows: int
    score: float
    low: float
    high: float
    gap: float
    asked: bool = False  # named in `evaluate.slices`


class Mistake(Struct, frozen=True, kw_only=True):
    """A row that was answered wrong: its number in the source, what was said of it, and what the model saw."""

    row: int
    truth: str | float
    answer: str | float
    probability: float | None = None  # of the answer
    of_truth: float | None = None  # the probability of the truth
    values: dict[str, Plain] = field(default_factory=dict[str, Plain])
    picture: bytes | None = None  # PNG


class Importance(Struct, frozen=True, kw_only=True):
    """How much worse the primary metric gets when a column's values are shuffled among the rows: mean, least and most."""

    column: str
    drop: float
    low: float
    high: float


class Detail(Struct, frozen=True, kw_only=True):
    """One target: the data of its figures. What has no meaning for its task is empty."""

    target: str
    task: str  # binary, multiclass or regression
    primary: str  # the metric that the importance is about
    rows: int  # of the test part, with a label and a weight above 0
    classes: tuple[str, ...] = ()
    confusion: Confusion | None = None
    roc: tuple[Line, ...] = ()
    precision_recall: tuple[Line, ...] = ()
    thresholds: tuple[Line, ...] = ()  # precision, recall and F1 of the positive class by threshold
    reliability: Reliability | None = None
    histogram: Histogram | None = None
    scatter: Scatter | None = None
    slice_metric: str = ""
    slice_whole: float | None = None  # the same metric over all rows
    slices: tuple[Slice, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    importance: tuple[Importance, ...] = ()


class Report(Struct, frozen=True, kw_only=True):
    """Everything that is known about a model on the test part. Survives JSON: no NaN, undefined is None.

    `metrics` are named `metric`, or `target.metric` where there are several targets, the primary one first. `decisions` holds the
    targets whose answer is not simply the most probable class.
    """

    task: str  # binary, multiclass, regression or several
    rows: int
    metrics: dict[str, Score]
    decisions: dict[str, Decision] = field(default_factory=dict[str, Decision])
    details: dict[str, Detail] = field(default_factory=dict[str, Detail])  # by target
    curves: tuple[Curve, ...] = ()
    findings: tuple[dict[str, Any], ...] = ()
    split: dict[str, Any] = field(default_factory=dict[str, Any])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])  # the effective project file
    draws: int = 0
    weighted: bool = False
    grouped: bool = False  # whether the bootstrap drew groups
    own: dict[str, str] = field(default_factory=dict[str, str])  # metrics of the project's own: "max" or "min" by name
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def _repr_html_(self) -> str:
        """For notebooks: metrics beside the baseline's, what the answers depend on, how training went."""
        metrics = [(name, one.value, one.low, one.high, one.baseline) for name, one in self.metrics.items()]
        said = f"intervals from {self.draws:,} bootstrap draws{' of groups' if self.grouped else ''}; the tick is the baseline"
        blocks = [snippet.scores(metrics, said)]
        for target, detail in self.details.items():
            most = sorted(detail.importance, key=lambda one: -one.drop)[:8]
            caption = f"how much {detail.primary} of {target} falls when a column is shuffled"
            blocks.append(snippet.bars({one.column: one.drop for one in most}, caption))
        blocks += [snippet.curve(one.name, one.x, one.y, one.unit) for one in self.curves[:4]]
        blocks += [snippet.text(note) for note in self.notes]
        return snippet.box("Report", f"{self.task}, {self.rows:,} rows of the test part", *blocks)
