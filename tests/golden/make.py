"""Writes the bundle that stands for this release: run once, before the release, and never again for the same version.

    python tests/golden/make.py

Every later version must open it, verify it and give the same answers.
"""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

import fermion
from fermion.bundle.steps import Blend, Calibrate, Onnx
from fermion.columns.category import Category
from fermion.columns.flag import Flag
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Probability, Threshold, Value
from fermion.columns.time import Time
from fermion.testing.handmade import linear, parts

HERE = Path(__file__).parent
PICTURES = [{"shape": [2, 3, 1], "uint8": base64.b64encode(bytes(range(start, start + 60, 10))).decode()} for start in (0, 50, 100, 150)]
ROWS = {
    "age": [20.0, None, 44.5, 61.0],
    "city": ["Bern", "Rome", None, "Bern"],
    "member": [True, False, True, None],
    "since": ["2026-03-01T06:00:00", "2026-03-02T18:30:00", "2026-04-01T00:00:00", "2026-05-11T12:00:00"],
}
UNSEEN = {"age": [33.25, None], "city": ["Oslo", None], "member": [None, True], "since": ["2027-01-31T23:59:59", "1999-12-31T00:00:00"]}


def main() -> None:
    """One bundle with every column type, two outputs, two graphs and a decision; beside it a request and its answer."""
    import numpy as np

    pictures = [np.frombuffer(base64.b64decode(str(one["uint8"])), dtype=np.uint8).reshape(2, 3, 1) for one in PICTURES]
    columns = {"age": Number(), "city": Category(), "member": Flag(), "since": Time(), "picture": Image()}
    rows = ROWS | {"picture": pictures}
    made = parts(columns, rows, {Probability(target="kind"): ["a", "b", "c", "a"], Value(target="price"): [1e6, 2e6, 4e6, 8e6]})
    kind, price = made.outputs
    inputs = {name: name for name in made.schema.layout.names}
    graphs = {f"net{seed}": linear(made.schema, made.outputs, seed=seed) for seed in (1, 2)}
    made = msgspec.structs.replace(
        made,
        graphs=graphs,
        steps=(
            *(Onnx(graph=f"net{seed}", inputs=inputs, outputs={kind.array: f"p{seed}", price.array: f"v{seed}"}) for seed in (1, 2)),
            Blend(inputs=("p1", "p2"), weights=(2.0, 1.0), output="p"),
            Calibrate(input="p", temperature=1.5, output=kind.array),
            Blend(inputs=("v1", "v2"), weights=(1.0, 1.0), output=price.array),
        ),
        decisions={"kind": Threshold(code=2, at=0.3)},
    )
    bundle = made.write(HERE / fermion.__version__ / "bundle")
    runtime = bundle.runtime()
    request = msgspec.json.encode({"columns": UNSEEN | {"picture": PICTURES[:2]}})
    answers = runtime.predict(runtime.requests.batch(runtime.requests.decode(request)))
    expected = {"id": bundle.id, "request": msgspec.Raw(request), "answers": answers}
    (bundle.path.parent / "expected.json").write_bytes(msgspec.json.format(msgspec.json.encode(expected), indent=1))


if __name__ == "__main__":
    main()
