from __future__ import annotations

import copy
import pickle

import pytest

from fermion.core import errors
from fermion.core.errors import FermionError, RequestRejected, SpecError, Told, did_you_mean, shortened


def _tree(kind: type[FermionError]) -> list[type[FermionError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child) if child.__module__ == errors.__name__)]


EVERY = _tree(FermionError)
EXIT = {"SpecError": 2, "UsageError": 2, "MissingExtra": 2, "DataError": 2, "ValueRejected": 2, "Stopped": 130}


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_survives_pickling_and_copying(kind: type[FermionError]) -> None:
    error = kind("lr", rule="positive", given=-1.0, remedy="Leave it out.", where="fermion.yaml:3:7")
    error.add_note("seen in worker 3")
    for again in (copy.copy(error), *(pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))):
        assert type(again) is kind
        assert str(again) == str(error) == "fermion.yaml:3:7: lr must be positive, got -1.0. Leave it out."
        assert again.document() == error.document()
        assert vars(again) == vars(error)
        assert again.args == error.args


def test_a_subclass_keeps_its_own_fields() -> None:
    error = RequestRejected("the body", rule="at most 5 bytes", given=Told("9 bytes"), status=413)
    again = pickle.loads(pickle.dumps(error))
    assert (again.status, again.given, str(again)) == (413, "9 bytes", "the body must be at most 5 bytes, got 9 bytes.")


@pytest.mark.parametrize("kind", EVERY)
def test_exit_codes_are_those_of_the_tree(kind: type[FermionError]) -> None:
    assert kind.exit_status == EXIT.get(kind.__name__, 1)


def test_codes_tell_the_errors_apart_and_the_picture_shows_them_all() -> None:
    assert len({kind.code for kind in EVERY}) == len(EVERY)
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in EVERY)


def test_a_document_for_programs() -> None:
    error = SpecError("model.lr", rule="a number", given="fast", where="fermion.yaml:3:7")
    assert error.document() == {
        "code": "spec",
        "message": "model.lr must be a number, got 'fast'.",
        "where": "fermion.yaml:3:7",
        "remedy": "",
    }
    assert str(error) == "fermion.yaml:3:7: model.lr must be a number, got 'fast'."


@pytest.mark.parametrize(
    ("where", "subject", "told"),
    [
        ("decide.of", "decide.of", "decide.of must be"),
        ("$.rows[0].age", "`$.rows[0].age`", "`$.rows[0].age` must be"),
        ("fermion.yaml: data.source", "data.source.query", "fermion.yaml: data.source.query must be"),
        ("fermion.yaml: data.joins", "data.source", "fermion.yaml: data.joins: data.source must be"),
        ("row 3", "`row`", "row 3: `row` must be"),
        ("data", "database", "data: database must be"),
    ],
)
def test_a_place_that_is_the_subject_is_said_once(where: str, subject: str, told: str) -> None:
    error = SpecError(subject, rule="right", given=1, where=where)
    assert str(error) == f"{told} right, got 1."
    assert error.document()["where"] == where


def test_values_are_one_short_line() -> None:
    assert shortened("x" * 10_000).startswith("'xxx")
    assert all(len(shortened(value)) <= 160 for value in ("x" * 10_000, list(range(10_000)), 10**4000, {"k" * 999: ["v" * 999] * 99}))
    assert shortened("two\nlines") == "'two\\nlines'"
    assert "\n" not in shortened(_Lines())


class _Lines:
    def __repr__(self) -> str:
        return "one\n  two"


class _Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_value_whose_repr_raises_does_not_hide_the_error() -> None:
    """The standard library's reprlib has an answer of its own for most of them."""
    error = FermionError("x", rule="y", given=_Broken())
    assert "_Broken" in error.given


def test_told_is_shown_as_it_is() -> None:
    assert shortened(Told("0 rows")) == "0 rows"
    assert shortened("0 rows") == "'0 rows'"


def test_the_nearest_word_or_none() -> None:
    assert did_you_mean("traget", ["target", "source"]) == "Did you mean `target`?"
    assert did_you_mean("zzz", iter(["target", "source"])) == ""
    assert did_you_mean("x", []) == ""
