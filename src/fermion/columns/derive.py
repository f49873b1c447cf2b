"""Numbers made of two numbers of the same row: ratios and differences, computed in training and in serving by the same lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Column
from fermion.columns.number import Number
from fermion.columns.repair import inside
from fermion.core.declared import Feature
from fermion.core.errors import SpecError, Told, did_you_mean

Floats = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float32).max)


class Derived(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """a / b or a - b of two number columns of the row, computed in float64 from the values as they came (mended, not shifted).

    Missing, or `fill`, where a or b is missing, where b is 0 and where the result is beyond float32: a request is never refused for
    what was made of it. `column` is fitted on the training part, as that of any number.

    >>> Derived(name="a / b", kind="ratio", of=("a", "b")).values(np.array([1.0, 1.0]), np.array([4.0, 0.0])).tolist()
    [0.25, nan]
    """

    name: str
    kind: Literal["ratio", "difference"]
    of: tuple[str, str]
    fill: float | None = None
    column: Number = Number()

    def values(self, a_N: Floats, b_N: Floats) -> Floats:
        """(N,) float64, NaN where missing, from the values of both columns, NaN where missing."""
        with np.errstate(all="ignore"):
            made_N = a_N / b_N if self.kind == "ratio" else a_N - b_N
            made_N[~(np.abs(made_N - self.column.offset) <= _LARGEST)] = np.nan if self.fill is None else self.fill
        return made_N

    def encode(self, a_N: Floats, b_N: Floats) -> NDArray[np.float32]:
        """(N,) float32 as models see it."""
        return (self.values(a_N, b_N) - self.column.offset).astype(np.float32)


class Together:
    """Several derived numbers at once, for a few rows: one call of each kind instead of one per number.

    Args:
        derived: fitted.
        names: the columns of the (N, F) array that `encode` takes.
    """

    def __init__(self, derived: Sequence[Derived], names: Sequence[str]) -> None:
        self._a, self._b = (np.array([names.index(one.of[side]) for one in derived]) for side in (0, 1))
        self._ratios = np.array([one.kind == "ratio" for one in derived])
        self._offsets = np.array([one.column.offset for one in derived])
        self._fills = np.array([np.nan if one.fill is None else one.fill for one in derived]) - self._offsets

    def encode(self, x_NF: Floats) -> NDArray[np.float32]:
        """(N, F) float64 as the values came -> (N, D) float32, equal to `Derived.encode` one by one."""
        a_ND, b_ND = x_NF.take(self._a, axis=1), x_NF.take(self._b, axis=1)
        with np.errstate(all="ignore"):
            made_ND = a_ND - b_ND
            np.divide(a_ND, b_ND, out=made_ND, where=self._ratios)
            made_ND -= self._offsets
            fine_ND = np.abs(made_ND) <= _LARGEST
            return (made_ND if fine_ND.all() else np.where(fine_ND, made_ND, self._fills)).astype(np.float32)


def derived_of(features: Iterable[Feature]) -> tuple[Derived, ...]:
    """Those of the declared features that are about one row; aggregates over the past are made before.

    >>> [one.name for one in derived_of([Feature(ratio=("paid", "billed")), Feature(take="count", by="card")])]
    ['paid / billed']

    Raises:
        SpecError: a feature that is two things at once, or none.
    """
    made: list[Derived] = []
    for feature in features:
        kinds = [kind for kind in ("ratio", "difference", "take") if getattr(feature, kind) is not None]
        if len(kinds) != 1:
            raise SpecError("a feature", rule="one of take, ratio and difference", given=Told(" and ".join(kinds) or "none of them"))
        if kinds[0] == "take":
            continue
        pair = feature.ratio or feature.difference or ("", "")
        sign = "/" if feature.ratio else "-"
        about = [name for name in ("of", "by", "window", "delay") if getattr(feature, name) is not None]
        if about:
            raise SpecError(f"the {kinds[0]} of {' and '.join(pair)}", rule="without settings of `take`", given=Told(", ".join(about)))
        name = feature.name or f"{pair[0]} {sign} {pair[1]}"
        made.append(Derived(name=name, kind="ratio" if feature.ratio else "difference", of=pair, fill=feature.fill))
    return tuple(made)


def check_derived(derived: Iterable[Derived], columns: dict[str, Column]) -> None:
    """Make sure that every derived number has a name of its own and two number columns to be made of.

    Raises:
        SpecError: otherwise.
    """
    taken = set(columns)
    for one in derived:
        if one.name in taken:
            raise SpecError("the name of a feature", rule="that of no other column", given=one.name, remedy="Give it a `name`.")
        taken.add(one.name)
        for source in one.of:
            if source not in columns:
                rule = f"among the inputs ({', '.join(list(columns)[:12])})"
                raise SpecError(f"a column of the feature `{one.name}`", rule=rule, given=source, remedy=did_you_mean(source, columns))
            column = inside(columns[source])
            if not isinstance(column, Number):
                kind = type(column).__name__.lower()
                remedy = f"Declare it under data.columns: `{source}: number`, with a `repair` where it holds texts."
                raise SpecError(
                    f"a column of the feature `{one.name}`", rule="a number", given=Told(f"`{source}`, a {kind}"), remedy=remedy
                )
