"""What augmentation gains on real data, or that it gains nothing: the same model with and without it, on the same rows.

    FERMION_DATA=/path/to/data python benchmarks/data/augment_ablation.py [--only gtsrb32 ...] [--seeds 3] [--steps 300] [--folds 5]

Pictures (gtsrb32): the default `cnn`, one fifth of the physical signs as validation part, the official test part measured; the interval of
a difference is a bootstrap over seeds and test pictures. Tables: stratified folds, a tenth of each training part as validation part,
which is never augmented; the interval is a bootstrap over the test rows of each fold. Differences are paired and against `nothing`.
Every interval is 95 % by itself: of forty without any effect two would still be called better or worse.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec import structs
from numpy.typing import NDArray

from fermion.columns.category import Category
from fermion.columns.image import Image
from fermion.columns.number import Number
from fermion.columns.output import Probability
from fermion.columns.schema import Schema
from fermion.core.run import Run
from fermion.research.model import Encoded
from fermion.research.tabular import Mlp
from fermion.research.trees import Trees
from fermion.research.vision import Cnn

OUT = Path(__file__).with_suffix(".json")
DRAWS = 1000
SIGNS: dict[str, Any] = {
    "nothing": [],
    "distort (the default)": 1.0,
    "rotate, colour, cutout": [{"type": "rotate", "scale": 0.15}, {"type": "colour", "gamma": 0.5}, "cutout"],
    "the same and mixup": [{"type": "rotate", "scale": 0.15}, {"type": "colour", "gamma": 0.5}, "cutout", "mixup"],
    "randaugment": ["randaugment"],
}
TABLES: dict[str, dict[str, list[Any]]] = {
    "trees": {"class weights": [], "oversample": ["oversample"], "smote": ["smote"], "undersample": ["undersample"], "noise": ["noise"]},
    "mlp": {"class weights": [], "smote": ["smote"], "noise": ["noise"], "mixup": ["mixup"]},
}
METRICS = ("average precision", "AUC", "log loss")


def data(name: str) -> Path:
    """The folder of a data set; ends the program with a message where it is missing."""
    folder = Path(os.environ.get("FERMION_DATA", "")) / name
    if "FERMION_DATA" not in os.environ or not folder.is_dir():
        sys.exit(f"Set FERMION_DATA to a folder that holds {name}.")
    return folder


def taiwan() -> tuple[pl.DataFrame, str, set[str]]:
    """30,000 card clients, 22 % default."""
    text = gzip.decompress((data("taiwan_credit_default") / "UCI_Credit_Card.csv.gz").read_bytes()).replace(
        b"\r", b"\n"
    )  # the file's line ends
    return pl.read_csv(text, infer_schema_length=None).drop("ID"), "default.payment.next.month", {"SEX", "EDUCATION", "MARRIAGE"}


def german() -> tuple[pl.DataFrame, str, set[str]]:
    """1,000 applicants, 30 % bad risks."""
    table = pl.read_csv(data("german_credit") / "germancredit.csv")
    table = table.with_columns((pl.col("creditability") == "bad").cast(pl.Int64))
    return table, "creditability", {name for name, kind in table.schema.items() if kind == pl.String}


def cards() -> tuple[pl.DataFrame, str, set[str]]:
    """6,701 card payments, 7 % frauds (a case-control sample)."""
    return pl.read_csv(data("ulb_creditcard_sample") / "creditcard_sample.csv.gz", infer_schema_length=None), "Class", set()


READERS: dict[str, Callable[[], tuple[pl.DataFrame, str, set[str]]]] = {
    "taiwan_credit_default": taiwan,
    "german_credit": german,
    "ulb_creditcard_sample": cards,
}


def weighted_scores(p_N: NDArray[np.float64], y_N: NDArray[np.int64], w_DN: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, D) average precision, AUC and log loss of D weightings of the same rows; equal scores are one threshold."""
    order = np.argsort(-p_N, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(p_N[order])), len(p_N) - 1)
    hit_DN = w_DN[:, order] * y_N[order]
    tp_DE = hit_DN.cumsum(1)[:, ends]
    fp_DE = (w_DN[:, order] - hit_DN).cumsum(1)[:, ends]
    step_DE = np.diff(tp_DE, axis=1, prepend=0)
    precision_DE = tp_DE / np.maximum(tp_DE + fp_DE, 1e-12)
    ap_D = (step_DE * precision_DE).sum(1) / tp_DE[:, -1]
    missed_DE = fp_DE - np.diff(fp_DE, axis=1, prepend=0) / 2  # negatives ranked above, half of those that tie
    auc_D = 1 - (step_DE * missed_DE).sum(1) / (tp_DE[:, -1] * fp_DE[:, -1])
    loss_N = -np.log(np.clip(np.where(y_N == 1, p_N, 1 - p_N), 1e-15, 1))
    return np.stack([ap_D, auc_D, (w_DN @ loss_N) / w_DN.sum(1)])


def table_rows(name: str, folds: int) -> list[dict[str, Any]]:
    """Every model and every augmentation on one table."""
    from sklearn.model_selection import StratifiedKFold, train_test_split

    frame, target, categories = READERS[name]()
    y_N = frame[target].to_numpy().astype(np.int64)
    batch = {column: frame[column].to_list() for column in frame.columns if column != target}
    models: dict[str, Any] = {"trees": Trees(threads=1), "mlp": Mlp()}
    arms = {model: {"nothing": list[Any](), **TABLES[model]} for model in models}
    scores: dict[tuple[str, str], list[NDArray[np.float64]]] = {(model, arm): [] for model in arms for arm in arms[model]}
    seconds = dict.fromkeys(scores, 0.0)
    splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(y_N)), y_N)
    for fold, (learn, test) in enumerate(splits):
        learn, valid = train_test_split(learn, test_size=0.1, random_state=fold, stratify=y_N[learn])
        columns = {column: Category() if column in categories else Number() for column in batch}
        schema = Schema.of(columns).fit({column: [values[row] for row in learn] for column, values in batch.items()})
        output = Probability(target="y", classes=(0, 1))
        encoded = Encoded(schema=schema, outputs=(output,), arrays=schema.encode(batch), targets={"y": y_N})
        train, validation, rest = (encoded.take(rows) for rows in map(np.asarray, (learn, valid, test)))
        rng = np.random.default_rng(fold)
        w_DN = np.stack(
            [np.ones(len(test)), *(np.bincount(rng.integers(0, len(test), len(test)), minlength=len(test)) for _ in range(DRAWS))]
        )
        share_K = np.bincount(y_N[learn]) / len(learn)
        balanced = [structs.replace(part, weights=0.5 / share_K[part.targets["y"]]) for part in (train, validation)]
        for model, arm in scores:
            given = balanced if arm == "class weights" else (train, validation)
            began = time.perf_counter()
            fitted = structs.replace(models[model], augment=tuple(arms[model][arm])).fit(given[0], given[1], Run(seed=fold))
            seconds[model, arm] += time.perf_counter() - began
            p_N = fitted.run(rest.arrays)[output.array][:, 1].astype(np.float64)
            scores[model, arm].append(weighted_scores(p_N, y_N[test], w_DN.astype(np.float64)))
    rows: list[dict[str, Any]] = []
    for (model, arm), parts in scores.items():
        mean_3D, plain_3D = np.mean(parts, axis=0), np.mean(scores[model, "nothing"], axis=0)
        row: dict[str, Any] = {"data": name, "model": model, "augment": arm, "seconds": seconds[model, arm]}
        row |= {metric: told(mean_3D[place], plain_3D[place], place < 2) for place, metric in enumerate(METRICS)}
        rows.append(row)
        show(row)
    return rows


def sign_rows(seeds: int, steps: int) -> list[dict[str, Any]]:
    """Every augmentation on traffic signs."""
    z = np.load(data("gtsrb32") / "gtsrb32.npz")
    x, y, tracks = z["train_images"], z["train_labels"].astype(np.int64), z["train_tracks"].astype(np.int64)
    x_test, y_test = z["test_images"], z["test_labels"].astype(np.int64)
    sign_N = y * 10_000 + tracks
    rng = np.random.default_rng(0)
    held: list[int] = []
    for label in range(int(y.max()) + 1):  # a fifth of the physical signs of each class
        signs = rng.permutation(np.unique(sign_N[y == label]))
        held += signs[: max(1, len(signs) // 5)].tolist()
    valid_N = np.isin(sign_N, held)
    schema, output = Schema.of({"image": Image()}).fit({"image": x}), Probability(target="sign").fit(y)

    def part(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Encoded:
        arrays = schema.encode({"image": pixels})
        return Encoded(schema=schema, outputs=(output,), arrays=arrays, targets={"sign": output.encode(labels)})

    train, valid, test = part(x[~valid_N], y[~valid_N]), part(x[valid_N], y[valid_N]), part(x_test, y_test)
    right: dict[str, NDArray[np.float64]] = {}
    rows: list[dict[str, Any]] = []
    draws = np.random.default_rng(1)
    at_DS = draws.integers(0, seeds, (DRAWS, seeds))
    for arm, augment in SIGNS.items():
        began, made = time.perf_counter(), list[NDArray[np.bool_]]()
        for seed in range(seeds):
            model = Cnn(steps=steps, batch=256, augment=augment if isinstance(augment, float) else tuple(augment))
            fitted = model.fit(train, valid, Run(seed=seed))
            made.append(fitted.run(test.arrays)[output.array].argmax(1) == test.targets["sign"])
        right[arm] = np.stack(made).astype(np.float64)
        picked = np.random.default_rng(2)
        values, plain = [right[arm].mean()], [right["nothing"].mean()]
        for chosen in at_DS:
            pictures = picked.integers(0, len(y_test), len(y_test))
            values.append(right[arm][chosen][:, pictures].mean())
            plain.append(right["nothing"][chosen][:, pictures].mean())
        row = {"data": "gtsrb32", "model": "cnn", "augment": arm, "seconds": time.perf_counter() - began}
        row |= {"accuracy": told(np.array(values), np.array(plain), True), "by seed": right[arm].mean(1).tolist()}
        rows.append(row)
        show(row)
    return rows


def told(value_D: NDArray[np.float64], plain_D: NDArray[np.float64], larger_is_better: bool) -> dict[str, Any]:
    """A metric, its difference from nothing with its 95 % interval, and what that says. The first draw is the sample itself."""
    low, high = np.quantile((value_D - plain_D)[1:], [0.025, 0.975])
    better, worse = (low > 0, high < 0) if larger_is_better else (high < 0, low > 0)
    says = "better" if better else "worse" if worse else "no difference shown"
    return {"value": float(value_D[0]), "difference": float(value_D[0] - plain_D[0]), "low": float(low), "high": float(high), "says": says}


def show(row: dict[str, Any]) -> None:
    print(f"{row['data']} {row['model']}: {row['augment']} ({row['seconds']:.0f} s)")
    for metric, score in row.items():
        if isinstance(score, dict):
            gap = f"{score['difference']:+.4f} [{score['low']:+.4f}, {score['high']:+.4f}]"
            print(f"    {metric:18}{score['value']:.4f}   {gap}   {score['says'] if row['augment'] != 'nothing' else ''}", flush=True)


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["gtsrb32", *READERS], default=["gtsrb32", *READERS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in options.only:
        rows += sign_rows(options.seeds, options.steps) if name == "gtsrb32" else table_rows(name, options.folds)
    settings = {"seeds": options.seeds, "steps": options.steps, "folds": options.folds, "draws": DRAWS}
    options.out.write_text(json.dumps({"benchmark": "data/augment_ablation", **settings, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
