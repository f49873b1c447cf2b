"""The mean of a score over folds, and how far it could be off."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fermion.measure.intervals import Interval


def over_folds(values: Sequence[float], *, ratio: float) -> Interval:
    """The mean over F folds with its 95 % interval, mean -+ t_F-1 s sqrt(1/F + ratio).

    s is the standard deviation over the folds. Folds share training rows, so their scores are no independent draws; the second term
    under the root corrects for it (Nadeau, Bengio: Inference for the Generalization Error, Machine Learning 2003).

    Args:
        values: one score per fold; NaN where it is undefined, which is left out.
        ratio: rows of a test part divided by rows of a training part.

    >>> over_folds([0.8, 0.9], ratio=1.0).value.__round__(2)
    0.85
    """
    known = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    if not len(known):
        return Interval(float("nan"), float("nan"), float("nan"))
    middle = float(known.mean())
    if len(known) < 2:
        return Interval(middle, float("nan"), float("nan"))
    half = student(len(known) - 1) * float(known.std(ddof=1)) * math.sqrt(1 / len(known) + ratio)
    return Interval(middle, middle - half, middle + half)


def student(degrees: int, share: float = 0.975) -> float:
    """The number that Student's t with so many degrees of freedom stays below with this probability, by bisection of its integral.

    >>> [round(student(degrees), 3) for degrees in (1, 4, 9)]
    [12.706, 2.776, 2.262]
    """
    # with x = sqrt(d) tan(a) the density becomes cos(a)^(d-1) over a, which is smooth and bounded
    angles = np.linspace(0.0, math.pi / 2, 200_001)
    heights = np.cos(angles) ** (degrees - 1)
    areas = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2)])
    place = float(np.interp(share - 0.5, areas / areas[-1] / 2, angles))
    return math.sqrt(degrees) * math.tan(place)
