"""From a project file to a verified, registered bundle: `fermion run`. Read this to see where everything happens."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, field

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle, replacing
from fermion.bundle.manifest import Score
from fermion.bundle.verify import Check, verify_fresh
from fermion.core import imported
from fermion.core.declared import Source
from fermion.core.errors import FermionError, NotReached, Stopped, Told
from fermion.core.run import Event, Run
from fermion.core.sections import seconds
from fermion.core.spec import document
from fermion.data import checks, sources
from fermion.data.checks import Finding
from fermion.data.clean import Cleaned, SetAside, kept_aside, part_digest
from fermion.data.reading import Aside
from fermion.data.split import Marks
from fermion.data.table import Table
from fermion.practice import collecting, labelling, making
from fermion.practice.cache import Stages
from fermion.practice.card import card
from fermion.practice.live import check_live
from fermion.practice.making import Product
from fermion.practice.preparation import parts, placed, private_of
from fermion.practice.project import Project
from fermion.practice.scoring import score
from fermion.research import own_metrics
from fermion.research.evaluate import Report, missed
from fermion.research.scoring import task_of

FORMAT = 1  # of run.json


class Read(Struct, frozen=True, kw_only=True):
    """What the stage `data` found: enough to know whether anything after it has to be done again."""

    fingerprint: str
    rows: int
    names: tuple[str, ...]
    aside: tuple[Aside, ...] = ()


class Marked(Struct, frozen=True, kw_only=True):
    """Marks as the cache keeps them."""

    codes: bytes
    by: str
    column: str | None
    boundaries: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, marks: Marks) -> Marked:
        return cls(codes=marks.codes.astype(np.int8).tobytes(), by=marks.by, column=marks.column, boundaries=marks.boundaries)

    def marks(self) -> Marks:
        return Marks(codes=np.frombuffer(self.codes, dtype=np.int8), by=self.by, column=self.column, boundaries=self.boundaries)


class Tidied(Struct, frozen=True, kw_only=True):
    """What cleaning gives, as the cache keeps it."""

    marked: Marked
    aside: tuple[SetAside, ...]

    @classmethod
    def of(cls, cleaned: Cleaned) -> Tidied:
        return cls(marked=Marked.of(cleaned.marks), aside=cleaned.aside)


class Done(Struct, frozen=True, kw_only=True):
    """What a run gives; `document` is what `--json` prints and run.json keeps."""

    run: str
    task: str
    bundle: str | None
    bundle_id: str | None
    report: str | None
    metrics: dict[str, Score]
    seconds: float
    stages: dict[str, dict[str, Any]]
    stopped: bool
    name: str = ""
    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    error: NotReached | None = None
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON has it; `error` only where there is one."""
        whole: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(self, error=None))
        del whole["error"]
        return whole if self.error is None else {**whole, "error": self.error.document()}


class Scored(Struct, frozen=True, kw_only=True):
    """What there is when the test part has been scored; `depends` is everything that the report depends on."""

    read: Read
    marks: Marks
    findings: tuple[Finding, ...]
    product: Product
    report: Report
    depends: list[Any]


class Pipeline:
    """One run of a project. `run` does everything; the stages are methods in the order in which they happen."""

    def __init__(self, project: Project, run: Run, *, fresh: bool = False) -> None:
        self.project, self.spec, self.run = project, placed(project.spec, project.folder), run
        self.shown = collecting.published(project.spec)
        self.events: list[Event] = []
        run.listeners.append(self.events.append)
        run.home = project.folder
        self.fresh = fresh
        run.cache = None if fresh else project.state / "cache"
        self.stages = Stages(None if fresh else project.state / "cache", run)
        self._table: Table | None = None
        self._unread: list[Aside] = []
        self.aside: tuple[SetAside, ...] = ()

    def go(self) -> Done:
        """Data, split, clean, checks, fit, evaluate, report, bundle, card, verify, register.

        Raises:
            FermionError: what stopped it. Nothing is registered then, and what the stages before gave is kept for the next run.
        """
        self.folder = self.run.folder = self.project.new_run()
        try:
            done = self._go()
        finally:
            told = [event for event in self.events if event.kind != "progress"]
            self._write("events.jsonl", b"".join(msgspec.json.encode(event) + b"\n" for event in told))
        self._write("run.json", msgspec.json.encode(done.document()))
        if done.error is not None:
            raise Missed(done)
        return done

    def of_fold(self, fold: int, folds: int) -> Pipeline:
        """The same project with one fold as its test part; rows that were read are shared, what it leaves lies in a scratch folder."""
        split = msgspec.structs.replace(self.spec.split, folds=folds, fold=fold)
        other = Pipeline(Project(self.project.path, msgspec.structs.replace(self.spec, split=split)), self.run, fresh=self.fresh)
        other.folder = other.run.folder = self.project.state / "folds" / str(fold)
        other.folder.mkdir(parents=True, exist_ok=True)
        other._table = self.table()
        return other

    def scored(self) -> Scored:
        """Data, split, clean, checks, fit, evaluate."""
        spec, stages = self.spec, self.stages
        own_metrics.load(spec.evaluate.metrics, self.project.folder)  # a mistake in them is told before a long fit
        read = stages.stage("data", Read, [*collecting.depends(spec, self._stamp), labelling.stamp(self.project)], self._read)
        self._tell_unread(read.aside)
        of_split = [read.fingerprint, document(spec)["data"], spec.split, spec.seed]
        marks = stages.stage("split", Marked, of_split, lambda: Marked.of(making.divide(self.table(), spec, self.run))).marks()
        before = part_digest(marks)
        tidied = stages.stage("clean", Tidied, of_split, lambda: Tidied.of(making.tidy(self.table(), marks, spec, self.run)))
        marks, self.aside = tidied.marked.marks(), tidied.aside
        if self.aside:
            self._set_aside(Cleaned(marks=marks, aside=self.aside))
        of_checks = [*of_split, spec.checks]
        findings = stages.stage("checks", list[Finding], of_checks, lambda: making.look(self.table(), marks, spec, training=before))
        for finding in findings:
            self.run.emit("finding", "checks", finding.message, **msgspec.to_builtins(finding))
        checks.refuse(findings)
        named = {name: section for name, section in document(spec).items() if name != "data"}
        written = imported.digests([named, document(spec)["data"].get("columns")], self.project.folder)  # the user's own modules and files
        of_fit = [*of_split, spec.model, spec.seed, spec.budget, spec.device, making.libraries(), written]
        self.run.checkpoints = stages.partial("fit", of_fit)
        product = stages.stage("fit", Product, of_fit, lambda: self._fit(marks), keep=lambda: not self.run.stopped)
        of_evaluate = [*of_fit, spec.evaluate, spec.decide, findings]
        report = stages.stage(
            "evaluate",
            Report,
            of_evaluate,
            lambda: score(self.table(), marks, product, findings, self.shown, self.run),
            keep=lambda: not product.stopped,
        )
        return Scored(read=read, marks=marks, findings=tuple(findings), product=product, report=report, depends=of_evaluate)

    def _go(self) -> Done:
        spec, stages, done = self.spec, self.stages, self.scored()
        read, marks, findings, product, report, of_evaluate = done.read, done.marks, done.findings, done.product, done.report, done.depends
        page = stages.stage(
            "report", bytes, [of_evaluate, spec.name], lambda: self._page(report, product), keep=lambda: not product.stopped
        )
        self._write("report.html", page)
        self._write("report.json", msgspec.json.format(msgspec.json.encode(report)))
        missing = missed(report.metrics, spec.evaluate.require, report.own)
        bundle = None if missing else stages.plain("bundle", lambda: self._bundle(marks, product, report, read))
        told = card(
            spec,
            product,
            report,
            list(findings),
            rows=marks.sizes,
            fingerprint=read.fingerprint,
            aside=Cleaned(marks=marks, aside=self.aside).counts,
            unread=len(read.aside),
            bundle_id=None if bundle is None else bundle.id,
        )
        self._write("card.md", told.encode())
        if bundle is None:
            return self._done(None, product, report, error=missing)
        verified = stages.stage("verify", list[Check], [bundle.id, platform.node(), making.libraries()], lambda: self._verify(bundle))
        stages.plain("register", lambda: self.project.register(bundle))
        return self._done(bundle, product, report, verified=verified)

    def check(self) -> list[Finding]:
        """Data, split and checks alone.

        Raises:
            FermionError: what a run would raise before its fit.
        """
        table = self.table()
        self._tell_unread(self._unread)
        marks = making.divide(table, self.spec, self.run)
        before = part_digest(marks)
        marks = making.tidy(table, marks, self.spec, self.run).marks
        findings = making.look(table, marks, self.spec, training=before)
        if not any(finding.severity == "error" for finding in findings):
            making.plan(table, marks, self.spec)  # what `run` would refuse is told now
        return findings

    def _stamp(self, source: str | Source) -> Any:
        """What tells, without reading it, that a source is as it was."""
        return sources.stamp(source, folder=self.project.folder, where=self.project.place("source"))

    def table(self) -> Table:
        """The rows, read when a stage needs them and then kept."""
        if self._table is None:
            self._unread.clear()
            self._table = collecting.collect(
                self.spec,
                folder=self.project.folder,
                place=self.project.place,
                aside=self._unread,
                scratch=self.project.state / "mapped",
                note=lambda told: self.run.emit("note", "data", told),
                overlay=lambda table: labelling.overlay(table, self.project),
            )
        return self._table

    def _read(self) -> Read:
        table = self.table()
        return Read(fingerprint=table.fingerprint, rows=len(table), names=table.names, aside=tuple(self._unread))

    def _tell_unread(self, unread: Sequence[Aside]) -> None:
        """What could not be read and was left out of all parts: how much, an example, and all of it in a file beside the run."""
        if not unread:
            return
        first = f"{len(unread):,} set aside that cannot be read, the first {unread[0].place}: {unread[0].reason}"
        self.run.emit("note", "data", first)
        if self.run.folder is not None:
            self._write("unreadable.jsonl", b"".join(msgspec.json.encode(one) + b"\n" for one in unread))

    def _set_aside(self, cleaned: Cleaned) -> None:
        """The rows that the fit does not see, with their reasons, beside the run; without the values of private columns."""
        hidden = [name for name in private_of(self.spec.data) if name in self.table().names]
        rows = kept_aside(self.table().drop(hidden), cleaned)
        with replacing(self.folder / "set-aside.parquet") as scratch:
            rows.frame.write_parquet(scratch)
        told = ", ".join(f"{step} {count:,}" for step, count in cleaned.counts.items())
        self.run.emit("note", "clean", f"{len(cleaned.aside):,} training rows set aside ({told}): set-aside.parquet")

    def _fit(self, marks: Marks) -> Product:
        table = self.table()
        if self.spec.budget is not None:
            self.run.budget = self.run.seconds + seconds(self.spec.budget)
        try:
            return making.fit(table, marks, self.spec, self.run)
        except FermionError:
            if self.run.stopped:
                raise Stopped("the run", rule="left alone until there is a model", given=Told("Ctrl-C"), remedy="Run it again.") from None
            raise
        finally:
            self.run.budget = None  # it is for fitting; what follows is short and has to be done

    def _page(self, report: Report, product: Product) -> bytes:
        from fermion.research.pages import page

        return page(report, title=self.spec.name, model=product.model).html().encode()

    def _bundle(self, marks: Marks, product: Product, report: Report, read: Read) -> Bundle:
        rows = {part: len(numbers) for part, numbers in parts(marks).items()}
        data = {"source": sources.public(self.spec.data.origin.at), "fingerprint": read.fingerprint, "rows": rows}
        code = making.commit_of(self.project.folder)
        manifest = making.manifest_of(self.shown, product, decisions=report.decisions, metrics=report.metrics, data=data, code=code)
        profile = msgspec.json.encode(product.profile)
        return bundles.write(self.project.bundle_folder, manifest, graphs=product.graphs, golden=product.golden, profile=profile)

    def _verify(self, bundle: Bundle) -> list[Check]:
        found = [*verify_fresh(bundle.path), check_live(bundle)]
        for check in found:
            if not check.ok:
                raise FermionError(
                    f"the bundle's check `{check.name}`",
                    rule="passed before it is registered",
                    given=Told(check.detail),
                    where=str(bundle.path),
                )
        return found

    def _done(
        self,
        bundle: Bundle | None,
        product: Product,
        report: Report,
        *,
        verified: list[Check] | None = None,
        error: NotReached | None = None,
    ) -> Done:
        return Done(
            run=self.folder.name,
            name=self.spec.name,
            task=task_of(product.outputs),
            bundle=None if bundle is None else str(bundle.path),
            bundle_id=None if bundle is None else bundle.id,
            report=str(self.folder / "report.html"),
            metrics=report.metrics,
            seconds=round(self.run.seconds, 3),
            stages=self.stages.times,
            stopped=product.stopped,
            spec=document(self.shown),
            checks=tuple(verified or ()),
            notes=report.notes,
            error=error,
        )

    def _write(self, name: str, data: bytes) -> Path:
        with replacing(self.folder / name) as scratch:
            scratch.write_bytes(data)
        return self.folder / name


class Missed(NotReached):
    """A requirement of `evaluate.require` that was not reached, with the run that missed it."""

    def __init__(self, done: Done) -> None:
        missing = done.error
        assert missing is not None
        super().__init__(missing.subject, rule=missing.rule, given=Told(missing.given), remedy=missing.remedy, where=missing.where)
        self.done = done
