"""The parts of a profile, as values."""

from __future__ import annotations

from msgspec import Struct


class Numbers(Struct, frozen=True, kw_only=True):
    """Of a column of numbers: range, moments and signs of all rows; quantiles and bars of the sample.

    Bars lie between the 0.5 % and 99.5 % quantiles; what is beyond is counted in the outer two.
    """

    low: float | None
    high: float | None
    mean: float | None
    std: float | None
    zeros: int
    negatives: int
    quantiles: dict[str, float]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Texts(Struct, frozen=True, kw_only=True):
    """Of a column of texts: lengths in characters, the median length in characters and words, and examples."""

    shortest: int
    longest: int
    letters: int
    words: int
    examples: tuple[str, ...] = ()


class Bar(Struct, frozen=True, kw_only=True):
    """A value, how often the sample has it, and the share of the sample's rows."""

    value: str
    count: int
    share: float


class Coverage(Struct, frozen=True, kw_only=True):
    """Rows per day, month or year (`unit`), how many such periods have none, and the longest gap (first and last empty period)."""

    first: str
    last: str
    unit: str
    starts: tuple[str, ...]
    counts: tuple[int, ...]
    empty: int
    gap: tuple[str, str] | None = None
    whole: bool = True  # counted over all rows, not over the sample


class Picture(Struct, frozen=True, kw_only=True):
    """A small picture (PNG bytes) with its label."""

    png: bytes
    label: str


class Pattern(Struct, frozen=True, kw_only=True):
    """Columns that are missing in the same rows, and the share of the sample's rows where exactly these are."""

    columns: tuple[str, ...]
    share: float


class Shift(Struct, frozen=True, kw_only=True):
    """How far a part is from the training part: population stability index, what chance alone gives, and shares of missing values."""

    column: str
    part: str
    psi: float
    chance: float
    missing: float
    missing_train: float


class Described(Struct, frozen=True, kw_only=True):
    """One column. `rows` and `missing`, ranges, means and counts are of all rows; `top`, quantiles and bars of the sample.

    `kind` is number, category, flag, time, image, text, identifier (texts that name rows), empty or other. `distinct` is counted where
    there are few values or rows and estimated otherwise (HyperLogLog, about 1 % off); None for values that cannot be compared.
    `private` is the mode of a private column, whose values are not in here; '' for others. `information` is the share of each
    target's uncertainty that the column takes away, from 0 to 1.
    """

    name: str
    type: str
    kind: str
    rows: int
    missing: int
    distinct: int | None = None
    counted: bool = True
    constant: bool = False
    private: str = ""
    numbers: Numbers | None = None
    texts: Texts | None = None
    top: tuple[Bar, ...] = ()
    time: Coverage | None = None
    pictures: tuple[Picture, ...] = ()
    information: dict[str, float] = {}

    @property
    def share_missing(self) -> float:
        return self.missing / self.rows if self.rows else 0.0


class Balance(Struct, frozen=True, kw_only=True):
    """Classes of a target, most frequent first, in all rows and in each part."""

    target: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    parts: dict[str, tuple[int, ...]] = {}
