"""Keras in its own process, for real: few fits, because each starts TensorFlow."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from fermion.bundle.runtime import Runtime
from fermion.core.errors import FermionError, MissingExtra, SpecError
from fermion.core.run import Event, Run
from fermion.research.keras_model import Keras
from fermion.testing.models import ModelContract

TABLE = ModelContract()
needs_keras = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("keras", "tensorflow", "tf2onnx")),
    reason="the extra `tensorflow` is not installed",
)
NAMED = """
import keras


def build(inputs, outputs, width):
    given = [keras.Input(one.shape, dtype=one.dtype, name=one.word) for one in inputs]
    by_word = {one.name: one for one in given}
    looked_up = keras.layers.Flatten()(keras.layers.Embedding(inputs[1].sizes[0], 4)(by_word["codes"]))
    body = keras.layers.Dense(width, activation="relu")(keras.layers.Concatenate()([by_word["numbers"], looked_up]))
    return keras.Model(given, [keras.layers.Dense(one.size)(body) for one in outputs])
"""
MATRIX = """
import keras


def build(features, size):
    {before}
    return keras.Sequential([keras.Input((features,)), keras.layers.Dense({size}, activation={activation})])
"""


@needs_keras
def test_named_inputs_and_several_targets_learn_and_are_served_as_graphs(tmp_path: Path) -> None:
    (tmp_path / "my_keras.py").write_text(NAMED)
    train, valid, held = TABLE.table(targets=("kind", "price"))
    events: list[Event] = []
    run = Run(home=tmp_path, listeners=(events.append,))
    fitted = Keras(build="my_keras:build", settings={"width": 16}, epochs=30, batch=64, lr=0.01).fit(train, valid, run)
    export = fitted.export()
    made = fitted.run(valid.arrays)
    y_N, v_N = valid.targets["kind"], valid.targets["price"]
    assert np.mean(made[train.outputs[0].array].argmax(axis=1) == y_N) > 0.8
    assert np.mean((made[train.outputs[1].array] - v_N) ** 2) < 0.5 * np.mean(v_N**2)
    assert [event.done for event in events if event.kind == "progress"] == list(range(1, 31))
    assert {curve.name for curve in fitted.curves} == {"training loss", "validation loss"}
    runtime = Runtime(schema=fitted.schema, steps=export.steps, graphs=export.graphs, outputs=fitted.outputs)
    assert set(runtime.predict({name: values[:3] for name, values in held.items()})["prediction"][0]) == {"kind", "price"}
    for array in fitted.run(fitted.schema.encode(TABLE.strange())).values():
        assert np.isfinite(array).all()
    assert "tensorflow" not in sys.modules


@needs_keras
def test_a_matrix_and_probabilities_until_it_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "my_keras.py").write_text(MATRIX.format(before="", size="size", activation="'softmax'"))
    train, valid, _ = TABLE.table()
    model = Keras(build="my_keras:build", epochs=100_000, batch=64, lr=0.05, answers="probabilities")
    run = Run(home=tmp_path)
    run.listeners.append(lambda event: run.stop() if event.kind == "progress" and event.done >= 3 else None)
    fitted = model.fit(train, valid, run)
    np.testing.assert_allclose(fitted.run(valid.arrays)[train.outputs[0].array].sum(axis=1), 1, atol=1e-5)
    assert "of 100000 epochs" in fitted.notes[0]


@needs_keras
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            MATRIX.format(before="", size="size", activation="'softmax'"),
            "answers for `kind` must be logits, got rows that sum to one. Set model.answers to",
        ),
        (
            MATRIX.format(before="1 / 0", size="size", activation="None"),
            r"my_keras.py:6: `my_keras:build` must be called without an error, got ZeroDiv",
        ),
    ],
)
def test_what_does_not_fit_is_told_as_by_this_process(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "my_keras.py").write_text(text)
    train, valid, _ = TABLE.table()
    with pytest.raises(SpecError, match=told):
        Keras(build="my_keras:build", epochs=1).fit(train, valid, Run(home=tmp_path))


def test_a_syntax_error_is_told_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "my_keras.py").write_text("def build(size:\n    pass\n")
    train, valid, _ = TABLE.table()
    with pytest.raises(FermionError, match=r"my_keras.py:1:\d+: the module `my_keras` must be valid Python|pip install"):
        Keras(build="my_keras:build", epochs=1).fit(train, valid, Run(home=tmp_path))


def test_without_keras_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid, _ = TABLE.table()
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    with pytest.raises(MissingExtra, match=r"pip install 'fermion\[tensorflow\]'"):
        Keras(build="my_keras:build").fit(train, valid, Run())
