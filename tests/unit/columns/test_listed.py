"""What is special about sets, vectors and places; what they promise like every column is in tests/contracts."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fermion.columns.geo import Geo
from fermion.columns.infer import guess
from fermion.columns.private import Redacted
from fermion.columns.sequence import Sequence
from fermion.columns.set import Set
from fermion.columns.text import Text
from fermion.columns.vector import Vector
from fermion.core.errors import SpecError
from fermion.data.table import Table

SENTENCES = [f"my card number {number} does not work any more, please help" for number in range(60)]


def test_unseen_and_missing_names_have_columns_of_their_own() -> None:
    tags = Set(most=2).fit([["a", "b"], ["a"], ["b", "a"], ["rare"]])
    assert tags.levels == ("a", "b")
    assert tags.encode([["a"], ["rare", "new"], [], None])[0].tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_names_that_are_whole_numbers_stay_so_beside_missing_ones() -> None:
    values = Table.of({"x": [[1, 2], [2], None]}).values("x")
    assert Set().fit(values).levels == (2, 1)


def test_texts_with_separators_are_lists() -> None:
    tags = Set(separator=";").fit(["red; round", "red", ""])
    assert tags.levels == ("red", "round")
    assert tags.plain("round;red;red") == ["red", "round"]


def test_sets_are_not_redacted() -> None:
    with pytest.raises(SpecError, match="the column of redacted texts must be one that reads texts"):
        Redacted(column=Set(separator=";"))


def test_places_across_the_meridian_are_near_on_the_sphere() -> None:
    east, west, far = np.stack(Geo().encode([[0.0, 179.9], [0.0, -179.9], [0.0, 0.0]]), axis=1)[:, 2:]
    assert np.linalg.norm(east - west) < 0.01 < 1.9 < np.linalg.norm(east - far)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([["a", "b"], [], None], Set),
        ([[1.0, 2.0], None, [3.0, 4.0]], Vector),
        (np.ones((4, 3), np.float32), Vector),
        ([[1.0, 2.0], [3.0]], Sequence),
        ([[46.9, 7.4], [47.4, 8.5]], Vector),  # two numbers are a place only where it is declared
        ([{"lat": 46.9, "lon": 7.4}, None], Geo),
        (SENTENCES, Text),
        ([f"今天天气很好我们去公园散步吧{number}号" for number in range(60)], Text),
    ],
)
def test_what_lists_places_and_sentences_are(values: list[object], kind: type) -> None:
    assert type(guess(values)) is kind


@pytest.mark.parametrize(
    "texts",
    [
        [f"Braund, Mr. Owen Harris {number}" for number in range(60)],
        [f"{number} Main Street, Springfield" for number in range(60)],
        [f"order {number}/{number + 7}" for number in range(60)],
        [f"f{number:032x}" for number in range(60)],
    ],
)
def test_names_addresses_and_codes_are_no_sentences(texts: list[str]) -> None:
    assert guess(texts) == "100% of its texts are distinct: they name rows instead of describing them"


def test_sentences_without_the_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert guess(SENTENCES) == "its texts are sentences, and reading them needs: pip install 'fermion[text]'"


def test_tables_hold_lists_and_places() -> None:
    table = Table.of(
        {"tags": [{"b", "a"}, None, []], "place": [{"lat": 1, "lon": 2.5}, None, {"lat": 3.5, "lon": 4}], "v": np.ones((3, 2))}
    )
    assert table.values("tags") == [["a", "b"], None, []]
    assert table.values("place") == [{"lat": 1.0, "lon": 2.5}, None, {"lat": 3.5, "lon": 4.0}]
    assert np.shape(table.values("v")) == (3, 2)
    assert len({table.fingerprint, table.with_column("tags", [["a"], None, []]).fingerprint}) == 2
