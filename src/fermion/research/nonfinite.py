"""What to say when a loss is no number any more: at which batch, which value of which column is extreme there, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import FermionError, Told
from fermion.research.model import Encoded
from fermion.research.optim import Steps

FAR = 1_000.0  # deviations from the median that no net is made for
FAULTS = "log(0), a division by zero, a root of 0 or of less, or exp of a large number"  # what makes a number none
SOME = 20_000  # rows that say what is usual


class Extreme(Struct, frozen=True, kw_only=True):
    """The most extreme value of a batch: of which column, which row of the training part, and how far from the usual."""

    column: str
    row: int
    value: float
    deviations: float
    private: bool = False
    target: bool = False

    @property
    def told(self) -> str:
        """In words, without the value where it is private."""
        value = "a private value" if self.private else f"{self.value:g}"
        far = "" if not np.isfinite(self.deviations) else f", {self.deviations:,.0f} deviations from the median"
        return f"{'the target ' if self.target else ''}`{self.column}` is {value} in training row {self.row}{far}"


def diverged(rows: Encoded, batch: NDArray[np.int64], *, step: int, stage: str, optim: Steps, own: Sequence[str] = ()) -> FermionError:
    """The error for a loss that is not finite.

    Args:
        rows: the training part.
        batch: the numbers of the rows of the first batch whose loss was not finite; empty where it is not known.
        own: the losses of the project's own that had a part in it, as `module:name`.
    """
    found = extreme(rows, batch) if len(batch) else None
    given, else_do = f"NaN or infinity at step {step:,} of `{stage}`", f"lower model.lr (now {optim.lr:g})"
    if step == 1:  # the loss is of the weights before the step
        else_do = f"look into the net, none of whose weights had moved yet, for {FAULTS}"
    elif not optim.clip:
        else_do += ", set training.clip to 1"
    if found is not None:
        given = f"{given}, in whose batch {found.told}"
        column = found.column.partition("[")[0].partition(".")[0]
        remedy = f"Mend such values or set their rows aside (data.clean.outliers, columns: [{column}])"
        if "." not in found.column and not found.target:
            remedy += f", or give `{column}` a scale (data.columns: {column}: scale: quantile)"
        remedy = f"{remedy}. If they are right: {else_do}."
    elif step == 1 and (gaps := _gaps(rows, batch)):
        given = f"{given}, in whose batch {gaps}"
        remedy = "A net that cannot read missing values needs them filled: give such columns `impute: median` (data.columns)."
        remedy += f" If that is not it: {else_do}."
    else:
        remedy = f"{else_do[0].upper()}{else_do[1:]}, or look for extreme values in the data with `fermion check`."
    if own:  # what everybody uses has been tried; this has not
        named = " and ".join(f"`{one}`" for one in own)
        check = f"Check your loss {named} for {FAULTS}: clamp what goes in."
        remedy = f"{remedy} {check}" if found is not None else f"{check} If it is right: {remedy[0].lower()}{remedy[1:]}"
    return FermionError("the training loss", rule="finite", given=Told(given), remedy=remedy)


def extreme(rows: Encoded, batch: NDArray[np.int64]) -> Extreme | None:
    """The value of the batch that is infinite, or farther than 1,000 deviations from what is usual in the training part; None without one.

    Deviations are those of a normal distribution with the same quartiles, which no extreme value moves.
    """
    worst: Extreme | None = None
    usual = slice(None, None, max(1, len(rows) // SOME))
    for column, private, target, whole_N in _values(rows):
        known = whole_N[usual]
        known = known[np.isfinite(known)].astype(np.float64)
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else (0.0, 0.0, 0.0)
        spread = (high - low) / 1.349 or float(np.abs(known - middle).mean() if len(known) else 0.0) or 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            value_B = whole_N[batch].astype(np.float64)
            far_B = np.abs(value_B - middle) / spread
        far_B = np.where(np.isnan(value_B), 0.0, far_B)
        # of several steps of a row the farthest counts
        far_B = far_B.reshape(len(batch), -1)
        place = int(np.argmax(far_B.max(axis=1)))
        step = int(np.argmax(far_B[place]))
        far = float(far_B[place, step])
        if far > FAR and (worst is None or far > worst.deviations):
            value = float(value_B.reshape(len(batch), -1)[place, step])
            worst = Extreme(column=column, row=int(batch[place]), value=value, deviations=far, private=private, target=target)
    return worst


def _values(rows: Encoded) -> list[tuple[str, bool, bool, NDArray[Any]]]:
    """(name, private, target, (N, ...) numbers) of everything that is measured: fused numbers, arrays of floats by channel, targets."""
    layout, private = rows.schema.layout, rows.schema.private
    made: list[tuple[str, bool, bool, NDArray[Any]]] = []
    fields = {named.name: named.field for named in layout.arrays}
    for name, array in rows.arrays.items():
        if array.dtype.kind != "f":
            continue
        if name == "numbers" and array.shape[1:] == (len(layout.numbers),):
            made += [(ref.field, ref.field in private, False, array[:, at]) for at, ref in enumerate(layout.numbers)]
            continue
        hidden = fields[name] in private if name in fields else bool(private)  # what was made of several columns may show any
        channels = array.shape[-1] if array.ndim == 3 or (array.ndim == 2 and name not in fields) else 0
        parts = [(f"{name}[{at}]", array[..., at]) for at in range(channels)] if channels else [(name, array)]
        made += [(label, hidden, False, part) for label, part in parts]
    made += [(name, False, True, array) for name, array in rows.targets.items() if array.dtype.kind == "f"]
    return made


def _gaps(rows: Encoded, batch: NDArray[np.int64]) -> str:
    """Which columns are missing in rows of the batch, in words."""
    found = [
        f"`{name}` is missing in {missing} of {len(batch)} rows"
        for name, _, target, whole_N in _values(rows)
        if not target and (missing := int(np.isnan(whole_N[batch]).reshape(len(batch), -1).any(axis=1).sum()))
    ]
    return " and ".join(found[:3])
