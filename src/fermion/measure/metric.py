"""The idea of a metric: a score with a direction and a range, over many draws of the rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from msgspec import Struct

from fermion.core.errors import Told, UsageError
from fermion.measure.answered import Answered
from fermion.measure.scored import Floats, Scored
from fermion.measure.tally import Basis, Tally

Task = Literal["binary", "multiclass", "regression", "ordinal", "multilabel", "quantiles", "count", "survival", "forecast", "tagging"]
Needs = Literal["decided", "probabilities", "values", "labels", "quantiles", "survival", "tags"]


class Metric(Struct, frozen=True, kw_only=True):
    """A score with a direction and a range.

    `needs` says what it reads: of a `Scored` "decided" class codes, "probabilities", or "values" of a regression; else the kind of an
    `Answered`.
    `of` computes it for B sets of weights at once; `score` is the one everyone calls.
    """

    name: str
    title: str
    direction: Literal["max", "min"]
    low: float
    high: float
    needs: Needs
    of: Callable[[Tally], Floats]

    def score(self, scored: Scored | Answered) -> float:
        """The metric over all rows with their weights; NaN where it is undefined.

        >>> from fermion.measure.metrics import METRICS
        >>> METRICS["accuracy"].score(Scored(truth=[0, 1, 1], decided=[0, 1, 0], weights=[1, 1, 2], classes=2))
        0.5

        Raises:
            UsageError: `scored` lacks what this metric needs.
        """
        self.check(scored)
        if len(scored) == 0:
            return float("nan")
        w_1N = (np.ones(len(scored)) if scored.weights is None else scored.weights)[None]
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.of(Tally(Basis(scored), w_1N))[0])

    def check(self, scored: Scored | Answered) -> None:
        """Whether this metric means something for what is scored.

        Raises:
            UsageError: it does not.
        """
        have = scored.kind
        if have != self.needs and (have, self.needs) != ("probabilities", "decided"):
            rule = {"values": "used for a regression", "decided": "used for a classification", "probabilities": "given probabilities"}
            raise UsageError(f"the metric `{self.name}`", rule=rule.get(self.needs, f"used for {self.needs}"), given=Told(f"only {have}"))


INFINITE = float("inf")
