"""The rows that were held out, scored with the graphs that will be served."""

from __future__ import annotations

import msgspec
import numpy as np
from msgspec import Struct

from fermion.columns.column import Arrays
from fermion.core.run import Run
from fermion.core.spec import Spec
from fermion.data.checks import Finding
from fermion.data.split import Marks
from fermion.data.table import Table
from fermion.practice.making import Product, unpacked
from fermion.practice.preparation import encode, parts, row_weights
from fermion.research.evaluate import Report, evaluate
from fermion.research.model import answered_blind


class Folds(Struct, frozen=True, kw_only=True):
    """Answers that were kept, looked up by the number of the row: each by a model that did not learn from it."""

    said: Arrays

    def run(self, arrays: Arrays) -> Arrays:
        """The answers to these rows."""
        return {name: said[arrays["row"]] for name, said in self.said.items()}


def score(table: Table, marks: Marks, product: Product, findings: list[Finding], spec: Spec, run: Run) -> Report:
    """The report of a product on the test part; decisions are chosen on the validation part, or on all rows that some model was blind to.

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
    valid, chosen_by = held.get("validation"), None
    folded = unpacked(product.out_of_fold)
    if folded is not None and len(blind := answered_blind([*folded.values()])):
        both = np.concatenate([rows["train"], rows["validation"]])[blind]
        valid = encode(table, product.schema, product.outputs, weights_N, rows=both, scratch=run.folder)
        valid = msgspec.structs.replace(valid, arrays={"row": blind})
        chosen_by = Folds(said=folded)
    return evaluate(
        product.runtime(),
        test=held["test"],
        valid=valid,
        chosen_by=chosen_by,
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
