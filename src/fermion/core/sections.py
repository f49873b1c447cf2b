"""The sections of the project file as frozen values. `fermion.core.spec` reads them from YAML."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from fermion.core.declared import Data, Declared, Duration, Share, Weight, part, seconds

__all__ = ["Checks", "Choice", "Data", "Declared", "Duration", "Evaluate", "Serve", "Share", "Spec", "Split", "Weight", "part", "seconds"]


class Split(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows are for training, validation and test. Splits come before everything that learns from data.

    `by` is chosen when left out: stratified for classes, random for numbers. With `by: time` the newest rows are the test part, the
    rows before them the validation part; `test`, `validation` and `train` are shares or durations, and `gap` (a duration) is left out
    before each of the two. With `by: column` the values of the column are train, validation and test.

    With `folds` the test part is one of so many folds, and the validation part is cut from the rest, or is one of its `inner` folds.
    Folds in time are `by: blocks` (each block is tested by the rows before and after it, less `gap` on both sides) or `by: walk` (each
    block is tested by the rows before it).
    """

    by: Annotated[
        Literal["auto", "random", "stratified", "group", "time", "column", "blocks", "walk"],
        Meta(description="How rows are told apart; `auto` chooses."),
    ] = "auto"
    column: Annotated[str | None, Meta(description="The column of groups, of times or of the parts' names.")] = None
    groups: Annotated[
        tuple[str, ...],
        Meta(description="With `by: column`: rows that are equal in all of these columns stay together when validation is cut from train."),
    ] = ()
    test: Annotated[Share | Duration, Meta(description="The test part: a share, or with `by: time` or `walk` a duration.")] = 0.2
    validation: Annotated[
        Share | Duration, Meta(description="The validation part: a share, or with `by: time`, `blocks` or `walk` a duration.")
    ] = 0.1
    train: Annotated[
        Duration | None, Meta(description="With `by: time` or `walk`: the length of the training part; else all that is left.")
    ] = None
    gap: Annotated[
        Duration | None,
        Meta(description="In time: what is left out before validation and before test; with `by: blocks` on both sides of each."),
    ] = None
    embargo: Annotated[Duration | None, Meta(description="With `by: blocks`: what is left out behind each, beyond the gap.")] = None
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None, Meta(description="Folds of which one is the test part; none: one part by its share.")
    ] = None
    fold: Annotated[int, Meta(ge=0, description="Which fold is the test part, from 0; in time from the oldest.")] = 0
    inner: Annotated[
        Annotated[int, Meta(ge=2)] | None, Meta(description="Folds of the rest, of which one is the validation part: nested folds.")
    ] = None
    inner_fold: Annotated[int, Meta(ge=0, description="Which inner fold is the validation part, from 0.")] = 0


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
    metrics: Annotated[
        tuple[str, ...],
        Meta(description="Metrics of your own, as `my_module:cost`; each is also known to `require`, by the name behind the colon."),
    ] = ()
    draws: Annotated[int, Meta(ge=0, description="Bootstrap draws of each interval.")] = 1000


class Checks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings that may stop a fit; a kind named in `accept` is reported and does not stop it."""

    accept: Annotated[tuple[str, ...], Meta(description="Findings that do not stop a fit: kinds, or `kind:column`.")] = ()


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
