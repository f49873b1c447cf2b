"""Data that come with the package: `sample://NAME?option=value`. Nothing is downloaded."""

from __future__ import annotations

import re
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.core.errors import SpecError, Told, did_you_mean
from fermion.core.lazy import load
from fermion.data.cards import CardTransactions
from fermion.data.heartbeats import Heartbeats
from fermion.data.intents import SupportQuestions
from fermion.data.listings import Listings
from fermion.data.loans import LoanApplications
from fermion.data.signs import TrafficSigns
from fermion.data.spoken import SpokenDigits
from fermion.data.table import Table


class Sample(Protocol):
    """A frozen struct whose fields are the options of its address."""

    def table(self) -> Table:
        """The data: the same options give the same table."""
        ...


class Digits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1,797 handwritten digits as `image` (8, 8, 1) uint8 and `digit` 0..9 (Alpaydin, Kaynak 1998; UCI repository)."""

    def table(self) -> Table:
        data = _packaged("digits")
        pixels_N881 = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., None]
        return Table.of({"image": pixels_N881, "digit": data.target.astype(np.int64)})


class Iris(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """150 irises of three species (Fisher 1936)."""

    def table(self) -> Table:
        return _with_classes("iris", "species")


class Wine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """178 Italian wines of three cultivars (Forina et al. 1988; UCI repository)."""

    def table(self) -> Table:
        return _with_classes("wine", "cultivar")


class BreastCancer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """569 tumours, malignant or benign (Street, Wolberg, Mangasarian 1993; UCI repository)."""

    def table(self) -> Table:
        return _with_classes("breast_cancer", "diagnosis")


class Diabetes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """442 patients and the progression of their disease a year later, a number (Efron, Hastie, Johnstone, Tibshirani 2004)."""

    def table(self) -> Table:
        data = _packaged("diabetes", scaled=False)
        return Table.of(_features(data) | {"progression": data.target})


SAMPLES: dict[str, type[Sample]] = {
    "digits": Digits,
    "iris": Iris,
    "wine": Wine,
    "breast-cancer": BreastCancer,
    "diabetes": Diabetes,
    "card-transactions": CardTransactions,
    "loan-applications": LoanApplications,
    "listings": Listings,
    "ecg": Heartbeats,
    "spoken": SpokenDigits,
    "signs": TrafficSigns,
    "intents": SupportQuestions,
}


def sample(address: str, *, where: str = "") -> Table:
    """The table behind `sample://NAME?option=value&...`.

    >>> sample("sample://iris")
    Table(150 rows: sepal_length_cm, sepal_width_cm, petal_length_cm, petal_width_cm, species)

    Raises:
        SpecError: an unknown sample or option, or a value that the option cannot have.
    """
    name, _, query = address.removeprefix("sample://").partition("?")
    kind = SAMPLES.get(name.strip("/"))
    if kind is None:
        raise SpecError(
            "data.source",
            rule=f"one of the samples {', '.join(SAMPLES)}",
            given=address,
            remedy=did_you_mean(name, SAMPLES),
            where=where,
        )
    return _configured(kind, query, address, where).table()


def _configured(kind: type[Sample], query: str, address: str, where: str) -> Sample:
    try:
        pairs = parse_qsl(query, strict_parsing=bool(query), keep_blank_values=True)
    except ValueError:
        raise SpecError("data.source", rule="options of the form ?name=value&name=value", given=address, where=where) from None
    options: dict[str, Any] = dict(pairs)
    known = [field.name for field in msgspec.structs.fields(kind)]  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            raise SpecError(
                f"the option `{name}` of {address.partition('?')[0]}",
                rule=f"one of {', '.join(known)}" if known else "left out: this sample has no options",
                given=Told(f"{name}={options[name]}"),
                remedy=did_you_mean(name, known),
                where=where,
            )
    try:
        return msgspec.convert(options, kind, strict=False)
    except msgspec.ValidationError as wrong:
        expected, _, path = str(wrong).partition(" - at `$.")
        name = path.rstrip("`")
        rule = "a date such as 2018-04-01" if "date" in expected else expected.removeprefix("Expected ").partition(", got")[0]
        given = options.get(name, query)
        raise SpecError(f"the option `{name}` of {address.partition('?')[0]}", rule=rule, given=given, where=where) from None


def _packaged(name: str, **options: Any) -> Any:
    return getattr(load("sklearn.datasets", extra="train"), f"load_{name}")(**options)


def _features(data: Any) -> dict[str, NDArray[np.float64]]:
    return {re.sub(r"\W+", "_", name).strip("_"): data.data[:, column] for column, name in enumerate(data.feature_names)}


def _with_classes(name: str, target: str) -> Table:
    data = _packaged(name)
    classes = [str(label) for label in data.target_names]
    return Table.of(dict[str, Any](_features(data)) | {target: [classes[code] for code in data.target]})
