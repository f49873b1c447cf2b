"""A project on disk: the file, and what `.fermion/` beside it keeps."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.core import spec as specs
from fermion.core.errors import SpecError, StoreError, Told, UsageError, did_you_mean
from fermion.core.sections import Serve
from fermion.core.spec import Spec
from fermion.core.store import Folder

FILE = "fermion.yaml"


class Project:
    """A project file that was read, and its state:

    .fermion/store/          blobs by digest and tags: every registered bundle, every cached result
    .fermion/cache/STAGE/    what a stage gave, by the digest of what it depends on
    .fermion/runs/ID/        run.json, events.jsonl, report.html, report.json of one run
    .fermion/bundles/NAME-ID/  the bundles as folders
    """

    def __init__(self, path: Path, spec: Spec) -> None:
        self.path, self.spec = path, spec
        self.folder = path.parent
        self.state = self.folder / ".fermion"
        if self.state.exists() and not self.state.is_dir():
            remedy = "Move it away: runs and bundles are kept in a folder of that name."
            raise UsageError("a project's .fermion", rule="a folder", given=Told(f"the file {shown(self.state)}"), remedy=remedy)
        self.store = Folder(self.state / "store")

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Project:
        """From a project file, or a folder with fermion.yaml.

        Raises:
            SpecError: the file is missing or wrong.
            UsageError: something that is no folder has the name of its state.
        """
        spec = specs.load(path, overrides)
        found = Path(path)
        return cls((found / FILE if found.is_dir() else found).resolve(), spec)

    @property
    def tag(self) -> str:
        """The tag that makes a bundle *the* model of this project."""
        return f"model/{self.spec.name}/latest"

    def register(self, bundle: Bundle) -> str | None:
        """Put the bundle into the store and move the tag; returns what the tag pointed at before."""
        before = self.store.resolve(self.tag)
        identity = bundle.push(self.store)
        if before != identity:
            self.store.tag(self.tag, identity, expected=before)
        return before

    def latest(self) -> Bundle:
        """The registered bundle, unpacked if it is not there as a folder any more.

        Raises:
            UsageError: there is none yet.
        """
        identity = self.store.resolve(self.tag)
        if identity is None:
            raise UsageError(
                f"the project {self.spec.name}",
                rule="one with a registered bundle",
                given=Told("none yet"),
                remedy=f"Run: fermion run {shown(self.path)}",
            )
        folder = self.bundle_folder(identity)
        return bundles.open(folder) if folder.exists() else bundles.pull(self.store, identity, folder)

    def bundle_folder(self, identity: str) -> Path:
        """Where the bundle of this id lies as a folder."""
        return self.state / "bundles" / f"{self.spec.name}-{identity[:12]}"

    def new_run(self) -> Path:
        """The folder of a new run; its name is the run's id, in order of time."""
        for _ in range(100):
            folder = self.state / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as failed:
                raise StoreError("the project's folder", rule="writable", given=Told(f"{self.state} ({failed.strerror})")) from None
            return folder
        raise StoreError("a run's id", rule="new", given=Told("100 that exist"))

    def runs(self) -> list[dict[str, Any]]:
        """The documents of all runs, oldest first; a run that was killed has none and is left out."""
        found: list[dict[str, Any]] = []
        for path in sorted((self.state / "runs").glob("*/run.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
            except (msgspec.DecodeError, OSError):
                continue
        return found

    def run_named(self, name: str) -> dict[str, Any]:
        """The document of one run, by its id, the end of it, or `last`.

        Raises:
            UsageError: there is none.
        """
        runs = [one for one in self.runs() if "metrics" in one]
        if name == "last" and runs:
            return runs[-1]
        fitting = [one for one in runs if str(one["run"]).endswith(name) or str(one["run"]).startswith(name)]
        if len(fitting) > 1:
            given = Told(f"{name}, which fits {len(fitting)}")
            raise UsageError(
                "a run", rule="named by enough of its id", given=given, remedy=f"`fermion runs {shown(self.path)}` lists them."
            )
        if not fitting:
            known = [str(one["run"]) for one in runs]
            raise UsageError(
                "a run",
                rule="the id of one run, or `last`",
                given=name,
                remedy=did_you_mean(name, known) or f"`fermion runs {shown(self.path)}` lists the {len(known)} there are.",
            )
        return fitting[0]

    def place(self, word: str) -> str:
        """Where `data.WORD` stands, for messages."""
        return f"{shown(self.path)}: data.{word}"


def shown(path: Path) -> str:
    """A path as a person would type it from here: relative where that is shorter.

    >>> shown(Path.cwd() / "fermion.yaml")
    'fermion.yaml'
    """
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def is_project(path: Path) -> bool:
    """Whether a path is a project file or a folder with one."""
    return path.suffix in (".yaml", ".yml") or (path.is_dir() and (path / FILE).is_file())


def bundle_path(given: str | Path) -> Path:
    """The path of a bundle: as given, or the registered one of a project file or project folder.

    Raises:
        UsageError: there is nothing at the path, or the project has no bundle yet.
    """
    path = Path(given)
    if is_project(path):
        return Project.load(path).latest().path
    if not path.exists():
        raise UsageError("a bundle", rule="the path of a bundle, or of a project with one", given=str(given), remedy=where_bundles_lie())
    return path


def where_bundles_lie() -> str:
    """The newest bundle of the project in this folder, or how one is made, for a remedy."""
    made = sorted(Path(".fermion", "bundles").glob("*/manifest.json"), key=lambda file: file.stat().st_mtime)
    if made:
        return f"The newest bundle here is {made[-1].parent}."
    return "`fermion run` makes one and prints its path; it lies under .fermion/bundles beside the project file."


def near_project() -> Path:
    """The project file of this folder, for commands that are given none.

    Raises:
        SpecError: there is none.
    """
    path = Path(FILE)
    if not path.is_file():
        raise SpecError("the project file", rule="given, or here as fermion.yaml", given=Told("neither"), remedy="Run: fermion init")
    return path


def served(given: str | Path, settings: Sequence[str]) -> tuple[Path, Serve]:
    """The bundle to serve, and how: by the project's `serve` section where a project is given, with settings on top.

    Raises:
        SpecError: a setting is wrong.
    """
    path = Path(given)
    if is_project(path):
        project = Project.load(path, settings)
        return project.latest().path, project.spec.serve
    found = bundle_path(path)
    return found, specs.read({"name": "bundle", "data": {"source": "none", "target": "none"}}, settings).serve
