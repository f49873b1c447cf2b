"""A time series of any length: one number or several per step."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.column import Slot, Values, is_missing, rejected
from fermion.core.errors import Told, ValueRejected

LONGEST = 4_096  # steps, the most that are learned; more are declared
HUGE = float(np.finfo(np.float32).max)
Step = float | None | list[float | None]


class Steps(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A series whose steps have times, in JSON: T times (s, ascending) and T steps, each a number or a list of numbers."""

    times: list[float]
    values: list[Step]


class Sequence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="sequence"):
    """A time series as (N, T, C) float32, T the longest of the batch, with a mask (N, T) that is true where a step is real.

    A value is a list of steps, each a number (C = 1) or a list of C numbers, or an array (T,) or (T, C). None or NaN in place of a
    number, or of a whole step, is missing and stays NaN: what a model computes with there is learned in its own graph, as are
    offset and scale. Shorter rows are filled with NaN on the right, where the mask is false. A missing value and one without steps
    are one missing step, so no row is without a real one. A value without any number counts as missing.

    With `times: true` a value is {"times": [t_1 <= t_2 <= ...], "values": [...]}, and one more array holds t - t_last (or
    t - t_first), subtracted in float64 before float32 cannot tell seconds apart any more. Times that already count from something, such
    as the moment of the prediction, are taken as they are with `since: given`.

    `length` is the most steps that are kept, the last ones unless `keep` says otherwise; 0 learns it: that of the longest training
    row, at most 4,096.

    >>> pulse = Sequence().fit([[60.0, 62.0, None], [58.0]])
    >>> values, mask = pulse.encode([[60.0, 62.0, None], [58.0]])
    >>> values[:, :, 0].tolist(), mask.tolist()
    ([[60.0, 62.0, nan], [58.0, 0.0, 0.0]], [[True, True, True], [True, False, False]])
    """

    variables: Annotated[int, Meta(ge=0, le=65_536, description="Numbers per step; 0 to learn it.")] = 0
    length: Annotated[int, Meta(ge=0, description="Steps that are kept at the most; 0 to learn it.")] = 0
    keep: Annotated[Literal["last", "first"], Meta(description="Which steps of a longer series are kept.")] = "last"
    times: Annotated[bool, Meta(description="Whether steps have times: values are {times: [...], values: [...]}.")] = False
    since: Annotated[
        Literal["last", "first", "given"], Meta(description="The step that times count from; `given`: they are taken as they are.")
    ] = "last"

    @property
    def slots(self) -> tuple[Slot, ...]:
        values = Slot(name="values", dtype="float32", shape=(None, self.variables), padding=0.0, role="series")
        mask = Slot(name="mask", dtype="bool", shape=(None,), padding=0.0, role="mask")
        return (
            (values, mask, Slot(name="times", dtype="float32", shape=(None,), padding=0.0, role="times")) if self.times else (values, mask)
        )

    @property
    def request(self) -> Any:
        return Steps if self.times else list[Step]

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Sequence:
        variables, length = self.variables, 0
        if (block := _block(values, self.times)) is not None:
            variables, length = variables or block.shape[2], block.shape[1]
        else:
            for row, value in enumerate(values):
                if is_missing(value):
                    continue
                x_TC = self._read(value, values, row)[0]
                if not is_blank(x_TC):
                    variables = variables or x_TC.shape[1]
                    _refuse_other(x_TC, variables, values, row)
                length = max(length, len(x_TC))
        return Sequence(
            variables=variables or 1,
            length=self.length or max(1, min(length, LONGEST)),
            keep=self.keep,
            times=self.times,
            since=self.since,
        )

    def encode(self, values: Values) -> tuple[NDArray[Any], ...]:
        block = _block(values, self.times)
        if block is not None and block.shape[1] and block.shape[2] == self.variables:
            x_NTC = self._cut(block, axis=1)
            _refuse_infinite(x_NTC, values)
            return np.ascontiguousarray(x_NTC, dtype=np.float32), np.ones(x_NTC.shape[:2], dtype=np.bool_)
        read = [self._one(value, values, row) for row, value in enumerate(values)]
        longest = max((len(x_TC) for x_TC, _ in read), default=1)
        x_NTC = np.zeros((len(read), longest, self.variables), dtype=np.float32)
        mask_NT = np.zeros((len(read), longest), dtype=np.bool_)
        times_NT = np.zeros((len(read), longest), dtype=np.float32)
        for row, (x_TC, t_T) in enumerate(read):
            x_NTC[row, : len(x_TC)] = x_TC
            mask_NT[row, : len(x_TC)] = True
            times_NT[row, : len(t_T)] = t_T
        return (x_NTC, mask_NT, times_NT) if self.times else (x_NTC, mask_NT)

    def blank(self, values: Values) -> NDArray[np.bool_]:
        """(N,) whether a series has no step with a number."""
        return np.fromiter((_holds_nothing(value) for value in values), np.bool_, len(values))

    def plain(self, value: object) -> object:
        if is_missing(value):
            return None
        x_TC, t_T = self._one(value, [value], 0)
        exact: list[list[float]] = x_TC.astype(np.float32).tolist()
        listed = [[None if x != x else x for x in step] for step in exact]
        steps: list[Any] = [step[0] for step in listed] if self.variables == 1 else listed
        return {"times": t_T.astype(np.float32).tolist(), "values": steps} if self.times else steps

    def _one(self, value: Any, values: Values, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """One value -> its kept steps (T, C) with T >= 1, and (T,) when they were, or nothing where steps have no times."""
        x_TC, t_T = (np.empty((0, 0)), np.empty(0)) if is_missing(value) else self._read(value, values, row)
        if not len(x_TC):
            return np.full((1, self.variables), np.nan), np.zeros(1 if self.times else 0)
        if is_blank(x_TC):
            x_TC = np.full((len(x_TC), self.variables), np.nan)
        _refuse_other(x_TC, self.variables, values, row)
        x_TC, t_T = self._cut(x_TC), self._cut(t_T)
        if len(t_T):
            if self.since != "given":
                t_T = t_T - t_T[0 if self.since == "first" else -1]
            if np.abs(t_T).max() > HUGE:
                raise rejected(values, row, "a series whose times lie less than 3.4e38 apart")
        return x_TC, t_T

    def _read(self, value: Any, values: Values, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A value that is not missing -> all its steps (T, C) and (T,) when they were, or nothing where steps have no times."""
        if not self.times:
            return read_steps(value, values, row), np.empty(0)
        if isinstance(value, Steps):
            value = {"times": value.times, "values": value.values}
        if not isinstance(value, dict) or set(value) != {"times", "values"}:  # pyright: ignore[reportUnknownArgumentType]
            raise rejected(values, row, 'an object {"times": [...], "values": [...]}')
        x_TC, t_TC = read_steps(value["values"], values, row), read_steps(value["times"], values, row)  # pyright: ignore[reportUnknownArgumentType]
        if t_TC.shape != (len(x_TC), 1) and t_TC.size + len(x_TC):
            raise rejected(values, row, f"a series with one time for each of its {len(x_TC)} steps")
        t_T = t_TC.reshape(-1)
        if np.isnan(t_T).any() or (np.diff(t_T) < 0).any():
            raise rejected(values, row, "a series whose times are numbers that never fall")
        return x_TC, t_T

    def _cut(self, steps: NDArray[Any], axis: int = 0) -> NDArray[Any]:
        if not self.length or steps.shape[axis] <= self.length:
            return steps
        kept = slice(-self.length, None) if self.keep == "last" else slice(self.length)
        return steps[kept] if axis == 0 else steps[:, kept]


def _block(values: Values, times: bool) -> NDArray[Any] | None:
    """Series of one length in one array -> (N, T, C) as it is, else None."""
    if times or not isinstance(values, np.ndarray) or values.ndim not in (2, 3) or values.dtype.kind not in "iuf":
        return None
    return values if values.ndim == 3 else values[..., None]


RULE = "a list of steps, each a finite number, null, or a list of them"


def read_steps(value: Any, values: Values, row: int) -> NDArray[np.float64]:
    """A list of steps or an array -> (T, C) float64, NaN where missing.

    Raises:
        ValueRejected: it is neither, or holds what is no number, with its row among `values`.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        array: NDArray[Any] = value
    elif isinstance(value, list | tuple | np.ndarray):
        array = _listed(value, values, row)  # pyright: ignore[reportUnknownArgumentType]
    else:
        raise rejected(values, row, RULE)
    if array.ndim not in (1, 2) or (len(array) and not array.size):
        raise rejected(values, row, RULE)
    x_TC = array.astype(np.float64) if array.ndim == 2 else array.astype(np.float64)[:, None]
    if np.fmax.reduce(np.abs(x_TC), axis=None, initial=0.0) > HUGE:
        raise rejected(values, row, f"{RULE}, between -3.4e38 and 3.4e38")
    return x_TC


def _listed(value: Iterable[Any], values: Values, row: int) -> NDArray[np.float64]:
    """A list of numbers, of lists of numbers, or of either with gaps."""
    steps = list(value)
    deep = any(issubclass(kind, list | tuple | np.ndarray) for kind in set(map(type, steps)))
    nested = [step for step in steps if isinstance(step, list | tuple | np.ndarray)] if deep else []
    flat: Iterable[Any] = itertools.chain.from_iterable(nested) if nested else steps  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    kinds = set(map(type, flat))
    if bool in kinds or not all(kind is type(None) or issubclass(kind, _NUMBERS) for kind in kinds):
        raise rejected(values, row, RULE)
    if nested:
        widths = {len(step) for step in nested}  # pyright: ignore[reportUnknownArgumentType]
        if len(widths) > 1:
            raise rejected(values, row, "a series with equally many numbers in every step")
        gap = [None] * widths.pop()
        steps = [gap if is_missing(step) else step for step in steps]
    try:
        return np.array(steps, dtype=np.float64) if steps else np.empty((0, 1))
    except (TypeError, ValueError, OverflowError):  # a number beside a list, or one beyond 1.8e308
        raise rejected(values, row, RULE) from None


_NUMBERS = (int, float, np.integer, np.floating)


def _holds_nothing(value: Any) -> bool:
    if isinstance(value, Steps | dict):
        value = value.values if isinstance(value, Steps) else value.get("values")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return bool(np.isnan(value).all())
    if isinstance(value, list | tuple | np.ndarray):
        return all(map(_holds_nothing, value))  # pyright: ignore[reportUnknownArgumentType]
    return is_missing(value)


def is_blank(x_TC: NDArray[np.float64]) -> bool:
    """Whether there are no steps, or only missing ones that do not say how many numbers a step has."""
    return not x_TC.size or (x_TC.shape[1] == 1 and bool(np.isnan(x_TC).all()))


def _refuse_other(x_TC: NDArray[Any], variables: int, values: Values, row: int) -> None:
    if x_TC.shape[1] != variables:
        rule = f"a series with {variables} number{'' if variables == 1 else 's'} per step"
        raise ValueRejected("value", rule=rule, given=Told(f"{x_TC.shape[1]} per step"), where=f"row {row}")


def _refuse_infinite(x_NTC: NDArray[Any], values: Values) -> None:
    if x_NTC.dtype.kind == "f":
        wrong_N = (np.abs(x_NTC) > HUGE).any(axis=(1, 2))
        if wrong_N.any():
            raise rejected(values, int(wrong_N.argmax()), f"{RULE}, between -3.4e38 and 3.4e38")
