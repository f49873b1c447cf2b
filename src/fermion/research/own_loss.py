"""Losses of a project's own: functions of a net's raw numbers and the truth, named `module:name` under `model.training.loss`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from fermion.columns.output import Output
from fermion.core import imported
from fermion.core.errors import SpecError, Told, did_you_mean

WHERE = "model.training.loss"


class OwnLoss:
    """A function (raw, truth) -> (B,) the loss of each row, called with labelled rows alone.

    `raw` is what the output's head computes, (B, K) logits of classes or (B,) standardised values; `truth` (B,) codes or values.
    """

    def __init__(self, at: str, function: Callable[[Tensor, Tensor], Any]) -> None:
        self.at, self.function = at, function

    def __call__(self, raw: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        """(B, ...) the loss of each row, 0 where `known` says that there is no truth.

        Raises:
            SpecError: it raises, or gives something else than one number per row that the raw numbers have a part in.
        """
        said = imported.call(self.function, raw[known], truth[known], name=self.at, where=WHERE)
        rows = int(known.sum())
        if not isinstance(said, Tensor) or said.shape != (rows,):
            given = Told(f"a tensor of shape {tuple(said.shape)}" if isinstance(said, Tensor) else type(said).__name__)
            remedy = "Leave the mean over the rows out, as with reduction='none': rows have weights."
            raise SpecError(
                f"what the loss `{self.at}` returns", rule=f"({rows},), one number per row", given=given, remedy=remedy, where=WHERE
            )
        if raw.requires_grad and rows and not said.requires_grad:
            remedy = "Compute it with torch from `raw`, without argmax, detach or numpy."
            given = Told("a number that does not depend on `raw`")
            raise SpecError(f"what the loss `{self.at}` returns", rule="differentiable", given=given, remedy=remedy, where=WHERE)
        return said.new_zeros(known.shape).masked_scatter(known, said)


def own_losses(named: str | Mapping[str, str], outputs: Sequence[Output], folder: Path | None) -> dict[str, OwnLoss]:
    """The functions by target.

    Raises:
        SpecError: one cannot be imported or called, or it is not clear which target it is for.
    """
    if not named:
        return {}
    targets = [output.target for output in outputs]
    if isinstance(named, str):
        if len(targets) > 1:
            remedy = f"Write one per target: loss: {{{targets[0]}: {named}}}; the others keep theirs."
            raise SpecError("training.loss", rule="a mapping by target where there are several", given=named, remedy=remedy, where=WHERE)
        named = {targets[0]: named}
    found: dict[str, OwnLoss] = {}
    for target, at in named.items():
        if target not in targets:
            rule = f"made of the targets {', '.join(targets)}"
            raise SpecError("training.loss", rule=rule, given=target, remedy=did_you_mean(target, targets), where=WHERE)
        function = imported.load(at, folder, where=WHERE)
        if not callable(function):
            remedy = "Name a function of (raw, truth) that returns one loss per row."
            raise SpecError(f"the loss `{at}`", rule="a function", given=Told(type(function).__name__), remedy=remedy, where=WHERE)
        found[target] = OwnLoss(at, cast("Callable[[Tensor, Tensor], Any]", function))
    return found
