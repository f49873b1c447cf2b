"""What each verb does. A command returns its exit code; errors are raised and told in `cli`."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from fermion.core.errors import FermionError, UsageError


def init(known: Namespace) -> int:
    """Write fermion.yaml, with the data's own columns as comments where it names a source."""
    from fermion.app.starter import write

    path = write(Path(known.folder or "."), known.settings)
    if known.json:
        print_json({"project": str(path)})
    else:
        print(f"wrote {path}\nnext: fermion run {path}")
    return 0


def run(known: Namespace) -> int:
    """The whole pipeline."""
    from fermion.core.run import Run
    from fermion.practice.pipeline import Missed, Pipeline
    from fermion.practice.progress import Progress
    from fermion.practice.project import Project, near_project, shown

    project = Project.load(known.project or near_project(), known.settings)
    work = Run(seed=project.spec.seed, device=project.spec.device, listeners=(Progress(),))
    stop_softly(work)
    if not known.json:
        print(f"{project.spec.name}: {shown(project.path)}", file=sys.stderr)
    try:
        done = Pipeline(project, work, fresh=known.fresh).go()
    except Missed as missed:
        if not known.json:
            print_metrics(missed.done.document()["metrics"])
            raise
        print_json(missed.done.document())
        return missed.exit_status
    if known.json:
        print_json(done.document())
        return 0
    print_metrics(done.document()["metrics"])
    reused = [name for name, stage in done.stages.items() if stage["reused"]]
    print(f"\nreused     {', '.join(reused) or 'nothing'}; {done.seconds:.1f} s in all" + (", stopped by hand" if done.stopped else ""))
    print(f"bundle     {shown(Path(str(done.bundle)))}\nid         {str(done.bundle_id)[:12]}\nreport     {shown(Path(str(done.report)))}")
    print(f"next       fermion serve {shown(Path(str(done.bundle)))}")
    return 0


def evaluate(known: Namespace) -> int:
    """Cross-validated metrics."""
    from fermion.core.run import Run
    from fermion.practice.crossvalidation import cross_validate
    from fermion.practice.progress import Progress
    from fermion.practice.project import Project, near_project

    if known.folds is not None and not known.folds.isdecimal():
        raise UsageError("--folds", rule="a whole number from 2", given=known.folds)
    project = Project.load(known.project or near_project(), known.settings)
    work = Run(seed=project.spec.seed, device=project.spec.device, listeners=(Progress(),))
    stop_softly(work)
    done = cross_validate(project, work, folds=int(known.folds or 0), fresh=known.fresh)
    if known.json:
        print_json(done)
        return 0
    print(f"\n{f'mean over {done.folds} folds':<28} {'value':>10}   {'95 % interval':<22} {'baseline':>10}   folds")
    for name, score in done.metrics.items():
        interval = "" if score.low is None else f"{_number(score.low)} .. {_number(score.high)}"
        each = " ".join(map(_number, score.folds))
        print(f"{name:<28} {_number(score.value):>10}   {interval:<22} {_number(score.baseline):>10}   {each}")
    print(f"\n{done.seconds:.1f} s in all" + (", stopped by hand" if done.stopped else ""))
    return 0


def check(known: Namespace) -> int:
    """Findings; exit code 1 when one of them stops a fit."""
    from fermion.core.run import Run
    from fermion.practice.pipeline import Pipeline
    from fermion.practice.progress import Progress
    from fermion.practice.project import Project, near_project

    project = Project.load(known.project or near_project(), known.settings)
    findings = Pipeline(project, Run(seed=project.spec.seed, listeners=(Progress(),))).check()
    stops = any(finding.severity == "error" for finding in findings)
    if known.json:
        print_json({"findings": msgspec.to_builtins(findings)})
        return int(stops)
    for finding in findings:
        rows = f" (rows {', '.join(map(str, finding.rows))})" if finding.rows else ""
        print(f"{finding.severity:<8} {finding.kind:<20} {finding.column or '':<20} {finding.message}{rows}\n{'':<9}{finding.remedy}")
    print("a fit would stop" if stops else f"{len(findings)} finding{'' if len(findings) == 1 else 's'}, none stops a fit")
    return int(stops)


def predict(known: Namespace) -> int:
    """Rows of a file in, answers out."""
    from fermion.bundle import bundle as bundles
    from fermion.practice.prediction import is_rows, predict_file
    from fermion.practice.project import bundle_path, where_bundles_lie

    if is_rows(Path(known.bundle)):
        remedy = f"Say: fermion predict BUNDLE {known.bundle}. {where_bundles_lie()}"
        raise UsageError("the first word", rule="a bundle, or a project with one", given=known.bundle, remedy=remedy)
    bundle = bundles.open(bundle_path(known.bundle))
    if known.json and known.output is None:
        raise UsageError("the output", rule="a file, with --json", given=known.output, remedy="Name one, for example answers.csv.")
    rows, refused = predict_file(bundle, known.input, None if known.output is None else Path(known.output))
    if known.json:
        print_json({"bundle_id": bundle.id, "rows": rows, "refused": len(refused), "output": known.output})
        return 0
    if known.output is not None:
        print(f"{rows - len(refused)} rows answered in {known.output}", file=sys.stderr)
    if refused:
        first = next(iter(refused))
        print(f"{len(refused)} rows refused, the first is row {first}: {refused[first]}", file=sys.stderr)
    return 0


def serve(known: Namespace) -> int:
    """The HTTP service, until SIGTERM or Ctrl-C."""
    from fermion.cloud import server
    from fermion.practice.project import near_project, served

    bundle, settings = served(known.bundle or near_project(), known.settings)
    server.serve(bundle, settings, say=_said if known.json else None)
    return 0


def show(known: Namespace) -> int:
    """What a bundle is."""
    from fermion.bundle import bundle as bundles
    from fermion.practice.project import bundle_path, near_project

    bundle = bundles.open(bundle_path(known.bundle or near_project()))
    manifest = bundle.manifest
    if known.json:
        print_json({"bundle": str(bundle.path), "bundle_id": bundle.id, "manifest": msgspec.to_builtins(manifest)})
        return 0
    print(f"{manifest.name}  {manifest.task}\nbundle     {bundle.path}\nid         {bundle.id}")
    print(f"model      {_line(manifest.provenance.spec.get('model', {}))}")
    print(f"data       {_line(manifest.provenance.data)}")
    print("inputs     " + "\n           ".join(f"{one.name}: {one.kinds[-1]}" for one in manifest.schema.fields[:40]))
    print("outputs    " + "\n           ".join(f"{one.target}: {one.__struct_config__.tag}" for one in manifest.outputs))
    print(f"needs      {', '.join(manifest.needs) or 'the base install'}")
    order = {name: place for place, name in enumerate(metric_names(manifest.task))}
    metrics: dict[str, Any] = msgspec.to_builtins(manifest.metrics)
    print_metrics(dict(sorted(metrics.items(), key=lambda one: order.get(one[0], len(order)))))
    return 0


def verify(known: Namespace) -> int:
    """Every check of a bundle, HTTP among them; exit code 1 when one fails, 2 when this install lacks an extra that it takes."""
    from fermion.bundle.verify import exit_code
    from fermion.practice.live import verify_all
    from fermion.practice.project import bundle_path, near_project

    checks = verify_all(bundle_path(known.bundle or near_project()))
    good = all(one.ok for one in checks)
    if known.json:
        print_json({"ok": good, "checks": msgspec.to_builtins(checks)})
        return exit_code(checks)
    for one in checks:
        print(f"{'ok' if one.ok else 'FAILED':<7} {one.name:<12} {one.detail}")
    code = exit_code(checks)
    print({0: "the bundle holds what it promises", 1: "the bundle does not hold what it promises"}.get(code, "not verified"))
    return code


def runs(known: Namespace) -> int:
    """The runs of a project, oldest first."""
    from fermion.practice.project import Project, near_project

    found = Project.load(known.project or near_project()).runs()
    if known.json:
        print_json({"runs": found})
        return 0
    if not found:
        print("no runs yet; next: fermion run")
    for one in found:
        first = next(iter(one["metrics"].items()), None)
        told = f"{first[0]} {_number(first[1]['value'])}" if first else ""
        state = "missed a requirement" if "error" in one else "stopped by hand" if one["stopped"] else ""
        print(f"{one['run']}  {one['seconds']:8.1f} s  {told:<28} {str(one['bundle_id'] or '')[:12]:<12}  {state}".rstrip())
    return 0


def compare(known: Namespace) -> int:
    """Metrics and settings of two runs, side by side."""
    from fermion.practice.comparison import compare as compared
    from fermion.practice.project import Project, near_project

    project = Project.load(known.project or near_project())
    found = compared(project.run_named(known.one), project.run_named(known.other))
    if known.json:
        print_json(found)
        return 0
    print(f"{'':<24} {found['runs'][0]:>22} {found['runs'][1]:>22}")
    if not found["comparable"]:
        print("scored on different rows: data, split or seed differ")
    for name, row in found["metrics"].items():
        mark = {True: "  outside the interval", False: ""}[bool(row["apart"])]
        print(f"{name:<24} {_number(row['values'][0]):>22} {_number(row['values'][1]):>22}{mark}")
    for name, row in found["settings"].items():
        print(f"{name:<24} {_line(row[0]):>22} {_line(row[1]):>22}")
    return 0


def schema(known: Namespace) -> int:
    """The JSON Schema of project files."""
    from fermion.core.spec import json_schema

    print_json(json_schema())
    return 0


def print_json(document: Any) -> None:
    """The one JSON document of a command, on standard output. NaN is null."""
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.flush()


def error_document(error: FermionError) -> dict[str, Any]:
    """An error as the document of a command."""
    return {"error": error.document()}


def print_metrics(metrics: dict[str, Any]) -> None:
    """A table of metrics with their intervals and what the baseline scores."""
    if not metrics:
        return
    print(f"\n{'on the test part':<28} {'value':>10}   {'95 % interval':<22} {'baseline':>10}")
    for name, score in metrics.items():
        interval = "" if score.get("low") is None else f"{_number(score['low'])} .. {_number(score['high'])}"
        print(f"{name:<28} {_number(score['value']):>10}   {interval:<22} {_number(score.get('baseline')):>10}")


def _said(line: str) -> None:
    """The server's one line as a document: `{"serving": URL}`."""
    print_json({"serving": next(word for word in line.split() if word.startswith("http"))})


def metric_names(task: str) -> list[str]:
    """The metrics of a task in the order of a report: the manifest keeps them by name."""
    from fermion.measure.metrics import for_task

    if task == "binary" or task == "multiclass" or task == "regression":
        return [metric.name for metric in for_task(task)]
    return []


def stop_softly(work: Any) -> None:
    """The first Ctrl-C ends the fit with the best model so far, the second one ends the process."""

    def handler(signum: int, frame: Any) -> None:
        if work.stopped:
            raise KeyboardInterrupt
        work.stop()
        print("\nfermion: stopping with the best so far; Ctrl-C again to give up", file=sys.stderr)

    signal.signal(signal.SIGINT, handler)


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"


def _line(value: Any) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else str(value)
