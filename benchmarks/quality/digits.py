"""The default `cnn` on scikit-learn's handwritten digits (1,797 pictures of 8 x 8), one thread: mean accuracy of 5 seeds.

    python benchmarks/quality/digits.py [--seeds 5]

Each seed draws its own stratified 20 % that are only measured; a tenth of the rest chooses the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
from mnist import accuracy, encoded

from fermion.columns.image import Image
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.core.run import Run
from fermion.research.vision import Cnn


def main() -> None:
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    torch.set_num_threads(1)
    bunch = load_digits()
    x, y = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None], bunch.target
    results: list[dict[str, float]] = []
    for seed in range(parser.parse_args().seeds):
        rest, test = train_test_split(np.arange(len(x)), test_size=0.2, stratify=y, random_state=seed)
        train, valid = train_test_split(rest, test_size=0.1, stratify=y[rest], random_state=seed)
        schema = Schema.of({"image": Image()}).fit({"image": x[train]})
        output = Probability(target="digit").fit(y[train])
        parts = [encoded(schema, output, x[rows], y[rows]) for rows in (train, valid, test)]
        began, cpu = time.perf_counter(), time.process_time()
        fitted = Cnn().fit(parts[0], parts[1], Run(seed=seed))
        spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        result = {"seed": seed, "test": accuracy(fitted, parts[2]), **spent}
        results.append(result)
        print("seed {seed}: test {test:.4f}, {seconds:.0f} s ({cpu:.0f} s CPU)".format(**result), flush=True)
    mean = statistics.mean(result["test"] for result in results)
    print(json.dumps({"benchmark": "quality/digits", "test_accuracy": mean, "runs": results}))


if __name__ == "__main__":
    main()
