"""The default `cnn` on MNIST, one thread: test accuracy and minutes, everything at its default.

    FERMION_DATA=/path/to/data python benchmarks/quality/mnist.py [--seeds 3] [--first 0] [--augment 1]

55,000 of the official training pictures are learned from, 5,000 choose the checkpoint; the official test part is only measured. Beside
the default stands `views: shifts`, the mean over five views of a picture, by the same net: it costs no training, and an answer five times
as much.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.image import Image
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.core.run import Run
from fermion.research.graphs import Net
from fermion.research.model import Encoded, Fitted
from fermion.research.vision import Cnn

VALID = 5_000


def load() -> tuple[Encoded, Encoded, Encoded]:
    """Train (55,000), validation (5,000) and test (10,000); ends the program with a message where the files are missing."""
    folder = Path(os.environ.get("FERMION_DATA", "")) / "mnist"
    if "FERMION_DATA" not in os.environ or not folder.is_dir():
        sys.exit("Set FERMION_DATA to a folder that holds mnist/train-images-idx3-ubyte.gz and the other three idx files of MNIST.")
    x, y = _read(folder, "train")
    x_test, y_test = _read(folder, "t10k")
    order = np.random.default_rng(0).permutation(len(x))
    schema = Schema.of({"image": Image()}).fit({"image": x})
    output = Probability(target="digit").fit(y)
    train, valid = order[VALID:], order[:VALID]
    return encoded(schema, output, x[train], y[train]), encoded(schema, output, x[valid], y[valid]), encoded(schema, output, x_test, y_test)


def encoded(schema: Schema, output: Probability, x: NDArray[np.uint8], y: NDArray[Any]) -> Encoded:
    """Pictures (N, H, W, C) and labels (N,) as a model sees them."""
    return Encoded(schema=schema, outputs=(output,), arrays=schema.encode({"image": x}), targets={output.target: output.encode(y)})


def accuracy(fitted: Fitted, rows: Encoded) -> float:
    """The share of rows whose most probable class is theirs."""
    output = rows.outputs[0]
    return float((fitted.run(rows.arrays)[output.array].argmax(1) == rows.targets[output.target]).mean())


def with_shifts(fitted: Fitted, rows: Encoded) -> float:
    """The accuracy of the same net when it looks at five shifts of a picture."""
    assert isinstance(fitted.learned, Net)
    net = fitted.learned.answer.net
    net.shifts = True
    found = accuracy(fitted, rows)
    net.shifts = False
    return found


def _read(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    def values(name: str, header: int) -> NDArray[np.uint8]:
        with gzip.open(folder / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    images = values(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
    return images, values(f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int64)


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--augment", type=float, default=1.0, help="the strength of the distortion; 0 for none")
    torch.set_num_threads(1)
    words = parser.parse_args()
    train, valid, test = load()
    results: list[dict[str, float]] = []
    for seed in range(words.first, words.first + words.seeds):
        began, cpu = time.perf_counter(), time.process_time()
        fitted = Cnn(augment=words.augment).fit(train, valid, Run(seed=seed))
        spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        result = {"seed": seed, "validation": accuracy(fitted, valid), "test": accuracy(fitted, test), **spent}
        result |= {"validation_shifts": with_shifts(fitted, valid), "test_shifts": with_shifts(fitted, test)}
        results.append(result)
        told = "seed {seed}: validation {validation:.4f}, test {test:.4f}; with shifts {validation_shifts:.4f}, {test_shifts:.4f}"
        print((told + "; {seconds:.0f} s ({cpu:.0f} s CPU)").format(**result), flush=True)
    mean, shifts = (statistics.mean(result[name] for result in results) for name in ("test", "test_shifts"))
    print(json.dumps({"benchmark": "quality/mnist", "test_accuracy": mean, "test_accuracy_with_shifts": shifts, "runs": results}))


if __name__ == "__main__":
    main()
