from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.columns.category import Category
from fermion.columns.derive import Derived, Together, derived_of
from fermion.columns.infer import infer
from fermion.columns.number import Number
from fermion.columns.repair import Repaired
from fermion.columns.request import Requests
from fermion.columns.schema import Field, Ref, Schema
from fermion.core.declared import Declared, Feature, Repair
from fermion.core.errors import SpecError

FEATURES = (Feature(ratio=("a", "b")), Feature(difference=("t", "s"), name="waited"), Feature(ratio=("b", "a"), fill=-1.0))
BATCH: dict[str, Any] = {
    "a": [1.0, None, 3.0, 0.0],
    "city": ["x", "y", "x", "y"],
    "b": ["2", "1,000", "0", "4"],
    "s": [1.7e9, 1.7e9 + 1, 1.7e9 + 2, 1.7e9 + 3],
    "t": [1.7e9 + 5, 1.7e9 + 5, 1.7e9 + 5, 1.7e9 + 5],
}


@pytest.fixture(scope="module")
def schema() -> Schema:
    return infer(BATCH, {"b": Declared(repair=Repair(thousands=","))}, features=FEATURES).schema.fit(BATCH)


def test_derived_numbers_stand_after_the_plain_ones(schema: Schema) -> None:
    assert schema.names == ("a", "city", "b", "s", "t")
    assert schema.layout.numbers[4:] == (
        Ref(field="a / b", slot="value"),
        Ref(field="waited", slot="value"),
        Ref(field="b / a", slot="value"),
    )
    x_NF = schema.encode(BATCH)["numbers"]
    waited = schema.derived[1].column.offset + x_NF[:, 5]
    np.testing.assert_array_equal(x_NF[:, 4], np.array([0.5, np.nan, np.nan, 0.0], np.float32))
    np.testing.assert_array_equal(waited, [5, 4, 3, 2])  # float32 alone knows Unix times to 128 s
    np.testing.assert_array_equal(x_NF[:, 6], np.array([2.0, -1.0, 0.0, -1.0], np.float32))


def test_requests_hold_the_inputs_only(schema: Schema) -> None:
    rows = Requests(schema).decode(b'{"rows": [{"a": 1, "city": "x", "b": "1,000", "s": 1.7e9, "t": 1.7e9}]}')
    assert schema.encoder().rows(rows)["numbers"][0, 4] == np.float32(0.001)


def test_the_fast_way_of_plain_numbers_is_the_same() -> None:
    batch = {"a": [1e9 + 1, 1e9 + 3, 1e9], "b": [1e9, 1e9, 1e9]}
    schema = infer(batch, {}, features=(Feature(difference=("a", "b")), Feature(ratio=("a", "b")))).schema.fit(batch)
    rows = list(zip(*batch.values(), strict=True))
    np.testing.assert_array_equal(schema.encoder().rows(rows)["numbers"], schema.encode(batch)["numbers"])
    np.testing.assert_array_equal(
        schema.encode({name: np.array(x) for name, x in batch.items()})["numbers"], schema.encode(batch)["numbers"]
    )
    lone = schema.encoder().rows([(5.0, 0.0)])["numbers"]
    np.testing.assert_array_equal(lone, schema.encode({"a": [5.0], "b": [0.0]})["numbers"])
    assert np.isnan(lone[0, 3])


def test_together_is_one_by_one() -> None:
    derived = tuple(msgspec.structs.replace(one, of=("a", "b")) for one in derived_of(FEATURES))
    derived = (*derived, Derived(name="shifted", kind="ratio", of=("b", "a"), fill=2.0, column=Number(offset=0.25)))
    x_NF = np.array([[a, b] for a in (0.0, 1.0, -3.0, 1e300, np.nan) for b in (0.0, 2.0, 1e-300, np.nan)])
    column = {"a": x_NF[:, 0], "b": x_NF[:, 1]}
    expected = np.stack([one.encode(column[one.of[0]], column[one.of[1]]) for one in derived], axis=1)
    np.testing.assert_array_equal(Together(derived, ["a", "b"]).encode(x_NF), expected)


def test_what_overflows_is_missing() -> None:
    one = Derived(name="r", kind="ratio", of=("a", "b"))
    assert np.isnan(one.encode(np.array([1e300, 1e30]), np.array([1e-300, 1e-30]))).all()


def test_it_moves_with_its_sources(schema: Schema) -> None:
    x_NF = schema.encode(BATCH)["numbers"]
    shuffled = x_NF.copy()
    shuffled[:, 0] = x_NF[::-1, 0]
    schema.derive(shuffled, of="a")
    expected = schema.encode({**BATCH, "a": BATCH["a"][::-1]})["numbers"]
    np.testing.assert_allclose(shuffled, expected, rtol=1e-6)


def test_it_survives_json_and_old_manifests_read(schema: Schema) -> None:
    assert msgspec.json.decode(msgspec.json.encode(schema), type=Schema) == schema
    old = b'{"fields": [{"name": "a", "column": {"type": "number", "offset": 0.0}, "missing": false}]}'
    assert msgspec.json.decode(old, type=Schema).derived == ()
    assert msgspec.json.encode(Schema.of({"a": Number()})) == b'{"fields":[{"name":"a","column":{"type":"number","offset":0.0}}]}'


@pytest.mark.parametrize(
    ("feature", "says"),
    [
        (Feature(ratio=("a", "nowhere")), "a column of the feature `a / nowhere` must be among the inputs"),
        (Feature(ratio=("a", "city")), "a column of the feature `a / city` must be a number, got `city`, a category"),
        (Feature(ratio=("a", "b"), name="city"), "the name of a feature must be that of no other column"),
        (Feature(ratio=("a", "b"), difference=("a", "b")), "a feature must be one of take, ratio and difference"),
        (Feature(ratio=("a", "b"), by="city"), "the ratio of a and b must be without settings of `take`, got by"),
        (Feature(), "a feature must be one of take, ratio and difference, got none of them"),
    ],
)
def test_features_that_cannot_be(feature: Feature, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        infer({"a": [1.0], "b": [1.0], "city": ["x"]}, {}, features=[feature])


def test_aggregates_over_the_past_are_made_before() -> None:
    assert derived_of([Feature(take="count", by="card")]) == ()


def test_a_repaired_number_is_a_number() -> None:
    fields = (Field(name="a", column=Repaired(column=Number())), Field(name="b", column=Number()), Field(name="c", column=Category()))
    Schema(fields=fields, derived=derived_of([Feature(ratio=("a", "b"))]))
