"""The data of a report's figures: few enough points to send around, none of them NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.output import Probability, name_of
from fermion.measure import metrics
from fermion.measure.answered import Answered
from fermion.measure.curves import Curve, calibration, precision_recall_curve, roc_curve
from fermion.measure.quantile_metrics import ahead
from fermion.measure.scored import Floats, Scored
from fermion.measure.tally import Ranking, areas, ratio
from fermion.research.report import Confusion, Histogram, Line, Reliability, Scatter
from fermion.research.scoring import finite

DRAWN_CLASSES = 12  # curves of one figure at the most
DRAWN_CELLS = 40  # classes of a confusion matrix at the most; the rarer ones are one
POINTS = 1000
BINS = 30
STEPS = 100  # thresholds
THE_REST = "all others"


def confusion(scored: Scored, names: Sequence[str]) -> Confusion:
    """Weights by true class and answer; of many classes the heaviest, the others together."""
    matrix = metrics.confusion(scored)
    if len(names) <= DRAWN_CELLS:
        return Confusion(classes=tuple(names), matrix=_rounded(matrix))
    kept: list[int] = np.sort(np.argsort(-matrix.sum(1), kind="stable")[: DRAWN_CELLS - 1]).tolist()
    group = np.full(len(names), DRAWN_CELLS - 1)
    group[kept] = np.arange(len(kept))
    small = np.zeros((DRAWN_CELLS, DRAWN_CELLS))
    np.add.at(small, (group[:, None], group[None]), matrix)
    return Confusion(classes=(*(names[k] for k in kept), THE_REST), matrix=_rounded(small))


def lines(scored: Scored, output: Probability) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """ROC and precision-recall curves: of the positive class, or of each of up to 12 classes against the rest."""
    count = len(output.classes)
    codes = [1] if count == 2 else list(range(count)) if 2 < count <= DRAWN_CLASSES else []
    roc: list[Line] = []
    precision_recall: list[Line] = []
    for code in codes:
        auc, average_precision = _areas(scored, code)
        name, points = name_of(output.classes[code]), 300 if count == 2 else 120
        roc.append(_line(name, roc_curve(scored, code, points=points), auc))
        precision_recall.append(_line(name, precision_recall_curve(scored, code, points=points), average_precision))
    return tuple(line for line in roc if line.x), tuple(line for line in precision_recall if line.x)


def thresholds(scored: Scored, output: Probability) -> tuple[Line, ...]:
    """Precision, recall and F1 of the positive class against the probability from which it is answered."""
    if scored.probabilities is None or len(output.classes) != 2 or not len(scored):
        return ()
    at_T = np.linspace(0, 1, STEPS + 1)
    weights = np.ones(len(scored)) if scored.weights is None else scored.weights
    step_N = np.searchsorted(at_T, scored.probabilities[:, 1], side="right") - 1  # the last threshold that the row still reaches
    said, right = (
        np.bincount(step_N, weights * of_N, STEPS + 1)[::-1].cumsum()[::-1] for of_N in (np.ones(len(scored)), scored.truth == 1)
    )
    true = np.full_like(said, right[0])
    found = {"precision": ratio(right, said), "recall": ratio(right, true), "F1": ratio(2 * right, said + true)}
    return tuple(_line(name, Curve(at_T, y_T, np.empty(0)), None) for name, y_T in found.items())


def reliability(scored: Scored, output: Probability) -> Reliability | None:
    """How often what is said with a probability is so: of the positive class, or of the answer where there are more than two."""
    if len(output.classes) < 2:
        return None
    if len(output.classes) == 2:
        of, curve = name_of(output.classes[1]), calibration(scored, 1)
    else:
        of, curve = "the answer", calibration(_as_right_or_wrong(scored), 1)
    error = float(np.average(abs(curve.y - curve.x), weights=curve.count)) if len(curve.x) else None
    return Reliability(of=of, said=_rounded(curve.x), seen=_rounded(curve.y), count=_rounded(curve.count), error=error)


def probabilities(scored: Scored, output: Probability) -> Histogram | None:
    """Where the probabilities lie: of the positive class by truth, or of the answer by whether it is right."""
    if scored.probabilities is None or len(output.classes) < 2:
        return None
    if len(output.classes) == 2:
        of, p_N = name_of(output.classes[1]), scored.probabilities[:, 1]
        parts = {name_of(label): scored.truth == code for code, label in enumerate(output.classes)}
    else:
        of, p_N, right = "the answer", _of_answer(scored), scored.truth == scored.decided
        parts = {"right": right, "wrong": ~right}
    return _histogram(of, p_N, np.linspace(0, 1, BINS + 1), parts, scored)


def errors(scored: Scored) -> Histogram | None:
    """Answer minus truth of a regression; the furthest hundredth on each side is counted into the outermost bins."""
    if not len(scored):
        return None
    error_N = scored.decided - scored.truth
    low, high = np.quantile(error_N, [0.01, 0.99]).tolist()
    if not low < high:
        low, high = low - 0.5, high + 0.5
    return _histogram("answer - truth", np.clip(error_N, low, high), np.linspace(low, high, BINS + 1), {"rows": error_N == error_N}, scored)


def scatter(scored: Scored, rng: np.random.Generator) -> Scatter:
    """Truth beside answer of up to 1,000 rows, drawn at random where there are more."""
    rows = np.arange(len(scored)) if len(scored) <= POINTS else np.sort(rng.choice(len(scored), POINTS, replace=False))
    return Scatter(truth=scored.truth[rows].tolist(), answer=scored.decided[rows].tolist())


def coverage(scored: Answered) -> Reliability | None:
    """How often the truth lies at or below each quantile, against how often it should."""
    if scored.kind != "quantiles" or not len(scored):
        return None
    weights = np.ones(len(scored)) if scored.weights is None else scored.weights
    levels_Q = scored.about["levels"]
    y = ahead(scored)[..., None]
    below = np.where(np.isnan(y), levels_Q, y <= scored.said).reshape(len(scored), -1, len(levels_Q)).mean(1)
    seen_Q = np.average(below, axis=0, weights=weights)
    count = np.full(len(levels_Q), float(weights.sum()))
    error = float(abs(seen_Q - levels_Q).mean())
    return Reliability(of="a value up to the quantile", said=_rounded(levels_Q), seen=_rounded(seen_Q), count=_rounded(count), error=error)


def _areas(scored: Scored, code: int) -> tuple[float | None, float | None]:
    if scored.probabilities is None or not len(scored):
        return None, None
    weights = np.ones(len(scored)) if scored.weights is None else scored.weights
    auc, precision = areas(*Ranking(scored.probabilities[:, code], scored.truth == code).steps(weights[None]))
    return finite(auc[0]), finite(precision[0])


def _line(name: str, curve: Curve, area: float | None) -> Line:
    there = np.isfinite(curve.x) & np.isfinite(curve.y)
    return Line(name=name, x=_rounded(curve.x[there]), y=_rounded(curve.y[there]), area=area)


def _of_answer(scored: Scored) -> Floats:
    assert scored.probabilities is not None
    return scored.probabilities[np.arange(len(scored)), scored.decided]


def _as_right_or_wrong(scored: Scored) -> Scored:
    """The same rows as a problem of two classes: was the answer right, and how sure was it?"""
    p_N, right_N = _of_answer(scored), (scored.truth == scored.decided).astype(np.int64)
    return Scored(truth=right_N, decided=right_N, probabilities=np.stack([1 - p_N, p_N], 1), weights=scored.weights, classes=2)


def _histogram(of: str, x_N: Floats, edges: Floats, parts: dict[str, NDArray[np.bool_]], scored: Scored) -> Histogram:
    weights = np.ones(len(scored)) if scored.weights is None else scored.weights
    counts = {name: _rounded(np.histogram(x_N[rows], edges, weights=weights[rows])[0]) for name, rows in parts.items()}
    return Histogram(of=of, edges=edges.tolist(), counts=counts)


def _rounded(x: NDArray[np.float64]) -> Any:
    """Nested lists with five decimals: a figure shows fewer, and the file stays small."""
    return np.round(x, 5).tolist()
