"""Every error that a user can meet, in one tree.

FermionError
├── SpecError            the project file is wrong                          exit 2
├── UsageError           a command or a call is wrong                       exit 2
├── MissingExtra         an optional package is not installed               exit 2
├── DataError            the data are wrong                                 exit 2, HTTP 422
│   └── ValueRejected    one value does not fit its column                  exit 2, HTTP 422
├── BundleError          an artefact is broken, altered or too new          exit 1
├── StoreError           something could not be stored or found             exit 1
│   └── TagMoved         a tag was not where the caller last saw it         exit 1
├── NotReached           the work was done, a requirement was missed        exit 1
├── Stopped              the user stopped it before there was a model       exit 130
└── RequestRejected      an HTTP request cannot be taken                    `status` says why
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import Any


class FermionError(Exception):
    """`subject` must be `rule`, got `given`; do `remedy`. `where` is a file:line:column, a row or a URL path.

    A `where` that ends in what the subject names is said once: `fermion.yaml: data.source` and `data.source`.

    >>> raise FermionError("lr", rule="positive", given=-1.0, remedy="Leave it out for the default.", where="fermion.yaml:3:7")
    Traceback (most recent call last):
    fermion.core.errors.FermionError: fermion.yaml:3:7: lr must be positive, got -1.0. Leave it out for the default.
    """

    code = "error"
    exit_status = 1

    def __init__(self, subject: str, *, rule: str, given: object, remedy: str = "", where: str = "") -> None:
        self.subject, self.rule, self.given, self.remedy, self.where = subject, rule, shortened(given), remedy, where
        around, _, place = where.rpartition(": ")
        before = around if re.match(rf"`?{re.escape(place)}(?![\w-])", subject) else where
        super().__init__(f"{before + ': ' if before else ''}{self.message}{' ' + remedy if remedy else ''}")

    @property
    def message(self) -> str:
        """Subject, rule and value in one sentence, without the place and the remedy."""
        return f"{self.subject} must be {self.rule}, got {self.given}."

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own pickling calls the constructor with the message alone, which the keyword-only fields refuse;
        # without this an error could not leave a worker process.
        return BaseException.__new__, (type(self), *self.args), self.__dict__

    def document(self) -> dict[str, str]:
        """The same error for a program: what `--json` and the service send."""
        return {"code": self.code, "message": self.message, "where": self.where, "remedy": self.remedy}


class SpecError(FermionError):
    """The project file, or an argument that changes it, is wrong."""

    code, exit_status = "spec", 2


class UsageError(FermionError):
    """A command or a call is wrong."""

    code, exit_status = "usage", 2


class MissingExtra(FermionError):
    """An optional package is not installed; the remedy is the command that installs it."""

    code, exit_status = "missing-extra", 2


class DataError(FermionError):
    """The data are wrong, or not what the model was trained for."""

    code, exit_status = "data", 2


class ValueRejected(DataError):
    """One value does not fit its column; `where` is its row."""

    code = "value"


class BundleError(FermionError):
    """An artefact is broken, altered or too new."""

    code = "bundle"


class StoreError(FermionError):
    """Something could not be stored or found."""

    code = "store"


class TagMoved(StoreError):
    """A tag was not where the caller last saw it: someone else moved it."""

    code = "tag-moved"


class NotReached(FermionError):
    """The work was done, and a requirement was missed."""

    code = "not-reached"


class Stopped(FermionError):
    """The user stopped it before there was anything to keep."""

    code, exit_status = "stopped", 130


class RequestRejected(FermionError):
    """A request that is answered with `status` (4xx, 503) instead of a prediction."""

    code = "request"

    def __init__(self, subject: str, *, rule: str, given: object, remedy: str = "", where: str = "", status: int = 400) -> None:
        super().__init__(subject, rule=rule, given=given, remedy=remedy, where=where)
        self.status = status


class Told(str):
    """A `given` that is a description, not a value: shown as it is, without quotation marks.

    >>> str(FermionError("the table", rule="not empty", given=Told("0 rows")))
    'the table must be not empty, got 0 rows.'
    """


def shortened(given: object) -> str:
    """A value as one short line, whatever its size."""
    if isinstance(given, Told):
        return str(given)
    try:
        text = _SHORT.repr(given)
    except Exception as broken:  # a foreign object whose repr raises must not hide the error that is being told
        return f"<{type(given).__name__} whose repr raised {type(broken).__name__}>"
    return " ".join(text.split())[:160]


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong = 40


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'Did you mean `target`?' for the nearest known word, or ''.

    >>> did_you_mean("traget", ["target", "source"])
    'Did you mean `target`?'
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else ""
