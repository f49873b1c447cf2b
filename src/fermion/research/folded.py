"""Cross-validated fitting: one model per fold, each learned without it, and their mean. For tables too small to give rows away."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, structs
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core import registry
from fermion.core.declared import part
from fermion.core.errors import DataError, FermionError, Stopped, Told
from fermion.core.run import Run
from fermion.research.mixture import Mixture, answered, called, joined
from fermion.research.model import Curve, Encoded, Fitted, Model
from fermion.research.targets import EVERY, TAGGED, learnable

BINS = 10  # by which the folds of a value are alike


class Folded(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="folded"):
    """The training and validation rows fall into `folds` parts; each part is the validation part of a model that learns from the others.

    Every row teaches all models but one, and the answer is their mean, p = 1/F sum_f p_f. What the models say about the rows that they did
    not learn from, together one answer per row, is what thresholds and weights are chosen on, so nothing is lost to a validation part.
    Folds hold equal shares of the first target's classes, or of ten ranges of its values; rows of one group stay together.

    A model of F folds costs F times as much to fit and to serve.

    Args:
        model: what is fitted.
        folds: how many parts; a table with fewer rows, or groups, has as many as those.

    >>> Folded(model="trees", folds=3).model.lr
    0.05

    Breiman: Stacked Regressions, Machine Learning 1996; Erickson et al.: AutoGluon-Tabular, 2020.
    """

    model: Annotated[Any, part("models")]
    folds: Annotated[int, Meta(ge=2, le=50)] = 5

    def __post_init__(self) -> None:
        force_setattr(self, "model", registry.read("models", self.model, where="model"))

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Fit one model per fold; each may use an equal share of the time that those before it left.

        Raises:
            DataError: no labelled row, one class, a single row, or what the model raises for every fold.
            Stopped: it was stopped before the first model had learned.
        """
        for output in train.outputs:
            learnable(output, train, kinds=(*EVERY, *TAGGED))
        rows = joined(train, valid) if len(valid) else train
        fold_N = dealt(rows, self.folds, run)
        folds = int(fold_N.max()) + 1
        model: Model = self.model
        kept: list[Fitted] = []
        held: list[NDArray[np.int64]] = []
        notes: list[str] = []
        refused: FermionError | None = None
        for fold in range(folds):
            if kept and run.left() <= 0:
                notes.append(f"no time was left for fold {fold + 1} of {folds}")
                continue
            run.emit("progress", "fit", f"fold {fold + 1} of {folds}", done=fold, total=folds)
            try:
                fitted = model.fit(rows.take(fold_N != fold), rows.take(fold_N == fold), run.within(1 / (folds - fold)))
            except Stopped:
                if not kept:
                    raise
                continue
            except FermionError as bad:  # the only rows of a class, say, lie in this fold
                refused = refused or bad
                notes.append(f"fold {fold + 1} of {folds} is left out: {bad}")
                continue
            kept.append(fitted)
            held.append(np.flatnonzero(fold_N == fold))
        if not kept:
            assert refused is not None
            raise refused
        weights = {output.array: (1.0,) * len(kept) for output in train.outputs}
        told = [note for fitted in kept[:1] for note in fitted.notes]
        learned = Mixture(
            outputs=train.outputs, members=tuple(fitted.learned for fitted in kept), weights=weights, given=train.schema.layout.names
        )
        name = called([self.model])[0]
        return Fitted(
            schema=train.schema,
            outputs=train.outputs,
            learned=learned,
            curves=tuple(_of(place, curve) for place, fitted in enumerate(kept) for curve in fitted.curves),
            notes=(f"the mean of {len(kept)} times {name}, each without one of {folds} folds", *told, *notes),
            out_of_fold=_together(kept, held, rows),
        )


def dealt(rows: Encoded, folds: int, run: Run) -> NDArray[np.int8]:
    """(N,) the fold of each row.

    Raises:
        DataError: there is a single row, or a single group.
    """
    units_N = None if rows.units is None else np.unique(rows.units, return_inverse=True)[1].astype(np.int64)
    count = len(rows) if units_N is None else int(units_N.max(initial=-1)) + 1
    if count < 2:
        raise DataError(
            "the rows of a `folded` model",
            rule="at least two, so that each can be left out" if units_N is None else "of at least two groups",
            given=Told(str(count)),
            remedy="Take the model without folds.",
        )
    return deal(_strata(rows.outputs[0], rows), units_N, min(folds, count), run.rng("folds"))


def deal(codes_M: NDArray[np.int64], groups_M: NDArray[np.int64] | None, parts: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """(M,) the part of each row: equal shares of every class, as far as whole rows, or whole groups, allow.

    Without groups each class is shuffled and dealt out one by one, each class beginning where the last ended. Groups go, the largest
    first, where the classes that they bring are scarcest.

    >>> np.bincount(deal(np.array([0] * 6 + [1] * 3), None, 3, np.random.default_rng(0))).tolist()
    [3, 3, 3]
    """
    shuffled = rng.permutation(len(codes_M))
    part_M = np.empty(len(codes_M), dtype=np.int8)
    if groups_M is None:
        part_M[shuffled[np.argsort(codes_M[shuffled], kind="stable")]] = np.arange(len(codes_M)) % parts
        return part_M
    groups, classes = int(groups_M.max()) + 1, int(codes_M.max()) + 1
    count_GK = np.zeros((groups, classes))
    np.add.at(count_GK, (groups_M, codes_M), 1)
    share_GK = count_GK / np.maximum(count_GK.sum(0), 1)
    size_G = count_GK.sum(1) / len(codes_M)
    lot_G = rng.permutation(groups)
    filled_PK, rows_P, part_G = np.zeros((parts, classes)), np.zeros(parts), np.empty(groups, dtype=np.int8)
    for group in lot_G[np.argsort(-size_G[lot_G], kind="stable")]:
        part = int(np.argmin(filled_PK @ share_GK[group] + rows_P * size_G[group]))
        part_G[group] = part
        filled_PK[part] += share_GK[group]
        rows_P[part] += size_G[group]
    return part_G[groups_M]


def _strata(output: Output, rows: Encoded) -> NDArray[np.int64]:
    """(N,) numbers from 0: what the folds have equal shares of. Unlabelled rows are a stratum of their own."""
    y_N = rows.targets[output.target]
    if y_N.ndim > 1:
        return np.zeros(len(y_N), dtype=np.int64)
    if isinstance(output, Probability):
        return (y_N + 1).astype(np.int64)
    known_N = ~np.isnan(y_N.astype(np.float64))
    if not known_N.any():
        return np.zeros(len(y_N), dtype=np.int64)
    edges = np.quantile(y_N[known_N], np.linspace(0, 1, BINS + 1)[1:-1])
    return np.where(known_N, 1 + np.searchsorted(edges, np.where(known_N, y_N, 0.0)), 0).astype(np.int64)


def _together(kept: list[Fitted], held: list[NDArray[np.int64]], rows: Encoded) -> Arrays:
    """One answer per row, each from the model that did not learn from it; NaN where there is none."""
    whole: Arrays = {}
    for fitted, at in zip(kept, held, strict=True):
        for name, said in answered(fitted.learned, rows.take(at)).items():
            whole.setdefault(name, np.full((len(rows), *said.shape[1:]), np.nan, dtype=np.float32))[at] = said
    return whole


def _of(place: int, curve: Curve) -> Curve:
    return structs.replace(curve, name=f"fold {place + 1}: {curve.name}")
