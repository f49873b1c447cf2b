"""Pages that are a story: files, Python and commands run in the order in which they stand, in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / name for name in ("index.md", "extending.md", "data.md")]
FENCE = re.compile(r"^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


class Journey:
    """One page's folder, where its packages count as installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = ""
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        }

    def step(self, kind: str, title: str | None, body: str) -> None:
        if title == "output":
            self.has_printed(body)
        elif title is not None:
            (self.folder / title).write_text(body, encoding="utf-8")
            if Path(title).match("test_*.py"):
                self.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", title])
        elif kind == "toml":
            self.install(body)
        elif kind == "python" and not body.startswith("# not run:"):
            self.run([sys.executable, "-c", body])
        elif kind == "shell":
            self.printed = "\n".join(self.run(["bash", "-c", line]) for line in body.splitlines())

    def has_printed(self, body: str) -> None:
        """What a page shows was printed by the commands before it, in this order; a line `...` stands for more. Spaces are not compared."""
        rest = " ".join(self.printed.split())
        for part in re.split(r"^\.\.\.$", body, flags=re.MULTILINE):
            shown = " ".join(part.split())
            assert shown in rest, f"{shown}\n\nis not in\n\n{self.printed}"
            rest = rest.partition(shown)[2]

    def install(self, project: str) -> None:
        """Entry points as pip leaves them; the modules lie in the folder."""
        declared = tomllib.loads(project)["project"]
        info = self.folder / f"{declared['name'].replace('-', '_')}-{declared['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {declared['name']}\nVersion: {declared['version']}\n")
        lines: list[str] = []
        for group, parts in declared["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {place}" for name, place in parts.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        modules = {place.partition(":")[0] for parts in declared["entry-points"].values() for place in parts.values()}
        (info / "top_level.txt").write_text("\n".join(sorted(modules)) + "\n")

    def run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, f"{' '.join(command)[:500]}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_can_be_followed(page: Path, tmp_path: Path) -> None:
    journey = Journey(tmp_path)
    blocks = [(found["kind"], found["title"], found["body"]) for found in FENCE.finditer(page.read_text(encoding="utf-8"))]
    # What is declared is installed before the first test of it runs.
    for kind, title, body in sorted(blocks, key=lambda block: block[0] != "toml"):
        journey.step(kind, title, body)
