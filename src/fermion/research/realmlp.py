"""`realmlp`: a multilayer perceptron for tables with good defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from fermion.columns.output import Value
from fermion.core.run import Run
from fermion.research.model import Encoded, Fitted
from fermion.research.tablefit import Built, TableLearner, fit_table
from fermion.research.training import Precision, number


class RealMlp(TableLearner, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="realmlp"):
    """A multilayer perceptron over robustly scaled numbers as waves (`fermion.research.realmlpnet`), one head per output.

    Gaps, scaling, categories and the limits of values are part of the graph, learned on the training part.

    Args:
        width: features of a layer.
        layers: hidden layers.
        dropout: share of the features that training hides behind each layer.
        lr: peak learning rate of AdamW, or `auto`: found by a range test; 0 takes 0.04, and 0.2 where all targets are numbers.
        decay: its weight decay.

    >>> RealMlp(layers=2).width
    256

    Holzmueller, Grinsztajn, Steinwart: Better by Default, NeurIPS 2024.
    """

    width: Annotated[int, Meta(ge=1)] = 256
    layers: Annotated[int, Meta(ge=0)] = 3
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.15
    lr: Annotated[float, Meta(ge=0)] | Literal["auto"] = 0.0
    decay: Annotated[float, Meta(ge=0)] = 0.02
    precision: Precision = "float32"

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`. Raises what `fit_table` raises."""
        return fit_table(train, valid, run, self, scaling="robust", build=self._build)

    def _build(self, inputs: Any, ready: Encoded) -> Built:
        from fermion.research.optim import Steps
        from fermion.research.realmlpnet import RealMlpNet

        net = RealMlpNet(inputs, ready.outputs, width=self.width, layers=self.layers, dropout=self.dropout)
        values = all(isinstance(output, Value) for output in ready.outputs)
        recipe = self.passes(
            ready,
            Steps(
                lr=number(self.lr, 0.2 if values else 0.04),
                matrix_lr=0.0,  # Muon was no better here
                schedule="cosine-log",
                floor=0.0,
                betas=(0.9, 0.95),
                decay=self.decay,
                factors=(("scale", 6.0), ("bias", 0.1), *((f"periodic.{name}", 0.1) for name in ("frequency", "phase", "mix", "shift"))),
            ),
            evaluations=25,
        )
        return Built(net=net, recipe=recipe, heads=net.heads)
