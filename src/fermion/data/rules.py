"""Labelling functions: what someone knows about the labels, as rules over columns or as Python, and the votes that they cast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.columns.output import Label, name_of
from fermion.core.errors import DataError, Told, UsageError, did_you_mean
from fermion.data.table import Table, unknown_column

if TYPE_CHECKING:
    import polars as pl

ABSTAIN = -1
_SIGNS = ("<=", ">=", "==", "!=", "<", ">")


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of which something holds have this label; of the others, and of missing values, the rule says nothing.

    Exactly one of `contains`, `matches` and `compares` is given.

    Args:
        label: what is voted for.
        column: the column that is looked at.
        contains: a text, found anywhere in the value, capitals aside.
        matches: a regular expression that is found anywhere in the value.
        compares: a sign and a number, or a text for == and !=: "> 100", "== paid".
        name: how reports call it; made from the rest when left out.

    >>> Rule(label="spam", column="text", contains="free money").name
    'text contains free money'
    """

    label: Label
    column: str
    contains: Annotated[str, Meta(min_length=1)] | None = None
    matches: Annotated[str, Meta(min_length=1)] | None = None
    compares: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        said = [word for word in ("contains", "matches", "compares") if getattr(self, word) is not None]
        if len(said) != 1:
            given = Told(", ".join(said) or "none")
            raise UsageError(f"a rule about `{self.column}`", rule="one of contains, matches and compares", given=given)
        if not self.name:
            msgspec.structs.force_setattr(self, "name", f"{self.column} {said[0]} {getattr(self, said[0])}")
        if self.compares is not None:
            _comparison(self.compares)


Function = Rule | Callable[[dict[str, object]], Label | None]


class Votes(Struct, frozen=True, kw_only=True, eq=False):
    """(N, F) `votes`: positions in `classes`, -1 where a function abstains; `names` of the F functions."""

    votes: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[Label, ...]


def cast_votes(table: Table, functions: Sequence[Function | str], classes: Sequence[Label]) -> Votes:
    """What every labelling function says about every row.

    A function takes one row as a dict of plain values and returns a label, or None to abstain; it is given as a callable or as
    "module:name". Rules are carried out by Polars.

    >>> table = Table.of({"text": ["free money", "see you", None], "links": [9, 0, 1]})
    >>> rules = [Rule(label="spam", column="text", contains="FREE"), Rule(label="ham", column="links", compares="< 1")]
    >>> cast_votes(table, rules, ["ham", "spam"]).votes.tolist()
    [[1, -1], [-1, 0], [-1, -1]]

    Raises:
        UsageError: no function, one that cannot be imported, or two of one name.
        DataError: a column that is not there or does not fit, a label that is no class, or a function that raised, with its row.
    """
    order = {name_of(label): code for code, label in enumerate(classes)}
    ready = [_found(function) for function in functions]
    names = [function.name if isinstance(function, Rule) else _called(function) for function in ready]
    if not ready:
        raise UsageError("labelling functions", rule="at least one", given=Told("none"))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError("labelling functions", rule="named differently", given=twice)
    votes_NF = np.full((len(table), len(ready)), ABSTAIN, dtype=np.int64)
    rows: list[dict[str, object]] | None = None
    for place, function in enumerate(ready):
        if isinstance(function, Rule):
            votes_NF[_holds(table, function), place] = _code(function.label, order, names[place])
            continue
        rows = rows if rows is not None else [table.row(number) for number in range(len(table))]
        votes_NF[:, place] = [_asked(function, row, number, order, names[place]) for number, row in enumerate(rows)]
    return Votes(votes=votes_NF, names=tuple(names), classes=tuple(classes))


def _holds(table: Table, rule: Rule) -> NDArray[np.bool_]:
    import polars as pl

    if rule.column not in table.names:
        raise unknown_column(rule.column, table.names, subject=f"the column of the rule `{rule.name}`")
    series = table.series(rule.column)
    if rule.compares is None:
        if not isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
            raise DataError(f"the column of the rule `{rule.name}`", rule="text", given=Told(f"values of type {series.dtype}"))
        text = series.cast(pl.String)
        try:
            found = (
                text.str.to_lowercase().str.contains(rule.contains.lower(), literal=True)
                if rule.contains is not None
                else text.str.contains(rule.matches or "")
            )
        except pl.exceptions.PolarsError as bad:
            raise UsageError(f"the rule `{rule.name}`", rule="a regular expression", given=Told(str(bad).splitlines()[0])) from None
        return found.fill_null(False).to_numpy()
    sign, value = _comparison(rule.compares)
    numeric = series.dtype.is_numeric()
    if numeric != isinstance(value, float) or (not numeric and sign not in ("==", "!=")):
        given = Told(f"`{rule.compares}` for values of type {series.dtype}")
        raise DataError(f"the rule `{rule.name}`", rule="a comparison of numbers, or == and != of texts", given=given)
    return _compared(series if numeric else series.cast(pl.String), sign, value).fill_null(False).to_numpy()


def _compared(series: pl.Series, sign: str, value: Any) -> pl.Series:
    import polars as pl

    column = pl.col(series.name)
    if series.dtype.is_float():
        column = column.fill_nan(None)
    ways: Mapping[str, Callable[[Any], Any]] = {
        "<": column.__lt__, "<=": column.__le__, ">": column.__gt__, ">=": column.__ge__, "==": column.__eq__, "!=": column.__ne__
    }  # fmt: skip
    return series.to_frame().select(ways[sign](value))[series.name]


def _comparison(text: str) -> tuple[str, float | str]:
    """A sign and what it compares with: a number where it reads as one, else a text."""
    sign = next((sign for sign in _SIGNS if text.strip().startswith(sign)), None)
    if sign is None:
        raise UsageError("`compares`", rule=f"a sign ({', '.join(_SIGNS)}) and a value", given=text)
    value = text.strip().removeprefix(sign).strip()
    try:
        return sign, float(value)
    except ValueError:
        return sign, value


def _found(function: Function | str) -> Function:
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    try:
        found = getattr(importlib.import_module(module), name) if name else None
    except (ImportError, AttributeError) as missing:
        raise UsageError(
            "a labelling function", rule="one that can be imported", given=function, remedy=f"Python says: {missing}."
        ) from None
    if not callable(found):
        raise UsageError("a labelling function", rule="a path such as `package.module:name` to a function", given=function)
    return cast(Function, found)


def _called(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _asked(
    function: Callable[[dict[str, object]], Label | None], row: dict[str, object], number: int, order: dict[str, int], name: str
) -> int:
    try:
        label = function(row)
    except Exception as raised:  # anyone's code: whatever it raises is told with its row
        given = Told(f"{type(raised).__name__}: {raised}")
        raise DataError(
            f"the labelling function `{name}`", rule="able to look at every row", given=given, where=f"row {number}"
        ) from raised
    return ABSTAIN if label is None else _code(label, order, name, f"row {number}")


def _code(label: Label, order: dict[str, int], name: str, where: str = "") -> int:
    code = order.get(name_of(label))
    if code is None:
        rule = f"a class ({', '.join(list(order)[:10])})"
        raise DataError(f"the label of `{name}`", rule=rule, given=label, remedy=did_you_mean(name_of(label), order), where=where)
    return code
