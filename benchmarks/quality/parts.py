"""A project with a fixed test part, seed by seed: its parts as a model sees them, accuracy, and the interval of a mean over seeds."""

from __future__ import annotations

import statistics
from typing import Any

from msgspec import structs

from fermion.core.run import Run
from fermion.data.table import Table
from fermion.practice import making
from fermion.practice.preparation import encode, parts, units_of
from fermion.practice.project import Project
from fermion.research.model import Encoded, Fitted

STUDENT_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # the 97.5 % quantile of Student's t with one degree of freedom less than seeds


def encoded(table: Table, project: Project, seed: int) -> tuple[dict[str, Encoded], Any]:
    """The parts as a model sees them, and the model."""
    spec = structs.replace(project.spec, seed=seed)
    marks = making.divide(table, spec, Run(seed=seed))
    learnt, made = making.plan(table, marks, spec), dict[str, Encoded]()
    for name, rows in parts(marks).items():
        one = encode(table, learnt.schema, learnt.outputs, None, rows=rows)
        made[name] = structs.replace(one, units=units_of(table, spec, rows))
    return made, making.model_of(spec, learnt.schema)


def accuracy(fitted: Fitted, rows: Encoded) -> float:
    """The share of rows whose most probable class is theirs."""
    output = rows.outputs[0]
    return float((fitted.run(rows.arrays)[output.array].argmax(1) == rows.targets[output.target]).mean())


def spread(values: list[float]) -> list[float]:
    """The interval of 95 % of the mean over seeds; of one seed, that seed."""
    half = STUDENT_95[len(values)] * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return [round(statistics.mean(values) - half, 4), round(statistics.mean(values) + half, 4)]
