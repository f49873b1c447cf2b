"""Steps per second of Fermion's training loop beside a plain PyTorch loop on the same net, batches, optimiser and precision, one thread.

    OMP_NUM_THREADS=1 python benchmarks/training/loop.py [--rounds 7]

The plain loop is the shortest that is right: a permutation, index_select, zero_grad, forward, cross entropy, backward, step. It has no
schedule, no progress and no checks; Fermion's has all of them, and everything it does counts, from the call to the kept weights
restored. Neither looks at a validation part. Series are padded to the longest of all; beside the plain loop stands one that cuts
every batch to its longest row by hand, as Fermion does. The ways take turns; a figure is the median of the rounds' ratios. CPU
seconds say the same where other work shares the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.sequence import Sequence
from fermion.core.run import Run
from fermion.research import loop
from fermion.research.model import Encoded
from fermion.research.optim import Steps
from fermion.research.training import Training

KIND = Probability(target="kind", array="probabilities:kind", classes=tuple("abcdefghij"))
LONGEST = 160
LR = 1e-3


class Convolutions(nn.Module):
    """A small net for pictures of 28 x 28."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 49, 10)),
        )

    def forward(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        return {KIND.array: self.body(arrays["p.pixels"].permute(0, 3, 1, 2).float().div(255))}


class Perceptron(nn.Module):
    """Three layers over 20 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        return {KIND.array: self.body(arrays["numbers"])}


class Recurrent(nn.Module):
    """An LSTM over series of two channels; the mean over the real steps is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        mask = arrays["s.mask"].unsqueeze(2)
        steps, _ = self.lstm(arrays["s.values"])
        return {KIND.array: self.head((steps * mask).sum(1) / mask.sum(1))}


class Transformer(nn.Module):
    """Two layers of four heads over the same series."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Linear(2, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(32, 10)

    def forward(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        mask = arrays["s.mask"]
        steps = self.body(self.entry(arrays["s.values"]), src_key_padding_mask=~mask)
        return {KIND.array: self.head((steps * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True))}


def pictures(rng: np.random.Generator, count: int) -> Encoded:
    schema = Schema.of({"p": Image()})
    pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return encoded(schema.fit({"p": pixels[:200]}), {"p": pixels}, rng)


def numbers(rng: np.random.Generator, count: int) -> Encoded:
    batch = {f"x{at:02}": rng.normal(size=count) for at in range(20)}
    return encoded(Schema.of({name: Number() for name in batch}).fit(batch), batch, rng)


def series(rng: np.random.Generator, count: int) -> Encoded:
    """Lengths as texts and events have them: most are short, a few are long."""
    lengths = np.clip(rng.lognormal(3.3, 0.7, count), 4, LONGEST).astype(int)
    lengths[0] = LONGEST
    waves = [rng.normal(size=(length, 2)) for length in lengths]
    schema = Schema.of({"s": Sequence()}).fit({"s": waves})
    return encoded(schema, {"s": waves}, rng)


def encoded(schema: Schema, batch: dict[str, Any], rng: np.random.Generator) -> Encoded:
    count = len(next(iter(batch.values())))
    codes = rng.integers(0, 10, count).astype(np.int64)
    return Encoded(schema=schema, outputs=(KIND,), arrays=schema.encode(batch), targets={"kind": codes})


def fermion(net: nn.Module, rows: Encoded, valid: Encoded, batch: int, steps: int) -> None:
    way = Steps(lr=LR, matrix_lr=0.0, schedule="one-cycle", warmup=0.1, betas=(0.9, 0.999))
    recipe = loop.Recipe(steps=steps, batch=batch, optim=way, precision="float32", evaluations=4, training=Training())
    loop.train(net, rows, valid, recipe, Run())


def plain(net: nn.Module, rows: Encoded, batch: int, steps: int, *, cut: bool = False) -> None:
    data = {name: torch.from_numpy(array) for name, array in rows.arrays.items()}
    y = torch.from_numpy(rows.targets["kind"])
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=0.0)
    net.train()
    done = 0
    while done < steps:
        for chosen in torch.randperm(len(y)).split(batch)[: len(y) // batch]:
            arrays = {name: array.index_select(0, chosen) for name, array in data.items()}
            if cut:
                longest = int(arrays["s.mask"].sum(1).max())
                arrays = {name: array[:, :longest] for name, array in arrays.items()}
            optimizer.zero_grad()
            F.cross_entropy(net(arrays)[KIND.array], y.index_select(0, chosen)).backward()
            optimizer.step()
            done += 1
            if done == steps:
                break


TASKS: dict[str, tuple[Callable[[], nn.Module], Callable[[np.random.Generator, int], Encoded], int, int]] = {
    "CNN, batch 128": (Convolutions, pictures, 128, 240),
    "perceptron, batch 256": (Perceptron, numbers, 256, 600),
    "LSTM, series to 160 steps, batch 64": (Recurrent, series, 64, 80),
    "Transformer, the same series": (Transformer, series, 64, 80),
}


def measured(name: str, rounds: int) -> dict[str, Any]:
    """Steps per second of each way, and how many times as long the others take, by the clock and by CPU seconds."""
    build, make, batch, steps = TASKS[name]
    rows = make(np.random.default_rng(0), 4096)
    valid = rows.take(np.arange(0))
    ways: dict[str, Callable[[], None]] = {
        "fermion": lambda: fermion(build(), rows, valid, batch, steps),
        "plain": lambda: plain(build(), rows, batch, steps),
    }
    if make is series:
        ways["cut"] = lambda: plain(build(), rows, batch, steps, cut=True)
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            torch.manual_seed(turn)
            began, cpu = time.perf_counter(), time.process_time()
            ways[way]()
            if turn:  # the first builds kernels
                times[way].append((time.perf_counter() - began, time.process_time() - cpu))
    faster = {
        f"{other} {clock}": statistics.median(theirs[at] / own[at] for theirs, own in zip(times[other], times["fermion"], strict=True))
        for other in times
        for at, clock in enumerate(("clock", "CPU"))
        if other != "fermion"
    }
    return {"steps_per_second": {way: steps / statistics.median(one for one, _ in each) for way, each in times.items()}, "faster": faster}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    report: dict[str, Any] = {}
    print(f"{'':38}{'steps/s':>9}{'plain':>9}{'ratio':>8}{'by CPU':>8}{'cut by hand':>13}{'by CPU':>8}")
    for name in TASKS:
        report[name] = found = measured(name, rounds)
        speeds, faster = found["steps_per_second"], found["faster"]
        line = f"{name:38}{speeds['fermion']:>9.1f}{speeds['plain']:>9.1f}{faster['plain clock']:>8.2f}{faster['plain CPU']:>8.2f}"
        print(line + (f"{faster['cut clock']:>13.2f}{faster['cut CPU']:>8.2f}" if "cut clock" in faster else ""), flush=True)
    print(json.dumps({"benchmark": "training loop", "tasks": report}))


if __name__ == "__main__":
    main()
