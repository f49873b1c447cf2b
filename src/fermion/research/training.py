"""How a net is trained, beyond what its model asks by name: the settings that every torch model shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, field

from fermion.core.declared import Duration, seconds
from fermion.core.errors import SpecError, Told

if TYPE_CHECKING:  # naming a model in a project file costs no torch
    from fermion.research.optim import Steps
    from fermion.research.recipe import Recipe

Optimizer = Literal["adamw", "muon", "lion", "sgd", "schedule-free"]
Rate = Annotated[float, Meta(gt=0)] | Literal["auto"]  # of learning; `auto` is found by the range test
Rows = Annotated[int, Meta(ge=0)] | Literal["auto"]  # per step; `auto` is what was measured to be fastest per row
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Schedule = Literal["linear", "one-cycle", "cosine", "cosine-log", "plateau", "constant"]


def number(said: float | str, otherwise: float) -> float:
    """What was said, or `otherwise` where that is `auto` or 0.

    >>> number(0.5, 0.1), number("auto", 0.1), number(0, 0.1)
    (0.5, 0.1, 0.1)
    """
    return otherwise if isinstance(said, str) or not said else said


class Training(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training of a net; `docs/training.md` says when to use what. Left out, each setting is what its model was measured with.

    Args:
        optimizer: moves the weights. `model.lr` is this optimiser's own: begin with a fifth of AdamW's for lion, 30 times it for sgd.
        schedule: the learning rate over the training. Plateau halves it where the validation loss stops falling.
        warmup: share of the training in which the learning rate rises to its peak.
        floor: the learning rate at both ends, as a share of the peak.
        find_lr: finds the peak of the learning rate with a range test (Smith 2017) before the training, around `model.lr`;
            `model.lr: auto` does the same.
        clip: the longest gradient that a step follows; 0 follows all.
        accumulate: batches whose gradients make one step, for steps of more rows than `model.batch`.
        ema: keeps a running mean of the weights with this decay (0.999, say) and judges and keeps that; 0 does not.
        swa: averages the weights of this last share of the training, at a constant learning rate; 0 does not.
        sampling: balanced draws every class of the first target that has classes equally often, with replacement.
        focal: exponent by which rows that are answered well already count less, (1 - p)^focal; 0 counts all alike.
        loss: a function of your own in place of the loss of the model's target, as `my_module:loss`, or by target where there are several:
            (raw, truth) -> the loss of each row (`docs/models.md`).
        bucket: makes batches of rows of similar length, for columns of varying length.
        checkpoint: how often `fermion run` saves the state, so that a killed training can go on from there; 0s never does.

    >>> Training(ema=0.999).swa
    0.0
    """

    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    warmup: Annotated[float, Meta(ge=0, lt=1)] | None = None
    floor: Annotated[float, Meta(ge=0, le=1)] | None = None
    find_lr: bool = False
    clip: Annotated[float, Meta(ge=0)] | None = None
    accumulate: Annotated[int, Meta(ge=1)] = 1
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    swa: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    sampling: Literal["natural", "balanced"] = "natural"
    focal: Annotated[float, Meta(ge=0)] = 0.0
    loss: str | dict[str, str] = ""
    bucket: bool = False
    checkpoint: Duration = "30s"

    def __post_init__(self) -> None:
        averages = [name for name, on in (("ema", self.ema), ("swa", self.swa)) if on]
        if self.optimizer == "schedule-free":  # whose answer is an average itself, taken at a constant learning rate
            averages.append("optimizer: schedule-free")
            if self.schedule not in (None, "constant"):
                given = Told(f"{self.schedule} with schedule-free")
                raise SpecError("`schedule`", rule="constant for schedule-free", given=given, remedy="Leave it out.")
        if len(averages) > 1:
            rule = "one at the most"
            raise SpecError("the averages", rule=rule, given=Told(" and ".join(averages)), remedy="Leave all but one out.")

    @property
    def every(self) -> float:
        """Seconds between two checkpoints, 0 for none.

        >>> Training(checkpoint="2m").every
        120.0
        """
        return seconds(self.checkpoint)


class Learner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every net is asked beside its own settings.

    Args:
        batch: rows per step; 0 chooses by the number of rows; `auto` measures.
        lr: peak learning rate, or `auto`: found by a range test.
        balance: weighs rows so that every class counts equally.
        weigh: what the loss of each of several targets counts: the same (`equal`), or as much as is `learned`.
        patience: evaluations without a better validation loss after which training ends; 0 trains to the end.
        training: optimiser, schedule, averages, accumulation and the other settings that torch models share.
    """

    batch: Rows = 0
    lr: Rate = 0.001
    balance: bool = False
    weigh: Literal["equal", "learned"] = "equal"
    patience: Annotated[int, Meta(ge=0)] = 0
    training: Training = field(default_factory=Training)

    def recipe(
        self,
        optim: Steps,
        *,
        steps: int,
        batch: int,
        by_rows: bool = True,
        evaluations: int = 20,
        precision: Precision = "float32",
        smoothing: float = 0.0,
    ) -> Recipe:
        """How it is trained: what the model has chosen, and what it was asked for."""
        from fermion.research.recipe import Recipe

        return Recipe(
            steps=steps,
            batch=batch,
            optim=optim,
            smoothing=smoothing,
            balance=self.balance,
            weigh=self.weigh,
            evaluations=evaluations,
            patience=self.patience,
            precision=precision,
            find_lr=self.lr == "auto",
            find_batch=self.batch == "auto",
            by_rows=by_rows,
            training=self.training,
        )
