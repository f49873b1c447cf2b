"""How probabilities become answers: the decision that the project file asks for, its threshold chosen on the validation part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.labels import LIKELY
from fermion.columns.output import Decision, Labels, Output, Probability, Threshold, Thresholds, name_of
from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.sections import Choice
from fermion.measure.metrics import METRICS, Metric
from fermion.measure.scored import Scored
from fermion.research.model import Encoded
from fermion.research.scoring import Answering, answers, judge

CANDIDATES = 400


def check_choice(choice: Choice, outputs: Sequence[Output]) -> None:
    """Whether `decide` means something for these outputs; known before anything is fitted.

    Raises:
        SpecError: no target has classes, or not that class, or a threshold does not change the metric.
    """
    if choice.type == "argmax":
        return
    if any(isinstance(output, Labels) for output in outputs) and choice.of is None:
        if choice.at == "best" and choice.metric != "f1":
            rule, remedy = "f1 for a target with several labels", "Leave decide.metric out, or write the threshold as a number."
            raise SpecError("decide.metric", rule=rule, given=choice.metric, remedy=remedy, where="decide.metric")
        return
    if not any(isinstance(output, Probability) for output in outputs):
        raise SpecError("decide", rule="left out for a target with numbers", given="threshold", remedy="Remove `decide`.", where="decide")
    labels = [name_of(label) for output in outputs if isinstance(output, Probability) for label in output.classes]
    if choice.of is not None and choice.of not in labels:
        raise SpecError(
            "decide.of",
            rule=f"a class of the target ({', '.join(labels[:10])})",
            given=choice.of,
            remedy=did_you_mean(choice.of, labels),
            where="decide.of",
        )
    if choice.at == "best":
        _metric(choice)


def decisions(choice: Choice, outputs: Sequence[Output], model: Answering, valid: Encoded | None) -> dict[str, Decision]:
    """The decisions by target; a target that is not in it takes its most probable class.

    A threshold that is `best` is the one with the best metric on the validation part, halfway between two probabilities that occur
    there; of equals the one nearest to 1/2. Only positions just under a row of the class are tried, for between two of them a lower
    threshold only adds wrong rows; at most 400 of them.

    Raises:
        SpecError: see `check_choice`.
        DataError: there is no validation part to choose on, or the class does not occur in it.
    """
    check_choice(choice, outputs)
    having = [output for output in outputs if isinstance(output, Probability) and not output.ordered and _has(output, choice.of)]
    several = [output for output in outputs if isinstance(output, Labels) and choice.of is None]
    if choice.type == "argmax":
        return {}
    if choice.at != "best":
        found: dict[str, Decision] = {output.target: Threshold(code=output.index(choice.of), at=choice.at) for output in having}
        return found | {output.target: Thresholds(at=(choice.at,) * len(output.classes)) for output in several}
    if valid is None or not len(valid):
        raise DataError(
            "the validation part",
            rule="there, to choose the best threshold on",
            given=Told("0 rows"),
            remedy="Give `split.validation` a share, or write the threshold as a number: `decide: {at: 0.5}`.",
        )
    said = answers(model, valid.arrays)
    best: dict[str, Decision] = {output.target: _best(output, choice, valid, said[output.array]) for output in having}
    return best | {output.target: _best_of_each(output, valid, said[output.array]) for output in several}


def _best_of_each(output: Labels, valid: Encoded, said: NDArray[Any]) -> Thresholds:
    """For each label the threshold with the best F1 on the validation part; 1/2 for one that no row there has."""
    judged = judge(output, valid, {output.array: said})
    truth_NK, p_NK, weights = judged.scored.truth, said[judged.at], judged.scored.weights
    found: list[float] = []
    for code in range(len(output.classes)):
        truth_N, p_N2 = (truth_NK[:, code] > 0).astype(np.int64), np.stack([1 - p_NK[:, code], p_NK[:, code]], 1)
        tried: list[tuple[float, float, float]] = []
        for at in _candidates(p_NK[:, code], truth_N > 0) if truth_N.any() else []:
            decided = (p_N2[:, 1] >= at).astype(np.int64)
            score = METRICS["f1"].score(Scored(truth=truth_N, decided=decided, weights=weights, classes=2))
            tried.append((-1.0 if np.isnan(score) else score, -abs(at - LIKELY), at))
        found.append(max(tried)[2] if tried else LIKELY)
    return Thresholds(at=tuple(found))


def _best(output: Probability, choice: Choice, valid: Encoded, said: NDArray[Any]) -> Threshold:
    metric, code = _metric(choice), output.index(choice.of)
    judged = judge(output, valid, {output.array: said})
    assert isinstance(judged.scored, Scored)
    truth, weights, p_NK = judged.scored.truth, judged.scored.weights, said[judged.at]
    of_class = (truth == code) if weights is None else (truth == code) & (weights > 0)
    if not of_class.any():
        raise DataError(
            f"the validation part of `{output.target}`",
            rule=f"with rows of the class {name_of(output.classes[code])}, to choose the best threshold on",
            given=Told(f"{len(truth)} labelled rows without one"),
            remedy="Give `split.validation` a larger share, or write the threshold as a number: `decide: {at: 0.5}`.",
        )
    found: list[tuple[float, float, float]] = []
    for at in _candidates(p_NK[:, code], of_class):
        decided = Threshold(code=code, at=at).decide(p_NK)
        score = metric.score(Scored(truth=truth, decided=decided, weights=weights, classes=len(output.classes)))
        if not np.isnan(score):
            found.append((score, -abs(at - 0.5), at))
    return Threshold(code=code, at=max(found)[2])


def _candidates(p_N: NDArray[Any], of_class: NDArray[np.bool_]) -> list[float]:
    """Halfway under each probability of a row of the class, and halfway from the highest of all to 1."""
    known = np.unique(p_N.astype(np.float64))
    under = np.append(0.0, known[:-1])
    halfway = ((under + known) / 2)[np.searchsorted(known, np.unique(p_N[of_class].astype(np.float64)))]
    if len(halfway) > CANDIDATES:
        halfway = halfway[np.unique(np.linspace(0, len(halfway) - 1, CANDIDATES).astype(np.int64))]
    return [*halfway.tolist(), float(known[-1] + 1) / 2]


def _has(output: Probability, label: str | None) -> bool:
    return label is None or label in [name_of(one) for one in output.classes]


def _metric(choice: Choice) -> Metric:
    """The metric that the threshold is best by: one that reads decisions, all of which are better when higher."""
    able = [metric.name for metric in METRICS.values() if metric.needs == "decided"]
    if choice.metric not in able:
        raise SpecError(
            "decide.metric",
            rule=f"one that a threshold changes ({', '.join(able)})",
            given=choice.metric,
            remedy=did_you_mean(choice.metric, able),
            where="decide.metric",
        )
    return METRICS[choice.metric]
