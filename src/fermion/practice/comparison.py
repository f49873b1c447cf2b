"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics of both, and the settings in which they differ.

    `comparable` says that both were scored on the same rows: their data, split and seed are the same. `apart` says that they are, and
    that each value lies outside the other run's 95 % interval; within it the difference may be chance.

    >>> score = {"value": 0.9, "low": 0.8, "high": 1.0}
    >>> found = compare({"run": "a", "metrics": {"f1": score}, "spec": {"seed": 0}}, {"run": "b", "metrics": {}, "spec": {"seed": 1}})
    >>> found["metrics"]["f1"]["values"], found["settings"]
    ([0.9, None], {'seed': [0, 1]})
    """
    comparable = all(one.get("spec", {}).get(name) == other.get("spec", {}).get(name) for name in ("data", "split", "seed"))
    metrics: dict[str, Any] = {}
    for name in [*one["metrics"], *(name for name in other["metrics"] if name not in one["metrics"])]:
        scores = [run["metrics"].get(name) or {} for run in (one, other)]
        values = [score.get("value") for score in scores]
        metrics[name] = {"values": values, "apart": comparable and _outside(values[0], scores[1]) and _outside(values[1], scores[0])}
    left, right = dict(_flat(one.get("spec", {}))), dict(_flat(other.get("spec", {})))
    settings = {
        name: [left.get(name), right.get(name)]
        for name in [*left, *(key for key in right if key not in left)]
        if left.get(name) != right.get(name)
    }
    return {"runs": [one["run"], other["run"]], "comparable": comparable, "metrics": metrics, "settings": settings}


def _outside(value: float | None, score: Mapping[str, Any]) -> bool:
    low, high = score.get("low"), score.get("high")
    return value is not None and low is not None and high is not None and not low <= value <= high


def _flat(section: Any, path: str = "") -> list[tuple[str, Any]]:
    if not isinstance(section, dict):
        return [(path, section)]
    return [pair for name, value in section.items() for pair in _flat(value, f"{path}.{name}" if path else name)]
