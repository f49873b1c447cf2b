"""A model made of models: each learns alone, and their answers are averaged with weights that the validation part chose."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, structs
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from fermion.columns.column import Arrays
from fermion.columns.output import Output
from fermion.core import registry
from fermion.core.declared import part
from fermion.core.errors import DataError, FermionError, SpecError, Stopped, Told
from fermion.core.run import Run
from fermion.research.cat import Catboost
from fermion.research.folded import Folded
from fermion.research.mixture import Mixture, answered, called, joined, mean_of
from fermion.research.model import Curve, Encoded, Fitted, Model, answered_blind
from fermion.research.rowloss import losses_of, mixed_loss
from fermion.research.targets import EVERY, TAGGED, labelled, learnable, width
from fermion.research.trees import Trees

FEW, BAGS = 2000, 20  # validation rows under which the weights are means over so many bootstraps
WIDE = {"type": "trees", "leaves": 127, "min_leaf": 5}
DROPPING = {"type": "tabm", "members": 16, "dropout": 0.1}  # better where rows are noisy, worse where they lie on smooth functions
SMALL, FOLDS, ROOMY = 2_000, 5, 30.0  # rows under which all default members are fitted on so many folds, given so many seconds
BOOSTED, CLASSES = (Trees, Catboost), 10  # what is folded at any size, where a round does not grow more trees than this


class Blend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="blend"):
    """Different models make different mistakes: p = sum_m w_m p_m, with weights by greedy selection with replacement.

    Beginning with none, each of `rounds` steps adds the member that lowers the loss of the mean the most; a member may be added again,
    and its weight is how often it was. The loss is the log loss of classes or the squared error of values, on the validation part. With
    fewer than 2,000 validation rows the weights are means over 20 bootstraps of them. Each output has weights of its own.

    A member that cannot learn from this table is left out with a note, as are members for which no time is left; each member may use an
    equal share of the time that those before it left.

    Args:
        members: the models; left out: trees, trees of 127 leaves, catboost where it is installed, realmlp, and tabm of 8 members and of
            16 with dropout.
        rounds: of the greedy selection.
        weights: "chosen" by the greedy selection, or "equal": where rows in use will be unlike the validation part, it may choose what only
            does well on rows like it.
        folds: 2 or more fits each member that often, each time without one part of the training and validation rows (`folded`): the
            weights are then chosen on all rows, by answers of models that did not see them. 0 fits it once. Left out: where the members
            are left out too and 30 seconds are left, 5 for boosted trees of up to 10 classes, which are cheap, and with fewer than 2,000
            rows in both parts together for all; else 0.

    >>> Blend(members=("linear", {"type": "trees", "leaves": 7})).members[1].leaves
    7

    Caruana et al.: Ensemble Selection from Libraries of Models, ICML 2004.
    """

    members: tuple[Annotated[Any, part("models")], ...] | None = None
    rounds: Annotated[int, Meta(ge=1, le=1000)] = 25
    weights: Literal["chosen", "equal"] = "chosen"
    folds: Annotated[int, Meta(ge=0, le=50)] | None = None

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise SpecError("`folds`", rule="0, or 2 and more", given=1, remedy="Leave it out, or write folds: 5.")
        if self.members is None:
            return
        if not self.members:
            remedy = "Leave it out for the default ones, or name some: members: [trees, linear]."
            raise SpecError("`members`", rule="a list with a model", given=Told("an empty one"), remedy=remedy)
        members = tuple(registry.read("models", member, where="members") for member in self.members)
        if any(isinstance(member, Folded) or (isinstance(member, Blend) and member.folds) for member in members):
            remedy = "Write `folds` on the blend: then all members have the same folds, and the weights are chosen out of fold."
            raise SpecError("a member of a blend", rule="a model that is fitted once", given=Told("one of folds"), remedy=remedy)
        members = tuple(structs.replace(member, folds=0) if isinstance(member, Blend) else member for member in members)
        force_setattr(self, "members", members)

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Fit every member, then choose the weights.

        Raises:
            DataError: no labelled row, one class, or no member can learn from the table.
            Stopped: it was stopped before the first member had learned.
        """
        for output in train.outputs:
            learnable(output, train, kinds=(*EVERY, *TAGGED))
        models = self.members or _default(train)
        roomy = run.left() >= ROOMY
        kept: list[tuple[str, Fitted]] = []
        notes: list[str] = []
        refused: FermionError | None = None
        for place, (name, model) in enumerate(zip(called(models), models, strict=True)):
            if kept and run.left() <= 0:
                notes.append(f"no time was left for {name}")
                continue
            folds = self._folds(model, train, valid, roomy=roomy)
            member: Model = Folded(model=model, folds=folds) if folds else model
            try:
                kept.append((name, member.fit(train, valid, run.within(1 / (len(models) - place)))))
            except Stopped:
                if not kept:
                    raise
            except FermionError as bad:
                refused = refused or bad
                notes.append(f"{name} is left out: {bad}")
        if not kept:
            assert refused is not None
            raise refused
        names, fits = [name for name, _ in kept], [fitted for _, fitted in kept]
        held = _held(fits, train, valid)
        bare = [structs.replace(one, arrays={}) for one in (train, valid)]  # weights go by answers and truth
        rows = joined(*bare) if len(valid) else bare[0]
        weights: dict[str, tuple[float, ...]] = {}
        for output in train.outputs:
            weights[output.array], told = self._weights(output, held, rows, run)
            parts = [f"{name} {weight:.2f}" for name, weight in zip(names, weights[output.array], strict=True) if weight > 0]
            notes.append(f"blend for {output.target}: {', '.join(parts)}{told}")
        for name, fitted in kept:
            notes += [f"{name}: {note}" for note in fitted.notes]
        learned = Mixture(
            outputs=train.outputs, members=tuple(fitted.learned for fitted in fits), weights=weights, given=train.schema.layout.names
        )
        folded = any(fitted.out_of_fold is not None for fitted in fits)
        return Fitted(
            schema=train.schema,
            outputs=train.outputs,
            learned=learned,
            curves=tuple(_of(name, curve) for name, fitted in kept for curve in fitted.curves),
            notes=tuple(notes),
            out_of_fold=mean_of(held, weights) if folded else None,
        )

    def _folds(self, model: Model, train: Encoded, valid: Encoded, *, roomy: bool) -> int:
        """The folds of one member; 0 for none."""
        if self.folds is not None or self.members or not roomy:
            return self.folds or 0
        small = len(train) + len(valid) < SMALL
        cheap = isinstance(model, BOOSTED) and sum(width(output) for output in train.outputs) <= CLASSES
        return FOLDS if small or (cheap and len(valid)) else 0

    def _weights(self, output: Output, held: list[Arrays], rows: Encoded, run: Run) -> tuple[tuple[float, ...], str]:
        """The weights of one output and what there is to say about them."""
        if self.weights == "equal":
            return (1.0,) * len(held), ", all alike, as `weights` says"
        said_MN = [one[output.array] for one in held]
        blind = answered_blind(said_MN)
        target = labelled(output, rows.take(blind)) if len(held) > 1 and len(blind) else None
        if target is None or not len(target):
            return (1.0,) * len(held), "" if len(held) == 1 else ", all alike: there was no row to choose the weights on"
        terms = losses_of(output, [said[blind][target.at] for said in said_MN], target.y)
        if terms is None:
            return (1.0,) * len(held), f", all alike: weights are not chosen for a target of the kind {output.__struct_config__.tag}"
        rng, few = run.rng(f"blend {output.target}"), len(target) < FEW
        draws = [rng.multinomial(len(target), target.w / target.w.sum()) for _ in range(BAGS)] if few else [target.w]
        counts_BM = np.array([greedy(terms, np.asarray(draw, dtype=np.float64), output, rounds=self.rounds) for draw in draws])
        shares_M = counts_BM.mean(axis=0) / self.rounds
        return tuple(float(share) for share in shares_M), ""


def greedy(terms_MN: NDArray[np.float64], weights_N: NDArray[np.float64], output: Output, *, rounds: int) -> NDArray[np.int64]:
    """(M,) how often each member was added: every round adds the one that makes the mean of all added so far best, the first of equals.

    Args:
        terms_MN: what each member says about each row, as `losses_of` gives it.
        weights_N: what each row counts.
    """
    count_M = np.zeros(len(terms_MN), dtype=np.int64)
    sum_N = np.zeros(terms_MN.shape[1:])
    for step in range(1, rounds + 1):
        losses = [mixed_loss(output, (sum_N + terms) / step, weights_N) for terms in terms_MN]
        best = int(np.argmin(losses))
        count_M[best] += 1
        sum_N = sum_N + terms_MN[best]
    return count_M


def _held(fits: list[Fitted], train: Encoded, valid: Encoded) -> list[Arrays]:
    """What each member says about the training rows, then the validation rows, where it did not learn from them; else NaN."""
    made: list[Arrays] = []
    for fitted in fits:
        if fitted.out_of_fold is not None:
            made.append(fitted.out_of_fold)
            continue
        said = answered(fitted.learned, valid if len(valid) else train.take(np.arange(1)))
        whole = {name: np.full((len(train) + len(valid), *array.shape[1:]), np.nan, dtype=np.float32) for name, array in said.items()}
        for name, array in said.items():
            whole[name][len(train) :] = array if len(valid) else array[:0]
        made.append(whole)
    return made


def _default(train: Encoded) -> tuple[Any, ...]:
    """Boosted trees of two sizes and two libraries, and nets of two kinds, one of them twice."""
    layout = train.schema.layout
    if not layout.numbers and not layout.codes:
        raise DataError(
            "the table of a `blend` without `members`",
            rule="one with a number, category, flag or time column",
            given=Told(", ".join(named.name for named in layout.arrays) or "no column"),
            remedy="Name the members: model: {type: blend, members: [{type: ...}, {type: ...}]}",
        )
    boosted = ("trees", WIDE, *(("catboost",) if importlib.util.find_spec("catboost") else ()))
    return tuple(registry.read("models", model, where="members") for model in (*boosted, "realmlp", "tabm", DROPPING))


def _of(name: str, curve: Curve) -> Curve:
    return structs.replace(curve, name=f"{name}: {curve.name}")
