"""`realmlp`: a multilayer perceptron for tables with good defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from fermion.columns.output import Value
from fermion.core.declared import part
from fermion.core.run import Run
from fermion.research.augment import check_parts, read_parts
from fermion.research.model import Encoded, Fitted
from fermion.research.tablefit import Built, batch_of, fit_table, steps_of
from fermion.research.training import Rows, Training, number


class RealMlp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="realmlp"):
    """A multilayer perceptron over robustly scaled numbers as waves (`fermion.research.realmlpnet`), one head per output.

    Gaps, scaling, categories and the limits of values are part of the graph, learned on the training part.

    Args:
        width: features of a layer.
        layers: hidden layers.
        dropout: share of the features that training hides behind each layer.
        epochs: passes over the training part, unless the time ends first; then the learning rate comes down within it.
        batch: rows per step; 0 takes an eighth of the rows, from 32 to 256; `auto` measures.
        lr: peak learning rate of AdamW, or `auto`: found by a range test; 0 takes 0.04, and 0.2 where all targets are numbers.
        decay: its weight decay.
        balance: weighs rows so that every class counts equally.
        patience: evaluations without a better validation loss after which training ends; 0 trains to the end.
        precision: of the steps of training; "auto" measures whether bfloat16 is faster here.
        training: optimiser, schedule, averages, accumulation and the other settings that torch models share.
        augment: what the training rows go through, once: smote, oversample and undersample.

    >>> RealMlp(layers=2).width
    256

    Holzmueller, Grinsztajn, Steinwart: Better by Default, NeurIPS 2024.
    """

    width: Annotated[int, Meta(ge=1)] = 256
    layers: Annotated[int, Meta(ge=0)] = 3
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.15
    epochs: Annotated[float, Meta(gt=0)] = 50.0
    batch: Rows = 0
    lr: Annotated[float, Meta(ge=0)] | Literal["auto"] = 0.0
    decay: Annotated[float, Meta(ge=0)] = 0.02
    balance: bool = False
    patience: Annotated[int, Meta(ge=0)] = 0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    training: Training = field(default_factory=Training)
    augment: tuple[Annotated[Any, part("augments")], ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "augment", read_parts(self.augment))
        check_parts(self.augment, model="realmlp", kinds=("resampling",), roles=("numbers", "codes"), why="model.type: mlp can.")

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`. Raises what `fit_table` raises."""
        return fit_table(train, valid, run, name="realmlp", scaling="robust", augment=self.augment, build=self._build)

    def _build(self, inputs: Any, ready: Encoded) -> Built:
        from fermion.research.loop import Recipe
        from fermion.research.optim import Steps
        from fermion.research.realmlpnet import RealMlpNet

        net = RealMlpNet(inputs, ready.outputs, width=self.width, layers=self.layers, dropout=self.dropout)
        batch = int(number(self.batch, batch_of(len(ready))))
        values = all(isinstance(output, Value) for output in ready.outputs)
        recipe = Recipe(
            steps=steps_of(len(ready), batch * self.training.accumulate, self.epochs),
            batch=batch,
            find_lr=self.lr == "auto",
            find_batch=self.batch == "auto",
            optim=Steps(
                lr=number(self.lr, 0.2 if values else 0.04),
                matrix_lr=0.0,  # Muon was no better here
                schedule="cosine-log",
                floor=0.0,
                betas=(0.9, 0.95),
                decay=self.decay,
                factors=(("scale", 6.0), ("bias", 0.1), *((f"periodic.{name}", 0.1) for name in ("frequency", "phase", "mix", "shift"))),
            ),
            balance=self.balance,
            evaluations=25,
            patience=self.patience,
            training=self.training,
            precision=self.precision,
        )
        return Built(net=net, recipe=recipe, heads=net.heads)
