"""Spoken digits of a speaker whom nobody has heard: the Free Spoken Digit Dataset, one of six speakers left out at a time.

    FERMION_DATA=/path/to/data python benchmarks/quality/spoken.py [--seeds 3] [--ways pretrained pictures scratch plain] [--inner] [--json]

- pretrained: a linear model on embeddings of openWakeWord, frozen (what `model: {type: frozen}` fits; the embeddings, which no speaker
  teaches, are made once for all folds).
- pictures: `cnn` on spectrograms as pictures, nothing but these clips to learn from: silence at both ends cut off, 20 bands, too few to
  show the pitch, 32 columns whatever the length, slope and bend over time as two more colours, a small distortion. It is the mean of three
  nets: one on each band less its mean over the word, one on bands as they are, and one like the first on words at the pace they were said.
- scratch: a `net` with a residual encoder along time, on log-mel spectrograms, with augmentation. plain: the same without.

Settings were chosen with `--inner`, which measures on another speaker instead, who is left out too; over all six everybody judges once.
The linear model's penalty is chosen for each speaker by the others. Figures are the mean accuracy over speakers; the interval is t
over speakers, seeds averaged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from fermion.columns.audio import Audio
from fermion.columns.column import Column
from fermion.columns.image import Image
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.columns.vector import Vector
from fermion.core.run import Run
from fermion.research.encoder import columns_of
from fermion.research.encoders.convolutional import ResNet
from fermion.research.encoders.pretrained import Pretrained
from fermion.research.linear import Linear
from fermion.research.model import Encoded, Model
from fermion.research.net import Network
from fermion.research.training import Training
from fermion.research.vision import Cnn

BACKBONE = "package://openwakeword/resources/models"
AUGMENT: tuple[Any, ...] = (
    {"type": "pitch", "most": 0.15},
    {"type": "speed", "most": 0.15},
    {"type": "shift", "most": 0.1},
    {"type": "scaling", "deviation": 0.3},
    "timemask",
    "frequencymask",
)
SCRATCH = Network(
    encoders={"clip": ResNet(widths=(32, 64, 96))},
    steps=500,
    batch=64,
    lr=0.004,
    smoothing=0.05,
    patience=0,
    augment=AUGMENT,
    training=Training(bucket=True),
)
PICTURES = Cnn(steps=1000, batch=128, size=28, widths=(16, 32, 64), augment=0.5)
QUIET, BANDS, COLUMNS = 6.0, 20, 32  # log power under the loudest frame where a word ends; the picture's height and width
PACE, SILENCE = 2.2, -3.0  # frames per column where words keep their pace, and what stands beside them there
COLOURS = (20.0, 60.0, 120.0)  # grey levels per log power, and per its first and second difference from column to column
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)  # of the linear model, chosen anew for each speaker who is left out


class Clips:
    """All clips, their digits and their speakers."""

    def __init__(self) -> None:
        path = Path(os.environ.get("FERMION_DATA", "")) / "fsdd" / "recordings.zip"
        if not path.is_file():
            sys.exit("Set FERMION_DATA to a folder that holds fsdd/recordings.zip.")
        with zipfile.ZipFile(path) as file:
            names = sorted(name for name in file.namelist() if name.endswith(".wav"))
            self.sounds = [file.read(name) for name in names]
        told = [Path(name).stem.split("_") for name in names]
        self.digits, self.speakers = [int(one[0]) for one in told], np.array([one[1] for one in told])

    def encoded(self, column: Column, values: Any) -> Encoded:
        """The clips as a model sees them; no speaker teaches how they are encoded."""
        schema = Schema.of({"clip": column}).fit({"clip": values})
        output = Probability(target="digit").fit(self.digits)
        return Encoded(
            schema=schema,
            outputs=(output,),
            arrays=schema.encode({"clip": values}),
            targets={"digit": output.encode(self.digits)},
        )

    def spectrograms(self) -> Encoded:
        """Log-mel spectrograms, each band less its mean over the clip: a microphone and a loudness add one number to each band."""
        rows = self.encoded(Audio(mels=40), self.sounds)
        mel_NTM, mask_NT1 = rows.arrays["clip.mel"], rows.arrays["clip.mask"][..., None]
        mean_N1M = (mel_NTM * mask_NT1).sum(axis=1, keepdims=True) / mask_NT1.sum(axis=1, keepdims=True)
        centred = np.where(mask_NT1, mel_NTM - mean_N1M, 0).astype(np.float32)
        return structs.replace(rows, arrays={**rows.arrays, "clip.mel": centred})

    def pictures(self, *, relative: bool, stretched: bool = True) -> Encoded:
        """Spectrograms as pictures of one size.

        Args:
            relative: each band less its mean over the word, which takes the microphone out and what its vowels have in common with it;
                else the word less its mean over all bands.
            stretched: a word is as wide as another, however fast it was said; else its middle is the picture's, with `SILENCE` beside it.
        """
        rows = self.encoded(Audio(mels=BANDS), self.sounds)
        drawn: list[NDArray[np.uint8]] = []
        for mel_TM, mask_T in zip(rows.arrays["clip.mel"], rows.arrays["clip.mask"], strict=True):
            frames_TM = mel_TM[mask_T]
            power_T = frames_TM.mean(axis=1)
            loud = np.flatnonzero(power_T > power_T.max() - QUIET)
            word_TM = frames_TM[loud[0] : loud[-1] + 1]
            word_TM = word_TM - word_TM.mean(axis=0 if relative else None)
            place_W = np.arange(COLUMNS) + 0.5
            if stretched:
                at_W = np.clip(place_W / COLUMNS * len(word_TM) - 0.5, 0, len(word_TM) - 1)
            else:
                at_W = np.clip(len(word_TM) / 2 + (place_W - COLUMNS / 2) * PACE - 0.5, -1, len(word_TM))
                word_TM, at_W = np.pad(word_TM, ((1, 1), (0, 0)), constant_values=SILENCE), at_W + 1
            before_W = np.floor(at_W).astype(np.int64)
            after_W, share_W1 = np.minimum(before_W + 1, len(word_TM) - 1), (at_W - before_W)[:, None]
            level_MW = (word_TM[before_W] * (1 - share_W1) + word_TM[after_W] * share_W1).T
            slope_MW = np.gradient(level_MW, axis=1)
            colours_MW3 = np.stack([level_MW, slope_MW, np.gradient(slope_MW, axis=1)], axis=-1) * COLOURS + 128
            drawn.append(np.clip(colours_MW3, 0, 255).astype(np.uint8))
        return self.encoded(Image(), drawn)

    def embeddings(self, cache: Path | None) -> Encoded:
        """Vectors of the frozen backbone, as `frozen` makes them; kept in `cache`, speaker by speaker."""
        from fermion.research.pretrained.features import features

        waves = self.encoded(Audio(features="wave", rate=16_000), self.sounds)
        reader: Any = Pretrained(name=BACKBONE).build(columns_of(waves.schema.layout)["clip"], waves)
        made = np.zeros((len(self.sounds), reader.features), dtype=np.float32)
        for speaker in np.unique(self.speakers):
            rows = np.flatnonzero(self.speakers == speaker)
            made[rows] = features(reader, waves.take(rows).arrays, Run(cache=cache))
        return self.encoded(Vector(), made)


def measured(
    model: Model, looks: tuple[Encoded, ...], speakers: NDArray[Any], asked: str, left_out: set[str], seed: int
) -> dict[str, float]:
    """The accuracy on the clips of one speaker, of a model of all who are not left out; the mean of one for each look at the clips."""
    learned, judged = np.flatnonzero(~np.isin(speakers, [*left_out])), np.flatnonzero(speakers == asked)
    began = time.process_time()
    total_ND = np.zeros((len(judged), len(looks[0].outputs[0].classes)))
    for rows in looks:
        train, test = rows.take(learned), rows.take(judged)
        total_ND += model.fit(train, train.take(np.arange(0)), Run(seed=seed)).run(test.arrays)[rows.outputs[0].array]
    right_N = total_ND.argmax(axis=1) == looks[0].take(judged).targets["digit"]
    return {"accuracy": float(right_N.mean()), "seconds": time.process_time() - began}


def chosen(rows: Encoded, speakers: NDArray[Any]) -> dict[str, Linear]:
    """The linear model for each speaker who is left out: the penalty that is best for the others, each of them left out beside him."""
    names = np.unique(speakers).tolist()
    inner: dict[tuple[str, str, float], float] = {}
    for penalty in PENALTIES:
        for pair in itertools.combinations(names, 2):
            train = rows.take(np.flatnonzero(~np.isin(speakers, pair)))
            fitted = Linear(l2=penalty).fit(train, train.take(np.arange(0)), Run())
            for left, judge in (pair, pair[::-1]):
                test = rows.take(np.flatnonzero(speakers == judge))
                said = fitted.run(test.arrays)[rows.outputs[0].array].argmax(axis=1)
                inner[left, judge, penalty] = float((said == test.targets["digit"]).mean())
    best: dict[str, Linear] = {}
    for left in names:
        means = {penalty: np.mean([inner[left, one, penalty] for one in names if one != left]) for penalty in PENALTIES}
        best[left] = Linear(l2=max(means, key=lambda penalty: means[penalty]))
        print(f"without {left}: l2 {best[left].l2:g}, {means[best[left].l2]:.4f} on the others", flush=True)
    return best


def interval(each: NDArray[Any]) -> tuple[float, float]:
    """95 % of a mean, by t."""
    from scipy import stats

    half = float(stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each)))
    return float(each.mean() - half), float(each.mean() + half)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    ways: dict[str, Model] = {
        "pretrained": Linear(),
        "pictures": PICTURES,
        "scratch": SCRATCH,
        "plain": structs.replace(SCRATCH, augment=()),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=ways, default=list(ways))
    parser.add_argument("--speakers", nargs="+", help="who is left out, one at a time; everybody unless told otherwise")
    parser.add_argument("--inner", action="store_true", help="measure on another speaker, who is left out too")
    parser.add_argument("--cache", type=Path, help="a folder for the embeddings, which take longest")
    parser.add_argument("--json", action="store_true", help="write spoken.json")
    asked = parser.parse_args()
    clips = Clips()
    everybody = np.unique(clips.speakers).tolist()
    names = asked.speakers or everybody
    result: dict[str, Any] = {"benchmark": "quality/spoken", "measured on": "inner speakers" if asked.inner else "speakers left out"}
    for way in asked.ways:
        if way == "pretrained":
            looks = (clips.embeddings(asked.cache),)
        elif way == "pictures":
            looks = (clips.pictures(relative=True), clips.pictures(relative=False), clips.pictures(relative=True, stretched=False))
        else:
            looks = (clips.spectrograms(),)
        seeds = 1 if way == "pretrained" else asked.seeds  # the linear model draws nothing
        models = chosen(looks[0], clips.speakers) if way == "pretrained" else dict.fromkeys(names, ways[way])
        accuracy_PS, seconds = np.zeros((len(names), seeds)), 0.0
        for place, left in enumerate(names):
            judge = everybody[(everybody.index(left) + 1) % len(everybody)] if asked.inner else left
            for seed in range(seeds):
                one = measured(models[left], looks, clips.speakers, judge, {left, judge}, seed)
                accuracy_PS[place, seed] = one["accuracy"]
                seconds += one["seconds"]
                print(f"{way}, without {left}, on {judge}, seed {seed}: {one['accuracy']:.3f} in {one['seconds']:.0f} s", flush=True)
        each = accuracy_PS.mean(axis=1)
        low, high = interval(each)
        minutes = seconds / 60 / seeds
        result[way] = {
            "accuracy": float(each.mean()),
            "interval": [low, high],
            "speakers": dict(zip(names, each.tolist(), strict=True)),
            "seeds": accuracy_PS.mean(axis=0).tolist(),
            "minutes": minutes,
        }
        print(f"{way}: {each.mean():.4f}, 95 % over speakers {low:.3f} to {high:.3f}, {minutes:.1f} min for all folds", flush=True)
    print(json.dumps(result))
    if asked.json:
        Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
