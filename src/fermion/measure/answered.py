"""What is scored where truth and answer are more than a class or a number per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from msgspec import Struct, field
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from fermion.core.errors import DataError, Told

Kind = Literal["labels", "quantiles", "survival", "tags"]


class Answered(Struct, frozen=True, kw_only=True, eq=False):
    """N rows of truth beside what was said about them.

    Args:
        kind: "labels": truth (N, K) 0 or 1, said (N, K) probabilities, decided (N, K); "quantiles": truth (N,), said (N, Q),
            or of a horizon truth (N, H + P) with the history behind it, said (N, H, Q);
            "survival": truth (N, 2) time and event, said (N, T) cumulative hazards;
            "tags": counts, truth (N, 2) of labelled steps and spans, said (N, 3) of right steps, spans and right spans.
        about: (M,) by name, what the metrics need to know of the output: `levels` of quantiles, `times` of a survival.
        each: (N,) how bad each answer is, for slices and the worst rows; None where single rows cannot be judged.
        weights: (N,) not negative, or None for 1 each. A row of weight 0 counts as not there.

    Raises:
        DataError: lengths differ, or a number is not finite.
    """

    kind: Kind
    truth: NDArray[Any]
    said: NDArray[Any]
    decided: NDArray[Any] | None = None
    each: NDArray[np.float64] | None = None
    weights: NDArray[Any] | None = None
    about: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])

    def __post_init__(self) -> None:
        force_setattr(self, "truth", np.asarray(self.truth, np.float64))
        force_setattr(self, "said", np.asarray(self.said, np.float64))
        for name in ("said", "decided", "each", "weights"):
            array = getattr(self, name)
            if array is not None and len(array) != len(self.truth):
                raise DataError(f"`{name}`", rule=f"as long as the truth ({len(self.truth)} rows)", given=Told(f"{len(array)} rows"))
        if not np.isfinite(self.said).all():
            row = int(np.argwhere(~np.isfinite(self.said))[0][0])
            raise DataError("`said`", rule="finite", given=self.said[row].tolist(), where=f"row {row}")

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[Any]) -> Answered:
        """Only these rows, by index or mask."""
        decided, each, weights = (None if one is None else one[rows] for one in (self.decided, self.each, self.weights))
        return Answered(
            kind=self.kind, truth=self.truth[rows], said=self.said[rows], decided=decided, each=each, weights=weights, about=self.about
        )
