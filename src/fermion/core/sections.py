"""The sections of the project file as frozen values. `fermion.core.spec` reads them from YAML."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Share = Annotated[float, Meta(ge=0.0, lt=1.0, description="A share of the rows.")]
Duration = Annotated[
    str,
    Meta(
        pattern=r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*$", description="A duration: a number and ms, s, m, h, d or w.", examples=["7d", "10m"]
    ),
]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(duration: str) -> float:
    """A duration in seconds.

    >>> seconds("7d"), seconds("1.5m")
    (604800.0, 90.0)
    """
    number, unit = re.fullmatch(r"\s*([\d.]+)\s*([a-z]+)\s*", duration).groups()  # type: ignore[union-attr]
    return float(number) * _SECONDS[unit]


def part(group: str) -> Any:
    """The annotation of a field that holds a part found by its `type` in the registry."""
    return Meta(extra={"group": group})


class Declared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says about one column: its kind with settings, and rules that the schema enforces."""

    column: Any = None  # an unfitted Column, or None: infer it
    missing: Literal["learn", "accept", "refuse"] = "learn"


class Weight(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row counts: by a column, or by its class; for the fit, the evaluation or both."""

    column: str | None = None
    classes: dict[str, Annotated[float, Meta(ge=0.0)]] | None = None
    use: Literal["fit", "evaluate", "both"] = "both"


class Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the rows come from and what they mean."""

    source: Annotated[str, Meta(description="A file, glob or folder, or sample://NAME. ${VARIABLE} is taken from the environment.")]
    target: str | tuple[str, ...]
    columns: dict[str, Declared] = field(default_factory=dict[str, Declared])
    ignore: tuple[str, ...] = ()
    weight: str | Weight | None = None
    drop_unlabelled: bool = False


class Split(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows are for training, validation and test. Splits come before everything that learns from data.

    `by` is chosen when left out: stratified for classes, random for numbers. With `by: time` the newest rows are the test part, the
    rows before them the validation part; `test`, `validation` and `train` are shares or durations, and `gap` (a duration) is left out
    before each of the two. With `by: column` the values of the column are train, validation and test.
    """

    by: Literal["auto", "random", "stratified", "group", "time", "column"] = "auto"
    column: str | None = None
    test: Share | Duration = 0.2
    validation: Share | Duration = 0.1
    train: Duration | None = None
    gap: Duration | None = None


class Choice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How probabilities become a decision: the most probable class, or a threshold on one class.

    `at: best` chooses the threshold on the validation part by `metric`.
    """

    type: Literal["argmax", "threshold"] = "argmax"
    of: str | None = None  # the class that the threshold is for; the last one when left out
    at: Annotated[float, Meta(ge=0.0, le=1.0)] | Literal["best"] = "best"
    metric: str = "f1"


class Evaluate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured on the test part, and what must be reached."""

    slices: tuple[str, ...] = ()
    require: dict[str, float] = field(default_factory=dict[str, float])
    draws: Annotated[int, Meta(ge=0)] = 1000


class Checks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings that may stop a fit; a kind named in `accept` is reported and does not stop it."""

    accept: tuple[str, ...] = ()


class Serve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the bundle is served."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    queue: Annotated[int, Meta(ge=1, description="Rows that may wait; more are answered with 503.")] = 4096
    batch: Annotated[int, Meta(ge=1, description="Rows per model call at the most.")] = 64
    body: Annotated[int, Meta(ge=1, description="Bytes of a request body at the most.")] = 16 * 1024 * 1024
    threads: Annotated[int, Meta(ge=1, description="Threads of one model call.")] = 1


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The project file as a frozen value. `name`, `data.source` and `data.target` are enough."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    data: Data
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    split: Split = Split()
    checks: Checks = Checks()
    model: Annotated[Any, part("models")] = None
    decide: Choice = Choice()
    budget: Duration | None = None
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    evaluate: Evaluate = Evaluate()
    serve: Serve = Serve()
