"""`ft`: a transformer over the columns of a table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from fermion.core.declared import part
from fermion.core.errors import SpecError
from fermion.core.run import Run
from fermion.research.augment import check_parts, read_parts
from fermion.research.model import Encoded, Fitted
from fermion.research.tablefit import Built, batch_of, fit_table, steps_of
from fermion.research.training import Rate, Rows, Training, number


class FtTransformer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="ft"):
    """A transformer whose tokens are the columns (`fermion.research.ftnet`), one head per output.

    Gaps, scaling, categories and the limits of values are part of the graph, learned on the training part.

    Args:
        width: features of a token.
        layers: layers of attention.
        heads: attention heads; they divide the width.
        dropout: share of the attention and of the inner features that training hides.
        epochs: passes over the training part, unless the time ends first; then the learning rate comes down within it.
        batch: rows per step; 0 takes an eighth of the rows, from 32 to 256; `auto` measures.
        lr: peak learning rate of AdamW, or `auto`: found by a range test.
        decay: its weight decay.
        balance: weighs rows so that every class counts equally.
        patience: evaluations without a better validation loss after which training ends; 0 trains to the end.
        precision: of the steps of training; "auto" measures whether bfloat16 is faster here.
        training: optimiser, schedule, averages, accumulation and the other settings that torch models share.
        augment: what the training rows go through, once: smote, oversample and undersample.

    >>> FtTransformer(layers=2).width
    64

    Gorishniy, Rubachev, Khrulkov, Babenko: Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021.
    """

    width: Annotated[int, Meta(ge=1)] = 64
    layers: Annotated[int, Meta(ge=1)] = 3
    heads: Annotated[int, Meta(ge=1)] = 4
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    epochs: Annotated[float, Meta(gt=0)] = 25.0
    batch: Rows = 0
    lr: Rate = 0.001
    decay: Annotated[float, Meta(ge=0)] = 0.01
    balance: bool = False
    patience: Annotated[int, Meta(ge=0)] = 0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    training: Training = field(default_factory=Training)
    augment: tuple[Annotated[Any, part("augments")], ...] = ()

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise SpecError("the width of an `ft`", rule=f"a multiple of its {self.heads} heads", given=self.width)
        force_setattr(self, "augment", read_parts(self.augment))
        check_parts(self.augment, model="ft", kinds=("resampling",), roles=("numbers", "codes"), why="model.type: mlp can.")

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`. Raises what `fit_table` raises."""
        return fit_table(train, valid, run, name="ft", scaling="normal", augment=self.augment, build=self._build)

    def _build(self, inputs: Any, ready: Encoded) -> Built:
        from fermion.research.ftnet import FtNet
        from fermion.research.loop import Recipe
        from fermion.research.optim import Steps

        net = FtNet(inputs, ready.outputs, features=self.width, layers=self.layers, heads=self.heads, dropout=self.dropout)
        batch = int(number(self.batch, batch_of(len(ready))))
        recipe = Recipe(
            steps=steps_of(len(ready), batch * self.training.accumulate, self.epochs),
            batch=batch,
            find_lr=self.lr == "auto",
            find_batch=self.batch == "auto",
            optim=Steps(
                lr=number(self.lr, 0.001),
                matrix_lr=0.0,
                schedule="one-cycle",
                warmup=0.1,
                floor=0.0,
                betas=(0.9, 0.99),
                decay=self.decay,
                clip=1.0,
            ),
            balance=self.balance,
            evaluations=30,
            patience=self.patience,
            training=self.training,
            precision=self.precision,
        )
        return Built(net=net, recipe=recipe, heads=net.heads)
