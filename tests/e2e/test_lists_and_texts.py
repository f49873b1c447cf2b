"""A table with sentences, lists and places: from a file of JSON lines to a bundle whose files travel with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fermion.bundle import bundle as bundles
from fermion.core.store import Folder

from .conftest import Command

pytest.importorskip("tokenizers")
SAID = {
    True: ["really good food and friendly staff", "the wine was lovely and not expensive", "we will come back with all our friends"],
    False: ["the food was cold and much too late", "we waited an hour for a bad meal", "the soup tasted of soap and dust"],
}
GIVEN = "data.columns={note: {type: text, tokenizer: words.json}}"


@pytest.fixture
def happy(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with (tmp_path / "rows.jsonl").open("w") as file:
        for number in range(160):
            good = bool(rng.random() < 0.5)
            row = {
                "note": None if number == 7 else f"{rng.choice(SAID[good])}, said guest {number}",
                "tags": None
                if number == 9
                else rng.choice(["vegan", "late", "sweet"], rng.integers(0, 3), replace=False).tolist() + ["nice"] * good,
                "look": (rng.normal(size=4) + good).round(3).tolist(),
                "home": {"lat": round(rng.uniform(-80, 80), 3), "lon": round(rng.uniform(-170, 170), 3)},
                "good": good,
            }
            file.write(json.dumps(row) + "\n")
    (tmp_path / "fermion.yaml").write_text("name: happy\ndata: {source: rows.jsonl, target: good}\nmodel: {type: trees, rounds: 5}\n")
    return tmp_path


def test_the_cached_product_and_the_store_carry_the_tokeniser(fermion: Command, happy: Path) -> None:
    first = fermion("run", "--json")
    assert first.code == 0, first.err
    made = bundles.open(first.document["bundle"])
    assert {one.name: one.kinds[0] for one in made.manifest.schema.fields} == {
        "note": "text",
        "tags": "set",
        "look": "vector",
        "home": "geo",
    }
    assert made.manifest.needs == ("text",)
    (asset,) = made.manifest.schema.assets
    assert made.read(asset.path)
    again = fermion("run", "--json")  # in a new process, where nothing was fitted: the bytes come from the cache
    assert again.document["bundle_id"] == made.id
    assert again.document["stages"]["fit"]["reused"]
    pulled = bundles.pull(Folder(happy / ".fermion" / "store"), made.id, happy / "elsewhere")
    assert pulled.read(asset.path) == made.read(asset.path)
    answered = fermion("predict", "elsewhere", "rows.jsonl")
    assert answered.code == 0, answered.err
    assert len(answered.out.splitlines()) == 161


def test_a_given_tokeniser_lies_beside_the_project_file(fermion: Command, happy: Path) -> None:
    missing = fermion("check", "--json", GIVEN)
    assert missing.code == 2
    assert "words.json must be a file that can be read" in missing.error["message"]
    (happy / "words.json").write_text('{"version": "1.0"}')
    broken = fermion("check", "--json", GIVEN)
    assert broken.code == 2
    assert "words.json must be a tokenizer.json" in broken.error["message"]
