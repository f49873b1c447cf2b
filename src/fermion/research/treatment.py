"""How models take single columns: what may be declared about which kind of column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from fermion.columns.schema import Schema
from fermion.core.declared import Declared
from fermion.core.errors import SpecError, Told, ValueRejected, did_you_mean
from fermion.research.scaling import Scale


class Treatment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model takes one column. In this order: the indicator looks for gaps, gaps are filled, what is then there is scaled or encoded.

    Args:
        impute: what stands where a value is missing: a statistic of the training part, or a value in the column's own unit. For a
            category only `most`.
        indicator: a number beside it that is 1 where the value was missing, if any was in training.
        scale: how numbers are scaled; learned from values that are not missing. Gaps that nothing fills stay gaps.
        encode: `target`, a category as the mean of the target.
    """

    impute: Literal["median", "mean", "most", "zero"] | float | None = None
    indicator: bool = False
    scale: Scale | None = None
    encode: Literal["target"] | None = None


def plan_of(schema: Schema, declared: Mapping[str, Declared]) -> dict[str, Treatment] | None:
    """What is declared about how models take columns, by name; None where nothing is.

    >>> from fermion.columns.number import Number
    >>> schema = Schema.of({"age": Number()}).fit({"age": [20.0, None]})
    >>> plan_of(schema, {"age": Declared(impute="median")})
    {'age': Treatment(impute='median', indicator=False, scale=None, encode=None)}

    Raises:
        SpecError: a column that is no input, or a treatment that its kind cannot have.
    """
    plan = {
        name: Treatment(impute=said.impute, indicator=said.indicator, scale=said.scale, encode=said.encode)
        for name, said in declared.items()
        if said.impute is not None or said.indicator or said.scale is not None or said.encode is not None
    }
    for name, treatment in plan.items():
        check(schema, name, treatment)
    return plan or None


def check(schema: Schema, name: str, treatment: Treatment) -> None:
    """Make sure that a column of a fitted schema can have a treatment.

    Raises:
        SpecError: it is no input, or its kind cannot be treated so.
    """
    layout, where = schema.layout, f"data.columns.{name}"
    numbers = [ref for ref in layout.numbers if ref.field == name]
    codes = [ref for ref in layout.codes if ref.field == name]
    known = dict.fromkeys(one.field for one in (*layout.numbers, *layout.codes, *layout.arrays))
    if name not in known:
        rule = f"an input of the model ({', '.join(list(known)[:12])})"
        remedy = did_you_mean(name, known) or "Leave the treatment out, or make the column an input."
        raise SpecError("a column with impute, indicator, scale or encode", rule=rule, given=name, remedy=remedy, where=where)
    if not numbers and not codes:
        raise SpecError(f"`{name}`", rule="numbers or a category to be imputed, scaled or encoded", given=Told("neither"), where=where)
    if treatment.scale is not None and not numbers:
        remedy = "A category has no size: leave `scale` out, or write `encode: target`."
        raise SpecError(f"the scale of `{name}`", rule="left out of a category", given=treatment.scale, remedy=remedy, where=where)
    if treatment.encode is not None and not codes:
        remedy = f"Declare it as one, `{name}: {{type: category, encode: target}}`, or leave `encode` out."
        raise SpecError(f"`{name}`", rule="a category for `encode: target`", given=Told("numbers"), remedy=remedy, where=where)
    if treatment.impute not in (None, "most") and not numbers:
        remedy = "Write `impute: most` for the most frequent level, or leave it out: missing is a level of its own."
        raise SpecError(f"what is imputed in `{name}`", rule="`most` in a category", given=treatment.impute, remedy=remedy, where=where)
    if numbers and treatment.impute is not None and treatment.impute not in ("median", "mean", "most"):
        encoded(schema, name, treatment.impute)


def encoded(schema: Schema, name: str, impute: float | str) -> dict[str, float]:
    """By slot, what the encoder makes of a number that is to stand for missing ones.

    Raises:
        SpecError: the column cannot have this value.
    """
    value = 0.0 if impute == "zero" else float(impute)
    column = {one.name: one.column for one in (*schema.fields, *schema.derived)}[name]
    for raw in (value, bool(value)) if value in (0.0, 1.0) else (value,):
        try:
            return {slot.name: float(array[0]) for slot, array in zip(column.slots, column.encode([raw]), strict=True)}
        except ValueRejected:
            continue
    raise SpecError(
        f"what is imputed in `{name}`",
        rule="a value that the column can have",
        given=impute,
        remedy="Write `impute: median`, `mean` or `most`.",
        where=f"data.columns.{name}",
    )
