"""What notebooks show: self-contained, escaped, drawn only from what is known."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import fermion
from fermion.measure import snippet


class Balanced(HTMLParser):
    """Fails on a tag that is not closed in its order, or that loads something."""

    VOID = frozenset({"circle", "line", "rect", "polyline", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "span", "p", "table", "tr", "td", "th", "svg", *self.VOID}, tag
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> str:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "http" not in page
    assert not re.search(r"color:\s*(#000|black|white|#fff)", page)  # readable in dark and light
    return parser.text


EVIL = '<script>alert("x")</script>'


def test_whatever_is_shown_is_escaped() -> None:
    page = snippet.box(
        EVIL,
        EVIL,
        snippet.facts({EVIL: EVIL}),
        snippet.scores([(EVIL, 0.5, 0.4, 0.6, 0.3)], EVIL),
        snippet.bars({EVIL: 1.0}, EVIL),
        snippet.curve(EVIL, [1, 2], [3, 4], EVIL),
        snippet.text(EVIL),
    )
    assert "<script" not in page
    assert read(page).count(EVIL) == 11


def test_what_is_not_known_is_not_drawn() -> None:
    assert snippet.interval(None, None, None, None) == ""
    assert snippet.curve("loss", [1.0], [2.0]) == ""
    assert snippet.curve("loss", [1.0, 2.0], [float("nan"), 2.0]) == ""
    assert snippet.scores([]) == snippet.bars({}) == snippet.facts({}) == snippet.text("") == ""
    assert "–" in read(snippet.scores([("r2", None, None, None, None)]))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_interval_stays_within_its_picture(value: float) -> None:
    drawn = snippet.interval(value, value, value, value)
    assert all(0 <= float(x) <= 170 for x in re.findall(r'x\d?="([\d.]+)"', drawn))


def test_what_fit_evaluate_and_load_give_shows_itself(tmp_path: Path) -> None:
    made = fermion.fit("sample://iris", target="species", model="linear", evaluate={"draws": 100})
    assert "evaluate() says how good it is" in read(made._repr_html_())
    report = made.evaluate()
    assert "accuracy" in read(report._repr_html_())
    assert "petal_length_cm" in report._repr_html_()
    assert "accuracy" in read(made._repr_html_())
    bundle = made.save(tmp_path / "iris")
    shown = read(bundle._repr_html_())
    assert bundle.id[:16] in shown
    assert "petal_length_cm (number)" in shown
    assert fermion.load(tmp_path / "iris")._repr_html_() == bundle._repr_html_()
    assert max(map(len, (made._repr_html_(), report._repr_html_(), bundle._repr_html_()))) < 20_000
