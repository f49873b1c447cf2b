"""A Keras model of the user's: built, trained and exported by Keras on TensorFlow in a process of its own, served as a graph."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from fermion.bundle.steps import Onnx
from fermion.columns.column import Arrays
from fermion.columns.output import Probability
from fermion.core import imported
from fermion.core.errors import FermionError, MissingExtra, SpecError, Stopped, Told
from fermion.core.run import Run
from fermion.research.model import Curve, Encoded, Export, Fitted
from fermion.research.nodes import Nodes
from fermion.research.offered import Answered, Input, plain
from fermion.research.parity import ROWS, check_parity
from fermion.research.prelude import Prelude
from fermion.research.served import Served
from fermion.research.targets import labelled, learnable

SHORTEST, LONGEST, PASSES = 500, 5_000, 30


class Job(Struct, frozen=True, kw_only=True):
    """What the process of Keras is asked to do; arrays lie beside it as .npy files."""

    build: str
    home: str
    settings: dict[str, Any]
    inputs: tuple[Input, ...]
    outputs: tuple[Answered, ...]
    answers: str
    epochs: int
    batch: int
    lr: float
    patience: int
    seconds: float | None
    seed: int
    validated: bool


class Epoch(Struct, frozen=True, kw_only=True):
    """A line that the process prints: how far it is."""

    epoch: int
    epochs: int
    loss: float
    valid: float | None = None


class Made(Struct, frozen=True, kw_only=True):
    """What the process leaves beside model.onnx: names by position, how many epochs it took and which were best, or an error."""

    inputs: dict[str, str] = field(default_factory=dict[str, str])  # of the graph -> word
    outputs: dict[str, str] = field(default_factory=dict[str, str])  # of the graph -> array
    epochs: int = 0
    best: int = 0
    error: dict[str, str] | None = None
    code: str = ""


class Keras(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="keras"):
    """A model that the user's function builds with Keras 3.

    The function gets `settings`, and of these four what it has parameters for: `features` (D, the columns of the matrix), `size` (how
    many numbers the last layer has), `inputs` and `outputs` (`fermion.research.offered`). With `inputs` the model takes one
    `keras.Input` for each, named by its `word`; otherwise one matrix (B, D). It answers (B, size), or one tensor per output, in order.
    Preparation is in front of it, as a graph: numbers standardised without gaps, one column per level in the matrix, pictures as shares
    of 255 (B, H, W, C).

    Keras runs in a process of its own, so that TensorFlow is neither beside torch nor in the service. The graph is compared there with
    the model on up to 1,000 real rows.

    Args:
        build: `my_module:build`, a function that gives a `keras.Model`.
        settings: what it is called with.
        answers: what the model ends with for classes: `logits` (a last layer without activation) or `probabilities` (softmax).
        epochs: passes over the training part; 0 chooses by the number of rows: 30, of at least 500 and at most 5,000 steps.
        batch: rows per step; 0 chooses by the number of rows, from 32 to 1,024.
        lr: learning rate of Adam; a model that is compiled already keeps its optimizer.
        patience: epochs without a better validation loss after which training ends; 0 trains to the end.

    >>> Keras(build="my_module:build").answers
    'logits'
    """

    build: Annotated[str, Meta(description="module:name of a function that gives a keras.Model.")]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    answers: Literal["logits", "probabilities"] = "logits"
    epochs: Annotated[int, Meta(ge=0)] = 0
    batch: Annotated[int, Meta(ge=0)] = 0
    lr: Annotated[float, Meta(gt=0)] = 0.001
    patience: Annotated[int, Meta(ge=0)] = 0

    def fit(self, train: Encoded, valid: Encoded, run: Run) -> Fitted:
        """Learn from `train`, keep the weights with the least loss on `valid`.

        Raises:
            DataError: no labelled row, one class, or nothing to read.
            SpecError: there is no such function, it raises, or its model does not fit the arrays and outputs.
            FermionError: the graph differs from the model, or Keras failed.
            Stopped: it was stopped before it began.
        """
        for output in train.outputs:
            learnable(output, train)
        outputs = plain(train.outputs, "keras")
        for package in ("keras", "tensorflow", "tf2onnx"):
            if PathFinder.find_spec(package) is None:
                raise MissingExtra(
                    f"the package `{package}`",
                    rule="installed for this step",
                    given=Told("no such package"),
                    remedy="Run: pip install 'fermion[tensorflow]'",
                )
        if run.stopped:
            raise Stopped("the training", rule="begun before it is stopped", given=Told("no step"), remedy="Run it again.")
        asked = imported.parameters(self.build, run.home, where="model.build")  # read, not imported: that would load TensorFlow here
        prelude = Prelude.of(train, matrix="inputs" not in asked)
        batch = self.batch or int(2 ** np.floor(np.log2(np.clip(len(train) / 32, 32, 1024))))
        steps = np.clip(PASSES * len(train) / batch, SHORTEST, LONGEST)
        validated = any(len(labelled(output, valid)) for output in valid.outputs)
        job = Job(
            build=self.build,
            home=str((run.home or Path.cwd()).resolve()),
            settings=self.settings,
            inputs=prelude.inputs,
            outputs=outputs,
            answers=self.answers,
            epochs=self.epochs or max(1, round(float(steps) * batch / len(train))),
            batch=batch,
            lr=self.lr,
            patience=self.patience,
            seconds=None if run.left() == float("inf") else run.left(),
            seed=run.seed_for("fit: keras"),
            validated=validated,
        )
        examples = (valid if len(valid) else train).take(np.arange(min(ROWS, len(valid) or len(train))))
        parts = {"train": train, "valid": valid, "examples": examples}
        with tempfile.TemporaryDirectory(prefix="keras-", ignore_cleanup_errors=True) as scratch:
            folder = Path(scratch)
            for name, part in parts.items():
                _write(folder / name, prelude.run(part.arrays), part)
            curves = _work(job, folder, run)
            made = msgspec.json.decode((folder / "made.json").read_bytes(), type=Made)
            graph = (folder / "model.onnx").read_bytes()
            expected = {one.array: np.load(folder / f"answer-{at}.npy") for at, one in enumerate(outputs)}
        export = self._export(train, prelude, graph, made)
        check_parity(export, examples.arrays, expected)
        notes = [] if made.epochs >= job.epochs else [f"Training ended after {made.epochs} of {job.epochs} epochs; the best were kept."]
        return Fitted(
            schema=train.schema,
            outputs=train.outputs,
            learned=Served(exported=export, outputs=train.outputs),
            curves=curves,
            notes=tuple(notes),
        )

    def _export(self, train: Encoded, prelude: Prelude, graph: bytes, made: Made) -> Export:
        """Preparation, the graph of Keras, and what makes probabilities and values of its raw numbers."""
        graphs, steps, names = prelude.step()
        nodes = Nodes("answer")
        answers: dict[str, str] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        raw = {array: f"raw:{array}" for array in made.outputs.values()}
        places = {output.array: f"raw_{at}" for at, output in enumerate(train.outputs)}
        for at, output in enumerate(train.outputs):
            size = len(output.classes) if isinstance(output, Probability) else 1
            x = nodes.add("Reshape", nodes.input(f"raw_{at}", "float32", size), nodes.constant(np.array([-1, size], dtype=np.int64)))
            if isinstance(output, Probability):
                answers[f"answer_{at}"] = nodes.add("Softmax", x, axis=1) if self.answers == "logits" else x
                shapes[f"answer_{at}"] = (size,)
            else:
                answers[f"answer_{at}"] = nodes.add("Reshape", x, nodes.constant(np.array([-1], dtype=np.int64)))
                shapes[f"answer_{at}"] = ()
        first = Onnx(
            graph="keras",
            inputs={there: names[word] for there, word in made.inputs.items()},
            outputs={there: raw[array] for there, array in made.outputs.items()},
        )
        last = Onnx(
            graph="answer",
            inputs={places[array]: raw[array] for array in places},
            outputs={f"answer_{at}": output.array for at, output in enumerate(train.outputs)},
        )
        return Export(graphs={**graphs, "keras": graph, "answer": nodes.finish(answers, shapes=shapes)}, steps=(*steps, first, last))


def _write(folder: Path, arrays: Arrays, part: Encoded) -> None:
    """Prepared inputs, targets and weights (mean 1 over the labelled rows, 0 elsewhere) as files."""
    folder.mkdir()
    for word, array in arrays.items():
        np.save(folder / f"in-{word}.npy", array)
    for at, output in enumerate(part.outputs):
        target = labelled(output, part)
        y_N: NDArray[Any] = np.zeros(len(part), dtype=np.int64 if isinstance(output, Probability) else np.float32)
        w_N = np.zeros(len(part), dtype=np.float32)
        y_N[target.at] = target.y
        w_N[target.at] = target.w * (len(part) / max(len(target), 1))
        np.save(folder / f"y-{at}.npy", y_N)
        np.save(folder / f"w-{at}.npy", w_N)


def _work(job: Job, folder: Path, run: Run) -> tuple[Curve, ...]:
    """Run Keras's process to its end, tell its progress, and hand over the stop signal.

    Raises:
        FermionError: what it left as its error, or the end of what it said where it died.
    """
    (folder / "job.json").write_bytes(msgspec.json.encode(job))
    device = {} if run.device.startswith("cuda") else {"CUDA_VISIBLE_DEVICES": "-1"}
    roots = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(roots), **device}
    command = [sys.executable, "-m", "fermion.research.keras_worker", str(folder)]
    points: dict[str, list[tuple[int, float]]] = {"training loss": [], "validation loss": []}
    with (
        (folder / "said.txt").open("wb") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environment) as process,
    ):
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(run, folder, ended), daemon=True)
        watcher.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                try:
                    told = msgspec.json.decode(line, type=Epoch)
                except msgspec.DecodeError:
                    continue  # what a user's module prints
                points["training loss"].append((told.epoch, told.loss))
                if told.valid is not None:
                    points["validation loss"].append((told.epoch, told.valid))
                run.emit("progress", "fit", "keras", done=told.epoch, total=told.epochs, loss=told.loss)
        except BaseException:
            process.kill()
            raise
        finally:
            ended.set()
    if not (folder / "made.json").is_file():
        lines = (folder / "said.txt").read_text(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        given = Told(lines[-1][:160])
        raise FermionError("the process of Keras", rule="ended with a model", given=given, remedy="Look at the function that builds it.")
    made = msgspec.json.decode((folder / "made.json").read_bytes(), type=Made)
    if made.error is not None:
        told = {**made.error, "given": Told(made.error["given"])}
        kind = SpecError if made.code == "spec" else Stopped if made.code == "stopped" else FermionError
        raise kind(told["subject"], rule=told["rule"], given=told["given"], remedy=told["remedy"], where=told["where"])
    return tuple(
        Curve(name=name, x=[float(x) for x, _ in some], y=[y for _, y in some], unit="epochs") for name, some in points.items() if some
    )


def _watch(run: Run, folder: Path, ended: threading.Event) -> None:
    """A file is the stop signal: the process looks for it after every few batches."""
    while not ended.wait(0.2):
        if run.stopped:
            (folder / "stop").touch()
            return
