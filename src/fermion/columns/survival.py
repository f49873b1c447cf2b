"""How long until something happens, where for some rows it has not happened yet."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, structs
from numpy.typing import NDArray

from fermion.columns.classes import NUMBER, listed, unit_weights
from fermion.columns.column import Arrays, Batch, Values, is_missing, rejected
from fermion.columns.decision import Decision
from fermion.columns.target import Target
from fermion.core.errors import SpecError

POINTS = 10  # times at which survival is answered, where none are declared
LEAST = 1e-12


class Survival(Target, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="survival"):
    """How long until something happens, where for some rows it was not seen to happen.

    The column is the time until the event, or until the row was last seen without it (censored); `event` names the column that says which.
    The graph's array `array` holds the cumulative hazard H at each of `times`, (N, T) float32, rising: S(t) = exp(-H(t)).
    The answer is the mean time up to the last of `times` (the area under S), the risk (the mean of H over `times`: the higher, the
    sooner), and S at `times`.

    Args:
        event: the column that is true (or 1) where the event happened.
        method: `cox`, proportional hazards h(t) exp(f(x)) with Breslow's baseline, or `hazard`, one hazard per interval between `times`.
        times: rising, above 0; quantiles of the training part's event times when left out.

    >>> relapse = Survival(target="days", event="relapsed", times=(10.0, 20.0)).fit([(5.0, True), (30.0, False)])
    >>> relapse.decode({relapse.array: np.log([[1.0, 2.0]])}, None)
    {'prediction': [17.5], 'risk': [0.34657359027997264], 'survival': [{'10': 1.0, '20': 0.5}]}

    Cox 1972, "Regression models and life-tables"; Breslow 1974; Gensheimer and Narasimhan 2019, "A scalable discrete-time survival
    model for neural networks"; Ishwaran et al. 2008 for the risk.
    """

    event: Annotated[
        str, Meta(min_length=1, description="The column that says whether it happened (true, 1) or was not seen to (false, 0).")
    ]
    method: Annotated[
        Literal["cox", "hazard"], Meta(description="Proportional hazards, or one hazard for each interval between the times.")
    ] = "cox"
    times: Annotated[
        tuple[Annotated[float, Meta(gt=0.0)], ...],
        Meta(description="When survival is answered, rising; quantiles of the event times when left out."),
    ] = ()
    target: str = ""

    def __post_init__(self) -> None:
        if any(early >= late for early, late in zip(self.times, self.times[1:], strict=False)):
            raise SpecError("the times of a survival target", rule="rising", given=list(self.times))

    def fit(self, values: Values) -> Survival:
        """The times at which survival is answered: quantiles of the times of events.

        Args:
            values: pairs of time and event.

        Raises:
            ValueRejected: a time that is not above 0, or an event that is neither true nor false.
        """
        y_N2 = self.encode(values)
        seen_N = y_N2[y_N2[:, 1] > 0, 0]
        seen_N = seen_N if len(seen_N) else y_N2[~np.isnan(y_N2[:, 0]), 0]
        shares = np.arange(1, POINTS + 1) / (POINTS + 1)
        found = np.unique(np.quantile(seen_N, shares, method="inverted_cdf")) if len(seen_N) else np.ones(1)
        return structs.replace(self, array=self.array or f"hazards:{self.target}", times=self.times or tuple(found.tolist()))

    def encode(self, values: Values) -> NDArray[np.float64]:
        """Pairs of time and event -> (N, 2) float64, the event 1 or 0; NaN where either is missing.

        Raises:
            ValueRejected: a time that is not above 0, or an event that is neither true nor false.
        """
        rows: list[tuple[float, float]] = []
        for row, pair in enumerate(listed(values)):
            time, event = pair
            if is_missing(time) or is_missing(event):
                rows.append((np.nan, np.nan))
                continue
            if isinstance(time, bool) or not isinstance(time, int | float) or not 0 < time < np.inf:
                raise rejected(values, row, "a time above 0, beside whether the event happened")
            if event not in (0, 1):
                raise rejected(values, row, f"a time beside true or false (1 or 0), whether the event of `{self.event}` happened")
            rows.append((float(time), float(event)))
        return np.asarray(rows, np.float64).reshape(-1, 2)

    @property
    def task(self) -> Literal["survival"]:
        """Which metrics it has."""
        return "survival"

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that hold the truth."""
        return (self.target, self.event)

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of one row of the array: (T,)."""
        return (len(self.times),)

    @property
    def names(self) -> list[str]:
        """The times as keys of an answer."""
        return [f"{time:.10g}" for time in self.times]

    @property
    def answers(self) -> dict[str, Any]:
        """What an answer holds, as JSON Schemas by key."""
        found = {"type": "object", "properties": dict.fromkeys(self.names, NUMBER), "required": self.names, "additionalProperties": False}
        return {"prediction": NUMBER, "risk": NUMBER, "survival": found}

    def known(self, y_N2: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,) which encoded targets are there."""
        return ~np.isnan(y_N2[:, 0])

    def prior(self, y_N2: NDArray[Any], w_N: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """(T,) the cumulative hazard of all labelled rows together, -log of Kaplan and Meier's survival (1958)."""
        survival_T = kaplan_meier(y_N2[:, 0], y_N2[:, 1], np.asarray(self.times), unit_weights(w_N, len(y_N2)))
        return -np.log(np.maximum(survival_T, LEAST)) + 0.0

    def risk(self, h_NT: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) the mean cumulative hazard: who is at a higher risk meets the event sooner."""
        return h_NT.astype(np.float64).mean(1)

    def expected(self, h_NT: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) the mean time up to the last of `times`: the area under a survival of straight lines that starts at 1."""
        s_NT = np.exp(-h_NT.astype(np.float64))
        s_NT = np.concatenate([np.ones((len(s_NT), 1)), s_NT], 1)
        t_T = np.concatenate([[0.0], self.times])
        return ((s_NT[:, 1:] + s_NT[:, :-1]) / 2 * np.diff(t_T)).sum(1)

    def decode(self, arrays: Arrays, decision: Decision | None) -> Batch:
        """(N, T) cumulative hazards -> `prediction`, `risk` and `survival`, one object per row."""
        h_NT, names = arrays[self.array], self.names
        survival_NT = np.exp(-h_NT.astype(np.float64))
        return {
            "prediction": self.expected(h_NT).tolist(),
            "risk": self.risk(h_NT).tolist(),
            "survival": [dict(zip(names, row, strict=True)) for row in survival_NT.tolist()],
        }


def kaplan_meier(time_N: NDArray[Any], event_N: NDArray[Any], at_T: NDArray[Any], w_N: NDArray[Any]) -> NDArray[np.float64]:
    """(T,) S(t) = prod over event times t_i <= t of 1 - d_i / n_i, with d_i events among n_i rows still at risk (weights count).

    >>> kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1]), np.array([0.5, 1.0, 3.0]), np.ones(3)).round(3).tolist()
    [1.0, 0.667, 0.0]

    Kaplan and Meier 1958, "Nonparametric estimation from incomplete observations".
    """
    times_U, place_N = np.unique(time_N, return_inverse=True)
    died_U = np.bincount(place_N, w_N * (event_N > 0), len(times_U))
    risk_U = np.bincount(place_N, w_N, len(times_U))[::-1].cumsum()[::-1]
    factor_U = 1 - np.divide(died_U, risk_U, out=np.zeros(len(times_U)), where=risk_U > 0)
    survival_U = np.concatenate([[1.0], np.cumprod(np.maximum(factor_U, 0.0))])
    return survival_U[np.searchsorted(times_U, at_T, side="right")]
