"""The most confident errors: where to look first, for wrong labels as much as for a wrong model."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fermion.columns.schema import Schema
from fermion.data.table import Table
from fermion.measure.png import png
from fermion.measure.scored import Scored
from fermion.research.judging import term_of, told
from fermion.research.model import Encoded
from fermion.research.report import Mistake, Plain
from fermion.research.scoring import Judged, finite

MOST = 24
COLUMNS = 40
LETTERS = 80
HIDDEN = "(private)"
PIXELS = 192  # per side, in a report


def most_confident(judged: Judged, test: Encoded, raw: Table, rows: NDArray[np.int64], most: int = MOST) -> tuple[Mistake, ...]:
    """Up to 24 rows that were answered wrong, the surest first: by probability of the answer less that of the truth, or by how far the
    answer is off.

    Args:
        judged: what was said about the labelled rows of `test`.
        raw: the rows of `test` as they came.
        rows: (N,) their numbers in the source.
    """
    scored, output = judged.scored, judged.output
    counts = np.ones(len(scored), np.bool_) if scored.weights is None else scored.weights > 0
    each = np.arange(len(scored))
    p_N = truth_N = None
    if isinstance(scored, Scored) and scored.probabilities is not None:
        p_N, truth_N = scored.probabilities[each, scored.decided], scored.probabilities[each, scored.truth]
        wrong, surprise_N = (scored.truth != scored.decided) & counts, p_N - truth_N
    elif (off_N := term_of(scored, judged.task)) is not None:
        surprise_N, wrong = off_N, (off_N > 0) & counts
    else:
        return ()
    found: list[Mistake] = []
    for n in each[wrong][np.argsort(-surprise_N[wrong], kind="stable")][:most].tolist():
        at = int(judged.at[n])
        truth, answer = told(output, scored, n)
        found.append(
            Mistake(
                row=int(rows[at]),
                truth=truth,
                answer=answer,
                probability=None if p_N is None else finite(float(p_N[n])),
                of_truth=None if truth_N is None else finite(float(truth_N[n])),
                values=plain_values(raw, at, test.schema),
                picture=_picture(test, at),
            )
        )
    return tuple(found)


def plain_values(raw: Table, at: int, schema: Schema) -> dict[str, Plain]:
    """A row's inputs as they came, but pictures; private values are not shown, texts are shortened, and of very many columns the first
    are kept."""
    pictures = {named.field for named in schema.layout.arrays if named.slot.role == "image"}
    private = {field.name for field in schema.fields if field.private}
    names = [name for name in schema.names if name in raw.names and name not in pictures][:COLUMNS]
    row: Mapping[str, object] = raw.select(names).row(at) if names else {}
    return {name: HIDDEN if name in private else shortened(value) for name, value in row.items()}


def shortened(value: object) -> Plain:
    """A value as one short line of JSON.

    >>> shortened("x" * 100)[-3:], shortened(b"12"), shortened(float("inf"))
    ('xx…', '2 bytes', None)
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)[:LETTERS]  # a larger one is no number in JavaScript
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = value.isoformat(sep=" ") if isinstance(value, datetime.datetime) else str(value)
    text = " ".join(text[: 4 * LETTERS].split())
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def _picture(test: Encoded, at: int) -> bytes | None:
    """The picture as the model saw it, in a size that a report can hold."""
    for named in test.schema.layout.arrays:
        if named.slot.role == "image" and named.field not in test.schema.private:
            pixels = test.arrays[named.name][at]
            step = -(-max(pixels.shape[:2]) // PIXELS)
            return png(np.ascontiguousarray(pixels[::step, ::step]))
    return None
