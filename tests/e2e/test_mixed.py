"""Numbers, categories, texts and pictures in one table: from the sample to answers over HTTP, and which column matters."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Command

PROJECT = """\
name: market
data:
  source: sample://listings?rows=900
  target: sold
  columns: {text: {type: text, vocabulary: 400}, picture: image}
model:
  type: net
  encoders: {text: {type: bag, width: 32}, picture: {type: cnn, widths: [8, 16]}}
  combine: gated
  steps: 200
  batch: 64
evaluate: {draws: 100, require: {roc_auc: 0.65}}
"""


def test_a_mixed_table_is_learned_served_and_explained(fermion: Command, tmp_path: Path) -> None:
    (tmp_path / "fermion.yaml").write_text(PROJECT)
    told = fermion("run", "--json", limit=300)
    assert told.code == 0, told.err
    run = told.document
    checks = {check["name"]: check for check in run["checks"]}
    assert checks["golden rows"]["ok"]
    assert checks["http"]["ok"]
    report = json.loads((Path(run["report"]).parent / "report.json").read_text())
    found = report["details"]["sold"]["importance"]
    assert {one["column"] for one in found} == {"thing", "seller", "price", "photos", "text", "picture"}
    assert found[0]["column"] == "text"
    assert "picture" in Path(run["report"]).read_text()
