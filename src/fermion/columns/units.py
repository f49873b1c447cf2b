"""Units that stand behind numbers, by what they measure: weights, lengths, durations, amounts per month or year."""

from __future__ import annotations

from collections import Counter

_YEAR = 365.2425  # days, of the Gregorian calendar
_PERIODS = {
    1.0: ("year", "yr", "annum", "y"), 4.0: ("quarter",), 12.0: ("month", "mo", "mth"), _YEAR / 7: ("week", "wk"), _YEAR: ("day",),
}  # fmt: skip
_EACH = {"yearly": 1.0, "annually": 1.0, "annual": 1.0, "p.a.": 1.0, "pa": 1.0, "quarterly": 4.0, "monthly": 12.0, "weekly": _YEAR / 7}
UNITS: dict[str, dict[str, float]] = {
    "mass": {"mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1e3, "oz": 0.028349523125, "lb": 0.45359237, "lbs": 0.45359237},
    "length": {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, "in": 0.0254, "ft": 0.3048, "yd": 0.9144, "mi": 1609.344},
    "volume": {"ml": 1e-3, "cl": 1e-2, "dl": 0.1, "l": 1.0},
    "time": {"ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hours": 3600.0, "d": 86400.0, "days": 86400.0},
    "calendar": {
        **dict.fromkeys(("y", "yr", "yrs", "yr.", "yrs.", "year", "years"), 12.0),
        **dict.fromkeys(("quarter", "quarters"), 3.0),
        **dict.fromkeys(("m", "mo", "mos", "mo.", "mos.", "mth", "mths", "month", "months"), 1.0),
        **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 84 / _YEAR),
        **dict.fromkeys(("d", "day", "days"), 12 / _YEAR),
    },
    "per period": {
        **_EACH,
        **{
            f"{per}{one}": counts
            for counts, names in _PERIODS.items()
            for one in names
            for per in ("per ", "a ", "each ", "every ", "/", "/ ")
        },
    },
    "data": {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
}
# What a number may be of where its unit is not said.
USUAL = (
    "g", "kg", "mg", "t", "mm", "cm", "m", "km", "ml", "l", "s", "min", "h", "days", "months", "years", "yearly", "monthly", "weekly",
)  # fmt: skip


def family_of(units: Counter[str]) -> dict[str, float]:
    """The units of the one family that counts most, and what each counts of the most frequent of them.

    >>> family_of(Counter({"kg": 3, "g": 2, "m": 1}))
    {'kg': 1.0, 'g': 0.001}

    Args:
        units: how often each stands behind a number.
    """
    shares = {name: sum(times for unit, times in units.items() if unit.casefold() in family) for name, family in UNITS.items()}
    name = max(shares, key=lambda one: shares[one])
    mine = [unit for unit, _ in units.most_common() if unit.casefold() in UNITS[name]]
    one = UNITS[name][mine[0].casefold()] if mine else 1.0
    return {unit: float(f"{UNITS[name][unit.casefold()] / one:.15g}") for unit in mine}
