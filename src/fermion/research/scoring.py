"""From a model's arrays to what a metric reads: answers in batches, unlabelled rows left out, decisions taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.bundle.manifest import Score
from fermion.columns.column import Arrays
from fermion.columns.output import Decision, Horizon, Output
from fermion.core.errors import DataError, Told
from fermion.measure.answered import Answered
from fermion.measure.intervals import intervals
from fermion.measure.metrics import Metric, Task, for_task
from fermion.measure.scored import Scored
from fermion.research.forecasters import instead, seasonal_naive, smoothing
from fermion.research.judging import scored_of
from fermion.research.model import Encoded


class Answering(Protocol):
    """What is evaluated: a Runtime or a Fitted."""

    def run(self, arrays: Arrays) -> Arrays:
        """Encoded arrays of N rows -> one array per output, by `output.array`."""
        ...


class Judged(Struct, frozen=True, kw_only=True):
    """What a model said about one output, beside the truth: (n,) positions `at` of the labelled rows, their
    `scored` and encoded truth `y`."""

    output: Output
    at: NDArray[np.int64]
    scored: Scored | Answered
    y: NDArray[Any]

    @property
    def task(self) -> Task:
        return kind_of(self.output)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the task, the primary one first."""
        return for_task(self.task)


def answers(model: Answering, arrays: Arrays, *, batch: int = 1024) -> Arrays:
    """Encoded arrays of N rows -> output arrays, `batch` rows at a time so that they fit the memory.

    Raises:
        DataError: there are no rows.
    """
    rows = len(next(iter(arrays.values())))
    made = [model.run({name: array[at : at + batch] for name, array in arrays.items()}) for at in range(0, rows, batch)]
    if not made:
        raise DataError("a part of the split", rule="not empty", given=Told("0 rows"), remedy="Give it a larger share under `split`.")
    return {name: np.concatenate([one[name] for one in made]) for name in made[0]}


def judge(output: Output, encoded: Encoded, said: Arrays, decision: Decision | None = None) -> Judged:
    """The labelled rows of `encoded` with what was said about them; values in the target's own unit.

    Raises:
        DataError: an answer is not finite.
    """
    y, made = encoded.targets[output.target], said[output.array]
    at = np.flatnonzero(output.known(y))
    weights = None if encoded.weights is None else encoded.weights[at]
    return Judged(output=output, at=at, scored=scored_of(output, y[at], made[at], weights, decision), y=y[at])


def guessed(judged: Judged, guess: Sequence[Any]) -> Scored | Answered:
    """The same rows answered by someone who has seen the training labels only: what the output's `prior` says, for every row.

    Of a horizon with a history it is what stood there one season before.
    """
    output, weights = judged.output, judged.scored.weights
    tail = output.tail if -1 not in output.tail else (judged.y.shape[1], *output.tail[1:])
    prior = np.asarray(guess, np.float64).reshape([1 if size == -1 else size for size in output.tail])
    made = np.broadcast_to(prior, (len(judged.at), *tail))
    if isinstance(output, Horizon) and output.past > output.season:
        made = instead(seasonal_naive, judged.y[:, output.steps :], output.steps, output.season, output.levels, made)
    return scored_of(output, judged.y, made, weights, None)


def smoothed(judged: Judged, guess: Sequence[Any]) -> dict[str, Score]:
    """The metrics of exponential smoothing of each row's own history, as `ets.METRIC`: what a horizon with a history is compared with."""
    output, weights = judged.output, judged.scored.weights
    if not isinstance(output, Horizon) or output.past <= output.season:
        return {}
    base = guessed(judged, guess)
    assert isinstance(base, Answered)
    naive = (base.said - output.offset) / output.scale
    made = instead(smoothing, judged.y[:, output.steps :], output.steps, output.season, output.levels, naive)
    found = scored_of(output, judged.y, made, weights, None)
    return {
        f"ets.{metric.name}": Score(value=finite(metric.score(found)), baseline=finite(metric.score(base))) for metric in judged.metrics
    }


def scores(judged: Judged, guess: Sequence[Any], *, draws: int, seed: int, groups: NDArray[np.int64] | None = None) -> dict[str, Score]:
    """Every metric of the task with its interval and the baseline's score; `groups` (n,) are the units that are drawn."""
    found = intervals(judged.metrics, judged.scored, draws=draws, seed=seed, groups=groups)
    base = intervals(judged.metrics, guessed(judged, guess), draws=0, seed=seed)
    return {
        name: Score(value=finite(one.value), low=finite(one.low), high=finite(one.high), baseline=finite(base[name].value))
        for name, one in found.items()
    }


def kind_of(output: Output) -> Task:
    """The task of one output.

    >>> from fermion.columns.output import Probability
    >>> kind_of(Probability(target="y", classes=(False, True)))
    'binary'
    """
    return output.task


def task_of(outputs: Sequence[Output]) -> str:
    """The task of the one output, or several."""
    return kind_of(outputs[0]) if len(outputs) == 1 else "several"


def prefix_of(output: Output, outputs: Sequence[Output]) -> str:
    """What stands before a metric's name: nothing, or `target.` where there are several."""
    return f"{output.target}." if len(outputs) > 1 else ""


def names_of(outputs: Sequence[Output]) -> list[str]:
    """The names of all metrics that an evaluation of these outputs gives.

    >>> from fermion.columns.output import Value
    >>> names_of([Value(target="price")])
    ['rmse', 'mae', 'r2']
    """
    return [prefix_of(output, outputs) + metric.name for output in outputs for metric in for_task(kind_of(output))]


def finite(x: float) -> float | None:
    """None for what is undefined, as JSON has no other word for it."""
    return float(x) if np.isfinite(x) else None
