"""Seconds until a validation accuracy of 0.99 on MNIST: the `cnn` with a short schedule beside a plain PyTorch loop, one thread.

    FERMION_DATA=/path/to/data python benchmarks/training/run.py [--rounds 3]

The plain loop is what PyTorch's own MNIST example does: its net (two convolutions, two linear layers, 1.2 million weights), Adam
at 1e-3, batches of 64 from a DataLoader. The two take turns in one process. Only training counts for the plain loop, its looks at
the validation part are free; for Fermion everything counts, from the call of `fit` to the look that found 0.99. CPU seconds stand
beside the clock's: they say the same where other work shares the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "quality"))

from mnist import accuracy, load

from fermion.core.run import Event, Run
from fermion.research.model import Encoded
from fermion.research.vision import Cnn

GOAL = 0.99
LOOK = 100  # steps of the plain loop between two looks at the validation part
SHORT = Cnn(widths=(16, 32, 64), augment=0.0, steps=200)


def fermion(train: Encoded, valid: Encoded, test: Encoded, seed: int) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    reached: list[tuple[float, float]] = []
    run = Run(seed=seed)

    def listen(event: Event) -> None:
        if event.values.get("validation_accuracy", 0.0) >= GOAL and not reached:
            reached.append((time.perf_counter() - began, time.process_time() - cpu))
            run.stop()  # leaves this checkpoint as the model

    run.listeners.append(listen)
    fitted = SHORT.fit(train, valid, run)
    seconds, cpu_seconds = reached[0] if reached else (None, None)
    return {"seconds": seconds, "cpu": cpu_seconds, "validation": accuracy(fitted, valid), "test": accuracy(fitted, test)}


def plain(train: Encoded, valid: Encoded, test: Encoded, seed: int) -> dict[str, Any]:
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    def data(rows: Encoded) -> TensorDataset:
        pixels = torch.from_numpy(rows.arrays["image.pixels"]).permute(0, 3, 1, 2).float().div(255).sub(0.1307).div(0.3081)
        return TensorDataset(pixels, torch.from_numpy(rows.targets["digit"]))

    def score(net: nn.Module, rows: TensorDataset) -> float:
        net.eval()
        with torch.no_grad():
            return sum((net(x).argmax(1) == y).sum().item() for x, y in DataLoader(rows, batch_size=1000)) / len(rows)

    torch.manual_seed(seed)
    parts = data(train), data(valid), data(test)
    net = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()),
        *(nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    )
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    spent, burnt, step = 0.0, 0.0, 0
    for _ in range(20):
        began, cpu = time.perf_counter(), time.process_time()
        for x, y in DataLoader(parts[0], batch_size=64, shuffle=True):
            net.train()
            adam.zero_grad()
            F.cross_entropy(net(x), y).backward()
            adam.step()
            step += 1
            if step % LOOK == 0:
                spent, burnt = spent + time.perf_counter() - began, burnt + time.process_time() - cpu
                validation = score(net, parts[1])
                if validation >= GOAL:
                    return {"seconds": spent, "cpu": burnt, "validation": validation, "test": score(net, parts[2])}
                began, cpu = time.perf_counter(), time.process_time()
        spent, burnt = spent + time.perf_counter() - began, burnt + time.process_time() - cpu
    return {"seconds": None, "cpu": None, "validation": score(net, parts[1]), "test": score(net, parts[2])}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    train, valid, test = load()
    print(f"{'':10}{'seconds':>9}{'CPU':>9}{'validation':>12}{'test':>9}")
    results: dict[str, list[dict[str, Any]]] = {"fermion": [], "plain": []}
    for seed in range(rounds):
        for name, way in (("fermion", fermion), ("plain", plain)):
            result = way(train, valid, test, seed)
            results[name].append(result)
            seconds, cpu = ("never" if result[key] is None else f"{result[key]:.1f}" for key in ("seconds", "cpu"))
            print(f"{name:10}{seconds:>9}{cpu:>9}{result['validation']:>12.4f}{result['test']:>9.4f}", flush=True)
    mean = {name: {key: _mean([one[key] for one in listed]) for key in ("seconds", "cpu", "test")} for name, listed in results.items()}
    faster = {key: _ratio(mean["plain"][key], mean["fermion"][key]) for key in ("seconds", "cpu")}
    print(json.dumps({"benchmark": "training", "goal": GOAL, "times_faster": faster, "mean": mean, "rounds": results}))


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if len(known) == len(values) else None


def _ratio(slow: float | None, fast: float | None) -> float | None:
    return slow / fast if slow and fast else None


if __name__ == "__main__":
    main()
