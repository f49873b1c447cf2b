"""`tabm`: an ensemble of perceptrons for tables in one net."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from fermion.core.declared import part
from fermion.core.run import Run
from fermion.research.augment import check_parts, read_parts
from fermion.research.model import Encoded, Fitted
from fermion.research.tablefit import Built, batch_of, fit_table, steps_of
from fermion.research.training import Rate, Rows, Training, number


class TabM(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tabm"):
    """Perceptrons that share their matrices, over numbers as piecewise linear functions (`fermion.research.tabmnet`).

    The answer is the mean of the members' answers, inside the graph, as are gaps, scaling and categories.

    Args:
        members: perceptrons in the net.
        width: features of a layer.
        layers: hidden layers.
        dropout: share of the features that training hides between layers.
        epochs: passes over the training part, unless the time ends first; then the learning rate comes down within it.
        batch: rows per step; 0 takes an eighth of the rows, from 32 to 256; `auto` measures.
        lr: peak learning rate of AdamW, for all that is no shared matrix, or `auto`: found by a range test.
        matrix_lr: that of Muon, for the shared matrices; 0 leaves them to AdamW too.
        decay: AdamW's weight decay.
        balance: weighs rows so that every class counts equally.
        patience: evaluations without a better validation loss after which training ends; 0 trains to the end.
        precision: of the steps of training; "auto" measures whether bfloat16 is faster here.
        training: optimiser, schedule, averages, accumulation and the other settings that torch models share.
        augment: what the training rows go through, once: smote, oversample and undersample.

    >>> TabM(members=4).width
    128

    Gorishniy, Kotelnikov, Babenko: TabM, ICLR 2025; Jordan et al.: Muon, 2024.
    """

    members: Annotated[int, Meta(ge=1)] = 8
    width: Annotated[int, Meta(ge=1)] = 128
    layers: Annotated[int, Meta(ge=1)] = 3
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    epochs: Annotated[float, Meta(gt=0)] = 50.0
    batch: Rows = 0
    lr: Rate = 0.006
    matrix_lr: Annotated[float, Meta(ge=0)] = 0.02
    decay: Annotated[float, Meta(ge=0)] = 0.0
    balance: bool = False
    patience: Annotated[int, Meta(ge=0)] = 0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    training: Training = field(default_factory=Training)
    augment: tuple[Annotated[Any, part("augments")], ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "augment", read_parts(self.augment))
        check_parts(self.augment, model="tabm", kinds=("resampling",), roles=("numbers", "codes"), why="model.type: mlp can.")

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`. Raises what `fit_table` raises."""

        def build(inputs: Any, ready: Encoded) -> Built:
            return self._build(inputs, ready, run)

        return fit_table(train, valid, run, name="tabm", scaling="normal", augment=self.augment, build=build)

    def _build(self, inputs: Any, ready: Encoded, run: Run) -> Built:
        import torch

        from fermion.research.loop import Recipe, tensors
        from fermion.research.optim import Steps
        from fermion.research.tabmnet import Repeated, TabMNet

        arrays, _ = tensors(ready, torch.device("cpu"))
        net = TabMNet(inputs, arrays, ready.outputs, members=self.members, width=self.width, layers=self.layers, dropout=self.dropout)
        batch = int(number(self.batch, batch_of(len(ready))))
        recipe = Recipe(
            steps=steps_of(len(ready), batch * self.training.accumulate, self.epochs),
            batch=batch,
            find_lr=self.lr == "auto",
            find_batch=self.batch == "auto",
            optim=Steps(
                lr=number(self.lr, 0.006),
                matrix_lr=self.matrix_lr,
                schedule="one-cycle",
                warmup=0.2,
                floor=0.0,
                betas=(0.9, 0.99),
                decay=self.decay,
                momentum=0.95,
                newton_steps=5,
                unit_norm=False,
            ),
            balance=self.balance,
            evaluations=25,
            patience=self.patience,
            training=self.training,
            precision=self.precision,
        )
        return Built(net=net, recipe=recipe, augment=Repeated(self.members, ready.outputs, run))
