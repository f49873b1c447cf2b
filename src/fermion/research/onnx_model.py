"""A graph that exists already as a model: nothing is fitted, everything is checked, and it is evaluated and served like the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from fermion.bundle import scan
from fermion.bundle.steps import Onnx, Step
from fermion.columns.column import Arrays
from fermion.columns.output import Output, Probability, Value, name_of
from fermion.core.errors import DataError, SpecError, Told, did_you_mean
from fermion.core.run import Run
from fermion.research.feeding import Feed, feed_of
from fermion.research.model import Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.offered import plain
from fermion.research.parity import ROWS
from fermion.research.served import Served, session

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
}
_CLOSE = 1e-3  # of the sum of a row's probabilities


class OnnxGraph(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="onnx"):
    """A file of ONNX behind a graph that feeds it from the encoded columns and one that reads its answers.

    Args:
        path: of the file, from the project's folder.
        inputs: what each of the graph's inputs gets: a column, a list of columns side by side, or an array of the encoder (`numbers`,
            `codes`, `picture.pixels`). Left out, a name that is a column's or an array's gets that, and a lone input gets the picture
            or all columns in their order.
        outputs: which of the graph's outputs answers for each target; by name, else by place, when left out.
        softmax: the graph gives logits: (N, K), or one for two classes.
        classes: the order of a target's classes in the graph; sorted when left out.
        levels: the levels of a category in the order in which the graph counts them from 0; without them it gets the schema's codes.
        unknown: what it gets for levels that are not among them, and for missing ones.
        missing: what it gets for a missing number; NaN when left out.
        divide: what pixels are divided by where the graph takes real numbers.
        mean: what is subtracted from each channel then.
        spread: what each channel is divided by after that.

    >>> OnnxGraph(path="model.onnx", inputs={"x": ("age", "income")}).softmax
    False
    """

    path: Annotated[str, Meta(description="The file, from the project's folder.")]
    inputs: dict[str, str | tuple[str, ...]] = field(default_factory=dict[str, str | tuple[str, ...]])
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    softmax: bool = False
    classes: dict[str, tuple[str | int | bool, ...]] = field(default_factory=dict[str, tuple[str | int | bool, ...]])
    levels: dict[str, tuple[str | int, ...]] = field(default_factory=dict[str, tuple[str | int, ...]])
    unknown: int = -1
    missing: float | None = None
    divide: Annotated[float, Meta(gt=0)] = 255.0
    mean: tuple[float, ...] = ()
    spread: tuple[Annotated[float, Meta(gt=0)], ...] = ()

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Read the file, feed it real rows and look at its answers. Nothing is learned.

        Raises:
            SpecError: no such file, or inputs and outputs that do not fit the columns and targets.
            BundleError: it keeps weights in other files, or uses operators that ONNX Runtime does not bring.
            DataError: there is no row, or its answers are no probabilities.
        """
        plain(train.outputs, "onnx")
        if not len(train) and not len(valid):
            raise DataError("the training part", rule="not empty", given=Told("0 rows"), remedy="Give more data or a smaller test share.")
        graph = self._read(run.home or Path.cwd())
        scan.check(self.path, graph)
        try:
            opened = session(graph)
        except Exception as broken:  # ONNX Runtime raises kinds of its own, without a common one
            given = Told(str(broken).splitlines()[0][:160])
            raise SpecError(f"the graph `{self.path}`", rule="one that ONNX Runtime opens", given=given, where="model.path") from broken
        feeds = self._feeds(opened, train)
        asked = self._answers(opened, train.outputs)
        examples = {name: array[:ROWS] for name, array in (valid if len(valid) else train).arrays.items()}
        prepared, first = _prepare(feeds, train)
        raw = {name: f"raw:{name}" for name in dict.fromkeys(asked.values())}
        middle = Onnx(graph="given", inputs={feed.name: first[1][feed.name] for feed in feeds}, outputs=raw)
        graphs, steps = {**prepared, "given": graph}, [*first[0], middle]
        made = self._try(Export(graphs=graphs, steps=tuple(steps)), train.outputs, examples, raw)
        nodes = Nodes("answer")
        answers: dict[str, str] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        words = {name: f"raw_{at}" for at, name in enumerate(raw)}
        for name, there in raw.items():
            nodes.input(words[name], str(made[there].dtype), *made[there].shape[1:])
        for at, output in enumerate(train.outputs):
            array = made[raw[asked[output.target]]]
            answers[f"answer_{at}"] = self._answer(nodes, output, words[asked[output.target]], array)
            shapes[f"answer_{at}"] = output.tail
        inputs = {words[name]: there for name, there in raw.items()}
        last = Onnx(graph="answer", inputs=inputs, outputs={f"answer_{at}": one.array for at, one in enumerate(train.outputs)})
        export = Export(graphs={**graphs, "answer": nodes.finish(answers, shapes=shapes)}, steps=(*steps, last))
        learned = Served(export, train.outputs)
        self._look(learned.run(examples), train.outputs)
        notes = (f"{self.path} is taken as it is: nothing was fitted",)
        return Fitted(schema=train.schema, outputs=train.outputs, learned=learned, notes=notes)

    def _read(self, folder: Path) -> bytes:
        file = folder / self.path
        try:
            return file.read_bytes()
        except OSError as bad:
            known = [str(path.relative_to(folder)) for path in sorted(folder.glob("*.onnx"))]
            remedy = did_you_mean(self.path, known) or "Give its path from the project's folder."
            raise SpecError(
                "model.path", rule="a file that can be read", given=Told(f"{self.path}: {bad.strerror}"), remedy=remedy
            ) from None

    def _feeds(self, opened: Any, train: Encoded) -> list[Feed]:
        there = {one.name: one for one in opened.get_inputs()}
        for name in self.inputs:
            if name not in there:
                remedy = did_you_mean(name, there) or f"It has {', '.join(there)}."
                raise SpecError("an input of model.inputs", rule="one that the graph has", given=name, remedy=remedy, where="model.inputs")
        feeds: list[Feed] = []
        for name, one in there.items():
            if isinstance(one.shape[0] if one.shape else 1, int):
                raise SpecError(
                    f"the input `{name}` of the graph",
                    rule="free in its first axis, the rows",
                    given=Told(f"the shape {one.shape}"),
                    remedy="Export it again with a dynamic batch axis.",
                    where="model.path",
                )
            dtype = _DTYPES.get(one.type)
            if dtype is None:
                remedy = "Export it with numbers as inputs; categories come as codes, in the order of model.levels."
                raise SpecError(f"the input `{name}`", rule=f"one of {', '.join(_DTYPES.values())}", given=Told(one.type), remedy=remedy)
            wanted = self.inputs.get(name)
            feeds.append(feed_of(self, name, dtype, tuple(one.shape[1:]), wanted, train.schema, alone=len(there) == 1))
        return feeds

    def _answers(self, opened: Any, outputs: tuple[Output, ...]) -> dict[str, str]:
        """The graph's output for each target."""
        there = {one.name: one for one in opened.get_outputs()}
        usable = [name for name, one in there.items() if one.type in _DTYPES and "int" not in one.type]
        asked: dict[str, str] = {}
        for target in self.outputs:
            if target not in [output.target for output in outputs]:
                raise SpecError("a target of model.outputs", rule="one of data.target", given=target, where="model.outputs")
        for at, output in enumerate(outputs):
            name = self.outputs.get(output.target, output.target if output.target in usable else usable[at] if at < len(usable) else "")
            if name not in usable:
                odd = there[name].type if name in there else name or f"{len(usable)} outputs"
                maps = "Export it with zipmap=False, so that probabilities are a tensor." if "map" in odd else ""
                rule = f"an output of real numbers ({', '.join(usable) or 'there is none'})"
                remedy = maps or did_you_mean(name, usable)
                raise SpecError(f"the answer for `{output.target}`", rule=rule, given=Told(odd), remedy=remedy, where="model.outputs")
            asked[output.target] = name
        return asked

    def _try(self, export: Export, outputs: tuple[Output, ...], examples: Arrays, raw: dict[str, str]) -> Arrays:
        """What the graph gives for real rows, and for one alone."""
        served = Served(export, ())
        try:
            alone = served.arrays({name: array[:1] for name, array in examples.items()})
            made = served.arrays(examples)
        except Exception as broken:  # ONNX Runtime raises kinds of its own, without a common one
            given = Told(str(broken).splitlines()[0][:200])
            raise SpecError(
                f"the graph `{self.path}`", rule="one that answers these columns", given=given, where="model.inputs"
            ) from broken
        rows = len(next(iter(examples.values())))
        for name, there in raw.items():
            if alone[there].shape[:1] != (1,) or made[there].shape[:1] != (rows,):
                given = Told(f"{made[there].shape} for {rows} rows")
                remedy = "Export it with a dynamic batch axis."
                raise SpecError(f"the output `{name}`", rule="one row per row", given=given, remedy=remedy, where="model.path")
        return made

    def _answer(self, nodes: Nodes, output: Output, name: str, array: NDArray[Any]) -> str:
        """Nodes from the graph's numbers to the output's array."""
        size = int(np.prod(array.shape[1:], dtype=np.int64))
        flat = nodes.add("Reshape", name, nodes.constant(np.array([-1, size], dtype=np.int64)))
        if isinstance(output, Value):
            if size != 1:
                self._refuse(output, "one number per row", array)
            exact = nodes.add("Cast", flat, to=11)  # values in the target's own unit: the difference is taken in float64
            moved = nodes.add(
                "Div", nodes.add("Sub", exact, nodes.constant(np.float64(output.offset))), nodes.constant(np.float64(output.scale))
            )
            return nodes.add("Reshape", nodes.add("Cast", moved, to=1), nodes.constant(np.array([-1], dtype=np.int64)))
        assert isinstance(output, Probability)
        x, classes = nodes.add("Cast", flat, to=1), len(output.classes)
        if size == 1 and classes == 2:
            p = nodes.add("Sigmoid", x) if self.softmax else x
            x = nodes.add("Concat", nodes.add("Sub", nodes.constant(np.float32(1)), p), p, axis=1)
        elif size != classes:
            self._refuse(output, f"{classes} numbers per row, one for each class", array)
        elif self.softmax:
            x = nodes.add("Softmax", x, axis=1)
        order = self._order(output)
        return x if order is None else nodes.add("Gather", x, nodes.constant(order), axis=1)

    def _order(self, output: Probability) -> NDArray[np.int64] | None:
        """Where each class of the output stands in the graph."""
        said = self.classes.get(output.target)
        if said is None:
            return None
        names, known = [name_of(label) for label in said], [name_of(label) for label in output.classes]
        if sorted(names) != sorted(known):
            rule = f"the classes of the target ({', '.join(known[:10])})"
            raise SpecError(f"model.classes of `{output.target}`", rule=rule, given=Told(", ".join(names[:10])), where="model.classes")
        return np.array([names.index(name) for name in known], dtype=np.int64)

    def _refuse(self, output: Output, rule: str, array: NDArray[Any]) -> None:
        given = Told(f"an array of the shape (N, {', '.join(map(str, array.shape[1:]))})")
        remedy = "Name another of the graph's outputs in model.outputs."
        raise SpecError(f"the answer for `{output.target}`", rule=rule, given=given, remedy=remedy, where="model.outputs")

    def _look(self, made: Arrays, outputs: tuple[Output, ...]) -> None:
        """Make sure that answers are finite and probabilities are some."""
        for output in outputs:
            array = made[output.array]
            if not np.isfinite(array).all():
                remedy = "Say what it gets for a missing number: model.missing."
                raise DataError(f"the answers for `{output.target}`", rule="finite", given=Told("NaN or infinity"), remedy=remedy)
            if not isinstance(output, Probability):
                continue
            off = float(np.abs(array.sum(axis=1) - 1).max())
            if off > _CLOSE or array.min() < -_CLOSE:
                given = Told(f"numbers from {array.min():.3g} to {array.max():.3g} whose rows are off by up to {off:.3g}")
                remedy = "Set model.softmax to true where they are logits, or name another output in model.outputs."
                raise DataError(f"the answers for `{output.target}`", rule="probabilities that sum to one", given=given, remedy=remedy)


def _prepare(feeds: list[Feed], train: Encoded) -> tuple[dict[str, bytes], tuple[list[Step], dict[str, str]]]:
    """The graph that feeds the given one, its step, and the array that each of the given one's inputs reads."""
    if all(feed.direct for feed in feeds):
        return {}, ([], {feed.name: feed.direct or "" for feed in feeds})
    nodes = Nodes("feed")
    made = {f"fed_{at}": feed.nodes(nodes) for at, feed in enumerate(feeds)}
    shapes = {f"fed_{at}": feed.shape for at, feed in enumerate(feeds)}
    graph = nodes.finish(made, shapes=shapes, dtypes={f"fed_{at}": feed.dtype for at, feed in enumerate(feeds)})
    reads = dict.fromkeys(name for feed in feeds for name in feed.reads)
    step = Onnx(
        graph="feed", inputs={name: name for name in reads}, outputs={f"fed_{at}": f"fed:{feed.name}" for at, feed in enumerate(feeds)}
    )
    return {"feed": graph}, ([step], {feed.name: f"fed:{feed.name}" for feed in feeds})
