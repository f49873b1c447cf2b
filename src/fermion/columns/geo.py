"""A place on the earth."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.columns.column import Slot, Values, is_missing, rejected
from fermion.columns.number import read_numbers
from fermion.core.errors import ValueRejected

RULE = "[latitude, longitude] in degrees, from -90 to 90 and from -180 to 180, or {lat, lon}, or null"


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in JSON: degrees north and east."""

    lat: float
    lon: float


class Geo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="geo"):
    """A latitude and a longitude in degrees, as [lat, lon] or {lat, lon}, as five numbers: both, and the point on the unit sphere

        x = cos(lat) cos(lon),   y = cos(lat) sin(lon),   z = sin(lat),

    where places that are near are near, also across the 180th meridian and at the poles. All are NaN where it is missing.

    >>> [round(float(array[0]), 3) for array in Geo().encode([[46.948, 7.447]])]
    [46.948, 7.447, 0.677, 0.088, 0.731]
    """

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(Slot(name=name, dtype="float32") for name in ("lat", "lon", "x", "y", "z"))

    @property
    def request(self) -> Any:
        return Place | list[float]

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def fit(self, values: Values) -> Geo:
        self.encode(values)
        return self

    def encode(self, values: Values) -> tuple[NDArray[np.float32], ...]:
        degrees_N2 = read_places(values)
        lat_N, lon_N = np.radians(degrees_N2[:, 0]), np.radians(degrees_N2[:, 1])
        sphere = (np.cos(lat_N) * np.cos(lon_N), np.cos(lat_N) * np.sin(lon_N), np.sin(lat_N))
        return tuple(array.astype(np.float32) for array in (degrees_N2[:, 0], degrees_N2[:, 1], *sphere))

    def plain(self, value: object) -> object:
        alone: list[object] = [value]
        lat, lon = read_places(alone)[0].tolist()
        return None if lat != lat else [lat, lon]


def read_places(values: Values) -> NDArray[np.float64]:
    """Places -> (N, 2) float64 degrees, NaN where missing.

    >>> read_places([[46.9, 7.4], {"lat": 0, "lon": -180}, None]).tolist()
    [[46.9, 7.4], [0.0, -180.0], [nan, nan]]

    Raises:
        ValueRejected: a value is no place, with its row.
    """
    degrees_N2 = np.full((len(values), 2), np.nan)
    for row in range(len(values)):
        value: Any = values[row]
        if isinstance(value, Place):
            value = [value.lat, value.lon]
        elif isinstance(value, dict) and set(value) == {"lat", "lon"}:  # pyright: ignore[reportUnknownArgumentType]
            value = [value["lat"], value["lon"]]
        if isinstance(value, list | tuple | np.ndarray) and len(value) == 2:  # pyright: ignore[reportUnknownArgumentType]
            degrees_N2[row] = _pair(list(value), values, row)  # pyright: ignore[reportUnknownArgumentType]
        elif not is_missing(value):
            raise rejected(values, row, RULE)
    return degrees_N2


def _pair(pair: list[Any], values: Values, row: int) -> NDArray[np.float64]:
    try:
        degrees_2 = read_numbers(pair)
    except (ValueRejected, TypeError, ValueError):
        raise rejected(values, row, RULE) from None
    gaps_2 = np.isnan(degrees_2)
    if gaps_2.any() != gaps_2.all() or (np.abs(degrees_2) > (90.0, 180.0)).any():
        raise rejected(values, row, RULE)
    return degrees_2
