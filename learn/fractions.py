"""Intervals of measured fractions."""

from __future__ import annotations

import math


def fraction_interval(count: int, total: int, sigma: float = 1.96) -> tuple[float, float]:
    """Interval of a fraction that is not empty for none of few (Wilson 1927).

    J. Am. Stat. Assoc. 22, 209.

    Args:
        count: of those that have it.
        total: of all, at least 1.
        sigma: half the width in standard deviations; 1.96 for 95%, 1 for 68%.
    """
    rate, weight = count / total, sigma**2 / total
    centre = (rate + weight / 2) / (1 + weight)
    half = sigma * math.sqrt(rate * (1 - rate) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)
