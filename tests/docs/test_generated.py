"""The generated parts of the documentation say what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from fermion.app.cli import VERBS
from fermion.core import registry

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def generator() -> ModuleType:
    found = importlib.util.spec_from_file_location("fermion_docs_generate", DOCS / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


GENERATE = generator()
PARTS = GENERATE.generated()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_the_code_says(page: Path) -> None:
    """`python docs/generate.py` rewrites it. Spaces are not compared: Python's versions wrap help texts differently."""
    text = page.read_text(encoding="utf-8")
    assert GENERATE.rewritten(text, PARTS).split() == text.split()


def test_every_generated_part_is_on_a_page() -> None:
    shown = {name for page in PAGES for name in re.findall(r"<!-- generated: ([a-z-]+) -->", page.read_text(encoding="utf-8"))}
    assert shown == set(PARTS)


def test_every_marker_is_closed() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- generated: ") == text.count("<!-- end -->") == len(GENERATE.PART.findall(text)), page.name


def test_the_command_line_page_has_every_verb() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"usage: fermion {verb} " in text


def test_the_reference_has_every_section_and_every_part() -> None:
    text = (DOCS / "project-file.md").read_text(encoding="utf-8")
    for section in [name for name in GENERATE.SECTIONS if name]:
        assert f"### {section}\n" in text
    for group in ("models", "columns"):
        for name in registry.names(group):
            assert f"### {name}\n" in text


def test_every_field_of_the_reference_says_what_it_means() -> None:
    """A row without a meaning helps nobody: the description stands in the field's type or in the docstring of its class."""
    text = (DOCS / "project-file.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) > 60
    assert [name for name, _, _, meaning in rows if not meaning.strip()] == []
