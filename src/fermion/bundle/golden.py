"""Golden rows: inputs with the answers that a bundle must give, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from fermion.bundle.runtime import Runtime, fits
from fermion.columns.column import Arrays, Batch, Values
from fermion.columns.expect import broken
from fermion.columns.output import Output
from fermion.columns.private import invented
from fermion.columns.request import Requests
from fermion.columns.schema import Schema
from fermion.core.errors import BundleError, FermionError, Told

NAME = "golden.json"
MOST = 32
DRAWS = 100  # tries to make up rows that hold what is expected


class Expected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output's array, equal within atol + rtol * |y|."""

    values: list[Any]
    atol: Annotated[float, Meta(ge=0)] = 1e-5
    rtol: Annotated[float, Meta(ge=0)] = 1e-5
    batch_dependent: bool = False


class Golden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 32 rows that were not fitted on, as a client would send them, and what must come back."""

    columns: dict[str, list[Any]]
    outputs: dict[str, Expected]

    @classmethod
    def of(cls, runtime: Runtime, batch: Mapping[str, Values], *, seed: int = 0) -> Golden:
        """Rows answered by this runtime, each alone: an answer must not depend on its neighbours.

        Of a private column no value is kept: others of its kind are made up, drawn by `seed`, and the answers are to those. Rows that
        the service would refuse, for they break an expectation, are left out.

        Raises:
            BundleError: no rows, none that the service would take or more than 32, or an answer that is not a finite number.
        """
        columns = _shown(runtime.schema, batch, np.random.default_rng(seed))
        golden = cls(columns=columns, outputs={})
        rows = golden.batch(runtime.requests)
        count = len(next(iter(rows.values())))
        if not 1 <= count <= MOST:
            raise BundleError("the golden rows", rule=f"1 to {MOST}", given=count, remedy="Choose some that nothing was fitted on.")
        alone = [runtime.arrays({name: values[row : row + 1] for name, values in rows.items()}) for row in range(count)]
        arrays = {array: np.concatenate(_as_long([one[array] for one in alone])) for array in alone[0]}
        _check_finite(arrays)
        return cls(columns=columns, outputs={name: Expected(values=array.tolist()) for name, array in arrays.items()})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def body(self) -> bytes:
        """The rows as the body of a request."""
        return msgspec.json.encode({"columns": self.columns})

    def batch(self, requests: Requests) -> Batch:
        """The rows, read the way the service reads them."""
        return requests.batch(requests.decode(self.body()))

    def rows(self) -> list[Golden]:
        """Every row alone."""
        return [
            Golden(
                columns={name: [values[row]] for name, values in self.columns.items()},
                outputs={name: msgspec.structs.replace(one, values=[one.values[row]]) for name, one in self.outputs.items()},
            )
            for row in range(len(self))
        ]

    def arrays(self) -> Arrays:
        """The expected arrays."""
        return {name: np.asarray(expected.values, dtype=np.float64) for name, expected in self.outputs.items()}

    def differences(self, arrays: Arrays) -> dict[str, float]:
        """By output, the largest |difference| / (atol + rtol * |y|): above 1 is a failure; NaN counts as infinite."""
        found: dict[str, float] = {}
        for name, expected in self.outputs.items():
            want, got = np.asarray(expected.values, dtype=np.float64), np.asarray(arrays[name], dtype=np.float64)
            if want.ndim > 2 and len(want) == len(got):  # steps behind a row's end are 0
                want, got = _as_long([want, got])
            if want.shape != got.shape:
                found[name] = float("inf")
                continue
            with np.errstate(divide="ignore", invalid="ignore"):  # where both tolerances are 0
                ratio = np.where(got == want, 0.0, np.abs(got - want) / (expected.atol + expected.rtol * np.abs(want)))
            found[name] = float(np.nan_to_num(ratio, nan=np.inf, posinf=np.inf).max(initial=0.0))
        return found


def read(data: bytes, schema: Schema, outputs: Sequence[Output]) -> Golden:
    """golden.json from its bytes.

    Raises:
        BundleError: it is none, or its rows and answers do not fit the schema and the outputs.
    """
    try:
        golden = msgspec.json.decode(data, type=Golden)
        rows = len(next(iter(golden.batch(Requests(schema)).values())))
        want = {output.array: (rows, *output.tail) for output in outputs}
        given = {name: array.shape for name, array in golden.arrays().items()}
    except (msgspec.DecodeError, FermionError, ValueError, TypeError) as bad:
        rule = "rows of this bundle's schema with their outputs"
        raise BundleError(NAME, rule=rule, given=Told(str(bad).rstrip(".")), remedy=_AGAIN) from None
    if not 1 <= rows <= MOST:
        raise BundleError("the golden rows", rule=f"1 to {MOST}", given=rows, remedy=_AGAIN)
    if given.keys() != want.keys() or not all(fits(shape, want[name]) for name, shape in given.items()):
        raise BundleError("the answers to the golden rows", rule=f"of the shapes {want}", given=Told(str(given)), remedy=_AGAIN)
    _check_finite(golden.arrays())
    return golden


def _shown(schema: Schema, batch: Mapping[str, Values], rng: np.random.Generator) -> dict[str, list[Any]]:
    """The rows as they may be shown, without those that a request may not hold. What is made up is drawn again until it may."""
    private = [field for field in schema.fields if field.private]
    rows: dict[str, Any] = {field.name: list(batch[field.name]) for field in schema.fields}
    count = len(next(iter(rows.values()), []))
    refused = np.ones(count, dtype=np.bool_)
    for _ in range(DRAWS if private else 1):
        for field in private:
            made = invented(field.column, batch[field.name], rng)
            rows[field.name] = [made[row] if refused[row] else value for row, value in enumerate(rows[field.name])]
        strict = [one for one in schema.expect if one.then != "warn" and one.tolerate == 0]
        refused = np.zeros(count, dtype=np.bool_)
        for _, broken_N in broken(strict, rows, schema.columns) if strict and count else []:
            refused |= broken_N
        if not refused.any():
            break
    if count and refused.all():
        raise BundleError(
            "the golden rows",
            rule="rows that the service would take",
            given=Told(f"{count} that break an expectation"),
            remedy="Look at data.expect: `fermion check` says which rows of the data break it.",
        )
    kept = np.flatnonzero(~refused)
    return {field.name: [field.column.plain(rows[field.name][row]) for row in kept] for field in schema.fields}


def _as_long(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Arrays of steps with as many steps as the longest, filled with 0; others as they are."""
    if arrays[0].ndim < 3 or any(one.ndim != arrays[0].ndim for one in arrays):
        return arrays
    longest = max(one.shape[1] for one in arrays)
    return [np.pad(one, [(0, 0), (0, longest - one.shape[1]), *[(0, 0)] * (one.ndim - 2)]) for one in arrays]


def _check_finite(arrays: Arrays) -> None:
    for name, array in arrays.items():
        wrong = np.argwhere(~np.isfinite(array))
        if len(wrong):
            row = int(wrong[0][0])
            raise BundleError(
                f"the answer `{name}` to a golden row", rule="finite numbers", given=array[row].tolist(), remedy=_AGAIN, where=f"row {row}"
            )


_AGAIN = "Write the bundle again from a model that answers every row."
