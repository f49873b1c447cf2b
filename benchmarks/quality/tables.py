"""The default model for tables against LightGBM, XGBoost and CatBoost on the 12 tables of `tabular_suite_A`: 60 seconds and one core each.

    FERMION_DATA=/path/to/data python benchmarks/quality/tables.py [--seeds 1] [--tables adult,letter] [--who ours,rivals] [--out FILE]

A quarter of each table is measured once per seed (the last quarter of bike_sharing_hourly, whose rows are hours). Of the rest 15 %, or
20 % under 4,000 rows, is the validation part of ours and of the LightGBM that stops early (step .05, 31 leaves); the libraries with their
defaults learn from all of it. The error is the log loss of classes and the root mean squared error of numbers. Seconds are those of
the process on its core. What was measured is kept in the file, so that a run goes on where another ended; nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from suite import IN_TIME, Suite, names, one_core

from fermion.core import registry
from fermion.core.run import Run
from fermion.research.blend import _default  # pyright: ignore[reportPrivateUsage]
from fermion.research.mixture import called

OUT = Path(__file__).with_suffix(".json")
SECONDS = 60.0
DEFAULTS = ("lightgbm", "xgboost", "catboost")
EARLY = "lightgbm, early stop"

Answer = Callable[[Suite, int], NDArray[Any]]


PARTS: dict[str, float] = {}  # errors of the last blend's members on the validation part, where no member learned from it


def ours(table: Suite, seed: int) -> NDArray[Any]:
    """The default blend, with 60 seconds for everything."""
    train, valid, test = table.encoded
    array = train.outputs[0].array
    blend = registry.find("models", "blend")(folds=0 if table.name in IN_TIME else None)  # as the pipeline does where rows follow in time
    fitted = blend.fit(train, valid, Run(seed=seed, budget=SECONDS))
    for note in fitted.notes:
        print(f"    {note}")
    PARTS.clear()
    if not any("each without one of" in note for note in fitted.notes):
        members = zip(called(_default(train)), fitted.learned.members, strict=False)  # type: ignore[attr-defined]
        PARTS.update({name: table.error(member.run(valid.arrays)[array], valid) for name, member in members})
        PARTS["blend"] = table.error(fitted.run(valid.arrays)[array], valid)
    return fitted.run(test.arrays)[array]


def standardised(table: Suite, made: NDArray[Any]) -> NDArray[Any]:
    """What a library answered as our arrays hold it: probabilities of all classes; values are standardised already."""
    return made if not table.classes or made.ndim == 2 else np.stack([1 - made, made], axis=1)


def lightgbm(table: Suite, seed: int, *, early: bool = False) -> NDArray[Any]:
    import lightgbm as lgb

    table = table if early else table.with_validation()
    x, y_N, _ = table.pandas
    settings: dict[str, Any] = {"n_jobs": 1, "random_state": seed, "verbose": -1}
    fit: dict[str, Any] = {}
    if early:
        settings |= {"learning_rate": 0.05, "num_leaves": 31, "n_estimators": 5000}
        fit = {"eval_set": [(x.iloc[table.valid], y_N[table.valid])], "callbacks": [lgb.early_stopping(50, verbose=False)]}
    model = (lgb.LGBMClassifier if table.classes else lgb.LGBMRegressor)(**settings)
    model.fit(x.iloc[table.train], y_N[table.train], **fit)
    some = x.iloc[table.test]
    return standardised(table, model.predict_proba(some) if table.classes else model.predict(some))


def early(table: Suite, seed: int) -> NDArray[Any]:
    return lightgbm(table, seed, early=True)


def xgboost(table: Suite, seed: int) -> NDArray[Any]:
    import xgboost as xgb

    table = table.with_validation()
    x, y_N, _ = table.pandas
    kind = xgb.XGBClassifier if table.classes else xgb.XGBRegressor
    model = kind(n_jobs=1, random_state=seed, enable_categorical=True)
    model.fit(x.iloc[table.train], y_N[table.train])
    some = x.iloc[table.test]
    return standardised(table, model.predict_proba(some) if table.classes else model.predict(some))


def catboost(table: Suite, seed: int) -> NDArray[Any]:
    import catboost as cat

    table = table.with_validation()
    x, y_N, texts = table.pandas
    x = x.assign(**{one: x[one].astype(object).where(x[one].notna(), "missing").astype(str) for one in texts})
    settings: dict[str, Any] = {
        "thread_count": 1,
        "random_seed": seed,
        "verbose": False,
        "allow_writing_files": False,
        "cat_features": texts,
    }
    if table.classes and len(table.encoded[0].outputs[0].classes) > 2:  # type: ignore[union-attr]
        settings["loss_function"] = "MultiClass"
    model = (cat.CatBoostClassifier if table.classes else cat.CatBoostRegressor)(**settings)
    model.fit(x.iloc[table.train], y_N[table.train])
    some = x.iloc[table.test]
    return standardised(table, model.predict_proba(some) if table.classes else model.predict(some))


WHO: dict[str, dict[str, Answer]] = {
    "ours": {"fermion": ours},
    "rivals": {EARLY: early, "lightgbm": lightgbm, "xgboost": xgboost, "catboost": catboost},
}


def measure(name: str, seed: int, who: dict[str, Answer], done: dict[str, Any], save: Callable[[], None]) -> None:
    """The errors that are not there yet."""
    table = Suite.load(name, seed)
    test = table.encoded[2]
    for one, answer in who.items():
        if one in done:
            continue
        began = time.process_time()
        error = table.error(answer(table, seed), test)
        done[one] = {"error": error, "seconds": round(time.process_time() - began, 1), **({"validation": dict(PARTS)} if PARTS else {})}
        PARTS.clear()
        print(f"{name:20} seed {seed}  {one:22} {error:.5f}  {done[one]['seconds']:.0f} s", flush=True)
        save()


def told(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The table of errors by seed, each beside that of the early-stopped LightGBM, and what they come to."""
    ratios: list[float] = []
    better = dict.fromkeys(DEFAULTS, 0)
    all_three = count = 0
    for seed, tables in results.items():
        print(f"{'seed ' + seed:20} " + " ".join(f"{one:>12}" for one in ("fermion", *DEFAULTS, "early stop")) + "  ratio")
        for name, done in tables.items():
            if not {"fermion", EARLY, *DEFAULTS} <= done.keys():
                continue
            errors = {one: float(done[one]["error"]) for one in done}
            ratio = errors["fermion"] / errors[EARLY]
            wins = {one: errors["fermion"] < errors[one] for one in DEFAULTS}
            ratios.append(ratio)
            count += 1
            all_three += all(wins.values())
            for one, won in wins.items():
                better[one] += won
            row = " ".join(f"{errors[one]:12.5f}" for one in ("fermion", *DEFAULTS, EARLY))
            print(f"{name:20} {row}  {ratio:.3f}{'' if all(wins.values()) else '  not better than all'}")
    if not ratios:
        return {}
    total = {
        "tables": count,
        "better_than_all_three": all_three,
        "better_than": better,
        "median_ratio": round(statistics.median(ratios), 4),
        "geometric_mean_ratio": round(statistics.geometric_mean(ratios), 4),
    }
    print(json.dumps({"benchmark": "quality/tables", **total}))
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tables", default="")
    parser.add_argument("--who", default="ours,rivals")
    parser.add_argument("--out", default=str(OUT))
    options = parser.parse_args()
    out = Path(options.out)
    one_core()
    results: dict[str, Any] = json.loads(out.read_text())["errors"] if out.exists() else {}

    def save() -> None:
        out.write_text(json.dumps({"errors": results}, indent=1) + "\n")

    for seed in range(options.seeds):
        for name in options.tables.split(",") if options.tables else names():
            for group in options.who.split(","):
                measure(name, seed, WHO[group], results.setdefault(str(seed), {}).setdefault(name, {}), save)
    total = told(results)
    out.write_text(json.dumps({"total": total, "errors": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
