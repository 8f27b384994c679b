"""Differences of a parameter between the classes of a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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

    It lies between once and twice the p-value of a distance to one side. Where that does not
    settle it, scipy.stats does, which takes two seconds to import.
    """
    one_sided = _one_sided_p_value(distance, n)
    if one_sided > 1.001 * _CHANCE or 2.001 * one_sided < _CHANCE:
        return one_sided < _CHANCE
    from scipy.stats import kstwo

    return bool(kstwo.sf(distance, n) < _CHANCE)


def _one_sided_p_value(distance: float, n: int) -> float:
    """p-value of a one-sided distance of ``n`` values; Birnbaum & Tingey (1951), eq. 3.0."""
    if distance >= 1:
        return 0.0
    below = np.arange(int(n * (1 - distance)) + 1)
    log_factorial = np.concatenate([[0.0], np.log(np.arange(1, n + 1)).cumsum()])
    ways = log_factorial[n] - log_factorial[below] - log_factorial[n - below]
    level = distance + below / n
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.where(below < n, (n - below) * np.log1p(-level.clip(max=1.0)), 0.0)
    terms = np.exp(ways + (below - 1) * np.log(level) + above)
    return float(distance * terms.sum())
