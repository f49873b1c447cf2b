from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct, inspect

from fermion.core import sections
from fermion.core.sections import Data, Spec, Split, seconds
from fermion.core.spec import read
from fermion.core.words import description, plain


@pytest.mark.parametrize(
    ("duration", "expected"), [("250ms", 0.25), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604_800), ("1w", 604_800), (" 10 m ", 600)]
)
def test_a_duration_in_seconds(duration: str, expected: float) -> None:
    assert seconds(duration) == expected
    assert read({"name": "a", "data": {"source": "s", "target": "y"}, "budget": duration}).budget == duration


def structs() -> list[type[Struct]]:
    return [one for one in vars(sections).values() if isinstance(one, type) and issubclass(one, Struct) and one is not Struct]


@pytest.mark.parametrize("section", structs(), ids=lambda section: section.__name__)
def test_a_section_is_frozen_strict_and_described(section: type[Struct]) -> None:
    config: Any = section.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields
    assert section.__doc__
    known: Any = inspect.type_info(section)
    for field in known.fields:
        assert isinstance(plain(field.type), inspect.StructType) or description(field.type), f"{section.__name__}.{field.name} says nothing"


def test_three_fields_are_enough() -> None:
    spec = Spec(name="digits", data=Data(source="sample://digits", target="digit"))
    assert spec == read({"name": "digits", "data": {"source": "sample://digits", "target": "digit"}})
    assert spec.split == Split()
