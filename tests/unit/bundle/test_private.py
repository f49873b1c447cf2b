"""No raw value of a private column is in what a bundle shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.bundle.bundle import Bundle
from fermion.bundle.golden import MOST, Golden
from fermion.bundle.manifest import Manifest, Provenance
from fermion.bundle.profile import Profile, sketched
from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Onnx
from fermion.bundle.verify import verify
from fermion.columns.infer import infer
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.core.declared import Declared, Expectation, Feature, Repair
from fermion.core.errors import BundleError
from fermion.measure.sketches import CategorySketch, NumberSketch, distance
from fermion.testing.handmade import bundles, linear

SALT = "FERMION_TEST_SALT"
ROWS = 200


@pytest.fixture(autouse=True)
def salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT, "of at least sixteen letters")


@pytest.fixture
def table() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "income": (rng.integers(2_000_000, 9_000_000, ROWS) / 100).tolist(),
        "salary": [f"{x:,.2f}" for x in rng.uniform(1e4, 1e5, ROWS)],
        "born": [f"19{rng.integers(10, 99)}-0{rng.integers(1, 10)}-{rng.integers(10, 29)}" for _ in range(ROWS)],
        "name": [f"person {rng.integers(1, 90)}" for _ in range(ROWS)],
        "note": [f"call +41 44 6{rng.integers(10, 99)} 18 {rng.integers(10, 99)}" for _ in range(ROWS)],
        "sex": [("f", "m")[rng.integers(2)] for _ in range(ROWS)],
        "size": rng.normal(0, 1, ROWS).tolist(),
    }


DECLARED = {
    "income": Declared(private="keep"),
    "salary": Declared(private="keep", repair=Repair(thousands=",")),
    "born": Declared(private="keep"),
    "name": Declared(private="hash"),
    "note": Declared(private="redact"),
    "sex": Declared(private="keep"),
}


@pytest.fixture
def bundle(table: dict[str, Any], tmp_path: Path) -> Bundle:
    features = [Feature(ratio=("income", "salary"))]
    schema = infer(table, DECLARED, features=features, salt=SALT).schema.fit(table)
    output = Probability(target="kind").fit(["a", "b"])
    step = Onnx(graph="model", inputs={name: name for name in schema.layout.names}, outputs={output.array: output.array})
    graphs = {"model": linear(schema, (output,))}
    runtime = Runtime(schema=schema, steps=(step,), graphs=graphs, outputs=(output,))
    manifest = Manifest(
        name="secret", task="binary", schema=schema, steps=(step,), outputs=(output,), files={}, provenance=Provenance(fermion="0")
    )
    golden = Golden.of(runtime, {name: values[:MOST] for name, values in table.items()})
    profile = Profile.of(schema, table, (output,), runtime.arrays(table))
    return bundles.write(tmp_path / "bundle", manifest, graphs=graphs, golden=golden, profile=msgspec.json.encode(profile))


def numbers_and_texts(value: Any) -> set[Any]:
    """Everything that stands in a JSON document."""
    if isinstance(value, dict):
        return {*value, *(one for inner in value.values() for one in numbers_and_texts(inner))}
    if isinstance(value, list):
        return {one for inner in value for one in numbers_and_texts(inner)}
    return {value}


def test_no_raw_value_is_in_profile_golden_rows_or_manifest(bundle: Bundle, table: dict[str, Any]) -> None:
    for file in ("profile.json", "golden.json", "manifest.json"):
        data = bundle.manifest_bytes() if file == "manifest.json" else bundle.read(file)
        there = numbers_and_texts(msgspec.json.decode(data))
        for name in set(DECLARED) - {"sex"}:
            raw = set(table[name])
            assert not raw & there, (file, name)
            if name == "salary":
                assert not {float(text.replace(",", "")) for text in raw} & there
        assert not re.search(rb"person \d|\+41 44", data)
    assert {"f", "m"} == set(msgspec.json.decode(bundle.read("golden.json"))["columns"]["sex"])


def test_the_bundle_verifies_with_the_salt_and_says_so_without(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(check.ok for check in verify(tmp_path / "bundle"))
    monkeypatch.delenv(SALT)
    failed = [check for check in verify(tmp_path / "bundle") if not check.ok]
    assert failed
    assert all("`FERMION_TEST_SALT` must be set to the salt of private columns" in check.detail for check in failed)
    assert bundle.manifest.schema.private == frozenset(DECLARED)


def test_golden_rows_are_the_same_for_the_same_seed(bundle: Bundle, table: dict[str, Any]) -> None:
    some = {name: values[:5] for name, values in table.items()}
    runtime = bundle.runtime()
    assert Golden.of(runtime, some, seed=1) == Golden.of(runtime, some, seed=1) != Golden.of(runtime, some, seed=2)


def test_sketches_still_tell_drift(bundle: Bundle, table: dict[str, Any]) -> None:
    profile = msgspec.json.decode(bundle.read("profile.json"), type=Profile)
    fields = {field.name: field for field in bundle.manifest.schema.fields}
    for name, field in fields.items():
        reference: Any = profile.inputs[name]
        counted: Any = sketched(field, table[name])
        same = reference.empty().add(counted)
        assert distance(reference, same) == pytest.approx(0.0)
        assert same.counts == reference.counts
    income = profile.inputs["income"]
    assert isinstance(income, NumberSketch)
    assert len(income.counts) > 10
    assert income.mean + fields["income"].column.offset == pytest.approx(np.mean(table["income"]), rel=0.1)
    doubled: Any = sketched(fields["income"], [2 * x for x in table["income"]])
    moved = income.empty().add(doubled)
    assert distance(income, moved) > 0.2
    sexes = profile.inputs["sex"]
    assert isinstance(sexes, CategorySketch)
    assert set(sexes.values) == {"code 2", "code 3"}


def test_edges_are_no_values_even_of_few_numbers() -> None:
    for values in ([5.0], [0.0, 0.0, 1.0], [1e20, 2.0], [-3.0, -3.0], [1.7e9, 1.7e9 + 1], [1e-200, 3e-200], [None]):
        schema = Schema(fields=infer({"x": [1.0]}, {"x": Declared(private="keep")}).schema.fields).fit({"x": values})
        sketch = Profile.of(schema, {"x": values}, (), {}).inputs["x"]
        assert isinstance(sketch, NumberSketch)
        encoded = {float(x) for x in schema.encode({"x": values})["numbers"][:, 0]}
        assert not encoded & {*sketch.edges, sketch.low, sketch.high, sketch.centre, sketch.mean}
        assert not sketch.edges or (sketch.counts[0] == sketch.counts[-1] == 0 and sum(sketch.counts) == len(values))


def test_what_is_made_up_holds_what_is_expected() -> None:
    rng = np.random.default_rng(0)
    batch = {"price": rng.uniform(10, 9000, 20).tolist(), "paid": rng.uniform(1, 10, 20).tolist()}
    expect = [Expectation(column="price", between=(0, 9500)), Expectation(relation="paid <= price")]
    schema = infer(batch, {"price": Declared(private="keep")}, expect=expect).schema.fit(batch)
    runtime = _runtime(schema)
    golden = Golden.of(runtime, batch)
    assert len(golden) == 20
    assert all(
        0 <= price <= 9500 and paid <= price for price, paid in zip(*(golden.columns[name] for name in ("price", "paid")), strict=True)
    )
    assert not set(golden.columns["price"]) & set(batch["price"])


def test_rows_that_the_service_would_refuse_are_no_golden_rows() -> None:
    batch = {"price": [5.0, -1.0, 7.0]}
    schema = infer(batch, {}, expect=[Expectation(column="price", between=(0, None))]).schema.fit(batch)
    assert Golden.of(_runtime(schema), batch).columns["price"] == [5.0, 7.0]
    with pytest.raises(BundleError, match="rows that the service would take"):
        Golden.of(_runtime(schema), {"price": [-5.0, -1.0]})


def _runtime(schema: Schema) -> Runtime:
    output = Probability(target="kind").fit(["a", "b"])
    step = Onnx(graph="model", inputs={name: name for name in schema.layout.names}, outputs={output.array: output.array})
    return Runtime(schema=schema, steps=(step,), graphs={"model": linear(schema, (output,))}, outputs=(output,))
