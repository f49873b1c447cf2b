from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fermion.bundle import golden as goldens
from fermion.bundle.bundle import Bundle
from fermion.bundle.golden import Expected, Golden
from fermion.columns.image import Image
from fermion.columns.output import Probability
from fermion.testing.handmade import Parts, parts


def read(bundle: Bundle, golden: Any) -> Golden:
    return goldens.read(
        golden if isinstance(golden, bytes) else msgspec.json.encode(golden), bundle.manifest.schema, bundle.manifest.outputs
    )


def test_rows_are_what_a_client_sends(bundle: Bundle, rows: Any) -> None:
    golden = bundle.golden()
    assert golden.columns == rows
    assert msgspec.json.decode(golden.body()) == {"columns": rows}
    assert len(golden) == len(golden.rows()) == 4
    assert [row.columns for row in golden.rows()] == [{name: [values[at]] for name, values in rows.items()} for at in range(4)]


def test_pictures_travel_without_a_decoder() -> None:
    rows = {"picture": np.random.default_rng(0).integers(0, 255, (3, 4, 4)).astype(np.uint8)}
    runtime = parts({"picture": Image()}, rows, {Probability(target="digit"): [1, 2, 3]}).runtime()
    golden = msgspec.json.decode(msgspec.json.encode(Golden.of(runtime, rows)), type=Golden)
    assert max(golden.differences(runtime.arrays(rows)).values()) == 0
    assert set(golden.columns["picture"][0]) == {"shape", "uint8"}


def test_tolerance() -> None:
    golden = Golden(columns={"x": [1]}, outputs={"y": Expected(values=[100.0], atol=0.5, rtol=0.01)})
    assert golden.differences({"y": np.array([101.5])}) == {"y": 1.0}
    assert golden.differences({"y": np.array([103.0])}) == {"y": 2.0}
    assert golden.differences({"y": np.array([np.nan])}) == {"y": np.inf}
    assert golden.differences({"y": np.array([[100.0]])}) == {"y": np.inf}
    exact = Golden(columns={"x": [1]}, outputs={"y": Expected(values=[0.0], atol=0, rtol=0)})
    assert exact.differences({"y": np.array([0.0])}) == {"y": 0.0}
    assert exact.differences({"y": np.array([1e-30])}) == {"y": np.inf}


@pytest.mark.parametrize("count", [0, 33])
def test_how_many(told: Any, made: Parts, count: int) -> None:
    with told(f"the golden rows must be 1 to 32, got {count}"):
        Golden.of(made.runtime(), {"age": [1.0] * count, "city": ["Bern"] * count})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("columns/age/1", "old", "`$.columns.age[1]` must be float | null, got str. Write"),
        ("columns/age", [1.0], "equally long"),
        ("columns/size", [1.0] * 4, "`size`"),
        ("columns", {}, "`age` must be in every row"),
        ("outputs", {}, "the answers to the golden rows must be of the shapes"),
        ("outputs/probabilities:kind/values/0", [0.5, 0.5], "golden.json must be rows of this bundle's schema"),
        ("outputs/probabilities:kind/values", [], "the answers to the golden rows must be of the shapes"),
        ("outputs/probabilities:kind/values/2/1", None, "row 2: the answer `probabilities:kind` to a golden row must be finite numbers"),
        ("outputs/probabilities:kind/values/2/1", "much", "golden.json must be rows of this bundle's schema"),
        ("outputs/probabilities:kind/atol", -1, "Expected `float` >= 0"),
        ("outputs/probabilities:kind/code", "x", "unknown field `code`"),
    ],
)
def test_rows_that_do_not_fit(told: Any, bundle: Bundle, path: str, value: object, words: str) -> None:
    raw: Any = msgspec.json.decode(bundle.read("golden.json"))
    *way, last = path.split("/")
    place = raw
    for part in way:
        place = place[int(part) if isinstance(place, list) else part]
    place[int(last) if isinstance(place, list) else last] = value
    with told(words, "Write the bundle again"):
        read(bundle, raw)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_no_golden_rows(told: Any, bundle: Bundle, data: bytes) -> None:
    with told("golden.json must be rows of this bundle's schema with their outputs"):
        read(bundle, data)


def test_a_model_that_answers_nan_gets_no_golden_rows(told: Any, made: Parts, tmp_path: Path) -> None:
    class Broken:
        """A runtime whose answers are not numbers."""

        def __init__(self) -> None:
            self.schema, self.requests = made.schema, made.runtime().requests

        def arrays(self, batch: Any) -> dict[str, Any]:
            return {"probabilities:kind": np.full((len(batch["age"]), 3), np.nan)}

    runtime: Any = Broken()
    with told("row 0: the answer `probabilities:kind` to a golden row must be finite numbers, got [nan, nan, nan]"):
        Golden.of(runtime, {"age": [1.0], "city": ["Bern"]})
