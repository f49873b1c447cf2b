"""Numbers brought to comparable size: what is learned from the training part, and the same as nodes of a graph.

Everything is computed in float64, in the graph too: a power of a large number loses all its digits in float32.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Literal, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fermion.research.nodes import Nodes

FAR = 1e6  # the largest scaled number; farther ones are cut, so that no answer overflows
KNOTS = 64  # pieces of a quantile scale
FEW = 20_000  # values that are enough to choose a power
POWERS = (-5.0, 5.0)

Scale = Literal["standard", "robust", "quantile", "power"]
Vector = NDArray[np.float64]


class Scaler(Protocol):
    """What one way of scaling learned about F columns."""

    def nodes(self, nodes: Nodes, x: str) -> str:
        """(N, F) float64 without gaps -> (N, F) float64."""
        ...


def learn(kind: Scale, columns: list[Vector]) -> Scaler:
    """A scaler of F columns, each given by its values that are not missing. A column of one value becomes 0 everywhere.

    - standard: (x - mean) / deviation
    - robust: (x - median) / (third quartile - first quartile), the deviation where the quartiles are equal
    - quantile: the normal number that as large a share of the training part lies below, linear between 65 quantiles and level beyond
      them. Equal values share their middle rank
    - power: Yeo and Johnson's power with the likeliest exponent, then standard

    >>> scaler = learn("standard", [np.array([1.0, 3.0])])
    >>> scaler.center.tolist(), scaler.spread.tolist()
    ([2.0], [1.0])

    Yeo, Johnson: A New Family of Power Transformations to Improve Normality or Symmetry, Biometrika 2000.
    """
    if kind == "quantile":
        return Quantile.of(columns)
    if kind == "power":
        return Power.of(columns)
    pairs = [_center(kind, x) for x in columns]
    return Affine(center=np.array([center for center, _ in pairs]), spread=np.array([spread for _, spread in pairs]))


def _center(kind: Scale, x: Vector) -> tuple[float, float]:
    if not x.size:
        return 0.0, 1.0
    deviation = float(x.std()) if np.ptp(x) > 0 else 1.0
    if kind == "standard":
        return float(x.mean()), deviation
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    return float(middle), float(high - low) if high > low else deviation


class Affine(Struct, frozen=True, kw_only=True):
    """(x - center) / spread; both (F,)."""

    center: Vector
    spread: Vector

    def nodes(self, nodes: Nodes, x: str) -> str:
        return nodes.add("Div", nodes.add("Sub", x, nodes.constant(self.center)), nodes.constant(self.spread))


class Quantile(Struct, frozen=True, kw_only=True):
    """start + sum_t rise_t min(1, max(0, (x - low_t) / width_t)): a line through the knots. `start` is (F,), the rest (F, T).

    Pieces that a column has no values for have an inverse width of 0.
    """

    start: Vector
    low: NDArray[np.float64]
    inverse: NDArray[np.float64]
    rise: NDArray[np.float64]

    @classmethod
    def of(cls, columns: list[Vector]) -> Quantile:
        normal = NormalDist()
        start = np.zeros(len(columns))
        low, inverse, rise = (np.zeros((len(columns), KNOTS)) for _ in range(3))
        for column, x in enumerate(columns):
            if not x.size:
                continue
            x = np.sort(x)
            end = normal.inv_cdf(1 - 0.5 / len(x))
            shares = np.array([normal.cdf(z) for z in np.linspace(-end, end, KNOTS + 1)])  # as far apart in the tails as amid
            knots = np.unique(x[np.clip(shares * len(x), 0, len(x) - 1).astype(np.int64)])
            below, upto = np.searchsorted(x, knots, side="left"), np.searchsorted(x, knots, side="right")
            z = np.array([normal.inv_cdf(rank) for rank in (below + upto) / (2 * len(x))])
            pieces = len(knots) - 1
            start[column] = z[0]
            low[column, :pieces], inverse[column, :pieces], rise[column, :pieces] = knots[:-1], 1 / np.diff(knots), np.diff(z)
        return cls(start=start, low=low, inverse=inverse, rise=rise)

    def nodes(self, nodes: Nodes, x: str) -> str:
        x = nodes.add("Unsqueeze", x, _axis(nodes, 2))
        part = nodes.add("Mul", nodes.add("Sub", x, nodes.constant(self.low)), nodes.constant(self.inverse))
        part = nodes.add("Clip", part, nodes.constant(np.float64(0)), nodes.constant(np.float64(1)))
        risen = nodes.add("ReduceSum", nodes.add("Mul", part, nodes.constant(self.rise)), _axis(nodes, 2), keepdims=0)
        return nodes.add("Add", risen, nodes.constant(self.start))


class Power(Struct, frozen=True, kw_only=True):
    """(f(x) - center) / spread with f(x) = ((x+1)^p - 1) / p from 0 up, -((1-x)^(2-p) - 1) / (2-p) below; logarithms where p is 0 or 2.

    All are (F,).
    """

    exponent: Vector
    center: Vector
    spread: Vector

    @classmethod
    def of(cls, columns: list[Vector]) -> Power:
        learned: list[tuple[float, float, float]] = []
        for x in columns:
            exponent = likeliest(x)
            learned.append((exponent, *_center("standard", yeo_johnson(x, exponent))))
        exponent_F, center_F, spread_F = np.array(learned).reshape(-1, 3).T
        return cls(exponent=exponent_F, center=center_F, spread=spread_F)

    def nodes(self, nodes: Nodes, x: str) -> str:
        zero = nodes.constant(np.float64(0))
        up = self._branch(nodes, nodes.add("Max", x, zero), self.exponent)
        down = self._branch(nodes, nodes.add("Max", nodes.add("Neg", x), zero), 2 - self.exponent)
        return Affine(center=self.center, spread=self.spread).nodes(nodes, nodes.add("Sub", up, down))

    def _branch(self, nodes: Nodes, x: str, power_F: Vector) -> str:
        """((x+1)^p - 1) / p, or log(x+1) where p is 0."""
        one, flat_F = nodes.constant(np.float64(1)), power_F == 0
        safe = nodes.constant(np.where(flat_F, 1.0, power_F))
        x = nodes.add("Add", x, one)
        grown = nodes.add("Div", nodes.add("Sub", nodes.add("Pow", x, safe), one), safe)
        return nodes.add("Where", nodes.constant(flat_F), nodes.add("Log", x), grown) if flat_F.any() else grown


def yeo_johnson(x: NDArray[Any], power: float) -> Vector:
    """Yeo and Johnson's transformation.

    >>> yeo_johnson(np.array([-1.0, 0.0, 3.0]), 0.5).round(4).tolist()
    [-1.219, 0.0, 2.0]
    """
    up, down = np.log1p(np.maximum(x, 0)), np.log1p(np.maximum(-x, 0))
    up = up if power == 0 else np.expm1(power * up) / power
    down = down if power == 2 else np.expm1((2 - power) * down) / (2 - power)
    return up - down


def likeliest(x: NDArray[Any]) -> float:
    """The power between -5 and 5 that makes `x` most like draws from a normal distribution, by about 20,000 of its values.

        argmax_p  -n/2 log var f_p(x) + (p - 1) sum_i sign(x_i) log(1 + |x_i|)

    Found on a grid, then by golden section. Powers that leave fewer than 6 of 16 digits are out.

    >>> likeliest(np.ones(5)), likeliest(np.expm1(np.random.default_rng(0).normal(2, 0.3, 9999))).__round__(1)
    (1.0, 0.0)
    """
    x = x[:: max(1, len(x) // FEW)]
    if not x.size or np.ptp(x) == 0:
        return 1.0
    bulk = float((np.sign(x) * np.log1p(np.abs(x))).sum())

    def likelihood(power: float) -> float:
        y = yeo_johnson(x, power)
        spread, size = float(y.std()), float(np.abs(y).max())
        return -len(x) * np.log(spread) + (power - 1) * bulk if 1e-10 * size < spread < 1e150 else -np.inf

    grid = np.linspace(*POWERS, 41)
    best = float(grid[np.argmax([likelihood(power) for power in grid])])
    low, high, share = max(best - 0.25, POWERS[0]), min(best + 0.25, POWERS[1]), (5**0.5 - 1) / 2
    for _ in range(24):
        left, right = high - share * (high - low), low + share * (high - low)
        low, high = (low, right) if likelihood(left) >= likelihood(right) else (left, high)
    found = (low + high) / 2
    return next((whole for whole in (0.0, 2.0) if abs(found - whole) < 1e-4), found)


def _axis(nodes: Nodes, axis: int) -> str:
    return nodes.constant(np.array([axis], dtype=np.int64))
