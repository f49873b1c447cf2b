"""What is served in this benchmark, as bundles and as plain ONNX files: the trees and the net, with random weights where that is enough."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.bundle import bundle as bundles
from fermion.bundle.bundle import Bundle
from fermion.bundle.golden import Golden
from fermion.bundle.manifest import Manifest, Provenance
from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Onnx
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Output, Probability
from fermion.columns.schema import Field, Schema

FEATURES = [f"feature_{position:02d}" for position in range(30)]
BODIES = 1024  # different requests that the load generator cycles through


def table_rows(rows: int = BODIES) -> NDArray[np.float64]:
    """(N, 30) numbers with four decimals, as a client would type them."""
    return np.random.default_rng(7).normal(size=(rows, 30)).round(4)


def pictures(rows: int = BODIES) -> NDArray[np.uint8]:
    """(N, 28, 28, 1) uint8: a bright patch on black, about as full as a handwritten digit."""
    rng = np.random.default_rng(7)
    x_NHWC = np.zeros((rows, 28, 28, 1), dtype=np.uint8)
    x_NHWC[:, 6:22, 8:20] = rng.integers(0, 256, (rows, 16, 12, 1))
    return x_NHWC


def trees(folder: Path) -> Bundle:
    """LightGBM, 200 trees of 31 leaves on 30 numbers, as a bundle."""
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(8_000, 30)).astype(np.float32)
    y_N = (np.sin(x_NF[:, 0] * 3) + x_NF[:, 1] * x_NF[:, 2] + rng.normal(size=8_000) * 0.3 > 0).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=200, num_leaves=31, n_jobs=1, verbose=-1, random_state=0).fit(x_NF, y_N)
    graph = convert_lightgbm(model, initial_types=[("numbers", FloatTensorType([None, 30]))], zipmap=False, target_opset=15)
    wanted = next(output for output in graph.graph.output if output.name == "probabilities")
    del graph.graph.output[:]
    graph.graph.output.append(wanted)  # the label output is declared with a wrong shape, and nobody needs it
    schema = Schema(fields=tuple(Field(name=name, column=Number()) for name in FEATURES))
    step = Onnx(graph="main", inputs={"numbers": "numbers"}, outputs={"probabilities": "probabilities:fraud"})
    output = Probability(target="fraud", array="probabilities:fraud", classes=(False, True))
    rows = dict(zip(FEATURES, table_rows(32).T.tolist(), strict=True))
    return _written(folder, "trees", graph.SerializeToString(), schema, step, output, rows)


def net(folder: Path) -> Bundle:
    """The default CNN for 28x28 grey pictures after one step of training: the time does not depend on the weights."""
    from fermion.core.run import Run
    from fermion.research.model import Encoded
    from fermion.research.vision import Cnn

    schema = Schema(fields=(Field(name="image", column=Image(height=28, width=28, channels=1)),))
    output = Probability(target="digit", array="probabilities:digit", classes=tuple(range(10)))
    pixels = pictures(256)
    rows = Encoded(schema=schema, outputs=(output,), arrays={"image.pixels": pixels}, targets={"digit": np.arange(256) % 10})
    made = Cnn(steps=1, batch=64, augment=0.0, precision="float32").fit(rows, rows, Run(seed=0)).export()
    (name,), (step,) = made.graphs, made.steps
    assert isinstance(step, Onnx)
    return _written(folder, "net", made.graphs[name], schema, step, output, {"image": list(pixels[:32])})


def table_bodies() -> list[str]:
    """One row of 30 named numbers per body."""
    return [json.dumps({"rows": [dict(zip(FEATURES, row, strict=True))]}) for row in table_rows().tolist()]


def picture_bodies() -> list[str]:
    """One picture per body, base64 of its bytes."""
    return [json.dumps({"rows": [{"image": {"shape": [28, 28, 1], "uint8": base64.b64encode(x.tobytes()).decode()}}]}) for x in pictures()]


def _written(folder: Path, name: str, graph: bytes, schema: Schema, step: Onnx, output: Output, rows: Any) -> Bundle:
    graphs = {step.graph: graph}
    runtime = Runtime(schema=schema, steps=(step,), graphs=graphs, outputs=(output,))
    manifest = Manifest(
        name=name, task="multiclass", schema=schema, steps=(step,), outputs=(output,), files={}, provenance=Provenance(fermion="benchmark")
    )
    return bundles.write(folder, manifest, graphs=graphs, golden=Golden.of(runtime, rows), profile=b"{}")
