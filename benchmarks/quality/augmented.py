"""What augmentation of sounds and series brings: the same net with and without it, on validation speakers and patients.

    FERMION_DATA=/path/to/data python benchmarks/quality/augmented.py [--only speech heartbeats] [--pairs 3]

Speech: fsdd, the net of `spoken.py`; two speakers are left out, and one of the two is measured. Heartbeats: DS1 of MIT-BIH, the net of
`heartbeats.py` on the beats beside the columns of the patient; four patients are left out and measured. The other of the two speakers,
and DS2, are never opened. Differences are paired, with a 95 % bootstrap over clips, or over patients and then beats.
"""

from __future__ import annotations

import argparse
from typing import Any

import heartbeats
import numpy as np
import spoken
from msgspec import structs
from numpy.typing import NDArray

from fermion.core.run import Run

DRAWS = 1000
PATIENTS = (201, 207, 208, 220)


def speech(pairs: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(N,) whether each clip was understood, without and with augmentation."""
    clips = spoken.Clips()
    rows = clips.spectrograms()
    names = np.unique(clips.speakers).tolist()
    found: list[list[NDArray[Any]]] = [[], []]
    for place in range(pairs):
        left, judge = names[place], names[(place + 1) % len(names)]
        train = rows.take(np.flatnonzero(~np.isin(clips.speakers, [left, judge])))
        asked = rows.take(np.flatnonzero(clips.speakers == judge))
        for way, augment in enumerate(((), spoken.AUGMENT)):
            fitted = structs.replace(spoken.SCRATCH, augment=augment).fit(train, train.take(np.arange(0)), Run())
            found[way].append(fitted.run(asked.arrays)[rows.outputs[0].array].argmax(axis=1) == asked.targets["digit"])
            print(f"speech, {judge}, {'with' if way else 'without'}: {found[way][-1].mean():.3f}", flush=True)
    return np.concatenate(found[0]), np.concatenate(found[1])


def beats() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(N,) truth and patient of each beat, and what is said of it without and with augmentation."""
    file = heartbeats.load()
    first = np.isin(file["record"], file["DS1"])
    file = {name: array[first] if len(array) == len(first) else array for name, array in file.items()}
    table = heartbeats.Table(file, *heartbeats.prepared(file))
    asked = np.flatnonzero(np.isin(table.record, PATIENTS))
    classes: list[str] = list(table.rows.outputs[0].classes)  # pyright: ignore[reportAttributeAccessIssue]
    order = [classes.index(kind) for kind in heartbeats.KINDS]
    records = np.setdiff1d(file["DS1"], PATIENTS)
    said = [
        table.told(structs.replace(heartbeats.NET, augment=augment), records, asked, 0)[:, order].argmax(axis=1)
        for augment in ((), heartbeats.AUGMENT)
    ]
    return table.y[asked], table.record[asked], said[0], said[1]


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("speech", "heartbeats"), default=["speech", "heartbeats"])
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    if "heartbeats" in asked.only:
        y_N, record_N, plain_N, changed_N = beats()
        plain, changed = (heartbeats.figures(y_N, said)["mean F1"] for said in (plain_N, changed_N))
        rows = [np.flatnonzero(record_N == record) for record in PATIENTS]
        drawn: list[float] = []
        for _ in range(DRAWS):
            some = np.concatenate([rng.choice(rows[one], len(rows[one])) for one in rng.integers(0, len(rows), len(rows))])
            with_it, without = (heartbeats.figures(y_N[some], said[some])["mean F1"] for said in (changed_N, plain_N))
            drawn.append(with_it - without)
        low, high = np.quantile(drawn, [0.025, 0.975])
        print(f"heartbeats: mean F1 {plain:.3f} without, {changed:.3f} with, difference {changed - plain:+.3f} ({low:+.3f} to {high:+.3f})")
    if "speech" in asked.only:
        plain_N, changed_N = speech(asked.pairs)
        apart_N = changed_N.astype(float) - plain_N
        low, high = np.quantile(rng.choice(apart_N, (DRAWS, len(apart_N))).mean(axis=1), [0.025, 0.975])
        print(
            f"speech: accuracy {plain_N.mean():.3f} without, {changed_N.mean():.3f} with, "
            f"difference {apart_N.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        )


if __name__ == "__main__":
    main()
