"""Intervals of fractions."""

import pytest
from scipy.stats import binomtest

from learn.fractions import fraction_interval


@pytest.mark.parametrize(("count", "total"), [(0, 12), (3, 50), (10, 500), (500, 500)])
def test_intervals_are_those_of_wilson(count: int, total: int) -> None:
    known = binomtest(count, total).proportion_ci(0.95, method="wilson")
    low, high = fraction_interval(count, total, 1.959964)
    assert (low, high) == pytest.approx((known.low, known.high), abs=1e-7)
    assert 0 <= low <= count / total <= high <= 1
    assert low < high
