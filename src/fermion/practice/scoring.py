"""The rows that were held out, scored with the graphs that will be served."""

from __future__ import annotations

import msgspec

from fermion.core.run import Run
from fermion.core.spec import Spec
from fermion.data.checks import Finding
from fermion.data.split import Marks
from fermion.data.table import Table
from fermion.practice.making import Product
from fermion.practice.preparation import encode, parts, row_weights
from fermion.research.evaluate import Report, evaluate


def score(table: Table, marks: Marks, product: Product, findings: list[Finding], spec: Spec, run: Run) -> Report:
    """The report of a product on the test part; decisions are chosen on the validation part.

    Raises:
        DataError: a held-out row has a class that training did not have, or a value that does not fit.
    """
    rows = parts(marks)
    weights_N = row_weights(table, spec.data, "evaluate")
    held = {
        part: encode(table, product.schema, product.outputs, weights_N, rows=rows[part], scratch=run.folder)
        for part in ("validation", "test")
        if len(rows[part])
    }
    test = table.take(rows["test"])
    return evaluate(
        product.runtime(),
        test=held["test"],
        valid=held.get("validation"),
        raw=test,
        rows=rows["test"],
        groups=test.values(spec.split.column) if spec.split.by == "group" and spec.split.column else None,
        baseline=product.baseline,
        spec=spec,
        curves=product.curves,
        notes=(*product.notes, *(f"`{name}` is no input: {why}" for name, why in product.skipped.items())),
        findings=[msgspec.to_builtins(finding) for finding in findings],
        split={"by": marks.by, "sizes": marks.sizes, "boundaries": marks.boundaries},
        run=run,
    )
