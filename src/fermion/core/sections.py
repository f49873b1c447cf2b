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


def part(group: str, *, beside: bool = False, description: str | None = None) -> Any:
    """The annotation of a field that holds a part found by its `type` in the registry: `cnn` or `{type: cnn, lr: 1e-3}`.

    With `beside`, the part's type and settings stand beside the struct's other fields: `{type: category, most: 50, missing: accept}`.
    """
    return Meta(extra={"group": group, "beside": beside}, description=description, extra_json_schema={"$ref": f"#/$defs/{group}"})


class Declared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says about one column: its kind with settings, and rules that the schema enforces."""

    column: Annotated[Any, part("columns", beside=True, description="An unfitted column; inferred when left out.")] = None
    missing: Annotated[
        Literal["learn", "accept", "refuse"],
        Meta(description="Whether a request may lack the value. `learn`: only if the training part had missing values."),
    ] = "learn"


class Weight(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row counts: by a column, or by its class; for the fit, the evaluation or both."""

    column: Annotated[str | None, Meta(description="The column that holds the weight of each row.")] = None
    classes: Annotated[dict[str, Annotated[float, Meta(ge=0.0)]] | None, Meta(description="The weight of each class, by its name.")] = None
    use: Annotated[Literal["fit", "evaluate", "both"], Meta(description="What the weights count in.")] = "both"


class Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the rows come from and what they mean."""

    source: Annotated[str, Meta(description="A file, glob or folder, or sample://NAME. ${VARIABLE} is taken from the environment.")]
    target: Annotated[str | tuple[str, ...], Meta(description="The column to predict, or a list of columns.")]
    columns: Annotated[dict[str, Declared], Meta(description="What columns mean, where it is not inferred.")] = field(
        default_factory=dict[str, Declared]
    )
    ignore: Annotated[tuple[str, ...], Meta(description="Columns that the model does not see.")] = ()
    weight: Annotated[str | Weight | None, Meta(description="What a row counts: the name of a column, or a section.")] = None
    drop_unlabelled: Annotated[bool, Meta(description="Leave out rows without a target; an error otherwise.")] = False


class Split(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows are for training, validation and test. Splits come before everything that learns from data.

    `by` is chosen when left out: stratified for classes, random for numbers. With `by: time` the newest rows are the test part, the
    rows before them the validation part; `test`, `validation` and `train` are shares or durations, and `gap` (a duration) is left out
    before each of the two. With `by: column` the values of the column are train, validation and test.
    """

    by: Annotated[
        Literal["auto", "random", "stratified", "group", "time", "column"], Meta(description="How rows are told apart; `auto` chooses.")
    ] = "auto"
    column: Annotated[str | None, Meta(description="The column of groups, of times or of the parts' names.")] = None
    test: Annotated[Share | Duration, Meta(description="The test part: a share, or with `by: time` a duration.")] = 0.2
    validation: Annotated[Share | Duration, Meta(description="The validation part: a share, or with `by: time` a duration.")] = 0.1
    train: Annotated[Duration | None, Meta(description="With `by: time`: the length of the training part; else all that is left.")] = None
    gap: Annotated[Duration | None, Meta(description="With `by: time`: what is left out before validation and before test.")] = None


class Choice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How probabilities become a decision: the most probable class, or a threshold on one class.

    `at: best` chooses the threshold on the validation part by `metric`.
    """

    type: Annotated[Literal["argmax", "threshold"], Meta(description="The most probable class, or a threshold on one class.")] = "argmax"
    of: Annotated[str | None, Meta(description="The class that the threshold is for; the last one when left out.")] = None
    at: Annotated[
        Annotated[float, Meta(ge=0.0, le=1.0)] | Literal["best"],
        Meta(description="The threshold; `best` is chosen on the validation part."),
    ] = "best"
    metric: Annotated[str, Meta(description="What the best threshold is best by.")] = "f1"


class Evaluate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured on the test part, and what must be reached."""

    slices: Annotated[tuple[str, ...], Meta(description="Columns whose values are also scored one by one.")] = ()
    require: Annotated[dict[str, float], Meta(description="What metrics must reach on the test part, by name.")] = field(
        default_factory=dict[str, float]
    )
    draws: Annotated[int, Meta(ge=0, description="Bootstrap draws of each interval.")] = 1000


class Checks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings that may stop a fit; a kind named in `accept` is reported and does not stop it."""

    accept: Annotated[tuple[str, ...], Meta(description="Kinds of findings that do not stop a fit.")] = ()


class Serve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the bundle is served."""

    host: Annotated[str, Meta(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="The port to listen on; 0 for a free one.")] = 8080
    queue: Annotated[int, Meta(ge=1, description="Rows that may wait; more are answered with 503.")] = 4096
    batch: Annotated[int, Meta(ge=1, description="Rows per model call at the most.")] = 64
    body: Annotated[int, Meta(ge=1, description="Bytes of a request body at the most.")] = 16 * 1024 * 1024
    threads: Annotated[int, Meta(ge=1, description="Threads of one model call.")] = 1


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The project file as a frozen value. `name`, `data.source` and `data.target` are enough."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)",
            description="A name of letters, digits, `.`, `_` and `-`, 64 at the most, that starts with a letter or digit.",
        ),
    ]
    data: Data
    seed: Annotated[int, Meta(ge=0, lt=2**31, description="The root of all random streams: the same seed, the same result.")] = 0
    split: Split = Split()
    checks: Checks = Checks()
    model: Annotated[Any, part("models", description="The model with its settings; chosen by the kind of the data when left out.")] = None
    decide: Choice = Choice()
    budget: Annotated[Duration | None, Meta(description="How long the fit may take; the best model by then is kept.")] = None
    device: Annotated[Literal["cpu", "cuda", "mps"], Meta(description="Where networks are trained.")] = "cpu"
    evaluate: Evaluate = Evaluate()
    serve: Serve = Serve()
