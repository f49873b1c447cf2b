"""The 12 tables of `tabular_suite_A`: their parts, encoded as fermion does and as other libraries want them, and the errors on them."""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct, structs
from numpy.typing import NDArray

from fermion.columns.infer import infer
from fermion.columns.output import Output, Probability, Value
from fermion.research.model import Encoded

FOLDER = Path(os.environ.get("FERMION_DATA", "data")) / "tabular_suite_A"
IN_TIME = {"bike_sharing_hourly": ("instant", "dteday")}  # rows are hours in order; what only tells the hour's date is no input
SHARE, SMALL_SHARE, SMALL = 0.15, 0.2, 4000


@functools.cache
def names() -> list[str]:
    return [one["name"] for one in json.loads((FOLDER / "meta.json").read_text())]


def one_core() -> None:
    """Seconds of this process's one core count as the time from here on, whatever else runs on the machine."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    time.monotonic = time.process_time


class Suite(Struct, frozen=True, kw_only=True, dict=True):
    """One table and the rows of its parts. `test` is read once, by whoever measures last."""

    name: str
    frame: pl.DataFrame
    target: str
    classes: bool
    train: NDArray[Any]
    valid: NDArray[Any]
    test: NDArray[Any]

    @classmethod
    def load(cls, name: str, seed: int, *, develop: bool = False) -> Suite:
        """75 % to learn from and 25 % to measure on, of which `develop` sees the first only and divides it in the same way."""
        (meta,) = (one for one in json.loads((FOLDER / "meta.json").read_text()) if one["name"] == name)
        frame = pl.read_parquet(FOLDER / f"{name}.parquet").drop(IN_TIME.get(name, ()))
        classes = not meta["task"].startswith("regression")
        y_N = frame[meta["target"]].to_numpy()
        rows, test = _divided(np.arange(len(frame)), y_N if classes else None, 0.25, seed, in_time=name in IN_TIME)
        if develop:
            rows, test = _divided(rows, y_N if classes else None, 0.25, seed + 100, in_time=name in IN_TIME)
        share = SHARE if len(rows) >= SMALL else SMALL_SHARE
        train, valid = _divided(rows, y_N if classes else None, share, seed + 1, in_time=name in IN_TIME)
        return cls(name=name, frame=frame, target=meta["target"], classes=classes, train=train, valid=valid, test=test)

    def with_validation(self) -> Suite:
        """The same with the validation rows in the training part, for whoever needs none."""
        return structs.replace(self, train=np.concatenate([self.train, self.valid]), valid=self.valid[:0])

    @functools.cached_property
    def encoded(self) -> tuple[Encoded, Encoded, Encoded]:
        """Training, validation and test part as fermion's models read them; columns as they are inferred."""
        batch = {one: self.frame[one].to_list() for one in self.frame.columns if one != self.target}
        labels = self.frame[self.target].to_list()
        part = {one: [values[row] for row in self.train] for one, values in batch.items()}
        schema = infer(part, {}).schema.fit(part, missing=dict.fromkeys(batch, True))
        kind: Output = Probability(target="y") if self.classes else Value(target="y")
        output = kind.fit([labels[row] for row in self.train])
        rows = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": output.encode(labels)})
        return rows.take(self.train), rows.take(self.valid), rows.take(self.test)

    def error(self, made: NDArray[Any], rows: Encoded) -> float:
        """Log loss of (N, K) probabilities, or the root of the mean squared error of (N,) standardised values, in the target's unit."""
        y_N = rows.targets["y"]
        if self.classes:
            return float(-np.log(made[np.arange(len(y_N)), y_N].clip(1e-7, 1)).mean())
        output = rows.outputs[0]
        assert isinstance(output, Value)
        return float(output.scale * np.sqrt(np.mean((made - y_N) ** 2)))

    @functools.cached_property
    def pandas(self) -> tuple[Any, NDArray[Any], list[str]]:
        """All rows as a data frame with categories, targets as codes or values, and the names of the categories."""
        train = self.encoded[0]
        output = train.outputs[0]
        inputs = self.frame.drop(self.target)
        texts = [one for one in inputs.columns if inputs[one].dtype == pl.String]
        made = inputs.with_columns(pl.col(texts).cast(pl.Categorical)).to_pandas()
        return made, output.encode(self.frame[self.target].to_list()), texts


def _divided(rows: NDArray[Any], y_N: NDArray[Any] | None, share: float, seed: int, *, in_time: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.model_selection import train_test_split

    if in_time:
        at = round(len(rows) * (1 - share))
        return rows[:at], rows[at:]
    first, second = train_test_split(rows, test_size=share, random_state=seed, stratify=None if y_N is None else y_N[rows])
    return np.sort(first), np.sort(second)
