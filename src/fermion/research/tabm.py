"""`tabm`: an ensemble of perceptrons for tables in one net."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from fermion.core.run import Run
from fermion.research.model import Encoded, Fitted
from fermion.research.tablefit import Built, TableLearner, fit_table
from fermion.research.training import Rate, number


class TabM(TableLearner, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tabm"):
    """Perceptrons that share their matrices, over numbers as piecewise linear functions (`fermion.research.tabmnet`).

    The answer is the mean of the members' answers, inside the graph, as are gaps, scaling and categories.

    Args:
        members: perceptrons in the net.
        width: features of a layer.
        layers: hidden layers.
        dropout: share of the features that training hides between layers.
        lr: peak learning rate of AdamW, for all that is no shared matrix, or `auto`: found by a range test.
        matrix_lr: that of Muon, for the shared matrices; 0 leaves them to AdamW too.
        decay: AdamW's weight decay.

    >>> TabM(members=4).width
    128

    Gorishniy, Kotelnikov, Babenko: TabM, ICLR 2025; Jordan et al.: Muon, 2024.
    """

    members: Annotated[int, Meta(ge=1)] = 8
    width: Annotated[int, Meta(ge=1)] = 128
    layers: Annotated[int, Meta(ge=1)] = 3
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    lr: Rate = 0.006
    matrix_lr: Annotated[float, Meta(ge=0)] = 0.02
    decay: Annotated[float, Meta(ge=0)] = 0.0

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`. Raises what `fit_table` raises."""

        def build(inputs: Any, ready: Encoded) -> Built:
            return self._build(inputs, ready, run)

        return fit_table(train, valid, run, self, scaling="normal", build=build)

    def _build(self, inputs: Any, ready: Encoded, run: Run) -> Built:
        import torch

        from fermion.research.loop import tensors
        from fermion.research.optim import Steps
        from fermion.research.tabmnet import Repeated, TabMNet

        arrays, _ = tensors(ready, torch.device("cpu"))
        net = TabMNet(inputs, arrays, ready.outputs, members=self.members, width=self.width, layers=self.layers, dropout=self.dropout)
        recipe = self.passes(
            ready,
            Steps(
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
            evaluations=25,
        )
        return Built(net=net, recipe=recipe, augment=Repeated(self.members, ready.outputs, run))
