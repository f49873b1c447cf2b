from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from fermion.core.errors import MissingExtra, StoreError, UsageError
from fermion.measure import page as module
from fermion.measure.page import Page, shown_as
from fermion.measure.png import data_uri, png

EVIL = "<script>alert(1)</script>&\"'"


class Elements(HTMLParser):
    """What a browser would see: tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def documents(text: str) -> list[Any]:
    return [msgspec.json.decode(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)]


def whole() -> Page:
    picture = np.zeros((4, 4, 3), np.uint8)
    return (
        Page(EVIL, EVIL)
        .section(EVIL)
        .section("two")
        .section("three")
        .cards([(EVIL, EVIL, EVIL)])
        .text(EVIL, EVIL)
        .table(EVIL, [EVIL, "n"], [(EVIL, 1), (None, float("nan"))])
        .figure(EVIL, [{"x": [EVIL], "y": [1.0], "name": EVIL}], {"xaxis": {"title": {"text": EVIL}}})
        .pictures(EVIL, [(picture, EVIL)])
        .code(EVIL)
    )


def test_everything_is_escaped_and_well_formed() -> None:
    seen = Elements(whole().html())
    assert seen.open == []
    assert seen.tags.count("script") == 3  # Plotly, the figure's data, the page's own
    assert sum(EVIL in text for text in seen.text) == 17
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert dict(seen.attributes)["alt"] == EVIL


def test_nothing_in_a_figure_ends_its_script() -> None:
    text = whole().html()
    (figure,) = documents(text)
    inside = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[0]
    assert not set(inside) & set("<>&\u2028")
    # Plotly reads a little markup of its own, so that what it is given is escaped once more
    assert figure["data"][0]["name"] == "&lt;script&gt;alert(1)&lt;/script&gt;&amp;\"'"


def test_the_page_asks_for_nothing() -> None:
    seen = Elements(whole().html())
    for name, value in seen.attributes:
        if name in ("src", "href", "action", "data"):
            assert value is not None
            assert value.startswith(("data:", "#"))
    policy = dict(seen.attributes)["content"], *(value for name, value in seen.attributes if name == "content")
    assert any(value and value.startswith("default-src 'none'") for value in policy)


def test_figures_carry_arrays_and_gaps() -> None:
    data = {"x": np.arange(3), "y": [1.0, float("nan"), np.float32("inf")], "z": np.array([[1, np.nan]]), "n": np.int64(3), "text": "a\nb"}
    text = Page("t").figure("f", [data, {"hovertemplate": "%{x}<extra></extra>"}]).html()
    (figure,) = documents(text)
    assert figure["data"][0] == {"x": [0, 1, 2], "y": [1.0, None, None], "z": [[1.0, None]], "n": 3, "text": "a<br>b"}
    assert figure["data"][1]["hovertemplate"] == "%{x}<extra></extra>"


def test_plotly_is_only_there_for_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(Page("t").text("no figure").html()) < 30_000
    assert len(Page("t").figure("f", []).html()) > 1_000_000

    def missing(name: str, *, extra: str) -> Any:
        raise MissingExtra("the package", rule="installed", given=name, remedy=extra)

    monkeypatch.setattr(module, "load", missing)
    with pytest.raises(MissingExtra):
        Page("t").figure("f", []).html()
    assert Page("t").text("no figure").html()


def test_figures_in_a_row_stand_side_by_side() -> None:
    page = Page("t").figure("a", []).figure("b", [], wide=True).text("between").figure("c", [])
    text = page.html()
    assert text.count('<div class="figures">') == 2
    assert text == page.html()


def test_tables() -> None:
    text = Page("t").table("Scores", ["name", "value"], [("a", 0.5), ("b", None), ("c", 1234)]).html()
    assert "<caption>Scores</caption>" in text
    assert '<td class="r" data-value="0.5">0.5000</td>' in text
    assert '<td class="r" data-value="">–</td>' in text
    assert '<td class="r" data-value="1234.0">1,234</td>' in text
    assert 'class="c"' in Page("t").table("Scores", ["name"], [("a",)], align="c").html()
    with pytest.raises(UsageError, match="row 1: a table row must be 2 values long, got 1"):
        Page("t").table("Scores", ["a", "b"], [(1, 2), (1,)])
    with pytest.raises(UsageError, match="`align` must be 2 letters of l, r and c"):
        Page("t").table("Scores", ["a", "b"], [], align="x")


def test_values_as_a_reader_wants_them() -> None:
    values = (0.5, 0.00012345, 0.0, 12.345, 1234.5, 3, True, None, float("nan"), float("inf"), np.float32(0.25), np.int64(7), "0.5")
    shown = ("0.5000", "0.000123", "0", "12.35", "1,234", "3", "yes", "–", "–", "inf", "0.2500", "7", "0.5")
    assert tuple(shown_as(value) for value in values) == shown


@pytest.mark.parametrize(("shape", "mode"), [((5, 7), "L"), ((5, 7, 1), "L"), ((5, 7, 2), "LA"), ((5, 7, 3), "RGB"), ((5, 7, 4), "RGBA")])
def test_png_is_read_back_by_another_library(shape: tuple[int, ...], mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image = Image.open(io.BytesIO(png(pixels)))
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), pixels.squeeze())


def test_pictures_as_bytes() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "JPEG")
    assert data_uri(file.getvalue()).startswith("data:image/jpeg;base64,")
    with pytest.raises(UsageError, match="PNG, JPEG, GIF or WebP"):
        data_uri(b"<svg onload=alert(1)>")
    for bad in (np.zeros((2, 2)), np.zeros((2, 2, 5), np.uint8), np.zeros((0, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(UsageError, match="a picture must be uint8 of shape"):
            png(bad)


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Page("one").write(tmp_path / "deep" / "report.html")
    assert "<h1>one</h1>" in path.read_text(encoding="utf-8")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"report.html` must be written, got No space left on device. Free some space"):
        Page("two").write(path)
    assert "<h1>one</h1>" in path.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]


def test_the_room_imports_nothing_heavy() -> None:
    code = (
        "import sys, fermion.measure.page, fermion.measure.intervals, fermion.measure.sketches, fermion.measure.curves;"
        "print([m for m in ('polars', 'torch', 'sklearn', 'PIL', 'plotly', 'pandas', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
