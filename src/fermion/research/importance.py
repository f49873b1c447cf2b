"""Permutation importance: how much worse the primary metric gets when one column's values are shuffled among the rows.

Breiman, "Random Forests", Machine Learning 45, 2001; Fisher, Rudin and Dominici, JMLR 20, 2019. Columns that say the same share their
importance: shuffling one leaves the other to lean on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Decision, Probability
from fermion.columns.schema import Layout
from fermion.core.run import Run
from fermion.measure.metrics import for_task
from fermion.research.model import Encoded
from fermion.research.report import Importance
from fermion.research.scoring import Answering, answers, judge, kind_of

ROWS = 2000
REPEATS = 3
MANY_COLUMNS = 100  # from here on each is shuffled once


def importances(
    model: Answering, test: Encoded, decisions: Mapping[str, Decision], run: Run
) -> tuple[dict[str, tuple[Importance, ...]], tuple[str, ...]]:
    """By target the importance of every column, the largest first; and notes on what was left out.

    At most 2,000 rows are used: drawn from each class alike and weighted back, so that a rare class is not lost. Stops when the
    run's time is over; the columns that were reached are kept.
    """
    names = test.schema.names
    if len(names) < 2:
        return {}, (f"No permutation importance: `{names[0] if names else 'nothing'}` is the only input.",)
    rng = run.rng("importance")
    some = _sample(test, rng)
    if not len(some):
        return {}, ("No permutation importance: the test part has no labelled rows.",)
    whole = _scores(model, some, some.arrays, decisions)
    repeats = REPEATS if len(names) < MANY_COLUMNS else 1
    drops: dict[str, dict[str, list[float]]] = {target: {} for target, score in whole.items() if not np.isnan(score)}
    notes = tuple(f"No permutation importance for `{target}`: its primary metric is undefined." for target in whole if target not in drops)
    done = 0
    for done, name in enumerate(names):
        if run.left() <= 0 or not drops:
            break
        run.emit("progress", "evaluate", "permutation importance", done=done, total=len(names))
        for _ in range(repeats):
            shuffled = _scores(model, some, _shuffled(some, name, rng.permutation(len(some))), decisions)
            for target in drops:
                worse = _sign(some, target) * (whole[target] - shuffled[target])
                drops[target].setdefault(name, []).append(worse + 0.0)  # never -0.0
    else:
        done = len(names)
    if drops and done < len(names):
        notes = (*notes, f"Permutation importance of {done} of {len(names)} columns: the time was over.")
    return {target: _ranked(found) for target, found in drops.items()}, notes


def _ranked(drops: Mapping[str, Sequence[float]]) -> tuple[Importance, ...]:
    found = [Importance(column=name, drop=sum(x) / len(x), low=min(x), high=max(x)) for name, x in drops.items() if np.isfinite(x).all()]
    return tuple(sorted(found, key=lambda one: -one.drop))


def _scores(model: Answering, some: Encoded, arrays: Arrays, decisions: Mapping[str, Decision]) -> dict[str, float]:
    """The primary metric by target."""
    said = answers(model, arrays)
    judged = {output.target: judge(output, some, said, decisions.get(output.target)) for output in some.outputs}
    return {target: one.metrics[0].score(one.scored) for target, one in judged.items()}


def _sign(some: Encoded, target: str) -> float:
    output = next(output for output in some.outputs if output.target == target)
    return 1.0 if for_task(kind_of(output))[0].direction == "max" else -1.0


def _shuffled(some: Encoded, name: str, order: NDArray[np.int64]) -> Arrays:
    """The arrays with all that one column became moved to other rows, and what is derived from it; the rest is shared, not copied."""
    layout: Layout = some.schema.layout
    changed = dict(some.arrays)
    for fused, refs in (("numbers", layout.numbers), ("codes", layout.codes)):
        mine = [place for place, ref in enumerate(refs) if ref.field == name]
        if mine:
            changed[fused] = changed[fused].copy()
            changed[fused][:, mine] = some.arrays[fused][order][:, mine]
            if fused == "numbers":
                some.schema.derive(changed[fused], of=name)
    for named in layout.arrays:
        if named.field == name:
            changed[named.name] = some.arrays[named.name][order]
    return changed


def _sample(test: Encoded, rng: np.random.Generator) -> Encoded:
    """At most 2,000 rows that count; of a first target with classes, of each class alike, with weights that make up for it."""
    weights = np.ones(len(test)) if test.weights is None else test.weights
    output = test.outputs[0]
    y_N = test.targets[output.target]
    usable = np.flatnonzero((weights > 0) & output.known(y_N))
    if len(usable) <= ROWS:
        return test.take(usable)
    group_N = y_N[usable] if isinstance(output, Probability) else np.zeros(len(usable), np.int64)
    kept: list[NDArray[np.int64]] = []
    scale: list[NDArray[np.float64]] = []
    room = ROWS
    codes, counts = np.unique(group_N, return_counts=True)
    smallest_first = np.argsort(counts, kind="stable")
    for turn, place in enumerate(smallest_first.tolist()):
        of_group = usable[group_N == codes[place]]
        take = min(len(of_group), max(1, room // (len(codes) - turn)))
        kept.append(rng.choice(of_group, take, replace=False))
        scale.append(np.full(take, len(of_group) / take))
        room -= take
    rows = np.concatenate(kept)
    order = np.argsort(rows)
    some, weights = test.take(rows[order]), weights[rows[order]] * np.concatenate(scale)[order]
    return Encoded(schema=some.schema, outputs=some.outputs, arrays=some.arrays, targets=some.targets, weights=weights)
