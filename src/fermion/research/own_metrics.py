"""Metrics of a project's own: functions that the project file names as `module:name`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.bundle.manifest import Score
from fermion.columns.output import Output
from fermion.core import imported
from fermion.core.errors import SpecError, Told, did_you_mean
from fermion.measure.metrics import METRICS
from fermion.research.scoring import Judged, finite, guessed, prefix_of

WHERE = "evaluate.metrics"
Direction = Literal["max", "min"]


class Own(Struct, frozen=True, kw_only=True):
    """A function of what is scored, its name in reports and in `require`, and whether more of it is better."""

    at: str
    name: str
    direction: Direction
    function: Callable[[Any], Any]

    def score(self, scored: Any) -> float:
        """What it says of these rows; NaN where it says None.

        Raises:
            SpecError: it raises, or gives something else than a number.
        """
        said = imported.call(self.function, scored, name=self.at, where=WHERE)
        if said is None:
            return float("nan")
        if isinstance(said, np.generic | np.ndarray) and np.ndim(said) == 0:
            said = said.item()
        if isinstance(said, bool) or not isinstance(said, Real):
            remedy = "Return one float for all rows: the mean, say."
            raise SpecError(
                f"what the metric `{self.name}` returns", rule="a number", given=Told(type(said).__name__), remedy=remedy, where=WHERE
            )
        return float(said)


def load(names: Sequence[str], folder: Path | None) -> tuple[Own, ...]:
    """The functions of `evaluate.metrics`.

    Raises:
        SpecError: one is not `module:name`, cannot be imported, is no function, has no `direction`, or has the name of another metric.
    """
    found: list[Own] = []
    for at in names:
        if ":" not in at:
            near = "" if at in METRICS else did_you_mean(at, METRICS)
            remedy = f"{near} The package's own metrics are measured without being named.".lstrip()
            raise SpecError(WHERE, rule="metrics of your own, as `module:name`", given=at, remedy=remedy, where=WHERE)
        function, name = imported.load(at, folder, where=WHERE), name_of(at)
        if not callable(function):
            remedy = "Name a function that takes what is scored and returns a number."
            raise SpecError(f"the metric `{at}`", rule="a function", given=Told(type(function).__name__), remedy=remedy, where=WHERE)
        direction = getattr(function, "direction", None)
        if direction not in ("max", "min"):
            remedy = f'Write below it: {name}.direction = "min", or "max" where more is better.'
            given = Told("none" if direction is None else repr(direction))
            raise SpecError(f"`direction` of the metric `{at}`", rule='"max" or "min"', given=given, remedy=remedy, where=WHERE)
        if name in METRICS or name in [one.name for one in found]:
            raise SpecError(
                f"the name of the metric `{at}`", rule="its own", given=name, remedy=f"Rename it, to my_{name} say.", where=WHERE
            )
        found.append(Own(at=at, name=name, direction=direction, function=function))
    return tuple(found)


def name_of(at: str) -> str:
    """What a metric is called in reports.

    >>> name_of("my_module:Costs.mean")
    'mean'
    """
    return at.rpartition(":")[2].rpartition(".")[2]


def names_of(metrics: Sequence[str], outputs: Sequence[Output]) -> list[str]:
    """The names that an evaluation of these outputs gives them."""
    return [prefix_of(output, outputs) + name_of(at) for output in outputs for at in metrics]


def direction_of(name: str, own: Mapping[str, str]) -> str:
    """Whether more ("max") or less ("min") of a metric is better, by its name in a report.

    >>> direction_of("price.rmse", {}), direction_of("cost", {"cost": "min"})
    ('min', 'min')
    """
    bare = name.rpartition(".")[2]
    return own[bare] if bare in own else METRICS[bare].direction


def scores(
    metrics: Sequence[Own], judged: Judged, guess: Sequence[Any], *, draws: int, seed: int, groups: NDArray[np.int64] | None = None
) -> dict[str, Score]:
    """Each metric with its 95 % percentile bootstrap interval and the baseline's score. A draw repeats rows, or groups of rows.

    A function may leave `scored.weights` aside: the draws do not need them.
    """
    found: dict[str, Score] = {}
    rows = len(judged.scored)
    units, unit_N = (np.arange(rows), np.arange(rows)) if groups is None else np.unique(groups, return_inverse=True)
    for metric in metrics:
        value, base = metric.score(judged.scored) if rows else float("nan"), float("nan")
        if rows:
            base = metric.score(guessed(judged, guess))
        ends = (float("nan"), float("nan"))
        if len(units) > 1 and draws:
            rng = np.random.default_rng(seed)
            order = np.argsort(unit_N, kind="stable")
            starts = np.searchsorted(unit_N[order], np.arange(len(units) + 1))
            drawn: list[float] = []
            for _ in range(draws):
                chosen = rng.integers(len(units), size=len(units))
                at = chosen if groups is None else np.concatenate([order[starts[unit] : starts[unit + 1]] for unit in chosen])
                drawn.append(metric.score(judged.scored.take(at)))
            known = np.array(drawn)[~np.isnan(drawn)]
            if len(known):
                low, high = np.quantile(known, [0.025, 0.975])
                ends = (float(low), float(high))
        found[metric.name] = Score(value=finite(value), low=finite(ends[0]), high=finite(ends[1]), baseline=finite(base))
    return found
