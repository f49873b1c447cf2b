"""The data of a project, or of any file, looked at: its profile, and what in it is personal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from fermion.bundle.placing import replacing
from fermion.core.errors import FermionError, UsageError
from fermion.core.run import Run
from fermion.data import personal, sources
from fermion.data.anonymity import anonymity
from fermion.data.profile import Profile, profile
from fermion.data.profile_page import html
from fermion.data.table import Table
from fermion.practice import collecting, making
from fermion.practice.pipeline import Pipeline
from fermion.practice.preparation import targets_of
from fermion.practice.project import Project, is_project, near_project, shown


def profiled(given: str | None, settings: Sequence[str], output: str | None, run: Run) -> tuple[Profile, Path]:
    """The profile of a project's data, or of a file or address, written as a page; gives the profile and where the page is.

    What stops a split or a check of a project is told as a note, and the profile does without.

    Raises:
        DataError: the data cannot be read. UsageError: settings for a file.
    """
    path = Path(given) if given is not None else near_project()
    if not is_project(path):
        if settings:
            raise UsageError("settings", rule="for a project", given=settings[0], remedy="Name the project file instead of the data.")
        table = sources.read(str(given), folder=Path.cwd(), where=str(given))
        page = Path(output) if output else Path("profile.html")
        return _written(profile(table, personal=_personal(table)), path.name, page)
    project = Project.load(path, settings)
    table = Pipeline(project, run).table()
    marks, findings = None, []
    try:
        marks = making.divide(table, project.spec, run)
        findings = making.look(table, marks, project.spec)
    except FermionError as bad:
        run.emit("note", "profile", f"without parts and findings: {bad}")
    private = {name: said.private for name, said in project.spec.data.columns.items() if said.private is not None and name in table.names}
    found = profile(
        table,
        targets=tuple(targets_of(project.spec.data)),
        marks=marks,
        findings=findings,
        private=private,
        personal=[one for one in _personal(table) if one.column not in private],
    )
    return _written(found, project.spec.name, Path(output) if output else project.state / "profile.html")


def guarded(project: Project, run: Run) -> dict[str, Any]:
    """Columns that seem to hold personal data and are not marked private, those that are, and the k-anonymity of the quasi-identifiers.

    Raises:
        DataError: the data cannot be read. SpecError: a quasi-identifier is not in the data.
    """
    spec = project.spec
    raw = collecting.as_it_is(spec, folder=project.folder, place=project.place)
    marked = {name: said.private for name, said in spec.data.columns.items() if said.private is not None}
    found = [one for one in personal.find(raw) if one.column not in marked]
    report = None
    if spec.data.privacy.quasi:
        table = Pipeline(project, run).table()
        report = anonymity(table, spec.data.privacy.quasi, spec.data.privacy.k, targets=tuple(targets_of(spec.data)))
    return {
        "personal": [{**msgspec.to_builtins(one), "proposal": one.proposal, "line": one.line} for one in found],
        "marked": marked,
        "anonymity": None if report is None else {**msgspec.to_builtins(report), "holds": report.holds, "lines": report.lines()},
    }


def _personal(table: Table) -> list[personal.Personal]:
    return personal.find(table, recognisers=False)


def _written(found: Profile, title: str, page: Path) -> tuple[Profile, Path]:
    with replacing(page) as scratch:
        scratch.write_text(html(found, title=title), encoding="utf-8")
    return found, Path(shown(page))
