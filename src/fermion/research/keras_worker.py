"""The process of Keras: builds, trains, exports and compares, then leaves files and ends. Started by `keras_model`; imports no torch."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fermion.core import imported
from fermion.core.errors import FermionError, SpecError, Told
from fermion.research.keras_model import Epoch, Job, Made

LOOK = 20  # batches between two looks at the clock and the stop signal


def main(folder: Path) -> None:
    """Do the job of this folder."""
    job = msgspec.json.decode((folder / "job.json").read_bytes(), type=Job)
    try:
        made = work(job, folder)
    except FermionError as bad:
        error = {"subject": bad.subject, "rule": bad.rule, "given": bad.given, "remedy": bad.remedy, "where": bad.where}
        made = Made(error=error, code=bad.code)
    scratch = folder / "made.part"
    scratch.write_bytes(msgspec.json.encode(made))
    scratch.replace(folder / "made.json")


def work(job: Job, folder: Path) -> Made:
    """Build, train, export, answer the examples."""
    began = time.monotonic()
    warnings.simplefilter("ignore")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(job.seed)
    tf.config.experimental.enable_op_determinism()
    build = imported.load(job.build, Path(job.home), where="model.build")
    told: dict[str, Any] = {
        "inputs": job.inputs,
        "outputs": job.outputs,
        "features": sum(math.prod(size or 1 for size in one.shape) for one in job.inputs),
        "size": sum(one.size for one in job.outputs),
    }
    asked = imported.parameters(job.build, Path(job.home), where="model.build")
    told = {name: value for name, value in told.items() if name in asked}
    model = imported.call(build, name=job.build, where="model.settings", **told, **job.settings)
    if not isinstance(model, keras.Model):
        given = Told(type(model).__name__)
        raise SpecError(
            f"`{job.build}`", rule="a function that gives a keras.Model", given=given, remedy="Return the model.", where="model.build"
        )
    model, words = shaped(keras, model, job)
    train, valid, examples = (read(folder / part, words, job) for part in ("train", "valid", "examples"))
    look_at(model, examples, job)
    epochs, best = train_it(keras, model, train, valid, job, folder, began)
    with contextlib.redirect_stdout(sys.stderr):
        model.export(str(folder / "model.onnx"), format="onnx", verbose=False)
    for at, answer in enumerate(answers(model, examples.inputs, job)):
        np.save(folder / f"answer-{at}.npy", answer)
    inputs, outputs = names_of(folder / "model.onnx", words, job)
    return Made(inputs=inputs, outputs=outputs, epochs=epochs, best=best)


class Part(msgspec.Struct, frozen=True):
    """One part of the data: inputs in the model's order, one target and one weight per output."""

    inputs: list[NDArray[Any]]
    targets: list[NDArray[Any]]
    weights: list[NDArray[Any]]


def shaped(keras: Any, model: Any, job: Job) -> tuple[Any, tuple[str, ...]]:
    """The model with one tensor per output, and the words of its inputs in its order.

    Raises:
        SpecError: it has other inputs, or answers something of another shape.
    """
    where, known = "model.build", [one.word for one in job.inputs]
    inputs, made = list(getattr(model, "inputs", None) or []), list(getattr(model, "outputs", None) or [])
    if not inputs or not made:
        remedy = "Return keras.Model(inputs, outputs), or a Sequential that begins with keras.Input."
        raise SpecError(f"the model of `{job.build}`", rule="functional", given=Told("a model without inputs"), remedy=remedy, where=where)
    words = (known[0],) if len(inputs) == len(known) == 1 else tuple(one.name for one in inputs)
    strange = [word for word in words if word not in known]
    if strange:
        remedy = "Give each its name: keras.Input(one.shape, dtype=one.dtype, name=one.word) for one in inputs."
        rule = f"among {', '.join(known)}"
        raise SpecError(f"the inputs of `{job.build}`", rule=rule, given=Told(", ".join(strange)), remedy=remedy, where=where)
    sizes = [one.size for one in job.outputs]
    if len(made) == 1 < len(sizes) and tuple(made[0].shape[1:]) == (sum(sizes),):
        ends = np.cumsum(sizes).tolist()
        made = [made[0][:, end - size : end] for end, size in zip(ends, sizes, strict=True)]
        model = keras.Model(model.inputs, made)
    fits = len(made) == len(sizes) and all(math.prod(x.shape[1:]) == size for x, size in zip(made, sizes, strict=True))
    if not fits:
        each = ", ".join(f"(B, {one.size}) for {one.target}" for one in job.outputs)
        rule = f"one tensor (B, {sum(sizes)}), or {each}"
        given = Told(", ".join(str(("B", *x.shape[1:])).replace("'", "") for x in made))
        remedy = "Give the function a parameter `size` or `outputs`, and make the last layer so wide."
        raise SpecError(f"what the model of `{job.build}` answers", rule=rule, given=given, remedy=remedy, where=where)
    return model, words


def look_at(model: Any, examples: Part, job: Job) -> None:
    """Logits that are probabilities would be trained as if they were logits, slowly and badly.

    Raises:
        SpecError: they are, or the other way round.
    """
    for one, raw in zip(job.outputs, asked(model, [array[:64] for array in examples.inputs]), strict=True):
        sums = raw.min() >= 0 and np.allclose(raw.sum(axis=1), 1, atol=1e-3)
        if one.shape and bool(sums) != (job.answers == "probabilities"):
            given = Told("rows that sum to one" if sums else "rows that do not")
            rule = "logits" if job.answers == "logits" else "probabilities"
            remedy = f"Set model.answers to {'probabilities' if sums else 'logits'}."
            raise SpecError(f"what `{job.build}` answers for `{one.target}`", rule=rule, given=given, remedy=remedy, where="model.answers")


def train_it(keras: Any, model: Any, train: Part, valid: Part, job: Job, folder: Path, began: float) -> tuple[int, int]:
    """Fit in place and leave the weights with the least validation loss; gives how many epochs there were and which was best.

    Raises:
        FermionError: the loss is no longer finite.
    """
    logits = job.answers == "logits"
    losses = [
        keras.losses.SparseCategoricalCrossentropy(from_logits=logits) if one.shape else keras.losses.MeanSquaredError()
        for one in job.outputs
    ]
    optimizer = getattr(model, "optimizer", None) or keras.optimizers.Adam(job.lr)
    model.compile(optimizer=optimizer, loss=losses)
    best: dict[str, Any] = {"loss": math.inf, "epoch": 0, "weights": None, "done": 0}

    parent = os.getppid()

    def over() -> bool:
        """Whether to end: the rest of the time is for the export; without a parent nobody waits for the model."""
        late = job.seconds is not None and time.monotonic() - began > 0.8 * job.seconds
        return late or (folder / "stop").exists() or os.getppid() != parent

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch % LOOK == LOOK - 1 and over():
                model.stop_training = True

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            told = logs or {}
            loss, other = float(told["loss"]), told.get("val_loss")
            if not math.isfinite(loss):
                given = Told(f"NaN or infinity in epoch {epoch + 1}")
                raise FermionError("the training loss", rule="finite", given=given, remedy=f"Lower model.lr (now {job.lr:g}).")
            best["done"] = epoch + 1
            if other is None or float(other) < best["loss"]:
                best.update(loss=math.inf if other is None else float(other), epoch=epoch + 1, weights=model.get_weights())
            line = Epoch(epoch=epoch + 1, epochs=job.epochs, loss=loss, valid=None if other is None else float(other))
            sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
            sys.stdout.buffer.flush()
            if over() or 0 < job.patience <= epoch + 1 - best["epoch"]:
                model.stop_training = True

    model.fit(
        train.inputs,
        train.targets,
        sample_weight=train.weights,
        batch_size=job.batch,
        epochs=job.epochs,
        verbose=0,
        shuffle=True,
        validation_data=(valid.inputs, valid.targets, valid.weights) if job.validated else None,
        callbacks=[Watch()],
    )
    if best["weights"] is not None:
        model.set_weights(best["weights"])
    return best["done"], best["epoch"]


def read(folder: Path, words: tuple[str, ...], job: Job) -> Part:
    """The arrays of one part from their files."""
    return Part(
        [np.load(folder / f"in-{word}.npy", mmap_mode="r") for word in words],
        [np.load(folder / f"y-{at}.npy").reshape((-1,) if one.shape else (-1, 1)) for at, one in enumerate(job.outputs)],
        [np.load(folder / f"w-{at}.npy") for at in range(len(job.outputs))],
    )


def asked(model: Any, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """What the model gives, one (N, size) array per output."""
    made = model.predict(inputs, verbose=0, batch_size=256)
    return [np.asarray(one).reshape(len(one), -1) for one in (made if isinstance(made, list) else [made])]


def answers(model: Any, inputs: list[NDArray[Any]], job: Job) -> list[NDArray[Any]]:
    """Probabilities and values, as the graph has to give them."""
    found: list[NDArray[Any]] = []
    for one, raw in zip(job.outputs, asked(model, inputs), strict=True):
        if one.shape and job.answers == "logits":
            raw = np.exp(raw - raw.max(axis=1, keepdims=True))
            raw = raw / raw.sum(axis=1, keepdims=True)
        found.append(raw.astype(np.float32) if one.shape else raw[:, 0].astype(np.float32))
    return found


def names_of(path: Path, words: tuple[str, ...], job: Job) -> tuple[dict[str, str], dict[str, str]]:
    """Names of the graph's inputs and outputs to words and arrays: Keras loses those of outputs, so that places count."""
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    there = [one.name for one in session.get_inputs()]
    inputs = {name: name for name in there} if set(there) <= set(words) else dict(zip(there, words, strict=True))
    return inputs, {made.name: one.array for made, one in zip(session.get_outputs(), job.outputs, strict=True)}


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    main(Path(sys.argv[1]))
