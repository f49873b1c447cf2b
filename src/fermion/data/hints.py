"""Words in the names and levels of a column that place it after the outcome, or make it what a model said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# How a thing ended, and what was done then.
AFTER = frozenset(
    re.findall(
        r"\w+",
        """after afterwards ceased charged chargeback churned closed closing closure collected collection collections completed concluded
        conclusion convicted cured dead death deaths deceased decided decision defaulted delinquent died discharge discharged dispute
        disputed ended ending eventual eventually exit exited expired final finally followup fulfilled litigation outcome outcomes
        paidoff postmortem recovered recoveries recovery refund refunded rejected remission repaid resolution resolved result results
        settled settlement survived terminated termination verdict writeoff""",
    )
)
# How long until the end: durations are often counted to the very event that is to be predicted.
UNTIL = frozenset({"duration", "elapsed", "lifetime", "remaining", "time", "until"})
# What a model, a score or an expert said about the outcome.
SAID = frozenset(
    re.findall(
        r"\w+",
        """estimate estimated expectancy forecast forecasted likelihood logit odds pred predicted prediction predictions prob proba
        probability prog prognosis prognostic propensity surv survival""",
    )
)
# What numbers things, and names of things that have several rows each.
KEYS = frozenset({"guid", "id", "ids", "idx", "index", "key", "no", "nr", "row", "rowid", "rownum", "serial", "sno", "uuid"})
ENTITIES = frozenset(
    re.findall(
        r"\w+",
        """account applicant borrower card client company customer device driver employee host household machine member merchant patient
        person player policy school seller sensor session shop site speaker station store student subject supplier terminal track user
        vehicle visitor writer""",
    )
)


def words(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case.

    >>> words("daysUntilClosed"), words("surv2m"), words("< 2 mo. follow-up"), words("CUSTOMER_ID")
    (('days', 'until', 'closed'), ('surv', 'm'), ('mo', 'followup'), ('customer', 'id'))
    """
    joined = re.sub(r"(?i)\b(follow|pay|paid|write|charge)[ _-](up|off|back)\b", r"\1\2", name)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", joined)
    return tuple(word.lower() for word in re.findall(r"[^\W\d_]+", spaced))


def of_name(name: str, target: str) -> str:
    """Why a name is suspicious: the word and what it says, or ''.

    >>> of_name("date_closed", "fraud"), of_name("surv2m", "died"), of_name("amount", "fraud")
    ('`closed` in its name is about what came after', '`surv` in its name is about what was predicted', '')
    """
    there, sought = words(name), words(target)
    if any(there[start : start + len(sought)] == sought for start in range(len(there))) and sought:
        return f"its name holds that of the target `{target}`"
    for known, what in ((AFTER, "what came after"), (SAID, "what was predicted"), (UNTIL, "how long something took")):
        for word in there:
            if word in known:
                return f"`{word}` in its name is about {what}"
    return ""


def of_levels(levels: Iterable[str]) -> tuple[str, str]:
    """The first level with a word about what came after, and why; or two empty texts.

    >>> of_levels(["none", "dnr after sadm"])
    ('dnr after sadm', '`after` in a value is about what came after')
    """
    for level in levels:
        for word in words(level):
            if word in AFTER:
                return level, f"`{word}` in a value is about what came after"
    return "", ""


def names_entity(name: str) -> bool:
    """Whether a name is that of a key or of things that have rows: `customer_id`, `card`.

    >>> names_entity("CustomerID"), names_entity("patient"), names_entity("amount"), names_entity("customer_age")
    (True, True, False, False)
    """
    there = words(name)
    return bool(there) and (there[-1] in KEYS or there[-1] in ENTITIES or bool(re.search(r"[a-z](ID|Id)$", name)))


def names_key(name: str) -> bool:
    """Whether a name is that of a running number or a key."""
    there: Sequence[str] = words(name)
    return bool(there) and (there[-1] in KEYS or bool(re.search(r"[a-z](ID|Id)$", name)))
