"""What stands around a torch module of the user's: arrays prepared as it takes them, its answers checked and named.

Legend of shapes: B rows, F numbers, D columns of the matrix, K raw numbers of one output.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fermion.columns.category import UNSEEN
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability
from fermion.core import imported
from fermion.core.errors import FermionError, SpecError, Told
from fermion.research.blocks import Tensors
from fermion.research.flat import Flat
from fermion.research.graphs import Answer, quiet
from fermion.research.heads import head_of, rows_of
from fermion.research.model import Encoded
from fermion.research.offered import Answered, Input, inputs_of, word_of

FAR = 1e6  # standard deviations; farther numbers are cut, so that no answer overflows


def answers_of(outputs: Sequence[Output]) -> tuple[Answered, ...]:
    """What is to be given for each output."""
    heads = [(output, head_of(output)) for output in outputs]
    return tuple(Answered(array=output.array, target=output.target, shape=head.shape, size=head.size) for output, head in heads)


class Around(nn.Module):
    """Arrays by name -> raw outputs by `output.array`, through the user's net.

    How the net is called is read from the parameters of its `forward`: one called `arrays` gets all prepared arrays by name; names of
    arrays (dots as underscores) get those; any other single one gets the whole row as (B, D).
    """

    def __init__(self, net: nn.Module, flat: Flat | None, train: Encoded, *, name: str) -> None:
        super().__init__()
        inputs = inputs_of(train.schema)
        self.net, self.outputs, self.name = net, train.outputs, name
        self.form, self.reads = form_of(net, inputs, name=name)
        self.matrix = self.numbers = None
        if self.form == "matrix":
            flat = flat or Flat.of(train, impute=False)
            self.matrix, self.reads = Matrix(flat, train.arrays), flat.reads
        elif "numbers" in self.reads:
            self.numbers = Standardised(train.arrays["numbers"])
        self.pictures = tuple(one.name for one in inputs if one.role == "image")
        self.vectors = tuple(one.name for one in inputs if one.role == "vector")

    def forward(self, arrays: Tensors) -> Tensors:
        return self.named(self.asked(arrays, self.net))

    def asked(self, arrays: Tensors, net: Callable[..., Any]) -> Any:
        """What the net gives for these arrays, as it is."""
        if self.matrix is not None:
            return net(self.matrix(arrays))
        made = {name: self.prepared(name, arrays[name]) for name in self.reads}
        return net(made) if self.form == "arrays" else net(**{word_of(name): one for name, one in made.items()})

    def prepared(self, name: str, array: Tensor) -> Tensor:
        """Numbers standardised without gaps, pictures as shares of 255, vectors without gaps; the rest as it is."""
        if name == "numbers" and self.numbers is not None:
            return self.numbers(array)
        if name in self.pictures:
            return array.float() / 255
        return array.nan_to_num(0.0) if name in self.vectors else array

    def named(self, raw: Any) -> Tensors:
        """What the net gave, by output; one tensor is shared out in the order of the outputs."""
        heads = [head_of(output) for output in self.outputs]
        if not isinstance(raw, Tensor):
            return {output.array: raw[output.array] for output in self.outputs}
        if len(heads) == 1 and raw.shape[1:] == torch.Size(heads[0].shape):
            return {self.outputs[0].array: raw}
        parts = raw.split([head.size for head in heads], 1)
        return {output.array: rows_of(part, head) for output, head, part in zip(self.outputs, heads, parts, strict=True)}

    def check(self, examples: Arrays) -> tuple[str, ...]:
        """Ask the net about two rows, so that what does not fit is known before training. Returns what looks odd.

        Raises:
            SpecError: it raised, or gave something of another shape.
        """
        some = {name: torch.from_numpy(np.ascontiguousarray(array[:2])) for name, array in examples.items()}
        rows = len(next(iter(some.values())))
        self.eval()
        heads = {output.array: (rows, *head_of(output).shape) for output in self.outputs}
        whole = sum(head_of(output).size for output in self.outputs)
        rule = f"a tensor (B, {whole}), or a dictionary with {', '.join(f'{name} {shape[1:]}' for name, shape in heads.items())}"
        with torch.no_grad():
            raw = self.asked(some, functools.partial(imported.call, self.net, name=self.name))
        if isinstance(raw, Tensor):
            single = len(heads) == 1 and tuple(raw.shape) in heads.values()
            if not single and tuple(raw.shape) != (rows, whole):
                self._refuse(rule, f"({', '.join(map(str, ('B', *raw.shape[1:])))})" if raw.ndim else "a single number")
        elif not isinstance(raw, dict):
            self._refuse(rule, type(raw).__name__)
        else:
            for array, shape in heads.items():
                if not isinstance(raw.get(array), Tensor) or tuple(raw[array].shape) != shape:
                    given = raw.get(array)
                    self._refuse(rule, f"{array} of {tuple(given.shape)}" if isinstance(given, Tensor) else f"{sorted(map(str, raw))}")
        found = self.named(raw)
        return tuple(
            f"`{self.name}` answers probabilities for `{output.target}` (from 0 to 1, together 1), which are taken for logits: "
            "leave the softmax at its end out, or it learns slowly and is never sure."
            for output in self.outputs
            if isinstance(output, Probability) and not output.ordered and shares(found[output.array])
        )

    def _refuse(self, rule: str, given: str) -> None:
        remedy = "Give its constructor a parameter `size` (how many numbers it must answer) or `outputs`, and make the last layer so wide."
        raise SpecError(f"what `{self.name}` answers", rule=rule, given=Told(given), remedy=remedy, where="model.module")


def shares(raw: Tensor) -> bool:
    """Whether each row of (B, K) numbers is from 0 to 1 and sums to 1, as behind a softmax.

    >>> shares(torch.tensor([[1.0, -2.0], [3.0, 0.5]]).softmax(1)), shares(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))
    (True, False)
    """
    some = raw.detach().float()
    return some.ndim == 2 and some.shape[1] > 1 and bool(((some >= 0) & (some <= 1)).all() and (some.sum(1) - 1).abs().max() < 1e-4)


class Standardised(nn.Module):
    """(B, F) numbers -> (x - mean) / scale, 0 where missing, at most 1e6 away from 0."""

    mean: Tensor
    scale: Tensor

    def __init__(self, x_NF: Any) -> None:
        super().__init__()
        x_NF = np.ma.masked_invalid(np.asarray(x_NF, dtype=np.float64))
        spread_F = np.ma.filled(x_NF.std(0), 1.0)
        self.register_buffer("mean", torch.tensor(np.ma.filled(x_NF.mean(0), 0.0), dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(np.where(spread_F > 0, spread_F, 1.0), dtype=torch.float32))

    def forward(self, x_BF: Tensor) -> Tensor:
        return ((x_BF - self.mean) / self.scale).nan_to_num(0.0).clamp(-FAR, FAR)


class Matrix(nn.Module):
    """Arrays -> (B, D) as `Flat` lays them out, numbers standardised."""

    def __init__(self, flat: Flat, arrays: Arrays) -> None:
        super().__init__()
        self.flat = flat
        self.numbers = Standardised(arrays["numbers"]) if flat.numbers else None

    def forward(self, arrays: Tensors) -> Tensor:
        parts: list[Tensor] = []
        if self.numbers is not None:
            parts.append(self.numbers(arrays["numbers"]))
        for position, kept in enumerate(self.flat.kept):
            code_B1 = arrays["codes"][:, position : position + 1]
            code_B1 = torch.where(code_B1 < kept, code_B1, UNSEEN)
            parts.append((code_B1 == torch.arange(kept, device=code_B1.device)).float())
        parts += [arrays[piece.name].flatten(1).float().nan_to_num(0.0) / piece.scale for piece in self.flat.pieces]
        return torch.cat(parts, 1)


def form_of(net: nn.Module, inputs: Sequence[Input], *, name: str) -> tuple[str, tuple[str, ...]]:
    """How `forward` is called: `arrays`, `named` or `matrix`, and the arrays that it reads.

    Raises:
        SpecError: its parameters are none of these.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    asked = [one for one in inspect.signature(net.forward).parameters.values() if one.kind in kinds]
    needed = [one.name for one in asked if one.default is inspect.Parameter.empty]
    names = {one.word: one.name for one in inputs}
    if needed == ["arrays"]:
        return "arrays", tuple(names.values())
    if needed and all(word in names for word in needed):
        return "named", tuple(names[one.name] for one in asked if one.name in names)
    if len(needed) == 1:
        return "matrix", ()
    raise SpecError(
        f"the parameters of forward in `{name}`",
        rule=f"`arrays`, names of arrays ({', '.join(names)}), or one for the whole row",
        given=Told(", ".join(needed) or "none"),
        remedy="Write forward(self, x) for a matrix (B, D), or forward(self, arrays) for a dictionary.",
        where="model.module",
    )


def exportable(net: Around, examples: Arrays) -> None:
    """Make sure that torch can trace the net for any number of rows: known before it is trained, not after.

    Raises:
        FermionError: it cannot.
    """
    rows = torch.export.Dim("batch")
    names = tuple(examples)
    inputs = tuple(torch.from_numpy(np.zeros((2, *array.shape[1:]), array.dtype)) for array in examples.values())
    traced = Answer(net.eval(), net.outputs, names).eval()
    try:
        with quiet():
            torch.export.export(traced, inputs, dynamic_shapes=(tuple({0: rows} for _ in inputs),))
    except Exception as broken:  # torch raises a dozen kinds, its own and Python's
        raise refused(broken, net.name) from broken


def refused(broken: Exception, name: str) -> FermionError:
    """Why torch cannot export a net, in one sentence, with what comes nearest."""
    text = f"{broken.__cause__ or ''}\n{broken}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said, remedy = next((said, remedy) for pattern, said, remedy in _KNOWN if re.search(pattern, text))
    reason = said or (lines or [type(broken).__name__])[0][:160].rstrip(".")
    return FermionError(
        f"the net `{name}`",
        rule="one that torch can export for any number of rows",
        given=Told(reason),
        remedy=remedy,
        where=imported.line_of(broken.__cause__ or broken) or imported.line_of(broken),
    )


_KNOWN = (
    (
        r"pack_padded|[Pp]acked|got FakeTensor",
        "a shape that depends on values, as packed sequences have it",
        "Use the mask and gather the last valid step in place of packed sequences.",
    ),
    (
        r"(?i)data.dependent|dynamic control flow|guard on|unbacked",
        "a branch or loop that depends on values",
        "Use torch.where, or torch.cond, in place of `if` and loops over values.",
    ),
    (
        r"(?i)constraint|specializ|dynamic_shapes",
        "a fixed number of rows",
        "Do not build the number of rows into the net: flatten(1) and x.shape[0], not view(32, -1).",
    ),
    (r"", "", "Use operations of torch that ONNX has; docs/other-models.md says what can be exported."),
)
