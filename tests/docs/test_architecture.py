"""The map of the code names what is there, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "fermion"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_module_is_on_the_map() -> None:
    modules = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    assert {name for name in modules if f"`{name}`" not in PAGE} == set()


def test_every_file_on_the_map_exists() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir()}
    named = {name for name in re.findall(r"`(\w+/\w+\.py)`", PAGE) if name.split("/")[0] in rooms}
    assert {name for name in named if not (SOURCE / name).is_file()} == set()
    assert len(named) > 60


def test_every_room_has_its_place_in_the_picture() -> None:
    picture = PAGE.split("```text")[1].split("```")[0]
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    assert {room for room in rooms if not re.search(rf"\b{room}\b", picture)} == set()


def test_the_pages_of_the_site_exist_and_are_all_listed() -> None:
    listed = set(re.findall(r": ([a-z-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert there <= listed
    assert listed - there <= {"benchmarks.md"}  # written from measurements


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([a-z-]*\.md)?(#[\w-]+)?\)", text):
            other = page if not target else page.parent / target
            assert other.is_file(), f"{page.name} links to {target}"
            if anchor:
                found = {slug(title) for title in re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)}
                assert anchor.removeprefix("#") in found, f"{page.name} links to {target}{anchor}"


def slug(title: str) -> str:
    """A heading as the site's generator names its anchor."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip())
