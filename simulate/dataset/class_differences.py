"""Differences of a parameter between the classes of a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import smirnov

from simulate.dataset.summary import Column

#: Images of a class from which its parameters are compared with those of the others.
_FEW = 8
#: The p-value of a distance that is not taken for chance.
_CHANCE = 1e-4


def class_difference(column: Column, classes: int) -> float:
    """Largest Kolmogorov-Smirnov distance of a parameter between classes.

    Between a class and the others together, where it is beyond chance; 0 where there is nothing to
    compare.
    """
    greatest = 0.0
    for i in range(classes):
        mine = column.labels == i
        # Its p-value is an approximation for many; a class of a few images proves nothing.
        if min(np.count_nonzero(mine), np.count_nonzero(~mine)) >= _FEW:
            distance = _largest_gap(column.values[mine], column.values[~mine])
            together = mine.sum() * (~mine).sum() / len(mine)
            if distance > greatest and _is_beyond_chance(distance, round(together)):
                greatest = distance
    return greatest


def _largest_gap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The largest distance between the cumulative distributions of two samples."""
    first, second = np.sort(first), np.sort(second)
    everywhere = np.concatenate([first, second])
    of_first = np.searchsorted(first, everywhere, side="right") / len(first)
    of_second = np.searchsorted(second, everywhere, side="right") / len(second)
    return float(np.abs(of_first - of_second).max())


def _is_beyond_chance(distance: float, n: int) -> bool:
    """True where a Kolmogorov-Smirnov distance has a p-value below :data:`_CHANCE`.

    The p-value lies between once and twice that of a distance to one side, which takes no import of
    scipy.stats.
    """
    one_sided = float(smirnov(n, distance))
    if one_sided >= _CHANCE or 2 * one_sided < _CHANCE:
        return one_sided < _CHANCE
    from scipy.stats import kstwo

    return bool(kstwo.sf(distance, n) < _CHANCE)
