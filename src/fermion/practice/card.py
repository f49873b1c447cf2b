"""The model card: what was made from what, for whom, how good it is, where it fails, and what was overruled. One Markdown page per run.

Mitchell et al., "Model cards for model reporting", 2019. Values of private columns are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fermion.core.spec import Spec
from fermion.data import sources
from fermion.data.checks import Finding
from fermion.measure.page import shown_as
from fermion.practice.making import Product
from fermion.research.report import Report, Slice

WORST = 5


def card(
    spec: Spec,
    product: Product,
    report: Report,
    findings: Sequence[Finding],
    *,
    rows: Mapping[str, int],
    fingerprint: str,
    aside: Mapping[str, int],
    bundle_id: str | None,
    unread: int = 0,
) -> str:
    """The card of one run as Markdown.

    Args:
        rows: rows by part of the split.
        fingerprint: the digest of the table.
        aside: rows that the cleaning plan set aside, by step.
        bundle_id: the bundle that was made, or None where a requirement was missed.
        unread: rows, files or objects that could not be read and are in no part.
    """
    parts = [
        f"# {spec.name}",
        _facts(spec, product, report, rows, fingerprint, bundle_id),
        "## How good it is",
        _metrics(report),
        *_where_it_fails(report),
        "## The data",
        _data(spec, product, rows, aside, unread),
        "## What the checks found",
        _findings(findings, spec.checks.accept),
        "## Privacy",
        _privacy(spec),
        "## Made again",
        f"Seed {spec.seed}; the effective project file is in the bundle's manifest and in `run.json`. Same file, same data, same result.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(spec: Spec, product: Product, report: Report, rows: Mapping[str, int], fingerprint: str, bundle_id: str | None) -> str:
    target = spec.data.target if isinstance(spec.data.target, str) else ", ".join(spec.data.target)
    inputs = [field.name for field in product.schema.fields]
    facts = {
        "Answers": f"`{target}` ({report.task})",
        "Reads": f"{len(inputs)} columns: {', '.join(inputs[:30])}{' ...' if len(inputs) > 30 else ''}",
        "Model": _model(product.model),
        "Learned from": f"{rows.get('train', 0):,} rows; chosen on {rows.get('validation', 0):,}, judged on {rows.get('test', 0):,}",
        "Data": f"`{sources.public(spec.data.origin.at)}`, digest {fingerprint[:12]}",
        "Bundle": bundle_id[:12] if bundle_id else "none: a requirement was missed",
    }
    return _table(("", ""), [(f"**{name}**", value) for name, value in facts.items()])


def _model(model: Mapping[str, Any]) -> str:
    return f"{model.get('type', '')}{', with its inputs prepared as declared' if 'prepare' in model else ''}"


def _metrics(report: Report) -> str:
    lines: list[tuple[str, ...]] = []
    for name, score in report.metrics.items():
        interval = "" if score.low is None or score.high is None else f"{shown_as(score.low)} to {shown_as(score.high)}"
        baseline = "" if score.baseline is None else shown_as(score.baseline)
        lines.append((name, "" if score.value is None else shown_as(score.value), interval, baseline))
    return _table(("on the test part", "value", "95 % interval", "baseline"), lines)


def _where_it_fails(report: Report) -> list[str]:
    found: list[str] = []
    for detail in report.details.values():
        asked = [one for one in detail.slices if one.asked]
        worst = [one for one in detail.slices if not one.asked][:WORST]
        if asked or worst:
            found += [
                f"### Parts of the data ({detail.slice_metric})",
                _table(("column", "value", "rows", "score", "95 % interval", ""), map(_slice, asked + worst)),
            ]
        if detail.importance:
            leaning = ", ".join(f"{one.column} ({shown_as(one.drop)})" for one in detail.importance[:8])
            found.append(f"It leans most on {leaning}: how much worse {detail.primary} gets without the column's information.")
    return found


def _slice(one: Slice) -> tuple[str, ...]:
    clear = one.gap > max(one.score - one.low, one.high - one.score)
    interval = f"{shown_as(one.low)} to {shown_as(one.high)}"
    return (one.column, one.value, f"{one.rows:,}", shown_as(one.score), interval, "worse than the whole" if clear else "")


def _data(spec: Spec, product: Product, rows: Mapping[str, int], aside: Mapping[str, int], unread: int) -> str:
    told = [f"Split by {spec.split.by}" + (f" of `{spec.split.column}`" if spec.split.column else "") + "."]
    if unread:
        told.append(f"{unread:,} could not be read and are in no part: `unreadable.jsonl` lists them.")
    if aside:
        told.append(
            f"{sum(aside.values()):,} training rows were set aside: "
            + ", ".join(f"{step} {count:,}" for step, count in aside.items())
            + "."
        )
    repaired = [name for name, said in spec.data.columns.items() if said.repair is not None]
    if repaired:
        told.append(f"Repaired in training and in serving: {', '.join(repaired)}.")
    if spec.data.features:
        told.append(f"{len(spec.data.features)} columns were made from others.")
    if spec.data.expect:
        told.append(f"{len(spec.data.expect)} expectations hold of the data; those about a row are checked on requests.")
    if product.skipped:
        told.append("Not read: " + "; ".join(f"{name} ({why})" for name, why in product.skipped.items()) + ".")
    return "\n".join(f"- {line}" for line in told)


def _findings(findings: Sequence[Finding], accepted: Iterable[str]) -> str:
    overruled = ", ".join(f"`{name}`" for name in accepted)
    told = f"Overruled by name in the project file: {overruled}.\n\n" if overruled else ""
    listed = [one for one in findings if one.severity != "info"]
    if not listed:
        return told + "Nothing that would spoil a fit."
    return told + _table(("", "kind", "column", "what"), [(one.severity, one.kind, one.column or "", one.message) for one in listed])


def _privacy(spec: Spec) -> str:
    words = {
        "keep": "read by the model, shown nowhere",
        "redact": "personal patterns cut out",
        "hash": "salted and hashed",
        "drop": "not read at all",
    }
    words_of = {name: words[said.private] for name, said in spec.data.columns.items() if said.private is not None}
    private = {name: "no input, shown nowhere" if name in spec.data.ignore else told for name, told in words_of.items()}
    if not private:
        return "No column is marked private. `fermion data private` looks for personal data."
    return _table(("column", "how it is guarded"), list(private.items()))


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)
