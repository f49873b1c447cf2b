"""From what a model said about one output to what its metrics read: values in their own unit, decisions taken, each row's loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from fermion.columns.output import (
    UNLABELLED,
    Count,
    Decision,
    Horizon,
    Labels,
    Output,
    Probability,
    Quantiles,
    Survival,
    Tags,
    Value,
    name_of,
    usual,
)
from fermion.columns.quantiles import middle
from fermion.measure.answered import Answered
from fermion.measure.metrics import METRICS
from fermion.measure.quantile_metrics import pinball, row_pinball
from fermion.measure.scored import Floats, Scored
from fermion.measure.tally import Basis

# The metric by which a single row is judged: for slices, and for the rows that are furthest off.
BY = {
    "binary": "log_loss",
    "multiclass": "accuracy",
    "regression": "mae",
    "ordinal": "rank_mae",
    "count": "mae",
    "multilabel": "hamming_loss",
    "quantiles": "pinball",
    "forecast": "pinball",
    "tagging": "step_errors",
}


def scored_of(
    output: Output, y: NDArray[Any], said: NDArray[Any], weights: NDArray[Any] | None, decision: Decision | None
) -> Scored | Answered:
    """Labelled rows and what was said about them, as metrics read it.

    Args:
        y: (n, ...) targets, as encoded.
        said: (n, *tail) rows of the output's array.
        decision: the most probable class, or labels from 1/2 on, where there is none.

    Raises:
        DataError: an answer is not finite.
    """
    match output:
        case Probability():
            decided = (decision or usual(output)).decide(said)
            return Scored(truth=y, decided=decided, probabilities=said, weights=weights, classes=len(output.classes))
        case Value() | Count():
            return Scored(truth=output.restore(y), decided=output.restore(said), weights=weights)
        case Labels():
            decided = output.decided(said, decision).astype(np.float64)
            each = (decided != y).mean(1) if y.shape[1] else np.zeros(len(y))
            return Answered(kind="labels", truth=y, said=said, decided=decided, each=each, weights=weights)
        case Quantiles():
            truth, made, levels = output.restore(y), output.restore(said), np.asarray(output.levels)
            each, about = pinball(truth, made, levels), {"levels": levels}
            return Answered(kind="quantiles", truth=truth, said=made, each=each, weights=weights, about=about)
        case Horizon():
            about = {"levels": np.asarray(output.levels)} | ({"season": np.array([output.season])} if output.past > output.season else {})
            found = Answered(kind="quantiles", truth=output.restore(y), said=output.restore(said), weights=weights, about=about)
            return structs.replace(found, each=row_pinball(found))
        case Tags():
            return _tagged(output, y, said, weights)
        case Survival():
            return Answered(kind="survival", truth=y, said=said, weights=weights, about={"times": np.asarray(output.times)})


def term_of(scored: Scored | Answered, task: str) -> Floats | None:
    """(n,) each row's part of the metric `BY[task]`, which is their mean; None where single rows cannot be judged."""
    if isinstance(scored, Answered):
        return scored.each
    basis = Basis(scored)
    terms = {
        "binary": lambda: basis.log_loss,
        "multiclass": lambda: basis.correct,
        "regression": lambda: abs(basis.error),
        "count": lambda: abs(basis.error),
        "ordinal": lambda: abs(scored.truth - scored.decided).astype(np.float64),
    }
    return terms[task]()


def worse(task: str) -> float:
    """1 where a larger term is worse, -1 where it is better."""
    return 1.0 if METRICS[BY[task]].direction == "min" else -1.0


def told(output: Output, scored: Scored | Answered, n: int) -> tuple[str | float, str | float]:
    """Truth and answer of one row, as one would write them."""
    if isinstance(scored, Scored):
        truth, answer = scored.truth[n], scored.decided[n]
        if isinstance(output, Probability):
            return name_of(output.classes[int(truth)]), name_of(output.classes[int(answer)])
        return float(truth), float(answer)
    match output:
        case Labels():
            assert scored.decided is not None
            return _names(output, scored.truth[n]), _names(output, scored.decided[n])
        case Horizon():
            middles = scored.said[n, :, middle(output.levels)]
            return _steps(scored.truth[n, : output.steps]), _steps(middles)
        case Quantiles():
            return float(scored.truth[n]), float(scored.said[n, middle(output.levels)])
        case Tags():
            (steps, spans), (right, _, found) = scored.truth[n].tolist(), scored.said[n].tolist()
            return f"{steps:.0f} steps, {spans:.0f} spans", f"{right:.0f} and {found:.0f} right"
        case _:
            return str(scored.truth[n].tolist()), str(scored.said[n].tolist())


def _tagged(output: Tags, y_NL: NDArray[Any], p_NLK: NDArray[Any], weights: NDArray[Any] | None) -> Answered:
    """Counts per row: labelled steps and spans in the truth; right steps, spans that were said, and those that are right."""
    truth_N2, said_N3 = np.zeros((len(y_NL), 2)), np.zeros((len(y_NL), 3))
    answers = p_NLK.argmax(axis=2)
    for row, y_L in enumerate(y_NL):
        there = np.flatnonzero(y_L != UNLABELLED)
        said_L = np.full(len(y_L), UNLABELLED)
        said_L[: answers.shape[1]] = answers[row, : len(y_L)]  # what was cut off is not answered, and so not right
        right = set(output.found([output.classes[code] for code in y_L[there].tolist()]))
        made = set(output.found([output.classes[code] if code >= 0 else "O" for code in said_L[there].tolist()]))
        truth_N2[row] = len(there), len(right)
        said_N3[row] = (y_L[there] == said_L[there]).sum(), len(made), len(made & right)
    each = 1 - said_N3[:, 0] / np.maximum(truth_N2[:, 0], 1)
    return Answered(kind="tags", truth=truth_N2, said=said_N3, each=each, weights=weights)


def _steps(numbers: NDArray[Any]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers[:8].tolist()) + (", ..." if len(numbers) > 8 else "")


def _names(output: Labels, there_K: NDArray[Any]) -> str:
    return ", ".join(name_of(label) for label, there in zip(output.classes, there_K.tolist(), strict=True) if there) or "none"
