"""What the project file says about data: where they come from, what they mean, how they are mended and what must hold."""

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


class Parts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows of an .npz file belong to which part, where arrays list the groups of each: they become the column `split`."""

    of: Annotated[str, Meta(description="The array with the group of each row.")]
    train: Annotated[str, Meta(description="The array that lists the groups for training.")]
    test: Annotated[str, Meta(description="The array that lists the groups for the test.")]
    validation: Annotated[
        str | tuple[int | str, ...] | None,
        Meta(description="The array that lists the groups for validation, or the groups themselves, taken from those for training."),
    ] = None

    @property
    def lists(self) -> dict[str, str]:
        """Parts by the array that lists their groups."""
        return {self.train: "train", self.test: "test"} | ({self.validation: "validation"} if isinstance(self.validation, str) else {})

    @property
    def names(self) -> tuple[str, ...]:
        """All arrays that are named."""
        return (self.of, *self.lists)


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rows come from, with what a bare address cannot say."""

    at: Annotated[
        str,
        Meta(
            description="A file, glob or folder, or an address: sample://, https://, s3://, postgresql://, mysql://, sqlite://, kaggle://, "
            "openml://. ${VARIABLE} is taken from the environment."
        ),
    ]
    query: Annotated[str | None, Meta(description="A SQL query: a database's own, or over the table `rows` of a file.")] = None
    sha256: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")] | None,
        Meta(description="The sha256 of the file, 64 digits, checked once it is here."),
    ] = None
    sheet: Annotated[str | None, Meta(description="The sheet of an Excel file; the first when left out.")] = None
    member: Annotated[str | None, Meta(description="The file inside an archive or a data set of several files.")] = None
    text: Annotated[
        tuple[str, ...],
        Meta(description="Columns of a csv that are text though they look like numbers or dates: post codes, article numbers."),
    ] = ()
    arrays: Annotated[tuple[str, ...], Meta(description="The arrays of an .npz file that are columns; all when left out.")] = ()
    parts: Annotated[Parts | None, Meta(description="How arrays of an .npz file tell training from test.")] = None
    names: Annotated[
        str | None,
        Meta(description="What the names of several files, or of pictures or sounds in a folder, mean, as in {label}_{speaker}_{number}."),
    ] = None
    unreadable: Annotated[
        Literal["stop", "aside"], Meta(description="What cannot be read stops the run, or is set aside with its reason.")
    ] = "stop"
    memory: Annotated[
        Literal["auto", "always", "never"],
        Meta(description="Whether rows are held in memory; else they are mapped from a file on the disk. `auto` goes by their size."),
    ] = "auto"


class Repair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How texts become the values that a column means; done in training and in serving alike."""

    missing: Annotated[tuple[str, ...], Meta(description="Texts that mean a missing value, such as NA or ?.")] = ()
    decimal: Annotated[Literal[".", ","], Meta(description="The decimal sign of numbers in texts.")] = "."
    thousands: Annotated[Literal[",", ".", " ", "'", "_"] | None, Meta(description="The sign between groups of three digits.")] = None
    strip: Annotated[tuple[str, ...], Meta(description="Signs that are taken off numbers, such as $ or %.")] = ()
    units: Annotated[
        dict[str, Annotated[float, Meta(gt=0.0)]],
        Meta(description="Units behind a number and what one of each counts, as in {kg: 1, g: 0.001}."),
    ] = field(default_factory=dict[str, float])
    truth: Annotated[dict[str, bool], Meta(description="Texts that mean true or false, as in {yes: true, no: false}; case is ignored.")] = (
        field(default_factory=dict[str, bool])
    )
    dates: Annotated[tuple[str, ...], Meta(description="Forms of dates, tried in this order, as in %d.%m.%Y.")] = ()
    text: Annotated[
        tuple[Literal["unicode", "spaces", "strip", "lower", "upper"], ...],
        Meta(description="How texts are made alike: unicode (NFKC), spaces (runs to one), strip, lower, upper."),
    ] = ()
    merge: Annotated[dict[str, str], Meta(description="Texts that are written otherwise, as in {nyc: new york}; after `text`.")] = field(
        default_factory=dict[str, str]
    )


class Declared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says about one column: its kind with settings, rules that the schema enforces, and how models take it."""

    column: Annotated[
        Any, part("meanings", beside=True, description="An unfitted column, or what kind of target it is; inferred when left out.")
    ] = None
    missing: Annotated[
        Literal["learn", "accept", "refuse"],
        Meta(description="Whether a request may lack the value. `learn`: only if the training part had missing values."),
    ] = "learn"
    repair: Annotated[Repair | None, Meta(description="How raw texts become values of this column.")] = None
    private: Annotated[
        Literal["keep", "redact", "hash", "drop"] | None,
        Meta(
            description="Personal data, never shown. `keep`: the model sees it; `redact`: personal patterns are cut out of the text; "
            "`hash`: salted, by the salt in data.privacy; `drop`: not read at all."
        ),
    ] = None
    impute: Annotated[
        Literal["median", "mean", "most", "zero"] | float | None, Meta(description="What a model computes with where a value is missing.")
    ] = None
    indicator: Annotated[bool, Meta(description="Tell the model as an input of its own that a value was missing.")] = False
    scale: Annotated[
        Literal["standard", "robust", "quantile", "power"] | None,
        Meta(description="How numbers are scaled in the model's graph, learned on the training part."),
    ] = None
    encode: Annotated[
        Literal["target"] | None, Meta(description="`target`: a category as the mean of the target, out of fold in training.")
    ] = None


class Weight(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row counts: by a column, or by its class; for the fit, the evaluation or both."""

    column: Annotated[str | None, Meta(description="The column that holds the weight of each row.")] = None
    classes: Annotated[dict[str, Annotated[float, Meta(ge=0.0)]] | None, Meta(description="The weight of each class, by its name.")] = None
    use: Annotated[Literal["fit", "evaluate", "both"], Meta(description="What the weights count in.")] = "both"


class Feature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column made from others: an aggregate over an entity's past (`take`), or the ratio or difference of two columns of the row."""

    take: Annotated[
        Literal["count", "sum", "mean", "deviation", "distinct", "last", "since", "ratio"] | None,
        Meta(
            description="What is taken of the entity's rows in the window: `since` is the time (s) since the row before, `ratio` the value "
            "over the mean of the rows before."
        ),
    ] = None
    of: Annotated[str | None, Meta(description="The column that is aggregated; none for count and since.")] = None
    by: Annotated[str | tuple[str, ...] | None, Meta(description="The column, or columns, that name the entity.")] = None
    window: Annotated[Duration | None, Meta(description="How far back rows count: (t - window, t]; all of the past when left out.")] = None
    delay: Annotated[
        Duration | None,
        Meta(description="How long it takes until a value is known: only rows up to t - delay count, the row itself does not."),
    ] = None
    ratio: Annotated[tuple[str, str] | None, Meta(description="The first column over the second, missing where that is 0.")] = None
    difference: Annotated[tuple[str, str] | None, Meta(description="The first column minus the second.")] = None
    fill: Annotated[float | None, Meta(description="What stands where there is nothing to take; missing when left out.")] = None
    name: Annotated[str | None, Meta(description="The name of the new column; made from the rest when left out.")] = None


class Long(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the columns of a long table are: one measurement per row."""

    time: Annotated[str, Meta(description="The column of times of the measurements: dates, times or seconds.")]
    value: Annotated[str | tuple[str, ...], Meta(description="The column of values, or columns that are one variable each.")]
    variable: Annotated[str | None, Meta(description="The column that names the variable that was measured.")] = None
    variables: Annotated[tuple[str, ...], Meta(description="The variables to take, in this order; all by name when left out.")] = ()
    length: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How many of the last steps are taken; all when left out.")] = (
        None
    )


class Join(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Columns of a slowly changing table, as they were known at each row's time; or the measurements of a long table as one series."""

    source: Annotated[str, Meta(description="Where that table comes from.")]
    by: Annotated[str | tuple[str, ...], Meta(description="The column, or columns, that both tables share.")]
    time: Annotated[str | None, Meta(description="The column of that table that says since when its row holds; none: a plain join.")] = None
    columns: Annotated[tuple[str, ...], Meta(description="The columns to take; all others when left out.")] = ()
    within: Annotated[Duration | None, Meta(description="How old what was known may be.")] = None
    series: Annotated[Long | None, Meta(description="How a long table of measurements becomes one series per row.")] = None
    name: Annotated[str | None, Meta(description="With `series`: the name of the new column.")] = None


class Expectation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold of the data. What is about one row travels in the bundle and is checked on requests."""

    column: Annotated[str | None, Meta(description="The column that it is about; none for a relation.")] = None
    between: Annotated[tuple[float | None, float | None] | None, Meta(description="The smallest and largest value; null for none.")] = None
    among: Annotated[tuple[str | int | bool, ...] | None, Meta(description="The values that there may be.")] = None
    matches: Annotated[str | None, Meta(description="The regular expression that the whole text matches.")] = None
    unique: Annotated[bool, Meta(description="Every value once; about the data, not about a row.")] = False
    relation: Annotated[
        str | None, Meta(description="Two columns and how they compare: `paid <= billed`, with <, <=, >, >=, == or !=.")
    ] = None
    then: Annotated[
        Literal["stop", "warn", "aside"],
        Meta(
            description="`stop`: no fit, and such a request is refused; `warn`: told, and counted in serving; `aside`: such training rows "
            "are set aside, and such a request is refused."
        ),
    ] = "stop"
    tolerate: Annotated[float, Meta(ge=0.0, le=1.0, description="The share of rows that may break it before `then` happens.")] = 0.0


class Outliers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training rows with values far from the others'."""

    by: Annotated[
        Literal["iqr", "robust_z", "isolation"],
        Meta(description="Beyond the quartiles (Tukey), in deviations from the median, or by an isolation forest over all columns."),
    ] = "iqr"
    columns: Annotated[tuple[str, ...], Meta(description="The number columns; all of them when left out.")] = ()
    limit: Annotated[
        Annotated[float, Meta(gt=0.0)] | None,
        Meta(description="Interquartile ranges (3), robust deviations (6), or the share of rows (0.01)."),
    ] = None
    log: Annotated[
        bool, Meta(description="Distances of logarithms: of amounts, a value a thousand times too small is as far off as one too large.")
    ] = False


class Lineage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a plan was made from: written by `fermion data clean --suggest`, read by the checks."""

    fingerprint: Annotated[str, Meta(description="The digest of the table.")]
    part: Annotated[Literal["train", "all"], Meta(description="The rows that were looked at.")]
    split: Annotated[str, Meta(description="The digest of the rows of the training part.")] = ""


class Clean(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of the training part that are set aside, each with its reason. Nothing is dropped silently."""

    duplicates: Annotated[Literal["exact", "near"] | None, Meta(description="Rows that repeat an earlier one, exactly or nearly.")] = None
    similarity: Annotated[float, Meta(gt=0.0, le=1.0, description="How alike near duplicates are at the least.")] = 0.8
    outliers: Annotated[tuple[Outliers, ...], Meta(description="Rows with values far from the others'.")] = ()
    incomplete: Annotated[tuple[str, ...], Meta(description="Columns without which a row is set aside.")] = ()
    made_from: Annotated[Lineage | None, Meta(description="What the plan was made from; kept by the tool.")] = None


class Privacy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How personal data are guarded."""

    salt: Annotated[
        str, Meta(min_length=1, description="The environment variable that holds the salt of `private: hash`; never in the repository.")
    ] = "FERMION_SALT"
    quasi: Annotated[tuple[str, ...], Meta(description="Columns that together could name a person (quasi-identifiers).")] = ()
    k: Annotated[int, Meta(ge=2, description="How many rows must share each combination of them (k-anonymity).")] = 5


class Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the rows come from and what they mean."""

    source: Annotated[
        str | Source,
        Meta(
            description="A file, glob or folder, or an address such as sample://NAME, s3://..., postgresql://...; or a section with `at` "
            "and more. ${VARIABLE} is taken from the environment."
        ),
    ]
    target: Annotated[str | tuple[str, ...], Meta(description="The column to predict, or a list of columns.")]
    time: Annotated[str | None, Meta(description="The column that says when a row happened; split.column when split.by is time.")] = None
    joins: Annotated[tuple[Join, ...], Meta(description="Columns of other tables, as they were known at each row's time.")] = ()
    features: Annotated[tuple[Feature, ...], Meta(description="Columns made from others.")] = ()
    columns: Annotated[dict[str, Declared], Meta(description="What columns mean, where it is not inferred.")] = field(
        default_factory=dict[str, Declared]
    )
    ignore: Annotated[tuple[str, ...], Meta(description="Columns that the model does not see.")] = ()
    weight: Annotated[str | Weight | None, Meta(description="What a row counts: the name of a column, or a section.")] = None
    drop_unlabelled: Annotated[bool, Meta(description="Leave out rows without a target; an error otherwise.")] = False
    expect: Annotated[tuple[Expectation, ...], Meta(description="What must hold of the data.")] = ()
    clean: Annotated[Clean, Meta(description="Training rows that are set aside.")] = Clean()
    privacy: Annotated[Privacy, Meta(description="How personal data are guarded.")] = Privacy()

    @property
    def origin(self) -> Source:
        """The source as a section.

        >>> Data(source="a.csv", target="y").origin.at
        'a.csv'
        """
        return Source(at=self.source) if isinstance(self.source, str) else self.source
