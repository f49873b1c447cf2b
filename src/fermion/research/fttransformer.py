"""`ft`: a transformer over the columns of a table."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from fermion.core.errors import SpecError
from fermion.core.run import Run
from fermion.research.model import Encoded, Fitted
from fermion.research.tablefit import Built, TableLearner, fit_table
from fermion.research.training import Rate, number


class FtTransformer(TableLearner, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="ft"):
    """A transformer whose tokens are the columns (`fermion.research.ftnet`), one head per output.

    Gaps, scaling, categories and the limits of values are part of the graph, learned on the training part.

    Args:
        width: features of a token.
        layers: layers of attention.
        heads: attention heads; they divide the width.
        dropout: share of the attention and of the inner features that training hides.
        lr: peak learning rate of AdamW, or `auto`: found by a range test.
        decay: its weight decay.

    >>> FtTransformer(layers=2).width
    64

    Gorishniy, Rubachev, Khrulkov, Babenko: Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021.
    """

    width: Annotated[int, Meta(ge=1)] = 64
    layers: Annotated[int, Meta(ge=1)] = 3
    heads: Annotated[int, Meta(ge=1)] = 4
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    epochs: Annotated[float, Meta(gt=0)] = 25.0
    lr: Rate = 0.001
    decay: Annotated[float, Meta(ge=0)] = 0.01

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise SpecError("the width of an `ft`", rule=f"a multiple of its {self.heads} heads", given=self.width)
        super().__post_init__()

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`. Raises what `fit_table` raises."""
        return fit_table(train, valid, run, self, scaling="normal", build=self._build)

    def _build(self, inputs: Any, ready: Encoded) -> Built:
        from fermion.research.ftnet import FtNet
        from fermion.research.optim import Steps

        net = FtNet(inputs, ready.outputs, features=self.width, layers=self.layers, heads=self.heads, dropout=self.dropout)
        recipe = self.passes(
            ready,
            Steps(
                lr=number(self.lr, 0.001),
                matrix_lr=0.0,
                schedule="one-cycle",
                warmup=0.1,
                floor=0.0,
                betas=(0.9, 0.99),
                decay=self.decay,
                clip=1.0,
            ),
            evaluations=30,
        )
        return Built(net=net, recipe=recipe, heads=net.heads)
