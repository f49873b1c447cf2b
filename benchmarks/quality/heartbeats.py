"""Heartbeats of patients whom nobody has seen: MIT-BIH, learned from the 22 records of DS1 and measured on the 22 of DS2.

    FERMION_DATA=/path/to/data python benchmarks/quality/heartbeats.py [--seeds 3] [--choose] [--means] [--net] [--json]

The parts are those of de Chazal et al. (2004). What is chosen (columns, sizes, weights of the classes) was chosen by `--choose`, which
leaves out one record of DS1 at a time and never opens DS2. Figures: F1 and recall of N, S and V among all beats, F and Q among them,
their mean F1, and the same without record 232, one patient with three of four ectopic beats of the test part. The interval is a
bootstrap over records, seeds averaged.

Every column is relative to the patient: intervals to the beats around them, waves to the median beat of the same record, and distances
from it to how much this record's beats differ anyway. A Holter recording is read as a whole, so the whole record may say what is usual
in it; labels are not needed for that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.sequence import Sequence
from fermion.core.run import Run
from fermion.research.encoders.convolutional import ResNet
from fermion.research.model import Encoded, Model
from fermion.research.net import Network
from fermion.research.trees import Trees

KINDS = ("N", "S", "V", "F", "Q")
JUDGED = KINDS[:3]
PACE, LONG = 31, 101  # beats around one whose median interval is its pace; beats that say how irregular a rhythm is
WINDOWS = {"P": slice(15, 42), "QRS": slice(42, 60), "T": slice(68, 110)}  # samples at 125 Hz, the R wave at 50
CAP = 700  # normal beats of a record that are learned from, each counting for several
BALANCE = 0.7  # weights of the classes are n_k ** -BALANCE
COUNTS = np.array([1.0, 1.0, 3.0, 1.0, 1.0])  # what a probability counts when one answer is given: who misses a V misses what kills
DRAWS = 1000
TREES = Trees(lr=0.1, leaves=15, rounds=100, min_leaf=40, bins=63, features=0.5, rows=1.0, l2=5.0, threads=1)
NET = Network(encoders={"beat": ResNet(widths=(16, 32, 64))}, steps=500, batch=128, lr=0.003, patience=0)
AUGMENT: tuple[Any, ...] = ("jitter", {"type": "scaling", "deviation": 0.15}, {"type": "shift", "most": 0.03}, "noise", "mixup")


def load() -> dict[str, NDArray[Any]]:
    """The arrays of the file; ends the program with a message where it is missing."""
    path = Path(os.environ.get("FERMION_DATA", "")) / "mitbih_beats" / "mitbih_beats.npz"
    if not path.is_file():
        sys.exit("Set FERMION_DATA to a folder that holds mitbih_beats/mitbih_beats.npz.")
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def around(x_N: NDArray[Any], width: int, *, means: bool) -> NDArray[Any]:
    """(N,) the median, or the mean, of so many beats around each."""
    from scipy.ndimage import median_filter, uniform_filter1d

    return uniform_filter1d(x_N, width, mode="nearest") if means else median_filter(x_N, size=width, mode="nearest")


def described(beat_NT: NDArray[Any], rr_N3: NDArray[Any], *, means: bool) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """The columns of one record, and its beats beside their distance from the median one, (N, 50, 2)."""
    z_NT = beat_NT.astype(np.float32)
    z_NT = z_NT - np.median(z_NT, axis=1, keepdims=True)
    usual_T = np.median(z_NT, axis=0)
    size = float(np.abs(usual_T).max())
    z_NT, usual_T = z_NT / size, usual_T / size
    apart_NT = z_NT - usual_T
    before, after, mean = rr_N3.astype(np.float64).T
    pace, record = around(before, PACE, means=means), float(np.mean(before) if means else np.median(before))
    irregular = around(np.abs(before / pace - 1), PACE, means=means)
    made = {
        "before / mean": before / mean,
        "after / mean": after / mean,
        "before / after": before / after,
        "before / record": before / record,
        "after / record": after / record,
        "before / pace": before / pace,
        "after / pace": after / pace,
        "the one before / pace": np.r_[before[0], before[:-1]] / pace,
        "the one after / pace": np.r_[after[1:], after[-1]] / pace,
        "irregular": irregular,
        "early for this rhythm": (before / pace - 1) / (irregular + 0.02),
        "irregular for long": around(np.abs(np.log(before / pace)), LONG, means=means),
        "irregular in all": np.full(len(before), np.median(np.abs(np.log(before / pace)))),
        "jumps": _root_mean(np.clip(np.diff(np.log(before / pace), prepend=0), -0.5, 0.5)),
    }
    width_N = _width(z_NT)
    slope_N = np.abs(np.diff(z_NT, axis=1))[:, 38:66].max(axis=1)
    area_N = np.abs(z_NT[:, 38:70]).mean(axis=1)
    shapes = {f"{name} apart": np.sqrt((apart_NT[:, at] ** 2).mean(axis=1)) for name, at in WINDOWS.items()}
    shapes |= {f"{name} alike": _alike(z_NT[:, at], usual_T[at]) for name, at in WINDOWS.items()}
    shapes |= {
        "alike": _alike(z_NT, usual_T),
        "area": area_N / np.median(area_N),
        "width": width_N / np.median(width_N),
        "slope": slope_N / np.median(slope_N),
        "energy": (z_NT**2).mean(axis=1) / (usual_T**2).mean(),
    }
    for name, x_N in shapes.items():
        low, middle, high = np.quantile(x_N, [0.25, 0.5, 0.75])
        made[name] = x_N
        made[f"{name}, for this record"] = np.clip((x_N - middle) / (high - low + 1e-3), -30, 30)
    return made, np.stack([z_NT[:, 10:110:2], apart_NT[:, 10:110:2]], axis=2)


def _alike(x_NT: NDArray[Any], usual_T: NDArray[Any]) -> NDArray[Any]:
    """(N,) correlation with the median beat."""
    x_NT, usual_T = x_NT - x_NT.mean(axis=1, keepdims=True), usual_T - usual_T.mean()
    return (x_NT @ usual_T) / (np.linalg.norm(x_NT, axis=1) * np.linalg.norm(usual_T) + 1e-6)


def _width(z_NT: NDArray[Any]) -> NDArray[Any]:
    """(N,) samples around the R wave that are above half of the largest."""
    height_NT = np.abs(z_NT[:, 38:70])
    return (height_NT > height_NT.max(axis=1, keepdims=True) / 2).sum(axis=1).astype(np.float64)


def _root_mean(x_N: NDArray[Any], width: int = 60) -> NDArray[Any]:
    return np.sqrt(np.convolve(x_N**2, np.ones(width) / width, "same"))


def plain(file: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The columns that need no thought: every second sample, and the three intervals."""
    beats = {f"at {place}": file["X"][:, place].astype(np.float64) for place in range(0, 125, 2)}
    return beats | {name: file["rr"][:, at].astype(np.float64) for at, name in enumerate(("before", "after", "mean"))}


def prepared(file: dict[str, NDArray[Any]], *, means: bool = False) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """The columns of all records, each record by itself."""
    count = len(file["y"])
    columns: dict[str, NDArray[Any]] = {}
    beats = np.zeros((count, 50, 2), dtype=np.float32)
    for record in np.unique(file["record"]):
        rows = np.flatnonzero(file["record"] == record)
        made, beats[rows] = described(file["X"][rows], file["rr"][rows], means=means)
        for name, x_N in made.items():
            columns.setdefault(name, np.zeros(count))[rows] = x_N
    return columns, beats


class Table:
    """All beats encoded, and which of them are learned from."""

    def __init__(self, file: dict[str, NDArray[Any]], columns: dict[str, NDArray[Any]], beats: NDArray[Any] | None) -> None:
        self.y, self.record = file["y"].astype(np.int64), file["record"]
        first = np.isin(self.record, file["DS1"])
        kinds: dict[str, Any] = {name: Number() for name in columns}
        batch: dict[str, Any] = dict(columns)
        if beats is not None:
            kinds["beat"], batch["beat"] = Sequence(), beats
        schema = Schema.of(kinds).fit({name: values[first] for name, values in batch.items()})
        output = Probability(target="kind").fit(list(KINDS))
        targets = {"kind": output.encode([KINDS[one] for one in self.y])}
        self.rows = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets=targets)
        self.codes = targets["kind"]

    def learned(self, records: NDArray[Any], seed: int) -> Encoded:
        """What is learned from these records: all rare beats, some of the normal ones, weights that make up for it."""
        rng = np.random.default_rng(seed)
        taken: list[NDArray[Any]] = []
        counts: list[NDArray[Any]] = []
        for record in records:
            rows = np.flatnonzero((self.record == record) & (self.y != 4))  # eight beats are no class to learn
            normal = rows[self.y[rows] == 0]
            some = rng.permutation(normal)[:CAP]
            taken += [some, rows[self.y[rows] > 0]]
            counts += [np.full(len(some), len(normal) / max(1, len(some))), np.ones(len(taken[-1]))]
        chosen, stands_for = np.concatenate(taken), np.concatenate(counts)
        in_all = np.bincount(self.y[chosen], weights=stands_for, minlength=len(KINDS))
        weights = stands_for * np.maximum(in_all, 1)[self.y[chosen]] ** -BALANCE
        part = self.rows.take(chosen)
        return Encoded(schema=part.schema, outputs=part.outputs, arrays=part.arrays, targets=part.targets, weights=weights / weights.mean())

    def told(self, model: Model, records: NDArray[Any], asked: NDArray[Any], seed: int) -> NDArray[Any]:
        """(N, K) probabilities of the beats `asked` by a model of these records."""
        train = self.learned(records, seed)
        fitted = model.fit(train, train.take(np.arange(0)), Run(seed=seed))
        return fitted.run(self.rows.take(asked).arrays)[train.outputs[0].array]


def figures(y_N: NDArray[Any], said_N: NDArray[Any]) -> dict[str, float]:
    """F1 and recall of each judged class, and the mean F1."""
    found: dict[str, float] = {}
    for code, kind in enumerate(JUDGED):
        right = ((y_N == code) & (said_N == code)).sum()
        found[f"{kind} F1"] = float(2 * right / max(1, (y_N == code).sum() + (said_N == code).sum()))
        found[f"{kind} recall"] = float(right / max(1, (y_N == code).sum()))
    return {"mean F1": float(np.mean([found[f"{kind} F1"] for kind in JUDGED])), **found}


def interval(y_N: NDArray[Any], said_SN: NDArray[Any], record_N: NDArray[Any]) -> tuple[float, float]:
    """95 % of the mean F1 by a bootstrap over records, seeds averaged."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(record_N == record) for record in np.unique(record_N)]
    drawn: list[float] = []
    for _ in range(DRAWS):
        some = np.concatenate([rows[one] for one in rng.integers(0, len(rows), len(rows))])
        drawn.append(float(np.mean([figures(y_N[some], said_N[some])["mean F1"] for said_N in said_SN])))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def show(name: str, found: dict[str, float], seconds: float) -> None:
    told = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
    print(f"{name}: {told}, {seconds / 60:.1f} min", flush=True)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--choose", action="store_true", help="leave out one record of DS1 at a time")
    parser.add_argument("--means", action="store_true", help="a pace that is a mean and no median, and the mean of both models")
    parser.add_argument("--net", action="store_true", help="a convolutional net beside the trees, and their mean")
    parser.add_argument("--json", action="store_true", help="write heartbeats.json")
    asked = parser.parse_args()
    file = load()
    columns, beats = prepared(file)
    tables: dict[str, tuple[Table, Model]] = {"beats and intervals": (Table(file, plain(file), None), TREES)}
    tables["relative to the patient"] = (Table(file, columns, None), TREES)
    if asked.means:
        tables["by means"] = (Table(file, prepared(file, means=True)[0], None), TREES)
    if asked.net:
        tables["net"] = (Table(file, columns, beats), NET)
    whole = next(iter(tables.values()))[0]
    first = np.asarray(file["DS1"])
    if asked.choose:
        parts = [(np.setdiff1d(first, [one]), np.flatnonzero(whole.record == one)) for one in first]
    else:
        parts = [(first, np.flatnonzero(np.isin(whole.record, file["DS2"])))]
    rows = np.concatenate([at for _, at in parts])
    y_N, record_N = whole.y[rows], whole.record[rows]
    said: dict[str, list[NDArray[Any]]] = {name: [] for name in tables}
    spent: dict[str, float] = dict.fromkeys(tables, 0.0)
    for seed in range(asked.seeds):
        for name, (table, model) in tables.items():
            began = time.process_time()
            said[name].append(np.concatenate([table.told(model, records, at, seed) for records, at in parts]))
            spent[name] += time.process_time() - began
    if asked.means:
        said["both paces"] = [(one + other) / 2 for one, other in zip(said["relative to the patient"], said["by means"], strict=True)]
        spent["both paces"] = spent["relative to the patient"] + spent["by means"]
    if asked.net:
        said["trees and net"] = [(one + other) / 2 for one, other in zip(said["relative to the patient"], said["net"], strict=True)]
        spent["trees and net"] = spent["relative to the patient"] + spent["net"]
    position = {kind: code for code, kind in enumerate(whole.rows.outputs[0].classes)}  # pyright: ignore[reportAttributeAccessIssue]
    order = [position[kind] for kind in KINDS]
    result: dict[str, Any] = {"benchmark": "quality/heartbeats", "part": "DS1, record by record" if asked.choose else "DS2", "rows": {}}
    for name, probabilities in said.items():
        answers = np.stack([(one[:, order] * COUNTS).argmax(axis=1) for one in probabilities])
        each = [figures(y_N, one) for one in answers]
        mean = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
        show(name, mean, spent[name] / asked.seeds)
        told: dict[str, Any] = {"all": mean, "interval": interval(y_N, answers, record_N), "seeds": [one["mean F1"] for one in each]}
        print(f"  95 % over records {told['interval'][0]:.3f} to {told['interval'][1]:.3f}; seeds {told['seeds']}")
        if not asked.choose:
            left = record_N != 232
            without = [figures(y_N[left], one[left]) for one in answers]
            told["without 232"] = {key: float(np.mean([one[key] for one in without])) for key in without[0]}
            show("  without record 232", told["without 232"], spent[name] / asked.seeds)
        result["rows"][name] = told | {"minutes": spent[name] / asked.seeds / 60}
    print(json.dumps(result))
    if asked.json:
        Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
