from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fermion.core.spec import read
from fermion.research.pages import page
from fermion.research.report import Report


def figures(html: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', html, re.S)]


@pytest.fixture
def made(binary: Any) -> tuple[Report, str]:
    report = binary.report(decide={"type": "threshold"}, evaluate={"slices": ["town"]})
    return report, page(report, title="<script>alert(1)</script>", model={"type": "trees", "lr": 0.05}).html()


def test_the_first_screen_has_metric_interval_baseline_and_rows(made: tuple[Report, str]) -> None:
    report, html = made
    cards = re.findall(r'<dt>(.*?)</dt><dd class="value">(.*?)</dd><dd class="note">(.*?)</dd>', html.replace("\u00a0", " "))
    score = report.metrics["roc_auc"]
    assert cards[0] == ("ROC AUC", f"{score.value:.4f}", f"{score.low:.4f} to {score.high:.4f}, baseline 0.5000")
    assert cards[-1] == ("Test rows", "600", "train 10, validation 5")
    assert len(cards) == 5


def test_every_part_of_the_report_is_there(made: tuple[Report, str]) -> None:
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", made[1])
    assert headings == [
        "Metrics on the test part",
        "Curves and confusion",
        "Worst slices",
        "Most confident errors",
        "What it leans on",
        "Training",
        "Data and split",
        "Settings, and how to make this again",
    ]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", made[1])
    for word in ("ROC", "Precision against recall", "Calibration", "Probability", "threshold", "Confusion", "slice", "importance", "loss"):
        assert any(word in caption for caption in captions), word
    assert "Note: a note" in made[1]
    assert "chosen by F1 on the validation part" in made[1]


def test_names_from_the_data_are_text_and_never_markup(made: tuple[Report, str]) -> None:
    html = made[1]
    for evil in ("<b>Q</b>", "<no>", "<script>alert(1)</script>", "<i>c</i>"):
        assert evil not in html
    assert "&lt;b&gt;Q&lt;/b&gt;" in html
    drawn = json.dumps(figures(html))
    assert "<b>" not in drawn
    assert "<no>" not in drawn


def test_the_settings_on_the_page_are_a_project_file(made: tuple[Report, str]) -> None:
    import html as text

    blocks = [text.unescape(block) for block in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", made[1], re.S)]
    assert "fermion run fermion.yaml" in blocks[0]
    from fermion.core import yaml12

    written: Any = yaml12.parse(blocks[1], file="page").value
    assert written["model"] == {"type": "trees", "lr": 0.05}
    assert read({**written, "model": None}).decide.type == "threshold"


def test_pages_of_the_other_tasks(pictures: Any, regression: Any, several: Any) -> None:
    html = page(pictures.report(), title="p", model={"type": "cnn"}).html()
    assert html.count("<img src") == len(pictures.report().details["shade"].mistakes)
    assert "What it leans on" not in html
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page(regression.report(), title="p", model={}).html())
    assert {"Answer against truth", "Errors"} <= set(captions)
    both = page(several.report(), title="p", model={}).html()
    assert "kind: Curves and confusion" in both
    assert "cost: Root mean squared error" in both


def test_a_page_of_a_test_part_with_one_class_or_nothing(binary: Any, several: Any) -> None:
    import numpy as np

    one = np.flatnonzero(binary.encoded.targets["flag"] == 0)
    assert "ROC AUC" in page(binary.report(test=one), title="p", model={}).html()
    assert page(binary.report(weights=np.zeros(600)), title="p", model={}).html()
    assert page(several.report(test=slice(260, 300)), title="p", model={}).html()
    assert page(Report(task="regression", rows=0, metrics={}), title="p", model={}).html()


def test_many_classes_are_drawn_together() -> None:
    import numpy as np

    from fermion.measure.scored import Scored
    from fermion.research.figures import DRAWN_CELLS, confusion

    truth = np.repeat(np.arange(100), np.arange(1, 101))
    found = confusion(Scored(truth=truth, decided=truth[::-1], classes=100), [str(k) for k in range(100)])
    assert len(found.classes) == DRAWN_CELLS
    assert found.classes[0] == "61"
    assert found.classes[-1] == "all others"
    assert sum(map(sum, found.matrix)) == len(truth)
